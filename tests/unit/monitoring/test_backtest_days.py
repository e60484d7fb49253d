"""A backtest by days says what one of the whole recording says, and judges no day twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beampermit.compute.local import Local
from beampermit.compute.resources import Resources
from beampermit.compute.unit import RESULT, Unit
from beampermit.compute.worker import store
from beampermit.contract.service import Monitoring
from beampermit.errors import Failed
from beampermit.monitoring.backtest import days
from beampermit.monitoring.backtest.measuring import measure
from beampermit.monitoring.backtest.parts import parts_of
from beampermit.monitoring.backtest.recorded import Recording, Series, span_of
from beampermit.monitoring.limits import Limits, read_limits
from beampermit.monitoring.readings import readings
from beampermit.monitoring.windows import read_window
from beampermit.project import Project
from support.recorded_project import NOW

pytestmark = pytest.mark.slow

HOUR = 3600.0


class Counting(Local):
    """Counts the units that it performs."""

    def __init__(self) -> None:
        super().__init__(Resources(at_once=1))
        self.performed: list[str] = []

    def submit(self, folders: Sequence[Path]) -> None:
        self.performed += [folder.name for folder in folders]
        super().submit(folders)


@pytest.fixture
def by_days(tmp_path: Path) -> Iterator[Callable[..., tuple[Series, int]]]:
    """A series by units, and how many of them were performed."""
    executor = Counting()
    with executor:

        def made(recording: Recording, limits: Limits) -> tuple[Series, int]:
            before = len(executor.performed)
            series = days.measure_by_days(recording, limits, executor, tmp_path / "work")
            return series, len(executor.performed) - before

        yield made


def recording_of(project: Project, log: Path, **monitoring: Any) -> Recording:
    contract = project.contract
    response = contract.monitoring.response.model_copy(update={"silent_after": 1e5})
    monitoring = {"response": response, **monitoring}
    rule = contract.monitoring.model_copy(update={"window": 4 * HOUR, "every": 2 * HOUR, **monitoring})
    return Recording(log, contract.model_copy(update={"monitoring": rule}), *span_of(log, contract.model.name))


def same(one: Series, other: Series) -> None:
    assert (one.rows, one.notes, one.usual) == (other.rows, other.notes, other.usual)
    assert one.ends.tolist() == other.ends.tolist()
    assert one.values.keys() == other.values.keys() == other.limits.keys()
    for key in one.values:
        np.testing.assert_array_equal(one.values[key], other.values[key])
        np.testing.assert_array_equal(one.limits[key], other.limits[key])


def test_each_window_is_judged_of_the_version_that_was_last_in_service_then(
    recorded: Callable[..., Path], project: Project, by_days: Callable[..., tuple[Series, int]]
) -> None:
    """Version 2 from 14:30 of the second day, back to 1 at 20:10, and a challenger beside them all the time."""
    recorded(38.5, apart=120.0, current=0.5)
    recorded(5 + 2 / 3, after=38.5, apart=120.0, version=2)
    recorded(10, after=44 + 1 / 6, apart=120.0, current=0.5)
    log = recorded(56, apart=120.0, version=3, current=5.0, served__shadow=np.ones(56 * 30, bool))
    recording, limits = recording_of(project, log), read_limits(project.root, project.contract)
    parts = [(part.day[-2:], part.version, len(part.places)) for part in parts_of(recording)]
    assert parts == [("18", 1, 11), ("19", 1, 7), ("19", 2, 3), ("19", 1, 2), ("20", 1, 4)]
    whole = measure(recording, limits)
    made, performed = by_days(recording, limits)
    same(made, whole)
    assert performed == len(parts)
    assert made.notes[0] == "versions 1, 2 were in service: each window is judged of the one that was last"
    assert made.rows == 38 * 30 + 165 + 300  # each once; what is in no window of its version is not judged
    for place, end in [*enumerate(made.ends)][::3]:  # as the monitor reads one window
        window = read_window(log, recording.contract, end - 4 * HOUR, end)
        wanted = {one.key: one.value for one in readings(window, limits, recording.contract)}
        assert made.values["MON001 current"][place] == wanted["MON001 current"]
    of_second = (made.ends > NOW + 38.5 * HOUR) & (made.ends <= NOW + 44 * HOUR)
    assert made.values["MON001 current"][of_second].max() < made.values["MON001 current"][~of_second].min()


def test_only_days_that_changed_are_judged_again(
    recorded: Callable[..., Path], project: Project, by_days: Callable[..., tuple[Series, int]]
) -> None:
    log = recorded(50, apart=120.0)
    limits = read_limits(project.root, project.contract)
    first, performed = by_days(recording_of(project, log), limits)
    assert performed == 3
    again, performed = by_days(recording_of(project, log), limits)
    assert performed == 0
    same(again, first)
    # What alarms are made of is no part of what is measured.
    rule = Monitoring(raise_after=1, of=1, clear_below=0.5).model_dump(include={"raise_after", "of", "clear_below"})
    assert by_days(recording_of(project, log, **rule), limits)[1] == 0
    # The last day goes on, and another begins.
    recorded(26, after=50, apart=120.0)
    grown = recording_of(project, log)
    assert by_days(grown, limits)[1] == 2
    # Another begin: only its own day.
    later = Recording(log, grown.contract, NOW + 9 * HOUR + 123.0, grown.until)
    assert by_days(later, limits)[1] == 1
    # A file that was written again: its own day, and the next one's first windows.
    file = sorted(log.rglob("*.parquet"))[22]
    table = pq.read_table(file)
    place, moved = table.schema.get_field_index("current"), pa.array(np.asarray(table["current"]) + 3.0)
    pq.write_table(table.set_column(place, table.schema.field(place), moved), file)
    series, performed = by_days(grown, limits)
    assert performed == 2
    same(series, measure(grown, limits))
    # Other limits: all.
    stricter = limits.model_copy(update={"calibrated": {"MON001 current": 0.01}})
    series, performed = by_days(grown, stricter)
    assert performed == 4
    assert set(series.limits["MON001 current"]) == {0.01}


def test_what_a_service_still_writes_is_judged_each_time(
    recorded: Callable[..., Path], project: Project, by_days: Callable[..., tuple[Series, int]], tmp_path: Path
) -> None:
    log = recorded(26, apart=120.0)
    limits = read_limits(project.root, project.contract)
    newest = sorted(log.rglob("*.parquet"))[-1]
    table = pq.read_table(newest)
    newest.unlink()
    with pa.OSFile(str(newest.with_suffix(".arrow")), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table.slice(0, 10))
        assert by_days(recording_of(project, log), limits)[1] == 2
        kept = len([*(tmp_path / "work/units").iterdir()])
        few, performed = by_days(recording_of(project, log), limits)
        assert performed == 1
        stream.write_table(table.slice(10, 20))
        more, performed = by_days(recording_of(project, log), limits)
    assert performed == 1
    assert more.rows == few.rows + 20
    assert len([*(tmp_path / "work/units").iterdir()]) == kept, "and what can never be asked for is not kept"


def test_a_file_that_is_closed_meanwhile_is_read_as_closed(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    closed = tmp_path / "log/2026-11-18T000000.000000Z.parquet"
    closed.write_text("rows")
    days._link(closed.with_suffix(".arrow"), tmp_path / "tree/log/1/2026-11-18T000000.000000Z.arrow")
    assert (tmp_path / "tree/log/1" / closed.name).read_text() == "rows"


def test_a_day_with_more_windows_than_a_result_holds_is_cut(
    recorded: Callable[..., Path],
    project: Project,
    by_days: Callable[..., tuple[Series, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = recorded(10, apart=120.0)
    recording, limits = recording_of(project, log), read_limits(project.root, project.contract)
    monkeypatch.setattr(days, "MOST_PAIRS", 3 * (len(limits.keys) + 12))
    series, performed = by_days(recording, limits)
    assert performed == 2
    same(series, measure(recording, limits))


def test_a_window_that_ends_at_midnight_is_of_the_day_before(recorded: Callable[..., Path], project: Project) -> None:
    recording = recording_of(project, recorded(50, apart=600.0))
    ends = {part.day: [place * 2 * HOUR for place in part.places] for part in parts_of(recording)}
    assert {day: (of[0] - NOW, of[-1] - NOW) for day, of in ends.items()} == {
        "2026-11-18": (4 * HOUR, 24 * HOUR),
        "2026-11-19": (26 * HOUR, 48 * HOUR),
        "2026-11-20": (50 * HOUR, 50 * HOUR),
    }
    odd = recording_of(project, recording.log, every=7000.0)  # a day is no multiple of it
    places = [place for part in parts_of(odd) for place in part.places]
    assert places == [*odd.places]
    for part in parts_of(odd):
        assert {f"{datetime.fromtimestamp(place * 7000.0 - 0.001, UTC):%Y-%m-%d}" for place in part.places} == {
            part.day
        }


def test_a_day_that_fails_is_named_and_the_others_are_kept(
    recorded: Callable[..., Path],
    project: Project,
    by_days: Callable[..., tuple[Series, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = recorded(30, apart=120.0)
    recording, limits = recording_of(project, log), read_limits(project.root, project.contract)
    own = days._units

    def second_fails(*given: Any) -> Iterator[tuple[Unit, Any]]:
        for unit, part in own(*given):
            request = {**unit.request, "folder": "none"} if part.day.endswith("19") else unit.request
            yield Unit(unit.label, unit.module, request, unit.tree, unit.tree_digest), part

    with monkeypatch.context() as patched:
        patched.setattr(days, "_units", second_fails)
        with pytest.raises(Failed, match=r"2026-11-19, version 1 cannot be judged: it ended with exit status 2\n"):
            by_days(recording, limits)
    assert by_days(recording, limits)[1] == 1


OTHERS = {
    "the result is none of a backtest: ": {"first": 1},
    "the result is of other windows": {"first": 5, "count": 1, "found": {}, "rows": 0, "notes": [], "usual": {}},
}


def test_a_result_of_something_else_is_refused_with_its_folder(
    recorded: Callable[..., Path],
    project: Project,
    by_days: Callable[..., tuple[Series, int]],
    tmp_path: Path,
) -> None:
    recording = recording_of(project, recorded(10, apart=120.0))
    limits = read_limits(project.root, project.contract)
    by_days(recording, limits)
    (folder,) = (tmp_path / "work/units").iterdir()
    for said, result in OTHERS.items():
        store(folder, result)
        with pytest.raises(Failed, match=said) as raised:
            by_days(recording, limits)
        assert raised.value.hint == f"rm -r {folder}"
    # One that was killed before it wrote anything: its links lead to a folder that is gone.
    for name in (RESULT, "ended.json"):
        (folder / name).unlink()
    assert not (folder / "log").exists()
    assert by_days(recording, limits)[1] == 1
