"""Metrics side by side: of this branch, of the base branch, and of the champion on the same data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from beampermit.contract import Contract, Metric

RECALL = "recall_"
"""Metrics of this prefix tell how many of one kind are found."""


@dataclass(frozen=True)
class MetricComparison:
    """One metric of the contract; None where a side has none."""

    metric: Metric
    value: float | None
    base: float | None
    champion: float | None

    @property
    def met(self) -> bool:
        """Whether the gate is passed."""
        return self.value is not None and self.metric.met(self.value)


def compare_metrics(
    base_contract: Contract, head: Mapping[str, float], base: Mapping[str, float], champion: Mapping[str, float]
) -> tuple[MetricComparison, ...]:
    """The metrics that the base contract names."""
    return tuple(
        MetricComparison(metric, head.get(metric.name), base.get(metric.name), champion.get(metric.name))
        for metric in base_contract.metrics
    )
