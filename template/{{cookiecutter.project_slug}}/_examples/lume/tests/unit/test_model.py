"""The imported model: as it was saved, and trained further."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }}.features import Features, Scaling, Step
from {{ cookiecutter.package_name }}.model import IMPORTED, Model, Training, fit
from {{ cookiecutter.package_name }}.pipeline import contract
from {{ cookiecutter.package_name }}.pipeline.tables import Arrays, Rows
from {{ cookiecutter.package_name }}.source import acquire


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return acquire("imported-model", {"rows": 200, "seed": 3})


@pytest.fixture(scope="module")
def rows(table: pd.DataFrame) -> Rows:
    part = contract.of(contract.ForTraining)
    inputs = {signal.name: table[signal.name].to_numpy(float) for signal in part.inputs}
    targets = {output.name: table[output.target].to_numpy(float) for output in part.outputs if output.target}
    return Rows(table, inputs, targets)


def same(one: Arrays, other: Arrays) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_scaling_of_answers_has_its_reverse() -> None:
    step = Step(offset=(1.0, -2.0), coefficient=(4.0, 0.5))
    names = {"inputs": ("x", "y"), "outputs": ("a", "b"), "before": (step,), "after": (step, step)}
    features = Features(Scaling(precision="double", **names))
    values = np.array([[0.25, 3.0], [1.0, 2.0]])
    np.testing.assert_allclose(features({"x": values[:, 0], "y": values[:, 1]}), (values - [1, -2]) / [4, 0.5])
    np.testing.assert_allclose(features.targets(features.answers(values)), values)


def test_rows_are_within_the_contracts_ranges(table: pd.DataFrame) -> None:
    part = contract.of(contract.ForRequest)
    for signal in part.inputs:
        lowest, highest = signal.range
        assert table[signal.name].between(lowest, highest).all(), signal.name
    assert set(table["origin"]) == {"imported model"}
    assert table["sample"].is_unique


def test_another_source_is_refused() -> None:
    with pytest.raises(ValueError, match="is not one of imported-model, files"):
        acquire("archiver", {})
    with pytest.raises(ValueError, match="is not below acquisitions/"):
        acquire("files", {"path": "contract.yaml"})


def test_without_epochs_the_imported_weights_are_served(rows: Rows, tmp_path: Path) -> None:
    model, curve = fit(rows, rows, Training())
    assert not curve
    assert same(model(rows.inputs), Model.load(IMPORTED)(rows.inputs))
    assert all(np.allclose(model(rows.inputs)[name], rows.targets[name]) for name in rows.targets)
    model.save(tmp_path)
    assert same(Model.load(tmp_path)(rows.inputs), model(rows.inputs))


def test_new_weights_learn_and_training_repeats_itself(rows: Rows) -> None:
    params = Training(start="new", epochs=3, seed=5)
    model, curve = fit(rows, rows, params)
    assert curve[-1][2] < curve[0][2]
    assert same(model(rows.inputs), fit(rows, rows, params)[0](rows.inputs))


def test_a_row_that_is_not_finite_has_no_answer(rows: Rows) -> None:
    first = next(iter(rows.inputs))
    inputs = {name: values[:3].copy() for name, values in rows.inputs.items()}
    inputs[first][1] = np.nan
    for values in Model.load(IMPORTED)(inputs).values():
        assert np.isnan(values).tolist() == [False, True, False]
