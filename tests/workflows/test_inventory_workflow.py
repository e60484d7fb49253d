"""The template's weekly inventory, run by act: the page is kept, the summary says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from beampermit.project import Project
from beampermit.rehearsal import rehearse
from support.forked_commands import MLFLOW
from support.paths import ROOT
from support.promoted_project import IN_SERVICE
from support.registry_project import Laboratory, database, prepared
from support.rehearsals import lend_checker, log_of

__all__ = ["database", "prepared"]
WORKFLOW = ".github/workflows/inventory.yml"
TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_fails_with_what_is_wrong_and_keeps_the_page(
    prepared: Callable[..., Laboratory], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    lend_checker(tmp_path_factory, monkeypatch, needs=MLFLOW)
    lab = prepared("served", *IN_SERVICE)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", lab.uri)
    (lab.root / WORKFLOW).parent.mkdir(parents=True, exist_ok=True)
    (lab.root / WORKFLOW).write_text((TEMPLATE / WORKFLOW).read_text())
    (lab.root / "people").write_text("ada@lab.example\n")
    listed = f"inventory: 1\npeople: people\nprojects: [{{repository: {lab.root.parent / 'origin.git'}}}]\n"
    (lab.root / "inventory.yaml").write_text(listed)
    lab.change(2)
    found = rehearse(Project(lab.root), "registry", workflow=WORKFLOW, timeout=240)
    said = log_of(found, "inventory / inventory")
    assert not found.ok
    assert "Take stock" in found.failed[0].reason, said[-3000:]
    assert "MINOR INV007" in said
    assert "An owner is gone" in said.partition("Summary - ")[2]
    kept = Path(found.artifacts) / "inventory"
    assert {path.name for path in kept.iterdir()} == {"inventory.html", "inventory.md"}
    assert "Bo Physicist" in (kept / "inventory.html").read_text()


def test_it_may_read_and_no_more() -> None:
    yaml = YAML(typ="safe")
    caller, called = yaml.load(TEMPLATE / WORKFLOW), yaml.load(ROOT / ".github/workflows/ml-inventory.yml")
    assert caller["permissions"] == called["permissions"] == {}
    assert set(caller["on"]) == {"schedule", "workflow_dispatch"}
    job = called["jobs"]["inventory"]
    assert caller["jobs"]["inventory"]["permissions"] == job["permissions"] == {"actions": "read", "contents": "read"}
    assert "environment" not in job, "its reviewers would have to come every week"
    assert job["steps"][0]["with"] == {"persist-credentials": False}
    assert called["on"]["workflow_call"]["inputs"]["services"]["default"] is False, "GitHub's runners see no PV"
