"""Example: replace with yours. The simulated injector answers a knob as a real one does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from {{ cookiecutter.package_name }}.simulator import RANGES, Settings, simulate

MIDDLE = Settings(**{name: np.array([(low + high) / 2]) for name, (low, high) in RANGES.items()})


def scan(name: str, values: np.ndarray, **others: float) -> dict[str, np.ndarray]:
    """The outputs while one setting is scanned, and all others stay in the middle of their ranges."""
    fixed = {key: np.full(len(values), float(value[0])) for key, value in vars(MIDDLE).items()}
    fixed |= {key: np.full(len(values), value) for key, value in others.items()}
    return simulate(replace(Settings(**fixed), **{name: values}))


def test_one_answer_for_each_shot_finite_and_positive() -> None:
    answers = simulate(Settings.drawn(500, np.random.default_rng(0)))
    assert list(answers) == ["emittance_x", "emittance_y", "beam_size", "bunch_length", "energy_spread"]
    for values in answers.values():
        assert values.shape == (500,)
        assert (np.isfinite(values) & (values > 0)).all()


def test_without_charge_the_emittance_is_that_of_the_spot() -> None:
    spots = np.array([0.15, 0.3, 0.6])
    emittance = scan("laser_spot", spots, charge=0.1)["emittance_x"]
    assert emittance / spots == pytest.approx(np.full(3, emittance[0] / spots[0]), rel=0.1)
    assert 0.4 < emittance[1] / spots[1] < 1.2  # um per mm: copper in ultraviolet light


def test_more_charge_gives_more_emittance_and_a_longer_bunch() -> None:
    answers = scan("charge", np.linspace(*RANGES["charge"], 9))
    assert (np.diff(answers["emittance_x"]) > 0).all()
    assert (np.diff(answers["bunch_length"]) > 0).all()


def test_the_solenoid_has_its_optimum_inside_the_range() -> None:
    emittance = scan("solenoid", np.linspace(*RANGES["solenoid"], 41))["emittance_x"]
    best = int(emittance.argmin())
    assert 10 < best < 30
    assert (np.diff(emittance[: best + 1]) < 0).all()
    assert (np.diff(emittance[best:]) > 0).all()


def test_a_stronger_gun_needs_a_stronger_solenoid() -> None:
    fields = np.linspace(*RANGES["solenoid"], 81)
    weak, strong = (scan("solenoid", fields, gun_field=field)["emittance_x"].argmin() for field in RANGES["gun_field"])
    assert fields[strong] > fields[weak]


def test_a_negative_phase_of_the_first_structure_compresses() -> None:
    length = scan("l0a_phase", np.array([-30.0, 0.0, 10.0]))["bunch_length"]
    assert length[0] < length[1] < length[2]


def test_opposite_phases_of_the_structures_cancel_the_energy_spread() -> None:
    phases = np.linspace(*RANGES["l0b_phase"], 81)
    smallest = phases[scan("l0b_phase", phases, l0a_phase=-10.0)["energy_spread"].argmin()]
    assert 8 < smallest < 15
