from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from {{ cookiecutter.package_name }}.pipeline import tables
from {{ cookiecutter.package_name }}.pipeline.contract import Output, Signal

IMAGE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
KINDS = {
    "lists of lists": pa.array(IMAGE.tolist()),
    "flat lists": pa.array(IMAGE.reshape(2, 12).tolist()),
    "lists of a fixed size": pa.FixedSizeListArray.from_arrays(pa.array(IMAGE.ravel()), 12),
}


def test_a_column_without_times_is_no_time() -> None:
    assert tables.ends(pd.Series(pd.to_datetime(["2027-02-01", "2027-01-01"])))[0] == "2027-01-01T00:00:00"
    for other in ([1, 2], ["2027-01-01", "2027-02-01"]):
        with pytest.raises(SystemExit, match=r"'at' is dataset\.split\.time in contract\.yaml, and holds no times"):
            tables.ends(pd.Series(other, name="at"))


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_has_the_shape_of_the_contract_however_it_is_stored(kind: str, tmp_path: Path) -> None:
    others = {"id": [1, 2], "size": [0.5, 1.5], "kind": ["a", "b"]}
    pq.write_table(pa.table({"image": KINDS[kind], **others}), tmp_path / "rows.parquet")
    outputs = [Output(name="area", target="size"), Output(name="class", target="kind"), Output(name="anomaly")]
    rows = tables.read_rows(tmp_path / "rows.parquet", [Signal(name="image", shape=(3, 4))], outputs)
    np.testing.assert_array_equal(rows.inputs["image"], IMAGE)
    assert {name: values.tolist() for name, values in rows.targets.items()} == {"area": [0.5, 1.5], "class": ["a", "b"]}
    assert rows.table.columns.tolist() == ["id", "size", "kind"]
    assert rows.take(np.array([1, 1])).inputs["image"].shape == (2, 3, 4)


def test_what_is_written_is_read_and_has_the_same_bytes_again(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": ["a", "b"], "image": list(IMAGE), "trace": list(IMAGE[:, 0]), "size": [1, 2]})
    for name in ("one", "other"):
        tables.write_table(table, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    signals = [Signal(name="image", shape=(3, 4)), Signal(name="trace", shape=(4,)), Signal(name="size")]
    found = tables.read_rows(tmp_path / "one", signals).inputs
    np.testing.assert_array_equal(found["image"], IMAGE)
    np.testing.assert_array_equal(found["trace"], IMAGE[:, 0])
    assert found["size"].dtype == np.float64


WRONG = {
    "another shape": ("image", (4, 4), "'image' does not have the shape"),
    "text": ("word", (), "'word' is not a number in each row"),
    "missing": ("none", (), "there is no column 'none', which contract.yaml names"),
}


@pytest.mark.parametrize("defect", WRONG)
def test_a_column_that_does_not_fit_is_one_line(defect: str, tmp_path: Path) -> None:
    name, shape, message = WRONG[defect]
    pq.write_table(pa.table({"image": KINDS["flat lists"], "word": ["a", "b"]}), tmp_path / "rows.parquet")
    with pytest.raises(SystemExit, match=message):
        tables.read_rows(tmp_path / "rows.parquet", [Signal(name=name, shape=shape)])
