"""The records that show a version of a model: of each its type, and the fields that the contract gives it."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from beampermit.contract import Contract
from beampermit.contract.causes import SEVERITIES
from beampermit.contract.signals import Signal
from beampermit.contract.tolerance import NEAR, allowed
from beampermit.live.access_groups import LIMITS, READ_ONLY, RESTART
from beampermit.live.limits import Limits
from beampermit.live.status_pvs import STATUS_PVS, StatusPV, status_pv
from beampermit.live.wiring import Wiring

Name = Literal["lolo", "low", "high", "hihi"]
Kind = Literal["ai", "waveform", "lsi", "int64in", "longout"]
LIMIT_FIELDS: dict[Name, tuple[str, str]] = {
    "lolo": ("LOLO", "LLSV"),
    "low": ("LOW", "LSV"),
    "high": ("HIGH", "HSV"),
    "hihi": ("HIHI", "HHSV"),
}
"""The fields of a limit and of its severity."""
DESCRIPTION = 40
"""Bytes of DESC."""
UNIT = 15
"""The same of EGU."""
MOST_DECIMALS = 15
LONGEST_TEXT = 4000
"""Bytes of a text that says what is wrong."""
IN_ASCII = str.maketrans({"μ": "u", "°": "deg", "Ω": "Ohm", "–": "-", "—": "-", "·": "."})  # noqa: RUF001
# Nothing processes these records but the service (a scan by an event that never comes), which gives each its time.
OF_ALL = {"SCAN": "Event", "TSE": "-2"}
EACH_UPDATE = {"MDEL": "-1", "ADEL": "-1"}
"""Monitors see each update of an output: one with the same value has a newer time."""


@dataclass(frozen=True)
class Definition:
    """`fields` may change while the record stays; with other `fixed` ones it is another record."""

    name: str
    kind: Kind
    fields: Mapping[str, str]
    fixed: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """As a database file of EPICS has it."""
        fields = {**OF_ALL, **self.fixed, **self.fields}
        lines = [f'  field({name}, "{_quoted(value)}")' for name, value in fields.items()]
        return "\n".join([f'record({self.kind}, "{self.name}") {{', *lines, "}", ""])


def of_outputs(wiring: Wiring, limits: Limits) -> Iterator[Definition]:
    """Of each output PV: a number, or for any shape a waveform, row after row."""
    for plug in wiring.outputs:
        fields, shape = _of_signal(plug.signal), plug.signal.shape
        length = {"FTVL": "DOUBLE", "NELM": str(math.prod(shape))}
        for pv in plug.pvs:
            if shape:
                yield Definition(pv, "waveform", fields, {"ASG": READ_ONLY, **length})
            else:
                of_limits = limit_fields(limits.of(pv))
                yield Definition(pv, "ai", {**fields, **of_limits}, {"ASG": LIMITS, **EACH_UPDATE})


def of_status(contract: Contract) -> Iterator[Definition]:
    for status in STATUS_PVS:
        yield _of_status(status_pv(contract, status.name), status)


def limit_fields(limits: Mapping[str, float]) -> dict[str, str]:
    """Of all four limits; one that is not set is NaN, and without a severity."""
    fields = {}
    for name, (value, severity) in LIMIT_FIELDS.items():
        fields[value] = repr(limits.get(name, math.nan))
        fields[severity] = SEVERITIES[name] if name in limits else "NO_ALARM"
    return fields


def decimals(signal: Signal) -> int:
    """PREC: the last digit is no coarser than the signal's resolution, or else than its tolerance."""
    low, high = signal.range
    tolerance = NEAR if signal.tolerance is None else signal.tolerance
    step = signal.resolution or allowed(tolerance, high - low) or allowed(NEAR, high - low)
    # 0.001 is 10 to the power of -2.9999999999999996 or so.
    return min(max(math.ceil(-math.log10(step) - 1e-9), 0), MOST_DECIMALS)


def shortened(text: str, size: int) -> bytes:
    """UTF-8 of at most `size` bytes; what is cut ends in three dots."""
    encoded = text.encode(errors="backslashreplace")
    if len(encoded) <= size:
        return encoded
    return encoded[: size - 3].decode(errors="ignore").encode() + b"..."


def ascii_text(text: str, size: int) -> str:
    """For fields that old clients read as ASCII: `µm` is `um`."""
    parts = unicodedata.normalize("NFKD", " ".join(text.split()))
    plain = "".join(part for part in parts if not unicodedata.combining(part)).translate(IN_ASCII)
    return shortened(plain.encode("ascii", "replace").decode(), size).decode()


def _of_signal(signal: Signal) -> dict[str, str]:
    low, high = signal.range
    return {
        "DESC": ascii_text(signal.description or signal.name, DESCRIPTION),
        "EGU": "" if signal.unit == "1" else ascii_text(signal.unit, UNIT),
        "PREC": str(decimals(signal)),
        "LOPR": repr(low),
        "HOPR": repr(high),
    }


def _of_status(name: str, status: StatusPV) -> Definition:
    fields = {"DESC": ascii_text(status.description, DESCRIPTION)}
    if status.writable:
        return Definition(name, "longout", fields, {"ASG": RESTART})
    if status.kind == "text":
        return Definition(name, "lsi", fields, {"ASG": READ_ONLY, "SIZV": str(LONGEST_TEXT)})
    fields["EGU"] = status.unit
    if status.kind == "int":
        return Definition(name, "int64in", fields, {"ASG": READ_ONLY})
    return Definition(name, "ai", {**fields, "PREC": "4"}, {"ASG": READ_ONLY})


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
