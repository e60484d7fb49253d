"""The service shows what its monitor says, and never a result that nobody vouches for now."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from beampermit.files import write_json
from beampermit.live.observation.monitoring import NOT_JUDGED, UNKNOWN, MonitorResults, Shown, monitor_folder
from beampermit.live.severity import Severity
from beampermit.verdicts.monitoring import Level, Reading, Result, Standing, Window

AT = 1_795_000_000.0
EVERY = 600.0


def standing(value: float, level: Level, check: str = "MON001", subject: str = "turns.std", **others: Any) -> Standing:
    reading = Reading(check=check, subject=subject, value=value, limit=0.5, detail="twice as wide")
    return Standing(reading=reading, level=level, since=AT - 600, **others)


def result(*standings: Standing, version: int = 3, at: float = AT, model: str = "toy") -> Result:
    window = Window(since=at - 3600, until=at, rows=60, version=version)
    parts = [one.reading.value / one.reading.limit for one in standings if one.reading.check == "MON001"]
    return Result(model=model, at=at, window=window, standings=standings, drift=max(parts, default=None))


class Monitored:
    def __init__(self, folder: Path):
        self.folder, self.now = folder, AT + 5
        self.results = MonitorResults(folder, "toy", lambda: self.now)

    def write(self, said: Result) -> None:
        write_json(self.folder / "result.json", said.model_dump())
        self.results.look()

    def shows(self, name: str = "MON001", version: int = 3) -> Shown:
        view = self.results.view(version, EVERY)
        return {"DRIFT": view.drift, "MONITOR": view.age, **view.checks}[name]


@pytest.fixture
def monitored(tmp_path: Path) -> Monitored:
    return Monitored(tmp_path)


def test_nothing_is_known_before_a_result(monitored: Monitored) -> None:
    monitored.results.look()
    for name in ("DRIFT", "MONITOR", "MON001", "MON008"):
        shown = monitored.shows(name)
        assert (math.isnan(shown.value), shown.severity, shown.message) == (True, Severity.INVALID, UNKNOWN)


def test_the_worst_of_each_check_is_shown_as_part_of_its_limit_and_names_its_subject(monitored: Monitored) -> None:
    worst = standing(0.75, "MINOR")
    monitored.write(result(worst, standing(0.9, "NO_ALARM", subject="current"), standing(1.5, "MAJOR", "MON003")))
    assert monitored.shows() == Shown(1.5, Severity.MINOR, "turns.std twice as wide")
    assert monitored.shows("DRIFT") == Shown(1.8, Severity.MINOR, "turns.std twice as wide")
    assert monitored.shows("MON003") == Shown(3.0, Severity.MAJOR, "turns.std twice as wide")
    assert monitored.shows("MONITOR") == Shown(5.0, Severity.MAJOR, "MON003 turns.std twice as wide")
    assert monitored.shows("MON007").severity is Severity.INVALID
    assert monitored.shows("MON007").message == NOT_JUDGED


def test_a_silent_monitor_is_not_relied_on(monitored: Monitored) -> None:
    monitored.write(result(standing(0.1, "NO_ALARM")))
    monitored.now = AT + 3 * EVERY + 60
    assert monitored.shows().severity is Severity.NO_ALARM
    monitored.now += 1
    assert monitored.shows() == monitored.shows("DRIFT")
    assert monitored.shows("DRIFT").severity is Severity.INVALID
    assert monitored.shows("DRIFT").message == "the monitor is silent for 1861 s"
    assert (monitored.shows("MONITOR").value, monitored.shows("MONITOR").severity) == (1861.0, Severity.MAJOR)


def test_a_result_of_the_future_is_not_relied_on(monitored: Monitored) -> None:
    monitored.write(result(standing(0.1, "NO_ALARM")))
    monitored.now = AT - 10
    assert monitored.shows().severity is Severity.NO_ALARM
    monitored.now = AT - 11
    assert monitored.shows().message == "the monitor's clock is 11 s ahead"


def test_where_nothing_is_in_service_that_is_said_with_the_age(monitored: Monitored) -> None:
    monitored.write(result(version=0))
    assert monitored.shows("MONITOR") == Shown(5.0, Severity.NO_ALARM, "the monitor sees nothing in service")
    for name in ("DRIFT", "MON001", "MON008"):
        assert monitored.shows(name).message == "the monitor sees nothing in service"


def test_a_result_of_another_version_says_nothing_of_this_one(monitored: Monitored) -> None:
    monitored.write(result(standing(0.1, "NO_ALARM"), version=2))
    assert monitored.shows().message == "the monitor judged version 2"
    assert monitored.shows("MONITOR").severity is Severity.NO_ALARM


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"model": "toy"', "not JSON"),
        ("[]", "its result cannot be read"),
        ('{"model": "toy", "at": NaN}', "NaN is not a JSON number"),
        (result(model="other").model_dump_json(), "the monitor judges other, another model"),
        ("x" * (4 * 2**20 + 1), "larger than"),
    ],
)
def test_what_is_no_result_of_this_model_is_said(monitored: Monitored, content: str, said: str) -> None:
    monitored.write(result(standing(0.1, "NO_ALARM")))
    (monitored.folder / "result.json").write_text(content)
    monitored.results.look()
    assert said in monitored.shows().message
    assert monitored.shows().severity is Severity.INVALID


def test_a_folder_in_its_place_is_no_result(monitored: Monitored) -> None:
    (monitored.folder / "result.json").mkdir()
    monitored.results.look()
    assert monitored.shows().severity is Severity.INVALID


def test_a_bypassed_alarm_is_shown_without_one_until_the_bypass_ends(monitored: Monitored) -> None:
    said = {"bypassed_until": AT + 60, "bypassed_by": "Ada", "bypass_reason": "water is off"}
    monitored.write(result(standing(2.0, "MAJOR", **said), standing(0.6, "MINOR", subject="current")))
    words = "bypassed until 2026-11-18T11:07:40Z by Ada"
    behind = f"; turns.std is MAJOR, {words}"
    assert monitored.shows() == Shown(1.2, Severity.MINOR, f"current twice as wide{behind}")
    assert monitored.shows("DRIFT").message == f"current twice as wide{behind}"
    assert monitored.shows("MONITOR") == Shown(5.0, Severity.MINOR, f"MON001 current twice as wide{behind}")
    calm = standing(0.2, "NO_ALARM", subject="orbit.std", **said)
    monitored.write(result(standing(0.6, "MINOR", subject="current"), calm))
    assert monitored.shows() == Shown(1.2, Severity.MINOR, "current twice as wide"), "nothing is held back"
    third = standing(0.8, "MINOR", subject="orbit.std", **said)
    monitored.write(result(standing(2.0, "MAJOR", **said), standing(0.6, "MINOR", subject="current"), third))
    assert monitored.shows().message == f"current twice as wide{behind} and 1 more"
    monitored.write(result(standing(2.0, "MAJOR", **said)))
    bypassed = f"{words}: water is off (turns.std is MAJOR)"
    assert monitored.shows("MONITOR") == Shown(5.0, Severity.NO_ALARM, f"MON001 {bypassed}")
    assert monitored.shows() == Shown(4.0, Severity.NO_ALARM, bypassed)
    monitored.write(result(standing(2.0, "MAJOR", **{**said, "bypassed_until": 1e300})))
    assert monitored.shows().message.startswith("bypassed until 9999-12-31T")
    monitored.write(result(standing(2.0, "MAJOR", **said)))
    monitored.now = AT + 60
    assert monitored.shows() == Shown(4.0, Severity.MAJOR, "turns.std twice as wide")


def test_the_monitor_lies_beside_the_service(tmp_path: Path) -> None:
    assert monitor_folder(tmp_path / "serve") == tmp_path / "serve-monitor"
