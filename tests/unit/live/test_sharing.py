"""The loop goes first, and waits for one answer of somebody else at most."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import numpy as np
import pytest

from beampermit.live.loop import ModelError
from beampermit.live.sharing import Busy, Gone, Paused, SharedModel

ROW = {"turns": np.zeros((1, 3))}
SOON = 20.0
"""Seconds that a thread of a test has."""


def ask_as_the_loop(shared: SharedModel) -> None:
    with shared.taken() as model:
        model.ask(ROW)


class Slow:
    """A model that answers when it is let; `order` has who asked."""

    restarts = 2

    def __init__(self) -> None:
        self.order: list[int] = []
        self.asked, self.answers = threading.Semaphore(0), threading.Semaphore(0)
        self.together = 0

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert self.together == 0, "two threads ask the model at once"
        self.together += 1
        self.order.append(len(inputs["turns"]))
        self.asked.release()
        self.answers.acquire(timeout=SOON)
        self.together -= 1
        return {}


def test_the_loop_goes_before_others_that_wait_longer() -> None:
    model = Slow()
    shared = SharedModel(model)
    until = time.monotonic() + SOON
    others = [
        threading.Thread(target=shared.ask_after_the_loop, args=({"turns": np.zeros((rows, 3))}, until))
        for rows in (2, 3)
    ]
    others[0].start()
    model.asked.acquire(timeout=SOON)
    others[1].start()
    loop = threading.Thread(target=ask_as_the_loop, args=(shared,))
    loop.start()
    while not shared._loop_waits:
        time.sleep(0.001)
    for _ in range(3):
        model.answers.release()
    for thread in (*others, loop):
        thread.join(SOON)
    assert model.order == [2, 1, 3]


def test_nobody_else_begins_while_the_loop_waits() -> None:
    model = Slow()
    shared = SharedModel(model)
    shared._loop_waits = True
    with pytest.raises(Busy):
        shared.ask_after_the_loop(ROW, time.monotonic() + 0.01)
    assert model.order == []


def test_others_give_up_where_the_model_has_no_time() -> None:
    model = Slow()
    shared = SharedModel(model)
    loop = threading.Thread(target=ask_as_the_loop, args=(shared,))
    loop.start()
    model.asked.acquire(timeout=SOON)
    with pytest.raises(Busy):
        shared.ask_after_the_loop(ROW, time.monotonic() + 0.01)
    model.answers.release()
    loop.join(SOON)
    assert model.order == [1]


def test_others_that_come_too_late_do_not_ask_a_model_that_is_free() -> None:
    model = Slow()
    with pytest.raises(Busy):
        SharedModel(model).ask_after_the_loop(ROW, time.monotonic())
    assert model.order == []


def test_a_model_that_fails_is_free_for_the_next_question() -> None:
    class Failing:
        restarts = 0

        def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            raise ModelError("no")

    shared = SharedModel(Failing())
    for _ in range(2):
        with pytest.raises(ModelError):
            ask_as_the_loop(shared)
        with pytest.raises(ModelError):
            shared.ask_after_the_loop(ROW, time.monotonic() + SOON)


class Costly:
    """Each question costs its process."""

    restarts = 0
    recovers_in = 60.0
    asked = 0

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.asked += 1
        raise Gone("the model's process ended")


def test_after_a_question_that_costs_the_process_others_wait_and_the_loop_does_not() -> None:
    model = Costly()
    shared, until = SharedModel(model), time.monotonic() + SOON
    with pytest.raises(Gone):
        shared.ask_after_the_loop(ROW, until)
    with pytest.raises(Paused) as paused:
        shared.ask_after_the_loop(ROW, until)
    assert (str(paused.value), paused.value.left) == (
        "the model answers no questions until it has recovered from one before: the model's process ended",
        60.0,
    )
    with pytest.raises(Gone):
        ask_as_the_loop(shared)
    assert model.asked == 2
    model.recovers_in = 0.0
    with pytest.raises(Gone):
        shared.ask_after_the_loop(ROW, until)


def test_what_the_loop_itself_costs_stops_no_others() -> None:
    model = Costly()
    shared, until = SharedModel(model), time.monotonic() + SOON
    with pytest.raises(Gone):
        ask_as_the_loop(shared)
    assert shared.pause() == 0.0
    with pytest.raises(Gone):
        shared.ask_after_the_loop(ROW, until)
    model.recovers_in = 0.0  # it has recovered, before the loop costs the next process
    with pytest.raises(Gone):
        ask_as_the_loop(shared)
    model.recovers_in = 60.0
    assert shared.pause() == 0.0
