"""Runs units, each in a fork of a process that has imported their module: `python -P unit_server.py MODULE`.

It imports nothing of Beampermit. A line on stdin is a JSON object: the `folder` of a unit, and the `seconds` that it
may take (0: any). Two lines are the answer: the process id of the fork, then a JSON object with its exit status `code`,
and `ended`: "" or why we ended it. When stdin is closed, the unit and this process end.

`python -P unit_server.py --attend COMMAND...` runs one command instead, such as torchrun, and ends as it does.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
LINUX = sys.platform.startswith("linux")
FORKS = LINUX and os.environ.get("CUDA_VISIBLE_DEVICES") == ""
"""Whether units are forked from what has imported their module. That is not safe on other systems, and a GPU that was
looked at, as many modules do when they are imported, is of no use in a fork: such units are started anew."""
LOOK = 0.25
"""Seconds between two looks for the file `stop`."""
LEAVE, AGAIN = 5.0, 0.005
"""Seconds that killed processes may take to end, and between two looks at them."""


def main(module: str) -> int:
    """Serve until stdin is closed."""
    _prepare_process()
    answers, requests = os.dup(1), os.dup(0)
    os.dup2(2, 1)  # what is imported may print
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if FORKS:
        with suppress(Exception, SystemExit):  # the unit itself says what is wrong
            importlib.import_module(module)
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    ours = (answers, requests, woken.fileno(), wakes.fileno())
    imported = _children()  # by what is imported, which may need them
    unread = b""
    while True:
        while b"\n" not in unread:
            read = os.read(requests, 2**16)
            if not read:
                return 0
            unread += read
        line, _, unread = unread.partition(b"\n")
        request = json.loads(line)
        child = _start(module, request["folder"], ours)
        os.write(answers, f"{child}\n".encode())
        ended = _wait(child, request, requests, woken)
        with suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)
            os.killpg(child, signal.SIGKILL)  # what it left running in the background as well
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        _end_others(imported)
        if ended is None:
            return 0
        os.write(answers, json.dumps({"code": code, "ended": ended}).encode() + b"\n")


def attend(command: list[str]) -> int:
    """Run a command, and end it when stdin is closed. Nothing that it started outlives it."""
    _prepare_process()
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    child = os.posix_spawn(
        command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, nothing, 0)], setpgroup=0
    )
    while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG):
        if select.select([0], [], [], LOOK)[0]:  # nobody writes: it is closed
            break
    with suppress(ProcessLookupError, PermissionError):
        os.kill(child, signal.SIGKILL)
        os.killpg(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    _end_others(frozenset())
    if code < 0:
        with suppress(OSError):  # nobody changes what SIGKILL does
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _prepare_process() -> None:
    if not LINUX:
        return
    # No unit reads the memory and the open files of this process, nor of another unit.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    # What a unit leaves in a session of its own becomes our child, and not that of init.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait(child: int, request: dict[str, Any], requests: int, woken: socket.socket) -> str | None:
    """Wait for the end of a child, as which nobody waits for it: "", why it has to end, or None where we have to."""
    stop = Path(request["folder"], "stop")
    last = time.monotonic() + request["seconds"] if request["seconds"] else float("inf")
    while True:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            return ""
        if stop.is_file():  # a unit may make a folder of that name
            return "stopped"
        if time.monotonic() > last:
            return "time"
        readable, _, _ = select.select([requests, woken], [], [], min(LOOK, max(last - time.monotonic(), 0.0)))
        if woken in readable:
            with suppress(BlockingIOError):
                woken.recv(2**12)
        if requests in readable:  # closed: nobody asks while a unit runs
            return None


def _end_others(kept: frozenset[int]) -> None:
    """Kill what a unit left in other sessions, and what that has started, one generation after the other."""
    last = time.monotonic() + LEAVE
    while (left := _children() - kept) and time.monotonic() < last:
        for child in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        ended = False
        for child in left:
            with suppress(ChildProcessError):
                ended |= os.waitpid(child, os.WNOHANG)[0] > 0
        if not ended:
            time.sleep(AGAIN)


def _children() -> frozenset[int]:
    """Processes whose parent we are; none where only init takes orphans in."""
    if not LINUX:
        return frozenset()
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    except ChildProcessError:
        return frozenset()
    with suppress(OSError):  # a kernel may be built without these files
        threads = [Path(thread, "children").read_text() for thread in Path("/proc/self/task").iterdir()]
        return frozenset(map(int, " ".join(threads).split()))
    ours = os.getpid()
    return frozenset(int(path.name) for path in Path("/proc").glob("[0-9]*") if _parent(path) == ours)


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _start(module: str, folder: str, ours: tuple[int, ...]) -> int:
    parent = os.getpid()
    child = os.fork()
    if not child:
        _run_forked(module, folder, parent, ours)
    return child


def _run_forked(module: str, folder: str, parent: int, ours: tuple[int, ...]) -> NoReturn:
    """Run the module as in a process that was just started, and end."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        if LINUX:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        for file in ours:
            os.close(file)
        os.chdir(folder)
        log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        if not FORKS:
            os.environ["PYTHONUNBUFFERED"] = "1"
            os.execv(sys.executable, [sys.executable, "-P", "-m", module])  # noqa: S606 - no shell is wanted
        for stream in (sys.stdout, sys.stderr):  # what a unit printed is there when it is killed
            stream.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue]
        _forget_random_numbers()
        sys.argv = [module]
        sys.modules.pop(module, None)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(status)


def _forget_random_numbers() -> None:
    """Other forks must not draw the same numbers. `random` does it."""
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


if __name__ == "__main__":
    sys.exit(attend(sys.argv[2:]) if sys.argv[1] == "--attend" else main(sys.argv[1]))
