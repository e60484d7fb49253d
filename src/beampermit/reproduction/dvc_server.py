"""A process that has imported DVC, and forks for each run of a project's stages: `python -I dvc_server.py`.

It imports nothing of Beampermit. Stdin is a socket. Each message is a JSON object: the `arguments` of DVC, the `folder`
to run it in, and `variables`, all that DVC and the stages get. With it come two open files: one for what is printed,
and a pipe for two lines, the process id of the fork and its exit status.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

LONGEST = 2**20
"""Bytes of a message."""
PR_SET_DUMPABLE = 4
LATER = (
    "configobj", "dvc.cachemgr", "dvc.data_cloud", "dvc.dirs", "dvc.lock", "dvc.repo.artifacts", "dvc.repo.datasets",
    "dvc.repo.graph", "dvc.repo.index", "dvc.repo.metrics", "dvc.repo.open_repo", "dvc.repo.params", "dvc.repo.plots",
    "dvc.repo.reproduce", "dvc.repo.stage", "dvc.repo.trie", "dvc.rwlock", "dvc.scm", "dvc.stage.cache",
    "dvc.stage.run", "dvc.utils.strictyaml", "dvc_data.hashfile.db.local", "dvc_data.hashfile.status",
    "fsspec.implementations.memory", "networkx", "psutil", "ruamel.yaml", "ruamel.yaml.mergevalue",
    "scmrepo.git.backend.dulwich", "dulwich.ignore", "dulwich.index", "dulwich.worktree",
)  # fmt: skip
"""What DVC imports only when it runs stages."""


def main() -> int:
    """Serve until the other end of the socket is closed."""
    # No stage changes what the next one is forked from, nor says how it ended.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    channel = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    from dvc.cli.parser import get_main_parser

    get_main_parser()  # DVC keeps it
    for module in LATER:
        with suppress(ImportError):  # another version of DVC may have no such module
            importlib.import_module(module)
    signal.signal(signal.SIGCHLD, _forget_ended)
    gc.freeze()  # what all forks share is not looked at in each of them
    while True:
        message, files, _, _ = socket.recv_fds(channel, LONGEST, 2, socket.MSG_CMSG_CLOEXEC)
        if not message:
            return 0
        if not os.fork():
            channel.close()
            _run_forked(json.loads(message), *files)
        for file in files:
            os.close(file)


def _forget_ended(*_: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _run_forked(request: dict[str, Any], printed: int, answers: int) -> None:
    """Run DVC as in a process that was just started, and end."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.write(answers, f"{os.getpid()}\n".encode())
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["variables"])
        time.tzset()
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        os.close(printed)
        sys.argv = ["dvc", *request["arguments"]]
        from dvc.cli import main as dvc

        status = dvc(request["arguments"])
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        with suppress(OSError):
            os.write(answers, f"{status}\n".encode())
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
