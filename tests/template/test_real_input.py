"""Acquisitions of a real machine through the `files` source, judged by a model that has seen the simulator alone."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from beampermit.digest import digest_file
from beampermit.project import Project
from support.forked_trainings import script
from support.paths import LHC
from support.trained_project import RUN, metrics_of, status

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not LHC.is_file(), reason="the LHC's acquisitions are not on this machine"),
]
REALLY_STUCK = """
import json, numpy as np, pandas as pd
from pathlib import Path
from bpm_faults.model import Model
table = pd.read_parquet("data/dataset/test.parquet")
turns = np.stack(table.turns)
trained = Path("models/trained")
scores = Model.load(trained)({"turns": turns})["score"]
stuck = (np.diff(turns, axis=1) == 0).mean(axis=1) > 0.5
print(json.dumps({kind: scores[stuck & (table.fault == kind)].tolist() for kind in ("flat", "none")}))
"""
FAULTS = ("flat", "stuck", "spikes", "noise", "shuffled", "lost_bits")


@pytest.fixture
def real(trained_copy: Project) -> Project:
    """The project with recorded acquisitions of the LHC as its test split, every third signal with a fault put in."""
    import duckdb

    acquisitions = trained_copy.root / "acquisitions"
    duckdb.sql(
        "copy (select strftime(acquired_at, '%Y-%m-%dT%H:%M:%S') as acquisition, acquired_at, bpm as device, plane,"
        " list_transform(turns_2um, lambda step: (step * 0.002)::float) as turns"
        f" from '{LHC}' order by acquired_at, bpm, plane) to '{acquisitions / 'lhc.parquet'}' (format parquet)"
    )
    contract = trained_copy.root / "contract.yaml"
    text = contract.read_text()
    for old, new in (
        ("source: simulator ", "source: files "),
        (
            "options: {acquisitions: 60, amplitude: 1.0, faults: 0.3, seed: 1}",
            "options: {path: acquisitions/lhc.parquet, faults: 0.3, seed: 5, "
            "train_on: {acquisitions: 60, amplitude: 1.0, faults: 0.3, seed: 1}}",
        ),
        ("range: [-20, 20]", "range: [-60, 60]"),
    ):
        assert old in text
        text = text.replace(old, new)
    contract.write_text(text)
    return trained_copy


def test_a_model_trained_on_the_simulator_alone_finds_faults_on_real_monitors_never_seen(real: Project) -> None:
    weights = real.root / "models/trained/weights.safetensors"
    before = digest_file(weights)
    assert "acquisitions" in str(status(real)["request"]), "DVC sees what was acquired"
    done = script(real, RUN)
    assert done.code == 0, done.err
    assert digest_file(weights) == before, "the model has seen something else"
    metrics = metrics_of(real)
    sys.stdout.write(json.dumps(metrics, indent=2))
    assert json.loads((real.root / "data/dataset.json").read_text())["splits"]["test"]["rows"] == 4288
    assert metrics["auc"] >= 0.97
    assert metrics["recall_flat"] == 1.0
    assert metrics["recall_stuck"] >= 0.99
    own = json.loads(script(real, REALLY_STUCK).out)  # faults that the machine had, not ours
    assert len(own["flat"]) == 12
    assert own["none"], "stuck for more than half of the turns, and nobody put that in"
    assert min(own["flat"] + own["none"]) >= 0.5
    assert {f"recall_{fault}" for fault in FAULTS} <= metrics.keys()


def test_acquisitions_that_dvc_would_not_see_are_refused(real: Project, tmp_path: Path) -> None:
    shutil.move(real.root / "acquisitions/lhc.parquet", tmp_path / "lhc.parquet")
    contract = real.root / "contract.yaml"
    contract.write_text(contract.read_text().replace("acquisitions/lhc.parquet", str(tmp_path / "lhc.parquet")))
    done = script(real, "from bpm_faults.pipeline import contract, request; contract.main(); request.main()")
    assert done.code == 1
    assert "lhc.parquet is not below acquisitions/" in done.err
