"""Truth that is filled in behind newer truth is seen by the number of rows of each window."""

from __future__ import annotations

import numpy as np
import pytest

from beampermit.contract.service import Monitoring
from beampermit.monitoring.filled_in import FilledIn, Seen, filled_in
from beampermit.monitoring.quality import MOST_WINDOWS, Truth
from beampermit.monitoring.trip_rules import RuleState, TripRules
from beampermit.verdicts.monitoring import Reading, Window

RULE = Monitoring(window=100.0, every=100.0, truth_after=1000.0, raise_after=2, of=3, clear_after=2)
NOW = 2000.0


def look(
    *times: float, before: Seen | None = None, until: float = NOW, version: int = 3, judged: float = NOW
) -> FilledIn:
    at = np.sort(np.array(times))
    truth = Truth(at, np.full(len(at), "B1"), {"score": np.zeros((len(at), 1))})
    found = filled_in(truth, before, version, RULE, until, judged)
    assert found
    return found


def rows(start: float, number: int = 20) -> list[float]:
    return [start + 2.0 * place for place in range(1, number + 1)]


def test_a_window_that_has_got_enough_rows_is_judged_again_once() -> None:
    first = look(*rows(1100), *rows(1500))
    assert (first.ends, first.note()) == ((), "")
    few = look(*rows(1100), *rows(1300, 19), *rows(1500), before=first.seen)
    assert (few.ends, few.few) == ((), 19)
    assert few.note() == "19 rows filled in behind newer truth wait for more of their window"
    assert few.note("score").startswith("19 rows of score filled in")
    # Those that waited count with what comes after them; so does what comes in the window of the newest truth.
    known = [*rows(1100), *rows(1300), *rows(1500)]
    more = look(*known, *rows(1500.5, 10), before=few.seen)
    assert (more.ends, more.few) == ((1400.0,), 10)
    assert look(*known, *rows(1500.5, 10), before=more.seen).ends == ()
    assert look(*known, *rows(1500.5, 19), 1503.2, before=more.seen).ends == (1540.0,)


def test_newer_truth_is_not_filled_in() -> None:
    first = look(*rows(1100), *rows(1500))
    assert look(*rows(1100), *rows(1500), *rows(1560), *rows(1900), before=first.seen).ends == ()


def test_what_is_older_than_truth_may_be_does_not_count_and_is_said() -> None:
    first = look(*rows(1500))
    late = look(*rows(300), *rows(850), *rows(1000), *rows(1500), before=first.seen)
    assert (late.ends, late.seen.too_late) == ((1100.0,), 40)
    assert (
        late.note() == "40 rows filled in behind newer truth came later than monitoring.truth_after and did not count"
    )
    # Time goes by: what came in time is not called late, and what waited too long is.
    few = look(*rows(1100, 3), *rows(1500), before=first.seen)
    after = look(*rows(1100, 3), *rows(1500), before=few.seen, until=NOW + 300)
    assert (after.ends, after.few, after.seen.too_late) == ((), 0, 3)
    gone = look(*rows(1000), *rows(1500), before=late.seen, until=NOW + 900)
    assert gone.seen.too_late == late.seen.too_late
    assert look(*rows(1000), *rows(1500), before=gone.seen, until=NOW + 900).seen == gone.seen


def test_what_came_too_late_is_counted_once() -> None:
    """Also in the window of the newest truth, which is older than truth may be."""
    first = look(*rows(1500), until=2700.0)
    late = look(*rows(1500), 1511.0, 1513.0, 1515.0, before=first.seen, until=2700.0)
    assert (late.ends, late.seen.too_late) == ((), 3)
    assert look(*rows(1500), 1511.0, 1513.0, 1515.0, before=late.seen, until=2700.0) == late


