"""Example: replace with yours. The autoencoder, its score, and what it must not be trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from {{ cookiecutter.package_name }}.features import INPUT
from {{ cookiecutter.package_name }}.metrics import metrics, plots
from {{ cookiecutter.package_name }}.model import Model, Training, fit
from {{ cookiecutter.package_name }}.pipeline.tables import Rows

PARAMS = Training(seed=0, hidden=16, bottleneck=5, epochs=15, batch=16, learning_rate=0.01)


@pytest.fixture(scope="module")
def trained(usual: Rows) -> Model:
    return fit(usual, usual, PARAMS)[0]


def test_reconstruction_is_in_the_shape_and_unit_of_the_readings(trained: Model, usual: Rows) -> None:
    answers = trained(usual.inputs)
    assert list(answers) == ["reconstruction", "score"]
    assert answers["reconstruction"].shape == usual.inputs[INPUT].shape
    assert answers["score"].shape == (150,)
    ratio = (answers["reconstruction"] + 1e-3) / (usual.inputs[INPUT] + 1e-3)
    assert 0.8 < np.median(ratio) < 1.25


def test_a_monitor_that_reads_ten_times_its_usual_scores_above_all_usual_rows(trained: Model, usual: Rows) -> None:
    readings = usual.inputs[INPUT].copy()
    readings[:, 27] *= 10
    assert np.median(trained({INPUT: readings})["score"]) > trained(usual.inputs)["score"].max()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_reading_that_is_not_finite_gives_no_answer_in_its_row_only(bad: float, trained: Model, usual: Rows) -> None:
    readings = usual.inputs[INPUT][:3].copy()
    readings[1, 4] = bad
    answers = trained({INPUT: readings})
    assert np.isnan(answers["score"]).tolist() == [False, True, False]
    assert np.isnan(answers["reconstruction"]).all(axis=1).tolist() == [False, True, False]


def test_scores_of_the_largest_readings_stay_in_the_contracts_range(trained: Model, usual: Rows) -> None:
    answers = trained({INPUT: np.full_like(usual.inputs[INPUT][:2], 1000)})
    assert (answers["score"] <= 100).all()
    assert ((answers["reconstruction"] >= 0) & (answers["reconstruction"] <= 1000)).all()


def test_saved_model_gives_the_same_answers(trained: Model, usual: Rows, tmp_path: Path) -> None:
    trained.save(tmp_path)
    again = Model.load(tmp_path)(usual.inputs)
    for name, values in trained(usual.inputs).items():
        np.testing.assert_array_equal(again[name], values)


def test_the_seed_decides_the_weights(trained: Model, usual: Rows) -> None:
    again = fit(usual, usual, PARAMS)[0]
    other = fit(usual, usual, PARAMS.model_copy(update={"seed": 1}))[0]
    scores = [model(usual.inputs)["score"] for model in (trained, again, other)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_provoked_losses_are_refused_in_training_and_validation(usual: Rows, last: Rows) -> None:
    with pytest.raises(SystemExit, match=r"split train has \d+ provoked losses"):
        fit(last, usual, PARAMS)
    with pytest.raises(SystemExit, match=r"split validation has \d+ provoked losses"):
        fit(usual, last, PARAMS)


def test_truth_does_not_change_what_is_learned(trained: Model, usual: Rows) -> None:
    without = replace(usual, targets={"score": np.zeros(150)})
    np.testing.assert_array_equal(
        fit(without, without, PARAMS)[0](usual.inputs)["score"], trained(usual.inputs)["score"]
    )


def test_the_error_of_the_reconstruction_is_relative(trained: Model, usual: Rows) -> None:
    exact = {"reconstruction": usual.inputs[INPUT], "score": np.zeros(150)}
    larger = {"reconstruction": 1.1 * usual.inputs[INPUT], "score": np.zeros(150)}
    assert metrics(exact, usual) == {"reconstruction_error": 0.0}
    assert metrics(larger, usual)["reconstruction_error"] == pytest.approx(0.1, rel=0.05)
    assert metrics(trained(usual.inputs), usual)["reconstruction_error"] < 0.5


def test_plots_count_every_row(trained: Model, last: Rows) -> None:
    counts = plots(trained(last.inputs), last)["score"]["counts"]
    assert sum(counts["usual"]) + sum(counts["provoked"]) == 50
    assert sum(counts["provoked"]) == last.targets["score"].sum()
