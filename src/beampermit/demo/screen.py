"""What a client in the control room sees, and whether it is true: an answer of the model, or why there is none."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from beampermit.demo.network import Network
from beampermit.live.severity import Severity

PATIENCE = 120.0
"""Seconds that a change may take on a slow machine."""
HELD = "held, because "


@dataclass(frozen=True)
class Shown:
    """What an output shows."""

    value: float
    severity: int
    message: str

    @property
    def is_answer(self) -> bool:
        """A number of the model of just now, whatever alarm it raises."""
        instead = self.message.startswith(("held", "default"))
        return math.isfinite(self.value) and self.severity < Severity.INVALID and not instead

    @property
    def says_why_not(self) -> bool:
        """A number that is held is MAJOR, and no number is INVALID; both say why."""
        if math.isnan(self.value):
            return self.severity == Severity.INVALID and bool(self.message)
        return self.severity == Severity.MAJOR and len(self.message) > len(HELD) and self.message.startswith(HELD)

    @property
    def brief(self) -> str:
        """Of a number that is held, not why."""
        return str(replace(self, message="held" if self.message.startswith(HELD) else self.message))

    def __str__(self) -> str:
        alarm = Severity(self.severity).name if self.severity else ""
        number = "" if math.isnan(self.value) else f"{self.value:.3f}"
        return " ".join(filter(None, (number, alarm))) + (f" ({self.message})" if self.message else "")


class Screen:
    """A client. The output `pv` is of the device that is disturbed, `other` of one beside it."""

    def __init__(self, network: Network, prefix: str, pv: str, other: str):
        self.pv, self.other = pv, other
        self._network, self._prefix = network, prefix
        self._client: Any = None

    def connect(self) -> bool:
        """Whether the output is there. A client that has searched in vain for long searches rarely: each try has a new
        one.
        """
        from p4p.client.thread import Context

        client = Context("pva", conf=self._network.variables, useenv=False)
        with suppress(TimeoutError):
            client.get(self.pv, timeout=1.0)
            self._client = client
            return True
        client.close()
        return False

    def close(self) -> None:
        if self._client:
            self._client.close()

    def show(self, pv: str) -> Shown:
        value = self._get(pv)
        return Shown(float(value), value.severity, value.raw.alarm.message)

    def monitor(self, callback: Any) -> Any:
        """Call back at each update of the output, until the result is closed."""
        return self._client.monitor(self.pv, callback)

    def version(self) -> int:
        return int(self._get(f"{self._prefix}:VERSION"))

    def reason(self) -> str:
        return self._get(f"{self._prefix}:REASON").raw.value

    def is_well(self) -> bool:
        return all(self.show(pv).is_answer for pv in (self.pv, self.other))

    def judge(self, other_goes_on: bool) -> tuple[Shown, str, str]:
        """What the output shows while something is wrong, both outputs in words, and what of that is not true: empty
        where all is.
        """
        shown, other = self.show(self.pv), self.show(self.other)
        said = f"{self.pv} is {shown}, {self.other} is {other}; {self.reason()}"
        if not shown.says_why_not:
            return shown, said, f"{self.pv} is {shown}, as if nothing were wrong"
        if other_goes_on and not other.is_answer:
            return shown, said, f"{self.other} is {other}, though its inputs are good"
        if not other_goes_on and not other.says_why_not:
            return shown, said, f"{self.other} is {other}, as if nothing were wrong"
        return shown, said, ""

    def _get(self, pv: str) -> Any:
        return self._client.get(pv, timeout=PATIENCE)
