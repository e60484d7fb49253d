"""The safe pull refuses bad data before it touches the work tree, and can be run again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beampermit.datasets import manifests
from beampermit.datasets import pull as pull_module
from beampermit.datasets.pull import PULL, PUSH, absence, pull, pull_into
from beampermit.datasets.repository import Repository
from beampermit.errors import BadInput, Failed, Outside
from beampermit.project import Project
from beampermit.reproduction.tree import exported
from support.attacks import attack_case
from support.dvc_repositories import leaf, plant_manifest, without_data

FILES = ("data/raw.parquet", *(f"data/dataset/{split}.parquet" for split in ("train", "validation", "test")))


def here(project: Project) -> list[str]:
    return [path for path in FILES if (project.root / path).exists()]


@pytest.mark.slow
def test_a_fresh_clone_gets_its_data_and_a_second_pull_fetches_nothing(dvc_project: Project) -> None:
    without_data(dvc_project)
    seen: list[tuple[int, int]] = []
    first = pull(Repository.of(dvc_project), progress=lambda _, *counts: seen.append(counts))
    assert (first.fetched, first.present) == (6, 0)
    assert sorted(first.changed) == ["data/dataset", "data/labels.parquet", "data/raw.parquet"]
    assert (seen[0], seen[-1]) == ((0, 6), (6, 6))
    assert here(dvc_project) == list(FILES)
    second = pull(Repository.of(dvc_project))
    assert (second.fetched, second.present, second.changed) == (0, 6, ())
    assert dvc_project.git("status", "--porcelain") == ""


@pytest.mark.slow
@pytest.mark.parametrize("target", ["data/raw.parquet", "./data/raw.parquet", "raw"])
def test_only_the_target_is_fetched(dvc_project: Project, target: str) -> None:
    without_data(dvc_project)
    pull(Repository.of(dvc_project), [target])
    assert here(dvc_project) == ["data/raw.parquet"]


@pytest.mark.slow
def test_the_current_folder_makes_no_difference(
    dvc_project: Project, tmp_path: Path, git, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "outer/ignored"
    elsewhere.mkdir(parents=True)
    git("init", "--quiet", cwd=elsewhere.parent)
    (elsewhere.parent / ".gitignore").write_text("ignored/\n")
    (elsewhere / "dvc.yaml").write_text("stages: {}\n")
    without_data(dvc_project)
    monkeypatch.chdir(elsewhere)
    assert pull(Repository.of(dvc_project)).changed
    assert Path.cwd() == elsewhere


@pytest.mark.slow
def test_what_was_checked_is_what_is_checked_out(dvc_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, fetch = dvc_project.root / "dvc.lock", pull_module._fetch
    oids = {output.path: output.oid for output in Repository.of(dvc_project).outputs}
    raw = (dvc_project.root / "data/raw.parquet").read_bytes()

    def change_after_it(*arguments: Any) -> tuple[int, int]:
        fetched = fetch(*arguments)
        lock.write_text(lock.read_text().replace(oids["data/raw.parquet"], oids["data/labels.parquet"]))
        return fetched

    monkeypatch.setattr(pull_module, "_fetch", change_after_it)
    without_data(dvc_project)
    repository = Repository.of(dvc_project)
    for _ in range(2):
        pull(repository)
        assert (dvc_project.root / "data/raw.parquet").read_bytes() == raw
    assert oids["data/raw.parquet"] not in lock.read_text()


@pytest.mark.slow
def test_no_target_makes_dvc_read_the_pipeline_again(dvc_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc import dvcfile

    read, load = [], dvcfile.FileMixin._load
    monkeypatch.setattr(dvcfile.FileMixin, "_load", lambda self: read.append(self.path) or load(self))
    outputs = [output.path for output in Repository.of(dvc_project).outputs]
    times: list[int] = []
    for targets in (outputs[:1], outputs):
        read.clear()
        pull(Repository.of(dvc_project), targets)
        times.append(len(read))
    assert len(outputs) > 1
    assert times[0] == times[1]


@pytest.fixture
def checkout(dvc_project: Project, tmp_path: Path) -> Iterator[Path]:
    """Another checkout of the commit, without data."""
    with exported(dvc_project.git, dvc_project.git.head(), tmp_path / "checkout") as tree:
        yield tree


@pytest.mark.slow
def test_another_checkout_of_the_commit_gets_its_data_and_dvc_reads_nothing_again(
    dvc_project: Project, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc import dvcfile

    without_data(dvc_project)
    lock = dvc_project.root / "dvc.lock"
    lock.write_text(
        lock.read_text().replace("path: data/raw.parquet\n", "path: data/raw.parquet\n      isexec: true\n")
    )
    repository = Repository.of(dvc_project)
    pull(repository)
    monkeypatch.setattr(dvcfile.FileMixin, "_load", lambda *_: pytest.fail("DVC reads its files again"))
    pull_into(checkout, repository, ["data/dataset", "data/raw.parquet"])
    for path in FILES:
        assert (checkout / path).read_bytes() == (dvc_project.root / path).read_bytes()
        assert (checkout / path).stat().st_mode == (dvc_project.root / path).stat().st_mode
        assert (checkout / path).stat().st_mode & 0o100 == (0o100 if path == FILES[0] else 0)
    assert not (checkout / "data/labels.parquet").exists()


@pytest.mark.slow
def test_another_checkout_gets_nothing_through_a_link(dvc_project: Project, checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    shutil.rmtree(checkout / "data", ignore_errors=True)
    (checkout / "data").symlink_to(tmp_path / "outside")
    with pytest.raises(Failed, match="nothing was checked out: data is a link to"):
        pull_into(checkout, Repository.of(dvc_project), ["data/raw.parquet"])
    assert not [*(tmp_path / "outside").iterdir()]


@pytest.mark.slow
def test_what_git_has_in_the_place_of_data_is_judged_by_dvc(dvc_project: Project, checkout: Path) -> None:
    (checkout / "data").mkdir(exist_ok=True)
    (checkout / "data/raw.parquet").write_bytes(b"planted")
    with pytest.raises(BadInput, match=r"local changes would be lost: data/raw\.parquet"):
        pull_into(checkout, Repository.of(dvc_project), ["data/raw.parquet"])
    assert (checkout / "data/raw.parquet").read_bytes() == b"planted"


def test_an_unknown_target_is_named(dvc_project: Project) -> None:
    with pytest.raises(BadInput, match="'data/row' is neither a path"):
        pull(Repository.of(dvc_project), ["data/row"])


@pytest.mark.slow
def test_nothing_is_written_for_a_manifest_that_leaves_its_folder(dvc_project: Project, storage: Path) -> None:
    without_data(dvc_project)
    content = b"outside"
    value = "78b5bfdbbd4acf5b6b5ab2ba4dbbe1ea"
    plant_manifest(dvc_project, storage, [{"md5": value, "relpath": "../../../stolen"}])
    (storage / "files/md5" / value[:2]).mkdir(exist_ok=True)
    (storage / "files/md5" / value[:2] / value[2:]).write_bytes(content)
    with pytest.raises(Failed, match="nothing was checked out: the manifest of data/dataset: the path"):
        pull(Repository.of(dvc_project))
    assert here(dvc_project) == []
    assert not (dvc_project.root.parent / "stolen").exists()


def test_a_corrupted_object_of_the_same_size_is_refused(dvc_project: Project, storage: Path) -> None:
    file = leaf(dvc_project.root, storage, "data/dataset/test.parquet")
    without_data(dvc_project)
    content = bytearray(file.read_bytes())
    content[8] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
    with pytest.raises(Failed, match=r"data/dataset/test.parquet on the remote does not match its hash"):
        pull(Repository.of(dvc_project))
    assert here(dvc_project) == []


@pytest.mark.slow
def test_a_missing_leaf_is_named(dvc_project: Project, storage: Path) -> None:
    file = leaf(dvc_project.root, storage, "data/dataset/test.parquet")
    without_data(dvc_project)
    file.unlink()
    with pytest.raises(Failed, match=r"data/dataset/test.parquet is not on the remote"):
        pull(Repository.of(dvc_project))
    assert here(dvc_project) == []


@pytest.mark.slow
def test_a_corrupted_copy_in_the_cache_is_fetched_again(dvc_project: Project) -> None:
    cached = leaf(dvc_project.root, dvc_project.root / ".dvc/cache", "data/raw.parquet")
    (dvc_project.root / "data/raw.parquet").unlink()
    cached.chmod(0o644)
    cached.write_bytes(b"x" * cached.stat().st_size)
    assert pull(Repository.of(dvc_project)).fetched == 1
    assert (dvc_project.root / "data/raw.parquet").read_bytes()[:4] == b"PAR1"


def test_a_remote_that_is_down_is_the_outside_world(dvc_project: Project, storage: Path) -> None:
    without_data(dvc_project)
    shutil.rmtree(storage)
    storage.write_text("a broken disk")
    with pytest.raises(Outside, match=r"the remote storage .* cannot be reached"):
        pull(Repository.of(dvc_project))


def test_from_an_empty_remote_nothing_is_pulled_and_nobody_is_accused(dvc_project: Project, storage: Path) -> None:
    without_data(dvc_project)
    shutil.rmtree(storage)
    storage.mkdir()
    with pytest.raises(Failed, match=r"storage, which is empty: nothing was pushed to it yet") as caught:
        pull(Repository.of(dvc_project))
    assert caught.value.hint == "run `dvc push` on the machine that made them"


@pytest.mark.slow
def test_what_is_advised_for_a_bad_object_replaces_it(dvc_project: Project, storage: Path) -> None:
    """`dvc push` says "Everything is up to date", also where only the object itself was deleted."""
    from dvc.repo import Repo

    file = leaf(dvc_project.root, storage, "data/dataset/test.parquet")
    shutil.copytree(dvc_project.root / ".dvc/cache", storage.with_name("cache"))
    file.chmod(0o644)
    file.write_bytes(b"x" * file.stat().st_size)
    without_data(dvc_project)
    with pytest.raises(Failed, match=r"does not match its hash \(object files/md5/[0-9a-f]{2}/") as caught:
        pull(Repository.of(dvc_project))
    assert "delete that object on the remote, and the `.dir` manifest of its folder" in caught.value.hint
    shutil.rmtree(dvc_project.root / ".dvc/cache", ignore_errors=True)
    shutil.copytree(storage.with_name("cache"), dvc_project.root / ".dvc/cache")
    with Repo(str(dvc_project.root)) as repository:
        repository.push()
        assert file.read_bytes()[:1] == b"x"
        file.unlink()
        next(storage.rglob("*.dir")).unlink()
        repository.push()
    assert pull(Repository.of(dvc_project)).present == 6
    assert file.read_bytes()[:4] == b"PAR1"


@pytest.mark.slow
def test_the_remote_is_that_of_the_base_branch(dvc_project: Project) -> None:
    without_data(dvc_project)
    other = dvc_project.root.parent / "other"
    other.mkdir()
    text = "[core]\n    remote = other\n['remote \"other\"']\n    url = ../../other\n"
    (dvc_project.root / ".dvc/config").write_text(text)
    pull(Repository.of(dvc_project))
    assert here(dvc_project) == list(FILES)


@pytest.mark.slow
def test_uncommitted_changes_are_not_lost(dvc_project: Project) -> None:
    file = dvc_project.root / "data/raw.parquet"
    file.unlink()
    file.write_bytes(b"my own")
    with pytest.raises(BadInput, match=r"local changes would be lost: data/raw.parquet"):
        pull(Repository.of(dvc_project))
    assert file.read_bytes() == b"my own"


@pytest.mark.slow
def test_nothing_is_written_through_a_link(dvc_project: Project, tmp_path: Path) -> None:
    without_data(dvc_project)
    for name in ("raw", "dataset"):
        (dvc_project.root / f"data/{name}.json").unlink()
    (dvc_project.root / "data/.gitignore").unlink()
    (dvc_project.root / "data").rmdir()
    (dvc_project.root / "data").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(Failed, match="nothing was checked out: data is a link to"):
        pull(Repository.of(dvc_project))
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "link",
    [
        attack_case(
            "__pycache__",
            guard="data pull",
            tried="a folder of data has a link in the place of Python's cache, which no check looked at",
            said="nothing was checked out: data/dataset/__pycache__ is a link to",
            id="in its place",
        ),
        attack_case(
            "__pycache__/kept",
            guard="data pull",
            tried="a folder of data has a link in Python's cache, which no check looked into",
            said="nothing was checked out: data/dataset/__pycache__/kept is a link to",
            id="in it",
        ),
    ],
)
def test_pythons_cache_is_no_way_out_of_the_project(
    dvc_project: Project, storage: Path, tmp_path: Path, link: str, said: str
) -> None:
    without_data(dvc_project)
    value = "78b5bfdbbd4acf5b6b5ab2ba4dbbe1ea"
    plant_manifest(dvc_project, storage, [{"md5": value, "relpath": f"{link}/authorized_keys"}])
    (storage / "files/md5" / value[:2]).mkdir(exist_ok=True)
    (storage / "files/md5" / value[:2] / value[2:]).write_bytes(b"outside")
    (tmp_path / "elsewhere").mkdir()
    place = dvc_project.root / "data/dataset" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Failed, match=said):
        pull(Repository.of(dvc_project))
    assert list((tmp_path / "elsewhere").iterdir()) == []


STUCK = """
import os, sys, time
from beampermit.cli.main import run
from beampermit.datasets.remote import Remote
fetch = Remote.fetch
Remote.fetch = lambda self, oid, *rest: time.sleep(600) if oid == os.environ["STUCK"] else fetch(self, oid, *rest)
sys.argv[1:] = ["data", "pull", "--base", "main"]
run()
"""


@pytest.mark.slow
def test_killed_half_way_the_next_pull_finishes(dvc_project: Project) -> None:
    last = leaf(dvc_project.root, Path(), "data/dataset/test.parquet")
    without_data(dvc_project)
    env = {**os.environ, "STUCK": last.parent.name + last.name}
    child = subprocess.Popen([sys.executable, "-c", STUCK], cwd=dvc_project.root, env=env, stderr=subprocess.DEVNULL)
    cache = dvc_project.root / ".dvc/cache/files/md5"
    deadline = time.monotonic() + 60
    while len([file for file in cache.rglob("*") if file.is_file()]) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    child.kill()
    child.wait()
    assert here(dvc_project) == []
    assert pull(Repository.of(dvc_project)).fetched == 1
    assert here(dvc_project) == list(FILES)


def test_a_manifest_with_too_many_files_is_refused(
    dvc_project: Project, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "MOST_ENTRIES", 10)
    plant_manifest(dvc_project, storage, [{"md5": "f" * 32, "relpath": str(number)} for number in range(11)])
    with pytest.raises(Failed, match="names 11 files; the limit is 10"):
        pull(Repository.of(dvc_project))


@pytest.mark.slow
def test_what_a_remote_lacks_is_not_said_to_come_by_a_pull(dvc_project: Project, storage: Path) -> None:
    """Each reason as the remote itself has it: here, missing, empty, not reachable, not configured."""
    path, config = FILES[0], dvc_project.root / ".dvc/config"
    stored = leaf(dvc_project.root, storage, path)
    without_data(dvc_project)
    project = Project(dvc_project.root)
    there = absence(project, path, "it is missing")
    assert (type(there), there.message, there.hint) == (BadInput, "it is missing", PULL)
    assert isinstance(absence(project, path, "it is missing", Failed), Failed)
    nowhere = absence(project, "data/old.csv", "it is missing")
    assert nowhere.hint.startswith("neither dvc.lock nor a .dvc file has its hash")

    stored.unlink()
    missing = absence(project, path, "it is missing")
    assert (type(missing), missing.hint) == (Failed, PUSH)
    assert missing.message == f"{path} is not on the remote storage (object {stored.parent.name}{stored.name[:6]})"
    shutil.rmtree(storage)
    storage.mkdir()
    assert "storage, which is empty: nothing was pushed to it yet" in absence(project, path, "").message
    assert "the manifest of data/dataset is neither" in absence(project, "data/dataset", "").message
    storage.rmdir()
    storage.write_text("")
    with pytest.raises(Outside, match=r"the remote storage .* cannot be reached"):
        absence(project, path, "")
    config.write_text("")
    with pytest.raises(BadInput, match="a default remote is not configured"):
        absence(project, path, "")
