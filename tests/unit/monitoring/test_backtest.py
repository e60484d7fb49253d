"""A backtest says which alarms the monitor would have raised, and finds limits that autocorrelation does not fool."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from beampermit.alarm_outlets import Checkout, new_limits
from beampermit.cli.main import app
from beampermit.contract.service import Monitoring
from beampermit.errors import BadInput
from beampermit.files import write_json
from beampermit.monitoring.backtest.alarms import WEEK, Alarm, alarms, episodes, held, rate, weeks
from beampermit.monitoring.backtest.backtest import _rounded_up
from beampermit.monitoring.backtest.calibration import calibrate
from beampermit.monitoring.backtest.measuring import measure
from beampermit.monitoring.backtest.recorded import Recording, Series
from beampermit.monitoring.backtest.shifts import Seen, seen_shifts, shown_sizes
from beampermit.monitoring.limits import read_limits
from beampermit.monitoring.response.proposals import Suppressed
from beampermit.monitoring.trip_rules import RuleState, TripRules
from beampermit.project import Project
from beampermit.verdicts.monitoring import Reading, Window
from support import responses
from support.recorded_project import NOW

EVERY = 600.0
RULE = Monitoring()


def series(values: Mapping[str, np.ndarray], limit: float = 1.0, usual: float = 0.0) -> Series:
    length = len(next(iter(values.values())))
    named = {f"MON001 {name}": one for name, one in values.items()}
    ends = NOW + EVERY * np.arange(length)
    return Series(ends, named, {key: np.full(length, limit) for key in named}, length, (), dict.fromkeys(named, usual))


def autocorrelated(length: int, seed: int, by: float = 0.99) -> np.ndarray:
    steps = np.random.default_rng(seed).normal(0, math.sqrt(1 - by**2), length)
    found = np.empty(length)
    state = 0.0
    for place, step in enumerate(steps):
        state = by * state + step
        found[place] = state
    return np.exp(0.5 * found)


@pytest.mark.parametrize(
    "rule",
    [
        RULE,
        Monitoring(raise_after=3, of=5, clear_after=1, clear_below=0.5),
        Monitoring(delay_on=1200.0, delay_off=1800.0),
    ],
)
@pytest.mark.parametrize("usual", [0.0, 1.2, 9.0])
def test_alarms_are_those_of_the_monitors_own_rules(rule: Monitoring, usual: float) -> None:
    values = autocorrelated(400, 1, 0.6)
    values[[50, 51, 200]] = np.nan
    values[300:320] = [2.0, *[np.nan] * 17, 2.0, 0.5]  # a gap, before and after which is one bad window each
    values[295:300] = 0.1
    made = series({"turns": values}, 1.4, usual)
    state, raised, cleared = RuleState(), list[float](), list[float]()
    rules = TripRules("toy", rule)
    for end, value in zip(made.ends, values, strict=True):
        reading = {"check": "MON001", "subject": "turns", "value": value, "limit": 1.4, "usual": usual}
        found = [] if np.isnan(value) else [Reading.model_validate(reading)]
        outcome = rules.judge(state, found, Window(since=end - 3600, until=end, rows=60, version=3))
        state = outcome.state
        for trip in outcome.trips:
            (cleared if trip.cleared else raised).append(end) if trip.standing.level != "MAJOR" else None
    found = alarms(made, made.limits, rule)
    assert len(found) > 3
    assert [one.until for one in found][: len(cleared)] == cleared
    assert set(raised) <= {one.since for one in found}


def test_what_is_held_is_the_limit_that_would_just_raise_an_alarm() -> None:
    values = autocorrelated(300, 2, 0.5)
    worst = float(held(values, RULE).max())
    made = series({"turns": values})
    assert not alarms(made, {"MON001 turns": worst}, RULE)
    assert len(alarms(made, {"MON001 turns": worst * 0.999}, RULE)) == 1


def test_what_is_in_alarm_together_is_one_episode() -> None:
    assert episodes([Alarm("a", 0, 10), Alarm("b", 5, 20), Alarm("a", 15, 18), Alarm("a", 21, 30)]) == 2


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 2.9957), (1, 0.0513, 4.7439), (10, 5.4254, 16.9622)])
def test_rates_lie_between_the_bounds_of_poisson(count: int, low: float, high: float) -> None:
    assert rate(count, 1.0) == pytest.approx((count, low, high), abs=1e-3)
    assert rate(count, 2.0)[2] == pytest.approx(high / 2, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("by", [0.0, 0.99])
def test_calibrated_limits_hold_on_weeks_that_they_were_not_made_from(by: float) -> None:
    """Of independent and of slow signals: at most one alarm in four weeks is asked for, from eight weeks."""
    found = [asked_and_found(seed, by) for seed in range(6)]
    # 0.25 a week are allowed; 48 weeks show between 0 and twice as many.
    assert np.mean([each for each, _ in found]) <= 0.5
    # And limits are no higher than needed: three quarters of them would be too low.
    assert np.mean([lower for _, lower in found]) > 0.5


def asked_and_found(seed: int, by: float) -> tuple[float, float]:
    """Alarms a week on other data: with limits from eight weeks, and with three quarters of them."""
    length = round(8 * WEEK / EVERY)
    record, other = (
        series({f"s{number}": autocorrelated(length, first + 100 * seed + number, by) for number in range(5)})
        for first in (0, 5000)
    )
    limits = calibrate(record, RULE, [*record.values], 1.0, 4.0).limits
    lower = {key: 0.75 * value for key, value in limits.items()}
    spent = weeks(other, RULE)
    return episodes(alarms(other, limits, RULE)) / spent, episodes(alarms(other, lower, RULE)) / spent


def test_a_record_that_is_too_short_is_continued_or_refused() -> None:
    record = series({"a": autocorrelated(round(2 * WEEK / EVERY), 3)})
    assert calibrate(record, RULE, [*record.values], 1.0, 52.0).extrapolated
    some, many = (calibrate(record, RULE, [*record.values], 1.0, of).limits["MON001 a"] for of in (2.0, 52.0))
    assert many > some
    with pytest.raises(BadInput, match="8 with values are needed"):
        calibrate(series({"a": autocorrelated(80, 3)}), RULE, ["MON001 a"], 1.0, 4.0)


@pytest.mark.parametrize("highest", [0.95, 0.9999, 1.0])
def test_a_share_is_calibrated_to_a_limit_that_can_be_exceeded(highest: float) -> None:
    bad = np.repeat(np.random.default_rng(5).uniform(0.1, 0.9, 28), 144)
    bad[144 * 5 : 144 * 6] = highest
    record = series({"share": bad, "other": autocorrelated(28 * 144, 4)})
    most = {"MON001 share": 1.0}
    made = calibrate(record, RULE, [*record.values], 1.0, 12.0, lambda key: most.get(key, math.inf))
    assert calibrate(record, RULE, [*record.values], 1.0, 12.0).limits["MON001 share"] > 1
    if highest == 1.0:
        assert made.kept == ("MON001 share",)
        return
    assert highest < made.limits["MON001 share"] < 1.0
    assert _rounded_up(made.limits, lambda key: most.get(key, math.inf))["MON001 share"] < 1.0


def test_what_is_always_zero_keeps_its_limit() -> None:
    constant = np.random.default_rng(4).uniform(0, 1e-12, 3000)  # the index of a constant, with its rounding
    record = series({"a": autocorrelated(3000, 4), "none": np.zeros(3000), "constant": constant})
    made = calibrate(record, RULE, [*record.values], 1.0, 4.0)
    assert made.kept == ("MON001 none", "MON001 constant")
    assert [*made.limits] == ["MON001 a"]
    rare = series({"a": autocorrelated(3000, 4), "rare": constant * 1e4})
    assert [*calibrate(rare, RULE, [*rare.values], 1.0, 4.0).limits] == ["MON001 a", "MON001 rare"]


@pytest.mark.slow
def test_the_command_says_what_is_expected_and_writes_limits(recorded: Callable[..., Path], project: Project) -> None:
    words = ["backtest", str(recorded(24)), "--project", str(project.root)]
    before = read_limits(project.root, project.contract).digest
    ran = CliRunner().invoke(app, [*words, "--false-alarms", "1", "--weeks", "4", "--write", "--json"])
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    assert said["windows"] == 23 * 6 + 1
    assert said["now"]["episodes"] == 0
    assert {one["name"]: one["delay"] is not None for one in said["shifts"]} == {"current": True, "field": True}
    assert max(one["size"] for one in said["shifts"]) <= 1.0
    written = json.loads((project.root / "calibration.json").read_text())
    assert written["alarms_per_week"] == 0.25
    assert {"MON001 current", "MON002", "MON004 score"} <= written["limits"].keys()
    alarms, limits = written["alarms"], read_limits(project.root, project.contract)
    assert (alarms["limits_before"], alarms["limits_after"]) == (before, limits.digest)
    assert limits.digest != before
    shown = {"now": alarms["before"], "calibrated": alarms["after"]}
    for side, of in shown.items():
        assert [of["low"], of["high"]] == pytest.approx(said[side]["per_week_between"], rel=5e-3)
    assert said["calibrated"]["limits"].items() <= written["limits"].items(), "as they are written, they were counted"
    assert all(limit == float(f"{limit:.4g}") for limit in written["limits"].values()), "digits that people read"
    assert written["usual"].keys() == set(said["calibrated"]["limits"])
    assert all(0 <= usual <= written["limits"][key] for key, usual in written["usual"].items())
    # They are taken from then on.
    ran = CliRunner().invoke(app, [*words, "--no-shifts", "--from", "2026-11-18T15:00Z"])
    assert ran.exit_code == 0, ran.output
    assert "with limits as they are: 0 alarms a week" in ran.stdout


@pytest.mark.slow
def test_a_shift_is_seen_when_its_alarm_is_raised(recorded: Callable[..., Path], project: Project) -> None:
    """Delays of the rule count, too."""
    log, contract = recorded(12), project.contract
    limits, waits = read_limits(project.root, contract), 1800.0
    rule = contract.monitoring.model_copy(update={"delay_on": waits})
    slow = contract.model_copy(update={"monitoring": rule})
    soon, late = (seen_shifts(Recording(log, of, NOW, NOW + 12 * 3600), limits) for of in (contract, slow))
    assert len(soon) == 2
    for one, later in zip(soon, late, strict=True):
        assert one.delay is not None
        assert (later.name, later.size, later.delay) == (one.name, one.size, one.delay + waits)


@pytest.mark.slow
@pytest.mark.parametrize("raise_after", [1, 2])
def test_a_shift_of_what_is_in_alarm_already_is_neither_seen_nor_missed(
    recorded: Callable[..., Path], project: Project, raise_after: int
) -> None:
    contract = project.contract
    rule = contract.monitoring.model_copy(update={"raise_after": raise_after})
    contract = contract.model_copy(update={"monitoring": rule})
    limits = read_limits(project.root, contract)

    def found(log: Path) -> dict[str, Seen]:
        return {one.name: one for one in seen_shifts(Recording(log, contract, NOW, NOW + 12 * 3600), limits)}

    recorded(4, current=5.0)  # the first of the three moments; at the others a shift can begin
    usual = found(recorded(8, after=4))
    assert usual["current"].delay is not None
    assert not usual["current"].already
    always = found(recorded(12, current=5.0))
    assert (always["current"].delay, always["current"].already) == (None, True)
    assert always["field"].delay is not None
    first = next(shown_sizes([*always.values()]))
    assert first == "current: it is beyond its limit already, so no shift of it can be tried"


@pytest.mark.slow
def test_what_a_record_says_nothing_of_keeps_its_calibration(recorded: Callable[..., Path], project: Project) -> None:
    own = {"format": 1, "since": "2026-10-01", "until": "2026-11-01", "windows": 9, "alarms_per_week": 0.2}
    write_json(project.root / "calibration.json", {**own, "limits": {"MON003 field.missing": 0.05}})
    words = ["--no-shifts", "--false-alarms", "1", "--write", "--project", str(project.root)]
    ran = CliRunner().invoke(app, ["backtest", str(recorded(24)), *words])
    assert ran.exit_code == 0, ran.output
    written = json.loads((project.root / "calibration.json").read_text())
    assert written["limits"]["MON003 field.missing"] == 0.05
    assert written["alarms"]["limits_after"] == read_limits(project.root, project.contract).digest


@pytest.mark.slow
def test_a_replayed_table_is_a_record_too(recorded: Callable[..., Path], project: Project, tmp_path: Path) -> None:
    import duckdb

    folder, table = recorded(3, current=2.0), tmp_path / "replayed.parquet"
    duckdb.sql(f"COPY (SELECT * FROM read_parquet('{folder}/**/*.parquet')) TO '{table}'")
    ran = CliRunner().invoke(app, ["backtest", str(table), "--project", str(project.root), "--json"])
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    assert "MON001 current" in {one["of"] for one in said["now"]["alarms"]}
    limits = read_limits(project.root, project.contract)
    made = measure(Recording(folder, project.contract, NOW, NOW + 2 * 3600), limits)
    assert limits.together
    assert made.usual["MON002"] == limits.together.usual, "alarms are cleared as by the monitor"
    assert said["now"]["episodes"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none", "--write"], "--write needs --false-alarms"),
        (["none"], "no such prediction log or table"),
        (["contract.yaml"], "this table cannot be read"),
        (["LOG", "--from", "2026-11-01T00:00Z", "--to", "2026-11-01T00:10Z"], "less than 3600 s, a window"),
        (["LOG", "--from", "2026-11-01T00:00Z", "--to", "2026-11-01T10:00Z"], "can be judged"),
    ],
)
def test_what_cannot_be_backtested_is_said(
    recorded: Callable[..., Path], project: Project, words: list[str], said: str
) -> None:
    log = str(recorded(2))
    given = [
        log if word == "LOG" else str(project.root / word) if place == 0 else word for place, word in enumerate(words)
    ]
    with pytest.raises(BadInput, match=said):
        app(["backtest", *given, "--project", str(project.root)], standalone_mode=False)


@pytest.mark.slow
def test_limits_that_the_monitor_proposes_are_those_of_a_backtest(
    recorded: Callable[..., Path], project: Project
) -> None:
    log = recorded(20, current=0.5)
    source = Checkout(Project(project.root)).limits
    new = new_limits(
        lambda trip: replace(source(trip), folder="models/field/"), log, responses.trip("MON001", "current")
    )
    ((file, text),) = new.files.items()
    calibration = Project(project.root).contract.monitoring.calibration
    assert file == f"models/field/{calibration}"
    assert "Limit of MON001 current: 0.25 now, " in new.reason
    assert json.loads(text)["limits"]["MON001 current"] > 0.25
    assert not (project.root / calibration).exists()
    with pytest.raises(Suppressed, match="recorded data give no limit of MON003 field"):
        new_limits(source, log, responses.trip("MON003", "field"))
    with pytest.raises(Suppressed, match="recorded data give no limits: "):
        new_limits(source, log.parent / "none", responses.trip("MON001", "current"))
