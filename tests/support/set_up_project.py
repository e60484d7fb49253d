"""A project whose set-up lacks nothing: on this machine, and in the stand-in for GitHub."""

from __future__ import annotations

import json
from pathlib import Path

from beampermit.environments.choice import backend_of
from beampermit.environments.environment import STAMP
from beampermit.permit.keys import generate_keys
from support.github_setup import of, set_up
from support.github_stand_in import GitHub
from support.paths import ROOT

TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}"
RULESETS = (".github/rulesets/main.json", ".github/rulesets/ledger.json")
WORKFLOWS = tuple(
    sorted(path.relative_to(TEMPLATE).as_posix() for path in (TEMPLATE / ".github/workflows").glob("*.yml"))
)
COMMITTED = ("contract.yaml", "CODEOWNERS", ".github/permit.pub", *RULESETS, *WORKFLOWS)
PULL_REQUEST = ".github/workflows/pull-request.yml"


def write_set_up(root: Path) -> dict[str, str]:
    """Add what a project with a contract needs besides; the text of what is committed. Its jobs ask for a GPU."""
    for name in (*RULESETS, *WORKFLOWS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text((TEMPLATE / name).read_text())
    workflow = root / PULL_REQUEST
    workflow.write_text(workflow.read_text().replace('gpu-labels: ""', "gpu-labels: '[\"gpu\"]'"))
    (root / "CODEOWNERS").write_text("* @ada @lab/models\n")
    (root / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    (root / "uv.lock").write_text('version = 1\nrequires-python = ">=3.11"\n')
    (root / ".github/permit.pub").write_bytes(generate_keys(root.parent / "keys")[1].read_bytes())
    (root / ".gitignore").write_text(".venv/\n")
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/python").touch()
    (root / f".venv/{STAMP}").write_text(backend_of(root).read(root).stamp)
    return {name: (root / name).read_text() for name in COMMITTED}


def show_set_up(github: GitHub, files: dict[str, str] | None = None) -> None:
    """The same on GitHub."""
    set_up(github, files)
    of(github).runners.append({"status": "online", "labels": [{"name": "gpu"}]})
    for name in RULESETS:
        github.ruleset(json.loads((TEMPLATE / name).read_text()))
