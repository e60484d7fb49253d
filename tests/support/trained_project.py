"""A generated project with everything real: locked, installed, trained, committed, pushed. Made once for all tests.

Three fixtures, handed out by `tests/conftest.py`:

- `trained_project`: the `Project` itself, shared by all tests and all workers. Look, do not touch.
- `trained_copy`: a copy for one test, which may break it. Beside its folder lie its own `origin.git` (remote `origin`,
  `main` is pushed) and `dvc-storage` (DVC remote `storage`, everything is pushed).
- `environment_prefix`: its environment. Either project fixture names it in `BEAMPERMIT_ENVIRONMENT`, as CI does.

It takes about a minute to make. With `BEAMPERMIT_TRAINED=/some/folder` it is kept there, and made again only when the
template has changed; so `BEAMPERMIT_TRAINED=~/.cache/beampermit-trained pytest tests/...` starts at once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from beampermit.environments.choice import backend_of
from beampermit.environments.environment import VARIABLE, Environment, environment_of
from beampermit.environments.installation import install
from beampermit.generation import generate
from beampermit.git import Git
from beampermit.models.evaluation import Evaluator
from beampermit.models.measures import measure, read_compared
from beampermit.models.metrics import read_metrics
from beampermit.processes import Finished, run
from beampermit.project import Project
from beampermit.template import template_folder
from support.shared import made_once, shared_folder

KEPT = "BEAMPERMIT_TRAINED"
SLUG = "bpm-faults"
PEOPLE = {  # the template's own answers are marked TODO, and DOC002 finds them
    "maintainer_name": "Ada Operator",
    "maintainer_email": "ada@lab.example",
    "deputy_name": "Bo Physicist",
    "deputy_email": "bo@lab.example",
    "on_call": "Control room, +1 555 0100",
    "logbook": "https://logbook.lab.example",
}


@pytest.fixture(scope="session")
def _trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the project, its origin, its DVC remote and its environment."""
    return trained_folder(Path(os.environ.get(KEPT) or shared_folder(tmp_path_factory) / "trained"))


def trained_folder(kept: Path) -> Path:
    """The same below the folder `kept`, made again when the template has changed."""
    kept = kept.expanduser().absolute()
    # Of another template, another folder: nobody's tests are disturbed.
    made = made_once(kept / _template_digest()[:12], lambda folder: _make(folder, kept))
    # What was recorded of a kept environment may be gone with the cache folder.
    prefix = (made / "environment").resolve()
    install(backend_of(made / SLUG), made / SLUG, prefix, reuse=True, progress=lambda _: None)
    return made


@pytest.fixture
def environment_prefix(_trained_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of the trained project, named in `BEAMPERMIT_ENVIRONMENT`."""
    prefix = (_trained_folder / "environment").resolve()
    monkeypatch.setenv(VARIABLE, str(prefix))
    return prefix


@pytest.fixture
def trained_project(_trained_folder: Path, environment_prefix: Path) -> Project:
    """The one trained project that all tests share: read it, run what writes nothing, change nothing."""
    return Project(_trained_folder / SLUG)


@pytest.fixture
def trained_copy(_trained_folder: Path, environment_prefix: Path, tmp_path: Path) -> Project:
    """A trained project of this test's own, with `origin.git` and `dvc-storage` beside it, both up to date."""
    home = tmp_path / "trained"
    for name in (SLUG, "origin.git", "dvc-storage"):
        shutil.copytree(_trained_folder / name, home / name, symlinks=True)
    found = Project(home / SLUG)
    found.git("remote", "set-url", "origin", str(home / "origin.git"))
    return found


def python(project: Project, *arguments: str, env: Mapping[str, str] | None = None) -> Finished:
    """Run the Python of the project's environment, with the project's code on its path."""
    return Environment(Path(os.environ[VARIABLE])).run(arguments, project=project.root, env=env)


def dvc(project: Project, *arguments: str) -> str:
    """Run DVC of the project's environment, as `make reproduce` and `make push` do; give what it printed."""
    finished = python(project, "-m", "dvc", *arguments)
    assert finished.code == 0, finished.out + finished.err
    return finished.out


def status(project: Project, *, commit: bool = False, cloud: bool = False) -> dict[str, Any]:
    """Stage -> what has changed, as `dvc status` tells it; with `commit`, once DVC took what is there.

    With `cloud`, what cache and remote lack.
    """
    from dvc.repo import Repo

    with chdir(project.root), Repo() as repo:  # stages are named as seen from the working folder
        if commit:
            repo.commit(force=True)
        return repo.status(cloud=cloud)


def commit_model(project: Project) -> None:
    """Give DVC what the stages have made, commit, and push the data."""
    status(project, commit=True)
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "The first model")
    push(project)


def push(project: Project) -> None:
    """What `dvc push` does."""
    from dvc.repo import Repo

    with chdir(project.root), Repo() as repo:
        repo.push()


RUN = """
import importlib, yaml
for stage in yaml.safe_load(open("dvc.yaml"))["stages"].values():
    importlib.import_module(stage["cmd"].removeprefix("python -m ")).main()
"""


def run_stages(project: Project) -> str:
    """Run all stages in one process, for most of the time of a new one are its imports; what they say on stderr."""
    finished = python(project, "-c", RUN)
    assert finished.code == 0, finished.err
    return finished.err


def metrics_of(project: Project) -> dict[str, float]:
    """The metrics of the scores that the pipeline wrote: those of its own code, and those that the checker computes."""
    contract, evaluation = project.contract, project.contract.evaluation
    assert evaluation.scores is not None
    rows = project.path(evaluation.inputs)
    metrics = Evaluator.of(environment_of(project.root), project.root, contract, rows).measured
    compared = read_compared(metrics, project.path(evaluation.scores), rows)
    return {**read_metrics(project.path(evaluation.metrics)), **measure(metrics, compared)}


def _make(folder: Path, kept: Path) -> None:
    root = generate(folder, {"project_slug": SLUG, "environment": "uv", **PEOPLE}, lock=True)
    backend = backend_of(root)
    prefix = kept / f"environment-{backend.read(root).digest.removeprefix('sha256:')[:12]}"
    install(backend, root, prefix, reuse=True, progress=lambda _: None)
    (folder / "environment").symlink_to(prefix)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(prefix))
        project = Project(root)
        dvc(project, "repro", "--quiet")
        project.git("add", "--all")
        project.git("commit", "--quiet", "--message", "The first model")
        dvc(project, "push", "--quiet")
        _push(project.git, folder / "origin.git")


def _push(git: Git, origin: Path) -> None:
    made = run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", origin], cwd=origin.parent)
    assert made.code == 0, made.err
    git("remote", "add", "origin", str(origin))
    git("push", "--quiet", "--set-upstream", "origin", "main")
    git("remote", "set-head", "origin", "main")


def _template_digest() -> str:
    found = hashlib.sha256()
    for file in sorted(path for path in template_folder().rglob("*") if path.is_file()):
        found.update(str(file.relative_to(template_folder())).encode() + b"\0" + file.read_bytes())
    return found.hexdigest()
