"""`actions/setup`: whole or absent, once for jobs that share a machine, never from what another run left when fresh."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
from dvc.config import Config
from packaging.requirements import Requirement

from beampermit import __version__
from beampermit.interlocks import runner
from beampermit.interlocks.families import select_interlocks
from beampermit.project import Project
from beampermit.rehearsal.runner import lay_out_programs
from support.forked_commands import executable
from support.package_index import index, uv_project, uv_settings
from support.paths import ROOT, module_at

__all__ = ["index", "uv_project", "uv_settings"]

SCRIPT = ROOT / "actions/setup/setup.py"


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script as a module, with a runner's variables; nothing is installed by itself."""
    for name in ("GITHUB_PATH", "GITHUB_ENV"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("RUNNER_TOOL_CACHE", str(tmp_path / "tools"))
    monkeypatch.setenv("GITHUB_RUN_ID", "11")
    monkeypatch.delenv("FRESH", raising=False)
    return module_at(SCRIPT)


@pytest.fixture
def installs(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where it was installed, each time: the installation itself is a file."""
    found: list[Path] = []

    def install(target: Path, files: list[str]) -> None:
        assert "src/beampermit/cli/main.py" in files
        time.sleep(0.2)
        (target / "bin").mkdir()
        (target / "venv/bin").mkdir(parents=True)
        (target / "venv/bin/python").symlink_to(sys.executable)
        found.append(target)

    monkeypatch.setattr(setup, "install", install)
    return found


@pytest.mark.slow
def test_a_second_job_finds_what_the_first_installed(setup: ModuleType, installs: list[Path], tmp_path: Path) -> None:
    setup.checker()
    setup.checker()
    assert len(installs) == 1
    assert (tmp_path / "GITHUB_PATH").read_text().splitlines() == [f"{installs[0]}/bin"] * 2


@pytest.mark.slow
def test_jobs_at_once_install_once(setup: ModuleType, installs: list[Path]) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: setup.checker(), range(4)))
    assert len(installs) == 1


@pytest.mark.slow
def test_half_an_installation_is_made_again(setup: ModuleType, installs: list[Path], monkeypatch) -> None:
    setup.checker()
    (installs[0] / ".complete").unlink()
    (installs[0] / "left-over").touch()
    setup.checker()
    assert len(installs) == 2
    assert not (installs[0] / "left-over").exists()


@pytest.mark.slow
def test_an_installation_whose_python_has_gone_is_made_again(setup: ModuleType, installs: list[Path]) -> None:
    setup.checker()
    python = installs[0] / "venv/bin/python"
    python.unlink()
    python.symlink_to(installs[0] / "gone")
    setup.checker()
    assert len(installs) == 2


def test_what_a_rehearsal_installs_outlives_its_folder_of_programs(tmp_path: Path) -> None:
    lay_out_programs(tmp_path / "bin")
    command = [tmp_path / "bin/python3", "-c", "import sys; print(sys.executable)"]
    seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert not Path(seen).is_relative_to(tmp_path)


@pytest.mark.slow
def test_an_installation_that_fails_is_not_stamped(setup: ModuleType, monkeypatch, tmp_path: Path) -> None:
    def broken(target: Path, files: list[str]) -> None:
        raise SystemExit(1)

    monkeypatch.setattr(setup, "install", broken)
    with pytest.raises(SystemExit):
        setup.checker()
    assert list((tmp_path / "tools").rglob(".complete")) == []
    assert not (tmp_path / "GITHUB_PATH").exists()


@pytest.mark.slow
def test_fresh_uses_nothing_of_another_run(setup: ModuleType, installs: list[Path], monkeypatch) -> None:
    setup.checker()
    monkeypatch.setenv("FRESH", "true")
    for run, attempt in (("11", "1"), ("12", "1"), ("12", "2"), ("12", "2")):
        monkeypatch.setenv("GITHUB_RUN_ID", run)
        monkeypatch.setenv("GITHUB_RUN_ATTEMPT", attempt)
        setup.checker()
    assert len({path.parents[1] for path in installs}) == len(installs) == 4
    assert {path.startswith(str(setup.shelf())) for path in setup.cache().values()} == {True}


@pytest.mark.slow
def test_what_old_runs_installed_is_removed(setup: ModuleType, installs: list[Path], monkeypatch) -> None:
    monkeypatch.setenv("FRESH", "true")
    setup.checker()
    yesterday = time.time() - 2 * setup.OLDEST_RUN
    os.utime(setup.shelf(), (yesterday, yesterday))
    old = setup.shelf()
    monkeypatch.setenv("GITHUB_RUN_ID", "12")
    setup.checker()
    assert not old.exists()


@pytest.mark.slow
def test_what_no_job_uses_any_more_is_removed(setup: ModuleType, installs: list[Path]) -> None:
    setup.checker()
    unused = installs[0].parent / "unused"
    unused.mkdir()
    long_ago = time.time() - 2 * setup.OLDEST
    for folder in (unused, installs[0]):
        os.utime(folder, (long_ago, long_ago))
    setup.checker()
    assert not unused.exists()
    assert installs[0].exists()


@pytest.mark.slow
def test_other_sources_are_another_checker(
    setup: ModuleType, installs: list[Path], monkeypatch, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    for part in setup.PARTS:
        source, target = ROOT / part, root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    monkeypatch.setattr(setup, "ROOT", root)
    setup.checker()
    (root / "requirements.lock").write_text("")
    setup.checker()
    monkeypatch.setenv("KEYLESS", "true")
    setup.checker()
    assert len({path.name for path in installs}) == 3


@pytest.mark.parametrize("extra", ["keyless", "live", "s3", "azure", "gs"])
def test_what_signs_as_a_workflow_or_serves_or_stores_is_installed_by_hash_on_top_where_it_is_asked_for(
    setup: ModuleType, monkeypatch, extra: str
) -> None:
    monkeypatch.setattr(setup, "stores", list)
    assert setup.requirements() == ["requirements.lock"]
    monkeypatch.setenv(extra.upper(), "true")
    if extra in setup.STORES:
        monkeypatch.setattr(setup, "stores", lambda: [extra])
    plain, more = ((ROOT / name).read_text() for name in setup.requirements())
    names = set(re.findall(r"^([\w.-]+)==", more, re.MULTILINE))
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][extra]
    held = set(re.findall(r"^([\w.-]+)==", plain, re.MULTILINE))
    assert {Requirement(line).name for line in needed} <= names | held
    assert not names & held, "a package has one version"
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=\w)", more))


IMPORT = re.compile(r"^ *(?:from (\w+)[\w.]* import |import (\w+))", re.MULTILINE)
OTHERWISE_CALLED = {
    "markdown-it": "markdown-it-py",
    "mlflow": "mlflow-skinny",
    "rattler": "py-rattler",
    "ruamel": "ruamel-yaml",
    "yaml": "pyyaml",
}
OF_THE_PROJECT = {
    *("beampermit-pytest", "ipykernel", "jupyter-client", "nbclient", "nbformat"),
    *("pandas", "pre-commit", "pytest", "torch"),
}
"""What code imports that runs in the project's environment."""


@pytest.mark.slow
def test_whatever_the_checker_imports_is_in_a_lock_of_its_own_or_an_extra() -> None:
    """Most rehearsals of these tests run with the packages of a developer, who has more."""
    locks = [ROOT / "requirements.lock", *(ROOT / "actions/setup").glob("*.lock")]
    held = {name for lock in locks for name in re.findall(r"^([\w.-]+)==", lock.read_text(), re.MULTILINE)}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    held |= {Requirement(line).name for extra in extras.values() for line in extra}
    texts = (file.read_text() for file in (ROOT / "src/beampermit").rglob("*.py"))
    names = {one or other for text in texts for one, other in IMPORT.findall(text)} - sys.stdlib_module_names
    packages = {OTHERWISE_CALLED.get(name, name) for name in (name.replace("_", "-") for name in names)}
    assert packages - held - OF_THE_PROJECT - {"beampermit"} == set()
    assert {"httpx", "sigstore"} <= held


def test_which_object_store_is_said_by_the_base_branch_alone(setup: ModuleType, monkeypatch, tmp_path: Path) -> None:
    def commit(url: str, folder: str = "") -> None:
        config = tmp_path / "project" / folder / ".dvc/config"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {url}\n")
        git("add", "--all")
        git("commit", "--quiet", "--message", url)

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=tmp_path / "project", check=True, capture_output=True, text=True)
        return done.stdout.strip()

    monkeypatch.chdir(tmp_path)
    assert setup.stores() == [], "where there is no repository, there is no store"
    (tmp_path / "project").mkdir()
    git("init", "--quiet", "--initial-branch=main")
    monkeypatch.chdir(tmp_path / "project")
    commit("../s3-of-the-lab")
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    commit("s3://bucket/data")
    commit("gs://bucket/data", "models/orbit")
    assert setup.stores() == ["s3", "gs"], "of every project in the repository"
    monkeypatch.setenv("GITHUB_BASE_REF", "main")
    assert setup.stores() == [], "a pull request that names a store gets no package for it"
    git("tag", "main")
    assert setup.stores() == [], "a tag with the name of the branch is not the branch"
    monkeypatch.delenv("GITHUB_BASE_REF")
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"merge_group": {"base_sha": git("rev-parse", "HEAD~1")}}))
    monkeypatch.setenv("GITHUB_EVENT_NAME", "merge_group")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    assert setup.stores() == ["s3"]


