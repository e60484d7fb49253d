"""A disk that fills up at any step: exit code 4, nothing lost, no wrong champion, and the next run finishes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from laboratory import Laboratory

pytestmark = pytest.mark.slow
Fill = Callable[..., int]


@pytest.fixture
def second(laboratory: Laboratory) -> Laboratory:
    """A laboratory whose first version is champion, and whose second is to be promoted."""
    laboratory.promote()
    laboratory.change(2)
    return laboratory


@pytest.mark.parametrize(
    "step", ["store the model", "register the version", "move challenger", "append to the ledger", "move champion"]
)
def test_a_promotion_on_a_full_disk(second: Laboratory, fill: Fill, step: str) -> None:
    signed = second.sign()
    assert fill(lambda watch: second.promote(watch, signed), step) == 4
    assert second.champion() == 1
    assert second.events()[:1] == [("promote", 1)]
    second.promote(signed=signed)
    assert second.events() == [("promote", 1), ("promote", 2)]
    assert second.statuses() == {1: "former", 2: "champion"}


@pytest.mark.parametrize("step", ["append to the ledger", "remove champion"])
def test_a_retirement_on_a_full_disk(second: Laboratory, fill: Fill, step: str) -> None:
    assert fill(second.retire, step) == 4
    second.retire()
    assert second.events() == [("promote", 1), ("retire", 1)]
    assert second.champion() is None
