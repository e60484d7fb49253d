from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from {{ cookiecutter.package_name }} import transforms

ALL = tuple(transforms.FEATURES)


@pytest.fixture(scope="module")
def transform(turns: np.ndarray) -> transforms.Transform:
    return transforms.Transform.fit(turns, ALL)


def test_a_signal_alone_gives_what_it_gives_in_a_batch(turns: np.ndarray, transform: transforms.Transform) -> None:
    alone = np.concatenate([transform(turns[row : row + 1]) for row in range(len(turns))])
    assert np.isfinite(alone).all()
    np.testing.assert_allclose(transform(turns), alone, rtol=0, atol=1e-6)


def test_a_saved_transform_is_the_same(turns: np.ndarray, transform: transforms.Transform, tmp_path: Path) -> None:
    transform.save(tmp_path / "transform.json")
    loaded = transforms.Transform.load(tmp_path / "transform.json")
    assert loaded == transform
    np.testing.assert_array_equal(loaded(turns), transform(turns))


@pytest.mark.parametrize("value", [0.0, -49.0, 20.0])
def test_a_flat_signal_has_finite_features(value: float, transform: transforms.Transform) -> None:
    assert np.isfinite(transform(np.full((1, 250), value, np.float32))).all()


@pytest.mark.parametrize("feature", ALL)
def test_no_feature_depends_on_where_the_orbit_is(feature: str, turns: np.ndarray) -> None:
    compute = transforms.FEATURES[feature]
    signal = turns[:20].astype(np.float64)
    np.testing.assert_allclose(compute(signal + 2.0), compute(signal), atol=1e-6)


def test_an_unknown_feature_is_an_error_that_names_it(turns: np.ndarray) -> None:
    with pytest.raises(ValueError, match="'colour' is none of spread, line"):
        transforms.Transform.fit(turns, ("line", "colour"))
