"""Example: replace with yours. Losses have the places and scalings that they should have."""

from __future__ import annotations

import numpy as np
import pytest

from {{ cookiecutter.package_name }}.simulator import ANOMALIES, COLLIMATORS, LARGEST, MONITORS, SEPTUM, Ring, losses, provoke

RING = Ring.drawn(3)
SECONDS = 10.0 * np.arange(300)


@pytest.fixture(scope="module")
def readings() -> np.ndarray:
    return losses(RING, SECONDS, np.random.default_rng(1))


def test_readings_are_finite_and_within_the_electronics(readings: np.ndarray) -> None:
    assert readings.shape == (300, MONITORS)
    assert readings.dtype == np.float32
    assert (readings >= 0).all()
    assert (readings <= LARGEST).all()


def test_the_same_seed_gives_the_same_losses(readings: np.ndarray) -> None:
    np.testing.assert_array_equal(losses(Ring.drawn(3), SECONDS, np.random.default_rng(1)), readings)
    assert not np.array_equal(losses(Ring.drawn(4), SECONDS, np.random.default_rng(1)), readings)


def test_without_top_up_most_is_lost_at_a_collimator(readings: np.ndarray) -> None:
    quiet = readings[readings[:, SEPTUM] < np.median(readings[:, SEPTUM])]
    places = [COLLIMATORS["horizontal"], COLLIMATORS["vertical"]]
    assert np.isin(quiet.argmax(axis=1), [*places, *(place + 1 for place in places)]).mean() > 0.8


def test_top_up_shows_at_the_septum_in_some_rows(readings: np.ndarray) -> None:
    high = readings[:, SEPTUM] > 3 * np.median(readings[:, SEPTUM])
    assert 0.05 < high.mean() < 0.25


@pytest.mark.parametrize("kind", ANOMALIES)
def test_an_anomaly_changes_a_copy_and_stays_physical(kind: str, readings: np.ndarray) -> None:
    before = readings[0].astype(np.float64)
    kept = before.copy()
    changed = ANOMALIES[kind](before, np.random.default_rng(0))
    np.testing.assert_array_equal(before, kept)
    assert changed.shape == before.shape
    assert (changed >= 0).all()
    assert np.abs(changed - before).max() > 0


def test_a_moved_collimator_only_moves_losses_downstream(readings: np.ndarray) -> None:
    before = readings[0].astype(np.float64)
    changed = ANOMALIES["hierarchy"](before, np.random.default_rng(2))
    second = COLLIMATORS["second"]
    assert changed[second] > before[second]
    assert min(changed[place] / before[place] for place in COLLIMATORS.values()) < 0.95


def test_only_the_share_asked_for_is_provoked_and_the_rest_is_unchanged(readings: np.ndarray) -> None:
    changed, names = provoke(readings, 0.25, np.random.default_rng(5))
    usual = names == "none"
    assert 0.65 < usual.mean() < 0.85
    assert set(names) == {"none", *ANOMALIES}
    np.testing.assert_array_equal(changed[usual], readings[usual])
    assert (changed[~usual] != readings[~usual]).any(axis=1).all()
