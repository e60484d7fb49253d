"""What it costs that the model has a process of its own: the channel alone, and a model asked there and here."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from beampermit.live.process import frames
from beampermit.live.process.model_process import ModelProcess
from support.planted_models import THIS_ENVIRONMENT
from support.planted_processes import asked_contract, wait_for
from support.tiny_model import saved

pytestmark = pytest.mark.bench
Say = Callable[[str], None]
MANY, SCALARS = 1000, 100
ECHO = f"""\
import socket, sys
sys.path.insert(0, {str(Path(frames.__file__).parent)!r})
import frames
channel = frames.Channel(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), server=False)
while True:
    number, asked = channel.receive()
    turns = asked.arrays["turns"]
    channel.send("answer", number, arrays={{"score": turns if sys.argv[3] == "all" else turns[:1]}})
"""
THROUGH_THE_SOCKET = """\
import socket, sys
connection = socket.socket(fileno=int(sys.argv[1]))
held = memoryview(bytearray(2**20))
while True:
    left = held
    while left:
        left = left[connection.recv_into(left):]
    connection.sendall(held if sys.argv[3] == "all" else held[:8])
"""
SCALAR = '{"name": "x%d", "type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}'
"""As the pipeline of a project writes it."""


@contextmanager
def other_side(script: str, memory: int, back: str) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    words = [sys.executable, "-c", script, str(theirs.fileno()), str(memory), back]
    with subprocess.Popen(words, pass_fds=(theirs.fileno(), memory)) as process:
        theirs.close()
        yield ours
        process.kill()
    ours.close()


@pytest.mark.parametrize("back", ["all", "one number"])
def test_a_megabyte_there_and_back(say: Say, back: str) -> None:
    given = {"turns": np.random.default_rng(0).random(2**17)}
    memory = frames.shared_memory()
    with other_side(ECHO, memory, back) as ours:
        channel = frames.Channel(ours, memory, server=True)

        def through_memory() -> None:
            channel.send("ask", 1, arrays=given)
            channel.receive(1)

        shared = times(through_memory)
    raw, answer = memoryview(given["turns"]).cast("B"), memoryview(bytearray(2**20 if back == "all" else 8))
    with other_side(THROUGH_THE_SOCKET, memory, back) as ours:

        def through_the_socket() -> None:
            ours.sendall(raw)
            left = answer
            while left:
                left = left[ours.recv_into(left) :]

        streamed = times(through_the_socket)
    os.close(memory)
    say(f"1 MB there and {back} back: {spread(shared)} (aim: under 0.2 ms); all through the socket {spread(streamed)}")


@pytest.mark.filterwarnings("ignore::UserWarning")  # of MLflow's own code, as it is imported
def test_a_row_of_a_hundred_scalars(say: Say, tmp_path: Path, contract_text: str) -> None:
    inputs = f"[{', '.join(SCALAR % number for number in range(SCALARS))}]"
    result = 'pd.DataFrame({"score": np.mean(list(model_input.values()), axis=0)})'
    folder = saved(tmp_path / "model", inputs=inputs, result=result)
    serving = folder / "serving.py"
    serving.write_text(serving.read_text().replace('turns = np.stack(list(model_input["turns"]))', "pass"))
    signal = {"unit": "1", "range": (-10, 10)}
    declared = [{"name": f"x{number}", "pv": f"X:{number}", **signal} for number in range(SCALARS)]
    signals = {"inputs": declared, "outputs": [{"name": "score", "pv": "SCORE", **signal}]}
    contract = asked_contract(contract_text, signals=signals)
    given = {f"x{number}": np.ones(1) for number in range(SCALARS)}
    ready: list[int] = []
    process = ModelProcess(THIS_ENVIRONMENT, contract)
    process.load(folder, on_ready=lambda: ready.append(1))
    process.start()
    wait_for(lambda: bool(ready))
    there = times(lambda: process.ask(given), pause=0.01)
    process.close()
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
    here = times(lambda: model.predict(given), pause=0.01)
    ratio = np.percentile(there, 10) / np.percentile(here, 10)
    say(f"a row of {SCALARS} scalars: {spread(there)} in its process; {spread(here)} in this one; ratio {ratio:.2f}")


def times(what: Callable[[], object], pause: float = 0.0) -> np.ndarray:
    """Seconds of each, with so many between them: caches are as cold as in service."""
    for _ in range(20):
        what()
    seconds = []
    for _ in range(MANY):
        time.sleep(pause)
        start = time.perf_counter()
        what()
        seconds.append(time.perf_counter() - start)
    return np.array(seconds)


def spread(seconds: np.ndarray) -> str:
    """The fastest tenth is what nobody else on the machine disturbed."""
    p10, p50, p99 = np.percentile(seconds * 1000, [10, 50, 99])
    return f"p10 {p10:.2f}, p50 {p50:.2f}, p99 {p99:.2f} ms"
