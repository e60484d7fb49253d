"""What stands on this machine: key, environment, hooks, remote and registry, each as it is found."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from beampermit.doctor import committed, machine, registry, storage
from beampermit.doctor.results import Found, State, of_error
from beampermit.doctor.subject import Subject, files_here
from beampermit.environments.choice import backend_of
from beampermit.environments.environment import STAMP
from beampermit.errors import BeampermitError
from beampermit.permit.keys import generate_keys
from beampermit.project import Project
from support.github_setup import of
from support.github_stand_in import GitHub
from support.loopback import listening

PASSED, FAILED, UNKNOWN = State.PASSED, State.FAILED, State.UNKNOWN
LOCK = 'version = 1\nrequires-python = ">=3.11"\n'


@pytest.fixture
def here(dvc_project: Project, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """A project of this machine, which GitHub is not asked about."""
    for name in ("MLFLOW_TRACKING_URI", "BEAMPERMIT_SIGNING_KEY", "BEAMPERMIT_ENVIRONMENT", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    (dvc_project.root / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    (dvc_project.root / "uv.lock").write_text(LOCK)
    return Subject("here", files_here(dvc_project), "main", project=dvc_project)


def root_of(subject: Subject) -> Path:
    assert subject.project is not None
    return subject.project.root


def commit(subject: Subject) -> None:
    assert subject.project is not None
    subject.project.git("add", "--all")
    subject.project.git("commit", "--quiet", "--message", "More")


def test_above_a_project_the_mend_is_the_folder_and_not_a_contract_more(here: Subject) -> None:
    root = root_of(here)
    (root / "models").mkdir()
    (root / "contract.yaml").rename(root / "models/contract.yaml")
    commit(here)
    project = Project(root)
    found = committed.contract(Subject("here", files_here(project), "main", project=project))
    assert (found.state, found.fix) == (FAILED, "a project of this repository is in models: run the command there")


def test_programs_are_said() -> None:
    found = machine.programs(Subject("here", files=None, branch="main"))  # type: ignore[arg-type]
    assert (found.state, "dvc 3" in found.reason) == (PASSED, True)


def test_a_git_that_is_too_old_is_missing_and_one_that_merges_no_template_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Subject
) -> None:
    needs = " (beampermit update needs 2.38), dvc"
    for version, state, said in (
        ("2.30.9", FAILED, "older than 2.31"),
        ("2.31.0", PASSED, f"git 2.31.0{needs}"),
        ("2.37.9", PASSED, f"git 2.37.9{needs}"),
        ("2.38.0", PASSED, "git 2.38.0, dvc"),
        ("3.0", PASSED, "git 3.0, dvc"),
    ):
        (tmp_path / "git").write_text(f"#!/bin/sh\necho git version {version}\n")
        (tmp_path / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        found = machine.programs(here)
        assert (found.state, version in found.reason, said in found.reason) == (state, True, True), found.reason


def test_an_environment_is_there_and_of_the_lock(here: Subject) -> None:
    root = root_of(here)
    assert machine.environment(here).reason.startswith("no environment is installed at ")
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/python").touch()
    assert "is not finished, or not ours" in machine.environment(here).reason
    lock = backend_of(root).read(root)
    for stamp, state in ((lock.stamp, PASSED), (f"{lock.digest} cuda", PASSED), (f"sha256:{'0' * 64}", FAILED)):
        (root / f".venv/{STAMP}").write_text(f"{stamp}\n")
        assert machine.environment(here).state is state
    assert machine.environment(here).fix == "beampermit env install"
    (root / "uv.lock").unlink()
    assert machine.environment(here).fix == "beampermit env lock"


def test_hooks_are_where_git_looks_for_them(here: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here.project is not None
    root, git = root_of(here), here.project.git
    assert machine.hooks(here).state is UNKNOWN
    (root / ".pre-commit-config.yaml").write_text("repos: []\n")
    assert machine.hooks(here).state is FAILED
    (tmp_path / "hooks").mkdir()
    hook = tmp_path / "hooks/pre-commit"
    hook.write_text("#!/bin/sh\n")
    git("config", "core.hooksPath", str(tmp_path / "hooks"))
    assert machine.hooks(here).state is FAILED  # git does not run what is not a program
    hook.chmod(0o755)
    assert machine.hooks(here).state is PASSED
    hook.unlink()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert machine.hooks(here).state is PASSED


def test_a_key_counts_once_it_is_committed_and_ours_must_fit(
    here: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = generate_keys(tmp_path / "keys")
    target = root_of(here) / ".github/permit.pub"
    target.parent.mkdir()
    target.write_bytes(public.read_bytes())
    assert committed.signing_key(here).reason.startswith(".github/permit.pub is not committed")
    commit(here)
    assert committed.signing_key(here).state is PASSED
    monkeypatch.setenv("BEAMPERMIT_SIGNING_KEY", str(private))
    assert committed.signing_key(here).state is PASSED
    monkeypatch.setenv("BEAMPERMIT_SIGNING_KEY", str(generate_keys(tmp_path / "others")[0]))
    assert "does not belong to any public key" in committed.signing_key(here).reason


@pytest.mark.slow
def test_a_remote_is_read_and_its_rights_are_said(here: Subject, whole: GitHub, subject: Subject) -> None:
    root = root_of(here)
    found = storage.data_remote(here)
    assert (found.state, "is read; it may be written to" in found.reason) == (PASSED, True)
    on_github = replace(here, client=subject.client, files=subject.files)
    found = storage.data_remote(on_github)
    assert (found.state, "is a folder, which GitHub's machines do not reach" in found.reason) == (FAILED, True)
    (root / ".dvc/config").write_text("[core]\n    remote = gone\n")
    commit(here)
    assert here.project is not None
    here.project.git("branch", "--force", "main")
    with pytest.raises(BeampermitError, match="gone is not configured"):
        storage.data_remote(replace(here, project=Project(root, base="main")))


def looked(subject: Subject) -> Found:
    try:
        return registry.registry(subject)
    except BeampermitError as error:
        return of_error(error)


@pytest.mark.slow
def test_a_registry_that_is_a_database(here: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked(here).reason == "MLFLOW_TRACKING_URI is not set here, so no registry was asked"
    file = tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    assert "the first promotion makes it" in looked(here).reason
    with sqlite3.connect(file) as database:
        database.execute("create table registered_models (name text)")
    assert looked(here).reason.endswith("is there; who reaches the database may write")
    for wrong in ("mlruns", "sqlite:///a?b"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", wrong)
        assert (looked(here).state, "not the address of a registry" in looked(here).reason) == (FAILED, True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for address in (f"postgresql://u:hunter2@127.0.0.1:{port}/x", f"http://u:hunter2@127.0.0.1:{port}"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        found = looked(here)
        assert (found.state, found.no_answer, "hunter2" in found.reason) == (UNKNOWN, True, False), found


class _Other(BaseHTTPRequestHandler):
    """A web server that is not MLflow: it answers with the status in its path."""

    logins: list[str]

    def do_GET(self) -> None:
        self.logins.append(self.headers.get("Authorization", ""))
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"<html")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def other() -> Iterator[tuple[str, list[str]]]:
    logins: list[str] = []
    with listening(type("Other", (_Other,), {"logins": logins})) as port:
        yield f"http://127.0.0.1:{port}", logins


@pytest.mark.parametrize(
    ("status", "state", "no_answer", "said"),
    [
        (404, FAILED, False, "answers with 404, and not as MLflow does"),
        (200, UNKNOWN, False, "and not as MLflow does"),
        (302, UNKNOWN, False, "answers with 302"),
        (401, UNKNOWN, False, "refuses the account ada"),
        (503, UNKNOWN, True, "answers with 503"),
    ],
)
def test_a_server_that_does_not_answer_as_mlflow(
    here: Subject, other: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, status: int, state: State,
    no_answer: bool, said: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{other[0]}/{status}")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    found = looked(here)
    assert (found.state, found.no_answer, said in found.reason) == (state, no_answer, True), found


def test_an_address_that_only_the_repository_names_gets_no_login_of_ours(
    here: Subject, subject: Subject, whole: GitHub, other: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    of(whole).variables["MLFLOW_TRACKING_URI"] = f"{other[0]}/401"
    found = looked(replace(here, client=subject.client))
    assert (found.state, "a login is sent only to the address in our own variables" in found.reason) == (UNKNOWN, True)
    assert other[1] == [""]
