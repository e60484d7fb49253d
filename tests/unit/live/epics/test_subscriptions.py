"""Which protocol a PV is read by, and servers that end a subscription, with stand-ins for the libraries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from epicscorelibs.ca import cadef
from p4p import Type, Value
from p4p.client.raw import Disconnected, RemoteError
from p4p.nt import NTScalar

from beampermit.contract.service import Serving
from beampermit.datasets.devices import Devices
from beampermit.live.epics import channel_access, pv_access, subscriptions
from beampermit.live.epics.addresses import Protocol
from beampermit.live.epics.feed import Feed, SnapshotReader
from beampermit.live.epics.living import _Ear
from beampermit.live.epics.pv_access import PvAccess
from beampermit.live.epics.sample import Sample, text
from beampermit.live.epics.subscriptions import PVA_FIRST, wanted
from beampermit.live.trigger import Trigger
from beampermit.live.wiring import Wiring
from support.epics import until

NO_READ_ACCESS = 46 << 3
"""ECA_NORDACCESS of libca."""


class Kept:
    """A reader that keeps what it is told."""

    fresh_for = 10.0
    words = False

    def __init__(self) -> None:
        self.told: list[Any] = []

    def take(self, sample: Sample) -> None:
        self.told.append(sample.value)

    def refuse(self, words: str) -> None:
        self.told.append(words)

    def lose(self) -> None:
        self.told.append("lost")

    def fail(self, words: str) -> None:
        self.told.append(words)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def feed(kept: Kept) -> Feed:
    return Feed("RING:CURRENT", ("pva", "ca"), [kept], lambda: None)


def at(value: float) -> Sample:
    return Sample(value, 1.8e9, 0, "")


def snapshot() -> Trigger:
    """Of rows that the PV SHOT makes."""
    return Trigger(Wiring(("",), (), (), Devices((), ((),))), Serving(snapshot="SHOT"))


def asked(feed: Feed, after: float = 0.0) -> list[Protocol]:
    """By which protocols the PV is asked for, so many s after it was silent or heard."""
    return [protocol for protocol in ("pva", "ca") if wanted(feed, protocol, feed.silent_since + after)]


def test_pva_is_asked_before_ca(feed: Feed) -> None:
    assert asked(feed) == ["pva"]
    assert asked(feed, PVA_FIRST) == ["pva"]
    assert asked(feed, PVA_FIRST + 0.01) == ["pva", "ca"]
    assert asked(Feed("A", ("ca",), feed.readers, lambda: None)) == ["ca"]


@pytest.mark.parametrize(("first", "second"), [("pva", "ca"), ("ca", "pva")])
def test_the_protocol_that_answers_first_is_read_until_it_is_disconnected(
    feed: Feed, kept: Kept, first: Protocol, second: Protocol
) -> None:
    feed.take(first, at(1.0))
    feed.take(second, at(2.0))
    feed.lose(second)
    assert kept.told == [1.0]
    assert asked(feed, 100.0) == [first]
    feed.lose(first)
    feed.take(second, at(3.0))
    assert kept.told == [1.0, "lost", 3.0]
    assert asked(feed, 100.0) == [second]


def test_a_pv_is_fresh_for_as_long_as_its_readers_say(feed: Feed) -> None:
    feed.take("pva", at(1.0))
    assert feed.fresh(feed.arrived + 9.9)
    assert not feed.fresh(feed.arrived + 10.0)


def test_the_snapshot_makes_rows_at_each_update_whatever_it_says() -> None:
    trigger = snapshot()
    snap, fired = trigger.snap, list[float]()
    trigger.snap = lambda at: (fired.append(at), snap(at))  # pyright: ignore[reportAttributeAccessIssue]
    shots = Feed("SHOT", ("pva",), [SnapshotReader(trigger, "SHOT")], lambda: None)
    assert trigger.lost == "SHOT has sent nothing yet"
    shots.take("pva", at(1.0))
    assert (trigger.lost, fired) == ("", [])
    shots.take("pva", at(2.0))
    assert len(fired) == 1
    shots.take("pva", at(2.0))  # read again, to see how old it is
    assert len(fired) == 1
    shots.take("pva", at(2.0)._replace(at=1.9e9))
    shots.take("pva", at(2.0)._replace(value=text("shot 12")))
    assert fired == [1.8e9, 1.9e9, 1.8e9]
    shots.refuse("pva", "no value that can be read")
    assert trigger.lost == "SHOT has no value that can be read"
    shots.take("pva", at(3.0))
    shots.lose("pva")
    shots.take("pva", at(3.0))
    assert (trigger.lost, len(fired)) == ("", 4)


def test_a_snapshot_whose_array_has_one_value_the_next_time_is_a_shot() -> None:
    trigger, fired = snapshot(), list[float]()
    reader = SnapshotReader(trigger, "SHOT")
    trigger.snap = fired.append  # pyright: ignore[reportAttributeAccessIssue]
    reader.take(at(1.0)._replace(value=np.array([1.0, 2.0])))
    reader.take(at(1.0))
    reader.take(at(1.0)._replace(value=np.array([1.0, 2.0])))
    assert fired == [1.8e9, 1.8e9]


class Scripted:
    """p4p's context: each subscription gives the next list of events, and says so before it is there."""

    def __init__(self, *events: list[Any]):
        self._events = list(events)
        self.closed = 0

    def monitor(self, _: str, handler: Callable[[], None], **__: Any) -> Any:
        self._now = self._events.pop(0)
        handler()
        return self

    def pop(self) -> Any:
        return self._now.pop(0) if self._now else None

    def close(self) -> None:
        self.closed += 1

    def disconnect(self, _: str) -> None: ...


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[PvAccess, Scripted]]:
    def made(*events: list[Any]) -> tuple[PvAccess, Scripted]:
        context = Scripted(*events)
        monkeypatch.setattr(pv_access, "Context", lambda *_, **__: context)
        return PvAccess(), context

    return made


