"""Truth that arrives late: joined by device and time, once each; truth that never comes is an alarm of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from beampermit.contract import Contract
from beampermit.errors import BadInput
from beampermit.monitoring.quality import MOST_WINDOWS, Truth, _ends, compare, quality, read_table
from beampermit.monitoring.readings import readings
from beampermit.monitoring.windows import read_window
from beampermit.verdicts.monitoring import Reading
from support.monitored import BEGAN, DEVICES, answers, drawn, log_rows, monitored_contract, usual_limits

ROWS = 600
NOW = BEGAN + 7200
"""Truth has come two hours late."""


@pytest.fixture
def contract(contract_text: str) -> Contract:
    return monitored_contract(contract_text)


@pytest.fixture
def log(tmp_path: Path, contract: Contract) -> Path:
    return log_rows(tmp_path, contract, drawn(ROWS))


def table(error: float = 0.1, *, after: float = 0.0, rows: int = ROWS, **columns: Any) -> pa.Table:
    times = BEGAN + np.arange(ROWS) // 3 * 2.0 + after
    truth = answers(drawn(ROWS))["score"] + error
    of = {"time": times, "device": list(DEVICES) * (ROWS // 3), "fault": truth}
    return pa.table({**of, **columns}).slice(0, rows)


def read(file: Path, log: Path, contract: Contract, until: float, judged: float | None = None) -> Truth:
    outputs = [output for output in contract.signals.outputs if output.target]
    return compare(read_table(file, contract, until, outputs), log, contract, until, judged=judged)


Judge = Callable[..., tuple[Truth, dict[str, Reading]]]


@pytest.fixture
def judge(tmp_path: Path, log: Path, contract: Contract, contract_text: str) -> Judge:
    """The truth of a table, and the readings of it."""

    def made(rows: pa.Table | None, until: float = NOW) -> tuple[Truth, dict[str, Reading]]:
        file = tmp_path / "truth.parquet"
        if rows is not None:
            pq.write_table(rows, file)
        truth = read(file, log, contract, until)
        now = read_window(log, contract, until - 3600, until)
        found = readings(now, usual_limits(contract_text), contract, [truth])
        return truth, {one.subject: one for one in found if one.check == "MON007"}

    return made


@pytest.mark.slow
def test_the_distance_from_the_truth_is_that_of_the_rows_it_is_about(judge: Judge) -> None:
    _, found = judge(table())
    assert found["score"].value == pytest.approx(0.1)
    assert not found["score"].exceeded
    assert found["score"].detail == "mean distance of 600 rows from their truth, usual is 0.1 mm"
    assert found["truth"].value == pytest.approx(7200 - 398)
    assert found["score"].newest == pytest.approx(BEGAN + 398)
    assert not found["truth"].exceeded


@pytest.mark.slow
@pytest.mark.parametrize(
    ("judged", "ends", "rows"),
    [
        (98.0, (198, 298, 398), 450),
        (97.9, (98, 198, 298, 398), 600),
        (397.9, (398,), 150),
        (398.0, (398,), 150),  # nothing more has come: the last one again
        (None, (398,), 150),
    ],
)
def test_all_windows_whose_truth_arrived_are_judged_each_row_once(
    tmp_path: Path, log: Path, contract_text: str, judged: float | None, ends: tuple[int, ...], rows: int
) -> None:
    """Truth of a day comes at once: predictions that were wrong in the middle of it are seen."""
    contract, wrong = monitored_contract(contract_text, window="100s"), table()
    times = wrong["time"].to_numpy() - BEGAN
    fault = wrong["fault"].to_numpy() + 5.0 * ((times > 198) & (times <= 298))
    pq.write_table(wrong.set_column(2, "fault", pa.array(fault)), tmp_path / "truth.parquet")
    truth = read(tmp_path / "truth.parquet", log, contract, NOW, judged=judged and BEGAN + judged)
    found = [one for one in quality([truth], contract, usual_limits(contract_text), NOW) if one.subject == "score"]
    assert [one.newest for one in found] == [BEGAN + end for end in ends]
    assert sum(len(window.far["score"]) for window in truth.windows) == rows
    expected = {98: 0.1, 198: 0.1, 298: 5.1, 398: 0.1}
    assert [one.value for one in found] == pytest.approx([expected[end] for end in ends])


def test_of_truth_that_comes_after_months_the_newest_windows_are_judged() -> None:
    ends = _ends(1e9, 0.0, 60.0)
    assert (len(ends), ends[0], ends[-1]) == (MOST_WINDOWS, 1e9 - 60 * (MOST_WINDOWS - 1), 1e9)


@pytest.mark.slow
def test_predictions_far_from_the_truth_are_seen(judge: Judge, contract_text: str) -> None:
    limit = usual_limits(contract_text).limit("MON007 score")
    assert not judge(table(limit * 0.999))[1]["score"].exceeded
    assert judge(table(limit * 1.001))[1]["score"].exceeded


@pytest.mark.slow
@pytest.mark.parametrize(("after", "rows"), [(0.99, 600), (-0.99, 600), (1.01, 597), (-1.01, 597)])
def test_truth_is_that_of_the_nearest_row_within_the_bound(judge: Judge, after: float, rows: int) -> None:
    """Beyond half of the 2 s between rows, the nearest row is another one: its truth is not this one's."""
    _, found = judge(table(after=after))
    assert found["score"].detail.startswith(f"mean distance of {rows} rows")
    assert (found["score"].value == pytest.approx(0.1)) == (rows == 600)


