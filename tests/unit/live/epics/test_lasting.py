"""What Python knows of the threads that bring samples, over real PVs."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from beampermit.live.epics import channel_access
from beampermit.live.epics.addresses import Protocol, parse_address
from beampermit.live.epics.feed import Feed
from beampermit.live.epics.lasting import keep_state
from beampermit.live.epics.sample import Sample
from beampermit.live.epics.subscriptions import Subscriptions
from support.epics import Network, soft_ioc, until

PV = {"LASTS": 0.0}


class Marking:
    """A reader that counts what each thread brings, in a value of the thread's own."""

    fresh_for = float("inf")
    words = False

    def __init__(self) -> None:
        self._own = threading.local()
        self.value: object = None
        self.counts: list[int] = []

    def take(self, sample: Sample) -> None:
        self._own.count = getattr(self._own, "count", 0) + 1
        self.counts.append(self._own.count)
        self.value = sample.value

    def refuse(self, words: str) -> None:
        raise AssertionError(words)

    def lose(self) -> None:
        self.value = None

    def fail(self, words: str) -> None:
        raise AssertionError(words)


@contextmanager
def subscribed(protocol: Protocol) -> Iterator[Marking]:
    reader, changed = Marking(), threading.Event()
    address = parse_address(f"{protocol}://LASTS")
    subscriptions = Subscriptions([Feed(address.name, address.protocols, [reader], changed.set)], changed)
    try:
        yield reader
    finally:
        subscriptions.close()


def in_a_thread_of_c(function: Callable[[], object]) -> None:
    """As each connection of libca has one."""
    library, thread = ctypes.CDLL(None), ctypes.c_ulong()
    body = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: function())
    library.pthread_create(ctypes.byref(thread), None, body, None)
    library.pthread_join(thread, None)


def states() -> int:
    """Threads that Python has a state of."""
    api = ctypes.pythonapi
    api.PyInterpreterState_Get.restype = ctypes.c_void_p
    count, one = 0, _next_to(api.PyInterpreterState_ThreadHead, api.PyInterpreterState_Get())
    while one:
        count, one = count + 1, _next_to(api.PyThreadState_Next, one)
    return count


def _next_to(step: ctypes._NamedFuncPointer, one: int) -> int | None:
    step.restype, step.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    return step(one)


@pytest.mark.parametrize("protocol", ["pva", "ca"])
def test_the_thread_that_brings_samples_is_the_same_to_python_each_time(epics: Network, protocol: Protocol) -> None:
    with soft_ioc(epics, PV) as ioc, subscribed(protocol) as reader:
        until(lambda: reader.value == 0.0)
        first = reader.counts[-1]
        for value in (1.0, 2.0, 3.0):
            ioc.set("LASTS", value)
            until(lambda value=value: reader.value == value)
    assert reader.counts[-3:] == [first + 1, first + 2, first + 3]


def test_over_ca_no_more_threads_keep_one_than_may(epics: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_access, "KEPT", threading.Semaphore(0))
    with soft_ioc(epics, PV) as ioc, subscribed("ca") as reader:
        until(lambda: reader.value == 0.0)
        ioc.set("LASTS", 1.0)
        until(lambda: reader.value == 1.0)
    assert set(reader.counts) == {1}


def test_a_server_that_comes_and_goes_leaves_nothing_over_pva(epics: Network) -> None:
    with soft_ioc(epics, PV) as ioc, subscribed("pva") as reader:
        until(lambda: reader.value == 0.0)
        before = states()
        ioc.kill()
        until(lambda: reader.value is None)
        ioc.start(PV)
        until(lambda: reader.value == 0.0)
        until(lambda: states() <= before)


def test_connections_without_end_keep_a_bounded_number_of_states() -> None:
    left, before = threading.Semaphore(2), states()
    for _ in range(4):
        in_a_thread_of_c(lambda: keep_state(left))
    assert states() - before == 2
