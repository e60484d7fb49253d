"""Copies of rows of scalars are found, also with noise; rows that are equal by chance, or by nature, are not copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from beampermit.contract import Signal
from beampermit.datasets import equal_rows
from beampermit.datasets.equal_rows import EqualRows, compared
from beampermit.errors import Failed

Rows = np.ndarray
RESOLUTION = 0.5
STEPS = 6
"""Values of a row; from 0 to 1000, uniform."""


def signals(count: int, resolution: float | None = None) -> tuple[Signal, ...]:
    return tuple(
        Signal(name=f"x{place}", pv="X", unit="mm", range=(-2000, 2000), resolution=resolution)
        for place in range(count)
    )


def write(file: Path, x: Rows, groups: Rows, kind: str) -> None:
    import duckdb

    data = {
        "session": np.char.add(f"{file.stem} ", groups.astype(str)),
        "shot": np.arange(len(x)),
        **{f"x{place}": np.ascontiguousarray(x[:, place]) for place in range(x.shape[1])},
    }
    connection = duckdb.connect()
    connection.register("data", data)
    cast = ", ".join(f"coalesce(x{place}, 'nan'::DOUBLE)::{kind} AS x{place}" for place in range(x.shape[1]))
    connection.execute(f"COPY (SELECT session, shot, {cast} FROM data) TO '{file}' (FORMAT parquet)")


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., EqualRows]:
    """Write the splits, whose rows are their own groups if `groups` does not say else, and compare them."""

    def run(
        splits: dict[str, Rows],
        resolution: float | None = None,
        groups: dict[str, Rows] | None = None,
        kinds: dict[str, str] | None = None,
    ) -> EqualRows:
        for split, x in splits.items():
            members = (groups or {}).get(split, np.arange(len(x)))
            write(tmp_path / f"{split}.parquet", x, members, (kinds or {}).get(split, "DOUBLE"))
        (count,) = {x.shape[1] for x in splits.values()}
        files = {split: f"{split}.parquet" for split in splits}
        return equal_rows.equal_rows(tmp_path, files, signals(count, resolution), ("session", "shot"), ("session",))

    return run


def shots(count: int, values: int = STEPS, levels: int = 0, seed: int = 1) -> Rows:
    """Rows of independent values; where `levels` are given, whole numbers below it."""
    rng = np.random.default_rng([seed, count, values, levels])
    return rng.integers(0, levels, (count, values)).astype(float) if levels else rng.uniform(0, 1000, (count, values))


def planted(change: Callable[[Rows], Rows] = lambda x: x) -> dict[str, Rows]:
    train, test = shots(1200), shots(300)
    test[7] = change(train[11])
    return {"train": train, "validation": shots(200), "test": test}


@pytest.mark.slow
def test_a_row_that_is_copied_is_found(look: Callable[..., EqualRows]) -> None:
    found = look(planted())
    (copy,) = found.overlaps
    assert copy.message == "the inputs of 1 row of test are those of train: test 7 7 is train 11 11"
    assert (copy.paths, copy.count) == (("train.parquet", "test.parquet"), 1)
    assert (found.values, found.alike) == (STEPS, 0)


@pytest.mark.slow
def test_copies_are_found_within_the_resolution_of_each_value_and_not_beyond(look: Callable[..., EqualRows]) -> None:
    """Rounding alone would find about one in fifty of those with noise: some value crosses a border."""
    splits, noise = planted(lambda x: x + np.eye(STEPS)[3] * RESOLUTION * 1.001), np.random.default_rng(3)
    train = splits["train"]
    assert look(splits, RESOLUTION) == EqualRows((), STEPS)
    copies = [
        train[0],
        np.round(train[1] / RESOLUTION) * RESOLUTION,
        train[2] + RESOLUTION * 0.999,
        train[3] + np.array([1, -1, 1, 1, -1, 1]) * RESOLUTION * 0.999,
        *(train[100:200] + noise.uniform(-RESOLUTION, RESOLUTION, (100, STEPS))),
    ]
    splits["test"][100 : 100 + len(copies)] = copies
    (overlap,) = look(splits, RESOLUTION).overlaps
    assert overlap.count == len(copies)
    assert overlap.examples == tuple(f"test {100 + place} {100 + place} is train {place} {place}" for place in range(3))


@pytest.mark.slow
@pytest.mark.parametrize("part", [0.999, 1.001])
def test_a_row_that_differs_in_one_value_by_its_resolution(look: Callable[..., EqualRows], part: float) -> None:
    found = look(planted(lambda x: x + np.eye(STEPS)[3] * RESOLUTION * part), RESOLUTION)
    assert len(found.overlaps) == (part < 1)


@pytest.mark.slow
def test_a_copy_in_single_precision_is_found_in_double(look: Callable[..., EqualRows]) -> None:
    (copy,) = look(planted(), kinds={"test": "FLOAT"}).overlaps
    assert copy.count == 1


@pytest.mark.slow
def test_rows_that_are_not_finite_are_left_to_dat004(look: Callable[..., EqualRows]) -> None:
    rows = planted()
    rows["train"][11, 2] = rows["test"][7, 2] = np.nan
    assert look(rows).overlaps == ()


ALIKE: dict[str, Callable[[int], Rows]] = {
    "two on/off inputs": lambda count: shots(count, 2, 2),
    "flags that are seldom set": lambda count: (shots(count, 5) < 20).astype(float),
    "a few levels": lambda count: shots(count, 3, 12),
    "hundreds of levels": lambda count: shots(count, 2, 400),
    "set points at no equal distance": lambda count: shots(20, 1)[shots(count, 4, 20).astype(int), 0],
    "all that one converter shows": lambda count: shots(count, 1, 20_000) * np.array([1.0, 2.0, 3.0]),
    "a machine at rest": lambda count: shots(count) * (np.arange(count) % 5 > 0)[:, None],
    "the same scan again and again": lambda count: np.c_[np.arange(count) % 40, np.arange(count) // 40 % 2],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALIKE)
def test_rows_that_are_equal_without_being_copies_are_no_alarm(look: Callable[..., EqualRows], kind: str) -> None:
    make = ALIKE[kind]
    found = look({"train": make(2000), "test": make(400)})
    assert found.overlaps == ()
    assert found.alike > 0


@pytest.mark.slow
def test_noise_around_a_few_states_is_no_alarm(look: Callable[..., EqualRows]) -> None:
    def settled(count: int) -> Rows:
        return shots(count, 3, 3) * 300 + shots(count, 3) / 1000

    found = look({"train": settled(2000), "test": settled(400)}, RESOLUTION)
    assert found.overlaps == ()
    assert found.alike > 300


@pytest.mark.slow
def test_equal_rows_as_chance_has_them_are_no_alarm(look: Callable[..., EqualRows]) -> None:
    """100 million states: of 20,000 times 5,000 pairs about one is equal, and more where a step is not told apart."""
    for seed in range(2):
        splits = {"train": shots(20_000, 4, 100, seed), "test": shots(5_000, 4, 100, seed)}
        assert look(splits).overlaps == ()


@pytest.mark.slow
def test_a_copy_is_found_beside_rows_of_a_machine_at_rest(look: Callable[..., EqualRows]) -> None:
    make = ALIKE["a machine at rest"]
    train, test = make(2000), make(400)
    test[7] = train[11]
    found = look({"train": train, "test": test})
    assert [overlap.examples for overlap in found.overlaps] == [("test 7 7 is train 11 11",)]
    assert found.alike == 32


@pytest.mark.slow
def test_a_copy_is_found_where_one_value_alone_tells_rows_apart(look: Callable[..., EqualRows]) -> None:
    train, test = (np.c_[shots(count, 1), shots(count, 2, 2)] for count in (2000, 400))
    test[7] = train[11]
    assert [overlap.count for overlap in look({"train": train, "test": test}).overlaps] == [1]


@pytest.mark.slow
@pytest.mark.parametrize("held", [1, 5])
def test_sessions_that_were_stored_twice_are_found_wherever_the_split_puts_them(
    look: Callable[..., EqualRows], held: int
) -> None:
    """Some copies are in one split with their original: that does not make the others chance."""
    rng = np.random.default_rng(1)
    sessions = [np.repeat(shots(20 // held, seed=number), held, axis=0) for number in range(30)]
    sessions += sessions[:8]
    places = np.arange(len(sessions))
    rng.shuffle(places)
    train, test = np.sort(places[:25]), np.sort(places[25:])
    splits = {"train": train, "test": test}
    found = look(
        {split: np.vstack([sessions[place] for place in places]) for split, places in splits.items()},
        groups={split: np.repeat(places, 20) for split, places in splits.items()},
    )
    apart = sum((place in train) != (place + 30 in train) for place in range(8))
    assert [overlap.count for overlap in found.overlaps] == [20 * apart]


@pytest.mark.slow
def test_a_machine_at_rest_is_no_alarm_where_each_split_is_one_session(look: Callable[..., EqualRows]) -> None:
    splits = {split: ALIKE["a machine at rest"](count) for split, count in (("train", 300), ("test", 60))}
    found = look(splits, groups={split: np.zeros(len(x), int) for split, x in splits.items()})
    assert (found.overlaps, found.alike > 0) == ((), True)


@pytest.mark.slow
def test_values_that_are_held_are_no_alarm(look: Callable[..., EqualRows]) -> None:
    held = {split: np.repeat(shots(count), 5, axis=0) for split, count in (("train", 200), ("test", 50))}
    assert look(held, groups={split: np.arange(len(x)) // 5 for split, x in held.items()}).overlaps == ()


def test_rows_are_compared_unless_a_longer_signal_tells_them_apart() -> None:
    assert compared(signals(3)) == signals(3)
    assert compared(signals(1)) == (), "one number repeats by chance"
    assert compared((signals(1)[0].model_copy(update={"shape": (31,)}),)) != ()
    assert compared((*signals(3), signals(4)[3].model_copy(update={"shape": (32,)}))) == ()


@pytest.mark.slow
def test_short_lists_and_texts_are_values_of_the_row(tmp_path: Path) -> None:
    import duckdb

    inputs = (signals(1)[0].model_copy(update={"name": "pair", "shape": (2,)}), signals(2)[1])
    row = "SELECT '{} ' || range AS session, [random(), random()] AS pair, chr(65 + range::INT) AS x1 FROM range(20)"
    for copied, count in (("x1", 1), ("'other' AS x1", 0), ("'' AS x1", 0)):
        duckdb.sql(f"COPY ({row.format('train')}) TO '{tmp_path}/train.parquet' (FORMAT parquet)")
        copy = f"SELECT 'copy' AS session, pair, {copied} FROM read_parquet('{tmp_path}/train.parquet') LIMIT 1"
        duckdb.sql(f"COPY ({row.format('test')} UNION ALL ({copy})) TO '{tmp_path}/test.parquet' (FORMAT parquet)")
        files = {"train": "train.parquet", "test": "test.parquet"}
        found = equal_rows.equal_rows(tmp_path, files, inputs, ("session",), ("session",))
        assert (found.values, sum(overlap.count for overlap in found.overlaps)) == (3, count)


@pytest.mark.slow
def test_nested_lists_and_flat_ones_have_the_same_values(tmp_path: Path) -> None:
    import duckdb

    (image,) = (signal.model_copy(update={"shape": (2, 2)}) for signal in signals(1))
    numbers = "hash(range + {}) / 1e9"
    rows = ", ".join(numbers.format(place) for place in (0, 100, 200, 300))
    nested = rows.replace(f", {numbers.format(200)}", f"], [{numbers.format(200)}")
    for split, first, columns in (("train", 0, f"[[{nested}]]"), ("test", 19, f"[{rows}]")):
        select = f"SELECT '{split} ' || range AS session, {columns} AS x0 FROM range({first}, {first + 20})"
        duckdb.sql(f"COPY ({select}) TO '{tmp_path}/{split}.parquet' (FORMAT parquet)")
    files = {"train": "train.parquet", "test": "test.parquet"}
    found = equal_rows.equal_rows(tmp_path, files, (image,), ("session",), ("session",))
    assert [overlap.examples for overlap in found.overlaps] == [("test 19 is train 19",)]


@pytest.mark.slow
def test_empty_splits_share_nothing_and_unreadable_ones_are_named(
    look: Callable[..., EqualRows], tmp_path: Path
) -> None:
    assert look({"train": shots(20), "test": shots(20)[:0]}).overlaps == ()
    (tmp_path / "test.parquet").write_bytes(b"PAR1")
    with pytest.raises(Failed, match=r"test\.parquet: cannot be read"):
        equal_rows.equal_rows(tmp_path, {"test": "test.parquet"}, signals(3), ("session",), ("session",))


@pytest.mark.slow
def test_memory_is_bounded_and_what_is_spilled_is_removed(
    look: Callable[..., EqualRows], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: list[str] = []

    def find(search: equal_rows._Search) -> None:
        (values,) = search._query("SELECT current_setting('temp_directory'), current_setting('memory_limit')")
        settings.extend(map(str, values))
        assert Path(settings[0]).is_dir()

    monkeypatch.setattr(equal_rows.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(equal_rows._Search, "find", find)
    look({"train": shots(20), "test": shots(10)})
    assert settings[1] == "1.8 GiB"
    assert not Path(settings[0]).exists()
