from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from beampermit.compute import unit as unit_module
from beampermit.compute.unit import Unit, prepare, read_ended, read_intermediate, read_result, stop_unit
from beampermit.compute.worker import Worker, dealt, perform, store, write_task
from beampermit.errors import BadInput, Outside
from support.forked_pythons import Forked, forked
from support.units_of_work import lines_of, wait_for


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker(dealt(2)) as worker:
        yield worker


@pytest.fixture
def prepared(work: Path, unit_of: Callable[..., Unit]) -> Callable[..., Path]:
    def make(*args: int, **request: object) -> Path:
        unit = unit_of(*args, **request)
        prepare(unit, unit.folder(work))
        return unit.folder(work)

    return make


def command(task: Path) -> Forked:
    """What `python -m beampermit.compute.worker TASK` does."""
    script = "import sys; from beampermit.compute.worker import main; sys.exit(main(sys.argv[1]))"
    return forked(script, task, needs=("beampermit.compute.worker",))


def reason_of(folder: Path) -> str:
    body = read_ended(folder)
    assert body is not None
    assert body["result"] is None
    return body["reason"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_unit_that_ends_with_its_job_has_not_failed(
    worker: Worker, prepared: Callable[..., Path], number: signal.Signals
) -> None:
    """SLURM's signals reach all of a job, one after the other: the unit first, perhaps."""
    folder = prepared(3, signal=int(number))
    with pytest.raises(Outside, match="its job was ended, or its machine is"):
        worker.perform(folder)
    assert read_ended(folder) is None


def test_units_share_a_process_and_nothing_else(
    worker: Worker, prepared: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    first, second = prepared(3, who=True), prepared(4, who=True)
    worker.perform(first)
    worker.perform(second)
    one, two = read_result(first), read_result(second)
    assert one
    assert two
    assert (one["x"], two["x"], one["name"]) == (9, 16, "__main__")
    assert one["parent"] == two["parent"]
    assert one["pid"] != two["pid"]
    assert one["drawn"] != two["drawn"]
    assert "hunter2" not in json.dumps([one, two])
    assert one["variables"]["OMP_NUM_THREADS"] == one["variables"]["NUMEXPR_NUM_THREADS"] == "2"
    assert one["variables"]["CUDA_VISIBLE_DEVICES"] == ""
    assert one["argv"][2].endswith("unit_server.py")
    assert {"data", "params.yaml", "src", "request.json"} <= set(one["folder"])
    assert (first / "log.txt").read_text() == "working on 3\n"
    body = read_ended(first)
    assert body
    assert body["machine"] == os.uname().nodename


DICE = """\
import json, pathlib, numpy.random
if __name__ == "__main__":
    pathlib.Path("result.json").write_text(json.dumps({"drawn": numpy.random.random()}))
"""


@pytest.mark.slow
def test_forks_draw_other_numbers(worker: Worker, unit_of: Callable[..., Unit], work: Path, tree: Path) -> None:
    (tree / "src/dice.py").write_text(DICE)
    units = [replace(unit_of(x), module="dice") for x in (1, 2)]
    for unit in units:
        prepare(unit, unit.folder(work))
        worker.perform(unit.folder(work))
    first, second = (read_result(unit.folder(work)) for unit in units)
    assert first
    assert first != second


@pytest.mark.slow
def test_a_unit_with_a_gpu_is_started_anew(prepared: Callable[..., Path], tree: Path) -> None:
    """A module that looks for GPUs when it is imported makes them useless in forks of its process."""
    folder, failing = prepared(3, who=True), prepared(4, signal=9)
    perform([folder, failing], variables=dealt(2, ("1", "3")))
    result = read_result(folder)
    assert result
    assert result["argv"][1:] == ["-P", "-m", "job"]
    assert (result["name"], result["variables"]["CUDA_VISIBLE_DEVICES"]) == ("__main__", "1,3")
    assert reason_of(failing) == "it was ended by signal SIGKILL: out of memory?\nworking on 4"
    assert not [*tree.rglob("__pycache__")]


LATE = """\
import os, sys, time
from pathlib import Path
if __name__ == "__main__":
    Path("temporary").write_text('{"x": 1}')
    os.replace("temporary", "result.json")
    while os.path.exists("held"):
        time.sleep(0.01)
"""


@pytest.mark.parametrize("before", ["nothing", "a failure"])
def test_what_a_command_wrote_is_not_lost_where_its_submitter_is_typed_again_before_it_ends(
    worker: Worker, unit_of: Callable[..., Unit], work: Path, tree: Path, before: str
) -> None:
    (tree / "src/late.py").write_text(LATE)
    unit = replace(unit_of(), module="late")
    folder = unit.folder(work)
    prepare(unit, folder)
    (folder / "held").touch()
    thread = threading.Thread(target=worker.perform, args=(folder,))
    thread.start()
    wait_for((folder / "result.json").exists)
    if before == "a failure":
        store(folder, reason="of an earlier attempt")
    prepare(unit, folder)
    assert read_ended(folder) is None, "it is not waited for"
    (folder / "held").unlink()
    thread.join()
    assert read_result(folder) == {"x": 1}


def test_an_end_is_looked_at_and_removed_while_no_worker_writes_one(
    prepared: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, free = prepared(), list[bool]()
    store(folder, {"x": 9})
    (folder / "running").touch()

    def look(of: Path) -> object:
        with (folder / "running").open("r+") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                free.append(False)
            else:
                free.append(True)
        return read_result(of)

    monkeypatch.setattr(unit_module, "read_result", look)
    assert prepared() == folder
    assert read_result(folder) == {"x": 9}, "the worker of a submitter that was killed was quicker"
    store(folder, reason="it failed")
    prepared()
    assert read_ended(folder) is None
    assert free == [False, False]


def test_a_unit_with_a_result_is_not_done_again(worker: Worker, prepared: Callable[..., Path], tmp_path: Path) -> None:
    folder = prepared(3, note=str(tmp_path / "ran"))
    worker.perform(folder)
    worker.perform(folder)
    assert [*lines_of(tmp_path / "ran")] == ["3"]
    store(folder, reason="it failed")
    worker.perform(folder)
    assert read_result(folder) == {"x": 9}


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"exit": 3}, "it ended with exit status 3\nworking on 3"),
        ({"exit": "no beam"}, "it ended with exit status 1\nworking on 3\nno beam"),
        ({"signal": 9}, "it was ended by signal SIGKILL: out of memory?\nworking on 3"),
        ({"signal": 11}, "it was ended by signal SIGSEGV"),
        ({"text": ""}, "result.json: the command ended without a result\nworking on 3"),
        ({"text": "loss: 3"}, "result.json:1: not JSON: Expecting value\nworking on 3"),
        ({"text": '{"x": NaN}'}, "result.json: NaN is not a JSON number"),
    ],
)
def test_a_failure_says_why_with_the_last_lines(
    worker: Worker, prepared: Callable[..., Path], request_: dict[str, object], reason: str
) -> None:
    folder = prepared(3, **request_)
    worker.perform(folder)
    assert reason in reason_of(folder)
    after = prepared(4)
    worker.perform(after)
    assert read_result(after) == {"x": 16}


