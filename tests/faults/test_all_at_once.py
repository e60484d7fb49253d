"""A release that is attacked in four ways at once: each guard says what it saw, and what is in service stays."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.digest import digest_bytes, digest_file
from beampermit.errors import Failed
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.runner import check
from beampermit.permit import keys
from beampermit.permit.assemble import assemble
from beampermit.permit.envelope import sign_statement
from beampermit.project import Project
from beampermit.reproduction.tree import place_of
from beampermit.verdicts.evidence import Gate, Gates
from beampermit.verdicts.verdict import VerdictFile
from support.registry_project import INTERLOCKS, Laboratory, verdicts
from support.trained_project import dvc

pytestmark = pytest.mark.slow
Command = Callable[..., Any]
IDS = (*INTERLOCKS, "PRF001")
WEIGHTS = ("models/trained/weights.safetensors", "model/artifacts/weights.safetensors")


@pytest.fixture
def laboratory(trained_copy: Project, tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    """The trained project with its first model in service, and a second key that is trusted."""
    monkeypatch.setattr("support.registry_project.loads", lambda _: None)
    monkeypatch.setattr("support.registry_project.verdicts", measured)
    shutil.copy(database, tmp_path / "mlflow.db")
    key, public = keys.generate_keys(tmp_path / "keys")
    made = Laboratory(trained_copy.root, key, f"sqlite:///{tmp_path / 'mlflow.db'}")
    _, second = made.new_key("stolen")
    contract = (trained_copy.root / CONTRACT).read_text()
    one_seed = contract.replace("seeds: [0, 1, 2]", "seeds: [0]")  # of others, REP002 is told, which is not asked here
    assert one_seed != contract
    push(made, **{keys.PUBLIC_IN_PROJECT: public.read_text() + second.read_text(), CONTRACT: one_seed})
    made.promote(signed=made.sign(IDS))
    return made


@pytest.mark.plants("ENV002", "REP001")
@pytest.mark.attack(
    guard="a release",
    tried="a stolen key, a forged ledger, a poisoned package cache and a planted training result at once",
    said="version 2 of bpm-faults is not believed: the ledger has no signed permit for it",
)
def test_four_attacks_at_once_change_nothing_and_four_things_are_said(
    laboratory: Laboratory, command: Command, said: str, tmp_path: Path
) -> None:
    in_service = (laboratory.champion(), laboratory.statuses(), laboratory.events())
    push(laboratory, **{keys.PUBLIC_IN_PROJECT: laboratory.public.read_text()})  # the other key was stolen

    poison_the_cache(laboratory)
    plant_a_training(laboratory)
    push(laboratory)
    event = laboratory.last().model_copy(update={"version": 2, "sequence": 2, "expected": 1})
    laboratory.forge(event.model_copy(update={"permit": digest_bytes(b"none"), "by": "Mallory"}))

    (environment,) = check(laboratory.project, select_interlocks(["ENV002"]))
    assert "tool.uv.cache-dir can change what uv installs under the same lock" in environment.reason
    (training,) = check(laboratory.project, select_interlocks(["REP001"]))
    assert "weights" in training.reason
    statement = assemble(laboratory.project, [measured(laboratory.project, IDS)], IDS)
    stolen = keys.load_signing_key(str(tmp_path / "trained/stolen" / keys.PRIVATE))
    (laboratory.root / "permit.dsse.json").write_bytes(sign_statement(statement, stolen))
    assert "signed with an untrusted key" in command(laboratory, "promote").err
    with pytest.raises(Failed) as refused:
        laboratory.reconcile()
    assert said in refused.value.message

    assert (laboratory.champion(), laboratory.statuses()) == in_service[:2]
    assert laboratory.events()[:-1] == in_service[2], "nothing but the forged line was added"


def measured(project: Project, ids: Sequence[str]) -> VerdictFile:
    """Passed verdicts, with the metrics that the checker computes, each at its gate."""
    rows = tuple(
        Gate(name=one.name, value=one.gate, gate=one.gate, better=one.better, met=True, by="checker")
        for one in project.contract.metrics
        if one.measure
    )
    file = verdicts(project, ids)
    *others, gates = file.verdicts
    told = gates.model_copy(update={"evidence": Gates(metrics=rows)})
    return file.model_copy(update={"verdicts": (*others, told)})


def push(laboratory: Laboratory, **files: str) -> None:
    for name, text in files.items():
        (laboratory.root / name).write_text(text)
    laboratory.git("add", "--all")
    laboratory.git("commit", "--quiet", "--message", "Work")
    laboratory.git("push", "--quiet", "origin", "main")


def poison_the_cache(laboratory: Laboratory) -> None:
    """uv would take packages from a cache that is committed."""
    file = laboratory.root / "pyproject.toml"
    file.write_text(file.read_text().replace("[tool.uv]\n", '[tool.uv]\ncache-dir = "cache"\n', 1))
    assert "cache-dir" in file.read_text()


def plant_a_training(laboratory: Laboratory) -> None:
    """Weights edited by hand, and a finished training with the same weights where a check might look for its own."""
    weights, packaged = (laboratory.root / name for name in WEIGHTS)
    changed = {name: tensor * 1.01 for name, tensor in load_file(packaged).items()}
    for file in (weights, packaged):
        file.unlink()
        save_file(changed, file)
    manifest = laboratory.root / "manifest.json"
    content = json.loads(manifest.read_text())
    content["files"] |= {name: digest_file(laboratory.root / name) for name in WEIGHTS}
    manifest.write_text(json.dumps(content))
    dvc(laboratory.project, "commit", "--force", "--quiet")
    for name in ("once-a", laboratory.project.git.head()[:16]):
        results = place_of(laboratory.project) / name / "results/seed-0"
        shutil.copytree(weights.parent, results / "models/trained")
        (results / "done.json").write_text(json.dumps({"seconds": 1.0, "outputs": {}}))
