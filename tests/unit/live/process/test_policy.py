"""When a process is started again, and when it has too much memory."""

from __future__ import annotations

from itertools import accumulate, repeat

import pytest

from beampermit.live.process.policy import GOOD, MIB, next_wait, too_much_memory


def test_waits_double_up_to_a_minute() -> None:
    waits = list(accumulate(repeat(0.0, 9), next_wait))[1:]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert next_wait(60.0, 0.0) == 60.0


def test_failures_before_a_process_that_was_ready_for_a_minute_are_forgotten() -> None:
    assert next_wait(8.0, GOOD - 0.1) == 16.0
    assert next_wait(8.0, GOOD) == 0.5


@pytest.mark.parametrize(
    ("settled", "budget", "whose"),
    [(100, 400, "budget.memory"), (400, 100, "what it had after its first answers")],
)
def test_a_process_is_too_large_above_twice_its_budget_and_what_it_had(settled: int, budget: int, whose: str) -> None:
    assert not too_much_memory(800 * MIB, settled * MIB, budget)
    assert too_much_memory(801 * MIB, settled * MIB, budget) == (
        f"its process has 801 MiB in memory, more than twice {whose}, 800 MiB"
    )


def test_a_larger_budget_in_the_contract_allows_more() -> None:
    assert too_much_memory(900 * MIB, 0, 400)
    assert not too_much_memory(900 * MIB, 0, 450)
