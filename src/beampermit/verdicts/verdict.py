"""The verdict of an interlock: passed, failed, skipped or error. Only `passed` counts."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    Field,
    InstanceOf,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from beampermit.errors import BadInput
from beampermit.files import write_text
from beampermit.reading import first_fault, read_json
from beampermit.record import Record
from beampermit.verdicts.evidence import RECORDS, Evidence

Read = TypeVar("Read", bound=Evidence)


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    ERROR = "error"


class Location(Record):
    """A file of the project, relative to its root, and a line from 1."""

    file: str
    line: int | None = None


InterlockId = Annotated[str, Field(pattern=r"^[A-Z]{3}\d{3}$")]


class Verdict(Record):
    """`exit_code` is that of the command if this were the only verdict.

    `waits_for` are the interlocks whose outcome keeps this one from running: fix them first.
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
    """Set where the base branch's contract puts the check off: skipped here with exit code 0, and due there."""
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

    @model_validator(mode="after")
    def _only_skipped_is_put_off(self) -> Verdict:
        if self.until and self.outcome is not Outcome.SKIPPED:
            raise ValueError("only a skipped check is put off")
        return self

    @property
    def family(self) -> str:
        """Such as `ENV`."""
        return self.id[:3]

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED


class Where(Record):
    """The machine that made a verdict, and the address of the CI run if it was one."""

    host: str
    system: str
    python: str
    run: str = ""


class VerdictFile(Record):
    """The verdicts of one job, at one commit, by one version of the checker."""

    beampermit: int = 1
    checker: str
    commit: str
    tree: str
    base: str | None = None
    where: Where
    verdicts: tuple[Verdict, ...]


def write_verdicts(path: Path, file: VerdictFile) -> None:
    write_text(path, file.model_dump_json(indent=2) + "\n")


def read_verdicts(path: Path) -> VerdictFile:
    """Strict, at most 4 MiB, for the file may come from an artifact. Raises `BadInput`."""
    content = read_json(path, limit=4 * 2**20)
    try:
        return VerdictFile.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"not a verdict file: {first_fault(error)}", file=path) from None


def find_evidence(verdicts: Iterable[Verdict], record: type[Read]) -> Read | None:
    """The evidence of one kind among verdicts; None where the interlock gave none that can be read."""
    return next((verdict.evidence for verdict in verdicts if isinstance(verdict.evidence, record)), None)


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """1 if an interlock failed, else the highest code of those that could not be judged, else 0."""
    codes = {verdict.exit_code for verdict in verdicts}
    return 1 if 1 in codes else max(codes, default=0)
