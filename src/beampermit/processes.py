"""Child processes: argument lists only, output captured, all ended with us; a project's code sees no secret of ours."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import dropwhile
from pathlib import Path
from typing import IO, Any

from beampermit.errors import BadInput, Outside

KEPT = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TERM|TMPDIR|TEMP|TMP|NO_COLOR|CI|SYSTEMROOT|PATHEXT|COMSPEC|"
    r"XDG_(CACHE|CONFIG|DATA)_HOME|DVC_SITE_CACHE_DIR|LD_LIBRARY_PATH|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|"
    r"CUDA_(VISIBLE_DEVICES|DEVICE_ORDER|HOME|PATH)|CUBLAS_WORKSPACE_CONFIG|NVIDIA_(VISIBLE_DEVICES|DRIVER_CAPABILITIES)|"
    r"(ROCR|HIP)_VISIBLE_DEVICES|(OMP|MKL|OPENBLAS|NUMEXPR)_NUM_THREADS|BEAMPERMIT_REHEARSAL"
)
"""Variables that a project's code gets from ours: where things are, and what the machine has. No other is passed."""
PROXY = re.compile(r"(https?|all|no)_proxy", re.IGNORECASE)
"""Passed where it holds no login."""
LOGINS = re.compile(r"MLFLOW_\w+|BEAMPERMIT_(SIGNING_KEY|WEBHOOK\w*|LOGBOOK\w*)")
"""At registry, webhook and logbook. What runs as the same user, as a model does, can read the variables of tools."""
REPEATABLE = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_TRACKING_URI": "",
    # On two loaded cores two threads were 20 to 60 times slower than one, and not repeatable.
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""What training, evaluation and the model get besides: the same results each time, and nothing sent anywhere."""
TIMEOUT = 1800.0
"""Seconds that they may take."""
PR_SET_DUMPABLE = 4
TRACEBACK = "Traceback (most recent call last):\n"
LONGEST = 500
"""Characters of an exception's message in a reason."""


@dataclass(frozen=True)
class Finished:
    """A child that ended: its exit status and its output (UTF-8, invalid bytes replaced; names of files kept)."""

    command: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def tail(self) -> str:
        """What the last exception says, else the last line that is not empty: for a one-line reason."""
        text = f"{self.out}\n{self.err}"
        _, raised, traceback = text.rpartition(TRACEBACK)
        if raised and (message := _message_of(traceback)):
            return message
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {self.code}, no output"


def _message_of(traceback: str) -> str:
    """The exception's lines, some of which name the file that it is about; the frames before them are indented."""
    lines = dropwhile(lambda line: not line.strip() or line[0].isspace(), traceback.splitlines())
    message = " ".join(" ".join(lines).split())
    return message if len(message) <= LONGEST else f"{message[: LONGEST - 1]}…"


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    stdin: str | None = None,
    clean: bool = False,
    pass_fds: Sequence[int] = (),
    paths: bool = False,
) -> Finished:
    """Run `command` in `cwd` with `env` added to ours; a time-out or an interrupt kills the whole process group.

    Of ours, it gets those `for_tools`.
    With `paths`, `stdin` and `out` hold names of files as Python has them: any bytes, and line ends as they are.
    A child that runs a project's code is `clean`: `env` is all that it gets, and its group ends with it. Raises
    `Outside` if the program does not exist or `timeout` (seconds) has passed, `BadInput` if `cwd` is not a folder.
    """
    pipe = subprocess.PIPE
    given = subprocess.DEVNULL if stdin is None else pipe
    child: subprocess.Popen[Any]
    if clean:
        child = start(command, cwd=cwd, env=env or {}, stdin=given, stdout=pipe, stderr=pipe, pass_fds=pass_fds)
    else:
        variables = {**for_tools(), **(env or {})}
        child = _start(command, cwd, variables, text=not paths, stdin=given, stdout=pipe, stderr=pipe)
    try:
        out, err = child.communicate(os.fsencode(stdin) if paths and stdin else stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        stop(child)
        raise Outside(f"{' '.join(map(str, command[:4]))} took longer than {timeout:g} s and was stopped") from None
    except BaseException:
        stop(child)
        raise
    if clean:
        stop(child)  # what a test left running in the background
    if paths:
        out, err = os.fsdecode(out), err.decode(errors="replace")
    return Finished(command=tuple(map(str, command)), code=child.returncode, out=out, err=err)


def start(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[Any],
    stderr: int | IO[Any],
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[str]:
    """Start a child that runs a project's code: with the variables `env` and no other, unable to read our memory.

    Raises as `run` does.
    """
    hide_memory()
    return _start(command, cwd, env, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds)


def clean_variables(passed: Iterable[str] = ()) -> dict[str, str]:
    """The variables of ours that a project's code may see; `passed` are further names, let through by a contract."""
    names = frozenset(passed)
    return {
        name: value
        for name, value in os.environ.items()
        if name in names or KEPT.fullmatch(name) or (PROXY.fullmatch(name) and "@" not in value)
    }


def for_tools() -> dict[str, str]:
    """Our variables, as git and other tools get them: their own settings may log in by any of these."""
    return {name: value for name, value in os.environ.items() if not LOGINS.fullmatch(name)}


@cache
def hide_memory() -> None:
    """Keep other processes of the same user from reading our memory, our variables and our files in `/proc`.

    Linux only. Whoever is root still can, and the processes that started us stay as they are.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _start(
    command: Sequence[str | Path], cwd: Path, env: Mapping[str, str], *, text: bool = True, **streams: Any
) -> subprocess.Popen[Any]:
    arguments = tuple(map(str, command))
    decoded: dict[str, Any] = {"encoding": "utf-8", "errors": "replace"} if text else {}
    try:
        return subprocess.Popen(
            arguments,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
            **decoded,
            **streams,
        )
    except (FileNotFoundError, NotADirectoryError):
        if not cwd.is_dir():
            raise BadInput("there is no such folder", file=cwd) from None
        raise Outside(f"the program {arguments[0]!r} is not on this machine") from None


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder, without symbolic links in its path."""
    with tempfile.TemporaryDirectory(prefix="beampermit-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


def signal_name(number: int) -> str:
    """Such as `SIGKILL`; `signal 63` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextmanager
def called_after(seconds: float, end: Callable[[], object]) -> Iterator[None]:
    """`end` is called after so long by a thread of its own, unless the block has ended by then."""
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM interrupts the block as Ctrl-C does, so that it cleans up."""
    hear_signals()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def hear_signals() -> None:
    """Have this thread, and what it starts, end by SIGTERM. procServ blocks it in its children, as others may."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})


def stop(child: subprocess.Popen[str]) -> None:
    """Kill a child that leads its own session, and all its children."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def end_marked(mark: str, word: str) -> None:
    """Kill every process that has the variable `mark` with the value `word`, whatever session it is in."""
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(mark) == word:
                process.kill()