def test_what_is_yet_to_be_judged_with_newer_truth_is_not_filled_in() -> None:
    """The windows had too few rows: when they have more, they are judged as those after the last one that had not."""
    first = look(*rows(1100), *rows(1300, 3), *rows(1500, 3), judged=1140.0)
    more = look(*rows(1100), *rows(1300, 30), *rows(1500, 3), before=first.seen, judged=1140.0)
    assert (more.ends, more.note()) == ((), "")
    known = [*rows(1100), *rows(1300, 30), *rows(1500)]
    assert look(*known, before=more.seen, judged=1506.0).ends == ()
    assert look(*known, *rows(1300.5), before=more.seen, judged=1506.0).ends == (1400.0,)
    # Before the last one that was judged, as ever.
    assert look(*known, *rows(1000), before=more.seen, judged=1140.0).ends == (1100.0,)


def test_a_table_that_is_read_while_it_is_written_fills_in_nothing() -> None:
    """What is missing for a while was judged; only what comes beyond that is filled in."""
    all_rows = (*rows(300), *rows(1100), *rows(1300), *rows(1500))
    first = look(*all_rows)
    less = look(*rows(1300), *rows(1500), before=first.seen)
    assert (less.ends, less.note()) == ((), "")
    assert look(*all_rows, before=less.seen) == first
    more = look(*all_rows, *rows(1100.5), before=less.seen)
    assert (more.ends, more.note()) == ((1200.0,), "")
    assert look(*rows(1100), *rows(1200), before=first.seen, until=1400.0) == FilledIn(first.seen)
    # While it is so, time may go by.
    later = look(*rows(1500), before=first.seen, until=NOW + 300)
    assert look(*all_rows, before=later.seen, until=NOW + 300).note() == ""


def test_of_a_table_that_rolls_on_what_comes_too_late_is_seen() -> None:
    first = look(*rows(300), *rows(1500))
    rolled = look(*rows(1500), before=first.seen)
    assert look(*rows(400, 5), *rows(1500), before=rolled.seen).seen.too_late == 5


def test_what_was_counted_by_other_windows_begins_anew() -> None:
    first = look(*rows(1100), *rows(1500)).seen
    other = first.model_copy(update={"rows": (*first.rows, 3)})
    assert look(*rows(1100), *rows(1500), before=other).seen == first


@pytest.mark.parametrize(("after", "ends"), [(0.0, 1100.0), (1.0, 1100.0), (1.5, 1200.0), (-0.5, 1100.0)])
def test_truth_at_the_end_of_a_window_is_of_that_window(after: float, ends: float) -> None:
    """As that of whole hours is: a row up to `truth_within`, 1 s, later is compared in that window too."""
    first = look(1900.0)
    assert look(*[1100.0 + after] * 20, 1900.0, before=first.seen).ends == (ends,)
    # The window of the newest truth ends there.
    assert first.seen.since + 100.0 * len(first.seen.rows) == 1900.0


def test_another_version_begins_anew() -> None:
    first = look(*rows(1500))
    assert look(*rows(1100), *rows(1500), before=first.seen, version=4).ends == ()


def test_of_a_long_bound_the_newest_windows_are_counted() -> None:
    rule = RULE.model_copy(update={"truth_after": 1e9})
    truth = Truth(np.array([1e8, 1e9]), np.full(2, "B1"), {"score": np.zeros((2, 1))})
    found = filled_in(truth, None, 3, rule, 1e9 + 1, 1e9)
    assert found
    assert (len(found.seen.rows), found.seen.before) == (MOST_WINDOWS + 1, 1)


def reading(value: float, newest: float) -> Reading:
    return Reading(check="MON007", subject="score", value=value, limit=1.0, newest=newest)


