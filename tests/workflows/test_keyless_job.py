"""The job that signs as a workflow: as docs/releases.md shows it, in a generated project's release."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from beampermit.permit.sigstore import TRUST_IN_PROJECT
from beampermit.workflows.lint import lint
from beampermit.workflows.workflow import own_workflows
from support.forked_commands import executable
from support.github_stand_in import GitHub, environment
from support.registry_project import MODEL, Laboratory, database, laboratory, prepared
from support.sigstore_stand_in import Job, running

__all__ = ["database", "laboratory", "prepared"]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ACTION = ROOT / "actions/keyless/action.yml"
RELEASE = ROOT / "template/{{cookiecutter.project_slug}}/.github/workflows/release.yml"


@pytest.mark.slow
def test_the_job_on_the_page_is_clean_in_a_projects_release(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n(  keyless:\n.*?)```", (ROOT / "docs/releases.md").read_text(), re.DOTALL)
    text = RELEASE.read_text() + "\n" + shown.replace("<40 hex>", "a" * 40)
    job = YAML(typ="safe").load(text)["jobs"]["keyless"]
    used = [step["uses"].partition("@")[0].rpartition("/")[2] for step in job["steps"]]
    assert used == ["checkout", "setup", "keyless"]
    file = tmp_path / ".github/workflows/release.yml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    subprocess.run([BIN / "actionlint", "-shellcheck=", file], check=True)
    subprocess.run([BIN / "zizmor", "--offline", "--quiet", file], check=True)
    assert lint({".github/workflows/release.yml": text}, own_workflows()).defects == ()


@pytest.mark.slow
def test_the_action_signs_and_publishes_what_the_run_released_and_nothing_in_a_rehearsal(
    laboratory: Laboratory, github: GitHub, tmp_path: Path
) -> None:
    steps = YAML(typ="safe").load(ACTION)["runs"]["steps"]
    signing, publishing = (step["run"] for step in steps if "run" in step)
    signed, released = laboratory.sign(), tmp_path / "release"
    laboratory.promote(signed=signed)
    released.mkdir()
    (released / "permit.dsse.json").write_bytes(signed.content)

    def run(script: str, **more: str) -> str:
        path = os.pathsep.join([str(executable(tmp_path).parent), os.environ["PATH"]])
        env = {**os.environ, "PATH": path, "RELEASE": str(released), "GITHUB_ACTION_PATH": str(ACTION.parent), **more}
        command = [str(shutil.which("bash")), "-eo", "pipefail", "-c", script]
        return subprocess.run(command, cwd=laboratory.root, env=env, check=True, capture_output=True, text=True).stdout

    assert "A rehearsal has no OIDC identity" in run(signing, ACT="true")
    assert not (released / "permit.sigstore.json").exists()
    with running(job=Job(commit=laboratory.project.git.head())) as sigstore, sigstore.at_work():
        sigstore.trust(laboratory.root / TRUST_IN_PROJECT)
        assert f"as {sigstore.job.identity}" in run(signing)
    assert f"{MODEL}-v1, uploaded permit.dsse.json, permit.sigstore.json" in run(
        publishing, **environment(github), TOKEN="s3cret"
    )
