"""`beampermit init` in a repository that is not ours: it adds, it never touches, and it finishes what was begun."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.code.check import check_code
from beampermit.contract import load_contract
from beampermit.contract.completeness import todos
from beampermit.errors import BadInput
from beampermit.project import Project
from beampermit.retrofit import plan
from beampermit.retrofit.survey import survey
from beampermit.workflows.workflow import read_workflow
from support.existing_repository import git
from support.package_index import index, uv_project, uv_settings

__all__ = ["index", "uv_project", "uv_settings"]

pytestmark = pytest.mark.slow

OUTSIDE = (".git/", ".dvc/tmp", ".dvc/cache")
READS = "from pathlib import Path\n\nimport yaml\n\nparams = yaml.safe_load(Path('params.yaml').read_text())['train']\n"


def run(*words: str, answers: str | None = None) -> Any:
    return CliRunner().invoke(app, [*words], input=answers)


def init(root: Path, *words: str, answers: str | None = None) -> Any:
    return run("init", str(root), *words, answers=answers)


def done(root: Path, *words: str) -> dict[str, str]:
    found = init(root, "--json", *words)
    assert found.exit_code == 0, found.output
    return {entry["file"]: entry["done"] for entry in json.loads(found.stdout)["files"]}


def files(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file())
    named = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    return {name: content for name, content in named.items() if not name.startswith(OUTSIDE)}


def test_missing_files_are_added_and_nothing_is_changed(orbit: Path) -> None:
    before = files(orbit)
    added = done(orbit, "--yes")
    assert set(added.values()) == {"added"}
    after = files(orbit)
    assert {name: after[name] for name in before} == before, "byte for byte"
    assert set(after) - set(before) == set(added)
    needed = {"contract.yaml", "CODEOWNERS", ".github/rulesets/main.json", ".github/workflows/release.yml"}
    assert needed <= set(added)
    assert git(orbit, "diff", "--stat") == ""


def test_code_is_not_asked_for_what_a_first_draft_leaves_open(orbit: Path) -> None:
    done(orbit, "--yes")
    (orbit / "src/orbit/train.py").write_text(READS)
    assert check_code(Project(orbit)).problems == ()


def test_where_files_go_is_said_in_a_folder_below_the_top(orbit: Path) -> None:
    said = f"files go to the top of the repository: {orbit}"
    assert said not in init(orbit, "--dry-run").stderr
    (orbit / "deeper").mkdir()
    assert said in init(orbit / "deeper", "--dry-run").stderr


def test_second_run_changes_nothing(orbit: Path) -> None:
    done(orbit, "--yes")
    before = files(orbit)
    assert set(done(orbit, "--yes").values()) == {"same"}
    assert files(orbit) == before


def test_contract_has_what_was_found_and_is_valid(orbit: Path) -> None:
    done(orbit, "--yes")
    found = load_contract(orbit)
    assert found.model.name == "orbit-predictor"
    assert [owner.email for owner in found.model.owners] == ["ada@lab.example", "bo@lab.example"]
    assert {metric.name: (metric.better, metric.gate) for metric in found.metrics} == {
        "r2": ("higher", 0.93),
        "rmse": ("lower", 0.04),
        "epochs": ("higher", 3.0),
    }
    assert found.evaluation.metrics == "metrics.json"
    assert found.reproducibility.seed_at == "params.yaml:train.seed"
    assert found.environment.backend == "uv"


def test_contract_check_lists_every_todo_and_doc002_fails(orbit: Path) -> None:
    done(orbit, "--yes")
    said = run("contract", "check", str(orbit)).stdout.replace("\n", "")
    assert "contract.yaml:6: summary: what the model does, in one sentence an operator understands" in said
    assert re.search(r"request: the source of the data", said)
    assert re.search(r"description: what r2 measures; the gate is the present value of r2", said)
    waiting = todos((orbit / "contract.yaml").read_text())
    assert f"{len(waiting)} lines marked TODO" in said
    verdicts = json.loads(run("check", "DOC", "--project", str(orbit), "--json").stdout)
    doc = next(verdict for verdict in verdicts if verdict["id"] == "DOC002")
    assert doc["outcome"] == "failed"
    assert {place["line"] for place in doc["locations"]} >= {todo.line for todo in waiting}, "numbers as well as texts"


def test_check_shows_the_first_fix_before_and_after(orbit: Path) -> None:
    before = run("check", "ENV", "DAT", "DOC", "--project", str(orbit)).stdout
    causes = before.split("\n\n", 1)[1]
    assert causes.index("there is no uv.lock") < causes.index("DAT001") < causes.index("beampermit init")
    done(orbit, "--yes")
    after = run("check", "ENV", "DAT", "DOC", "--project", str(orbit)).stdout
    causes = after.split("\n\n", 1)[1]
    assert causes.index("ENV001") < causes.index("DAT001") < causes.index("DOC002")
    assert "beampermit init" not in causes


def test_own_workflow_of_the_repository_keeps_its_name(orbit: Path) -> None:
    added = done(orbit, "--yes")
    assert ".github/workflows/pull-request.yml" not in added
    ours = orbit / ".github/workflows/beampermit-pull-request.yml"
    assert "ml-pull-request.yml@" in ours.read_text()
    assert set(read_workflow(ours.read_text(), ours.name).jobs) == {"ml"}


def test_comment_follows_our_workflow_and_not_one_named_pull_request(orbit: Path) -> None:
    theirs = orbit / ".github/workflows/pull-request.yml"
    theirs.write_text(theirs.read_text().replace("name: Ours", "name: Pull request"))
    done(orbit, "--yes")
    comment, ours = (orbit / f".github/workflows/{name}.yml" for name in ("comment", "beampermit-pull-request"))
    (heard,) = read_workflow(comment.read_text(), comment.name).events["workflow_run"]["workflows"]
    assert heard == read_workflow(ours.read_text(), ours.name).name == "Beampermit pull request"


def test_changed_workflow_is_kept_and_its_difference_shown(orbit: Path) -> None:
    done(orbit, "--yes")
    file = orbit / ".github/workflows/release.yml"
    file.write_text(file.read_text().replace("name: Release", "name: Our release"))
    said = init(orbit, "--yes").stdout
    assert "release.yml: kept; these lines of ours are missing:\n    +name: Release\n" in said
    assert "name: Our release" in file.read_text()


def test_codeowners_in_another_place_is_kept_and_its_difference_shown(orbit: Path) -> None:
    (orbit / ".github/CODEOWNERS").write_text("* @us\n")
    said = init(orbit, "--yes").stdout
    assert not (orbit / "CODEOWNERS").exists(), "GitHub would read the first it finds alone"
    assert "+/contract.yaml      ada@lab.example bo@lab.example" in said


@pytest.mark.parametrize("branch", ["master", "trunk"])
def test_workflows_use_the_main_branch_of_the_repository(orbit: Path, branch: str) -> None:
    git(orbit, "branch", "--move", "main", branch)
    done(orbit, "--yes")
    texts = [file.read_text() for file in (orbit / ".github/workflows").glob("*.yml")]
    assert not any("[main]" in text for text in texts)
    assert sum(f'branches: ["{branch}"]' in text for text in texts) == 2


def test_head_of_the_remote_comes_before_a_local_main(orbit: Path) -> None:
    git(orbit, "update-ref", "refs/remotes/origin/develop", "HEAD")
    git(orbit, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/develop")
    found = json.loads(init(orbit, "--json", "--dry-run").stdout)["found"]
    assert found["branch"] == "develop"


@pytest.mark.parametrize(
    ("there", "gone", "backend"),
    [
        ({"uv.lock": ""}, (), "uv"),
        (
            {"environment.yml": "channels: [conda-forge]\ndependencies: [python=3.11]\n"},
            ("pyproject.toml",),
            "conda-lock",
        ),
        ({"requirements.txt": "torch\n"}, ("pyproject.toml",), "uv"),
        ({}, ("pyproject.toml",), None),
    ],
)
def test_backend_follows_from_the_repository(
    orbit: Path, there: dict[str, str], gone: tuple[str, ...], backend: str | None
) -> None:
    for name, text in there.items():
        (orbit / name).write_text(text)
    for name in gone:
        (orbit / name).unlink()
    assert json.loads(init(orbit, "--json", "--yes").stdout)["found"]["backend"] == backend
    assert load_contract(orbit).environment.backend == (backend or "uv")
    waiting = run("contract", "check", str(orbit)).stdout
    assert ("no pyproject.toml or environment.yml was found" in waiting) == (backend is None)


def test_the_indexes_of_the_lock_that_is_there_are_taken_over(orbit: Path, uv_project: Project) -> None:
    for name in ("pyproject.toml", "uv.lock"):
        shutil.copy(uv_project.root / name, orbit)
    project, lock = orbit / "pyproject.toml", orbit / "uv.lock"
    project.write_text(project.read_text() + '\n[[tool.uv.index]]\nurl = "https://index.lab.example/simple"\n')
    git(orbit, "add", "--all")
    git(orbit, "commit", "--quiet", "--message", "A lock")
    assert env004(orbit) == ("passed", [])
    done(orbit, "--yes")
    index, more = uv_project.contract.environment.indexes
    assert load_contract(orbit).environment.indexes == (index, more, "https://index.lab.example/simple")
    assert env004(orbit) == ("passed", [])
    (orbit / "contract.yaml").unlink()
    lock.write_text(
        lock.read_text().replace(f"{index.removesuffix('/simple')}/files/numbers", "https://evil.example/numbers")
    )
    said = ["numbers 1.0: numbers-1.0-py3-none-any.whl is on https://evil.example, which is not allowed"]
    assert env004(orbit) == ("failed", said)
    done(orbit, "--yes")
    assert env004(orbit) == ("failed", said), "what nobody would trust is not taken over"


def env004(root: Path) -> tuple[str, list[str]]:
    found = json.loads(run("env", "check", "--project", str(root), "--json").stdout)
    verdict = next(one for one in found if one["id"] == "ENV004")
    return verdict["outcome"], verdict["evidence"].get("problems", [])


def test_missing_second_owner_is_a_todo_and_doc001_fails(orbit: Path) -> None:
    git(orbit, "checkout", "--quiet", "--orphan", "new")
    for name, address in (("Ada", "ada@lab.example"), ("x[bot]", "x@users.noreply.github.com"), ("Bo", "bo@localhost")):
        git(orbit, "commit", "--quiet", "--author", f"{name} <{address}>", "--allow-empty", "--message", "x")
    git(orbit, "branch", "--delete", "--force", "main")
    done(orbit, "--yes")
    assert [owner.name for owner in load_contract(orbit).model.owners] == ["Ada"]
    assert "a second owner" in run("contract", "check", str(orbit)).stdout
    assert (orbit / "CODEOWNERS").read_text().count("example.org") == 0
    doc = run("check", "DOC001", "--project", str(orbit))
    assert doc.exit_code == 1


def test_works_without_a_commit_and_a_pipeline(tmp_path: Path) -> None:
    root = tmp_path / "3 Models!"
    root.mkdir()
    git(root, "init", "--quiet")
    done(root, "--yes")
    assert load_contract(root).model.name == "model-3-models"
    assert (root / "CODEOWNERS").read_text().count("# TODO names for: ") >= 5


def test_dry_run_writes_nothing_and_shows_the_steps(orbit: Path) -> None:
    before = files(orbit)
    assert set(done(orbit, "--dry-run").values()) == {"add"}
    assert files(orbit) == before


def test_each_step_is_asked_and_can_be_declined(orbit: Path) -> None:
    found = init(orbit, answers="y\nn\nn\nn\nn\n")
    assert found.exit_code == 0
    assert (orbit / "contract.yaml").exists()
    assert not (orbit / "CODEOWNERS").exists()
    assert "CODEOWNERS: left out" in found.stdout
    assert done(orbit, "--dry-run")["contract.yaml"] == "same"


def test_end_of_input_names_the_option(orbit: Path) -> None:
    found = init(orbit, answers="")
    assert isinstance(found.exception, BadInput)
    assert found.exception.hint == "beampermit init --yes"
    assert isinstance(init(orbit, "--json").exception, BadInput)


def test_run_after_a_kill_completes(orbit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def killed(path: Path, text: str) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    with monkeypatch.context() as patch:
        patch.setattr(plan, "write_text", killed)
        assert init(orbit, "--yes").exit_code != 0
    states = done(orbit, "--yes")
    assert sorted(states.values()).count("same") == 3
    assert set(done(orbit, "--yes").values()) == {"same"}


def test_folder_that_leads_out_of_the_repository_is_refused(orbit: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (orbit / ".github/rulesets").symlink_to(tmp_path / "elsewhere")
    found = init(orbit, "--yes")
    assert isinstance(found.exception, BadInput)
    assert "a link that leads out of the repository" in str(found.exception)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(("name", "text"), [("dvc.yaml", "stages: ["), ("pyproject.toml", "[project")])
def test_unreadable_file_is_named(orbit: Path, name: str, text: str) -> None:
    (orbit / name).write_text(text)
    found = init(orbit, "--yes")
    assert isinstance(found.exception, BadInput)
    assert name in str(found.exception)


@pytest.mark.parametrize(
    "text",
    [
        "- 1\n",
        "stages: 3\n",
        "stages: {a: 1, b: {outs: x, metrics: [1, {2: 3}]}}\n",
        "stages: {a: &a {cmd: x}, b: *a}\n",
        "",
    ],
)
def test_pipeline_of_any_shape_is_accepted(orbit: Path, text: str) -> None:
    (orbit / "dvc.yaml").write_text(text)
    done(orbit, "--dry-run")


def test_one_person_with_two_addresses_is_one_owner(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    authors = [
        *["Ada Operator <ada@lab.example>"] * 3,
        *["ada  operator <ada@home.example>"] * 2,
        "A. Operator <ADA@lab.example>",
        "Bo Physicist <bo@lab.example>",
        "Cy Student <cy@lab.example>",
    ]
    for author in authors:
        git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "Work", "--author", author)
    assert [owner.email for owner in survey(tmp_path).owners] == ["ada@lab.example", "bo@lab.example"]
