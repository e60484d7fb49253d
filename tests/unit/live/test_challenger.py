"""The version with the alias `challenger` begins once, and ends when nothing permits it any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from beampermit.errors import BeampermitError, Failed, Outside
from beampermit.live.challenger import AGAIN, EVERY, FollowChallenger


@dataclass
class Registry:
    """Gives the challenger, or fails."""

    version: int = 5
    fails: BeampermitError | None = None

    def challenger(self) -> Any:
        if self.fails:
            raise self.fails
        return SimpleNamespace(version=self.version, statement=SimpleNamespace(digest=f"sha256:{self.version}"))

    def prepare(self, declared: Any) -> Any:
        return declared


@dataclass
class Told:
    registry: Registry = field(default_factory=Registry)
    begun: list[int] = field(default_factory=list)
    ended: list[bool] = field(default_factory=list)

    def follower(self) -> FollowChallenger:
        begin: Callable[[Any, Any], None] = lambda promoted, _: self.begun.append(promoted.version)  # noqa: E731
        return FollowChallenger(self.registry, begin, lambda: self.ended.append(True))  # pyright: ignore[reportArgumentType]


def test_each_challenger_begins_once() -> None:
    told = Told()
    follower = told.follower()
    for version in (5, 5, 6):
        told.registry.version = version
        follower.look()
    assert told.begun == [5, 6]
    assert not told.ended


def test_one_that_is_not_permitted_any_more_ends_and_may_come_back(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    follower = told.follower()
    follower.look()
    told.registry.fails = Failed("its permit is signed with an untrusted key")
    for _ in range(3):
        follower.look()
    assert told.ended == [True]
    assert [record.getMessage() for record in caplog.records] == [
        "no other challenger runs: its permit is signed with an untrusted key"
    ]
    told.registry.fails = None
    follower.look()
    assert told.begun == [5, 5]


def test_one_that_could_not_begin_is_begun_again() -> None:
    told = Told()
    follower = told.follower()
    follower.look()
    follower.gave_up(4)
    follower.look()
    follower.gave_up(5)
    follower.look()
    assert told.begun == [5, 5]


def test_where_nothing_was_learnt_it_is_asked_sooner() -> None:
    """At the first start the ledger may not be here yet."""
    told = Told()
    follower = told.follower()
    told.registry.fails = Outside("no ledger was fetched yet")
    follower.look()
    assert follower._wait == AGAIN
    told.registry.fails = None
    follower.look()
    assert follower._wait == EVERY


def test_a_registry_that_does_not_answer_ends_nothing() -> None:
    told = Told()
    follower = told.follower()
    follower.look()
    told.registry.fails = Outside("the registry does not answer")
    follower.look()
    assert not told.ended
