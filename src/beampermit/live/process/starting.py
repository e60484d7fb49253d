"""How the process of a model is started, before anything is known of the model itself."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from beampermit.environments.bytecode import is_compiled_by_root
from beampermit.environments.environment import Environment
from beampermit.live.process import frames
from beampermit.processes import REPEATABLE, start, stop
from beampermit.record import Record

if TYPE_CHECKING:
    from beampermit.contract import Contract

WORKER = Path(__file__).with_name("worker.py")


class Start(Record):
    """What a process is started with: one that was started with the same may stand for another."""

    prefix: Path
    """Of the environment."""
    passed: tuple[str, ...]
    """Variables that its contract lets through."""
    outputs: tuple[tuple[str, tuple[int, ...]], ...]
    """Name and shape of each."""
    device: str
    sees_gpu: bool

    @classmethod
    def of(cls, environment: Environment, contract: Contract) -> Self:
        accelerators = contract.environment.accelerators
        return cls(
            prefix=environment.prefix,
            passed=environment.passed,
            outputs=tuple((signal.name, tuple(signal.shape)) for signal in contract.signals.outputs),
            device=accelerators[0] if len(set(accelerators)) == 1 else "any",
            sees_gpu="cuda" in accelerators,
        )

    def begin(self, folder: Path) -> Started:
        """Start it in `folder`, by a thread with which it ends. Raises `OSError`, and as `processes.start`."""
        ours, theirs = socket.socketpair()
        memory = frames.shared_memory()
        try:
            process = start(
                self._command(theirs.fileno(), memory),
                cwd=folder,
                env=self._variables(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(), memory),
            )
            return Started(process, frames.Channel(ours, memory, server=True))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(memory)

    def _command(self, channel: int, memory: int) -> list[str | Path]:
        options = {
            "--outputs": json.dumps(dict(self.outputs)),
            "--device": self.device,
            "--parent": str(os.getpid()),
            "--socket": str(channel),
            "--memory": str(memory),
        }
        words = (word for option in options.items() for word in option)
        return [Environment(self.prefix).python, "-P", WORKER, *words]

    def _variables(self) -> dict[str, str]:
        """None of ours but those that every process of the project's code gets; it sees a GPU only by its contract."""
        hidden = {} if self.sees_gpu else {"CUDA_VISIBLE_DEVICES": ""}
        # Nothing is written beside the model's own code, whose bytes are verified.
        beside = {"PYTHONPYCACHEPREFIX": "", "PYTHONDONTWRITEBYTECODE": "1"}
        compiled = beside if is_compiled_by_root(self.prefix) else {}
        return {**Environment(self.prefix, self.passed).clean_variables(None), **REPEATABLE, **hidden, **compiled}


@dataclass(frozen=True)
class Started:
    """A process that imports what models need, and waits to be told of one."""

    process: subprocess.Popen[str]
    channel: frames.Channel

    def end(self) -> None:
        stop(self.process)
        self.channel.close()
