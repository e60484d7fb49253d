"""Metrics, verdicts or data of another commit are found when the permit is assembled or the deployment is tested."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from beampermit.digest import digest_bytes, manifest
from beampermit.interlocks.families import load_interlocks
from beampermit.live.deployment import deploy
from beampermit.models import evaluation, scoring
from beampermit.verdicts.writing import write_verdicts
from support.registry_project import Laboratory, verdicts

pytestmark = pytest.mark.slow
Command = Callable[..., Any]
ALL = tuple(load_interlocks())
DATA, METRICS = "data/dataset/test.parquet", "metrics/metrics.json"


def _measured(model: Path) -> dict[str, float]:
    """The metrics of the laboratory's model, which is a single number."""
    return {"auc": 0.95 + float(load_file(model / "weights.safetensors")["weight"][0]) / 100, "false_alarm_rate": 0.01}


def _commit(laboratory: Laboratory, weight: int, metrics: dict[str, float]) -> None:
    """Commit a model with its test data and these metrics, and sign its permit."""
    model = laboratory.model(weight)
    files = {f"model/{path}": digest for path, digest in manifest(model).items()}
    texts = {"manifest.json": {"algorithm": "sha256", "files": {**files, DATA: digest_bytes(b"recorded")}}}
    for name, content in {**texts, METRICS: metrics}.items():
        (laboratory.root / name).write_text(json.dumps(content))
    (laboratory.root / DATA).parent.mkdir(parents=True, exist_ok=True)
    (laboratory.root / DATA).write_bytes(b"recorded")
    laboratory.git("add", "--all", "--", ":!permit.dsse.json")
    laboratory.git("commit", "--quiet", "--message", f"A model with weight {weight}")
    laboratory.git("push", "--quiet", "origin", "main")
    (laboratory.root / "permit.dsse.json").write_bytes(laboratory.sign(ALL).content)


@pytest.fixture
def first(prepared: Callable[..., Laboratory], command: Command, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    """A champion; the test deployment is the real one, without the processes that score, serve and evaluate."""
    tried: list[Path] = []
    scored = scoring.Scores(seconds=1, memory=1, single_rows=100, p50=1, p99=2, worst=3, rows=7, columns={})
    monkeypatch.setattr("beampermit.live.deployment.deploy", deploy)
    monkeypatch.setattr("beampermit.live.deployment.require_served", lambda *_: None)
    monkeypatch.setattr(scoring, "score", lambda _, model, *__: tried.append(model) or scored)
    monkeypatch.setattr(evaluation, "evaluate", lambda *_: _measured(tried[-1]))
    return prepared("once")


def test_metrics_of_another_commit_are_found_by_the_test_deployment(first: Laboratory, command: Command) -> None:
    _commit(first, 2, {"auc": 0.99, "false_alarm_rate": 0.01})
    found = command(first, "promote")
    assert (found.code, found.err) == (
        1,
        "beampermit: as deployed, auc is 0.97; the permit says 0.99\n      next: beampermit check REP PRF\n",
    )
    assert (first.champion(), first.events(), first.statuses()) == (1, [("promote", 1)], {1: "champion", 2: ""})
    _commit(first, 2, {"auc": 0.97, "false_alarm_rate": 0.01})
    assert command(first, "promote").code == 0
    assert (first.champion(), first.events()[1:]) == (3, [("promote", 3)])


def test_data_of_another_dataset_is_found_by_the_test_deployment(first: Laboratory, command: Command) -> None:
    _commit(first, 2, {"auc": 0.97, "false_alarm_rate": 0.01})
    (first.root / DATA).write_bytes(b"recorded last year")
    found = command(first, "promote")
    assert found.code == 1
    assert f"{DATA}: this file differs from the one that the permit binds" in found.err
    assert "next: beampermit data pull" in found.err
    assert (first.champion(), first.events()) == (1, [("promote", 1)])
    (first.root / DATA).write_bytes(b"recorded")
    assert command(first, "promote").code == 0
    assert (first.champion(), first.events()[1:]) == (2, [("promote", 2)])


def test_verdicts_and_metrics_of_another_commit_give_no_permit(
    laboratory: Laboratory, command: Command, tmp_path: Path
) -> None:
    folder, out = tmp_path / "verdicts", laboratory.root / "permit.json"
    write_verdicts(folder / "all.json", verdicts(laboratory.project, ALL))
    before = laboratory.project.git.head()
    words = ("permit", "assemble", "--verdicts", str(folder))
    laboratory.change(2)
    found = command(laboratory, *words)
    assert found.code == 1
    assert f"DOC001 was judged at commit {before[:12]}, not {laboratory.project.git.head()[:12]}" in found.err
    assert found.err.endswith("next: beampermit check --out FILE\n")
    write_verdicts(folder / "all.json", verdicts(laboratory.project, ALL))
    stale = laboratory.git("show", f"{before}:{METRICS}")
    (laboratory.root / METRICS).write_text(stale)
    found = command(laboratory, *words)
    assert found.code == 1
    assert f"{METRICS}: this file has uncommitted changes, and a permit binds a commit\n" in found.err
    assert found.err.endswith(f"next: git diff -- {METRICS}\n")
    assert not out.exists()
    laboratory.git("checkout", "--", METRICS)
    assert command(laboratory, *words).code == 0
    assert out.exists()
