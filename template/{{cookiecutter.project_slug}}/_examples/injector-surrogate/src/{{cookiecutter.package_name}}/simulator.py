"""Example: replace with yours. A photo-injector as formulas: RF gun, solenoid, two accelerating structures, screen.

No tracking: each effect has the scaling of the literature, and effects add in quadrature. Trends are right, values are
plausible for an S-band gun with a copper cathode, and nothing is more exact than that.

- Dowell, Schmerge, Phys. Rev. ST Accel. Beams 12, 074201 (2009): thermal emittance, with the Schottky effect.
- Kim, Nucl. Instrum. Methods A 275, 201 (1989): emittance by space charge and by RF in the gun.
- Travier, Nucl. Instrum. Methods A 340, 26 (1994): phase and energy at the exit of the gun, compression of the bunch.
- Serafini, Rosenzweig, Phys. Rev. E 55, 7565 (1997): emittance compensation by solenoid and matched gradient.
- Serafini, Ferrario, AIP Conf. Proc. 581, 87 (2001): velocity bunching in the first structure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

REST = 0.51099895
"""Energy of the electron's mass, MeV."""
ALFVEN = 17045.0
"""Alfven current, A."""
LIGHT = 299.792458
"""Speed of light, m/us."""
WAVE = 2 * np.pi * 2856 / LIGHT
"""Wave number of the RF, rad/m."""
PER_PS = WAVE * LIGHT * 1e-6
"""Advance of the RF phase, rad/ps."""

LASER_PULSE = 2.0
"""Length of the laser's pulse, ps rms."""
PHOTON = 4.86
"""Energy of the laser's photons, 255 nm, eV."""
WORK_FUNCTION = 4.31
"""Of copper, eV."""
STRUCTURE = 3.0
"""Length of each accelerating structure, m."""
L0B_GRADIENT = 20.0
"""Of the second structure; the energy feedback holds it. MV/m."""
DRIFT = 5.0
"""From the second structure to the screen, m."""
SOLENOID_LENGTH = 0.19
"""Effective, m."""

RANGES = {
    "laser_spot": (0.30, 0.60),
    "charge": (50.0, 250.0),
    "gun_phase": (25.0, 45.0),
    "gun_field": (100.0, 120.0),
    "solenoid": (0.20, 0.28),
    "l0a_phase": (-30.0, 10.0),
    "l0a_gradient": (16.0, 24.0),
    "l0b_phase": (-20.0, 20.0),
}
"""What is varied, from lowest to highest, in the units of `contract.yaml`."""


@dataclass(frozen=True)
class Settings:
    """Settings of the injector; arrays of shape (shots,)."""

    laser_spot: np.ndarray
    """Size of the laser's spot on the cathode, mm rms."""
    charge: np.ndarray
    """pC."""
    gun_phase: np.ndarray
    """Launch phase, degrees from the zero crossing."""
    gun_field: np.ndarray
    """Peak field on the cathode, MV/m."""
    solenoid: np.ndarray
    """Peak field, T."""
    l0a_phase: np.ndarray
    """First structure, degrees from the crest; a negative one compresses the bunch."""
    l0a_gradient: np.ndarray
    """MV/m."""
    l0b_phase: np.ndarray
    """Second structure, degrees from the crest."""

    @classmethod
    def drawn(cls, shots: int, rng: np.random.Generator) -> Settings:
        """Settings that fill `RANGES` evenly."""
        return cls(**{name: rng.uniform(*span, shots) for name, span in RANGES.items()})


@dataclass(frozen=True)
class Bunch:
    """The bunch after the gun; arrays of shape (shots,)."""

    spot: np.ndarray
    """mm rms."""
    length: np.ndarray
    """ps rms."""
    current: np.ndarray
    """Peak, A."""
    gamma: np.ndarray
    """Energy in units of the rest energy."""
    crowding: np.ndarray
    """Field of the charge at the cathode, relative to the gun's at launch."""
    alpha: np.ndarray
    """Strength of the gun's field: gain of energy in a radian of RF, in units of twice the rest energy."""


def simulate(settings: Settings) -> dict[str, np.ndarray]:
    """What the diagnostics after the second structure would measure without noise; arrays of shape (shots,).

    Normalised emittances in um, beam size in mm rms, bunch length in ps rms, energy spread in keV rms.
    """
    bunch = _gun(settings)
    off = _off_optimum(settings, bunch)
    length = _compressed(settings, bunch)
    emittance_x, emittance_y = _emittances(settings, bunch, off)
    return {
        "emittance_x": emittance_x,
        "emittance_y": emittance_y,
        "beam_size": _beam_size(settings, bunch, off, emittance_x),
        "bunch_length": length,
        "energy_spread": _energy_spread(settings, bunch, length),
    }


