"""`beampermit` commands in real processes that start in milliseconds: forked from one that has imported them.

    from support.forked_commands import beampermit

    finished = beampermit("permit", "verify", "permit.json", cwd=folder, env={**os.environ, "CI": "1"})
    assert (finished.returncode, finished.stderr) == (1, "...")

`needs=("mlflow",)` imports more before the fork, once in a run of pytest: what takes long and several tests need.
`of=folder` takes the package that is unpacked there in place of the one at hand.
`executable(folder)` writes a `beampermit` that a shell, pre-commit or an action's step finds on its PATH, and
`environment_of_forks()` is an environment whose `python SCRIPT WORDS` starts as fast.

Folder, variables, streams, session and exit status are the command's own, and a signal ends it as any process. What
Python reads as it starts (PYTHONPATH, PYTHONIOENCODING and the like) has no effect: a test of those starts Python, and
so do `tests/unit/cli/test_main.py` and `tests/test_wheel.py`.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beampermit.environments import Environment

MODULES = ("beampermit.cli.main", "beampermit.interlocks.families", "rich.console", "httpx")
STORES = ("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store")
MLFLOW = ("mlflow", *STORES)
"""What commands import that use a registry whose store is a database."""
PATIENCE = 300.0
"""Seconds that a command may take."""
LONGEST = 2**20
"""Bytes of a request: the words and the variables of a command."""


def beampermit(
    *words: object, cwd: Path, env: Mapping[str, str] | None = None, needs: Sequence[str] = (), of: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `beampermit WORDS` in `cwd` with the variables `env`, or ours."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, Path(os.devnull).open() as none:
        given = [str(word) for word in words]
        streams = (none.fileno(), out.fileno(), err.fileno())
        code = ask(_server(of), given, cwd, dict(os.environ if env is None else env), streams, needs)
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess(["beampermit", *given], code, out.read(), err.read())


def executable(folder: Path, needs: Sequence[str] = ()) -> Path:
    """Write `folder/beampermit`, which hands its words, folder, variables and streams to the process that forks."""
    file = folder / "beampermit"
    file.write_text(
        f"#!{sys.executable} -IS\n"
        "import os, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from forked_commands import ask\n"
        f"code = ask({_server()!r}, sys.argv[1:], os.getcwd(), dict(os.environ), (0, 1, 2), {list(needs)!r})\n"
        "os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)\n"
    )
    file.chmod(0o755)
    return file


EVALUATES = ("numpy", "duckdb", "yaml")
"""What the scripts import by which projects of the tests evaluate."""
PYTHON = """\
#!{python} -IS
import json, os, socket, sys
given = {{"script": True, "words": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ), "needs": {needs}}}
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, {longest})
    connection.connect({server!r})
    socket.send_fds(connection, [json.dumps(given).encode()], (0, 1, 2))
    code = int(connection.recv(64))
os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)
"""


@cache
def environment_of_forks() -> Environment:
    """An environment whose Python runs a script as a fork of one that has imported what evaluations need."""
    from beampermit.environments import Environment

    server = _server()
    prefix = Path(server).with_name("environment")
    (prefix / "bin").mkdir(parents=True)
    python = prefix / "bin/python"
    python.write_text(PYTHON.format(python=sys.executable, server=server, longest=LONGEST, needs=list(EVALUATES)))
    python.chmod(0o755)
    return Environment(prefix)


def ask(
    server: str,
    words: Sequence[str],
    cwd: str | Path,
    env: Mapping[str, str],
    streams: tuple[int, int, int],
    needs: Sequence[str] = (),
) -> int:
    """The exit status of the command; negative for the signal that ended it."""
    request = json.dumps({"words": list(words), "cwd": str(cwd), "env": dict(env), "needs": list(needs)}).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST)
        connection.connect(server)
        socket.send_fds(connection, [request], streams)
        answer = connection.recv(64)
    assert answer, "the process that forks has ended"
    return int(answer)


@cache
def _server(of: str = "") -> str:
    """The socket of the process that forks, which ends with this one."""
    folder = tempfile.mkdtemp(prefix="beampermit-forks-")
    child = subprocess.Popen(
        [sys.executable, __file__, f"{folder}/socket", of],
        env={**os.environ, "PYTHONPATH": of} if of else None,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
    )
    owner = os.getpid()
    assert child.stdout
    assert child.stdout.readline() == b"ready\n"

    def end() -> None:
        if os.getpid() != owner:  # a fork of ours
            return
        child.communicate()
        shutil.rmtree(folder)

    atexit.register(end)
    return f"{folder}/socket"


def _serve(path: str, of: str) -> None:
    """Fork for each request until standard input is closed."""
    import gc
    import select

    for module in MODULES:
        __import__(module)
    assert str(sys.modules["beampermit.cli.main"].__file__).startswith(of)
    sys.modules["beampermit.interlocks.families"].load_interlocks()
    gc.freeze()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        os.write(1, b"ready\n")
        while listener in select.select([listener, 0], [], [])[0]:
            connection, _ = listener.accept()
            request, streams, _, _ = socket.recv_fds(connection, LONGEST, 3)
            given = json.loads(request)
            for module in given["needs"]:
                __import__(module)
            if os.fork() == 0:
                listener.close()
                _answer(connection, given, streams)
            for descriptor in streams:
                os.close(descriptor)
            connection.close()
            with suppress(ChildProcessError):  # so that their times are those of this process
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _answer(connection: socket.socket, given: dict[str, object], streams: Sequence[int]) -> None:
    """Run the command in another fork, and say how it ended."""
    child = os.fork()
    if child == 0:
        connection.close()
        _become(given, streams)
    _, status = os.waitpid(child, 0)
    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(given: dict[str, object], streams: Sequence[int]) -> None:
    """Be the command."""
    code = 1
    try:
        os.setsid()
        for target, descriptor in enumerate(streams):
            os.dup2(descriptor, target)
        os.closerange(3, max(streams) + 1)
        sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in enumerate("rww"))  # noqa: PTH123, SIM115
        os.chdir(str(given["cwd"]))
        os.environ.clear()
        os.environ.update(given["env"])  # pyright: ignore[reportArgumentType, reportCallIssue]
        tempfile.tempdir = None
        words: list[str] = given["words"]  # pyright: ignore[reportAssignmentType]
        if given.get("script"):
            _run_script(words)
        else:
            _run_beampermit(words)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run_beampermit(words: Sequence[str]) -> None:
    from beampermit.__main__ import run

    sys.argv[:] = ["beampermit", *words]
    run()


def _run_script(words: Sequence[str]) -> None:
    """As `python SCRIPT WORDS` does."""
    import runpy

    beside = str(Path(words[0]).absolute().parent)
    sys.path[:1] = [beside, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv[:] = words
    runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    _serve(*sys.argv[1:])
