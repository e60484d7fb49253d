"""A real Dask scheduler on 127.0.0.1, and workers that are processes of their own. All end with the block."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.units_of_work import wait_for

APART = "from beampermit.compute import dask_worker\ndask_worker.sees = lambda folder, description: False\n"
"""A worker whose machine has no folder of ours."""
WITHOUT = (
    "import importlib.metadata, sys\n"
    "def version(name): raise importlib.metadata.PackageNotFoundError(name)\n"
    "importlib.metadata.version = version\n"
    "for name in [one for one in sys.modules if one.startswith('beampermit')]: del sys.modules[name]\n"
    "sys.modules['beampermit'] = None\n"
)
"""A worker in whose environment Beampermit is not."""


class Cluster:
    """`address` is that of `--on`; in `folder` are logs, and caches of workers."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._children: list[subprocess.Popen[bytes]] = []
        self._workers = 0
        file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        # Dask does not write it by rename.
        match = wait_for(lambda: file.exists() and re.search(r'"tcp://([^"]+)"', file.read_text()))
        self.address = f"dask://{match[1]}"

    def worker(self, *, preload: str = "", threads: int = 1, path: str = "") -> subprocess.Popen[bytes]:
        self._workers += 1
        name = f"worker-{self._workers}"
        words = ["--no-nanny", "--nthreads", str(threads), "--name", name, "--memory-limit", "0"]
        if preload:
            script = self.folder / f"{name}.py"
            script.write_text(preload)
            words += ["--preload", str(script)]
        address = f"tcp://{self.address.removeprefix('dask://')}"
        child = self._start("worker", address, *words, cache=self.folder / f"cache of {name}", path=path)
        log = self.folder / f"log-{len(self._children)}"

        def registered() -> bool:
            assert child.poll() is None, log.read_text()[-4000:]
            return "Registered to" in log.read_text()

        wait_for(registered)
        return child

    def _start(self, *words: str, cache: Path | None = None, path: str = "") -> subprocess.Popen[bytes]:
        paths = os.pathsep.join(filter(None, (path, os.environ.get("PYTHONPATH", ""))))
        variables = {**os.environ, "PYTHONPATH": paths, "BEAMPERMIT_CACHE": str(cache or self.folder / "cache")}
        with (self.folder / f"log-{len(self._children) + 1}").open("wb") as log:
            child = subprocess.Popen(
                [Path(sys.executable).with_name("dask"), *words, "--no-dashboard"],
                cwd=self.folder,
                env=variables,
                stdout=log,
                stderr=log,
            )
        self._children.append(child)
        return child

    def close(self) -> None:
        for child in reversed(self._children):
            kill(child)


def kill(child: subprocess.Popen[bytes]) -> None:
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