@pytest.mark.parametrize(("values", "level"), [((5.0, 5.0), "MAJOR"), ((5.0, 0.0, 0.0, 5.0), "NO_ALARM")])
def test_older_windows_raise_by_the_rule_among_themselves(values: tuple[float, ...], level: str) -> None:
    """One bad window before, and one among those that are filled in, are not two that follow each other."""
    rules, state = TripRules("m", RULE), RuleState()
    for number, value in enumerate((0.0, 5.0, 0.0)):
        at = 1000.0 + 100 * number
        window = Window(since=at - 100, until=at, rows=20, version=3)
        state = rules.judge(state, [reading(value, at)], window).state
    (before,) = state.judged
    late = [reading(value, 300.0 + 100 * number) for number, value in enumerate(values)]
    window = Window(since=1200.0, until=1300.0, rows=20, version=3)
    outcome = rules.judge(state, [reading(0.0, 1200.0)], window, late)
    (after,) = outcome.state.judged
    assert after.level == level
    assert after.reading.newest == 1200.0
    assert [trip.standing.since for trip in outcome.trips] == ([400.0] if level == "MAJOR" else [])
    assert [latch.beyond for latch in after.latches] == [latch.beyond for latch in before.latches] or level == "MAJOR"


def test_older_windows_that_are_good_clear_nothing() -> None:
    rules, state = TripRules("m", RULE), RuleState()
    for at in (1000.0, 1100.0):
        window = Window(since=at - 100, until=at, rows=20, version=3)
        state = rules.judge(state, [reading(5.0, at)], window).state
    late = [reading(0.0, 300.0 + 100 * number) for number in range(9)]
    window = Window(since=1100.0, until=1200.0, rows=20, version=3)
    outcome = rules.judge(state, [reading(5.0, 1100.0)], window, late)
    assert outcome.state.judged == tuple(
        one.model_copy(update={"reading": outcome.state.judged[0].reading}) for one in state.judged
    )
    assert outcome.trips == ()


@pytest.mark.parametrize(
    ("late", "over"),
    [
        ((100.0, 200.0), True),
        ((700.0, 800.0), True),
        ((700.0, 801.0), False),  # one good window since then
        ((300.0, 400.0, 950.0), False),
    ],
)
def test_what_is_over_since_is_told_as_raised_and_as_cleared(late: tuple[float, ...], over: bool) -> None:
    rules, state = TripRules("m", RULE), RuleState()
    for at in (800.0, 900.0, 1000.0):
        window = Window(since=at - 100, until=at, rows=20, version=3)
        state = rules.judge(state, [reading(5.0 if at == 800.0 else 0.0, at)], window).state
    window = Window(since=1000.0, until=1100.0, rows=20, version=3)
    behind = [reading(5.0, at) for at in late]
    outcome = rules.judge(state, [reading(0.0, 1000.0)], window, behind)
    assert [trip.cleared for trip in outcome.trips] == ([False, True] if over else [False])
    (before,), (after,) = state.judged, outcome.state.judged
    assert (after.level == "NO_ALARM") == over
    assert not over or after.latches == before.latches
    # Whatever was raised is not raised again by what comes then.
    newer = rules.judge(outcome.state, [reading(0.0, 1100.0)], Window(since=1000.0, until=1200.0, rows=20, version=3))
    assert not any(not trip.cleared for trip in newer.trips)


def test_older_windows_that_end_well_are_told_as_raised_and_as_cleared() -> None:
    rules, state = TripRules("m", RULE), RuleState()
    window = Window(since=900.0, until=1000.0, rows=20, version=3)
    state = rules.judge(state, [reading(0.0, 1000.0)], window).state
    behind = [reading(value, 400.0 + 100 * place) for place, value in enumerate((5.0, 5.0, 0.0, 0.0))]
    outcome = rules.judge(state, [reading(0.0, 1000.0)], window.model_copy(update={"until": 1100.0}), behind)
    assert [trip.cleared for trip in outcome.trips] == [False, True]
    assert outcome.trips[0].name == outcome.trips[1].name


