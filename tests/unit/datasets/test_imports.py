"""Data that `dvc import` took from another repository are looked up and fetched there, where `dvc pull` finds them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from beampermit.datasets.configuration import without_secrets
from beampermit.datasets.pull import pull
from beampermit.datasets.repository import Repository
from beampermit.errors import Failed, Outside
from beampermit.interlocks.data import DAT002, DAT003, DAT008
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.runner import check
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome
from support.dvc_repositories import leaf, replace

pytestmark = pytest.mark.slow
ASKING = select_interlocks(["DAT002", "DAT003"])
"""What asks where the data are kept."""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another repository, with a folder that DVC stores on a remote of its own and a file in git."""
    from dvc.repo import Repo

    root = tmp_path / "registry"
    (root / "runs/old").mkdir(parents=True)
    (root / "runs/a.csv").write_text("1\n")
    (root / "runs/old/a.csv").write_text("1\n")
    (root / "notes.txt").write_text("in git\n")
    git(root, "init", "--quiet")
    with Repo.init(str(root)) as repository:
        (tmp_path / "registry-storage").mkdir()
        (root / ".dvc/config").write_text(
            "[core]\n    remote = own\n['remote \"own\"']\n    url = ../../registry-storage\n"
        )
        repository.config.load()
        repository.add(str(root / "runs"))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Runs")
    with Repo(str(root)) as repository:
        repository.push()
    return root


def git(root: Path, *arguments: str) -> Any:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def importing(dvc_project: Project, registry: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose base branch imports both, in a clone that has neither."""
    from dvc.repo import Repo

    root = dvc_project.root
    monkeypatch.chdir(root)
    with Repo(str(root)) as repository:
        for name in ("runs", "notes.txt"):
            repository.imp(str(registry), name, out=f"data/{name}")
    dvc_project.git("add", "--all")
    dvc_project.git("commit", "--quiet", "--message", "Imports")
    without_copies(root)
    dvc_project.git("branch", "--delete", "--force", "main")
    return Project(root)


def stored(registry: Path) -> Path:
    """Where the registry's remote has `a.csv`."""
    return leaf(registry, registry.with_name("registry-storage"), "runs/a.csv")


def without_copies(root: Path) -> None:
    shutil.rmtree(root / "data/runs")
    (root / "data/notes.txt").unlink()
    shutil.rmtree(root / ".dvc/cache")


def test_what_dvc_pull_finds_is_pulled_and_passes(importing: Project) -> None:
    from dvc.repo import Repo

    assert DAT002().check(Repository.of(importing)).outcome is Outcome.PASSED
    on_base = DAT002().check(Repository.of(Project(importing.root, "HEAD")))
    assert (on_base.outcome, on_base.evidence["looked_up"]) == (Outcome.PASSED, 0)
    pulled = pull(Repository.of(importing), ["data/runs", "data/notes.txt"])
    assert (pulled.fetched, pulled.changed) == (3, ("data/runs", "data/notes.txt"))
    assert DAT003().check(Repository.of(importing)).outcome is Outcome.PASSED
    without_copies(importing.root)
    with Repo(str(importing.root)) as repository:
        repository.pull()
    assert (importing.root / "data/runs/a.csv").is_file(), "what DVC does"


@pytest.mark.plants("DAT002")
def test_what_is_not_on_the_registrys_remote_is_missing(importing: Project, registry: Path) -> None:
    stored(registry).unlink()
    finding = DAT002().check(Repository.of(importing))
    assert finding.reason.startswith(f"data/runs/a.csv is not on {registry}, which data/runs.dvc imports from")
    assert finding.locations[0].file == "data/runs.dvc"
    with pytest.raises(Failed, match=r"nothing was checked out: data/runs/a.csv is not on the remote"):
        pull(Repository.of(importing), ["data/runs"])


@pytest.mark.plants("DAT002")
def test_other_bytes_on_the_registrys_remote_are_refused(importing: Project, registry: Path) -> None:
    stored(registry).chmod(0o644)
    stored(registry).write_text("2\n")
    assert "has other bytes there than its hash says" in DAT002().check(Repository.of(importing)).reason
    with pytest.raises(Failed, match=r"data/runs/a.csv on the remote does not match its hash"):
        pull(Repository.of(importing), ["data/runs"])
    assert not (importing.root / "data/runs").exists()


def test_a_registry_that_cannot_be_reached_is_the_outside_world(importing: Project, registry: Path) -> None:
    registry.rename(registry.with_name("moved"))
    with pytest.raises(Outside, match=r"registry, which data/.* imports from, cannot be reached"):
        DAT002().check(Repository.of(importing))


@pytest.mark.plants("DAT008")
@pytest.mark.attack(
    guard="DAT008",
    tried="a pull request imports its data from a repository of its own, which the checker would then contact",
    said="and nothing on the base branch is imported from there",
)
@pytest.mark.parametrize("form", ["plain", "with an alias"])
def test_a_pull_request_cannot_say_whom_the_checker_asks(
    importing: Project, registry: Path, form: str, said: str
) -> None:
    importing.git("branch", "main")
    importing.git("switch", "--quiet", "--create", "other")
    registry.rename(registry.with_name("other"))
    for name in ("runs", "notes.txt"):
        replace(importing.root / f"data/{name}.dvc", str(registry), str(registry.with_name("other")))
    if form == "with an alias":
        file = importing.root / "data/runs.dvc"
        file.write_text(file.read_text().replace("outs:\n", "meta: {a: &a 1, b: *a}\nouts:\n"))
    project = Project(importing.root, "main")
    assert f"data/runs.dvc imports from {registry.with_name('other')}, {said}" in [
        place.reason for place in DAT008().check(project).locations
    ]
    with pytest.raises(Failed, match=said):
        pull(Repository.of(project), ["data/runs"])
    assert {verdict.id: (verdict.outcome, said in verdict.reason) for verdict in check(project, ASKING)} == {
        "DAT002": (Outcome.FAILED, True),
        "DAT003": (Outcome.SKIPPED, True),
    }


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ada:secret@host/a", "https://host/a"),
        ("https://ada:sek@ret@host/a", "https://host/a"),
        ("https://ada:sek/ret@host/a", "https://host/a"),
        ("https://ada:12@sek/ret@host/a", "https://host/a"),
        ("https://:secret@host", "https://host"),
        ("https://token@host/a@v1", "https://host/a@v1"),
        ("https://host/a@v1", "https://host/a@v1"),
        ("https://host:8080/a@v1", "https://host:8080/a@v1"),
        ("git@host:a/b.git", "git@host:a/b.git"),
        ("/mnt/a:b@c", "/mnt/a:b@c"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
