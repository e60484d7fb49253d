"""The checker's own metrics of models that are trained again: what training writes of them does not count."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from safetensors.numpy import load_file

from beampermit.project import Project
from beampermit.reproduction.diagnosis import Kind
from beampermit.reproduction.reproduce import Reproduction
from support.dvc_repositories import replace

pytestmark = pytest.mark.slow

TURNS = np.arange(600)
"""The target of every row; the model answers its weight."""


@pytest.fixture
def measured(trainable: Project) -> Project:
    """The toy project, with a metric by the checker under the name of one that training writes."""
    contract = trainable.root / "contract.yaml"
    replace(contract, "high: 0.5,", "high: 0.5, target: turns,")
    replace(contract, "{name: auc, better: higher, gate: 0.95", "{name: auc, measure: mae, gate: 1000")
    trainable.git("commit", "--quiet", "--all", "--message", "A measure")
    return trainable


def mean_error(weight: float) -> float:
    return float(abs(weight - TURNS).mean())


@pytest.mark.attack(
    guard="REP002",
    tried="training writes the same metrics with every seed",
    said="auc from 298.6 to 300.5 over",
)
def test_committed_model_and_seeds_are_measured_by_their_answers(
    measured: Project, again: Callable[..., Reproduction], said: str
) -> None:
    done = again(seeds=(0, 7))
    weight = float(load_file(measured.root / "model/weights.safetensors")["weight"][0])
    assert done.diagnosis.kind is Kind.IDENTICAL
    assert done.compared is not None
    (pair,) = (pair for pair in done.compared.metrics if pair.name == "auc")
    assert pair.committed == pair.retrained == pytest.approx(mean_error(weight))
    assert done.spread is not None
    (spread,) = (spread for spread in done.spread.metrics if spread.name == "auc")
    assert spread.values[0] == pair.committed
    assert spread.values[7] != spread.values[0], "another minimum"
    assert said in f"{spread.text} over"
