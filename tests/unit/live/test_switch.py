"""A new version runs beside the one in service, and takes over between two updates once it answered often enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from beampermit.live.loop import NotLoaded, Standing
from beampermit.live.shadow import LONGEST, Shadow
from beampermit.live.switch import Channel, Switch
from beampermit.live.update import Update
from support.served import Serve, Served


@dataclass
class Kept:
    """A sink that keeps what it is given."""

    updates: list[Update] = field(default_factory=list)

    def publish(self, update: Update) -> None:
        self.updates.append(update)

    def close(self) -> None:
        pass


@dataclass
class Two:
    """Version 3 in service and version 4 beside it, on the same inputs."""

    old: Served
    new: Served
    switch: Switch
    kept: Kept
    taken_over: list[bool]
    channels: tuple[Channel, Channel]
    shown: list[int]

    def cycle(self, after: float = 0.1, old: bool = True) -> None:
        for served, channel in ((self.old, self.channels[0]), (self.new, self.channels[1])):
            served.at += after
            served.put([after, served.at % 7, 3.0])
            served.current()
            if old or served is self.new:
                channel.publish(served.cycle())


Make = Callable[..., Two]


@pytest.fixture
def two(serve: Serve) -> Make:
    def made(needed: int = 3) -> Two:
        old, new = serve(Standing(3, "sha256:old")), serve(Standing(4, "sha256:new"))
        kept, taken, shown = Kept(), list[bool](), list[int]()
        switch = Switch([kept], shown.append)
        channels = switch.channel(), switch.channel()
        for channel, loop in zip(channels, (old.loop, new.loop), strict=True):
            channel.shown, channel.go_on_from = loop.shown, loop.go_on_from
        switch.begin(channels[0])
        both = Two(old, new, switch, kept, taken, channels, shown)
        switch.beside(channels[1], Shadow(4, needed), lambda: taken.append(True), lambda: None)
        return both

    return made


def test_the_new_version_takes_over_after_the_cycles_of_the_contract(two: Make) -> None:
    both = two(needed=3)
    for _ in range(4):
        both.cycle()
    versions = [update.health.version for update in both.kept.updates]
    assert versions == [3, 3, 3, 4, 4]
    assert both.shown == [3, 4]
    assert both.taken_over == [True]
    first = both.kept.updates[3]
    assert first.values.keys() == both.new.loop.shown().keys()
    assert first.health.permit == "sha256:new"


def test_no_time_of_a_pv_falls_back_where_a_version_takes_over(two: Make) -> None:
    """An archiver keeps nothing as old as what it has; and both answer the same inputs."""
    both = two(needed=2)
    both.cycle()
    both.old.put(device="B1", age=-5.0)  # by a clock that is ahead
    both.channels[0].publish(both.old.cycle())
    both.cycle()
    both.cycle()
    both.new.disconnect("B1")
    both.channels[1].publish(both.new.cycle())
    updates = both.kept.updates
    assert [update.health.version for update in updates] == [3, 3, 3, 4, 4, 4]
    for pv, value in both.new.loop.shown().items():
        times = [update.values[pv].time for update in updates if pv in update.values]
        assert times == sorted(set(times))
        assert value.time == times[-1], "as HTTP shows it"
        assert (times[-1] > both.new.at) == pv.startswith("B1")
    assert updates[-1].values["B1:FAULT"].origin == "none"


def test_what_a_version_has_no_value_of_is_shown_from_its_switch_on(two: Make) -> None:
    both = two(needed=9)
    both.new.cycle()
    since = both.new.shown("B2:FAULT").time
    both.old.put()
    both.old.current()
    both.channels[0].publish(both.old.cycle(after=0.1))
    both.switch.begin(both.channels[1])
    both.channels[1].publish(both.new.cycle(after=1.0))
    value = both.kept.updates[-1].values["B2:FAULT"]
    assert (value.origin, value.time) == ("none", both.new.at)
    assert value.time > since


def test_the_heartbeat_goes_on_through_a_switch(two: Make) -> None:
    both = two(needed=2)
    for _ in range(4):
        both.cycle()
    beats = [update.health.cycles for update in both.kept.updates]
    assert beats == sorted(set(beats))


def test_whoever_publishes_hears_what_was_shown_of_it(two: Make) -> None:
    """The prediction log has the first update of a version as clients saw it: with all values, and not as beside."""
    both = two(needed=2)
    both.cycle()
    for served, channel, shown in ((both.old, 0, 6), (both.new, 1, 6)):
        served.at += 0.1
        served.put([1.0, 2.0, 3.0], device="B1")
        told = both.channels[channel].publish(served.cycle())
        if channel == 0:
            assert told is not None
            assert told.keys() == {"B1:FAULT", "B1:ORBIT"}
        else:
            assert both.taken_over
            assert told == served.loop.shown()
            assert len(told) == shown
    assert both.channels[0].publish(both.old.cycle()) is None


def test_what_is_dropped_counts_from_the_start_of_the_service_on_and_only_once(two: Make) -> None:
    """What the new version dropped beside the old one, on the same inputs, was dropped by nobody's fault."""
    both = two(needed=2)
    both.cycle()
    both.old.put()
    both.old.put()
    both.new.put()
    both.new.put()
    for _ in range(3):
        both.cycle()
    assert both.taken_over
    dropped = [update.health.dropped for update in both.kept.updates]
    assert dropped == sorted(dropped)
    assert dropped[-1] == 6
    both.new.model.restarts = 2
    both.new.put()
    both.cycle()
    assert (both.kept.updates[-1].health.dropped, both.kept.updates[-1].health.restarts) == (9, 2)


