"""A service that has nothing to show says that it waits, so that nobody takes it for one that does not start."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from support.promoted_project import Followed

pytestmark = pytest.mark.slow


def never_promoted(followed: Followed) -> None:
    shutil.rmtree(ledger := followed.lab.root.parent / "origin.git")
    followed.lab.git("init", "--quiet", "--bare", str(ledger))


def key_taken_out(followed: Followed) -> None:
    followed.lab.trust(followed.lab.new_key("new")[1])


def retired(followed: Followed) -> None:
    """Its last PVs cannot be shown either."""
    followed.write("retire")
    key_taken_out(followed)


@pytest.mark.parametrize("happened", [never_promoted, Followed.lose_the_network, key_taken_out, retired])
def test_it_waits_where_the_ledger_has_nothing_that_could_be_shown(
    followed: Followed, happened: Callable[[Followed], None]
) -> None:
    happened(followed)
    assert not followed.follower.waits, "nobody has looked yet"
    assert followed.look().refused
    assert followed.declared == followed.champions == []
    assert followed.follower.waits


def test_it_does_not_wait_while_a_version_is_prepared_and_once_it_is_shown(followed: Followed) -> None:
    followed.have_the_model()
    followed.follower.look()
    assert not followed.follower.waits
    assert followed.look().refused == ""
    assert not followed.follower.waits


def test_it_does_not_wait_where_outputs_are_shown_that_say_why_they_have_no_value(followed: Followed) -> None:
    followed.write("retire")
    assert followed.look().retired
    assert (len(followed.declared), followed.champions) == (1, [])
    assert not followed.follower.waits
