from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import transform_kit
from {{ cookiecutter.package_name }} import transforms

ALL = tuple(transforms.FEATURES)


@pytest.fixture(scope="module")
def transform(turns: np.ndarray) -> transforms.Transform:
    return transforms.Transform.fit(turns, ALL)


@pytest.mark.parametrize("check", transform_kit.CHECKS)
def test_batch_and_single_signals_agree(check: str, turns: np.ndarray, transform: transforms.Transform) -> None:
    dict(transform_kit.agreements(transform, turns))[check]()


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        ("one_by_one", lambda rows: rows - rows.mean()),
        ("in_any_order", lambda rows: np.cumsum(rows, axis=0)),
        ("beside_unusual_rows", lambda rows: rows / np.abs(rows).max()),
        ("finite", lambda rows: np.divide(rows, 0.0 * rows, out=np.full_like(rows, np.nan), where=rows > 1e9)),
        ("without_changing_its_input", lambda rows: np.multiply(rows, 2, out=rows)),
    ],
)
def test_kit_detects_a_transform_that_depends_on_other_rows(
    check: str, broken: transform_kit.Transform, turns: np.ndarray
) -> None:
    with pytest.raises((AssertionError, ValueError)):
        dict(transform_kit.agreements(broken, turns.copy()))[check]()


def test_saved_transform_is_the_same(turns: np.ndarray, transform: transforms.Transform, tmp_path: Path) -> None:
    transform.save(tmp_path / "transform.json")
    loaded = transforms.Transform.load(tmp_path / "transform.json")
    assert loaded == transform
    np.testing.assert_array_equal(loaded(turns), transform(turns))


@pytest.mark.parametrize("value", [0.0, -49.0, 20.0])
def test_flat_signal_has_finite_features(value: float, transform: transforms.Transform) -> None:
    assert np.isfinite(transform(np.full((1, 250), value, np.float32))).all()


@pytest.mark.parametrize("feature", ALL)
def test_no_feature_depends_on_the_orbit(feature: str, turns: np.ndarray) -> None:
    compute = transforms.FEATURES[feature]
    signal = turns[:20].astype(np.float64)
    np.testing.assert_allclose(compute(signal + 2.0), compute(signal), atol=1e-6)


def test_unknown_feature_is_an_error_that_names_it(turns: np.ndarray) -> None:
    with pytest.raises(ValueError, match="'colour' is not one of spread, line"):
        transforms.Transform.fit(turns, ("line", "colour"))
