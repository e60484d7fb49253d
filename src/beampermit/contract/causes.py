"""What can raise an alarm of a model: limits that its contract sets, no answer, inputs too old, drift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from beampermit.contract.signals import Severity, Signal, Signals

SEVERITIES: Mapping[str, Severity] = MappingProxyType(
    {"lolo": "MAJOR", "low": "MINOR", "high": "MINOR", "hihi": "MAJOR"}
)
"""EPICS severity of each limit, lowest limit first."""
DRIFT = "drift"


@dataclass(frozen=True)
class Cause:
    """One thing that raises an alarm. `name` is how `raised_by` spells it; `severity` is what EPICS then has, if fixed.

    `signal` is the output whose PVs show it, or the input that is too old; None for what no signal shows.
    """

    name: str
    words: str
    severity: Severity | None = None
    signal: Signal | None = None


def causes(signals: Signals) -> dict[str, Cause]:
    """All that can raise an alarm, by name: of outputs, then of inputs, then drift."""
    found = [*(cause for output in signals.outputs for cause in _of_output(output)), *map(_too_old, _aging(signals))]
    return {cause.name: cause for cause in (*found, Cause(DRIFT, "the live data are not those it was trained on"))}


def limits(signal: Signal) -> dict[str, float]:
    """The alarm limits of a signal that are set, lowest first, in its unit; `expected` stands for LOW and HIGH."""
    low, high = signal.expected or (None, None)
    found = {
        "lolo": signal.lolo,
        "low": low if signal.low is None else signal.low,
        "high": high if signal.high is None else signal.high,
        "hihi": signal.hihi,
    }
    return {name: value for name, value in found.items() if value is not None}


def _of_output(output: Signal) -> Iterator[Cause]:
    for name, value in limits(output).items():
        side = "below" if name.startswith("lo") else "above"
        yield Cause(f"{output.name}.{name}", f"{output.name} is {side} {value:g}", SEVERITIES[name], output)
    yield Cause(f"{output.name}.invalid", f"{output.name} cannot be trusted", "INVALID", output)


def _aging(signals: Signals) -> list[Signal]:
    return [signal for signal in signals.inputs if signal.stale_after]


def _too_old(signal: Signal) -> Cause:
    return Cause(f"{signal.name}.stale", f"{signal.name} is too old", "INVALID", signal)
