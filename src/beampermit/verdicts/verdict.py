"""What an interlock says: passed, failed, skipped or error. Only `passed` counts."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, InstanceOf, SerializeAsAny, ValidationError, ValidationInfo, field_validator

from beampermit.errors import BadInput
from beampermit.files import write_text
from beampermit.reading import first_fault, read_json
from beampermit.record import Record
from beampermit.verdicts.evidence import RECORDS, Evidence

Read = TypeVar("Read", bound=Evidence)


class Outcome(StrEnum):
    """`skipped` and `error` never count as passed."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    ERROR = "error"


class Location(Record):
    """Where in the project: `file` relative to its root, `line` from 1."""

    file: str
    line: int | None = None


InterlockId = Annotated[str, Field(pattern=r"^[A-Z]{3}\d{3}$")]


class Verdict(Record):
    """One interlock's outcome. `exit_code` is what it alone would make the command end in.

    `waits_for` are the interlocks whose outcome keeps this one from running: fixing them comes first.
    """

    id: InterlockId
    title: str
    outcome: Outcome
    reason: str
    fix: str = ""
    evidence: SerializeAsAny[InstanceOf[Evidence]] | dict[str, Any] = Field(default={})
    locations: tuple[Location, ...] = ()
    seconds: float = Field(default=0.0, ge=0)
    reused: bool = False
    until: Literal["", "release"] = ""
    """Where the base branch's contract puts a check off: it is skipped here without fault, and due there."""
    waits_for: tuple[InterlockId, ...] = ()
    exit_code: int = Field(default=0, ge=0, le=4)

    @field_validator("evidence", mode="before")
    @classmethod
    def _record_or_nothing(cls, evidence: Any, info: ValidationInfo) -> Any:
        record = RECORDS.get(info.data.get("id", ""))
        if record is None or evidence == {} or isinstance(evidence, Evidence):
            return evidence
        try:
            return record.model_validate(evidence)
        except ValidationError:
            return {}

    @property
    def family(self) -> str:
        """The three letters before the number."""
        return self.id[:3]

    @property
    def passed(self) -> bool:
        """True for `passed` alone."""
        return self.outcome is Outcome.PASSED


class Where(Record):
    """The machine a verdict was made on, and the CI run if there was one."""

    host: str
    system: str
    python: str
    run: str = ""


class VerdictFile(Record):
    """What one job found, at one commit, by one checker."""

    beampermit: int = 1
    checker: str
    commit: str
    tree: str
    base: str | None = None
    where: Where
    verdicts: tuple[Verdict, ...]


def write_verdicts(path: Path, found: VerdictFile) -> None:
    """Write one job's verdicts as JSON."""
    write_text(path, found.model_dump_json(indent=2) + "\n")


def read_verdicts(path: Path) -> VerdictFile:
    """Read one job's verdicts, which may come from an artifact: strict, at most 4 MiB. Raises `BadInput`."""
    content = read_json(path, limit=4 * 2**20)
    try:
        return VerdictFile.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"not a file of verdicts: {first_fault(error)}", file=path) from None


def find_evidence(verdicts: Iterable[Verdict], record: type[Read]) -> Read | None:
    """The evidence of this kind among verdicts; None where the interlock gave none that can be read."""
    return next((verdict.evidence for verdict in verdicts if isinstance(verdict.evidence, record)), None)


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """The exit code of a set of verdicts: 1 if one failed, else the worst reason it could not be judged, else 0."""
    codes = {verdict.exit_code for verdict in verdicts}
    return 1 if 1 in codes else max(codes, default=0)
