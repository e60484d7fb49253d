"""Example: tests of the simulator of monitors' signals, and of its faults."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }} import faults, simulator

DEVICES = ["BPM.A", "BPM.B"]


def test_seed_determines_the_signals() -> None:
    first, again, other = (simulator.simulate(DEVICES, acquisitions=2, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not np.array_equal(first["turns"][0], other["turns"][0])


def test_signals_stay_within_the_range_of_the_contract(turns: np.ndarray) -> None:
    assert turns.shape == (200, 250)
    assert turns.dtype == np.float32
    assert np.abs(turns).max() < 20


def test_every_fault_is_injected_and_most_signals_are_sound(table: pd.DataFrame) -> None:
    assert set(table["injected"]) == {"none", *faults.FAULTS}
    assert 0.5 < (table["injected"] == "none").mean() < 0.9


@pytest.mark.parametrize("kind", faults.FAULTS)
def test_fault_changes_a_copy_of_the_signal(kind: str) -> None:
    sound = np.sin(np.arange(250.0))
    before = sound.copy()
    faulty = faults.FAULTS[kind](sound, np.random.default_rng(0))
    assert faulty.shape == sound.shape
    assert not np.allclose(faulty, sound)
    np.testing.assert_array_equal(sound, before)
