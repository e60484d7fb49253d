"""What a monitor writes can be read by whom it is written for, however many inputs a model has."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from beampermit.contract.response import Response
from beampermit.contract.service import REPORTED, Monitoring
from beampermit.live.observation.monitoring import MOST_BYTES, read_result
from beampermit.monitoring.monitor import MOST_STANDINGS, worst
from beampermit.monitoring.response.heartbeat import EVERY
from beampermit.monitoring.state import StateFolder
from beampermit.monitoring.trip_rules import TripRules
from beampermit.verdicts.monitoring import Reading, Result, Window

NOW = 1_795_003_600.0
WINDOW = Window(since=NOW - 3600, until=NOW, rows=7200, version=3)


@pytest.mark.slow
def test_a_result_of_two_thousand_arrays_is_read_and_so_is_what_is_remembered(tmp_path: Path) -> None:
    """Four numbers and two shares each, of which half are in alarm."""
    of_each = ("mean", "std", "span", "step", "missing", "outside")
    names = (f"signal_{one}.{of}" for one in range(2000) for of in of_each)
    said = "median 123.4567, of the reference about 123.4567; 7200 rows"
    readings = [
        Reading(check="MON001", subject=name, value=0.0123456789 * (number % 2), limit=0.00123456789, detail=said)
        for number, name in enumerate(names)
    ]
    readings.append(Reading(check="MON006", subject="", value=0.0, limit=1.0, unit="s"))
    rules = TripRules("m", Monitoring(raise_after=1))
    with StateFolder(tmp_path, "m") as folder:
        outcome = rules.judge(folder.kept.rules, readings, WINDOW)
        assert len(outcome.standings) == 12_001
        shown = worst(outcome.standings)
        folder.show(Result(model="m", at=NOW, window=WINDOW, standings=shown, drift=10.0))
        folder.keep(outcome.state, outcome.trips)
    assert len(shown) == MOST_STANDINGS
    assert (tmp_path / "result.json").stat().st_size < MOST_BYTES / 2
    read = read_result(tmp_path)
    # The worst of each check, also of one that is far behind.
    assert [one.level for one in read.standings] == ["MAJOR"] * (MOST_STANDINGS - 1) + ["NO_ALARM"]
    assert read.standings[-1].reading.check == "MON006"
    with StateFolder(tmp_path, "m") as folder:
        assert len(folder.kept.rules.judged) == 12_001
    few = outcome.standings[-MOST_STANDINGS:]
    assert worst(few) == few


def test_a_monitor_that_lives_is_never_taken_for_dead() -> None:
    """The newest report is as old as the time to the next one, about a window that was `every` old."""
    assert REPORTED == EVERY
    assert Monitoring().response.silent_after >= Monitoring().every + EVERY
    assert Monitoring(every=21600, response=Response(silent_after=23400)).every == 21600
    with pytest.raises(ValidationError, match=r"response\.silent_after: 23399 s is less than .* 23400 s is the least"):
        Monitoring(every=21600, response=Response(silent_after=23399))
