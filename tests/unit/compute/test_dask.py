"""Units on a real Dask scheduler, whose workers share our folder of work or do not; each of them may be killed."""

from __future__ import annotations

import itertools
import json
import os
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from beampermit import __version__
from beampermit.compute import dask, dask_worker
from beampermit.compute.collect import perform_all
from beampermit.compute.dask import address_of, pack
from beampermit.compute.executor import Executor, open_executor
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Ended, Unit, prepare, read_ended, read_intermediate, stop_unit
from beampermit.errors import BadInput, Outside
from support.dask_cluster import APART, WITHOUT, Cluster, dask_cluster, kill
from support.units_of_work import lines_of, wait_for

UnitOf = Callable[..., Unit]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With one worker, which sees what we see."""
    with dask_cluster(tmp_path_factory.mktemp("dask")) as cluster:
        cluster.worker(threads=2)
        yield cluster


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With one worker that sees nothing of ours."""
    with dask_cluster(tmp_path_factory.mktemp("dask")) as cluster:
        cluster.worker(threads=2, preload=APART)
        yield cluster


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "LOOK", 0.1)
    monkeypatch.setattr(dask.Dask, "late", 0.1)


def opened(cluster: Cluster, work: Path, **asked: int) -> Executor:
    return open_executor(cluster.address, Resources(**asked), work)  # type: ignore[return-value]


def performed(cluster: Cluster, work: Path, *units: Unit, watch: object = None) -> list[Ended]:
    with open_executor(cluster.address, Resources(), work) as executor:
        return list(perform_all(iter(units), executor, work, watch=watch))  # type: ignore[arg-type]


@pytest.mark.slow
def test_units_run_in_the_shared_folder_and_what_is_done_is_not_done_again(
    shared: Cluster, work: Path, unit_of: UnitOf, tmp_path: Path, tree: Path
) -> None:
    (tree / "data/gone").symlink_to("nowhere")  # here as there
    note = tmp_path / "note"
    units = [unit_of(x, note=str(note), values=[0.5]) for x in range(5)]
    failing = unit_of(9, exit=3)
    ended = performed(shared, work, *units, failing)
    assert sorted(one.result["x"] for one in ended if one.result) == [0, 1, 4, 9, 16]
    (failed,) = (one for one in ended if one.result is None)
    assert failed.reason == "it ended with exit status 3\nworking on 9"
    assert read_intermediate(units[0].folder(work)) == {0: 0.5}
    assert not (work / "dask").exists(), "nothing travels"
    assert [one.reused for one in performed(shared, work, *units)] == [True] * 5
    assert len(list(lines_of(note))) == 5


