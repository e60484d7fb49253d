"""Truth that arrives late: joined by device and time, once each; truth that never comes is an alarm of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from beampermit.contract import Contract
from beampermit.errors import BadInput
from beampermit.live.promoted.promoted import Declared
from beampermit.monitoring.quality import MOST_WINDOWS, Truth, _ends, compare, quality
from beampermit.monitoring.readings import readings
from beampermit.monitoring.trip_rules import Judged, RuleState
from beampermit.monitoring.truth_recorder import TruthRecorder
from beampermit.monitoring.truth_tables import read_table
from beampermit.monitoring.truths import Truths
from beampermit.monitoring.watched import Watched
from beampermit.monitoring.windows import read_window
from beampermit.verdicts.monitoring import Reading
from support.monitored import BEGAN, DEVICES, SIGNALS, answers, drawn, log_rows, monitored_contract, usual_limits

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
def test_rows_whose_truth_is_still_to_come_are_no_truth(judge: Judge) -> None:
    """Labels that nobody has given yet: the row is there, and its target is empty."""
    _, found = judge(table(fault=pa.array([None] * ROWS, pa.float64())))
    assert found.keys() == {"truth"}
    assert found["truth"].exceeded
    assert found["truth"].detail == "no truth has arrived; 600 rows without one"


@pytest.mark.slow
def test_the_age_of_truth_is_that_of_the_newest_row_that_has_one(judge: Judge) -> None:
    fault = (answers(drawn(ROWS))["score"] + 0.1).tolist()
    some = [*fault[:300], *([None] * 299), float("nan")]
    truth, found = judge(table(fault=some), until=BEGAN + 198 + 86_401)
    assert found["truth"].exceeded
    assert found["truth"].detail == "the newest truth is so old; 300 newer rows without one"
    assert truth.windows[-1].until == BEGAN + 198
    assert found["score"].detail.startswith("mean distance of 300 rows")
    assert not judge(table(fault=some), until=BEGAN + 198 + 86_399)[1]["truth"].exceeded


@pytest.mark.slow
def test_each_output_of_a_table_has_its_own_newest_truth(tmp_path: Path, log: Path, contract: Contract) -> None:
    """One is measured, the other is labelled days later; and what has no limit is not compared in silence."""
    score, orbit = SIGNALS["outputs"]
    signals = contract.signals.model_validate({**SIGNALS, "outputs": [score, {**orbit, "target": "orbits"}]})
    contract = contract.model_copy(update={"signals": signals})
    orbits = answers(drawn(ROWS))["orbit"].tolist()
    pq.write_table(table(orbits=[*orbits[:300], *([None] * 300)]), tmp_path / "truth.parquet")
    declared = Declared(3, None, b"", cast(Any, None), contract, tmp_path)
    limits = usual_limits((Path(__file__).parents[2] / "data/contract.yaml").read_text())
    truths = Truths(log, tmp_path / "truth.parquet", None, TruthRecorder(tmp_path / "pvs"))
    found, problems, _ = truths.read(Watched(declared, limits), NOW, RuleState(), {})
    assert {tuple(one.values): one.newest - BEGAN for one in found} == {("orbit",): 198, ("score",): 398}
    age, of_score = quality(found, contract, limits, NOW)
    assert age.value == pytest.approx(7200 - 198)
    assert age.detail == "the newest truth of orbit is so old; 300 newer rows without one"
    assert (of_score.subject, of_score.newest) == ("score", BEGAN + 398)
    assert problems == ["metrics/limits.json has no limit of the distance of orbit from the truth"]


@pytest.mark.slow
def test_labels_of_the_end_of_a_window_that_are_filled_in_are_compared(
    tmp_path: Path, log: Path, contract_text: str
) -> None:
    """As those of whole hours are. What waits is said of each output, and what the table says, once."""
    contract = monitored_contract(contract_text, window="100s", truth_within="5s")
    score, orbit = SIGNALS["outputs"]
    signals = contract.signals.model_validate({**SIGNALS, "outputs": [score, {**orbit, "target": "orbits"}]})
    contract = contract.model_copy(update={"signals": signals})
    declared = Declared(3, None, b"", cast(Any, None), contract, tmp_path)
    limits = usual_limits(contract_text)
    watched = Watched(declared, limits)
    judged = [
        Judged(reading=Reading(check="MON007", subject=name, value=0.0, limit=1.0, newest=at), since=at, until=at)
        for name, at in (("score", BEGAN + 398), ("orbit", BEGAN + 396))
    ]
    before = RuleState(version=3, judged=tuple(judged))
    truths = Truths(log, tmp_path / "truth.parquet", None, TruthRecorder(tmp_path / "pvs"))
    newest = table().slice(ROWS - 120)
    times, fault = newest["time"].to_pylist(), [str(one) for one in newest["fault"].to_pylist()]
    orbits: list[Any] = [*answers(drawn(ROWS))["orbit"][-120:].tolist()]
    fault[0], orbits[-3:] = "unsure", [None] * 3

    def read(seen: Any, number: int, of_orbit: int) -> tuple[list[Truth], Any]:
        at = [BEGAN + 100 + 0.01 * (place // 3) for place in range(number)]
        columns = {
            "time": [*times, *at],
            "device": [*newest["device"].to_pylist(), *(DEVICES[place % 3] for place in range(number))],
            "fault": pa.array([*fault, *["9.0"] * number]),
            "orbits": pa.array([*orbits, *[[0.0] * 8] * of_orbit, *[None] * (number - of_orbit)]),
        }
        pq.write_table(pa.table(columns), tmp_path / "truth.parquet")
        found, _, after = truths.read(watched, NOW, before, seen)
        return sorted(found, key=lambda one: one.newest), after

    _, seen = read({}, 0, 0)
    (of_orbit, of_score), seen = read(seen, 21, 9)
    assert of_orbit.filled_in == ()
    (window,) = of_score.filled_in
    assert (window.until, len(window.far["score"])) == (BEGAN + 100, 15)
    assert window.far["score"].mean() > 8
    (of_orbit, of_score), _ = read(seen, 27, 12)
    assert next(quality([of_orbit, of_score], contract, limits, NOW)).detail == (
        "the newest truth of orbit is so old; 3 newer rows without one;"
        " 1 row of column 'fault' say 'unsure' or the like, which is no number;"
        " 12 rows of orbit filled in behind newer truth wait for more of their window;"
        " 6 rows of score filled in behind newer truth wait for more of their window"
    )


@pytest.mark.slow
def test_truth_of_which_nothing_was_judged_is_not_judged_twice(tmp_path: Path, log: Path, contract_text: str) -> None:
    """Too few rows at first: all windows are yet to be judged, and none is filled in."""
    contract = monitored_contract(contract_text, window="100s")
    watched = Watched(Declared(3, None, b"", cast(Any, None), contract, tmp_path), usual_limits(contract_text))
    truths, seen = Truths(log, tmp_path / "truth.parquet", None, TruthRecorder(tmp_path / "pvs")), {}
    for first in (ROWS - 6, 0):
        pq.write_table(table().slice(first), tmp_path / "truth.parquet")
        (truth,), _, seen = truths.read(watched, NOW, RuleState(version=3), seen)
        assert truth.filled_in == ()


def labels(fault: Any, **columns: Any) -> pa.Table:
    """As `dataset.labels` is: by key, without a time."""
    key = {"acquisition": np.arange(ROWS) // 3, "device": list(DEVICES) * (ROWS // 3), "plane": ["X"] * ROWS}
    return pa.table({**key, "fault": fault, "labelled_by": ["Bo"] * ROWS, "why": ["seen"] * ROWS, **columns})


@pytest.mark.slow
@pytest.mark.parametrize("where", ["in the data", "in the labels"])
def test_labels_of_the_project_are_truth(tmp_path: Path, log: Path, contract: Contract, where: str) -> None:
    """The time is that of the labelled row. Of two labels of a row, the later line counts."""
    moments = pa.array([datetime.fromtimestamp(at, UTC) for at in BEGAN + np.arange(ROWS) // 3 * 2.0])
    fault = answers(drawn(ROWS))["score"] + 0.1
    if where == "in the data":
        (tmp_path / "data").mkdir()
        rows = labels(fault).select(["acquisition", "device", "plane"]).append_column("acquired_at", moments)
        pq.write_table(rows.slice(0, 597), tmp_path / contract.dataset.raw)
        given = pa.concat_tables([labels(fault + 50.0), labels(fault)])
    else:
        given = labels(fault, acquired_at=moments).slice(0, 597)
    pq.write_table(given, tmp_path / "labels.parquet")
    outputs = [output for output in contract.signals.outputs if output.target]
    truth = compare(read_table(tmp_path / "labels.parquet", contract, NOW, outputs, tmp_path), log, contract, NOW)
    assert len(truth.time) == 597
    np.testing.assert_allclose(truth.windows[-1].far["score"], 0.1)
    assert len(truth.windows[-1].far["score"]) == 597


def test_labels_whose_time_is_nowhere_are_refused(tmp_path: Path, log: Path, contract: Contract) -> None:
    pq.write_table(labels(np.zeros(ROWS)), tmp_path / "labels.parquet")
    said = "the truth has no column 'time', nor 'acquired_at'; of labels, data/raw.parquet with acquisition, device, "
    with pytest.raises(BadInput, match=f"{said}plane, acquired_at says it, and is not here"):
        read(tmp_path / "labels.parquet", log, contract, NOW)
    outputs = [output for output in contract.signals.outputs if output.target]
    (tmp_path / "data").mkdir()
    pq.write_table(labels(np.zeros(ROWS)), tmp_path / contract.dataset.raw)
    with pytest.raises(BadInput, match=r"are joined by dataset[.]key, so need acquisition, device, plane, acquired_at"):
        read_table(tmp_path / "labels.parquet", contract, NOW, outputs, tmp_path)


@pytest.mark.slow
def test_truth_that_is_text_is_refused(judge: Judge) -> None:
    said = "column 'fault', the truth of score, says 'stuck', and predictions are compared with numbers"
    with pytest.raises(BadInput, match=said):
        judge(table(fault=["stuck", "", None] * (ROWS // 3)))
    # Some text among numbers, as of a measurement that failed, is no truth, and is said.
    _, found = judge(table(fault=["0.1", "n/a", ""] * (ROWS // 3)))
    assert found["truth"].detail.endswith("200 rows of column 'fault' say 'n/a' or the like, which is no number")
    assert found["score"].detail.startswith("mean distance of 200 rows")
    # A yes or no is a number.
    assert judge(table(fault=[True, False, True] * (ROWS // 3)))[1]["score"].detail.startswith("mean distance of 600")


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
