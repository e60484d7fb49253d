"""The checker's measures are those of scikit-learn, for each weighting; what they cannot measure, they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from beampermit.contract.measure import OF_ARRAYS, Measure
from beampermit.contract.measured import MeasuredMetric
from beampermit.errors import Failed
from beampermit.models.measures import Compared, measure, measure_weighted, read_compared
from support.planted_models import write_table

ROWS = 400
RNG = np.random.default_rng(7)
FAULTY = (RNG.random(ROWS) < 0.3).astype(float)
SCORES = np.clip(0.5 * FAULTY + RNG.normal(0.3, 0.2, ROWS), 0, 1)
TIED = SCORES.round(1)
SETPOINT = RNG.normal(1e5, 3.0, ROWS)
READBACK = SETPOINT + RNG.normal(0.1, 1.0, ROWS)
RESAMPLES = np.concatenate([np.ones((1, ROWS), int), RNG.multinomial(ROWS, np.full(ROWS, 1 / ROWS), size=3)])
SUBGROUPS = RNG.random((3, ROWS)) < 0.2
WEIGHTS = np.concatenate([RESAMPLES, SUBGROUPS]).astype(np.uint16)
"""Each row once, resamples, and subgroups that leave most rows out."""

Reference = Callable[..., Any]


def scikit(name: str) -> Reference:
    """The measure of scikit-learn by its name there."""

    def ask(*arrays: np.ndarray, **more: Any) -> Any:
        from sklearn import metrics  # two seconds: not while tests are collected

        return getattr(metrics, name)(*arrays, **more)

    return ask


def flagged(name: str) -> Reference:
    function = scikit(name)
    return lambda targets, answers, sample_weight: function(targets, answers >= 0.5, sample_weight=sample_weight)


def false_positive_rate(targets: np.ndarray, answers: np.ndarray, sample_weight: np.ndarray) -> float:
    (true, false), _ = scikit("confusion_matrix")(targets, answers >= 0.5, sample_weight=sample_weight)
    return false / (true + false)


def bias(targets: np.ndarray, answers: np.ndarray, sample_weight: np.ndarray) -> float:
    return abs(float(np.average(answers - targets, weights=sample_weight)))


def largest(targets: np.ndarray, answers: np.ndarray, sample_weight: np.ndarray) -> float:
    return float(scikit("max_error")(targets[sample_weight > 0], answers[sample_weight > 0]))


def pinball(targets: np.ndarray, answers: np.ndarray, sample_weight: np.ndarray) -> float:
    return float(scikit("mean_pinball_loss")(targets, answers, alpha=0.9, sample_weight=sample_weight))


CLASSES: dict[Measure, Reference] = {
    "roc_auc": scikit("roc_auc_score"),
    "average_precision": scikit("average_precision_score"),
    "recall": flagged("recall_score"),
    "precision": flagged("precision_score"),
    "f1": flagged("f1_score"),
    "accuracy": flagged("accuracy_score"),
    "false_positive_rate": false_positive_rate,
    "log_loss": scikit("log_loss"),
    "brier": scikit("brier_score_loss"),
}
NUMBERS: dict[Measure, Reference] = {
    "r2": scikit("r2_score"),
    "rmse": scikit("root_mean_squared_error"),
    "mae": scikit("mean_absolute_error"),
    "max_error": largest,
    "bias": bias,
    "quantile_error": pinball,
}


def metric(kind: Measure, **keys: Any) -> MeasuredMetric:
    return MeasuredMetric(**{"name": kind, "measure": kind, "output": "score", "target": "faulty", **keys})


def expected(reference: Reference, compared: Compared) -> list[float]:
    return [reference(compared.targets, compared.answers, sample_weight=weights) for weights in WEIGHTS]


@pytest.mark.slow
@pytest.mark.parametrize("answers", [SCORES, TIED], ids=["distinct", "tied"])
def test_measures_of_classes_are_those_of_scikit_learn(answers: np.ndarray) -> None:
    compared = Compared(answers, FAULTY)
    metrics = [metric(kind, threshold=0.5) for kind in CLASSES]
    values = measure_weighted(metrics, {"score": compared}, WEIGHTS)
    for kind, reference in CLASSES.items():
        np.testing.assert_allclose(values[kind], expected(reference, compared), rtol=1e-10, err_msg=kind)


def test_measures_of_numbers_are_those_of_scikit_learn() -> None:
    compared = Compared(READBACK, SETPOINT)
    values = measure_weighted([metric(kind, quantile=0.9) for kind in NUMBERS], {"score": compared}, WEIGHTS)
    for kind, reference in NUMBERS.items():
        np.testing.assert_allclose(values[kind], expected(reference, compared), rtol=1e-8, err_msg=kind)


@pytest.mark.parametrize("kind", OF_ARRAYS)
def test_an_array_is_measured_by_all_of_its_numbers(kind: Measure) -> None:
    """As scikit-learn measures the numbers of all rows, each as often as its row counts."""
    compared = Compared(RNG.normal(0, 1, (ROWS, 3, 2)), RNG.normal(0, 1, (ROWS, 3, 2)))
    values = measure_weighted([metric(kind, quantile=0.9)], {"score": compared}, WEIGHTS)[kind]
    flat = Compared(compared.answers.ravel(), compared.targets.ravel())
    wanted = [NUMBERS[kind](flat.targets, flat.answers, sample_weight=np.repeat(weights, 6)) for weights in WEIGHTS]
    np.testing.assert_allclose(values, wanted, rtol=1e-12)


def test_small_parts_of_the_weights_give_the_same_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = {"score": Compared(TIED, FAULTY)}
    metrics = [metric(kind, threshold=0.5) for kind in (*CLASSES, "max_error")]
    whole = measure_weighted(metrics, compared, WEIGHTS)
    monkeypatch.setattr("beampermit.models.measures.VALUES_AT_ONCE", 3 * ROWS)
    for name, values in measure_weighted(metrics, compared, WEIGHTS).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-12)


def test_values_that_can_be_worked_out_by_hand() -> None:
    compared = {"score": Compared(np.array([0.1, 0.6, 0.4, 0.9]), np.array([0.0, 0.0, 1.0, 1.0]))}
    values = measure([metric(kind, threshold=0.5) for kind in CLASSES], compared)
    assert values["roc_auc"] == 0.75
    assert values["average_precision"] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    assert values["recall"] == values["precision"] == values["false_positive_rate"] == values["accuracy"] == 0.5
    assert values["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)


def test_the_largest_error_is_found_however_many_larger_ones_do_not_count() -> None:
    errors = np.arange(ROWS, dtype=float)[::-1]
    weights = (np.arange(ROWS) >= [[0], [1], [63], [64], [300]]).astype(float)
    values = measure_weighted([metric("max_error")], {"score": Compared(errors, np.zeros(ROWS))}, weights)
    assert values["max_error"].tolist() == [399, 398, 336, 335, 99]


def test_each_output_is_compared_with_its_own_target() -> None:
    compared = {"x": Compared(np.zeros(2), np.ones(2)), "y": Compared(np.zeros(2), np.full(2, 3.0))}
    metrics = [metric("mae", name=f"mae_{name}", output=name, target=name) for name in ("y", "x")]
    assert measure(metrics, compared) == {"mae_y": 3.0, "mae_x": 1.0}


def test_an_answer_at_the_threshold_is_flagged_and_one_just_below_is_not() -> None:
    faulty = np.array([1.0, 1.0])
    compared = {"score": Compared(np.array([0.5, np.nextafter(0.5, 0)]), faulty)}
    assert measure([metric("recall", threshold=0.5)], compared) == {"recall": 0.5}


UNDEFINED = {
    "one class": ("roc_auc", SCORES, np.ones(ROWS), "roc_auc is undefined: target 'faulty' is 1 in all 400 rows"),
    "no positive": ("recall", SCORES, np.zeros(ROWS), "target 'faulty' is 0 in all 400 rows"),
    "no negative": ("false_positive_rate", SCORES, np.ones(ROWS), "target 'faulty' is 1 in all 400 rows"),
    "constant number": ("r2", SCORES, np.full(ROWS, 1e5 + 0.1), "target 'faulty' is 100000 in all 400 rows"),
    "nothing flagged": ("precision", SCORES * 0.4, FAULTY, "no row of output 'score' is at or above the threshold 0.5"),
}


@pytest.mark.parametrize("case", UNDEFINED)
def test_a_measure_that_is_undefined_says_why(case: str) -> None:
    kind, answers, targets, reason = UNDEFINED[case]
    with pytest.raises(Failed) as caught:
        measure([metric(kind, threshold=0.5)], {"score": Compared(answers, targets)})
    assert reason in str(caught.value)


def test_a_resample_or_subgroup_without_rows_or_without_a_class_is_undefined_and_others_are_not() -> None:
    weights = np.stack([np.ones(ROWS), FAULTY, np.zeros(ROWS)])
    metrics = [metric(kind, threshold=0.5) for kind in (*CLASSES, "r2", "mae", "max_error")]
    values = measure_weighted(metrics, {"score": Compared(SCORES, FAULTY)}, weights)
    assert all(np.isfinite(value[0]) and np.isnan(value[2]) for value in values.values())
    undefined = {name for name, value in values.items() if np.isnan(value[1])}
    assert undefined == {"roc_auc", "false_positive_rate", "r2"}


def tables(folder: Path, answers: Any, targets: Any, **columns: Any) -> tuple[Path, Path]:
    scores, inputs = folder / "scores.parquet", folder / "test.parquet"
    write_table(scores, score=np.array(answers))
    write_table(inputs, **{"faulty": np.array(targets), **columns})
    return scores, inputs


def test_a_single_output_keeps_its_name_and_targets_may_be_true_or_false(tmp_path: Path) -> None:
    files = tables(tmp_path, [0.9, 0.1], [True, False])
    assert measure([metric("roc_auc")], read_compared([metric("roc_auc")], *files)) == {"roc_auc": 1.0}
    with pytest.raises(Failed, match="output 'fault-score' is not a column of the model's scores; is it 'score'"):
        read_compared([metric("roc_auc", output="fault-score")], *files)


DEFECTS = {
    "NaN": ("mae", [0.1, 0.2, 0.3], [1.0, float("nan"), float("nan")], "is missing or not finite in 2 of 3 rows"),
    "infinite": ("mae", [0.1, 0.2], [1.0, float("inf")], "in 1 of 2 rows of test.parquet (first: row 1)"),
    "text": ("roc_auc", [0.1, 0.2], ["none", "stuck"], "target 'faulty' is varchar in test.parquet"),
    "three classes": ("recall", [0.1, 0.2], [0, 2], "target 'faulty' is 2 in a row; recall needs 0 and 1"),
    "no probability": ("log_loss", [0.1, 3.0], [0, 1], "output 'score' is from 0.1 to 3; log_loss needs a probability"),
    "an answer that is NaN": ("mae", [float("nan"), 1.0], [0.0, 1.0], "output 'score' is missing or not finite in 1"),
    "lists": (
        "mae",
        [0.1, 0.2],
        [[0, 1], [1, 0]],
        "'faulty' is 2 numbers in each row, and output 'score' is one number",
    ),
    "another shape": ("mae", [[0.1, 0.2]], [[0, 1, 0]], "'faulty' is 3 numbers in each row, and output 'score' is 2 "),
    "NaN in an array": (
        "mae",
        [[0.1, 0.2]] * 2,
        [[0, 1], [0, float("nan")]],
        "not finite in 1 of 2 rows of test.parquet",
    ),
    "an order of arrays": ("roc_auc", [[0.1, 0.2]], [[0, 1]], "is 2 numbers in each row, and roc_auc needs one number"),
    "rows of another table": ("mae", [0.1], [0.0, 1.0], "gave 1 answers of 'score' for 2 targets"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_what_cannot_be_measured_says_why(tmp_path: Path, defect: str) -> None:
    kind, answers, targets, reason = DEFECTS[defect]
    with pytest.raises(Failed) as caught:
        read_compared([metric(kind, threshold=0.5)], *tables(tmp_path, answers, targets))
    assert reason in str(caught.value)


def image_tables(folder: Path, truth: list[Any]) -> tuple[Path, Path]:
    """A row with an answer of 2 x 2 numbers, and this truth."""
    scores, inputs = folder / "scores.parquet", folder / "test.parquet"
    duckdb.sql(f"COPY (SELECT [[1.0, 2.0], [3.0, 6.0]] AS score) TO '{scores}' (FORMAT parquet)")
    duckdb.sql(f"COPY (SELECT {truth} AS faulty, 'BPM.1' AS device) TO '{inputs}' (FORMAT parquet)")
    return scores, inputs


@pytest.mark.parametrize("truth", [[[1.0, 2.0], [3.0, 4.0]], [1.0, 2.0, 3.0, 4.0]], ids=["nested", "flat"])
def test_an_image_is_compared_with_its_target_nested_or_flat(tmp_path: Path, truth: list[Any]) -> None:
    metrics = [metric("mae"), metric("max_error"), metric("bias")]
    found = read_compared(metrics, *image_tables(tmp_path, truth))
    assert measure(metrics, found) == {"mae": 0.5, "max_error": 2.0, "bias": 0.5}


@pytest.mark.parametrize(
    ("truth", "reason"),
    [
        ([[1.0, 2.0], [3.0]], "rows of 'faulty' have several shapes"),
        ([1.0, 2.0, 3.0], "'faulty' is 3 numbers in each row, and output 'score' is 2 x 2 numbers"),
        ([[1.0], [2.0], [3.0], [4.0]], "'faulty' is 4 x 1 numbers in each row, and output 'score' is 2 x 2 numbers"),
    ],
)
def test_an_image_is_not_compared_with_another_shape(tmp_path: Path, truth: list[Any], reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        read_compared([metric("mae")], *image_tables(tmp_path, truth))


def test_a_target_that_is_no_column_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    files = tables(tmp_path, [0.1], [1.0])
    with pytest.raises(Failed, match=r"target 'fault' is not a column of test\.parquet; is it 'faulty'"):
        read_compared([metric("mae", target="fault")], *files)


def test_a_target_that_is_null_counts_as_missing(tmp_path: Path) -> None:
    scores, inputs = tables(tmp_path, [0.1, 0.2], [1.0, 2.0])
    inputs.unlink()
    duckdb.sql(f"COPY (SELECT unnest([NULL, 1.0]) AS faulty) TO '{inputs}' (FORMAT parquet)")
    with pytest.raises(Failed, match=r"is missing or not finite in 1 of 2 rows of test.parquet \(first: row 0\)"):
        read_compared([metric("mae")], scores, inputs)
