"""The actions that an operator's own workflow calls, one after the other, by act."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from beampermit.project import Project
from beampermit.rehearsal import rehearse, stage
from support.forked_commands import MLFLOW, executable
from support.paths import ROOT
from support.registry_project import MODEL, Laboratory, database, laboratory, prepared
from support.rehearsals import laid_out_once, log_of

__all__ = ["database", "laboratory", "prepared"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CHECKOUT = "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd"
TAKES = {
    "reconcile": ("token",),
    "freeze": ("token", "reason"),
    "thaw": ("token", "reason"),
    "re-sign": ("token", "reason", "version", "signing-key"),
    "retire": ("token", "reason", "version"),
}
CALLS = ("reconcile", "freeze", "thaw", "re-sign --version=1", "retire --version=1", "retire")
HEAD = f"""\
name: Service
on:
  workflow_dispatch:
    inputs:
      reason:
        required: true
permissions: {{}}
jobs:
  service:
    name: service
    runs-on: ubuntu-latest
    env:
      MLFLOW_TRACKING_URI: ${{{{ vars.MLFLOW_TRACKING_URI }}}}
    steps:
      - uses: {CHECKOUT}
      - run: echo "COMMAND" >> "$GITHUB_PATH"
"""


def _step(call: str, key: Path) -> str:
    verb, _, version = call.partition(" --version=")
    given = {"token": "${{ github.token }}", "reason": "${{ inputs.reason }}", "version": version or '""'}
    given["signing-key"] = str(key)
    given = {name: value for name, value in given.items() if name in TAKES[verb]}
    words = "".join(f"          {name}: {value}\n" for name, value in given.items())
    return f"      - uses: ./actions/{verb}\n        with:\n{words}"


def test_each_action_is_its_command(
    laboratory: Laboratory, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.promote()
    file = laboratory.root / ".github/workflows/service.yml"
    file.parent.mkdir(parents=True)
    shutil.copytree(ROOT / "actions", laboratory.root / "actions")
    head = HEAD.replace("COMMAND", str(executable(tmp_path, needs=MLFLOW).parent))
    file.write_text(head + "".join(_step(call, laboratory.key) for call in CALLS))
    laboratory.change(2)
    laboratory.promote()
    laboratory.registry.set_alias(MODEL, "champion", 1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", laboratory.uri)
    whole = laid_out_once(tmp_path_factory)
    monkeypatch.setattr(stage, "lay_out", lambda _: whole)
    reason = 'tests of beam; `id` $(id) "quoted"'
    workflow = file.relative_to(laboratory.root).as_posix()
    found = rehearse(Project(laboratory.root), "rollback", workflow=workflow, inputs={"reason": reason}, timeout=240)
    assert found.ok, found.failed
    assert "alias champion moved from version 1 to version 2" in log_of(found, "service")
    assert laboratory.events() == [
        ("promote", 1),
        ("promote", 2),
        ("freeze", 2),
        ("thaw", 2),
        ("retire", 1),
        ("retire", 2),
    ]
    assert "already signed with a key of the protected branch: bpm-faults version 1" in log_of(found, "service")
    assert laboratory.last().reason == reason
    assert laboratory.champion() is None
    assert laboratory.statuses() == {1: "retired", 2: "retired"}
