"""A saved model in a process of the project's environment: what it may do, what it gets, and what is said of it."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from beampermit.environments import Environment
from beampermit.environments.platforms import driver_version, torch_gpus
from beampermit.errors import Failed
from beampermit.live.apart import Apart, together
from beampermit.live.process import worker
from beampermit.live.process.child import Child
from beampermit.live.process.model_process import ModelProcess
from beampermit.live.sharing import ModelError, NotLoaded, Raised
from support.planted_models import THIS_ENVIRONMENT
from support.planted_processes import Asked, Plant, asked_contract, begin, wait_for
from support.tiny_model import saved

CODE = """\
import ctypes, gc, os, sys, time
import numpy as np, pandas as pd

def mean(turns):
    asked, rows = turns[0, 0], len(turns)
    if asked == 1:
        raise OSError("no\\nbeam")
    if asked == 2:
        sys.exit(3)
    if asked == 3:
        return pd.Series(["high"] * rows)
    if asked == 4:
        print("to stdout"), os.write(1, b"and below it\\n")
    if asked == 5:
        return np.array([
            "BEAMPERMIT_SIGNING_KEY" in os.environ, os.environ["OMP_NUM_THREADS"] != "1", sys.stdin.read() != "",
            bool(os.environ["CUDA_VISIBLE_DEVICES"]), ctypes.CDLL(None).prctl(3), len(sys.argv) - 1,
            "/src" in os.environ["PYTHONPATH"], not gc.isenabled(),
        ], float)[:rows]
    return turns.mean(axis=1)
