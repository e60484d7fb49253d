"""Workflows and actions, ours and those of generated projects, are clean under the linters that their reviewers use."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from beampermit.generation import generate
from beampermit.github.uses import uses
from beampermit.interlocks.repository import GIT003, workflows
from beampermit.project import Project
from beampermit.rehearsal import FILES, source
from beampermit.rehearsal.plan import make_plan
from beampermit.verdict import Outcome

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
GITHUB_ACTIONS = 15368
"""The id of the GitHub Actions app: a required check pinned to it cannot be reported by anybody else."""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated project, not locked."""
    with pytest.MonkeyPatch.context() as patch:
        config = tmp_path_factory.mktemp("config") / "gitconfig"
        config.write_text("[user]\n\tname = Ada Operator\n\temail = ada@lab.example\n")
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        return generate(tmp_path_factory.mktemp("generated"), {"project_slug": "bpm-faults"}, lock=False)


@pytest.fixture(params=["ours", "generated"])
def folder(request: pytest.FixtureRequest, generated: Path) -> Path:
    """The two repositories whose workflows people run."""
    return ROOT if request.param == "ours" else generated


def lint(*words: str | Path, cwd: Path) -> None:
    program, *rest = words
    found = subprocess.run([BIN / program, *rest], cwd=cwd, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def yaml_files(folder: Path) -> list[Path]:
    return sorted((folder / ".github/workflows").glob("*.yml"))


def action_files(folder: Path) -> list[Path]:
    return sorted((folder / "actions").glob("*/action.yml"))


def test_actionlint(folder: Path) -> None:
    lint("actionlint", *yaml_files(folder), cwd=folder)


def test_zizmor_as_an_auditor(folder: Path) -> None:
    lint("zizmor", "--offline", "--persona=auditor", ".github", *action_files(folder), cwd=folder)


def test_schemas(folder: Path) -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *yaml_files(folder), cwd=folder)
    lint("check-jsonschema", "--builtin-schema", "vendor.dependabot", folder / ".github/dependabot.yml", cwd=folder)
    if actions := action_files(folder):
        lint("check-jsonschema", "--builtin-schema", "vendor.github-actions", *actions, cwd=folder)


def test_forms_of_a_generated_project(generated: Path) -> None:
    forms = [form for form in (generated / ".github/ISSUE_TEMPLATE").glob("*.yml") if form.name != "config.yml"]
    lint("check-jsonschema", "--builtin-schema", "vendor.github-issue-forms", *sorted(forms), cwd=generated)


def test_git003_is_closed_for_both(folder: Path) -> None:
    found = GIT003().check(workflows(Project(folder)))
    assert found.outcome is Outcome.CLOSED, found.reason


def test_no_expression_stands_inside_a_script() -> None:
    for file in (*yaml_files(ROOT), *action_files(ROOT)):
        tree = YAML(typ="safe").load(file)
        bodies = tree["jobs"].values() if "jobs" in tree else [tree["runs"]]
        scripts = [step["run"] for body in bodies for step in body.get("steps", ()) if "run" in step]
        assert not [script for script in scripts if "${{" in script], file


def test_an_action_is_one_verb_of_the_command() -> None:
    for file in action_files(ROOT):
        text = file.read_text()
        assert "python" not in text or file.parent.name == "setup", file
        assert "beampermit " in text, file


def test_a_generated_project_calls_our_workflows_in_few_lines(generated: Path) -> None:
    for file in yaml_files(generated):
        assert len(file.read_text().splitlines()) <= 45, file
        assert {use.repository for use in uses(file.read_text(), file.name)} == {"beampermit/beampermit"}


def test_the_one_required_check_is_a_job_of_the_pull_request_workflow(generated: Path, tmp_path: Path) -> None:
    rules = json.loads((generated / ".github/rulesets/main.json").read_text())
    required = next(rule for rule in rules["rules"] if rule["type"] == "required_status_checks")["parameters"]
    assert required["required_status_checks"] == [{"context": "ml / permit", "integration_id": GITHUB_ACTIONS}]
    own, artifacts = source.lay_out(tmp_path / "own"), source.lay_out_artifacts(tmp_path / "artifacts")
    jobs = {job.name: job for job in make_plan(generated, FILES["pull-request"], own, artifacts).jobs}
    assert set(jobs["ml / permit"].needs) == set(jobs) - {"ml / permit"}
    assert jobs["ml / permit"].conditions == ("${{ always() }}",)


@pytest.mark.parametrize("labels", ["", '["gpu"]'])
def test_each_interlock_is_run_by_exactly_one_job(labels: str) -> None:
    from beampermit.interlocks import runner

    tree = YAML(typ="safe").load(ROOT / ".github/workflows/ml-pull-request.yml")
    steps = [step for id, job in tree["jobs"].items() if labels or id != "gpu" for step in job["steps"]]
    words = [step["with"]["interlocks"] for step in steps if "interlocks" in step.get("with", {})]
    either = re.compile(r"\$\{\{ inputs\.gpu-labels == '' && '([^']*)' \|\| '([^']*)' \}\}")
    named = [either.sub(lambda found: found[2 if labels else 1], word).split() for word in words]
    run = [cls.id() for names in named for cls in runner.select(names)]
    assert sorted(run) == sorted(runner.load())


def test_the_permit_names_each_job_that_must_end_well() -> None:
    tree = YAML(typ="safe").load(ROOT / ".github/workflows/ml-pull-request.yml")
    permit = tree["jobs"]["permit"]
    condition = permit["steps"][-1]["if"]
    assert permit["steps"][-1]["name"] == "Every job ended well"
    for job in permit["needs"]:
        well = "(inputs.gpu-labels == '' && 'skipped' || 'success')" if job == "gpu" else "'success'"
        assert f"needs.{job}.result != {well}" in condition
    assert condition.count("||") == len(permit["needs"])


def test_release_waits_for_every_job_of_the_judgement(generated: Path, tmp_path: Path) -> None:
    own, artifacts = source.lay_out(tmp_path / "own"), source.lay_out_artifacts(tmp_path / "artifacts")
    plan = make_plan(generated, FILES["release"], own, artifacts)
    jobs = {job.name: job for job in plan.jobs}
    assert set(jobs["release / promote"].needs) == set(jobs) - {"release / promote"}
    assert plan.elsewhere == ()


def test_a_planted_defect_is_seen(generated: Path, tmp_path: Path) -> None:
    shutil.copytree(generated / ".github", tmp_path / ".github")
    file = tmp_path / ".github/workflows/pull-request.yml"
    file.write_text(file.read_text().replace("permissions: {}", "permissions: write-all"))
    with pytest.raises(AssertionError, match="excessive-permissions"):
        lint("zizmor", "--offline", "--persona=auditor", ".github", cwd=tmp_path)