def number(value: float) -> Value:
    return NTScalar("d").wrap(value, timestamp=1.8e9)


def test_what_came_before_the_subscription_was_there_is_read(feed: Feed, kept: Kept, scripted: Any) -> None:
    pva, _ = scripted([number(1.0), number(2.0)])
    pva.ask(feed)
    pva.ask(feed)
    assert kept.told == [1.0, 2.0]


def test_a_server_that_ends_the_subscription_is_asked_again(
    feed: Feed, kept: Kept, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pva, context = scripted([number(1.0), RemoteError("\x1bno")], [number(2.0)])
    pva.ask(feed)
    assert kept.told == [1.0, r"no subscription at its server ('\x1bno')"]
    pva.tend(feed)
    assert len(kept.told) == 2
    later = time.monotonic() + pv_access.AGAIN
    monkeypatch.setattr(pv_access.time, "monotonic", lambda: later + 1)
    pva.tend(feed)
    assert (kept.told[2:], context.closed) == ([2.0], 1)


def test_an_update_that_is_not_understood_does_not_leave_the_value_before(
    feed: Feed, kept: Kept, scripted: Any
) -> None:
    odd = Value(Type([("value", "d"), ("timeStamp", ("S", None, [("secondsPastEpoch", "s"), ("nanoseconds", "i")]))]))
    pva, _ = scripted([number(1.0), odd, Disconnected()])
    pva.ask(feed)
    assert kept.told == [1.0, "an update that is not understood", "lost"]


class Surprised(Kept):
    """It does not expect this value."""

    def take(self, sample: Sample) -> None:
        super().take(sample)
        if sample.value == 2.0:
            raise ValueError(sample.value)


def test_an_update_that_a_reader_does_not_expect_does_not_leave_the_value_before_it(
    scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Surprised()
    pva, _ = scripted([number(1.0), number(2.0), number(3.0)])
    pva.ask(Feed("RING:CURRENT", ("pva",), [kept], lambda: None))
    over_ca = Surprised()
    channel = SimpleNamespace(feed=Feed("RING:CURRENT", ("ca",), [over_ca], lambda: None), layout=None, reads=False)
    for value in (1.0, 2.0, 3.0):
        monkeypatch.setattr(channel_access, "_sample", lambda *_, value=value: at(value))
        channel_access.on_event(cadef.event_handler_args(channel, None, 20, 1, None, cadef.ECA_NORMAL))
    assert kept.told == over_ca.told == [1.0, 2.0, "an update that is not understood", 3.0]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (NO_READ_ACCESS, ["no value that can be read: Read access denied"]),
        (cadef.ECA_DISCONN, []),
        (cadef.ECA_NORMAL, ["an update that is not understood"]),
    ],
    ids=["no access", "disconnected", "not understood"],
)
def test_an_answer_of_ca_without_a_value_leaves_no_value(feed: Feed, kept: Kept, status: int, told: list[str]) -> None:
    channel = SimpleNamespace(feed=feed, layout=None, reads=True)
    channel_access.on_event(cadef.event_handler_args(channel, None, 20, 1, None, status))
    assert (kept.told, channel.reads) == (told, False)