def test_a_module_that_is_not_there_is_said(worker: Worker, unit_of: Callable[..., Unit], work: Path) -> None:
    unit = replace(unit_of(), module="jobb")
    prepare(unit, unit.folder(work))
    worker.perform(unit.folder(work))
    assert "No module named jobb" in reason_of(unit.folder(work))


def test_a_result_of_an_attempt_before_is_none(worker: Worker, prepared: Callable[..., Path]) -> None:
    folder = prepared(3, text="")
    (folder / "result.json").write_text('{"x": 1}')
    worker.perform(folder)
    assert "the command ended without a result" in reason_of(folder)


def test_what_a_unit_left_running_ends_with_it(worker: Worker, prepared: Callable[..., Path]) -> None:
    folder = prepared(3, background=True)
    worker.perform(folder)
    assert read_result(folder) == {"x": 9}
    wait_for(lambda: _is_over(int((folder / "background").read_text())))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["end", "failure", "time", "stop"])
def test_what_a_unit_detached_ends_with_it(prepared: Callable[..., Path], tmp_path: Path, how: str) -> None:
    (tmp_path / "held").touch()
    held = {} if how in {"end", "failure"} else {"hold": str(tmp_path / "held")}
    folder = prepared(3, detached=True, **held, **({"exit": 3} if how == "failure" else {}))
    with Worker(dealt(1), seconds=1.5 if how == "time" else 0.0) as worker:
        thread = threading.Thread(target=worker.perform, args=(folder,))
        thread.start()
        first, second = wait_for(lambda: _detached(folder))
        if how == "stop":
            stop_unit(folder)
        thread.join(60)
        assert (_is_over(first), _is_over(second)) == (True, True)
        body = read_ended(folder)
        assert body
        assert (body["result"] == {"x": 9}, body["stopped"]) == (how == "end", how == "stop")
        after = prepared(4)
        worker.perform(after)
        assert read_result(after) == {"x": 16}


