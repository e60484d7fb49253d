"""What a run left behind, read from the project; what cannot be read is remembered, not raised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from beampermit.contract import Contract
from beampermit.documents.charts import Plots, plots
from beampermit.errors import BadInput
from beampermit.metrics import parse_metrics, read_metrics
from beampermit.project import Project
from beampermit.reading import read_json

Read = TypeVar("Read")


@dataclass
class Problems:
    """Files that are there and cannot be accepted: a paper shows them, and the command ends in their exit code."""

    found: list[BadInput] = field(default_factory=list)

    def tried(self, read: Callable[[], Read], instead: Read) -> Read:
        """What `read` gives, or `instead` with its error kept."""
        try:
            return read()
        except BadInput as error:
            self.found.append(error)
            return instead


def metrics(project: Project, contract: Contract) -> dict[str, float]:
    """The metrics of the work tree; empty where evaluation has not run. Raises `BadInput` for a broken file."""
    path = project.path(contract.evaluation.metrics)
    return read_metrics(path, contract.evaluation.metrics) if path.is_file() else {}


def base_metrics(project: Project, contract: Contract) -> dict[str, float]:
    """The metrics committed on the base branch; empty where there are none, or none that can be compared with."""
    text = project.git.read(project.base, contract.evaluation.metrics) if project.base else None
    try:
        return parse_metrics(text, contract.evaluation.metrics) if text else {}
    except BadInput:
        return {}


def drawn(project: Project, contract: Contract) -> Plots:
    """What evaluation gave to be drawn. Raises `BadInput` for a broken file."""
    path = project.path(contract.evaluation.plots)
    return plots(read_json(path), contract.evaluation.plots) if path.is_file() else Plots()