"""
KEY = "-----BEGIN PRIVATE KEY-----"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = saved(tmp_path_factory.mktemp("served") / "model")
    (folder / "code/tiny.py").write_text(CODE)
    return folder


@pytest.fixture(scope="module")
def served(model: Path, contract_text: str) -> Iterator[Asked]:
    """One process for all tests of a model that stays alive, and leaves its folder as its permit binds it."""
    before = sorted(model.rglob("*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEAMPERMIT_SIGNING_KEY", KEY)
        asked = begin(model, asked_contract(contract_text))
        asked.until_ready()
        assert asked.process.ready
    yield asked
    assert asked.process.restarts == 0
    asked.process.close()
    assert sorted(model.rglob("*")) == before, "no compiled code is left in it"


def test_answers_are_numbers_of_double_precision(served: Asked) -> None:
    answers = served.process.ask({"turns": np.array([[0.5, 1.0, 1.5], [0.0, 0.0, 0.0]])})
    assert answers["score"].dtype == np.float64
    assert answers["score"].tolist() == [1.0, 0.0]


def test_loading_for_the_first_time_is_no_failure_and_a_failed_start_is_one(contract_text: str) -> None:
    process = ModelProcess(THIS_ENVIRONMENT, asked_contract(contract_text))
    with pytest.raises(NotLoaded, match=r"^the model is being loaded$"):
        process.ask({})
    process._fail("the model cannot be loaded")
    with pytest.raises(ModelError, match="is started again") as raised:
        process.ask({})
    assert not isinstance(raised.value, NotLoaded)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (1.0, "the model raised OSError: no beam"),
        (2.0, "the model raised SystemExit: 3"),
        (3.0, "the model did not answer: output 'score' is of type str, not a number"),
    ],
)
def test_a_model_that_raises_says_so_and_answers_the_next_time(served: Asked, value: float, reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        served.ask(value)
    assert (str(caught.value), isinstance(caught.value, Raised)) == (reason, "raised" in reason)
    assert served.answers()


def test_where_it_raises_for_a_row_it_answers_for_the_others(served: Asked) -> None:
    turns = {"turns": np.array([[1.0] * 3, [0.0] * 3, [0.5] * 3])}
    answers, answered = together(Apart().ask(served.process.ask, range(3), turns, np.inf), 3, {"score": ()})
    assert answers is not None
    assert answered.tolist() == [False, True, True]
    assert answers["score"][1:].tolist() == [0.0, 0.5]


def test_inputs_that_the_model_does_not_take_are_said(served: Asked) -> None:
    with pytest.raises(ModelError) as caught:
        served.process.ask({"turns": np.zeros((2, 4))})
    assert str(caught.value) == ("the model did not answer: rows of 'turns' are 4 numbers, the model takes 3 numbers")


def test_what_a_model_prints_is_no_answer_and_is_in_the_log(served: Asked, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert served.ask(4.0)["score"].tolist() == [4.0, 4.0]
        wait_for(lambda: "the model printed: and below it" in caplog.text)


def test_a_model_gets_no_secret_no_gpu_and_no_way_out(served: Asked) -> None:
    assert served.ask(5.0, rows=8)["score"].tolist() == [0.0] * 8


def test_answers_that_cannot_be_true_pass_to_be_judged(served: Asked) -> None:
    assert np.isnan(served.ask(np.nan)["score"]).all()
    assert served.ask(5.0, rows=9)["score"].shape == (8,)


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_says_why(ask: Plant, tmp_path: Path) -> None:
    asked = ask(saved(tmp_path / "model", load="raise OSError('no weights')"))
    reason = asked.reason_for_not_starting()
    assert reason == "the model cannot be loaded: OSError: no weights; its process is started again"
    assert not asked.process.ready


@pytest.mark.slow
def test_nothing_of_a_model_runs_before_it_was_verified(contract_text: str, tmp_path: Path) -> None:
    said = "this file differs from the one that the permit binds"
    folder = saved(tmp_path / "model", load="open(__file__ + '.ran', 'w').close()")
    process = ModelProcess(THIS_ENVIRONMENT, asked_contract(contract_text))
    process.start()
    wait_for(lambda: process._loading is not None and imports_mlflow(process._loading))
    ready: list[int] = []
    process.load(folder, verify=lambda: refuse(said, at_first=ready), on_ready=lambda: ready.append(1))
    wait_for(lambda: said in reason(process))
    assert not list(folder.rglob("*.ran"))
    ready.append(0)  # somebody put it right
    wait_for(lambda: 1 in ready)
    assert list(folder.rglob("*.ran"))
    assert process.restarts > 0
    process.close()


def imports_mlflow(child: Child) -> bool:
    """That its process has begun with what takes long."""
    return "pyarrow" in Path(f"/proc/{child.process_id}/maps").read_text()


def refuse(why: str, *, at_first: list[int]) -> None:
    if not at_first:
        raise Failed(why)


def reason(process: ModelProcess) -> str:
    with pytest.raises(ModelError) as caught:
        process.ask({})
    return str(caught.value)


@pytest.mark.slow
def test_an_environment_without_the_packages_of_the_model_is_said(ask: Plant, tmp_path: Path) -> None:
    asked = ask(tmp_path, inside=Environment(Path(sys.base_prefix)))
    assert "No module named" in asked.reason_for_not_starting()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with the one that started it")
def test_a_process_ends_with_the_thread_that_started_it(contract_text: str, tmp_path: Path) -> None:
    """As it does with the service, however that ends, and whatever the model is doing."""
    children: list[Child] = []
    ended = threading.Event()

    def start() -> None:
        children.append(Child(THIS_ENVIRONMENT, asked_contract(contract_text), tmp_path))
        ended.wait()

    thread = threading.Thread(target=start, daemon=True)
    thread.start()
    wait_for(lambda: bool(children) and oom_score(children[0]) == 500)
    assert not children[0].ended
    ended.set()
    thread.join()
    wait_for(lambda: bool(children[0].ended))
    assert children[0].ended == "the model's process ended: killed by SIGKILL"
    children[0].end()


def oom_score(child: Child) -> int:
    """It is set just before the process asks to be ended with the thread."""
    return int(Path(f"/proc/{child.process_id}/oom_score_adj").read_text())


def torch(*, sees: bool) -> ModuleType:
    module = ModuleType("torch")
    module.__spec__ = ModuleSpec("torch", None)
    module.cuda = SimpleNamespace(is_available=lambda: sees)  # pyright: ignore[reportAttributeAccessIssue]
    return module


@pytest.mark.parametrize(("sees", "device"), [(True, "cuda"), (False, "cpu")])
def test_a_model_computes_on_the_gpu_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, sees: bool, device: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch(sees=sees))
    assert worker.choose_device(required=False) == device


def test_a_contract_with_nothing_but_cuda_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch(sees=False))
    with pytest.raises(worker.arrays.Refused, match="cuda as its only accelerator, and torch sees no GPU"):
        worker.choose_device(required=True)
    monkeypatch.setitem(sys.modules, "torch", torch(sees=True))
    assert worker.choose_device(required=True) == "cuda"


ON_DEVICE = """\
import os, torch
def mean(turns):
    there = torch.from_numpy(turns).to(os.environ["MLFLOW_DEFAULT_PREDICTION_DEVICE"])
    return torch.full((len(turns),), float(there.is_cuda)).numpy()
"""


@pytest.mark.slow
@pytest.mark.gpu
def test_a_served_model_computes_on_the_gpu(request: pytest.FixtureRequest, ask: Plant, tmp_path: Path) -> None:
    try:
        driver_version()
        inside = Environment(request.getfixturevalue("environment_prefix"))
        torch_gpus(inside, tmp_path)
    except Failed as error:
        pytest.skip(f"needs a GPU: {error.message}")
    folder = saved(tmp_path / "model")
    (folder / "code/tiny.py").write_text(ON_DEVICE)
    asked = ask(folder, inside=inside, sections={"environment": {"accelerators": ["cpu", "cuda"]}})
    asked.until_ready()
    assert asked.ask()["score"].tolist() == [1.0, 1.0]
