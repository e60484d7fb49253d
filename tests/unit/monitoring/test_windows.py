"""A window of the prediction log: which rows are judged, and what is said of a log that is odd."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beampermit.contract import Contract
from beampermit.contract.signals import Signal
from beampermit.errors import BadInput
from beampermit.monitoring import log_arrays, reference
from beampermit.monitoring.log_doubles import read_doubles
from beampermit.monitoring.log_rows import open_rows
from beampermit.monitoring.windows import LogWindow, SignalRows, compared_whole, read_window
from support.monitored import BEGAN, DEVICES, drawn, log_rows, monitored_contract
from support.prediction_logs import Logged, logged
from support.served import NOW, Served, serve, served_contract, serving

__all__ = ["logged", "serve", "serving"]

HOUR = 3600.0
ROWS = 600


@pytest.fixture
def contract(contract_text: str) -> Contract:
    return monitored_contract(contract_text)


@pytest.fixture
def write(tmp_path: Path, contract: Contract) -> Callable[..., Path]:
    """Writes rows into the log; returns its folder."""

    def made(rows: int = ROWS, seed: int = 0, **options: Any) -> Path:
        return log_rows(tmp_path, contract, drawn(rows, seed), **options)

    return made


def window(
    log: Path, contract: Contract, since: float = BEGAN, until: float = BEGAN + HOUR, **options: Any
) -> LogWindow:
    return read_window(log, contract, since, until, **options)


@pytest.mark.slow
def test_arrays_have_what_the_service_was_asked_and_answered(write: Callable[..., Path], contract: Contract) -> None:
    found, inputs = window(write(), contract), drawn(ROWS)
    assert (found.window.rows, found.window.version, found.notes) == (ROWS, 3, ("no row for 3202 s",))
    assert found.devices == DEVICES
    assert found.keys == {"device": DEVICES}
    np.testing.assert_array_equal(found.inputs["current"].numbers["current"], inputs["current"])
    np.testing.assert_array_equal(found.inputs["turns"].values, inputs["turns"].astype(np.float32))
    np.testing.assert_allclose(found.inputs["turns"].numbers["turns.mean"], inputs["turns"].mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(found.outputs["score"].values[:, 0], 2 * inputs["turns"].mean(axis=1))
    assert found.at[:4].tolist() == [BEGAN, BEGAN, BEGAN, BEGAN + 2]
    assert found.device[:4].tolist() == [0, 1, 2, 0]


@pytest.mark.slow
def test_a_real_log_is_read_while_it_is_written(
    serving: Served, logged: Logged, tmp_path: Path, contract_text: str
) -> None:
    log = logged(serving)
    for after in range(1, 4):
        serving.at += 1
        serving.put((after, 2.0, 3.0))
        serving.put((1.0, 2.0, math.nan), device="B2")
        serving.current(300.0 + after)
        log.publish(serving.cycle())
        log._write()
    found = window(tmp_path / "log", served_contract(contract_text), NOW, NOW + 60)
    assert found.inputs["current"].numbers["current"].tolist() == [301, 301, 302, 302, 303, 303]
    assert [found.devices[number] for number in found.device] == ["B1", "B3"] * 3
    assert found.shown.share(found.shown.invalid["score"]) == pytest.approx(1 / 3)
    log.close()


@pytest.mark.slow
def test_the_rows_from_since_up_to_until(write: Callable[..., Path], contract: Contract) -> None:
    log = write()
    assert len(window(log, contract, BEGAN + 2, BEGAN + 4)) == 3
    assert len(window(log, contract, BEGAN + 2, BEGAN + 4.001)) == 6
    assert len(window(log, contract, BEGAN + HOUR, BEGAN + 2 * HOUR)) == 0
    whole = window(log, contract)
    part = whole.between(BEGAN + 2, BEGAN + 4)
    assert (len(part), part.window.rows, part.window.since) == (3, 3, BEGAN + 2)
    np.testing.assert_array_equal(part.inputs["turns"].values, whole.inputs["turns"].values[3:6])


@pytest.mark.slow
def test_neither_what_ran_beside_nor_what_was_not_asked_counts(write: Callable[..., Path], contract: Contract) -> None:
    write(served__shadow=np.arange(ROWS) % 2 == 0)
    assert len(window(write(began=BEGAN + HOUR, served__asked=np.arange(ROWS) % 3 == 0), contract)) == ROWS // 2
    assert len(window(write(began=BEGAN + HOUR), contract, BEGAN + HOUR, BEGAN + 2 * HOUR)) == ROWS


@pytest.mark.slow
def test_of_several_versions_the_last_in_service_is_judged(write: Callable[..., Path], contract: Contract) -> None:
    write()
    write(began=BEGAN + 1800, version=4)
    log = write(began=BEGAN + 2000, version=5, served__shadow=np.ones(ROWS, bool))
    found = window(log, contract)
    assert (found.window.version, len(found)) == (4, ROWS)
    assert "version 3 was in service too; only version 4 is judged" in found.notes
    found = window(log, contract, version=3)
    assert (found.window.version, len(found)) == (3, ROWS)
    found = window(log, contract, version=9)
    assert (found.window.version, len(found), len(found.shown.at)) == (9, 0, 0)


@pytest.mark.slow
def test_versions_that_share_a_file_are_told_apart(write: Callable[..., Path], contract: Contract) -> None:
    log = write(served__version=np.where(np.arange(ROWS) < 150, 2, 3))
    found = window(log, contract)
    assert (found.window.version, len(found), len(found.shown.at)) == (3, ROWS - 150, ROWS - 150)
    assert len(window(log, contract, version=2)) == 150


@pytest.mark.slow
def test_rows_that_are_there_twice_count_once(write: Callable[..., Path], contract: Contract) -> None:
    log = write()
    (file,) = log.rglob("*.parquet")
    file.with_name("2027-01-15T080000.000001Z.parquet").write_bytes(file.read_bytes())
    found = window(log, contract)
    assert len(found) == found.window.rows == ROWS
    assert f"{ROWS} rows are there twice and count once" in found.notes


@pytest.mark.slow
def test_a_clock_that_goes_back_is_said_and_its_rows_count(write: Callable[..., Path], contract: Contract) -> None:
    write()
    log = write(began=BEGAN + 1, served__cycle=np.arange(ROWS) // 3 + ROWS)
    (first, second) = sorted(log.rglob("*.parquet"))
    second.rename(first.with_name("2027-01-15T081000.000000Z.parquet"))
    found = window(log, contract)
    assert len(found) == 2 * ROWS
    assert "the clock went back by 397 s" in found.notes


@pytest.mark.slow
@pytest.mark.parametrize(("silent", "said"), [(58, False), (62, True)])
def test_a_gap_is_said(write: Callable[..., Path], contract: Contract, silent: int, said: bool) -> None:
    write(900)
    log = write(900, 1, began=BEGAN + 598 + silent, served__cycle=np.arange(900) // 3 + 300)
    found = window(log, contract, until=BEGAN + 1200)
    assert (f"no row for {silent} s" in found.notes) == said


@pytest.mark.slow
def test_a_service_that_is_asked_rarely_has_no_gaps(write: Callable[..., Path], contract: Contract) -> None:
    assert window(write(90, apart=120.0), contract).notes == ()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "not a table", "empty", "bytes in the middle", "bytes of an input"])
def test_a_damaged_file_is_said_and_the_others_are_judged(
    write: Callable[..., Path], contract: Contract, damage: str
) -> None:
    log = write()
    (file,) = log.rglob("*.parquet")
    content = file.read_bytes()
    middle = len(content) // 2
    damaged = {
        "cut": content[:middle],
        "not a table": b"no table",
        "empty": b"",
        "bytes in the middle": content[:100] + bytes(middle) + content[100 + middle :],
        "bytes of an input": _spoiled(file, "turns"),
    }
    other = file.with_name("2027-01-15T080000.000001Z.parquet")
    other.write_bytes(damaged[damage])
    found = window(log, contract)
    assert len(found) == ROWS
    assert any(note.startswith(f"{other.name} cannot be read: ") for note in found.notes)


def _spoiled(file: Path, column: str) -> bytes:
    """The file with zeros in the values of a column, and everything else as it was."""
    content = bytearray(file.read_bytes())
    group = pq.ParquetFile(file).metadata.row_group(0)
    (of,) = (
        group.column(number)
        for number in range(group.num_columns)
        if group.column(number).path_in_schema.startswith(column)
    )
    start = of.data_page_offset + 60
    content[start : start + of.total_compressed_size // 2] = bytes(of.total_compressed_size // 2)
    return bytes(content)


@pytest.mark.slow
def test_a_log_of_another_contract_is_said(write: Callable[..., Path], contract: Contract) -> None:
    log = write()
    (file,) = log.rglob("*.parquet")
    pq.write_table(pq.read_table(file).drop_columns(["lifetime"]), file)
    found = window(log, contract)
    assert "version 3 was served without lifetime, so the contract is not its own" in found.notes
    assert [*found.inputs] == ["turns", "current", "gain", "mode"]


def test_there_must_be_a_log(tmp_path: Path, contract: Contract) -> None:
    with pytest.raises(BadInput, match="there is no such folder with a prediction log"):
        window(tmp_path / "log", contract)


@pytest.mark.slow
def test_arrays_are_read_in_slices_and_odd_rows_are_not_finite(
    write: Callable[..., Path], contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_arrays, "VALUES_OF_A_SLICE", 64)
    turns = [[*map(float, range(8))]] * ROWS
    turns[5], turns[6] = [1.0], None
    found = window(write(turns=turns), contract).inputs["turns"]
    assert found.values.shape == (ROWS, 8)
    assert np.flatnonzero(found.missing).tolist() == [5, 6]
    assert np.isnan(found.numbers["turns.mean"][5:7]).all()
    assert found.numbers["turns.mean"][7] == 3.5


def _as_float(table: pa.Table) -> pa.Table:
    return table.set_column(_place(table, "mode"), "mode", table["mode"].cast(pa.float32()))


def _with_nulls(table: pa.Table) -> pa.Table:
    some = [None if number % 7 == 0 else value for number, value in enumerate(table["current"].to_pylist())]
    return table.set_column(_place(table, "current"), "current", pa.array(some, pa.float64()))


def _place(table: pa.Table, name: str) -> int:
    return table.schema.get_field_index(name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "plain"),
    [
        (lambda table: table, True),
        (_with_nulls, True),
        (lambda table: table.drop_columns(["lifetime"]), True),
        (_as_float, False),
    ],
)
def test_numbers_are_the_same_bits_as_those_of_sql(
    write: Callable[..., Path], contract: Contract, change: Callable[[pa.Table], pa.Table], plain: bool
) -> None:
    write(served__shadow=np.arange(ROWS) % 5 == 0)
    log = write(began=BEGAN + 1800, served__asked=np.arange(ROWS) % 3 > 0, served__version=np.arange(ROWS) // 400 + 3)
    file = sorted(log.rglob("*.parquet"))[-1]
    pq.write_table(change(pq.read_table(file)), file, row_group_size=130)
    scalars = [signal for signal in (*contract.signals.inputs, *contract.signals.outputs) if not signal.shape]
    names = [signal.name for signal in scalars]
    with open_rows(log / contract.model.name, BEGAN + 5, BEGAN + 2100, 3) as rows:
        assert (read_doubles(rows, names) is not None) == plain
        read = log_arrays.read_scalars(rows, scalars)
        for name in names:
            (of,) = rows.asked([f"TRY_CAST({name} AS DOUBLE) AS x"]).fetchnumpy().values()
            np.testing.assert_array_equal(read[name], np.ma.filled(of, np.nan))
        assert 700 < len(read["current"]) < 800


@pytest.mark.slow
def test_shares_of_what_was_shown_are_shares_of_the_time(write: Callable[..., Path], contract: Contract) -> None:
    """All devices become INVALID after 20 minutes, and nothing is logged any more."""
    severity = np.where(np.arange(1803) >= 1800, 3, 0).astype(np.uint8)
    origin = ["model"] * 1800 + ["held"] * 3
    log = write(1803, score__severity=severity, score__origin=origin, served__asked=severity == 0)
    shown = window(log, contract).shown
    assert shown.share(shown.invalid["score"]) == pytest.approx(2 / 3)
    assert shown.share(shown.fallback["score"]) == pytest.approx(2 / 3)
    assert shown.share(shown.invalid["orbit"]) == 0
    later = window(log, contract, BEGAN + HOUR, BEGAN + 1.5 * HOUR)  # it goes on, without a row
    assert len(later) == 0
    assert later.shown.share(later.shown.invalid["score"]) == 1
    part = window(log, contract).between(BEGAN + 600, BEGAN + 1800).shown
    assert part.share(part.invalid["score"]) == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    "shapes",
    [
        [(), (8,), (128,), (129,), (16, 16)],
        [(128,)] * 9,  # the fourth, and those after it, do not fit
        [(100,)] * 4 + [(97,), (96,), (1,), ()],
        [()] * 490 + [(8,), (4,), (3,), (2, 1), ()],
    ],
)
def test_arrays_are_kept_value_by_value_where_the_reference_compares_them_so(shapes: list[tuple[int, ...]]) -> None:
    """What is kept of a window would otherwise be gigabytes."""
    named = [{"name": f"x{n}", "pv": f"X:{n}", "shape": [*shape], "unit": "1"} for n, shape in enumerate(shapes)]
    inputs = [Signal.model_validate({**one, "range": [0, 1]}) for one in named]
    rows = {signal.name: np.zeros((3, *signal.shape)) for signal in inputs}
    kept = compared_whole(inputs)
    parts = [SignalRows.of(of, rows[of.name], output=False, whole=of.name in kept).values for of in inputs]
    expected = reference.columns(rows)
    left, found = reference.MOST_COLUMNS, []
    for part in parts:
        if part.shape[1] <= left:
            found.append(part.shape[1])
            left -= part.shape[1]
    assert found == [block.shape[1] for block in expected]
    assert sum(part.shape[1] for part in parts) <= reference.MOST_COLUMNS + 4 * len(shapes)