@pytest.mark.slow
def test_what_a_unit_detached_ends_with_the_worker(prepared: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "held").touch()
    folder = prepared(3, detached=True, hold=str(tmp_path / "held"))
    with Worker(dealt(1)) as worker:
        thread = threading.Thread(target=_is_lost, args=(worker, folder))
        thread.start()
        left = wait_for(lambda: _detached(folder))
    thread.join(60)
    assert [_is_over(pid) for pid in left] == [True, True]

    (folder / "detached").unlink()
    write_task(tmp_path / "task.json", [folder])
    child = command(tmp_path / "task.json")
    left = wait_for(lambda: _detached(folder))
    child.kill()
    child.wait()
    wait_for(lambda: all(map(_is_over, left)))


def test_a_unit_is_stopped_by_a_file(worker: Worker, prepared: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "held").touch()
    folder = prepared(3, hold=str(tmp_path / "held"), values=[2.0, 1.0], background=True)
    thread = threading.Thread(target=worker.perform, args=(folder,))
    thread.start()
    wait_for(lambda: read_intermediate(folder) == {0: 2.0, 1: 1.0} and (folder / "background").exists())
    stop_unit(folder)
    thread.join(60)
    body = read_ended(folder)
    assert body
    assert body["stopped"]
    assert body["result"] is None
    wait_for(lambda: _is_over(int((folder / "background").read_text())))


def test_a_unit_is_not_stopped_by_a_folder(worker: Worker, prepared: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "held").touch()
    folder = prepared(3, hold=str(tmp_path / "held"))
    thread = threading.Thread(target=worker.perform, args=(folder,))
    thread.start()
    wait_for(lambda: [*lines_of(folder / "log.txt")])
    (folder / "stop").mkdir()
    stop_unit(folder)
    thread.join(0.6)
    assert thread.is_alive()
    (tmp_path / "held").unlink()
    thread.join(60)
    assert "stop: the command put no plain file in the place of this one\nworking on 3" in reason_of(folder)


@pytest.mark.slow
def test_a_unit_may_take_so_long_and_no_longer(prepared: Callable[..., Path]) -> None:
    folders = prepared(3, sleep=0.2), prepared(4, sleep=60)
    perform(folders, seconds=1.5)
    assert read_result(folders[0]) == {"x": 9}
    assert reason_of(folders[1]).startswith("it took longer than 2 s, the limit, and was ended")


@pytest.mark.slow
def test_its_process_ends_with_the_worker(prepared: Callable[..., Path], tmp_path: Path) -> None:
    """A kill -9 of the worker leaves nothing; a kill -9 of the process is said, and another one takes its place."""
    (tmp_path / "held").touch()
    folder = prepared(3, hold=str(tmp_path / "held"), background=True)
    write_task(tmp_path / "task.json", [folder])
    child = command(tmp_path / "task.json")
    wait_for(lambda: (folder / "background").exists() and (folder / "background").read_text())
    below = psutil.Process(child.pid).children(recursive=True)
    assert len(below) >= 3
    child.kill()
    child.wait()
    assert not psutil.wait_procs(below, timeout=30)[1]
    assert read_ended(folder) is None

    of_others = {*psutil.Process().children(recursive=True)}
    with Worker(dealt(1)) as worker:
        thread = threading.Thread(target=_is_lost, args=(worker, folder))
        (folder / "background").unlink()
        thread.start()
        wait_for(lambda: (folder / "background").exists() and (folder / "background").read_text())
        below = [process for process in psutil.Process().children(recursive=True) if process not in of_others]
        server = next(process for process in below if "unit_server.py" in " ".join(process.cmdline()))
        server.send_signal(signal.SIGKILL)
        thread.join(60)
        assert not psutil.wait_procs(below, timeout=30)[1]
        (tmp_path / "held").unlink()
        worker.perform(folder)
    assert read_result(folder) == {"x": 9}