@pytest.mark.slow
def test_where_nothing_is_shared_files_travel_and_a_tree_once(
    apart: Cluster, work: Path, unit_of: UnitOf, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    at = dask.Dask._at

    def spied(self: dask.Dask, worker: str, function: object, *arguments: object) -> object:
        asked.append(function)
        return at(self, worker, function, *arguments)

    monkeypatch.setattr(dask.Dask, "_at", spied)
    (tree / "data/rows.csv").symlink_to(tree.parent / "rows.csv")
    (tree.parent / "rows.csv").write_text("1\n")
    with (tree / "src/job.py").open("a") as module:
        module.write(
            'Path("made").mkdir()\nPath("made/model.txt").write_text(str(request["x"]))\nos.mkfifo("made/pipe")\n'
            'Path("made/last").symlink_to(Path("made/model.txt").absolute())\nPath("made/etc").symlink_to("/etc")\n'
        )
    units = [unit_of(x, who=True, values=[0.25, 0.5]) for x in range(4)]
    ended = sorted(performed(apart, work, *units), key=lambda one: one.unit.label)
    assert [one.result["x"] for one in ended if one.result] == [0, 1, 4, 9]
    assert len({one.result["parent"] for one in ended if one.result}) <= 2, "processes stay"
    assert asked.count(dask_worker.unpack_tree) == 1
    folder = ended[0].folder
    assert (folder / "log.txt").read_text() == "working on 0\n"
    assert read_intermediate(folder) == {0: 0.25, 1: 0.5}
    assert not (folder / "src").exists(), "it did not run here"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["made"], "what it made came back"
    assert (folder / "made/model.txt").read_text() == (folder / "made/last").read_text() == "0"
    assert sorted(path.name for path in (folder / "made").iterdir()) == ["last", "model.txt"], "no link elsewhere"
    (archive,) = (work / "dask").iterdir()
    with tarfile.open(archive) as content:
        assert sorted(content.getnames()) == ["data", "data/rows.csv", "params.yaml", "src", "src/job.py"]
        assert all(one.isfile() or one.isdir() for one in content)
    result = ended[0].result
    assert result
    assert os.path.dirname(result["variables"]["PYTHONPATH"]).endswith(f"dask/trees/{archive.stem}")  # noqa: PTH120


@pytest.mark.slow
def test_a_copy_shows_its_values_while_it_runs_and_can_be_stopped(
    apart: Cluster, work: Path, unit_of: UnitOf, tmp_path: Path
) -> None:
    (tmp_path / "held").touch()
    seen: list[dict[int, float]] = []

    def watch(running: Mapping[Path, Unit]) -> None:
        for folder in running:
            if values := read_intermediate(folder):
                seen.append(values)
                stop_unit(folder)

    (ended,) = performed(apart, work, unit_of(1, values=[3.0, 2.0], hold=str(tmp_path / "held")), watch=watch)
    assert (ended.stopped, ended.result, seen[0]) == (True, None, {0: 3.0, 1: 2.0})
    assert read_intermediate(ended.folder) == {0: 3.0, 1: 2.0}, "nothing twice"


@pytest.mark.slow
def test_the_unit_of_a_killed_worker_is_done_by_another(
    shared: Cluster, work: Path, unit_of: UnitOf, tmp_path: Path
) -> None:
    held, note = tmp_path / "held", tmp_path / "note"
    held.touch()
    lost = shared.worker()
    with open_executor(shared.address, Resources(), work) as executor:
        wait_for(lambda: executor.slots == 3)

        def killed(_: object, done: int = 0, __: int = 0, /) -> None:
            if not done and len(list(lines_of(note))) == 3 and lost.poll() is None:
                kill(lost)
                held.unlink()

        units = perform_all(
            iter([unit_of(x, note=str(note), hold=str(held)) for x in range(3)]), executor, work, killed
        )
        assert sorted(one.result["x"] for one in units if one.result) == [0, 1, 4]
    assert sorted(lines_of(note))[0] in "012"
    assert len(list(lines_of(note))) == 4, "one began twice"


@pytest.mark.slow
def test_a_scheduler_that_is_killed_is_said_and_the_next_run_goes_on(
    tmp_path: Path, work: Path, unit_of: UnitOf, shared: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask, "CONNECTING", 2.0)
    held, note = tmp_path / "held", tmp_path / "note"
    units = [unit_of(1, note=str(note)), unit_of(2, note=str(note), hold=str(held))]
    held.touch()
    with dask_cluster(tmp_path / "lost") as cluster:
        cluster.worker(threads=1)
        with open_executor(cluster.address, Resources(), work) as executor:
            ended = perform_all(iter(units), executor, work)
            assert next(ended).result == {"x": 1}
            kill(cluster.scheduler)
            with pytest.raises(Outside, match=r"the Dask scheduler at tcp://.* does not answer any more") as caught:
                next(ended)
    assert caught.value.hint == "The same command later goes on with what is not done"
    held.unlink()
    again = performed(shared, work, *units)
    assert [(one.result, one.reused) for one in again] == [({"x": 1}, True), ({"x": 4}, False)]
    with pytest.raises(Outside, match="no Dask scheduler answers at tcp://127"):
        performed(cluster, work, *units)


@pytest.mark.slow
def test_what_is_cancelled_ends_in_the_worker(shared: Cluster, work: Path, unit_of: UnitOf, tmp_path: Path) -> None:
    (tmp_path / "held").touch()
    unit = unit_of(1, who=True, hold=str(tmp_path / "held"), background=True)
    with open_executor(shared.address, Resources(), work) as executor:
        ended = perform_all(iter([unit]), executor, work, watch=lambda running: _interrupt_if_begun(unit.folder(work)))
        with pytest.raises(KeyboardInterrupt):
            next(ended)
    child = int((unit.folder(work) / "background").read_text())
    wait_for(lambda: not Path(f"/proc/{child}").exists())
    (tmp_path / "held").unlink()
    assert [one.result is not None for one in performed(shared, work, unit_of(2))] == [True], "the worker is well"


def _interrupt_if_begun(folder: Path) -> None:
    if (folder / "background").exists():
        raise KeyboardInterrupt


@pytest.mark.slow
def test_workers_of_another_version_are_refused(tmp_path: Path, work: Path, unit_of: UnitOf) -> None:
    info = tmp_path / "other/beampermit-0.0.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: beampermit\nVersion: 0.0.9\n")
    with dask_cluster(tmp_path / "cluster") as cluster:
        other = cluster.worker(path=str(info.parent))
        with pytest.raises(BadInput) as caught:
            performed(cluster, work, unit_of(1))
        assert "has beampermit 0.0.9, and here is " + __version__ in str(caught.value)
        kill(other)
        with open_executor(cluster.address, Resources(), work) as executor:
            assert executor.waiting() == "the scheduler has no worker yet"
            assert executor.slots == 1
            ended = perform_all(iter([unit_of(1)]), executor, work)
            cluster.worker(preload=WITHOUT)  # it comes after we have looked
            with pytest.raises(BadInput, match="a worker has no beampermit, and here is"):
                next(ended)
        with pytest.raises(BadInput, match="has no beampermit, and here is"):
            performed(cluster, work, unit_of(1))


