"""Example: tests of what the model takes and gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import feature_kit
from {{ cookiecutter.package_name }}.features import Features, Outputs

RANDOM = np.random.default_rng(0)
INPUTS = {"x": RANDOM.normal(5, 2, 40), "mode": RANDOM.integers(0, 3, 40).astype(np.float64)}
TARGETS = {
    "y": RANDOM.normal(100, 3, 40),
    "size": np.exp(RANDOM.normal(0, 2, 40)),
    "hit": RANDOM.integers(0, 2, 40).astype(np.float64),
    "a": (np.arange(40) % 2 == 0).astype(np.float64),
    "b": (np.arange(40) % 2 == 1).astype(np.float64),
}
CLASSES = (("hit",), ("a", "b"))


@pytest.fixture
def features() -> Features:
    return Features.fit(INPUTS, {"mode": 3})


@pytest.fixture
def outputs() -> Outputs:
    return Outputs.fit(TARGETS, CLASSES, ("size",))


@pytest.mark.parametrize("check", feature_kit.CHECKS)
def test_features_agree_in_training_and_in_service(check: str, features: Features) -> None:
    dict(feature_kit.agreements(features, INPUTS))[check]()


def test_numbers_are_scaled_and_categories_have_a_column_each(features: Features) -> None:
    values = features(INPUTS)
    assert values.shape == (40, features.count) == (40, 4)
    assert abs(values[:, 0].mean()) < 1e-6
    np.testing.assert_array_equal(values[:, 1:].argmax(axis=1), INPUTS["mode"])
    np.testing.assert_array_equal(values[:, 1:].sum(axis=1), np.ones(40))


def test_a_constant_and_a_far_number_stay_finite() -> None:
    found = Features.fit({"x": np.full(5, 3.0)}, {})({"x": np.array([3.0, 1e300])})
    assert found[:, 0].tolist() == [0, 10]


def test_what_is_learned_becomes_the_targets_again(outputs: Outputs) -> None:
    learned = outputs.learned(TARGETS)
    assert learned.shape == (40, 5)
    back = outputs.answers(learned, logits=False)
    for name, values in TARGETS.items():
        np.testing.assert_allclose(back[name], values, rtol=1e-4)


def test_logits_become_probabilities_of_yes_and_of_one_class_of_several(outputs: Outputs) -> None:
    found = outputs.answers(np.array([[0, 0, 0, 2, 2], [0, 0, 800, -800, 800]]), logits=True)
    np.testing.assert_allclose(found["hit"], [0.5, 1])
    np.testing.assert_allclose(found["a"], [0.5, 0])
    np.testing.assert_allclose(found["a"] + found["b"], 1)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (lambda: Features.fit(INPUTS, {"z": 2}), "train.categories: 'z' is not an input"),
        (lambda: Outputs.fit(TARGETS, (("z",),)), "train: 'z' is not an output with a target"),
        (lambda: Outputs.fit({"y": np.array([0.0, 1.0])}, (), ("y",)), "train.logarithm: 'y' is not always positive"),
    ],
)
def test_names_in_the_parameters_are_checked(wrong: object, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        wrong()


def test_both_are_saved_as_json(features: Features, outputs: Outputs, tmp_path: Path) -> None:
    features.save(tmp_path / "features.json")
    outputs.save(tmp_path / "outputs.json")
    assert Features.load(tmp_path / "features.json") == features
    assert Outputs.load(tmp_path / "outputs.json") == outputs