class Client:
    """Stands for `PvAccess` and `ChannelAccess`; asking for a PV of `broken` fails, and others send one value."""

    def __init__(self, protocol: Protocol, broken: set[str]):
        self.protocol, self._broken = protocol, broken
        self.left: list[str] = []

    def ask(self, feed: Feed) -> None:
        if feed.name in self._broken:
            raise OSError("no sockets left")
        if not feed.answering:
            feed.take(self.protocol, at(2.0))

    def leave(self, feed: Feed) -> None:
        self.left.append(feed.name)

    def tend(self, feed: Feed) -> None: ...

    def read(self, feed: Feed) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


Reading = Callable[..., subscriptions.Subscriptions]


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    """PVs that are read by stand-ins for both protocols; what cannot be read is asked for anew at once."""
    opened: list[subscriptions.Subscriptions] = []
    monkeypatch.setattr(subscriptions, "AGAIN", 0.01)
    monkeypatch.setattr(subscriptions, "LOOK", 0.01)

    def made(*feeds: Feed, broken: set[str], starts: Callable[[], object] = lambda: None) -> Any:
        def pva() -> Client:
            starts()
            return Client("pva", broken)

        monkeypatch.setattr(subscriptions, "PvAccess", pva)
        monkeypatch.setattr(subscriptions, "ChannelAccess", lambda _: Client("ca", set()))
        opened.append(subscriptions.Subscriptions(feeds, subscriptions.threading.Event()))
        return opened[-1]

    yield made
    for one in opened:
        one.close()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


NO_VALUE = "no value: the service cannot read it (OSError)"


def test_where_nothing_can_be_read_pvs_have_no_value_with_the_reason_until_they_are_read_again(
    feed: Feed, kept: Kept, reading: Reading, caplog: pytest.LogCaptureFixture
) -> None:
    other, starts = Feed("RING:TUNE", ("pva",), [Kept()], lambda: None), list[int]()

    def fail_three_times() -> None:
        starts.append(1)
        if len(starts) <= 3:
            raise OSError("no sockets left")

    feed.take("pva", at(1.0))
    reading(feed, other, broken=set(), starts=fail_three_times)
    until(lambda: kept.told[-1] == 2.0)
    assert kept.told == [1.0, NO_VALUE, NO_VALUE, NO_VALUE, 2.0]
    assert said(caplog) == ["RING:CURRENT, and 1 more PVs, cannot be read"]


def test_one_pv_that_cannot_be_read_leaves_the_others_and_comes_back(
    feed: Feed, kept: Kept, reading: Reading, caplog: pytest.LogCaptureFixture
) -> None:
    good, broken = Kept(), {"RING:CURRENT"}
    feed.take("pva", at(1.0))
    reading(feed, Feed("RING:TUNE", ("pva",), [good], lambda: None), broken=broken)
    until(lambda: kept.told.count(NO_VALUE) > 2)
    assert good.told == [2.0]
    broken.clear()
    until(lambda: kept.told[-1] == 2.0)
    assert good.told == [2.0]
    assert said(caplog) == ["RING:CURRENT cannot be read"]


def test_the_service_that_cannot_read_a_snapshot_makes_no_rows_and_nobody_else_serves_it() -> None:
    trigger = snapshot()
    reader = SnapshotReader(trigger, "SHOT")
    reader.take(at(1.0))
    reader.fail(NO_VALUE)
    assert trigger.lost == f"SHOT has {NO_VALUE}"
    answered = set[str]()
    _Ear("SHOT", answered).fail(NO_VALUE)
    assert not answered