def test_a_unit_for_another_version_is_not_begun(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_worker, "_address", lambda: "tcp://127.0.0.1:1")
    assert dask_worker.perform_unit({"version": "0.0.9"})["refused"] == __version__


@pytest.mark.parametrize(
    ("on", "address"),
    [
        ("dask://login1:8786", "tcp://login1:8786"),
        ("dask://10.0.0.7:8786/", "tcp://10.0.0.7:8786"),
        ("dask://[fe80::1]:8786", "tcp://[fe80::1]:8786"),
        ("dask://tls://gateway.lab.example:8786", "tls://gateway.lab.example:8786"),
    ],
)
def test_addresses(on: str, address: str) -> None:
    assert address_of(on) == address


@pytest.mark.parametrize(
    ("on", "reason"),
    [
        ("dask://", "dask://HOST:PORT is needed, such as dask://login1:8786"),
        ("dask://login1", "dask://HOST:PORT is needed"),
        ("dask://login1:878678", "dask://HOST:PORT is needed"),
        ("dask://a b:8786", "dask://HOST:PORT is needed"),
        ("dask:///nowhere/scheduler.json", "/nowhere/scheduler.json: there is no such file of a Dask scheduler"),
    ],
)
def test_what_is_no_address(on: str, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        address_of(on)
    assert reason in str(caught.value)


def test_a_login_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadInput, match="an address of Dask has no login") as caught:
        address_of("dask://ada:hunter2@login1:8786")
    assert "hunter2" not in str(caught.value)


def test_a_unit_on_several_machines_is_refused(work: Path) -> None:
    with pytest.raises(BadInput, match="a unit runs in one worker, and --nodes is 2"):
        open_executor("dask://login1:8786", Resources(nodes=2), work)