@pytest.mark.slow
def test_a_unit_ends_with_its_process_where_nobody_can_end_it(prepared: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "held").touch()
    folder = prepared(3, hold=str(tmp_path / "held"))
    write_task(tmp_path / "task.json", [folder])
    child = command(tmp_path / "task.json")
    wait_for(lambda: [*lines_of(folder / "log.txt")])
    server, unit = psutil.Process(child.pid).children(recursive=True)
    child.send_signal(signal.SIGSTOP)
    server.kill()
    wait_for(lambda: _is_over(unit.pid))
    child.kill()
    child.wait()


@pytest.mark.slow
def test_a_task_is_done_by_a_command(prepared: Callable[..., Path], tmp_path: Path) -> None:
    folders = [prepared(3), prepared(4, exit=1), prepared(5)]
    shutil.rmtree(folders[0])
    write_task(tmp_path / "task.json", folders, cores=3)
    words = [sys.executable, "-m", "beampermit.compute.worker", str(tmp_path / "task.json")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{folders[0].name}: " in done.stderr
    assert "Traceback" not in done.stderr
    assert read_result(folders[2]) == {"x": 25}
    assert "exit status 1" in reason_of(folders[1])


@pytest.mark.slow
def test_sigterm_ends_the_unit(prepared: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "held").touch()
    folder = prepared(3, hold=str(tmp_path / "held"), background=True)
    write_task(tmp_path / "task.json", [folder])
    child = command(tmp_path / "task.json")
    wait_for(lambda: (folder / "background").exists() and (folder / "background").read_text())
    below = psutil.Process(child.pid).children(recursive=True)
    child.send_signal(signal.SIGTERM)
    code, _, errors = child.finish()
    assert code == 143
    assert errors == ""
    assert not psutil.wait_procs(below, timeout=30)[1]
    assert read_ended(folder) is None


def test_the_tree_may_have_moved_since(worker: Worker, unit_of: Callable[..., Unit], work: Path, tree: Path) -> None:
    unit = unit_of(3)
    folder = unit.folder(work)
    prepare(unit, folder)
    (folder / "params.yaml").symlink_to(tree.with_name("gone") / "params.yaml")
    (folder / "data").mkdir()
    (folder / "data/own.txt").touch()
    worker.perform(folder)
    assert (folder / "params.yaml").read_text() == "seed: 1\n"
    assert (folder / "data/own.txt").exists()


def test_a_name_of_ours_in_the_tree_is_refused(worker: Worker, prepared: Callable[..., Path], tree: Path) -> None:
    (tree / "log.txt").touch()
    folder = prepared(3)
    worker.perform(folder)
    assert "log.txt is a name that each unit's folder needs: rename it in the project" in reason_of(folder)


def test_a_tree_that_is_not_on_this_machine_is_said(worker: Worker, prepared: Callable[..., Path], tree: Path) -> None:
    folder = prepared(3)
    shutil.rmtree(tree)
    with pytest.raises(Outside, match="the unit's code and data are not on this machine: No such file or directory"):
        worker.perform(folder)
    (folder / "unit.json").unlink()
    with pytest.raises(Outside, match="is this folder shared"):
        worker.perform(folder)


def test_a_description_of_another_unit_is_refused(worker: Worker, prepared: Callable[..., Path]) -> None:
    one, other = prepared(3), prepared(4)
    shutil.copy(one / "unit.json", other / "unit.json")
    with pytest.raises(BadInput, match="this is the description of another unit"):
        worker.perform(other)


def test_a_worker_that_is_thought_lost_ends_first(prepared: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "held").touch()
    folder = prepared(3, hold=str(tmp_path / "held"), note=str(tmp_path / "ran"))
    threads = [threading.Thread(target=perform, args=([folder],)) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_for(lambda: [*lines_of(tmp_path / "ran")])
    (tmp_path / "held").unlink()
    for thread in threads:
        thread.join(60)
    assert [*lines_of(tmp_path / "ran")] == ["3"]


def test_a_closed_worker_begins_nothing(prepared: Callable[..., Path]) -> None:
    worker = Worker(dealt(1))
    worker.close()
    with pytest.raises(Outside, match="the worker was closed"):
        worker.perform(prepared(3))


def _is_lost(worker: Worker, folder: Path) -> None:
    with pytest.raises(Outside, match="the process of the unit ended"):
        worker.perform(folder)


def _detached(folder: Path) -> list[int]:
    file = folder / "detached"
    return [*map(int, file.read_text().split())] if file.exists() else []


def _is_over(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
