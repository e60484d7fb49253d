"""A real Dask scheduler on 127.0.0.1, and workers that are processes of their own. All end with the block."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.forked_pythons import Forked, forked
from support.kept_bytecode import keep_bytecode
from support.small_disk import MOUNT, NONE
from support.units_of_work import wait_for

APART = "from beampermit.compute import dask_worker\ndask_worker.sees = lambda *_: False\n"
"""A worker whose machine has no folder of ours."""
WITHOUT = (
    "import importlib.metadata, sys\n"
    "def version(name): raise importlib.metadata.PackageNotFoundError(name)\n"
    "importlib.metadata.version = version\n"
    "for name in [one for one in sys.modules if one.startswith('beampermit')]: del sys.modules[name]\n"
    "sys.modules['beampermit'] = None\n"
)
"""A worker in whose environment Beampermit is not."""


DASK = """
import os, sys
log = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.dup2(log, 1)
os.dup2(log, 2)
sys.argv[0] = "dask"
from dask.cli import run_cli
run_cli()
"""
"""`dask WORDS`, which prints into a file."""
IMPORTED = ("dask.cli", "distributed.cli.dask_scheduler", "distributed.cli.dask_worker")


class Cluster:
    """`address` is that of `--on`; in `folder` are logs, and caches of workers."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._children: list[Forked] = []
        self._workers = 0
        file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        # Dask does not write it by rename.
        match = wait_for(lambda: file.exists() and re.search(r'"tcp://([^"]+)"', file.read_text()))
        self.address = f"dask://{match[1]}"

    def worker(self, *, preload: str = "", threads: int = 1, path: str = "", disk: int = 0) -> Forked:
        """Started; with `disk`, its cache is on one of so many KiB."""
        self._workers += 1
        name = f"worker-{self._workers}"
        words = ["--no-nanny", "--nthreads", str(threads), "--name", name, "--memory-limit", "0"]
        if preload:
            script = self.folder / f"{name}.py"
            script.write_text(preload)
            words += ["--preload", str(script)]
        address = f"tcp://{self.address.removeprefix('dask://')}"
        child = self._start("worker", address, *words, cache=self.folder / f"cache of {name}", path=path, disk=disk)
        log = self.folder / f"log-{len(self._children)}"

        def registered() -> bool:
            if child.poll() == NONE:
                pytest.skip("no small disk can be mounted here")
            assert child.poll() is None, log.read_text()[-4000:]
            return "Registered to" in log.read_text()

        wait_for(registered)
        return child

    def _start(self, *words: str, cache: Path | None = None, path: str = "", disk: int = 0) -> Forked:
        cache = cache or self.folder / "cache"
        keep_bytecode(self.folder, cache)
        paths = os.pathsep.join(filter(None, (path, os.environ.get("PYTHONPATH", ""))))
        variables = {**os.environ, "PYTHONPATH": paths, "BEAMPERMIT_CACHE": str(cache)}
        log = self.folder / f"log-{len(self._children) + 1}"
        log.touch()
        script, first = (MOUNT + DASK, (cache, disk)) if disk else (DASK, ())
        all_words = (*first, log, *words, "--no-dashboard")
        child = forked(script, *all_words, cwd=self.folder, env=variables, needs=IMPORTED, apart="dask")
        self._children.append(child)
        return child

    def close(self) -> None:
        for child in reversed(self._children):
            kill(child)


def kill(child: Forked) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait()


@contextmanager
def dask_cluster(folder: Path) -> Iterator[Cluster]:
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        cluster.close()
