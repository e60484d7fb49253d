"""Fixtures that all tests share: a folder of our own, a git identity, small projects."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from beampermit.project import Project
from support import address_grammars
from support.github_stand_in import github
from support.planted_defects import failing
from support.trained_project import _trained_folder, environment_prefix, trained_copy, trained_project

__all__ = [
    "_trained_folder",
    "environment_prefix",
    "github",
    "trained_copy",
    "trained_project",
]  # where they are, is told there


def pytest_configure() -> None:
    # How long a test takes beside others is never what fails it.
    settings.register_profile("no times", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("no times")
    # Without byte code every start of mlflow, torch or dvc takes two to three times as long.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # A process started in the background ignores SIGINT, and so would every command that it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    address_grammars.read_where_judged()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is measured imports scikit-learn and more: it is not read where all of it would be left out."""
    asked = "not bench" not in config.option.markexpr or any("bench" in one for one in config.args)
    return True if collection_path.name == "bench" and not asked else None


def pytest_collection() -> None:
    """While thousands of tests are made, none of which goes, there is nothing to collect for Python."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()  # tests and modules stay until the end: no later pass looks at them
    atexit.register(gc.unfreeze)  # nanobind calls what is left there a leak
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a parallel run the files with the longest time limit come first: none of them is left for one worker alone.

    The tests of a file stay together, as what they share is made once.
    """
    for item in items:
        if item.get_closest_marker("attack") and "said" not in getattr(item, "fixturenames", ()):
            raise pytest.UsageError(f"{item.nodeid} is an attack: take the fixture `said` and find it in the message")
    if "PYTEST_XDIST_WORKER" in os.environ:
        longest: dict[Path, float] = {}
        for item in items:
            longest[item.path] = max(_time_limit(item), longest.get(item.path, 0))
        items.sort(key=lambda item: longest[item.path], reverse=True)


def _time_limit(item: pytest.Item) -> float:
    limit = item.get_closest_marker("timeout")
    return (limit.args[0] if limit else 1) if item.get_closest_marker("slow") else 0


@pytest.fixture(scope="session", autouse=True)
def _own_git_identity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests never read or write the git configuration of whoever runs them, nor the variables of a CI run.

    Of the session, so that what is made once for many tests has the same identity.
    """
    config = tmp_path_factory.getbasetemp() / "gitconfig"
    config.write_text(
        "[user]\n\tname = Ada Operator\n\temail = ada@lab.example\n"
        "[init]\n\tdefaultBranch = main\n[commit]\n\tgpgsign = false\n"
        # A third of the time of each commit goes to the question whether there is much to tidy up.
        "[maintenance]\n\tauto = false\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):
            if name.startswith(("GITHUB_", "GH_", "GIT_")) or name == "MLFLOW_TRACKING_URI":
                patch.delenv(name)
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        patch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_shim_of_python() -> Iterator[None]:
    """uv asks the first Python on PATH what it is, each time: a shim, as pyenv has it, takes a fifth of a second."""
    first = Path(shutil.which("python3") or sys.executable)
    with pytest.MonkeyPatch.context() as patch:
        if first.read_bytes()[:2] == b"#!":
            patch.setenv("PATH", f"{Path(sys.base_prefix, 'bin')}{os.pathsep}{os.environ['PATH']}")
        yield


@pytest.fixture(autouse=True)
def _planted_defects_fail(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that says it plants a defect must make the interlocks fail that it names."""
    plants = request.node.get_closest_marker("plants")
    with failing(*plants.args) if plants else nullcontext():
        yield


@pytest.fixture
def said(request: pytest.FixtureRequest) -> str:
    """What the guard is to say to the attack that the test's mark describes: a part of its message."""
    return request.node.get_closest_marker("attack").kwargs["said"]


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    """Run git in the project's folder: `git("add", "-A")`."""

    def run(*arguments: str, cwd: Path = tmp_path / "project") -> str:
        return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()

    return run


@pytest.fixture(scope="session")
def contract_text() -> str:
    """A small contract that holds, as text, to be edited by tests that plant a defect."""
    return (Path(__file__).parent / "data/contract.yaml").read_text()


@pytest.fixture(scope="session")
def contract_repository(tmp_path_factory: pytest.TempPathFactory, contract_text: str) -> Path:
    """The project of `project`, to be copied."""
    root = tmp_path_factory.mktemp("committed") / "project"
    root.mkdir()
    (root / "contract.yaml").write_text(contract_text)
    for words in (("init", "--quiet", "--template="), ("add", "--all"), ("commit", "--quiet", "-m", "The contract")):
        subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)
    (root / ".git/info").mkdir()  # as git's own template has it
    return root


@pytest.fixture
def project(tmp_path: Path, contract_repository: Path) -> Project:
    """A git repository with nothing but a sound contract, committed on `main`."""
    return Project(shutil.copytree(contract_repository, tmp_path / "project"))