@pytest.mark.parametrize(
    "line",
    [
        'url = "s3://bucket/data"',
        "url = 's3://bucket/data' # of the laboratory",
        '"url" = s3://bucket/data',
        'URL = """S3://bucket/data"""',
        "# url = s3://bucket/data\n    url = ../data",
        'url = ="s3://bucket"',
        "url = ../s3://bucket",
    ],
)
def test_a_store_is_found_as_dvc_reads_its_address(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, line: str, tmp_path: Path
) -> None:
    (tmp_path / ".dvc").mkdir()
    text = f"[core]\n    remote = storage\n['remote \"storage\"']\n    {line}\n"
    (tmp_path / ".dvc/config").write_text(text)
    monkeypatch.setattr(setup, "git", lambda *words: ".dvc/config\0" if words[0] == "ls-tree" else text)
    read = Config(str(tmp_path / ".dvc"))["remote"]["storage"]["url"]
    assert setup.stores() == (["s3"] if read.lower().startswith("s3://") else [])


def test_uv_comes_from_the_lock_by_hash_where_there_is_none(setup: ModuleType, monkeypatch, tmp_path: Path) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(setup, "run", lambda *words, **_: ran.append([str(word) for word in words]))
    found = setup.find_uv(ROOT / "requirements.lock", tmp_path)
    assert found == tmp_path / "uv/bin/uv"
    assert "--require-hashes" in ran[1]
    wanted = (tmp_path / "uv.txt").read_text()
    assert wanted.startswith("uv==")
    assert wanted.count("==") == 1
    assert wanted.count("--hash=sha256:") > 1


