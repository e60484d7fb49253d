"""`python -c SCRIPT WORDS` in real processes that start in milliseconds: forked from one that has imported what takes
the script long.

    child = forked(SCRIPT, root, prefix, needs=("beampermit.environments.uv",), cwd=folder)
    assert next(child.out) == "begun\\n"
    child.kill()
    assert child.wait() == -signal.SIGKILL

Folder, variables, session and exit status are the script's own, and a signal ends it as any process. What Python reads
as it starts has no effect, but for PYTHONPATH. Commands of ours that are not killed are run by `forked_commands`.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

COMMAND = "import sys; sys.argv[0] = 'beampermit'; from beampermit.__main__ import run; run()"
"""`beampermit WORDS`."""
LONGEST = 2**20
"""Bytes of a request."""
PATIENCE = 300.0
"""Seconds that a script may take."""


class Forked:
    """A process, as `subprocess.Popen` has it; `out` and `err` are what it prints."""

    def __init__(self, answers: int, out: IO[str], err: IO[str]):
        self._answers, self.out, self.err = answers, out, err
        pid, _, self._told = self._read(b"").partition(b"\n")
        self.pid = int(pid)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        if self.returncode is None and select.select([self._answers], [], [], 0)[0]:
            self._told = self._read(self._told)
            self.returncode = int(self._told)
            os.close(self._answers)
        return self.returncode

    def wait(self, seconds: float = PATIENCE) -> int:
        if self.returncode is None:
            assert select.select([self._answers], [], [], seconds)[0], f"it goes on after {seconds:g} s"
        code = self.poll()
        assert code is not None
        return code

    def finish(self) -> tuple[int, str, str]:
        """Its exit status, and all that it printed since."""
        with self.out, self.err:
            return self.wait(), self.out.read(), self.err.read()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read(self, before: bytes) -> bytes:
        while not before.endswith(b"\n"):
            more = os.read(self._answers, 64)
            assert more, "the process that forks has ended"
            before += more
        return before


def forked(
    script: str,
    *words: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    needs: Sequence[str] = (),
    apart: str = "",
) -> Forked:
    """Run `python -c SCRIPT WORDS` in `cwd` with the variables `env`, or ours.

    `needs` are modules that are imported before, once in a run of pytest; with `apart`, in a process of that name, from
    which no other scripts are forked. What it prints goes to files, which can be read while it writes.
    """
    request = {
        "script": script,
        "words": [str(word) for word in words],
        "cwd": str(cwd or Path.cwd()),
        "env": dict(os.environ if env is None else env),
        "needs": list(needs),
    }
    out, err = (os.memfd_create(name) for name in ("out", "err"))
    answers, theirs = os.pipe()
    try:
        socket.send_fds(_server(apart), [json.dumps(request).encode()], [out, err, theirs])
    finally:
        os.close(theirs)
    # By their names, so that we read from a place of our own.
    streams = [Path(f"/proc/self/fd/{one}").open() for one in (out, err)]  # noqa: SIM115
    for one in (out, err):
        os.close(one)
    return Forked(answers, *streams)


def line_of(child: Forked, begins: str = "") -> str:
    """The next line of what it prints that begins so, waited for."""
    last = time.monotonic() + PATIENCE
    line = ""
    while True:
        line += child.out.readline()
        if line.endswith("\n"):
            if line.startswith(begins):
                return line
            line = ""
        elif child.poll() is not None and not (line := line + child.out.readline()):
            raise AssertionError(f"it ended with {child.returncode}: {child.err.read()}")
        else:
            assert time.monotonic() < last, f"no line begins with {begins!r}"
            time.sleep(0.005)


@cache
def _server(apart: str) -> socket.socket:
    """The channel to the process that forks, which ends with this one."""
    channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST)
    with theirs:
        server = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno()), apart],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
    owner = os.getpid()

    def end() -> None:
        if os.getpid() == owner:  # not in a fork of ours
            channel.close()
            server.wait()

    atexit.register(end)
    return channel


def _serve(channel: socket.socket) -> None:
    """Fork for each request until the other end is closed."""
    import gc

    while True:
        request, files, _, _ = socket.recv_fds(channel, LONGEST, 3)
        if not request:
            return
        given = json.loads(request)
        for module in given["needs"]:
            __import__(module)
        gc.freeze()
        if os.fork() == 0:
            channel.close()
            _answer(given, *files)
        for file in files:
            os.close(file)
        with suppress(ChildProcessError):  # so that their times are those of this process
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _answer(given: dict[str, object], out: int, err: int, answers: int) -> None:
    """Run the script in another fork; tell its number, and how it ended."""
    child = os.fork()
    if child == 0:
        os.close(answers)
        _become(given, out, err)
    os.close(out)
    os.close(err)
    os.write(answers, b"%d\n" % child)
    _, status = os.waitpid(child, 0)
    os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(given: dict[str, object], out: int, err: int) -> None:
    """Be the script."""
    code = 1
    try:
        os.setsid()
        for target, file in ((1, out), (2, err)):
            os.dup2(file, target)
            os.close(file)
        sys.stdout, sys.stderr = (open(number, "w") for number in (1, 2))  # noqa: PTH123, SIM115
        os.chdir(str(given["cwd"]))
        os.environ.clear()
        os.environ.update(given["env"])  # pyright: ignore[reportArgumentType, reportCallIssue]
        sys.argv[:] = ["-c", *given["words"]]  # pyright: ignore[reportGeneralTypeIssues]
        sys.path[:1] = ["", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        exec(compile(str(given["script"]), "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
    except BaseException:
        import traceback

        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
