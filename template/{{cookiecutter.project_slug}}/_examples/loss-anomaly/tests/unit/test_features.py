"""Example: replace with yours. Readings to features and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import feature_kit
from {{ cookiecutter.package_name }}.features import INPUT, Features
from {{ cookiecutter.package_name }}.pipeline.tables import Rows


@pytest.fixture(scope="module")
def fitted(usual: Rows) -> Features:
    return Features.fit(usual.inputs)


def test_features_of_the_training_rows_are_scaled(fitted: Features, usual: Rows) -> None:
    values = fitted(usual.inputs)
    assert values.shape == usual.inputs[INPUT].shape
    assert values.dtype == np.float32
    assert np.abs(values.mean(axis=0)).max() < 0.05
    assert values.std(axis=0) == pytest.approx(np.ones(values.shape[1]), abs=0.05)


def test_readings_come_back(fitted: Features, usual: Rows) -> None:
    np.testing.assert_allclose(fitted.readings(fitted(usual.inputs)), usual.inputs[INPUT], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("check", feature_kit.CHECKS)
def test_batch_and_single_rows_agree(check: str, fitted: Features, usual: Rows) -> None:
    dict(feature_kit.agreements(fitted, usual.inputs))[check]()


@pytest.mark.parametrize("odd", [0.0, -1.0, 1e6])
def test_odd_readings_give_finite_features(odd: float, fitted: Features, usual: Rows) -> None:
    assert np.isfinite(fitted({INPUT: np.full_like(usual.inputs[INPUT][:2], odd)})).all()


def test_saved_features_are_the_same(fitted: Features, tmp_path: Path) -> None:
    fitted.save(tmp_path / "features.json")
    assert Features.load(tmp_path / "features.json") == fitted
