"""What can raise an alarm of a model: limits of its outputs, an invalid output, a stale input, drift."""

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

    `signal` is the output whose PVs show it, or the stale input; None for drift.
    """

    name: str
    description: str
    severity: Severity | None = None
    signal: Signal | None = None


def causes(signals: Signals) -> dict[str, Cause]:
    """By name: of outputs, then of inputs, then drift."""
    of_signals = [*(cause for output in signals.outputs for cause in _of_output(output)), *map(_stale, _aging(signals))]
    return {cause.name: cause for cause in (*of_signals, Cause(DRIFT, "live data differ from the training data"))}


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
