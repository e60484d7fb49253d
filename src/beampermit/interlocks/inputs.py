"""The inputs that a check may name as parameters. Each is made once per run, and only if a check needs it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from beampermit.errors import BadInput, BeampermitError
from beampermit.interlocks.families import FAMILIES, load_interlocks
from beampermit.interlocks.interlock import MissingInput

if TYPE_CHECKING:
    from beampermit.contract import Contract
    from beampermit.project import Project

Provider = Callable[..., Any]
PROVIDERS: dict[str, Provider] = {}


def provides(function: Provider) -> Provider:
    """Register a function that makes the input of its name; its parameters are inputs, its docstring is for authors."""
    PROVIDERS[function.__name__] = function
    return function


@dataclass(frozen=True)
class Failure:
    """Kept, so that an input that could not be made is not tried twice."""

    error: BeampermitError


class Inputs:
    """The inputs of one run; `given` are those that exist already."""

    def __init__(self, **given: Any):
        self._made: dict[str, Any] = dict(given)

    def __getitem__(self, name: str) -> Any:
        """Raises what its provider raised: `MissingInput`, or another `BeampermitError`."""
        if name not in self._made:
            self._made[name] = self._make(name)
        made = self._made[name]
        if isinstance(made, Failure):
            raise made.error
        return made

    def give(self, **given: Any) -> None:
        self._made.update(given)

    def of(self, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: self[name] for name in names}

    def _make(self, name: str) -> Any:
        provider = _provider(name)
        try:
            return provider(**self.of(tuple(inspect.signature(provider).parameters)))
        except BeampermitError as error:
            return Failure(error)


def _provider(name: str) -> Provider:
    for family in FAMILIES:  # it may belong to one that was not asked for; all of them take a third of a second
        if name in PROVIDERS:
            break
        load_interlocks((family,))
    return PROVIDERS[name]


@provides
def asked() -> frozenset[str]:
    """The ids of the interlocks that run; none where an input is made without a run."""
    return frozenset()


@provides
def contract(project: Project) -> Contract:
    """The contract in the work tree."""
    if not project.has_contract:
        raise MissingInput("there is no contract.yaml", hint=project.where_contracts_are())
    return project.contract


@provides
def base_contract(project: Project, contract: Contract) -> Contract:
    """The base branch's contract, which gates are read from; the work tree's where the base branch has none.

    Where it calls the champion incomparable and this branch has other targets, without what is about those that it has
    no more.
    """
    from beampermit.changes.incomparable import lost_targets, with_own_targets

    try:
        rules = project.base_contract
    except BadInput as error:
        raise MissingInput(f"the base branch's contract cannot be read: {error}") from None
    if rules.incomparable is None or not lost_targets(rules, contract):
        return rules
    from beampermit.registry.incomparable import is_about
    from beampermit.registry.ledger import Ledger

    ledger = Ledger(project.git)
    ledger.fetch()
    champion = ledger.champion(rules.model.name)
    if champion is None or not is_about(rules.incomparable, champion, ledger):
        return rules
    return with_own_targets(rules, contract)
