"""`contract.yaml` as a whole, and the model it is about. Editors show these docstrings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from beampermit.contract.dataset import Dataset
from beampermit.contract.direction import Loosens
from beampermit.contract.judging import Budget, Evaluation, Incomparable, Metric, Reproducibility, output_problems
from beampermit.contract.part import InsidePath, Lines, Name, Part, Prose, Text
from beampermit.contract.service import Fallback, Monitoring, Operations, Serving
from beampermit.contract.signals import Signals
from beampermit.contract.software import Environment, Notebooks, Tests


def _mail(value: str) -> str:
    if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+\.[^@\s<>]+", value):
        raise ValueError("this is not an e-mail address")
    return value


class Owner(Part):
    """A person responsible for the model."""

    name: Prose
    email: Annotated[str, AfterValidator(_mail), Loosens.INFORMS]
    """E-mail address; each owner has another one (DOC001)."""
    role: Prose = "maintainer"
    """The owner's role."""


class Use(Part):
    """Intended use and limitations."""

    intended: Prose
    """What the model is for."""
    out_of_scope: Prose
    """What it must not be used for."""
    limitations: Lines = Field(min_length=1)
    """Known limitations; at least one."""
    users: Annotated[Text | None, Loosens.INFORMS] = None
    """Who uses its output; for the card (DOC002)."""
    factors: Lines = ()
    """What affects its performance: device groups, machine states, instruments; for the card (DOC002)."""
    considerations: Lines = ()
    """Ethical considerations: who could be harmed by a wrong output, and how; for the card (DOC002)."""
    caveats: Lines = ()
    """Further caveats and recommendations; for the card (DOC002)."""


class Model(Part):
    """The model, its owners and its files."""

    name: Name
    summary: Prose
    """One line for the inventory, the card and the operator."""
    kind: Annotated[Text | None, Loosens.INFORMS] = None
    """Architecture and training; for the card (DOC002)."""
    references: Lines = ()
    """Papers and other resources, for the card."""
    owners: tuple[Owner, ...] = Field(min_length=1)
    """The people responsible for the model."""
    use: Use
    review_by: Annotated[date, Loosens.WHEN_LATER]
    """The day by which the owners must review the model (DOC004)."""
    path: InsidePath = "model"
    """The folder of the saved model: an MLflow pyfunc directory."""
    manifest: InsidePath = "manifest.json"
    """sha256 of each file of the saved model, of the dataset, and of what else DVC stores for a stage; kept in git."""


def targets_of(signals: Signals, dataset: Dataset) -> frozenset[str]:
    return frozenset(filter(None, (dataset.target, *(output.target for output in signals.outputs))))


class Contract(Part):
    """What a model promises."""

    beampermit: Annotated[Literal[1], Loosens.NEVER]
    """Version of this format."""
    model: Model
    environment: Environment = Environment()
    tests: Tests = Tests()
    notebooks: Notebooks = Notebooks()
    signals: Signals
    dataset: Dataset
    evaluation: Evaluation
    metrics: tuple[Metric, ...] = Field(min_length=1)
    incomparable: Incomparable | None = None
    reproducibility: Reproducibility
    budget: Budget
    monitoring: Monitoring
    serving: Serving = Serving()
    fallback: Fallback
    operations: Operations

    @property
    def targets(self) -> frozenset[str]:
        """Columns that outputs are compared with, and that the model learns to predict."""
        return targets_of(self.signals, self.dataset)

    @model_validator(mode="after")
    def _consistent(self) -> Contract:
        names = [metric.name for metric in self.metrics]
        if len(set(names)) != len(names):
            raise ValueError("two metrics have the same name")
        if self.tests.gpu and "cuda" not in self.environment.accelerators:
            raise ValueError("tests.gpu needs a GPU, but environment.accelerators does not list cuda")
        for problem in output_problems(self.signals.outputs, self.metrics):
            raise ValueError(problem)
        by_project = [metric for metric in self.metrics if metric.measure is None]
        if by_project and not self.evaluation.command:
            raise ValueError(f"metric {by_project[0].name!r} has no measure, and no evaluation.command computes it")
        if not self.evaluation.weighted and any(metric.subgroups for metric in by_project):
            raise ValueError("a metric has subgroup gates, but evaluation.weighted has no command to compute them")
        if self.evaluation.inputs != self.dataset.splits["test"]:
            raise ValueError(
                f"evaluation.inputs is {self.evaluation.inputs}, and metrics are computed on the split called test, "
                f"which is {self.dataset.splits['test']}"
            )
        if self.monitoring.reference not in self.dataset.splits:
            raise ValueError(f"monitoring.reference {self.monitoring.reference!r} is not a split of the dataset")
        for problem in self._problems_of_folds():
            raise ValueError(problem)
        self.dataset.request.resolved(self.signals.inputs)
        if self.serving.event and self.serving.event not in {signal.name for signal in self.signals.inputs}:
            raise ValueError(f"serving.event {self.serving.event!r} is not an input")
        if self.fallback.on_invalid == "default" or self.fallback.then == "default":
            without = [signal.name for signal in self.signals.outputs if signal.default is None]
            if without:
                raise ValueError(f"the fallback serves a default, but output {without[0]!r} has none")
        return self

    def _problems_of_folds(self) -> Iterator[str]:
        folds, dataset = self.reproducibility.folds, self.dataset
        if folds and "validation" not in dataset.splits:
            yield "reproducibility.folds are of the splits train and validation, and dataset.splits has no validation"
        if folds and folds.by == "time" and not dataset.split.time:
            yield "reproducibility.folds are by time, and dataset.split has no time"
        for metric in self.metrics:
            if metric.fold_tolerance is None:
                continue
            if not folds:
                yield f"metric {metric.name!r} has a fold_tolerance, and there are no reproducibility.folds"
            if metric.measure is None:
                yield f"metric {metric.name!r} has a fold_tolerance, which needs a measure: the checker's own numbers"
