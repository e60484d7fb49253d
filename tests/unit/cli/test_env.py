"""`beampermit env` prints its result as text or JSON and ends in the documented exit code."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.contract import load_contract
from beampermit.errors import BeampermitError
from beampermit.git import Git
from beampermit.project import Project
from support.git_repositories import committed
from support.package_index import Index, index, uv_project, uv_settings

__all__ = ["index", "uv_project", "uv_settings"]


def env(root: Path, verb: str, *arguments: str) -> tuple[int, str]:
    """Exit code, and standard output or the error."""
    result = CliRunner().invoke(app, ["env", verb, "--project", str(root), *arguments])
    if isinstance(result.exception, BeampermitError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.stdout


@pytest.mark.slow
def test_lock_check_install_and_verify_from_scratch(uv_project: Project) -> None:
    root = uv_project.root
    (root / "uv.lock").unlink()
    contract = (root / "contract.yaml").read_text()
    (root / "contract.yaml").write_text(contract.replace("    - wheels\n", ""))
    code, out = env(root, "lock", "--json")
    assert code == 0
    assert json.loads(out)["recorded"] == ["wheels"]
    (installs,) = json.loads(out)["installs"]
    assert (json.loads(out)["packages"], installs["packages"], installs["cuda"]) == (8, 7, 0), "one is for Windows"
    assert ": 7 packages, " in env(root, "lock")[1]
    assert "wheels" in load_contract(root).environment.indexes
    code, out = env(root, "check")
    assert (code, out.splitlines()[-1].rpartition(", ")[2]) == (0, "no CUDA")
    (verdict,) = (one for one in json.loads(env(root, "check", "--json")[1]) if one["id"] == "ENV003")
    assert verdict["evidence"]["installs"] == [installs]
    code, out = env(root, "install", "--json")
    assert json.loads(out)["prefix"] == str(root / ".venv")
    code, out = env(root, "verify")
    assert code == 0, out


@pytest.mark.slow
def test_no_record_leaves_the_contract_unchanged(uv_project: Project) -> None:
    file = uv_project.root / "contract.yaml"
    file.write_text(file.read_text().replace("    - wheels\n", ""))
    before = file.read_text()
    assert env(uv_project.root, "lock", "--no-record")[0] == 0
    assert file.read_text() == before


@pytest.mark.slow
def test_without_a_contract_the_nearest_folder_with_requirements_is_the_project(
    uv_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "large"
    project = top / "sub/m/f"
    shutil.copytree(uv_project.root, project, ignore=shutil.ignore_patterns(".git", "contract.yaml", ".venv"))
    (project / "src").mkdir(exist_ok=True)
    (top / "contract.yaml").write_text((uv_project.root / "contract.yaml").read_text())
    committed(top)
    git = Git(top)
    git("switch", "--quiet", "--create", "without")
    git("rm", "--quiet", "contract.yaml")
    code, out = env(project, "check", "--base", "main")
    assert (code, out.partition(", which")[0]) == (
        2,
        f"{top / 'contract.yaml'}: this branch removes the contract above",
    )
    git("commit", "--quiet", "--message", "Without")
    git("branch", "--quiet", "--force", "main")
    for folder, words in (
        (project, ()),
        (project / "src", ()),
        (project, ("--project", ".")),
        (top, ("--project", "sub/m/f")),
    ):
        monkeypatch.chdir(folder)
        result = CliRunner().invoke(app, ["env", "check", "--json", *words])
        assert [verdict["outcome"] for verdict in json.loads(result.stdout)] == ["passed"] * 4, result.stdout
    (project / "uv.lock").unlink()
    assert CliRunner().invoke(app, ["env", "lock", "--project", str(project / "src")]).exit_code == 0
    assert (project / "uv.lock").is_file()


@pytest.mark.slow
def test_no_contract_and_no_git_are_needed(uv_project: Project, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("pyproject.toml", "uv.lock"):
        shutil.copy(uv_project.root / name, bare)
    shutil.copytree(uv_project.root / "wheels", bare / "wheels")
    code, out = env(bare, "check", "--json")
    assert code == 0
    assert [verdict["outcome"] for verdict in json.loads(out)] == ["passed"] * 4
    assert env(bare, "lock")[0] == 0
    assert env(bare, "install")[0] == 0


@pytest.mark.slow
def test_a_folder_with_requirements_txt_alone_needs_one_command(
    uv_settings: Path, index: Index, tmp_path: Path
) -> None:
    (tmp_path / "requirements.txt").write_text(f"-i {index.url}\nnumbers\n")
    code, out = env(tmp_path, "check", "--json")
    assert (code, json.loads(out)[0]["reason"]) == (1, "there is no uv.lock")
    assert "beampermit env lock" in json.loads(out)[0]["fix"]
    code, out = env(tmp_path, "lock")
    assert code == 0
    assert out.startswith("pyproject.toml: written from requirements.txt, which counts no more\nuv.lock: 1 package ")
    assert env(tmp_path, "check")[0] == 0


@pytest.mark.slow
def test_a_stale_lock_is_exit_1_and_each_problem_is_printed(uv_project: Project) -> None:
    file = uv_project.root / "pyproject.toml"
    file.write_text(file.read_text().replace("numbers>=1,<2", "numbers>=1.5").replace('[fancy]>=1"', '[fancy]>=2"'))
    code, out = env(uv_project.root, "check")
    assert code == 1
    assert "(and 1 more)" in out
    assert "pyproject.toml:" in out
    assert ": plotter[fancy]>=2 is required" in " ".join(out.split())


@pytest.mark.slow
def test_a_shared_environment_is_announced_to_the_job(
    uv_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ENV", str(tmp_path / "github-env"))
    code, out = env(uv_project.root, "install", "--shared")
    assert code == 0
    assert (tmp_path / "github-env").read_text() == f"BEAMPERMIT_ENVIRONMENT={out.strip()}\n"
    assert str(Path(os.environ["XDG_CACHE_HOME"]) / "beampermit/environments") in out


def test_nothing_to_lock_is_bad_input(tmp_path: Path) -> None:
    code, message = env(tmp_path, "lock")
    assert code == 2
    assert "nothing to lock" in message


def test_shared_and_prefix_exclude_each_other(uv_project: Project, tmp_path: Path) -> None:
    assert env(uv_project.root, "install", "--shared", "--prefix", str(tmp_path))[0] == 2


def test_running_without_an_environment_names_the_command_to_run(uv_project: Project) -> None:
    code, message = env(uv_project.root, "run", "python")
    assert code == 2
    assert "no environment is installed at" in message
