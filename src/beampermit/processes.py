"""Child processes: argument lists only, output captured, all ended with us."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from beampermit.errors import BadInput, Outside


class Finished(BaseModel):
    """A child that ended: its exit status and its output (UTF-8, invalid bytes replaced)."""

    model_config = ConfigDict(frozen=True)

    command: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def tail(self) -> str:
        """The last line that is not empty, for a one-line reason."""
        lines = [line.strip() for line in f"{self.out}\n{self.err}".splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {self.code}, no output"


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    stdin: str | None = None,
) -> Finished:
    """Run `command` in `cwd` with `env` added to ours; a time-out or an interrupt kills the whole process group.

    Raises `Outside` if the program does not exist or `timeout` (seconds) has passed, `BadInput` if `cwd` is no folder.
    """
    arguments = tuple(map(str, command))
    try:
        child = subprocess.Popen(
            arguments,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except (FileNotFoundError, NotADirectoryError):
        if not cwd.is_dir():
            raise BadInput("there is no such folder", file=cwd) from None
        raise Outside(f"the program {arguments[0]!r} is not on this machine") from None
    try:
        out, err = child.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        stop(child)
        raise Outside(f"{' '.join(arguments[:4])} took longer than {timeout:g} s and was stopped") from None
    except BaseException:
        stop(child)
        raise
    return Finished(command=arguments, code=child.returncode, out=out, err=err)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM interrupts the block as Ctrl-C does, so that it cleans up."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def stop(child: subprocess.Popen[str]) -> None:
    """Kill a child that leads its own session, and all its children."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
