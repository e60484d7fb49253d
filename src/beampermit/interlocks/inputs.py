"""What checks can ask for by parameter name. Each input is made once a run, and only if somebody wants it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from beampermit.errors import BadInput, BeampermitError
from beampermit.interlocks.families import load_interlocks
from beampermit.interlocks.interlock import Absent

Provider = Callable[..., Any]
PROVIDERS: dict[str, Provider] = {}


def provides(function: Provider) -> Provider:
    """Register a function as the maker of the input that bears its name; its own parameters are inputs too."""
    PROVIDERS[function.__name__] = function
    return function


@dataclass(frozen=True)
class Failure:
    """An input that could not be made, kept so that it is not tried twice."""

    error: BeampermitError


class Inputs:
    """The inputs of one run. `given` are those that the caller has already."""

    def __init__(self, **given: Any):
        self._made: dict[str, Any] = dict(given)

    def __getitem__(self, name: str) -> Any:
        """The input called `name`. Raises what its maker raised: `Absent`, or another `BeampermitError`."""
        if name not in self._made:
            self._made[name] = self._make(name)
        made = self._made[name]
        if isinstance(made, Failure):
            raise made.error
        return made

    def of(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Several inputs by name."""
        return {name: self[name] for name in names}

    def _make(self, name: str) -> Any:
        provider = _provider(name)
        try:
            return provider(**self.of(tuple(inspect.signature(provider).parameters)))
        except BeampermitError as error:
            return Failure(error)


def _provider(name: str) -> Provider:
    """The maker of an input; that of a family of which nothing was asked is not loaded yet."""
    if name not in PROVIDERS:
        load_interlocks()
    return PROVIDERS[name]


@provides
def contract(project: Any) -> Any:
    """The contract of the work tree."""
    if not project.has_contract:
        raise Absent("there is no contract.yaml", hint="beampermit init")
    return project.contract


@provides
def base_contract(project: Any, contract: Any) -> Any:  # noqa: ARG001 - a broken contract gates nothing
    """The contract that gates are read from: the base branch's."""
    try:
        return project.base_contract
    except BadInput as error:
        raise Absent(f"the base branch's contract cannot be read: {error}") from None