def test_an_archive_is_the_same_for_the_same_files_and_is_checked(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    (tree / "loop").symlink_to(tree)
    (tree / "dangling").symlink_to("nowhere")
    digest = pack(tree, tmp_path / "room")
    os.utime(tree / "params.yaml", (1, 1))
    assert pack(tree, tmp_path / "room") == digest
    content = (tmp_path / "room" / f"{digest}.tar").read_bytes()
    dask_worker.add_to_tree(digest, "a", content[:700])
    assert dask_worker.unpack_tree(digest, "a") != ""
    assert not dask_worker.has_tree(digest)
    for part in "bc":
        for start in itertools.count(0, 1000):
            if start >= len(content):
                break
            dask_worker.add_to_tree(digest, part, content[start : start + 1000])
        assert dask_worker.unpack_tree(digest, part) == ""
    (folder,) = (tmp_path / "cache/dask/trees").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["data", "params.yaml", "src"]
    assert (folder / "src/job.py").read_bytes() == (tree / "src/job.py").read_bytes()
    (tree / "params.yaml").write_text("seed: 2\n")
    assert pack(tree, tmp_path / "room") != digest


def test_too_many_files_of_a_unit_fail_it_and_ours_are_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, here = tmp_path / ("a" * 64), tmp_path / "here"
    copy.mkdir()
    here.mkdir()
    (copy / "scores").mkdir()
    (copy / "scores/rows").write_bytes(b"x" * 100)
    (copy / "link").symlink_to("/etc/passwd")
    monkeypatch.setattr(dask_worker, "LARGEST_MADE", 100)
    (copy / "claim").write_text("of another")
    dask._unpack(dask_worker._files(copy)[dask_worker.MADE], here)
    assert [path.relative_to(here).as_posix() for path in here.rglob("*")] == ["scores", "scores/rows"]
    assert not (copy / "link").is_symlink()
    (copy / "one").write_bytes(b"x")
    assert set(dask_worker._files(copy)) == {"ended.json"}
    ended = read_ended(copy)
    assert ended
    assert ended["reason"].startswith("its files have 0 MiB, 0 is the limit where they travel: give a folder that all")


def test_a_unit_waits_until_its_cores_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_worker, "_threads", lambda: 3)
    begun = threading.Event()

    def second() -> None:
        with dask_worker._cores(2):
            begun.set()

    with dask_worker._cores(2):
        thread = threading.Thread(target=second)
        thread.start()
        with dask_worker._cores(1):
            assert not begun.wait(0.1)
    assert begun.wait(60)
    thread.join()
    with dask_worker._cores(9):
        pass  # more than there are: alone


def test_a_folder_with_another_units_description_is_not_the_shared_one(tmp_path: Path, tree: Path) -> None:
    here = json.dumps({"tree": str(tree)}).encode()
    assert not dask_worker.sees(tmp_path, here, [])
    (tmp_path / "unit.json").write_bytes(here)
    assert dask_worker.sees(tmp_path, here, [])
    assert not dask_worker.sees(tmp_path, here + b" ", [])
    elsewhere = json.dumps({"tree": "/nowhere"}).encode()
    (tmp_path / "unit.json").write_bytes(elsewhere)
    assert not dask_worker.sees(tmp_path, elsewhere, [])


def test_a_folder_whose_links_lead_to_nothing_here_is_not_the_shared_one_and_files_travel(
    tree: Path, work: Path, unit_of: UnitOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the log of a backtest, which lies outside of the folder that is shared."""
    monkeypatch.setattr(dask_worker, "_address", lambda: "tcp://127.0.0.1:1")
    monkeypatch.setattr(dask_worker, "_whole", set())
    (tree / "data/all").mkdir()
    (tree / "data/all/gone").symlink_to("nowhere")  # where it was submitted too
    (tree / "data/all/rows").symlink_to(tree.parent / "log")
    (tree.parent / "log").touch()
    prepare(unit_of(), unit_of().folder(work))
    order: dict[str, Any] = {}

    def submit(_: object, __: str, named: dict[str, Any], **___: object) -> Future[None]:
        order.update(named["arguments"][0])
        return Future()

    executor = dask.Dask("dask://login1:8786", Resources(), work)
    executor._client = SimpleNamespace(submit=submit)
    executor.submit([unit_of().folder(work)])
    assert order["dangling"] == ["data/all/gone"]
    (tree.parent / "log").unlink()
    assert dask_worker.perform_unit(order)["wanted"]
    (tree.parent / "log").touch()
    assert dask_worker.sees(Path(order["folder"]), order["unit"], order["dangling"])
