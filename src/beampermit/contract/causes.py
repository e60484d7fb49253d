"""What can raise an alarm of a model: limits of its outputs, an invalid output, a stale input, and monitoring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType

from beampermit.contract.signals import Severity, Signal, Signals

SEVERITIES: Mapping[str, Severity] = MappingProxyType(
    {"lolo": "MAJOR", "low": "MINOR", "high": "MINOR", "hihi": "MAJOR"}
)
"""EPICS severity of each limit, lowest limit first."""
DRIFT = "drift"


@dataclass(frozen=True)
class Cause:
    """`name` is its spelling in `raised_by`; `severity` is that of EPICS, where it is fixed.

    `signal` is the output whose PVs show it, or the stale input; None for what monitoring sees by its `checks`. What is
    `answered` has an action where the contract has none: the runbook's own.
    """

    name: str
    description: str
    severity: Severity | None = None
    signal: Signal | None = None
    checks: tuple[str, ...] = ()
    answered: bool = False


OF_MONITORING = (
    Cause(DRIFT, "live data differ from the training data", checks=("MON001", "MON002")),
    Cause("inputs", "inputs are missing, out of range or in alarm too often", checks=("MON003",), answered=True),
    Cause("outputs", "outputs differ from those of the reference", checks=("MON004",), answered=True),
    Cause("fallback", "outputs are INVALID or a fallback too often", checks=("MON005",), answered=True),
    Cause("latency", "answers are late", checks=("MON006",), answered=True),
    Cause("quality", "predictions differ from the truth that arrived", checks=("MON007",), answered=True),
    Cause("monitor", "the monitor cannot judge", checks=("MON008",), answered=True),
)


def causes(signals: Signals) -> dict[str, Cause]:
    """By name: of outputs, then of inputs, then of monitoring."""
    of_signals = [*(cause for output in signals.outputs for cause in _of_output(output)), *map(_stale, _aging(signals))]
    return {cause.name: cause for cause in (*of_signals, *OF_MONITORING)}


def cause_of(check: str) -> str:
    """The name of the cause that a check of monitoring raises; empty for another check."""
    return next((cause.name for cause in OF_MONITORING if check in cause.checks), "")


def checks_of(name: str) -> tuple[str, ...]:
    """The checks of a cause of monitoring."""
    return next((cause.checks for cause in OF_MONITORING if cause.name == name), ())


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The causes that an entry of `raised_by` means: one by its name, or those that fit a pattern such as `*.stale`."""
    return [name for name in names if fnmatchcase(name, pattern)]


def raised_by(patterns: Iterable[str], all_causes: Mapping[str, Cause]) -> tuple[Cause, ...]:
    """The causes of an alarm, each once."""
    names = dict.fromkeys(name for pattern in patterns for name in matching(pattern, all_causes))
    return tuple(all_causes[name] for name in names)


def limits(signal: Signal) -> dict[str, float]:
    """The alarm limits that are set, lowest first, in the signal's unit; `expected` sets LOW and HIGH where absent."""
    low, high = signal.expected or (None, None)
    values = {
        "lolo": signal.lolo,
        "low": low if signal.low is None else signal.low,
        "high": high if signal.high is None else signal.high,
        "hihi": signal.hihi,
    }
    return {name: value for name, value in values.items() if value is not None}


def _of_output(output: Signal) -> Iterator[Cause]:
    for name, value in limits(output).items():
        side = "below" if name.startswith("lo") else "above"
        yield Cause(f"{output.name}.{name}", f"{output.name} is {side} {value:g}", SEVERITIES[name], output)
    yield Cause(f"{output.name}.invalid", f"{output.name} is invalid", "INVALID", output)


def _aging(signals: Signals) -> list[Signal]:
    return [signal for signal in signals.inputs if signal.stale_after]


def _stale(signal: Signal) -> Cause:
    return Cause(f"{signal.name}.stale", f"{signal.name} is stale", "INVALID", signal)
