"""What goes through the channel comes out the same, and nothing else is believed."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from beampermit.live.process.frames import HEAD, LONGEST, Broken, Channel, TooLarge, shared_memory


@dataclass
class Pair:
    server: Channel
    worker: Channel
    raw: socket.socket
    """The worker's end, without its manners."""

    def sent(self, header: bytes, number: int = 1) -> None:
        self.raw.sendall(HEAD.pack(number, len(header)) + header)


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    memory = shared_memory()
    yield Pair(Channel(ours, memory, server=True), Channel(theirs, memory, server=False), theirs)
    for end in (ours, theirs):
        end.close()
    os.close(memory)


def soon() -> float:
    return time.monotonic() + 0.1


def test_arrays_come_out_as_they_went_in(pair: Pair) -> None:
    arrays = {
        "image": np.arange(24.0).reshape(2, 3, 4).transpose(0, 2, 1),
        "count": np.array([1, 2]),
        "flag": np.array([True, False]),
        "nothing": np.zeros((0, 3)),
    }
    pair.server.send("ask", 1, arrays=arrays)
    number, message = pair.worker.receive()
    assert (number, message.kind) == (1, "ask")
    assert message.arrays.keys() == arrays.keys()
    for name, values in message.arrays.items():
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, arrays[name])


def test_what_arrived_is_not_changed_by_the_next_message(pair: Pair) -> None:
    pair.worker.send("answer", 1, arrays={"score": np.ones(3)})
    _, first = pair.server.receive()
    pair.worker.send("answer", 2, arrays={"score": np.zeros(3)})
    pair.server.receive()
    assert first.arrays["score"].tolist() == [1.0, 1.0, 1.0]


def test_both_directions_have_memory_of_their_own(pair: Pair) -> None:
    pair.server.send("ask", 1, arrays={"turns": np.ones(3)})
    pair.worker.send("answer", 1, arrays={"score": np.zeros(3)})
    assert pair.worker.receive()[1].arrays["turns"].tolist() == [1.0, 1.0, 1.0]


def test_the_shared_memory_cannot_be_made_smaller() -> None:
    memory = shared_memory()
    with pytest.raises(PermissionError):
        os.ftruncate(memory, 0)
    os.close(memory)


def header(shape: Any, name: Any = "score", kind: str = "answer") -> bytes:
    return json.dumps([kind, [[name, shape]], ""]).encode()


HEADERS = {
    "no JSON": (b"\xff\xfe", "a header that cannot be read"),
    "too deep": (b"[" * 100_000, "a header that cannot be read"),
    "a number of many digits": (b"1" * 10_000, "a header that cannot be read"),
    "two fields": (b'["answer", []]', "a header that cannot be read"),
    "unknown kind": (header([1], kind="pickle"), "something else than a message's"),
    "negative length": (header([-1]), "something else than a message's"),
    "length that is true": (header([True]), "something else than a message's"),
    "length that is a text": (header(["8"]), "something else than a message's"),
    "length of 1e30": (header([10**30]), "something else than a message's"),
    "many dimensions": (header([1] * 17), "something else than a message's"),
    "nothing, in a shape that numpy refuses": (header([0, *[2**28] * 4]), "something else than a message's"),
    "name that is a list": (header([1], name=["score"]), "something else than a message's"),
    "one name twice": (b'["answer", [["a", [1]], ["a", [1]]], ""]', "two arrays of one name"),
    "more than was waited for": (header([5]), "5 numbers, and 4 are the most that was waited for"),
    "product of many lengths": (header([2**20, 2**20]), "1099511627776 numbers, and 4 are the most"),
}


@pytest.mark.parametrize("defect", HEADERS)
def test_a_header_that_lies_is_refused_before_anything_is_made_of_it(pair: Pair, defect: str) -> None:
    sent, said = HEADERS[defect]
    pair.sent(sent)
    with pytest.raises(Broken, match=said):
        pair.server.receive(1, most=4)


def test_as_many_numbers_as_were_waited_for_are_taken(pair: Pair) -> None:
    pair.sent(header([4]))
    assert pair.server.receive(1, most=4)[1].arrays["score"].shape == (4,)


def test_the_length_of_a_header_is_looked_at_before_it_is_read(pair: Pair) -> None:
    pair.raw.sendall(HEAD.pack(1, LONGEST + 1))
    with pytest.raises(Broken, match=f"a header of {LONGEST + 1} bytes"):
        pair.server.receive(1)


def test_an_answer_to_another_question_is_refused(pair: Pair) -> None:
    pair.worker.send("answer", 1, arrays={"score": np.ones(1)})
    with pytest.raises(Broken, match="message 1 instead of 2"):
        pair.server.receive(2)


def test_what_does_not_fit_is_not_sent(pair: Pair) -> None:
    huge = np.broadcast_to(np.zeros(1), (2**29,))
    with pytest.raises(TooLarge, match="4096 MiB in 1 arrays"):
        pair.server.send("ask", 1, arrays={"turns": huge})
    with pytest.raises(TooLarge):
        pair.worker.send("raised", 1, text="x" * LONGEST)


def test_nobody_waits_longer_than_until_the_time_that_is_given(pair: Pair) -> None:
    with pytest.raises(TimeoutError):
        pair.server.receive(1, until=soon())
    pair.raw.sendall(b"\x01")  # a part of a message does not begin the time again
    with pytest.raises(TimeoutError):
        pair.server.receive(1, until=soon())
    with pytest.raises(TimeoutError):
        pair.server.send("ask", 1, until=time.monotonic() - 1)


def test_the_end_of_the_other_side_is_seen(pair: Pair) -> None:
    pair.raw.close()
    with pytest.raises(EOFError):
        pair.server.receive(1)