@pytest.mark.slow
def test_the_checker_is_deaf_to_the_project(setup: ModuleType, tmp_path: Path) -> None:
    lay_out_programs(tmp_path / "bin")
    project = tmp_path / "project"
    for hostile in ("beampermit", "typer"):
        (project / hostile).mkdir(parents=True)
        (project / hostile / "__init__.py").write_text("raise SystemExit('the project judges itself')\n")
    env = {**os.environ, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "PYTHONPATH": str(project)}
    command = [sys.executable, "-I", SCRIPT, "checker"]
    found = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    folder = Path((tmp_path / "GITHUB_PATH").read_text().strip())
    assert [path.name for path in folder.iterdir()] == ["beampermit"]
    said = subprocess.run(
        [folder / "beampermit", "--version"], cwd=project, env=env, capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout) == (0, f"beampermit {__version__}\n"), said.stderr


@pytest.fixture
def own_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`beampermit` of the tests, as the step before would have put it on the path."""
    monkeypatch.setenv("PATH", f"{executable(tmp_path).parent}:{os.environ['PATH']}")


@pytest.mark.slow
def test_a_poisoned_environment_is_seen_and_never_reaches_a_release(
    setup: ModuleType, own_command: None, uv_project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(uv_project.root)
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_ENV", str(tmp_path / "GITHUB_ENV"))
    setup.environment()
    shared = _environment(tmp_path)
    assert re.search(
        r"Environment: 6 packages of `uv\.lock` \(uv, `sha256:[0-9a-f]{12}`\) installed in",
        summary.read_text(),
    )

    module = next(shared.glob("lib/python*/site-packages/numbers/__init__.py"))
    module.write_text("raise SystemExit('owned')\n")
    monkeypatch.setenv("BEAMPERMIT_ENVIRONMENT", str(shared))
    verdict = runner.check(uv_project, select_interlocks(["ENV005"]))[-1]
    assert (verdict.id, verdict.outcome) == ("ENV005", "failed")
    assert "numbers 1.0 was changed" in verdict.reason

    monkeypatch.setenv("FRESH", "true")
    setup.environment()
    fresh = _environment(tmp_path)
    assert shared not in (fresh, *fresh.parents)
    assert "owned" not in next(fresh.glob("lib/python*/site-packages/numbers/__init__.py")).read_text()

    monkeypatch.setenv("FRESH", "false")
    setup.environment()  # The next pull request fixes it: what is installed is compared, never taken on trust.
    assert "owned" not in module.read_text()
    assert runner.check(uv_project, select_interlocks(["ENV005"]))[-1].outcome == "passed"


@pytest.mark.slow
def test_a_runner_with_an_accelerator_gets_its_variant_beside_the_other(
    setup: ModuleType, own_command: None, uv_project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(uv_project.root)
    monkeypatch.setenv("GITHUB_ENV", str(tmp_path / "GITHUB_ENV"))
    found = {}
    for variant in ("", "cuda"):
        monkeypatch.setenv("VARIANT", variant)
        setup.environment()
        found[variant] = _environment(tmp_path)
    assert found[""] != found["cuda"]
    assert [len(list(place.rglob("cudart-1.0.dist-info"))) for place in found.values()] == [0, 1]
    monkeypatch.setenv("VARIANT", "rocm")
    with pytest.raises(SystemExit):
        setup.environment()


def test_nothing_runs_in_an_environment_whose_installation_failed(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(setup, "run", lambda *words, env: Path(env["BEAMPERMIT_ENVIRONMENT"]).mkdir(exist_ok=True))
    setup.environment()
    shared = _environment(tmp_path)
    assert shared.is_dir()

    def refused(*words: object, env: dict[str, str]) -> None:
        sys.exit(1)

    monkeypatch.setattr(setup, "run", refused)
    with pytest.raises(SystemExit):
        setup.environment()
    assert not _environment(tmp_path).exists(), "what an earlier run installed is of no use to this one"


def test_only_the_locks_of_a_variant_name_its_environment(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    ran: list[str] = []
    monkeypatch.setattr(setup, "run", lambda *words, env: ran.append(env["BEAMPERMIT_ENVIRONMENT"]))
    monkeypatch.setattr(setup.os, "utime", lambda _: None)
    for variant in ("", "cuda"):
        monkeypatch.setenv("VARIANT", variant)
        for text in ("one", "two"):
            Path("cuda.conda-lock.yml").write_text(text)
            setup.environment()
    assert ran[0] == ran[1], "the lock of another variant moves nothing"
    assert len(set(ran)) == 3


def _environment(tmp_path: Path) -> Path:
    """The environment that the step told last."""
    return Path((tmp_path / "GITHUB_ENV").read_text().splitlines()[-1].partition("=")[2])
