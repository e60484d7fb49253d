"""Example: tests of the model of scalars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }}.model import Model, Training, fit
from {{ cookiecutter.package_name }}.pipeline.tables import Rows

CLASSES = (("hit",), ("low", "middle", "high"))
SETTINGS = {
    {%- if cookiecutter["library"] == "torch" %}
    "hidden": 16,
    "epochs": 60,
    "batch": 32,
    "learning_rate": 0.02,
    {%- elif cookiecutter["library"] == "xgboost" %}
    "rounds": 40,
    "depth": 3,
    "learning_rate": 0.3,
    "share": 0.9,
    {%- else %}
    "trees": 30,
    {%- endif %}
}


def rows(seed: int, count: int = 300) -> Rows:
    """A quantity, a class of two and a class of three, that follow from a number and from a text of two."""
    random = np.random.default_rng(seed)
    inputs = {"x": random.normal(size=count), "mode": random.integers(0, 2, count).astype(np.float64)}
    y = inputs["x"] + 2 * inputs["mode"]
    parts = {"low": y < 0, "middle": (y >= 0) & (y < 2), "high": y >= 2, "hit": y > 1}
    return Rows(pd.DataFrame(index=range(count)), inputs, {"y": y, **{name: one * 1.0 for name, one in parts.items()}})


def params(seed: int = 0) -> Training:
    return Training(seed=seed, classes=CLASSES, categories={"mode": 2}, **SETTINGS)


@pytest.fixture(scope="module")
def trained() -> Model:
    return fit(rows(0), rows(1), params())[0]


def test_quantities_and_classes_are_learned(trained: Model, capfd: pytest.CaptureFixture[str]) -> None:
    unseen = rows(2)
    found = trained(unseen.inputs)
    assert capfd.readouterr().err == "", "whoever runs the model warns"
    assert np.abs(found["y"] - unseen.targets["y"]).mean() < 0.3
    assert ((found["hit"] > 0.5) == (unseen.targets["hit"] == 1)).mean() > 0.9
    several, truth = (np.stack([one[name] for name in CLASSES[1]], axis=1) for one in (found, unseen.targets))
    np.testing.assert_allclose(several.sum(axis=1), 1, atol=1e-5)
    assert (several.argmax(axis=1) == truth.argmax(axis=1)).mean() > 0.85


def test_a_row_alone_has_the_answer_that_it_has_in_a_batch(trained: Model) -> None:
    inputs = rows(3, 5).inputs
    together = trained(inputs)
    for row in range(5):
        alone = trained({name: values[row : row + 1] for name, values in inputs.items()})
        for name, values in alone.items():
            np.testing.assert_allclose(values, together[name][row : row + 1], atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_input_that_is_not_finite_gives_no_answer(bad: float, trained: Model) -> None:
    inputs = rows(3, 3).inputs
    inputs["x"][1] = bad
    for values in trained(inputs).values():
        assert np.isnan(values).tolist() == [False, True, False]


def test_the_saved_model_gives_the_same_answers_and_the_same_bytes(trained: Model, tmp_path: Path) -> None:
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
    trained.save(tmp_path / "first")
    loaded = Model.load(tmp_path / "first")
    loaded.save(tmp_path / "again")
    inputs = rows(3).inputs
    for name, values in trained(inputs).items():
        np.testing.assert_array_equal(loaded(inputs)[name], values)
    for file in (tmp_path / "first").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_the_seed_determines_the_model(trained: Model) -> None:
    again, curve = fit(rows(0), rows(1), params())
    other, _ = fit(rows(0), rows(1), params(seed=1))
    inputs = rows(3).inputs
    assert curve
    np.testing.assert_array_equal(again(inputs)["y"], trained(inputs)["y"])
    assert not np.array_equal(other(inputs)["y"], trained(inputs)["y"])
