"""Models are forked from one process that has imported MLflow; none of them can reach it or another model."""

from __future__ import annotations

import select
import time
from pathlib import Path
from typing import Any

import pytest

from beampermit.environments import Environment
from beampermit.errors import Failed, Outside
from beampermit.models.scoring import describe
from beampermit.models.worker_process import run_worker
from support.attacks import attack_case
from support.tiny_model import SIGNALS, saved

pytestmark = pytest.mark.slow


def process_of(environment: Environment, folder: Path, load: str = "pass") -> str:
    """The parent of a model's process, which the model says with what `load` raises."""
    with pytest.raises(Failed) as caught:
        describe(environment, saved(folder, load=f"{load}; raise OSError(f'parent {{os.getppid()}}')"), SIGNALS)
    return str(caught.value).rpartition(" ")[2]


def test_models_share_a_parent_but_not_what_they_change(probed: Environment, tmp_path: Path) -> None:
    first = process_of(probed, tmp_path / "first", "np.mean = None; mlflow.pyfunc.load_model = None")
    as_started = "assert np.mean and mlflow.pyfunc.load_model and __import__('gc').isenabled()"
    assert first == process_of(probed, tmp_path / "second", as_started)


def test_models_draw_different_random_numbers(probed: Environment, tmp_path: Path) -> None:
    numbers = tmp_path / "numbers"
    draw = f"print(np.random.random(), __import__('random').random(), file=open({str(numbers)!r}, 'a'))"
    for name in ("first", "second"):
        describe(probed, saved(tmp_path / name, load=draw), SIGNALS)
    assert len(set(numbers.read_text().split())) == 4


PR_GET_DUMPABLE = 3
WRITE_EVERYWHERE = """
        import contextlib
        for number in range(3, 64):
            with contextlib.suppress(OSError):
                os.write(number, b'0\\n')
        os._exit(3)
"""


@pytest.mark.parametrize(
    "load",
    [
        attack_case(
            "open(LEFT, 'w').write(str(os.getpid())); os.kill(os.getppid(), 9); __import__('time').sleep(60)",
            guard="MDL003",
            tried="the model kills the process that it was forked from",
            said="ended with status -9",
            id="it kills it",
        ),
        attack_case(
            f"raise OSError(f'dumpable: {{__import__(\"ctypes\").CDLL(None).prctl({PR_GET_DUMPABLE})}}')",
            guard="MDL003",
            tried="the model looks whether the process that it was forked from may be read by others",
            said="dumpable: 0",
            id="it may read it",
        ),
        attack_case(
            WRITE_EVERYWHERE,
            guard="MDL003",
            tried="the model writes an exit status into every file that it finds open, and fails",
            said="ended with status 3",
            id="it answers for it",
        ),
        attack_case(
            "os.unlink('stderr'); os.symlink('/proc/self/environ', 'stderr'); os._exit(4)",
            guard="MDL003",
            tried="the model puts a link to the checker's own variables where its output is read",
            said="ended with status 4",
            id="its output is a link",
        ),
        attack_case(
            "os.write(2, b'x' * 2**24); os._exit(5)",
            guard="MDL003",
            tried="the model prints more than anybody wants to read",
            said="ended with status 5: xxx",
            id="it prints a lot",
        ),
    ],
)
def test_model_does_not_reach_the_process_that_forks(probed: Environment, tmp_path: Path, load: str, said: str) -> None:
    left = tmp_path / "pid"
    with pytest.raises(Failed) as caught:
        describe(probed, saved(tmp_path / "model", load=load.replace("LEFT", repr(str(left)))), SIGNALS)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 10_000
    assert "PATH=" not in str(caught.value)
    assert describe(probed, saved(tmp_path / "sound"), SIGNALS).accepted == (), "the next model is served"
    assert not left.exists() or ends(left.read_text()), "it ends with the process that it killed"


def ends(process: str) -> bool:
    """Whether a process ends within seconds: one that was killed may still be listed for a moment."""
    stat = Path(f"/proc/{process}/stat")
    for _ in range(100):
        try:
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_what_a_model_leaves_running_ends_with_it(probed: Environment, tmp_path: Path) -> None:
    left = tmp_path / "pid"
    leave = f"child = os.fork() or __import__('time').sleep(60); open({str(left)!r}, 'w').write(str(child))"
    describe(probed, saved(tmp_path / "model", load=leave), SIGNALS)
    assert ends(left.read_text())


def test_model_that_takes_too_long_is_stopped_and_the_next_is_served(probed: Environment, tmp_path: Path) -> None:
    slow = saved(tmp_path / "model", load="__import__('time').sleep(60)")
    words = ("describe", "--report", tmp_path / "report.json", "--model", slow, "--outputs", "{}")
    process_of(probed, tmp_path / "first")  # MLflow's import is no part of the time
    with pytest.raises(Outside, match="took longer than 2 s and was stopped"):
        run_worker(probed, words, folder=tmp_path, timeout=2)
    assert describe(probed, saved(tmp_path / "sound"), SIGNALS).accepted == ()


def test_model_that_ended_before_anybody_looked_has_its_exit_status_read(
    probed: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_of(probed, tmp_path / "first")
    look = select.select

    def late(*streams: Any) -> Any:
        time.sleep(0.5)
        return look(*streams)

    monkeypatch.setattr(select, "select", late)
    assert run_worker(probed, ("describe",), folder=tmp_path, timeout=2).code == 2


def test_variables_that_are_passed_on_now_are_those_that_the_model_gets(
    probed: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_of(probed, tmp_path / "first")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    process_of(probed, tmp_path / "second", "assert os.environ['TZ'] == 'Asia/Tokyo'")