def well_since(at: float, *values: float) -> RuleState:
    """What is judged of windows one after another, the last of which ends then."""
    rules, state = TripRules("m", RULE), RuleState()
    for place, value in enumerate(values, 1 - len(values)):
        end = at + 100.0 * place
        window = Window(since=end - 100, until=end, rows=20, version=3)
        state = rules.judge(state, [reading(value, end)], window).state
    return state


def behind(state: RuleState, start: float, *values: float) -> tuple[list[tuple[float, bool]], RuleState]:
    """What is told of older windows from that which ends at `start`, beside the newest one, which is known."""
    late = [reading(value, start + 100.0 * place) for place, value in enumerate(values)]
    until = (state.until or 0.0) + 100
    newest = [one.reading for one in state.judged]
    window = Window(since=until - 100, until=until, rows=20, version=3)
    outcome = TripRules("m", RULE).judge(state, newest, window, late)
    return [(trip.standing.since, trip.cleared) for trip in outcome.trips], outcome.state


def test_what_nothing_was_judged_before_is_told_as_cleared_too() -> None:
    state = RuleState(version=3, until=1000.0)
    told, after = behind(state, 400.0, 5.0, 5.0, 0.0, 0.0)
    assert told == [(500.0, False), (500.0, True)]
    assert [one.level for one in after.judged] == ["NO_ALARM"]
    told, after = behind(state, 400.0, 5.0, 5.0, 0.0)
    assert (told, after.judged[0].level) == ([(500.0, False)], "MAJOR")
    assert behind(state, 400.0, 5.0, 0.0) == ([], state.model_copy(update={"until": 1100.0}))


def test_what_was_told_is_not_told_again_for_more_truth_of_that_time() -> None:
    """By windows that end at other times, so by another name."""
    state = well_since(2000.0, 0.0, 5.0, 5.0, 5.0, *[0.0] * 12)  # since 700, up to 1000
    for start in (555.0, 655.0, 755.0, 855.0):
        assert behind(state, start, 5.0, 5.0, 0.0, 0.0)[0] == [], start
    assert behind(state, 555.0, 5.0, 5.0, 5.0, 5.0, 0.0, 0.0)[0] == []
    told, after = behind(state, 1355.0, 5.0, 5.0, 0.0, 0.0)
    assert told == [(1455.0, False), (1455.0, True)]
    assert behind(after, 1321.0, 5.0, 5.0, 0.0, 0.0)[0] == []
    # With more truth a window before it is bad as well; of what nothing newer was in its round, all windows again.
    assert behind(after, 455.0, 5.0, 5.0)[0] == []
    told, after = behind(well_since(2000.0, *[0.0] * 16), 1355.0, 5.0, 5.0)
    assert told == [(1455.0, False), (1455.0, True)]
    assert behind(after, 1355.0, 5.0, 5.0)[0] == []
    assert behind(state, 55.0, 5.0, 5.0, 0.0, 0.0)[0] == [(155.0, False), (155.0, True)]


def test_each_alarm_of_older_windows_is_told() -> None:
    state = well_since(2000.0, 0.0, 5.0, 5.0, 5.0, *[0.0] * 12)
    told, after = behind(state, 55.0, 5.0, 5.0, 0.0, 0.0, 0.0, 5.0, 5.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 5.0, 5.0)
    # The second one was told.
    assert told == [(155.0, False), (155.0, True), (1455.0, False), (1455.0, True)]
    ended = [(one.since, one.until) for one in after.judged[0].ended]
    assert ended == [(700.0, 1000.0), (155.0, 255.0), (1455.0, 1555.0)]


def test_an_alarm_that_is_on_gets_worse_once_and_keeps_its_name() -> None:
    state = well_since(2000.0, 1.5, 1.5)
    told, after = behind(state, 55.0, 5.0, 5.0, *[0.0] * 12, 5.0, 5.0)
    assert told == [(2000.0, False)]
    assert (after.judged[0].level, after.judged[0].since) == ("MAJOR", 155.0)
