"""What an alarm can be bypassed for: what its check is about, or a PV or a device of its signal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from beampermit.contract import Contract
from beampermit.contract.causes import causes, checks_of
from beampermit.contract.signals import Signal
from beampermit.datasets.devices import PLACEHOLDER, load_devices
from beampermit.errors import BadInput, did_you_mean

OF_ARRAY = ("mean", "std", "span", "step")
OF_MONITOR = ("limits", "log", "permit", "truth")
SHOWN = 8
"""Names that a message lists."""


def require_subject(alarm: str, subject: str, contract: Contract, root: Path) -> None:
    """A subject that covers nothing would be taken for a bypass. `root` has the device table. Raises `BadInput`."""
    if len(subject) > 200 or not subject.isprintable():
        raise BadInput("--subject is the name of a signal, a device or a PV, of at most 200 characters")
    cause = causes(contract.signals).get(alarm)
    if not subject or (cause and cause.signal and _is_of(cause.signal, subject, contract, root)):
        return
    checks = (cause.checks if cause else ()) or checks_of(alarm) or (alarm,)
    known = [] if cause and cause.signal else [one for check in checks for one in subjects_of(check, contract)]
    if subject in known:
        return
    if cause and cause.signal:
        there = f"it is a PV such as {cause.signal.pv}, or a device of the table" if cause.signal.pv else "it has no PV"
    else:
        more = ", ..." if len(known) > SHOWN else ""
        there = f"it has {', '.join(known[:SHOWN])}{more}" if known else f"{alarm} is about all together"
    raise BadInput(
        f"{subject[:80]!r} is not a subject of {alarm}{did_you_mean(subject, known)}; {there}",
        hint=f"beampermit bypass {alarm} --until 8h --reason WHY",
    )


def subjects_of(check: str, contract: Contract) -> tuple[str, ...]:
    """A signal stands for all that is measured of it."""
    inputs, outputs = contract.signals.inputs, contract.signals.outputs
    every = {
        "MON001": (*_each(inputs),),
        "MON003": (*_each(inputs, "missing", "outside", arrays=()), "severity"),
        "MON004": (*_each(outputs, "flagged"),),
        "MON005": (*_each(outputs, "invalid", "fallback", arrays=()),),
        "MON007": (*(output.name for output in outputs), "truth"),
        "MON008": OF_MONITOR,
    }
    return every.get(check, ())


def _each(signals: Iterable[Signal], *parts: str, arrays: tuple[str, ...] = OF_ARRAY) -> Iterable[str]:
    for signal in signals:
        yield signal.name
        yield from (f"{signal.name}.{part}" for part in (*(arrays if signal.shape else ()), *parts))


def _is_of(signal: Signal, subject: str, contract: Contract, root: Path) -> bool:
    """A PV by its form, for the table in service may be another one; a device by the table here, if it can be read."""
    pattern = signal.pv or ""
    if pattern and re.fullmatch("[^ ]+".join(map(re.escape, PLACEHOLDER.split(pattern)[::2])), subject):
        return True
    every = (one.pv for one in (*contract.signals.inputs, *contract.signals.outputs) if one.pv)
    try:
        devices = load_devices(root, contract.signals.devices, every)
    except BadInput:
        return True
    return subject in {":".join(values) for values in devices.values} or "\\" in subject
