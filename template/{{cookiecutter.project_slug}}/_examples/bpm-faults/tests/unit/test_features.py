"""Example: tests of the features of monitors' signals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import feature_kit
from {{ cookiecutter.package_name }} import features

ALL = tuple(features.FEATURES)


@pytest.fixture(scope="module")
def fitted(turns: np.ndarray) -> features.Features:
    return features.Features.fit({"turns": turns}, ALL)


@pytest.mark.parametrize("check", feature_kit.CHECKS)
def test_batch_and_single_signals_agree(check: str, turns: np.ndarray, fitted: features.Features) -> None:
    dict(feature_kit.agreements(fitted, {"turns": turns}))[check]()


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        ("one_by_one", lambda inputs: inputs["turns"] - inputs["turns"].mean()),
        ("in_any_order", lambda inputs: np.cumsum(inputs["turns"], axis=0)),
        ("beside_unusual_rows", lambda inputs: inputs["turns"] / np.abs(inputs["turns"]).max()),
        ("finite", lambda inputs: np.full_like(inputs["turns"], np.nan)),
        ("without_changing_their_input", lambda inputs: np.multiply(inputs["turns"], 2, out=inputs["turns"])),
    ],
)
def test_kit_detects_features_that_depend_on_other_rows(
    check: str, broken: feature_kit.Features, turns: np.ndarray
) -> None:
    with pytest.raises((AssertionError, ValueError)):
        dict(feature_kit.agreements(broken, {"turns": turns.copy()}))[check]()


def test_saved_features_are_the_same(turns: np.ndarray, fitted: features.Features, tmp_path: Path) -> None:
    fitted.save(tmp_path / "features.json")
    loaded = features.Features.load(tmp_path / "features.json")
    assert loaded == fitted
    np.testing.assert_array_equal(loaded({"turns": turns}), fitted({"turns": turns}))


@pytest.mark.parametrize("value", [0.0, -49.0, 20.0])
def test_flat_signal_has_finite_features(value: float, fitted: features.Features) -> None:
    assert np.isfinite(fitted({"turns": np.full((1, 250), value, np.float32)})).all()


@pytest.mark.parametrize("feature", ALL)
def test_no_feature_depends_on_the_orbit(feature: str, turns: np.ndarray) -> None:
    compute = features.FEATURES[feature]
    signal = turns[:20].astype(np.float64)
    np.testing.assert_allclose(compute(signal + 2.0), compute(signal), atol=1e-6)


def test_unknown_feature_is_an_error_that_names_it(turns: np.ndarray) -> None:
    with pytest.raises(ValueError, match="'colour' is not one of spread, line"):
        features.Features.fit({"turns": turns}, ("line", "colour"))
