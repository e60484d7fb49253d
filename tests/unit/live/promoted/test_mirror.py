"""What is kept of the ledger's repository, however that is laid out and served."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest

from beampermit.digest import digest_file
from beampermit.errors import BadInput, Failed, Outside
from beampermit.git import Git
from beampermit.live.promoted.mirror import Mirror
from beampermit.live.promoted.wanted import Repository
from beampermit.permit.statement import BoundFile, Statement
from beampermit.project import Project
from beampermit.registry.ledger import Ledger
from support.permits import statement


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """Its `main` has moved on since the commit with two projects."""
    origin = tmp_path / "origin"
    subprocess.run(["git", "init", "--quiet", origin], check=True)
    for folder in ("", "models/faults/", "models/losses/"):
        file = origin / folder / "contract.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {folder}\n")
    for message in ("The projects", "More"):
        _commit(origin, message)
    return origin


def _commit(origin: Path, message: str) -> None:
    Git(origin)("add", "--all")
    Git(origin)("commit", "--quiet", "--allow-empty", "--message", message)


def _permit(commit: str, digest: str) -> Statement:
    plain = statement()
    bound = {"commit": commit, "contract": BoundFile(file="contract.yaml", digest=digest)}
    return plain.model_copy(update={"predicate": plain.predicate.model_copy(update=bound)})


def mirror_of(origin: Path, *settings: tuple[str, str]) -> Mirror:
    state = origin.parent / "state"
    state.mkdir(exist_ok=True)
    return Mirror(Repository(str(origin), settings), state)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [(), (("protocol.version", "0"),)], ids=["single commits", "branches only"])
def test_a_project_in_a_folder_is_found_by_its_contract(origin: Path, settings: tuple[tuple[str, str], ...]) -> None:
    commit = Git(origin)("rev-parse", "HEAD~1")
    permit = _permit(commit, digest_file(origin / "models/losses/contract.yaml"))
    mirror = mirror_of(origin, *settings)
    mirror.look()
    project = mirror.project_of(permit)
    assert project.prefix == "models/losses/"
    assert project.read(commit, "contract.yaml") == "# models/losses/\n"
    # Then it is here, whatever happens to the origin.
    origin.rename(origin.with_name("away"))
    assert mirror_of(origin).project_of(permit).prefix == "models/losses/"


@pytest.mark.slow
def test_a_commit_without_that_contract_and_one_that_is_gone_are_refused(origin: Path) -> None:
    mirror = mirror_of(origin)
    mirror.look()
    with pytest.raises(Failed, match=r"has no contract.yaml with the digest that the permit binds"):
        mirror.project_of(_permit(Git(origin)("rev-parse", "HEAD"), f"sha256:{'3' * 64}"))
    with pytest.raises(Outside, match=r"does not answer|no longer has commit 333333333333"):
        mirror.project_of(_permit("3" * 40, f"sha256:{'3' * 64}"))


@pytest.mark.slow
def test_the_protected_branch_is_followed_and_kept(origin: Path) -> None:
    mirror = mirror_of(origin)
    for message in ("One", "Two"):
        _commit(origin, message)
        mirror.look()
        assert mirror.ledger.protected == Git(origin)("rev-parse", "HEAD")
    last = mirror.ledger.protected
    origin.rename(origin.with_name("away"))
    assert mirror_of(origin).ledger.protected == last


@pytest.mark.slow
def test_a_first_copy_without_its_ledger_is_not_taken_for_an_empty_one(
    origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loses_the_network(*_: object) -> None:
        raise Outside("origin does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "fetch", loses_the_network)
        first = mirror_of(origin)
        with pytest.raises(Outside, match="origin does not answer"):
            first.look()
    for mirror in (first, mirror_of(origin)):
        with pytest.raises(Outside, match="the ledger was never read on this machine"):
            _ = mirror.ledger
    mirror.look()
    assert mirror.ledger.protected == Git(origin)("rev-parse", "HEAD")


@pytest.mark.slow
def test_a_remote_that_takes_all_and_says_nothing_is_waited_for_as_long_as_was_said(origin: Path) -> None:
    mirror = mirror_of(origin)
    mirror.look()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirror.git("remote", "set-url", "origin", f"git://127.0.0.1:{silent.getsockname()[1]}/x")
        began = time.monotonic()
        with pytest.raises(Outside, match="origin does not answer"):
            mirror.look(patience=0.2)
        assert time.monotonic() - began < 30
    assert mirror.ledger.protected == Git(origin)("rev-parse", "HEAD")


@pytest.mark.slow
def test_settings_of_the_checkout_count_anew_at_each_start(origin: Path) -> None:
    name = "http.extraHeader"
    for token in ("one", "two"):
        mirror = mirror_of(origin, (name, f"token: {token}"))
        mirror.look()
        assert mirror.git("config", "--get-all", name) == f"token: {token}"


def test_a_repository_that_was_never_reached_is_named_without_its_login(tmp_path: Path) -> None:
    mirror = Mirror(Repository("https://ada:hunter2@127.0.0.1:9/lab/faults"), tmp_path)
    with pytest.raises(Outside, match=r"https://127\.0\.0\.1:9/lab/faults does not answer") as raised:
        mirror.look()
    assert "hunter2" not in f"{raised.value}{raised.value.hint}"
    with pytest.raises(Outside, match="the ledger was never read on this machine"):
        _ = mirror.ledger
    assert not list(tmp_path.iterdir())


def test_a_path_counts_from_where_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "origin.git").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Repository.named("origin.git").address == str(tmp_path / "origin.git")
    assert Repository.named("git@git.lab.example:faults").address == "git@git.lab.example:faults"
    for wrong in ("", "--upload-pack=touch x"):
        with pytest.raises(BadInput, match="is not the address of a repository"):
            Repository.named(wrong)


def test_a_checkout_gives_its_origin_and_how_it_reaches_it(project: Project) -> None:
    git = project.git
    with pytest.raises(BadInput, match="no remote called origin"):
        Repository.of_project(project)
    git("remote", "add", "origin", "../origin.git")
    (project.root.parent / "origin.git").mkdir()
    git("config", "core.sshCommand", "ssh -i key")
    git("config", "--add", "http.https://git.lab.example/.extraHeader", "one\ntwo")
    git("config", "user.name", "Ada")
    repository = Repository.of_project(project)
    assert repository.address == str(project.root.parent / "origin.git")
    assert dict(repository.settings) == {
        "core.sshcommand": "ssh -i key",
        "http.https://git.lab.example/.extraheader": "one\ntwo",
    }