@pytest.mark.slow
def test_truth_of_other_devices_does_not_count(judge: Judge) -> None:
    _, found = judge(table(device=["B9", "B2", "B3"] * (ROWS // 3)))
    assert found["score"].detail.startswith("mean distance of 400 rows")


@pytest.mark.slow
def test_of_truth_that_comes_twice_the_last_one_counts(judge: Judge) -> None:
    truth, found = judge(pa.concat_tables([table(50.0), table(0.1)]))
    assert len(truth.time) == ROWS
    assert found["score"].value == pytest.approx(0.1)


@pytest.mark.slow
def test_truth_that_is_not_known_is_left_out(judge: Judge) -> None:
    fault = (answers(drawn(ROWS))["score"] + 0.1).tolist()
    fault[:90] = [None] * 60 + [float("nan")] * 30
    assert judge(table(fault=fault))[1]["score"].detail.startswith("mean distance of 510 rows")


@pytest.mark.slow
def test_too_few_rows_with_truth_are_not_judged(judge: Judge) -> None:
    assert judge(table(rows=19))[1].keys() == {"truth"}
    assert judge(table(rows=21))[1].keys() == {"truth", "score"}


@pytest.mark.slow
def test_truth_that_never_comes_is_an_alarm(judge: Judge) -> None:
    _, found = judge(None)
    assert found["truth"].exceeded
    assert found["truth"].detail == "no truth has arrived"
    assert found.keys() == {"truth"}


@pytest.mark.slow
@pytest.mark.parametrize(("age", "beyond"), [(86_399, False), (86_401, True)])
def test_truth_that_does_not_come_any_more_is_an_alarm(judge: Judge, age: float, beyond: bool) -> None:
    assert judge(table(), until=BEGAN + 398 + age)[1]["truth"].exceeded == beyond


@pytest.mark.slow
def test_truth_of_the_future_does_not_count(judge: Judge) -> None:
    assert len(judge(table(), until=BEGAN + 100)[0].time) == 150


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "time with a zone", "time without a zone"])
def test_truth_is_read_in_each_form(judge: Judge, tmp_path: Path, log: Path, contract: Contract, form: str) -> None:
    usual = table()
    if form == "csv":
        pa.csv.write_csv(usual, tmp_path / "truth.csv")
        truth = read(tmp_path / "truth.csv", log, contract, NOW)
    else:
        zone = UTC if form == "time with a zone" else None
        moments = [datetime.fromtimestamp(at, UTC).replace(tzinfo=zone) for at in usual["time"].to_pylist()]
        truth, _ = judge(usual.set_column(0, "time", pa.array(moments)))
    np.testing.assert_allclose(np.sort(truth.time), np.sort(usual["time"].to_numpy()))


@pytest.mark.parametrize("column", ["time", "device", "fault"])
def test_a_table_without_a_column_that_is_needed_is_refused(judge: Judge, column: str) -> None:
    with pytest.raises(BadInput, match=f"the truth has no column '{column}'"):
        judge(table().drop_columns([column]))


def test_a_table_that_is_none_is_refused(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "truth.parquet").write_text("no table")
    with pytest.raises(BadInput, match="the truth cannot be read: "):
        judge(None)