def _gun(settings: Settings) -> Bunch:
    """Launch, bunch length and energy after the gun (Travier)."""
    launch = np.radians(settings.gun_phase)
    alpha = settings.gun_field / (2 * REST * WAVE)
    slip = launch + np.pi / (6 * np.sqrt(alpha))
    exit_phase = launch + 1 / (2 * alpha * np.sin(slip)) + np.pi / (15 * alpha)
    compression = 1 - np.cos(slip) / (2 * alpha * np.sin(slip) ** 2)
    # A uniform disc has a radius of twice its rms size; C/(F/m mm^2) = 1e6 V/m.
    density = 1e-12 * settings.charge / (np.pi * (2 * settings.laser_spot) ** 2)
    crowding = density / 8.8541878e-12 / (settings.gun_field * np.sin(launch))
    length = LASER_PULSE * compression * np.sqrt(1 + (1.5 * crowding) ** 2)
    return Bunch(
        spot=settings.laser_spot * np.sqrt(1 + crowding),
        length=length,
        current=settings.charge / (np.sqrt(2 * np.pi) * length),
        gamma=1 + alpha * (1.5 * np.pi * np.sin(exit_phase) + np.cos(exit_phase)),
        crowding=crowding,
        alpha=alpha,
    )


def _off_optimum(settings: Settings, bunch: Bunch) -> np.ndarray:
    """How far the solenoid is from the field that compensates best, relative; that field grows with the momentum."""
    best = 0.24 * np.sqrt(bunch.gamma**2 - 1) / 9.2 * (1 + 0.04 * (bunch.current / 40 - 1))
    return settings.solenoid / best - 1


def _compressed(settings: Settings, bunch: Bunch) -> np.ndarray:
    """Bunch length after velocity bunching in the first metre of the first structure, ps rms."""
    gamma = bunch.gamma + 0.5 * settings.l0a_gradient / REST
    chirp = settings.l0a_gradient * WAVE * np.sin(np.radians(settings.l0a_phase)) / (gamma * REST)
    return bunch.length * np.sqrt((1 + 1.5 * chirp / gamma**2) ** 2 + 0.05**2)


def _emittances(settings: Settings, bunch: Bunch, off: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalised emittances of both planes, um."""
    launch = np.radians(settings.gun_phase)
    schottky = 0.0379 * np.sqrt(settings.gun_field * np.sin(launch))
    thermal = 1e3 * settings.laser_spot * np.sqrt((PHOTON - WORK_FUNCTION + schottky) / (3e6 * REST))
    long = LIGHT * 1e-3 * bunch.length  # mm rms
    shape = 1 / (3 * bunch.spot / long + 5)
    charged = 1e6 * np.pi / 4 / (bunch.alpha * WAVE * np.sin(launch)) * bunch.current / ALFVEN * shape
    matched = 2e3 * REST / (0.9 * bunch.spot) * np.sqrt(bunch.current / (3 * ALFVEN * bunch.gamma))
    left = np.sqrt(0.1**2 + (1.5 * off) ** 2 + (0.12 * (settings.l0a_gradient / matched - 1)) ** 2)
    rf = 1e-6 * bunch.alpha * WAVE**3 * bunch.spot**2 * long**2 / np.sqrt(2)
    common = thermal**2 + (left * charged) ** 2 + rf**2
    strength = (150 * settings.solenoid / (REST * bunch.gamma)) ** 2 * SOLENOID_LENGTH  # 1/f, 1/m
    chromatic = 2e-3 * bunch.gamma * bunch.spot**2 * strength
    quadrupole = 0.08 * bunch.gamma * bunch.spot**2 * np.abs(np.sin(2 * (20 * settings.solenoid - 3.6)))
    voltage = STRUCTURE * settings.l0a_gradient / REST
    coupler = 0.2 * bunch.spot * WAVE * long * 1e-3 * voltage * np.abs(np.cos(np.radians(settings.l0a_phase + 60)))
    return (
        np.sqrt(common + chromatic**2 + quadrupole**2),
        np.sqrt(common + chromatic**2 + coupler**2),
    )


def _beam_size(settings: Settings, bunch: Bunch, off: np.ndarray, emittance: np.ndarray) -> np.ndarray:
    """On the screen, mm rms: the focus of the solenoid, damped by the acceleration, and the beam's own divergence."""
    gamma = bunch.gamma + _energy(settings) / REST
    waist = bunch.spot * np.sqrt(0.5**2 + (3 * (off + 0.03)) ** 2) * (bunch.gamma / gamma) ** 0.25
    divergence = DRIFT * emittance / (gamma * 0.9 * bunch.spot)
    return np.sqrt(waist**2 + divergence**2)


def _energy(settings: Settings) -> np.ndarray:
    """Gained in both structures, MeV."""
    first = settings.l0a_gradient * np.cos(np.radians(settings.l0a_phase))
    return STRUCTURE * (first + L0B_GRADIENT * np.cos(np.radians(settings.l0b_phase)))


def _energy_spread(settings: Settings, bunch: Bunch, length: np.ndarray) -> np.ndarray:
    """keV rms: slope and curvature of the RF over the bunch, the slope by space charge, and what is not correlated."""
    slope = settings.l0a_gradient * np.sin(np.radians(settings.l0a_phase))
    slope = STRUCTURE * (slope + L0B_GRADIENT * np.sin(np.radians(settings.l0b_phase)))
    linear = 1e3 * slope * PER_PS * length - 1.5 * bunch.current
    curved = 1e3 * _energy(settings) * (PER_PS * length) ** 2 / np.sqrt(2)
    return np.sqrt(linear**2 + curved**2 + 5.0**2)