def test_what_else_there_is_to_say_stands_where_nothing_is_wrong(two: Make) -> None:
    both = two(needed=9)
    both.switch._remark = lambda: "the prediction log cannot be written: no space left on device"
    both.cycle()
    health = both.kept.updates[-1].health
    assert (health.status, health.reason) == ("SERVING", both.switch._remark())
    both.old.disconnect("B2")
    both.old.cycle()
    both.channels[0].publish(both.old.updates[-1])
    assert both.kept.updates[-1].health.reason == "B2:TBT is disconnected (2 of 6 outputs)"


def test_a_version_that_fails_never_takes_over_and_says_why(two: Make) -> None:
    both = two(needed=2)
    both.cycle()
    both.new.model.fails = "the model raised ValueError: no"
    for _ in range(5):
        both.cycle()
    assert {update.health.version for update in both.kept.updates} == {3}
    words = both.kept.updates[-1].health.shadow
    assert words.startswith("version 4: 0 of 2 cycles")
    assert "the model raised ValueError: no" in words


def test_how_far_the_new_version_is_away_is_published(two: Make) -> None:
    both = two(needed=9)
    both.new.model.gives = lambda answers: {**answers, "score": answers["score"] + 0.25}
    for _ in range(3):
        both.cycle()
    words = both.kept.updates[-1].health.shadow
    assert words == "version 4: 2 of 9 cycles, furthest B1:FAULT by 0.25"


def test_where_rows_are_rare_one_answer_is_enough_after_five_minutes(
    two: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = two(needed=1000)
    both.cycle()
    assert not both.taken_over
    shadow = both.channels[1].shadow
    assert shadow
    shadow.began -= LONGEST + 1
    both.cycle()
    assert both.taken_over


def test_where_nothing_valid_is_shown_the_first_answer_takes_over(two: Make) -> None:
    both = two(needed=1000)
    both.old.model.fails = "the model raised ValueError: no"
    both.cycle()
    assert both.taken_over
    assert both.kept.updates[-1].health.version == 4


def test_where_the_old_version_has_only_not_answered_yet_the_new_one_still_needs_its_cycles(
    two: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart both are loaded at once."""

    def load(_: object) -> None:
        raise NotLoaded("the model is being loaded")

    both = two(needed=3)
    monkeypatch.setattr(both.old.model, "ask", load)
    both.cycle()
    both.cycle()
    assert not both.taken_over
    both.cycle()
    assert both.taken_over


def test_a_challenger_never_takes_over(two: Make, serve: Serve) -> None:
    both = two(needed=1)
    both.switch.beside(both.channels[1], Shadow(4, None), None, lambda: None)
    for _ in range(5):
        both.cycle()
    assert {update.health.version for update in both.kept.updates} == {3}


@pytest.mark.parametrize("devices", [3, 2])
def test_a_version_whose_answers_cannot_be_true_never_takes_over(two: Make, devices: int) -> None:
    both = two(needed=2)
    both.new.model.gives = lambda answers: {**answers, "score": np.where(np.arange(3) < devices, np.nan, 1.0)}
    for _ in range(5):
        both.cycle()
    assert {update.health.version for update in both.kept.updates} == {3}
    words = both.kept.updates[-1].health.shadow
    assert words.startswith("version 4: 0 of 2 cycles")
    assert words.endswith("the model gave NaN for score")
    assert f"{devices} without a value" in words


def test_a_version_that_answers_for_some_devices_alone_does_not_take_the_values_of_the_others(two: Make) -> None:
    both = two(needed=2)

    def cycle(there: bool) -> None:
        for served, channel in zip((both.old, both.new), both.channels, strict=True):
            served.at += 0.1
            served.put()
            served.current()
            if served is both.new and not there:
                served.disconnect("B2")
            channel.publish(served.cycle())

    for _ in range(5):
        cycle(there=False)
    shadow = both.channels[1].shadow
    assert shadow
    assert shadow.cycles == 5
    assert "2 without a value" in both.kept.updates[-1].health.shadow
    shadow.began -= LONGEST + 1
    cycle(there=False)
    assert {update.health.version for update in both.kept.updates} == {3}
    cycle(there=True)
    assert both.taken_over
    assert both.kept.updates[-1].health.version == 4


def test_limits_and_units_of_a_version_are_there_before_its_first_number(two: Make) -> None:
    both = two(needed=2)
    shown_before: list[int] = []
    both.channels[1].adopt = lambda: shown_before.append(both.kept.updates[-1].health.version)
    for _ in range(3):
        both.cycle()
    assert shown_before == [3]


def test_a_switch_is_told_though_a_sink_fails_at_its_first_update(two: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    both = two(needed=2)

    def fail(update: Update) -> None:
        if update.health.version == 4:
            raise OSError("the disk is gone")

    monkeypatch.setattr(both.kept, "publish", fail)
    both.cycle()
    with pytest.raises(OSError, match="the disk is gone"):
        both.cycle()
    assert both.taken_over == [True]
