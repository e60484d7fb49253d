"""One event of the ledger: what was done to a model, when, by whom, why, with which permit and in which run."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypedDict, get_args

from pydantic import Field, model_validator

from beampermit.containers.reference import BY_DIGEST, LONGEST
from beampermit.git import Git
from beampermit.record import Digest, ObjectId, Record, Time
from beampermit.verdicts.verdict import workflow_run

Kind = Literal["promote", "rollback", "retire", "freeze", "thaw", "re-sign", "move", "bypass", "image"]
KINDS: tuple[str, ...] = get_args(Kind)
SKEW = timedelta(minutes=10)
"""How far the clocks of two machines may be apart; more is shown."""
OWN_KEYS = {
    "alarm": ("bypass",),
    "subject": ("bypass",),
    "until": ("bypass", "retire", "promote"),
    "successor": ("retire",),
    "retires": ("promote",),
    "image": ("image",),
}
"""Keys that only these kinds of event have; a line without a value has no such key."""


class Retires(Record):
    """The champion that a promotion takes out of service with the same line: of another model, or the one before."""

    model: Annotated[str, Field(min_length=1, max_length=64)]
    version: Annotated[int, Field(ge=1)]
    digest: Digest
    permit: Digest
    commit: ObjectId


class Event(Record):
    """Every event but a promotion repeats version, digest, permit and commit of a promotion.

    That is the version that a rollback goes back to or a retirement takes out of service; for a freeze the version
    that was last put into service, for a thaw that of its freeze. A re-sign puts a new signature on its permit; a move
    says that the registry is another one from here on. A bypass says that an alarm is not raised for a while; an
    image, which image of containers was built of the version.
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
    at: Time
    by: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(max_length=1000)] = ""
    run: Annotated[str, Field(max_length=500)] = ""
    """URL of the workflow run, if there was one."""
    registry: Annotated[str, Field(pattern=r"^[0-9a-f-]{0,36}$")] = ""
    """The identity that the registry itself holds."""
    address: Annotated[str, Field(max_length=500)] = ""
    """Of the registry, for people; without password."""
    alarm: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]{0,139}$")] | None = None
    """That a bypass is of: a check of monitoring, or a cause of the contract."""
    subject: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """A signal, device or PV that a bypass is of; None for all of them."""
    until: Time | None = None
    """When a bypass ends, which is `at` where it was ended by hand; how long the PVs of what was retired stay."""
    successor: Annotated[str, Field(pattern=r"^([1-9]\d{0,8}|[a-z][a-z0-9_-]{0,63})$")] | None = None
    """The version, or the model, that is to be used instead of a retired one."""
    retires: Retires | None = None
    image: Annotated[str, Field(pattern=BY_DIGEST, max_length=LONGEST)] | None = None
    """Of containers, by its digest, such as `ghcr.io/lab/bpm-faults@sha256:...`."""

    @model_validator(mode="after")
    def _has_its_keys(self) -> Event:
        for key, kinds in OWN_KEYS.items():
            if getattr(self, key) is not None and self.event not in kinds:
                raise ValueError(f"a {self.event} has no {key}")
        if self.event == "bypass" and (self.alarm is None or self.until is None or self.until < self.at):
            raise ValueError("a bypass needs an alarm, and a time until which it is bypassed")
        if self.event == "image" and self.image is None:
            raise ValueError("an image needs its name and digest")
        if self.event == "promote" and self.until and not self.retires:
            raise ValueError("a promotion that retires nothing has no until")
        return self

    @property
    def content(self) -> dict[str, Any]:
        """As a line of the ledger has it."""
        content = self.model_dump(mode="json")
        return {key: value for key, value in content.items() if key not in OWN_KEYS or value is not None}

    @property
    def shared(self) -> dict[str, Any]:
        """The keys that an event of each kind has: what the next event about this version begins with."""
        return self.model_dump(mode="json", exclude={*OWN_KEYS})

    @property
    def parts(self) -> tuple[Event, ...]:
        """What it is for each model: a promotion that retires a champion is two events in one line."""
        gone = self.retires
        if gone is None:
            return (self,)
        same = gone.model == self.model
        retirement = Event(
            **gone.model_dump(),
            event="retire",
            sequence=self.sequence,
            expected=self.version if same else gone.version,
            successor=str(self.version) if same else self.model,
            **{key: getattr(self, key) for key in ("at", "by", "reason", "run", "until")},
        )
        return self, retirement

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.at)

    @property
    def starts_service(self) -> bool:
        return self.event in ("promote", "rollback")

    @property
    def summary(self) -> str:
        """Such as `promote bpm-faults version 2`."""
        if self.event == "bypass":
            verb = "end the bypass of" if self.until == self.at else "bypass"
            return f"{verb} {self.alarm_name} of {self.model}"
        retired = f", retire {self.retires.model} version {self.retires.version}" if self.retires else ""
        return f"{self.event} {self.model} version {self.version}{retired}"

    @property
    def successor_name(self) -> str:
        """Of a retirement: such as `version 4`, or `orbit-2`; empty where it has none."""
        successor = self.successor or ""
        return f"version {successor}" if successor.isdecimal() else successor

    def pvs_ended(self, at: datetime) -> bool:
        """Of a retirement: whether the last day of its PVs is over."""
        return self.until is not None and at >= datetime.fromisoformat(self.until)

    @property
    def alarm_name(self) -> str:
        """Of a bypass: such as `MON001 turns.std`."""
        return f"{self.alarm} {self.subject or ''}".rstrip()


def written(moment: datetime) -> str:
    """As a line of the ledger has a time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Provenance(TypedDict):
    at: str
    by: str
    reason: str
    run: str


def provenance(git: Git, reason: str) -> Provenance:
    """When, by whom, why and in which workflow run the current command acts."""
    return {
        "at": written(datetime.now(UTC)),
        "by": _author(git)[:200],
        "reason": reason[:1000],
        "run": workflow_run()[:500],
    }


def _author(git: Git) -> str:
    """GitHub's actor in a workflow, else the git identity, else the account."""
    actor = os.environ.get("GITHUB_ACTOR")
    if actor:
        return actor
    listed = git.try_("config", "--get-regexp", r"^user\.(name|email)$").out
    # Of several values of a key, the last counts.
    values = {key: value.strip() for key, _, value in (line.partition(" ") for line in listed.split("\n"))}
    name, mail = values.get("user.name", ""), values.get("user.email", "")
    if name or mail:
        return f"{name} <{mail}>".strip()
    return os.environ.get("USER") or "unknown"
