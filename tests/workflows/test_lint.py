"""Workflows and actions, ours and those of generated projects, are clean under the linters that their reviewers use."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from beampermit.generation import generate
from beampermit.github.client import Client
from beampermit.github.protection import load_ledger_gaps, load_protection
from beampermit.github.rulesets import GITHUB_ACTIONS, LEDGER, MAIN, read_ruleset
from beampermit.interlocks.repository import GIT003, GIT004, Workflows, workflows
from beampermit.interlocks.repository.ownership import ownership
from beampermit.project import Project
from beampermit.rehearsal import FILES, stage
from beampermit.rehearsal.github_stand_in import serve_github
from beampermit.rehearsal.plan import make_plan
from beampermit.verdicts.verdict import Outcome
from beampermit.workflows.lint import lint
from beampermit.workflows.required import find_permit
from beampermit.workflows.uses import find_uses
from beampermit.workflows.workflow import own_workflows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
OTHERS = "src/beampermit/rehearsal/artifacts"
"""Composite actions that run in rehearsals alone: no reviewer of GitHub's sees them, the schema must."""
COPIED = "deploy/organization/workflows"
PULL_REQUEST, RELEASE = ".github/workflows/pull-request.yml", ".github/workflows/release.yml"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated project, not locked; its data are on an object store, so its jobs have one permission more."""
    answers = {"project_slug": "bpm-faults", "dvc_remote": "s3://bucket/path"}
    return generate(tmp_path_factory.mktemp("generated"), answers, lock=False)


@pytest.fixture(params=["ours", "generated"])
def folder(request: pytest.FixtureRequest, generated: Path) -> Path:
    """The two repositories whose workflows people run."""
    return ROOT if request.param == "ours" else generated


def run(*words: str | Path, cwd: Path) -> None:
    program, *rest = words
    found = subprocess.run([BIN / program, *rest], cwd=cwd, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def yaml_files(folder: Path) -> list[Path]:
    return sorted([*(folder / ".github/workflows").glob("*.yml"), *copied_files(folder)])


def copied_files(folder: Path) -> list[Path]:
    """Workflows that an organization copies into a repository of its own."""
    return sorted((folder / COPIED).glob("*.yml"))


def action_files(folder: Path) -> list[Path]:
    return sorted((folder / "actions").glob("*/action.yml"))


def test_no_workflow_and_no_action_is_left_out(folder: Path) -> None:
    seen = {path.relative_to(folder).as_posix() for path in (*yaml_files(folder), *action_files(folder))}
    held = Project(folder).git.tracked()
    workflows = {name for name in held if "/workflows/" in name and name.endswith((".yml", ".yaml"))}
    actions = {name for name in held if name.endswith(("/action.yml", "/action.yaml"))}
    assert {name for name in workflows | actions if not name.startswith((OTHERS, "template/"))} <= seen


def test_actionlint(folder: Path) -> None:
    run("actionlint", *yaml_files(folder), cwd=folder)


def test_zizmor_as_an_auditor(folder: Path) -> None:
    run("zizmor", "--offline", "--persona=auditor", ".github", *copied_files(folder), *action_files(folder), cwd=folder)


def fits(schema: str, *files: Path) -> None:
    """Check files by a schema of check-jsonschema, in this process, since it takes seconds to start."""
    from check_jsonschema import main
    from ruamel.yaml.constructor import SafeConstructor

    with pytest.MonkeyPatch.context() as patch:
        # It reads dates as texts, and from then on everybody in this process would.
        patch.setattr(SafeConstructor, "yaml_constructors", dict(SafeConstructor.yaml_constructors))
        found = CliRunner().invoke(main, ["--builtin-schema", schema, *map(str, files)])
    assert found.exit_code == 0, found.output


def test_schemas(folder: Path) -> None:
    fits("vendor.github-workflows", *yaml_files(folder))
    fits("vendor.dependabot", folder / ".github/dependabot.yml")
    if actions := [*action_files(folder), *sorted((folder / OTHERS).glob("*/action.yml"))]:
        fits("vendor.github-actions", *actions)


def test_forms_of_a_generated_project(generated: Path) -> None:
    forms = [form for form in (generated / ".github/ISSUE_TEMPLATE").glob("*.yml") if form.name != "config.yml"]
    fits("vendor.github-issue-forms", *sorted(forms))


def test_the_compose_file_of_the_mlflow_server() -> None:
    """Here, where what judges schemas is imported already, which takes three seconds."""
    fits("vendor.compose-spec", ROOT / "deploy/mlflow/compose.yaml")


@pytest.mark.parametrize("text", ["jobs: []", "on: push"])
def test_what_a_schema_refuses_is_seen(text: str, tmp_path: Path) -> None:
    (tmp_path / "workflow.yml").write_text(f"name: Lacks something\n{text}\n")
    with pytest.raises(AssertionError, match="Schema validation errors were encountered"):
        fits("vendor.github-workflows", tmp_path / "workflow.yml")


@pytest.mark.parametrize("interlock", [GIT003, GIT004])
def test_our_own_lint_passes_both(folder: Path, interlock: type[GIT003 | GIT004]) -> None:
    found = interlock().check(workflows(Project(folder)))
    assert found.outcome is Outcome.PASSED, found.evidence
    assert not found.evidence.get("not_followed")


@pytest.mark.parametrize(
    ("file", "old", "new", "rule"),
    [
        (PULL_REQUEST, "pull_request:", "pull_request_target:", "pull-request-target"),
        (PULL_REQUEST, "permissions: {}", "permissions: write-all", "write-all"),
        (PULL_REQUEST, "    with:\n", "    with:\n      runner: '[\"self-hosted\"]'\n", "fork-runner"),
        (RELEASE, "fresh: true", "fresh: false", "release-cache"),
    ],
)
def test_what_zizmor_does_not_see_is_seen_through_the_thin_callers(
    generated: Path, file: str, old: str, new: str, rule: str
) -> None:
    texts = dict(workflows(Project(generated)).texts)
    assert old in texts[file]
    texts[file] = texts[file].replace(old, new, 1)
    found = GIT004().check(Workflows(texts))
    assert found.outcome is Outcome.FAILED
    assert {defect.partition(":")[0] for defect in found.evidence["defects"]} >= {rule}
    assert {place.file for place in found.locations} == {file}


def test_the_guard_of_the_gpu_job_is_seen_where_labels_are_named(generated: Path) -> None:
    texts, guard = dict(workflows(Project(generated)).texts), "head.repo.full_name == github"
    texts[PULL_REQUEST] = texts[PULL_REQUEST].replace('gpu-labels: ""', 'gpu-labels: \'["self-hosted", "gpu"]\'')
    assert "self-hosted" in texts[PULL_REQUEST]
    assert lint(texts, own_workflows()).defects == ()
    unguarded = {file: text.replace(guard, guard.replace("==", "!=")) for file, text in own_workflows().items()}
    assert {defect.rule for defect in lint(texts, unguarded).defects} == {"fork-runner"}


def test_an_action_is_one_verb_of_the_command() -> None:
    for file in action_files(ROOT):
        text = file.read_text()
        assert "python" not in text or file.parent.name == "setup", file
        assert "beampermit " in text, file


def test_a_step_that_reads_the_ledger_may_read_a_private_repository() -> None:
    for file in action_files(ROOT):
        for step in YAML(typ="safe").load(file)["runs"]["steps"]:
            script = step.get("run", "")
            if re.search(r"beampermit (promote|publish|rollback|retire|freeze|thaw|re-sign|reconcile|image)\b", script):
                assert "/setup/credentials.sh" in script, f"{file}: {step['name']}"
                assert "TOKEN" in step["env"], f"{file}: {step['name']}"


def test_a_generated_project_calls_our_workflows_in_few_lines(generated: Path) -> None:
    for file in yaml_files(generated):
        assert len(file.read_text().splitlines()) <= 52, file
        assert {use.repository for use in find_uses(file.read_text(), file.name)} == {"beampermit/beampermit"}


def test_the_one_required_check_is_a_job_of_the_pull_request_workflow(generated: Path, tmp_path: Path) -> None:
    rules = read_ruleset(generated / MAIN).body["rules"]
    required = next(rule for rule in rules if rule["type"] == "required_status_checks")["parameters"]
    assert required["required_status_checks"] == [{"context": "ml / permit", "integration_id": GITHUB_ACTIONS}]
    reported = find_permit(workflows(Project(generated)).texts, own_workflows())
    assert (reported.context, reported.file) == ("ml / permit", FILES["pull-request"])
    assert reported.in_merge_queue, "a merge queue waits for a check that nobody reports"
    own, artifacts = stage.lay_out(tmp_path / "own"), stage.lay_out_artifacts(tmp_path / "artifacts")
    jobs = {job.name: job for job in make_plan(generated, FILES["pull-request"], own, artifacts).jobs}
    assert set(jobs["ml / permit"].needs) == set(jobs) - {"ml / permit"}
    assert jobs["ml / permit"].conditions == ("${{ always() }}",)


@pytest.mark.parametrize("labels", ["", '["gpu"]'])
def test_each_interlock_is_run_by_exactly_one_job(labels: str) -> None:
    from beampermit.interlocks.families import load_interlocks
    from beampermit.interlocks.own.loading import FAMILY, select

    tree = YAML(typ="safe").load(ROOT / ".github/workflows/ml-pull-request.yml")
    steps = [step for id, job in tree["jobs"].items() if labels or id != "gpu" for step in job["steps"]]
    words = [step["with"]["interlocks"] for step in steps if "interlocks" in step.get("with", {})]
    either = re.compile(r"\$\{\{ inputs\.gpu-labels == '' && '([^']*)' \|\| '([^']*)' \}\}")
    named = [either.sub(lambda found: found[2 if labels else 1], word).split() for word in words]
    run = [cls.id() for names in named for cls in select(names, None)]
    assert sorted(run) == sorted(load_interlocks())
    assert [FAMILY] in named, "in a step of their own: what judges ours imports nothing of a laboratory's"


def test_comments_of_one_branch_are_written_one_at_a_time_and_none_is_stopped_half_way(generated: Path) -> None:
    yaml = YAML(typ="safe")
    comment = yaml.load(generated / ".github/workflows/comment.yml")
    group = comment["concurrency"]
    assert group["cancel-in-progress"] is False
    for part in ("head_repository.full_name", "head_branch"):
        assert f"${{{{ github.event.workflow_run.{part} }}}}" in group["group"]
    judged = yaml.load(generated / PULL_REQUEST)
    assert comment["on"]["workflow_run"]["workflows"] == [judged["name"]], "GitHub finds it by this name alone"


def test_the_ruleset_in_git_would_protect_a_generated_project(generated: Path) -> None:
    owners = ownership(Project(generated))
    assert owners.uncovered == ()
    assert "still names TODO@maintainer.example, TODO@deputy.example" in owners.gap, "the template's own answers"
    with serve_github([read_ruleset(generated / file) for file in (MAIN, LEDGER)], "main") as api:
        client = Client("lab/faults", "", api)
        found, ledger = load_protection(client, "main"), load_ledger_gaps(client)
    assert (found.gaps, found.check_gaps("ml / permit"), ledger) == ((), (), ())


def test_a_release_asks_for_protection_before_anything_else_and_right_before_it_promotes() -> None:
    steps = YAML(typ="safe").load(ROOT / ".github/workflows/ml-release.yml")["jobs"]["promote"]["steps"]
    names = [step["uses"].partition("@")[0].rpartition("/")[2] for step in steps]
    assert names[:3] == ["checkout", "setup", "protect"]
    assert set(steps[1]["with"]) == {"fresh"}, "nothing of the project is installed before the audit"
    promote = YAML(typ="safe").load(ROOT / "actions/promote/action.yml")["runs"]["steps"]
    script = next(step["run"] for step in promote if "beampermit promote" in step.get("run", ""))
    commands = [line for line in script.splitlines() if "beampermit " in line]
    assert commands[0].endswith("beampermit protect audit")
    assert commands[1].startswith("beampermit promote ")
    assert commands[1].endswith('--branch "$GITHUB_REF_NAME"'), "the branch is asked for its commit to the last"


def test_the_permit_names_each_job_that_must_end_well() -> None:
    tree = YAML(typ="safe").load(ROOT / ".github/workflows/ml-pull-request.yml")
    permit = tree["jobs"]["permit"]
    condition = permit["steps"][-1]["if"]
    assert permit["steps"][-1]["name"] == "Require success of every job"
    for job in permit["needs"]:
        well = "(inputs.gpu-labels == '' && 'skipped' || 'success')" if job == "gpu" else "'success'"
        assert f"needs.{job}.result != {well}" in condition
    assert condition.count("||") == len(permit["needs"])


def test_release_waits_for_every_job_of_the_judgement(generated: Path, tmp_path: Path) -> None:
    own, artifacts = stage.lay_out(tmp_path / "own"), stage.lay_out_artifacts(tmp_path / "artifacts")
    plan = make_plan(generated, FILES["release"], own, artifacts)
    jobs = {job.name: job for job in plan.jobs}
    assert set(jobs["release / promote"].needs) == set(jobs) - {"release / promote"}
    assert plan.fetched == ()


def test_a_planted_defect_is_seen(generated: Path, tmp_path: Path) -> None:
    shutil.copytree(generated / ".github", tmp_path / ".github")
    file = tmp_path / ".github/workflows/pull-request.yml"
    file.write_text(file.read_text().replace("permissions: {}", "permissions: write-all"))
    with pytest.raises(AssertionError, match="excessive-permissions"):
        run("zizmor", "--offline", "--persona=auditor", ".github", cwd=tmp_path)
