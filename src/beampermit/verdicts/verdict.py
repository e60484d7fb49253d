"""The verdict of an interlock: passed, failed, skipped or error. Only `passed` counts."""

from __future__ import annotations

import os
import platform
import re
import socket
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

from beampermit.digest import digest_json
from beampermit.errors import BadInput
from beampermit.reading import first_fault, read_json, refuse_newer
from beampermit.record import Digest, ObjectId, Record, Text, printable
from beampermit.verdicts.evidence import RECORDS, Evidence
from beampermit.verdicts.packages import InterlockPackage

Read = TypeVar("Read", bound=Evidence)


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    ERROR = "error"


class Location(Record):
    """A file of the project, relative to its root, and a line from 1; `reason` says what is wrong there.

    The reason of a verdict says only the first of several and counts the others.
    """

    file: Text
    line: int | None = None
    reason: Text = ""

    @property
    def place(self) -> str:
        """`file:line`, or `file`."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


InterlockId = Annotated[str, Field(pattern=r"^[A-Z]{3}\d{3}$")]
OWN_ID = re.compile(r"X[A-Z]{2}\d{3}")
"""Of a laboratory's interlock. None of ours begins with X."""


class Verdict(Record):
    """`exit_code` is that of the command if this were the only verdict.

    `waits_for` are the interlocks whose outcome keeps this one from running: fix them first.
    """

    id: InterlockId
    title: str
    by: Text = ""
    """Name and version of the laboratory's package whose interlock this is; empty for ours."""
    outcome: Outcome
    reason: Text
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
            return printable(evidence)
        try:
            return record.model_validate(evidence)
        except ValidationError:
            return {}

    @model_validator(mode="after")
    def _only_skipped_is_put_off(self) -> Verdict:
        if self.until and self.outcome is not Outcome.SKIPPED:
            raise ValueError("only a skipped check is put off")
        return self

    @model_validator(mode="after")
    def _what_passed_waits_for_nothing(self) -> Verdict:
        if self.passed and (self.fix or self.exit_code or self.waits_for):
            raise ValueError(f"{self.id} passed, and yet has a fix, an exit code or something that it waits for")
        return self

    @property
    def family(self) -> str:
        """Such as `ENV`."""
        return self.id[:3]

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED

    @property
    def others(self) -> tuple[Location, ...]:
        """Places with something wrong that the reason does not say."""
        return tuple(place for place in self.locations if place.reason and place.reason not in self.reason)

    @property
    def places(self) -> tuple[str, ...]:
        """Where the rest is, each place once."""
        others = self.others
        return tuple(dict.fromkeys(place.place for place in self.locations if place not in others))


def workflow_run() -> str:
    """URL of the current workflow run; empty outside of one."""
    server, repository, run = (os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    return f"{server}/{repository}/actions/runs/{run}" if run else ""


class Where(Record):
    """The machine that made a verdict, and the address of the CI run and its attempt if it was one."""

    host: str
    system: str
    python: str
    run: str = ""
    attempt: Annotated[int, Field(ge=0)] = 0

    @classmethod
    def here(cls) -> Where:
        """This machine, and the job's run."""
        run, attempt = workflow_run(), os.environ.get("GITHUB_RUN_ATTEMPT", "")
        return cls(
            host=socket.gethostname(),
            system=platform.platform(),
            python=platform.python_version(),
            run=run,
            attempt=int(attempt) if run and attempt.isdecimal() else 0,
        )


FORMAT = 1
LARGEST = 4 * 2**20
"""Bytes of a file of verdicts; a larger one is not read."""


class VerdictFile(Record):
    """The verdicts of one job, at one commit, by one version of the checker and one contract."""

    beampermit: int = FORMAT
    """Of this format."""
    checker: str
    commit: ObjectId
    tree: ObjectId
    base: ObjectId | None = None
    base_contract: Digest | None = None
    """Digest of the contract that gates were read from: the base's, else the commit's own; None without a contract."""
    packages: tuple[InterlockPackage, ...] = ()
    """Of the laboratory, where interlocks of its own are among those that judged."""
    where: Where
    verdicts: tuple[Verdict, ...]


def read_verdicts(path: Path) -> VerdictFile:
    """Strict, at most 4 MiB, for the file may come from an artifact. Raises `BadInput`, also where it was edited."""
    content = read_json(path, limit=LARGEST)
    digest = content.pop("digest", None) if isinstance(content, dict) else None
    refuse_newer(content.get("beampermit") if isinstance(content, dict) else None, FORMAT, path)
    try:
        file = VerdictFile.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"not a verdict file: {first_fault(error)}", file=path) from None
    if digest != digest_json(content):
        raise BadInput(
            "the verdicts were changed after they were written: they do not have the digest that the file says",
            file=path,
            hint="beampermit check --out FILE",
        )
    return file


def find_evidence(verdicts: Iterable[Verdict], record: type[Read]) -> Read | None:
    """The evidence of one kind among verdicts; None where the interlock gave none that can be read."""
    return next((verdict.evidence for verdict in verdicts if isinstance(verdict.evidence, record)), None)


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """1 if an interlock failed; else the highest code of the errors, which others may wait for; else that of a skip."""
    codes = dict.fromkeys(Outcome, 0)
    for verdict in verdicts:
        codes[verdict.outcome] = max(codes[verdict.outcome], verdict.exit_code)
    return codes[Outcome.FAILED] or codes[Outcome.ERROR] or codes[Outcome.SKIPPED]
