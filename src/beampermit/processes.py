"""Child processes: argument lists only, output captured, nothing left behind when we stop."""

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
    """A child that ended: its exit status and what it printed (UTF-8, bad bytes replaced)."""

    model_config = ConfigDict(frozen=True)

    command: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def tail(self) -> str:
        """The last line that says something: what a one-line reason quotes."""
        lines = [line.strip() for line in f"{self.out}\n{self.err}".splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {self.code}, nothing printed"


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    stdin: str | None = None,
) -> Finished:
    """Run `command` in `cwd` with `env` added to ours; the whole process group dies with a time-out or an interrupt.

    Raises `Outside` when the program is not there or `timeout` (seconds) passed, `BadInput` when `cwd` is no folder.
    """
    words = tuple(str(word) for word in command)
    try:
        child = subprocess.Popen(
            words,
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
        raise Outside(f"the program {words[0]!r} is not on this machine") from None
    try:
        out, err = child.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        stop(child)
        raise Outside(f"{' '.join(words[:4])} took longer than {timeout:g} s and was stopped") from None
    except BaseException:
        stop(child)
        raise
    return Finished(command=words, code=child.returncode, out=out, err=err)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """A polite request to end (SIGTERM) ends the block as an interrupt does, so that what it began is undone."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def stop(child: subprocess.Popen[str]) -> None:
    """End a child started in its own session, with everything it started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
