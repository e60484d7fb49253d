"""What a laboratory's package of interlocks may import, and nothing else: these names stay, and mean the same.

An interlock is a class that is called as its id, an X, two more letters and three digits. Its docstring is the title,
the docstring of `check` the fix that users read. `check` names what it needs as parameters, any of `INPUTS`:

    class XAR001(OwnInterlock):
        "Every signal is archived"

        def check(self, contract: Contract) -> Finding:
            \"\"\"Ask the archiver's group to archive the signal, or correct its name in `contract.yaml`.\"\"\"
            ...

It returns `passed`, `failed` or `skipped`. `Outside` says that the outside world failed, which proves nothing, and
`MissingInput` that something is not here. The laboratory's page on own interlocks is `docs/own-interlocks.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol

from beampermit.contract import Contract
from beampermit.errors import BadInput, Failed, Outside
from beampermit.interlocks.interlock import Finding, MissingInput, each, failed, passed, skipped
from beampermit.verdicts.verdict import Location

__all__ = [
    "INPUTS",
    "BadInput",
    "Contract",
    "Failed",
    "Finding",
    "JudgedProject",
    "Location",
    "MissingInput",
    "Outside",
    "OwnInterlock",
    "each",
    "failed",
    "passed",
    "skipped",
]

INPUTS = ("contract", "base_contract", "project")
"""What `check` may ask for: the contract of the work tree, that of the base branch, and the project."""


class JudgedProject(Protocol):
    """The project that is checked; `root` is its folder."""

    root: Path

    def path(self, relative: str) -> Path:
        """A path of the contract on this machine."""
        ...


class OwnInterlock:
    """Base of a laboratory's interlocks. `requires` names interlocks that must pass before.

    `requires` holds among those of one command: in CI ours are judged by other steps, and are not waited for.
    """

    requires: ClassVar[frozenset[str]] = frozenset()
    time_limit: ClassVar[float] = 600.0
    """Seconds that `check` may take; then its process is ended, and the outcome is an error."""
    check: Callable[..., Finding]
