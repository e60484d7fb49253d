"""One line of the ledger: what was done to a model, when, by whom, why, on which permit and in which workflow run."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

from pydantic import Field

from beampermit.git import Git
from beampermit.record import Record

Kind = Literal["promote", "rollback", "retire", "freeze", "thaw"]
KINDS: tuple[str, ...] = get_args(Kind)
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Event(Record):
    """What happened to a model. All but a promotion repeat version, digest, permit and commit of one.

    A rollback names the version it goes back to, a retirement the one it takes out of service, a freeze the one that
    was put into service last, a thaw that of its freeze.
    """

    event: Kind
    sequence: Annotated[int, Field(ge=1)]
    """Place in the ledger, from 1: the number of its line."""
    model: Annotated[str, Field(min_length=1, max_length=64)]
    version: Annotated[int, Field(ge=1)]
    """Version in the registry."""
    digest: Digest
    """Of the model folder."""
    permit: Digest
    """Of the signed statement."""
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
    expected: Annotated[int, Field(ge=1)] | None
    """Version in service that whoever wrote this saw; None for the first."""
    at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    """UTC."""
    by: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(max_length=1000)] = ""
    run: Annotated[str, Field(max_length=500)] = ""
    """The workflow run, if there was one."""

    @property
    def places(self) -> bool:
        """Whether it puts its version into service."""
        return self.event in ("promote", "rollback")

    @property
    def summary(self) -> str:
        """Such as `promote bpm-faults version 2`."""
        return f"{self.event} {self.model} version {self.version}"


def provenance(git: Git, reason: str) -> dict[str, str]:
    """When, by whom, why and in which workflow run something is done: what each event says beside what it is."""
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "by": _author(git)[:200],
        "reason": reason[:1000],
        "run": workflow_run()[:500],
    }


def workflow_run() -> str:
    """The address of the workflow run we are in, or nothing."""
    server, repository, run = (os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    return f"{server}/{repository}/actions/runs/{run}" if run else ""


def _author(git: Git) -> str:
    """The one GitHub names in a workflow, else the git identity, else the account."""
    actor = os.environ.get("GITHUB_ACTOR")
    if actor:
        return actor
    name, mail = (git.try_("config", f"user.{key}").out.strip() for key in ("name", "email"))
    if name or mail:
        return f"{name} <{mail}>".strip()
    return os.environ.get("USER") or "unknown"
