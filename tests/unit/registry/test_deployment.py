"""The test deployment trips when the model that the registry gives out is not the one that was judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from beampermit import probe
from beampermit.contract import parse_contract
from beampermit.digest import digest_bytes
from beampermit.environments import Environment
from beampermit.errors import BadInput, Tripped
from beampermit.project import Project
from beampermit.registry.deployment import deploy

INPUTS = b"recorded"


class _Permit:
    """As much of a permit as the deployment reads."""

    def __init__(self, **metrics: float):
        self.predicate = self
        self.metrics = metrics
        self.dataset = {"data/dataset/test.parquet": digest_bytes(INPUTS)}


@pytest.fixture
def deployed(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Deploy a model whose evaluation gives `found`, under a permit that says `judged`."""
    file = project.path("data/dataset/test.parquet")
    file.parent.mkdir(parents=True)
    file.write_bytes(INPUTS)

    def run(judged: dict[str, float], found: dict[str, float]) -> None:
        monkeypatch.setattr(probe, "score", lambda *_: None)
        monkeypatch.setattr(probe, "evaluate", lambda *_: found)
        deploy(project, Environment(tmp_path), _Permit(**judged), tmp_path)  # pyright: ignore[reportArgumentType]

    return run


JUDGED = {"auc": 0.98, "false_alarm_rate": 0.01}


def test_within_the_tolerance_it_passes(deployed: Any, contract_text: str) -> None:
    tolerance = parse_contract(contract_text).reproducibility.metric_tolerance
    deployed(JUDGED, {"auc": 0.98 - tolerance * 0.9, "false_alarm_rate": 0.01, "rows": 7})


def test_another_metric_trips_it(deployed: Any) -> None:
    with pytest.raises(Tripped, match=r"as deployed, auc is 0.9; the permit says 0.98"):
        deployed(JUDGED, {**JUDGED, "auc": 0.9})


@pytest.mark.parametrize("missing", ["judged", "found"])
def test_a_missing_metric_trips_it(deployed: Any, missing: str) -> None:
    less = {"auc": 0.98}
    with pytest.raises(Tripped, match="false_alarm_rate is"):
        deployed(less if missing == "judged" else JUDGED, less if missing == "found" else JUDGED)


def test_other_inputs_than_those_judged_trip_it(deployed: Any, project: Project) -> None:
    project.path("data/dataset/test.parquet").write_bytes(b"others")
    with pytest.raises(Tripped, match="not the inputs that the permit binds"):
        deployed(JUDGED, JUDGED)


def test_missing_inputs_tell_how_to_get_them(deployed: Any, project: Project) -> None:
    project.path("data/dataset/test.parquet").unlink()
    with pytest.raises(BadInput, match="not here") as caught:
        deployed(JUDGED, JUDGED)
    assert caught.value.hint == "beampermit data pull"
