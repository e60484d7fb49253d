"""What an interlock is: a title, what it needs, and a check whose docstring is the fix shown to the user."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from beampermit.errors import BadInput, BeampermitError, Failed
from beampermit.verdicts.evidence import Evidence
from beampermit.verdicts.verdict import Location, Outcome


@dataclass(frozen=True)
class Finding:
    """What a check returns; the runner adds id, title, fix and seconds to make a verdict of it."""

    outcome: Outcome
    reason: str
    locations: tuple[Location, ...] = ()
    evidence: Evidence | dict[str, Any] = field(default_factory=dict)
    until: Literal["", "release"] = ""


def passed(reason: str, evidence: Evidence | None = None, **facts: Any) -> Finding:
    """The interlock passes; `reason` says in a line what was checked.

    Evidence that a document shows is a record of `verdicts/evidence.py`, any other is `facts`; so it is below.
    """
    return Finding(Outcome.PASSED, reason, (), evidence or facts)


def failed(reason: str, *at: Location | str, evidence: Evidence | None = None, **facts: Any) -> Finding:
    """The interlock fails; `at` names files of the project."""
    locations = tuple(place if isinstance(place, Location) else Location(file=place) for place in at)
    return Finding(Outcome.FAILED, reason, locations, evidence or facts)


def skipped(reason: str, **facts: Any) -> Finding:
    """The check cannot be made here; this never counts as passed."""
    return Finding(Outcome.SKIPPED, reason, (), facts)


@contextmanager
def faulty() -> Iterator[None]:
    """A file of the pull request that cannot be read is its fault, not the caller's: `BadInput` becomes `Failed`."""
    try:
        yield
    except BadInput as error:
        raise Failed(error.message, file=error.file, line=error.line, hint=error.hint) from None


class Interlock:
    """Base of all interlocks. A subclass is named by its id, its docstring is its title.

    `check` names as parameters the inputs it wants (see `inputs.py`) and returns a `Finding`. `slow` marks a check that
    runs the project's own code: on a laptop its verdict is reused while nothing that it could read has changed.
    `waits` names the key of `reproducibility` that may put the check off until the release.
    """

    requires: ClassVar[frozenset[str]] = frozenset()
    slow: ClassVar[bool] = False
    waits: ClassVar[str] = ""
    known: ClassVar[dict[str, type[Interlock]]] = {}
    check: Callable[..., Finding]

    def __init_subclass__(cls) -> None:
        Interlock.known[cls.__name__] = cls

    @classmethod
    def id(cls) -> str:
        """Such as `ENV002`."""
        return cls.__name__

    @classmethod
    def title(cls) -> str:
        """One line: what is true when it passes."""
        return inspect.cleandoc(cls.__doc__ or cls.__name__)

    @classmethod
    def fix(cls) -> str:
        """How to fix it, as Markdown."""
        return inspect.cleandoc(cls.check.__doc__ or "")

    @classmethod
    def wants(cls) -> tuple[str, ...]:
        """Names of the inputs that `check` asks for."""
        return tuple(name for name in inspect.signature(cls.check).parameters if name != "self")


class Absent(BeampermitError):
    """An input that is not here: interlocks that want it are skipped, with this reason."""

    exit_code = 1


class Elsewhere(Absent):
    """What only another machine can judge: skipped without blame here, and the permit asks for it all the same."""

    exit_code = 0
