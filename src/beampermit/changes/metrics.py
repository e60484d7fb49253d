"""Metrics side by side: here, on the base branch, and the champion judged again on the same data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from beampermit.contract import Contract, Metric
from beampermit.documents.charts import is_number
from beampermit.documents.markdown import signed
from beampermit.verdicts.verdict import Verdict

RECALL = "recall_"
"""Metrics of this prefix tell how many of one kind are found."""


@dataclass(frozen=True)
class Champion:
    """The version in service, with its metrics on this pull request's data."""

    version: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class Compared:
    """One metric of the contract; None where a side has none."""

    metric: Metric
    value: float | None
    base: float | None
    champion: float | None

    @property
    def met(self) -> bool:
        """Whether the gate is passed."""
        return self.value is not None and self.metric.met(self.value)

    def change(self, other: float | None) -> str:
        """Such as `+0.012 better`, in this metric's direction; nothing where a side is absent."""
        if self.value is None or other is None:
            return ""
        if self.value == other:
            return "same"
        word = "better" if (self.value > other) == (self.metric.better == "higher") else "worse"
        return f"{signed(self.value - other)} {word}"


def compared(
    base_contract: Contract, here: Mapping[str, float], base: Mapping[str, float], champion: Champion | None
) -> tuple[Compared, ...]:
    """The metrics that the base contract names."""
    theirs = champion.metrics if champion else {}
    return tuple(
        Compared(metric, here.get(metric.name), base.get(metric.name), theirs.get(metric.name))
        for metric in base_contract.metrics
    )


def champion(verdicts: Iterable[Verdict]) -> Champion | None:
    """The champion as PRF002 saw it, if its evidence says: `{"champion": {"version": "1", "metrics": {...}}}`."""
    evidence = next((verdict.evidence for verdict in verdicts if verdict.id == "PRF002"), {})
    found: Any = evidence.get("champion")
    if not isinstance(found, dict) or not isinstance(found.get("metrics"), dict):
        return None
    numbers = {str(name): float(value) for name, value in found["metrics"].items() if is_number(value)}
    return Champion(str(found.get("version", "?")), numbers)
