"""What an interlock is: a title, what it needs, and a check whose docstring is the fix shown to the user."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from beampermit.errors import BadInput, BeampermitError, Failed, Problem
from beampermit.verdicts.evidence import Evidence
from beampermit.verdicts.verdict import Location, Outcome

MOST = 100
"""Places of one verdict that are kept."""

Part = Literal[
    "tree", "commit", "requirements", "named", "dvc", "remote", "installed", "environment", "gpu", "ledger", "github"
]
PROJECT_CODE: tuple[Part, ...] = ("tree", "named", "installed")
"""What decides a check that runs the project's own code."""


@dataclass(frozen=True)
class Finding:
    """What a check returns. The runner makes a verdict of it, with id, title, fix and seconds.

    `fix` is set where the check's own would mislead.
    """

    outcome: Outcome
    reason: str
    locations: tuple[Location, ...] = ()
    evidence: Evidence | dict[str, Any] = field(default_factory=dict)
    until: Literal["", "release"] = ""
    fix: str = ""


def passed(reason: str, evidence: Evidence | None = None, **facts: Any) -> Finding:
    """The interlock passes; `reason` says in a line what was checked.

    Evidence that a document shows is a record of `verdicts/evidence.py`; other facts are keywords.
    """
    return Finding(Outcome.PASSED, reason, (), evidence or facts)


def failed(reason: str, *at: Location | str, evidence: Evidence | None = None, fix: str = "", **facts: Any) -> Finding:
    """The interlock fails; `at` names files of the project, and where several things are wrong, each of them there."""
    locations = tuple(place if isinstance(place, Location) else Location(file=place) for place in at[:MOST])
    return Finding(Outcome.FAILED, reason, locations, evidence or facts, fix=fix)


def each(reasons: Iterable[str], file: str) -> list[Location]:
    """Several things that are wrong in one file."""
    return [Location(file=file, reason=reason) for reason in reasons]


def located(problems: Iterable[Problem]) -> list[Location]:
    """The places of problems that have a file."""
    return [
        Location(file=problem.file, line=problem.line, reason=problem.message) for problem in problems if problem.file
    ]


def skipped(reason: str, **facts: Any) -> Finding:
    """The check cannot be made here; this never counts as passed."""
    return Finding(Outcome.SKIPPED, reason, (), facts)


@contextmanager
def bad_input_fails() -> Iterator[None]:
    """Turns `BadInput` into `Failed`: a file of the project that cannot be read is a fault of the project."""
    try:
        yield
    except BadInput as error:
        raise Failed(error.message, file=error.file, line=error.line, hint=error.hint, also=error.also) from None


class Interlock:
    """Base of all interlocks. The name of a subclass is its id, its docstring is the title.

    `check` names the inputs that it needs as parameters (see `inputs.py`) and returns a `Finding`; its docstring is the
    fix, in Markdown. `decided_by` names all that decides the verdict (methods of `Reuse`): on a laptop it is reused
    while none of them has changed. A check without it runs each time. `put_off_by` names the key of `reproducibility`
    in the contract that may put the check off until the release. `needs_contract` is False where a contract that cannot
    be read is none of the check's business.
    """

    requires: ClassVar[frozenset[str]] = frozenset()
    decided_by: ClassVar[tuple[Part, ...]] = ()
    put_off_by: ClassVar[str] = ""
    of_repository: ClassVar[bool] = False
    """Whether the files that it names lie at the top of the repository, which several projects may share."""
    needs_contract: ClassVar[bool] = True
    known: ClassVar[dict[str, type[Interlock]]] = {}
    package: ClassVar[str] = ""
    """Name and version of the laboratory's package that adds it; empty for ours."""
    check: Callable[..., Finding]

    def __init_subclass__(cls, *, own: bool = False) -> None:
        if own:
            return  # of one project; `known` are those of every project
        if cls.__name__ in Interlock.known:
            raise TypeError(f"there are two interlocks {cls.__name__}: take the next free number")
        Interlock.known[cls.__name__] = cls

    @classmethod
    def id(cls) -> str:
        return cls.__name__

    @classmethod
    def title(cls) -> str:
        return inspect.cleandoc(cls.__doc__ or cls.__name__)

    @classmethod
    def fix(cls) -> str:
        return inspect.cleandoc(cls.check.__doc__ or "")

    @classmethod
    def inputs(cls) -> tuple[str, ...]:
        return tuple(name for name in inspect.signature(cls.check).parameters if name != "self")


class MissingInput(BeampermitError):
    """An input that is not here: interlocks that need it are skipped, with this reason."""

    exit_code = 1


class NotJudgedHere(MissingInput):
    """Only another machine can judge this: skipped here with exit code 0, and still required for a permit."""

    exit_code = 0
