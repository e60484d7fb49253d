"""One process with a model: what it is started with, what it answers, and in which words it fails."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
from pydantic import ValidationError

from beampermit.environments import Environment
from beampermit.errors import several
from beampermit.live.process import frames
from beampermit.live.process.starting import Start, Started
from beampermit.live.promoted.words import plain
from beampermit.live.sharing import Gone, ModelError, Raised
from beampermit.models.scoring import Description, Field
from beampermit.models.signature import signature_problems
from beampermit.processes import signal_name, stop
from beampermit.record import Record

if TYPE_CHECKING:
    from beampermit.contract import Contract
    from beampermit.contract.signals import Signals

logger = logging.getLogger(__name__)
WARM_UP = 3
"""Times that a model is asked before it serves: the first answers take longer than any other."""
SPARE = 2**16
"""Numbers of an answer besides twice those that the contract has: what is too long is told by its shape."""
A_MOMENT = 0.5
"""Seconds for a process whose channel is closed to end."""
PART = 2**13
PAUSE = 0.05
"""Seconds between two looks at what a model prints: one that prints without an end waits, and not the server."""


class _Ready(Record):
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    device: str


class Child:
    """Started by a thread with which it ends. `ask` is for one thread at a time, the others for any.

    It imports what a model needs, and reads nothing of one before `wait_until_ready`.
    """

    def __init__(self, environment: Environment, contract: Contract, scratch: Path, started: Started | None = None):
        """`started`: the process itself, where it is there already."""
        self._signals, self._timeout = contract.signals, contract.serving.timeout
        self._number = 0
        started = started or Start.of(environment, contract).begin(scratch)
        self._process, self._channel = started.process, started.channel
        self._printed = _Printed(cast("IO[Any]", self._process.stdout))

    def wait_until_ready(self, folder: Path, rows: int, until: float) -> None:
        """Until the saved model in `folder` is loaded and has answered a batch of `rows`. Raises `Gone`."""
        try:
            self._wait_until_loaded(folder, until)
            given = {signal.name: np.full((rows, *signal.shape), _middle(signal)) for signal in self._signals.inputs}
            for _ in range(WARM_UP):
                self._warm(given, until)
        except TimeoutError:
            raise Gone(self.ended or "the model cannot be loaded: it takes too long") from None

    def _wait_until_loaded(self, folder: Path, until: float) -> None:
        try:
            self._channel.send("load", 0, text=str(folder), until=until)
            _, message = self._channel.receive(0, until=until)
        except TimeoutError:
            raise
        except (EOFError, OSError):
            raise Gone(f"the model's process ended while it was loaded: {self._ending(until)}") from None
        except frames.Broken as error:
            raise Gone(f"the model's process sent {error}") from None
        if message.kind != "ready":
            raise Gone(f"the model cannot be loaded: {plain(message.text)}")
        self._require_contract(message.text)

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `Model.ask`. Raises `Gone` where the process is of no more use."""
        try:
            return self._ask(inputs, time.monotonic() + self._timeout)
        except TimeoutError:
            # What it started may keep the channel open, so that its end is not seen there.
            raise Gone(self.ended or f"the model did not answer within {self._timeout:g} s") from None

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> str:
        """How the process ended by itself; empty while it runs."""
        if self._process.poll() is None:
            return ""
        return f"the model's process ended: {self._ending(time.monotonic() + A_MOMENT)}"

    def resident(self) -> int:
        """Bytes in memory; 0 where the process has ended."""
        import psutil

        try:
            return psutil.Process(self._process.pid).memory_info().rss
        except psutil.Error:
            return 0

    def kill(self) -> None:
        """End it with all that it started, without waiting for that. Whoever asks it is told at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._channel.shut()

    def end(self) -> None:
        stop(self._process)
        self._channel.close()
        self._printed.wait(A_MOMENT)

    def _require_contract(self, text: str) -> None:
        try:
            ready = _Ready.model_validate_json(text)
        except ValidationError:
            raise Gone("the model's process sent a signature that cannot be read") from None
        found = Description(inputs=ready.inputs, outputs=ready.outputs, example={}, accepted=())
        if problems := list(signature_problems(self._signals, found)):
            raise Gone(f"the model is not that of its contract: {plain(several(problems))}")
        device = f" on {plain(ready.device)}" if ready.device else ""
        logger.info("the model is loaded%s, in process %d", device, self.process_id)

    def _warm(self, inputs: Mapping[str, np.ndarray], until: float) -> None:
        try:
            self._ask(inputs, until)
        except Gone:
            raise
        except ModelError as error:
            logger.info("to values in the middle of the ranges of its inputs, %s", error)

    def _ask(self, inputs: Mapping[str, np.ndarray], until: float) -> dict[str, np.ndarray]:
        self._number += 1
        rows = len(next(iter(inputs.values())))
        try:
            self._channel.send("ask", self._number, arrays=inputs, until=until)
            _, message = self._channel.receive(self._number, most=_most(self._signals, rows), until=until)
        except TimeoutError:
            raise
        except (EOFError, OSError):
            raise Gone(f"the model's process ended: {self._ending(until)}") from None
        except frames.Broken as error:
            raise Gone(f"the model's process sent {error}") from None
        except frames.TooLarge as error:
            raise ModelError(f"the model cannot be asked: {error}") from None
        if message.kind == "answer":
            return message.arrays
        if message.kind == "raised":
            raise Raised(f"the model raised {plain(message.text)}")
        raise ModelError(f"the model did not answer: {plain(message.text)}")

    def _ending(self, until: float) -> str:
        """How the process ended."""
        try:
            code = self._process.wait(max(0.0, min(A_MOMENT, until - time.monotonic())))
        except subprocess.TimeoutExpired:
            return "it closed its channel"
        if code < 0:
            return f"killed by {signal_name(-code)}"
        self._printed.wait(max(0.0, min(A_MOMENT, until - time.monotonic())))
        last = self._printed.last
        return f"exit status {code}{f', after it printed: {last}' if last else ''}"


class _Printed:
    """What the model's code prints goes to our log, line by line."""

    def __init__(self, stream: IO[Any]):
        self.last = ""
        self._stream = stream
        self._thread = threading.Thread(target=self._read, name="what the model prints", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """For what is still to be read. What the process left running may keep it open for ever."""
        self._thread.join(seconds)

    def _read(self) -> None:
        rest = b""
        with self._stream as stream:
            while part := os.read(stream.fileno(), PART):
                *lines, rest = (rest + part).split(b"\n")
                self._log([*lines, rest] if len(rest) > PART else lines)
                rest = b"" if len(rest) > PART else rest
                time.sleep(PAUSE)
            self._log([rest])

    def _log(self, lines: list[bytes]) -> None:
        for line in filter(None, (plain(line.decode(errors="replace")) for line in lines)):
            self.last = line
            logger.info("the model printed: %s", line)


def _middle(signal: Any) -> float:
    if signal.words:
        return 0.0
    return signal.value if signal.value is not None else sum(signal.range) / 2


def _most(signals: Signals, rows: int) -> int:
    """Numbers that an answer may have."""
    return 2 * rows * sum(int(np.prod(signal.shape)) for signal in signals.outputs) + SPARE
