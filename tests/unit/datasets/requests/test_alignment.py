"""Samples become rows: last values, gaps, severities, conditions; wrong samples are reported, never guessed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from beampermit.errors import BadInput, Failed
from beampermit.project import Project
from support.archiver import Archiver, sample
from support.data_requests import AT, END, START, Ask, rows

pytestmark = pytest.mark.slow

TIMES = "CAST(acquired_at AS VARCHAR)[18:19]"
"""The second of a row."""


def test_each_row_has_the_last_value_of_each_signal(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    assert ask_archiver().sidecar["rows"] == 10
    found = rows(project.root, "CAST(acquired_at AS VARCHAR), current, mode, mode_severity")
    assert found[0] == ("2026-03-01 07:00:00+00", 100.0, 3.0, 0)
    assert found[9] == ("2026-03-01 07:00:09+00", 109.0, 3.0, 0)


def test_the_sidecar_records_request_and_result(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    from beampermit.digest import digest_file

    ask_archiver(version=4)
    said = json.loads((project.root / "data/raw.json").read_text())
    assert said["sha256"] == digest_file(project.root / "data/raw.parquet")
    assert (said["source"], said["version"], said["origin"]) == ("archiver", 4, {"url": sound.url})
    assert (said["first"], said["last"]) == ("2026-03-01T07:00:00.000000Z", "2026-03-01T07:00:09.000000Z")
    assert said["signals"]["current"] == {"pv": "BEAM:CURRENT", "unit": "mA", "range": [0.0, 500.0], "shape": []}
    assert said["counts"]["samples"] == 10
    assert said["gaps"]["count"] == 0


def test_the_table_states_its_units_for_dat004(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    from beampermit.datasets.tables import open_tables

    ask_archiver()
    (table,) = open_tables(project.root, {"raw": "data/raw.parquet"})
    assert table.units == {"current": "mA", "mode": "1"}


def test_a_value_older_than_max_age_is_missing(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    sound.add("BEAM:CURRENT", [sample(AT, 100.0), sample(AT + 6, 106.0)], "mA")
    said = ask_archiver(gaps={"max_age": "3s", "rows": "keep"}).sidecar
    found = rows(project.root, "current IS NULL", "ORDER BY acquired_at")
    assert [missing for (missing,) in found] == [False] * 4 + [True] * 2 + [False] * 4
    (gap,) = [gap for gap in said["gaps"]["longest"] if gap["pv"] == "BEAM:CURRENT"]
    assert (gap["start"][17:19], gap["seconds"], gap["why"]) == ("04", 2.0, "older than 3 s")


def test_rows_with_a_missing_signal_are_dropped_and_counted(
    ask_archiver: Ask, sound: Archiver, project: Project
) -> None:
    sound.add("BEAM:CURRENT", [sample(AT + 4, 104.0)], "mA")
    said = ask_archiver().sidecar
    assert (said["rows"], said["counts"]["dropped"]) == (6, 4)
    assert said["gaps"]["longest"][0]["why"] == "no sample before"


def test_a_disconnect_is_a_gap_until_the_next_value(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    back = sample(AT + 7, 107.0, cnxlostepsecs=str(int(AT) + 3), cnxregainedepsecs=str(int(AT) + 7))
    sound.add("BEAM:CURRENT", [sample(AT, 100.0), sample(AT + 3.5, 103.5), back], "mA")
    said = ask_archiver().sidecar
    # Lost in the second of the last sample: that sample was true, and nothing after it is.
    assert [second for (second,) in rows(project.root, TIMES)] == ["00", "01", "02", "03", "07", "08", "09"]
    assert said["counts"]["disconnects"] == 1
    (gap,) = said["gaps"]["longest"]
    assert (gap["seconds"], gap["why"]) == (3.0, "disconnected")


@pytest.mark.parametrize(("worst", "kept"), [("MAJOR", 2), ("INVALID", 3), ("NO_ALARM", 1)])
def test_values_of_a_worse_severity_are_missing(
    ask_archiver: Ask, sound: Archiver, project: Project, worst: str, kept: int
) -> None:
    samples = [sample(AT, 1.0), sample(AT + 1, 2.0, severity=2), sample(AT + 2, 3.0, severity=3)]
    sound.add("BEAM:CURRENT", samples, "mA")
    ask_archiver(gaps={"max_age": "1s", "worst": worst, "rows": "keep"}, signals=CURRENT)
    found = rows(project.root, "current, current_severity", "ORDER BY acquired_at LIMIT 3")
    assert [severity for _, severity in found] == [0, 2, 3]
    assert sum(value is not None for value, _ in found) == kept


def test_an_unknown_severity_is_invalid(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    sound.add("BEAM:CURRENT", [sample(AT, 1.0), sample(AT + 5, 2.0, severity=3904)], "mA")
    assert ask_archiver(signals=CURRENT).sidecar["rows"] == 5


def test_values_that_are_not_finite_are_missing_and_counted(
    ask_archiver: Ask, sound: Archiver, project: Project
) -> None:
    samples = [sample(AT, 1.0), sample(AT + 1, math.nan), sample(AT + 2, math.inf), sample(AT + 3, 4.0)]
    sound.add("BEAM:CURRENT", samples, "mA")
    said = ask_archiver(conditions=["current > 0.5"]).sidecar
    assert (said["counts"]["not_finite"], said["rows"]) == (2, 8)
    assert said["gaps"]["longest"][0]["why"] == "not finite"


def test_of_samples_with_one_time_the_last_received_counts(
    ask_archiver: Ask, sound: Archiver, project: Project
) -> None:
    sound.add("BEAM:CURRENT", [sample(AT, 1.0), sample(AT, 2.0), sample(AT, 3.0)], "mA")
    assert ask_archiver().sidecar["counts"]["duplicates"] == 2
    assert rows(project.root, "DISTINCT current") == [(3.0,)]


def test_samples_out_of_order_are_counted_and_sorted(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    jumped = [sample(AT, 0.0), sample(AT + 5, 5.0), sample(AT + 2, 2.0), sample(86400.0, 9.0), sample(AT + 8, 8.0)]
    sound.add("BEAM:CURRENT", jumped, "mA")
    delivered = ask_archiver()
    assert [value for (value,) in rows(project.root, "current")] == [0, 0, 2, 2, 2, 5, 5, 5, 8, 8]
    assert delivered.sidecar["counts"]["backwards"] == 2
    assert "2 samples out of order" in delivered.summary


def test_a_waveform_has_the_length_in_the_contract(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    waves = [sample(AT, [1.0, 2.0, 3.0]), sample(AT + 5, [4.0, math.nan, 6.0])]
    sound.add("BPM:WAVE", waves, "mm")
    wave = {"name": "wave", "pv": "BPM:WAVE", "unit": "mm", "shape": [3]}
    assert ask_archiver(signals=[wave]).sidecar["rows"] == 5
    assert rows(project.root, "DISTINCT wave") == [([1.0, 2.0, 3.0],)]
    with pytest.raises(Failed, match=r"BPM:WAVE has 3 values at .*; its shape in the contract has 4"):
        ask_archiver(signals=[{**wave, "shape": [4]}], accept=True)


@pytest.mark.parametrize(
    ("value", "shape", "words"),
    [("on", (), "text, not numbers"), ([1.0], (), "lists, not numbers"), (1.0, (1,), "numbers, not lists")],
)
def test_values_of_another_type_are_named(
    ask_archiver: Ask, sound: Archiver, value: Any, shape: tuple[int, ...], words: str
) -> None:
    sound.add("BEAM:CURRENT", [sample(AT, value)], "mA")
    with pytest.raises(Failed, match=f"the values of BEAM:CURRENT are {words}"):
        ask_archiver(signals=[{**CURRENT[0], "shape": list(shape)}])


def test_an_unknown_pv_is_bad_input(ask_archiver: Ask, sound: Archiver) -> None:
    del sound.samples["BEAM:CURRENT"]
    with pytest.raises(BadInput, match="does not know the PV 'BEAM:CURRENT'") as caught:
        ask_archiver()
    assert caught.value.exit_code == 2


def test_a_pv_without_samples_in_the_ranges_fails(ask_archiver: Ask, sound: Archiver) -> None:
    sound.add("BEAM:CURRENT", [sample(AT + 3600, 1.0)], "mA")
    with pytest.raises(Failed, match=r"BEAM:CURRENT has no samples in dataset\.request\.ranges"):
        ask_archiver()


def test_another_unit_fails(ask_archiver: Ask, sound: Archiver) -> None:
    sound.units["BEAM:CURRENT"] = "A"
    with pytest.raises(Failed, match="BEAM:CURRENT is archived in A, the contract says mA"):
        ask_archiver()


def test_a_gap_longer_than_allowed_fails_and_is_named(ask_archiver: Ask, sound: Archiver) -> None:
    sound.add("BEAM:CURRENT", [sample(AT, 1.0), sample(AT + 7, 1.0)], "mA")
    with pytest.raises(Failed, match=r"gap of BEAM:CURRENT from 2026-03-01T07:00:02Z for 5 s .* longer than .*, 3 s"):
        ask_archiver(gaps={"max_age": "1s", "longest": "3s"}, signals=CURRENT)


def test_conditions_keep_the_rows_where_they_hold(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    said = ask_archiver(conditions=["103 <= current < 107", "mode in [3, 4]", "severity(current) == 0"]).sidecar
    assert [value for (value,) in rows(project.root, "current")] == [103, 104, 105, 106]
    assert said["counts"]["filtered"] == 6


def test_an_answer_without_rows_fails(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    with pytest.raises(Failed, match="the answer has no rows: 0 were dropped for a missing signal, 10 did not meet"):
        ask_archiver(conditions=["mode == 7"])
    assert not (project.root / "data/raw.parquet").exists()


def test_an_event_makes_a_row_at_each_of_its_values(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    sound.add("TRIGGER", [sample(AT - 1, 0), sample(AT + 2.5, 1), sample(AT + 2.75, 2), sample(AT + 8, 3, severity=3)])
    trigger = {"name": "trigger", "pv": "TRIGGER", "unit": "1"}
    ask_archiver(signals=[*CURRENT, trigger], sampling={"event": "trigger"})
    assert rows(project.root, "trigger, current, CAST(acquired_at AS VARCHAR)[18:]") == [
        (1.0, 102.0, "02.5+00"),
        (2.0, 102.0, "02.75+00"),
    ]


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_day_on_which_clocks_change_has_as_many_rows_as_hours(
    asking: Callable[..., Project], archiver: Archiver, day: str, hours: int
) -> None:
    """Midnight to midnight in Geneva, as its offsets were: rows are counted in UTC."""
    from beampermit.datasets.requests.request import request

    before, after = ("+01:00", "+02:00") if hours == 23 else ("+02:00", "+01:00")
    start, end = f"{day}T00:00:00{before}", f"{day[:-2]}{int(day[-2:]) + 1}T00:00:00{after}"
    archiver.add("X", [sample(start, 1.0)])
    wanted = {
        "source": "archiver",
        "options": {"url": archiver.url},
        "signals": [{"name": "x", "pv": "X", "unit": "1"}],
        "ranges": [{"start": start, "end": end}],
        "sampling": {"period": "1h"},
        "gaps": {"max_age": "2d"},
    }
    assert request(asking(wanted), lambda *_: None).sidecar["rows"] == hours  # pyright: ignore[reportArgumentType]


def test_devices_fill_pv_names_and_columns(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    (project.root / "devices.csv").write_text("device,plane\nBPM.1,X\nBPM.1,Y\nBPM.2,X\n")
    for number, pv in enumerate(("BPM.1:X", "BPM.1:Y", "BPM.2:X")):
        sound.add(pv, [sample(AT, number)], "mm")
    position = {"name": "position", "pv": "{device}:{plane}", "unit": "mm"}
    ask_archiver(signals=[*CURRENT, position], parts={"signals.devices": "devices.csv"})
    found = rows(project.root, "device, plane, position, min(current), count(*)", "GROUP BY ALL ORDER BY ALL")
    assert found == [("BPM.1", "X", 0.0, 100.0, 10), ("BPM.1", "Y", 1.0, 100.0, 10), ("BPM.2", "X", 2.0, 100.0, 10)]
    assert sound.asked["BEAM:CURRENT"] == 1


def test_a_pv_shared_by_devices_is_fetched_and_counted_once(
    ask_archiver: Ask, sound: Archiver, project: Project
) -> None:
    (project.root / "devices.csv").write_text("device,plane\nBPM.1,X\nBPM.1,Y\n")
    for pv in ("BPM.1:X", "BPM.1:Y", "BPM.1:GAIN"):
        sound.add(pv, [sample(AT + 2, 1.0)], "mm")
    asked = [
        {"name": name, "pv": f"{{device}}:{pv}", "unit": "mm"} for name, pv in (("x", "{plane}"), ("gain", "GAIN"))
    ]
    said = ask_archiver(signals=[*asked, *CURRENT], parts={"signals.devices": "devices.csv"}).sidecar
    assert sound.asked["BPM.1:GAIN"] == 1
    assert (said["counts"]["samples"], said["gaps"]["count"], said["rows"]) == (13, 3, 16)


def test_one_pv_is_not_two_signals(ask_archiver: Ask, sound: Archiver) -> None:
    with pytest.raises(BadInput, match="two signals have the PV 'BEAM:CURRENT'"):
        ask_archiver(signals=[*CURRENT, {**CURRENT[0], "name": "again"}])


def test_a_broken_device_table_is_named_with_its_line(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    position = {"name": "position", "pv": "{device}", "unit": "mm"}
    (project.root / "devices.csv").write_bytes(b"device\nBPM\xff\n")
    with pytest.raises(BadInput, match=r"devices\.csv: not UTF-8"):
        ask_archiver(signals=[position], parts={"signals.devices": "devices.csv"})
    (project.root / "devices.csv").write_text("device,plane\nBPM,X,Y\n")
    with pytest.raises(BadInput, match=r"devices\.csv:2: this row has more or fewer fields"):
        ask_archiver(signals=[position], parts={"signals.devices": "devices.csv"})
    (project.root / "devices.csv").write_text("name\nBPM\n")
    with pytest.raises(BadInput, match=r"devices\.csv:1: \{device\} is in a PV name, but .* no such column"):
        ask_archiver(signals=[position], parts={"signals.devices": "devices.csv"})


def test_two_ranges_and_several_pieces_make_one_table(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    later = {"start": "2026-03-01T09:00:00+01:00", "end": "2026-03-01T09:00:02+01:00"}
    sound.samples["BEAM:CURRENT"].append(sample(AT + 3600, 7.0))
    said = ask_archiver(
        ranges=[later, {"start": START, "end": END}], options={"piece": "3s"}, gaps={"max_age": "3h"}
    ).sidecar
    assert [value for (value,) in rows(project.root, "current")] == [*range(100, 110), 7, 7]
    assert sound.asked["BEAM:CURRENT"] == 5
    assert (said["counts"]["outside"], said["counts"]["duplicates"]) == (0, 0)


def test_a_gap_across_two_alignment_steps_is_one_gap(
    ask_archiver: Ask, sound: Archiver, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from beampermit.datasets.requests import alignment

    monkeypatch.setattr(alignment, "AT_ONCE", 1000)
    samples = [sample(AT + n, n % 7) for n in range(2500) if not 900 < n < 2100]
    sound.add("BEAM:CURRENT", samples, "mA")
    wide = [{"start": START, "end": "2026-03-01T08:41:40+01:00"}]
    said = ask_archiver(ranges=wide, signals=CURRENT, gaps={"max_age": "1s", "rows": "keep"}).sidecar
    assert (said["rows"], said["gaps"]["count"], said["gaps"]["seconds"]) == (2500, 1, 1198.0)
    found = rows(project.root, "epoch(acquired_at), current", "")
    assert [when for when, _ in found] == [AT + n for n in range(2500)]


def test_a_range_that_has_not_ended_is_refused(ask_archiver: Ask, sound: Archiver) -> None:
    with pytest.raises(BadInput, match="is in the future, so the answer would change"):
        ask_archiver(ranges=[{"start": START, "end": "2999-01-01T00:00:00Z"}])


CURRENT = [{"name": "current", "pv": "BEAM:CURRENT", "unit": "mA"}]
