"""A project whose environment is a conda lock is made again from that lock, and from nothing else."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.digest import digest_file
from beampermit.environments import Environment
from beampermit.environments.conda_lock import CondaLock
from beampermit.environments.environment import STAMP, VARIABLE, prefix_of
from beampermit.environments.installation import install
from beampermit.errors import BadInput, Failed
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.file_state import state_of
from beampermit.interlocks.performance.in_service import environment_of_champion
from beampermit.interlocks.runner import check
from beampermit.permit.statement import BoundFile
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.reproduction.tree import FIXED_IDENTITY
from support.conda_channel import QUIET, Channel, laboratory, serving
from support.dvc_repositories import replace
from support.kept_bytecode import keep_bytecode
from support.permits import statement
from support.toy_project import descent, on_conda

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the tiny channel has packages for Linux"),
]

VIRTUAL = 'subdirs: {linux-64: {packages: {__unix: "0", __glibc: "2.28", __cuda: "12.4"}}}\n'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Channel]:
    """A channel at one address for all tests, so that the project can be locked once."""
    with serving(laboratory(tmp_path_factory.mktemp("channel") / "lab")) as channel:
        yield channel


@pytest.fixture(scope="module")
def conda_once(trained_once: Path, served: Channel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project and its remote, trained in an environment of its conda lock, which lies in `.venv`."""
    folder = tmp_path_factory.mktemp("conda")
    shutil.copytree(trained_once, folder, symlinks=True, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEAMPERMIT_CACHE", str(folder / "archives"))
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        keep_bytecode(folder)
        for name, value in FIXED_IDENTITY.items():
            patch.setenv(name, value)
        on_conda(Project(folder / "project"), served)
    return folder


@pytest.fixture
def channel(served: Channel, tmp_path: Path) -> Iterator[Channel]:
    """The channel of one test, which may add to it and break it."""
    whole, served.folder = served.folder, tmp_path / "lab"
    shutil.copytree(whole, served.folder)
    served.asked.clear()
    yield served
    served.folder = whole


@pytest.fixture
def conda(conda_once: Path, channel: Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of it for one test."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "archives"))
    for name in ("project", "storage", "archives"):
        shutil.copytree(conda_once / name, tmp_path / name, symlinks=True)
    keep_bytecode(tmp_path)
    return Project(tmp_path / "project")


def again(project: Project, *words: str) -> dict:
    """What `beampermit reproduce` says, as JSON."""
    finished = CliRunner().invoke(app, ["reproduce", "--json", "--project", str(project.root), *words])
    if finished.exception and not isinstance(finished.exception, SystemExit):
        raise finished.exception
    done = json.loads(finished.stdout)
    assert finished.exit_code == (0 if done["sound"] else 1)
    return done


def test_reproduced_bit_by_bit_in_a_new_environment(conda: Project, channel: Channel) -> None:
    (conda.root / ".venv").rename(conda.root.parent / "gone")
    done = again(conda, "HEAD", "--seeds", "0,1")
    assert done["diagnosis"]["kind"] == "identical"
    assert done["compared"]["machine"] == {}
    assert list(done["spread"]["metrics"][0]["values"]) == ["0", "1"]
    assert not (conda.root / ".venv").exists()
    assert conda.git("status", "--porcelain") == ""


def test_lock_of_another_package_is_diagnosed_as_different_environment(conda: Project, channel: Channel) -> None:
    descent(channel, "1.1", rate=0.0025)
    replace(conda.root / "contract.yaml", "tolerance: 0.005", "tolerance: 0.0001")
    CondaLock().lock(conda.root, update=["descent"], progress=QUIET)
    done = again(conda)
    assert not done["sound"]
    assert done["diagnosis"]["kind"] == "different environment"
    assert done["diagnosis"]["because"][0] == "packages.descent was 1.0, is 1.1"
    assert done["diagnosis"]["because"][-1].startswith("predictions were not compared: the saved model cannot be used")


def test_package_with_other_bytes_in_its_channel_is_refused(conda: Project, channel: Channel, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "archives")
    next(channel.folder.rglob("descent-1.0*")).unlink()
    descent(channel, "1.0", rate=0.1)
    with pytest.raises(Failed, match=r"descent 1\.0 has a wrong sha256: [0-9a-f]{64} \(\d+ bytes\)") as caught:
        again(conda)
    assert caught.value.file == "conda-lock.yml"
    assert len(conda.git("worktree", "list").splitlines()) == 1


def test_both_interlocks_run_in_its_environment(conda: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(conda.root / ".venv"))
    verdicts = check(conda, select_interlocks(["ENV005", "REP001", "REP002"]))
    assert {one.id: one.reason for one in verdicts if not one.passed} == {}
    assert verdicts[1].reason == "identical: 2 tensors and every gated metric"
    (conda.root / ".venv/lib").rename(conda.root / ".venv/lost")
    verdicts = check(conda, select_interlocks(["ENV005", "REP001", "REP002"]))
    assert [str(one.outcome) for one in verdicts] == ["failed", "skipped", "skipped"]


def test_environment_of_the_same_lock_is_reused_and_any_other_left_alone(conda: Project, channel: Channel) -> None:
    own = conda.root / ".venv"
    channel.asked.clear()
    assert again(conda, "--reuse")["sound"]
    assert channel.asked == []
    (own / "by hand.txt").write_text("mine")
    (own / STAMP).unlink()
    assert again(conda, "--reuse")["sound"], "in the environment that all checkouts of a lock share"
    assert (own / "by hand.txt").read_text() == "mine"
    assert not (own / STAMP).exists()


def test_environment_of_a_variant_is_reused_and_another_is_made_on_request(conda: Project, channel: Channel) -> None:
    (conda.root / "cuda.virtual-packages.yml").write_text(VIRTUAL)
    CondaLock().lock(conda.root, progress=QUIET)
    own = conda.root / ".venv"
    shutil.rmtree(own)
    install(CondaLock(variant="cuda"), conda.root, own, progress=QUIET)
    stamp = (own / STAMP).read_text()
    assert stamp.strip().endswith(" cuda")
    assert again(conda, "--reuse")["compared"]["metrics"]
    assert (own / STAMP).read_text() == stamp
    with pytest.raises(BadInput, match="no lock for the variant 'rocm'; there is cuda"):
        again(conda, "--variant", "rocm")


def test_the_champion_is_asked_in_the_environment_of_its_own_lock(
    conda: Project, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(conda.root.parent / "archives"))
    lock = BoundFile(file="conda-lock.yml", digest=digest_file(conda.root / "conda-lock.yml"))
    plain = statement()
    permit = plain.model_copy(update={"predicate": plain.predicate.model_copy(update={"environment": lock})})
    champion = Event(
        event="promote", sequence=1, model=conda.contract.model.name, version=3, digest=lock.digest, permit=lock.digest,
        commit=conda.git.head(), expected=None, at="2026-11-23T08:00:00Z", by="Ada Operator",
    )  # fmt: skip
    own = Environment(conda.root / ".venv", passed=("CPU",))
    assert environment_of_champion(conda, champion, permit, own) is own
    descent(channel, "1.1")
    CondaLock().lock(conda.root, update=["descent"], progress=QUIET)
    install(CondaLock(), conda.root, own.prefix, progress=QUIET)
    conda.git("commit", "--quiet", "--all", "--message", "Another version")
    found = environment_of_champion(conda, champion, permit, own)
    version = ["-c", "import descent; print(descent.__version__)"]
    assert [one.run(version, project=conda.root).out.strip() for one in (own, found)] == ["1.1", "1.0"]
    assert found.passed == ("CPU",)
    assert environment_of_champion(conda, champion, permit, own) == found, "kept for all checkouts with this lock"


def test_package_replaced_by_hand_prevents_reuse_of_verdicts(conda: Project) -> None:
    before = state_of([prefix_of(conda.root)])
    record = next((conda.root / ".venv/conda-meta").glob("zlib-*.json"))
    record.write_text(record.read_text().replace('"1.3"', '"1.2"'))
    assert state_of([prefix_of(conda.root)]) != before
