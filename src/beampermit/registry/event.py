"""One event of the ledger: what was done to a model, when, by whom, why, with which permit and in which run."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from beampermit.git import Git
from beampermit.record import Digest, ObjectId, Record
from beampermit.verdicts.verdict import workflow_run

Kind = Literal["promote", "rollback", "retire", "freeze", "thaw", "re-sign", "move"]
KINDS: tuple[str, ...] = get_args(Kind)
SKEW = timedelta(minutes=10)
"""How far the clocks of two machines may be apart; more is shown."""


class Event(Record):
    """Every event but a promotion repeats version, digest, permit and commit of a promotion.

    That is the version that a rollback goes back to or a retirement takes out of service; for a freeze the version
    that was last put into service, for a thaw that of its freeze. A re-sign puts a new signature on its permit; a move
    says that the registry is another one from here on.
    """

    event: Kind
    sequence: Annotated[int, Field(ge=1)]
    """Line of the ledger, from 1."""
    model: Annotated[str, Field(min_length=1, max_length=64)]
    version: Annotated[int, Field(ge=1)]
    """In the registry."""
    digest: Digest
    """Of the model folder."""
    permit: Digest
    """Of the signed statement."""
    commit: ObjectId
    expected: Annotated[int, Field(ge=1)] | None
    """The version in service when this was written, None where there was none: the compare-and-swap value."""
    at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    """UTC."""
    by: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(max_length=1000)] = ""
    run: Annotated[str, Field(max_length=500)] = ""
    """URL of the workflow run, if there was one."""
    registry: Annotated[str, Field(pattern=r"^[0-9a-f-]{0,36}$")] = ""
    """The identity that the registry itself holds."""
    address: Annotated[str, Field(max_length=500)] = ""
    """Of the registry, for people; without password."""

    @field_validator("at")
    @classmethod
    def _is_a_time(cls, at: str) -> str:
        datetime.fromisoformat(at)  # refuses the 31st of February
        return at

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.at)

    @property
    def starts_service(self) -> bool:
        return self.event in ("promote", "rollback")

    @property
    def summary(self) -> str:
        """Such as `promote bpm-faults version 2`."""
        return f"{self.event} {self.model} version {self.version}"


def provenance(git: Git, reason: str) -> dict[str, str]:
    """When, by whom, why and in which workflow run the current command acts."""
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "by": _author(git)[:200],
        "reason": reason[:1000],
        "run": workflow_run()[:500],
    }


def _author(git: Git) -> str:
    """GitHub's actor in a workflow, else the git identity, else the account."""
    actor = os.environ.get("GITHUB_ACTOR")
    if actor:
        return actor
    name, mail = (git.try_("config", f"user.{key}").out.strip() for key in ("name", "email"))
    if name or mail:
        return f"{name} <{mail}>".strip()
    return os.environ.get("USER") or "unknown"
