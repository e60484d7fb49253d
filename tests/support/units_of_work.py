"""Units of work for tests: one small module that does what its request asks for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from beampermit.compute.unit import Unit

JOB = '''\
"""What a unit of a test runs: the request says what."""
import json, os, random, signal, subprocess, sys, time
from pathlib import Path

request = json.loads(Path("request.json").read_text())
with open("intermediate.jsonl", "a") as stream:
    for step, value in enumerate(request.get("values", [])):
        stream.write(json.dumps({"step": step, "value": value}) + "\\n")
if note := request.get("note"):  # a line for each time that it runs
    with open(note, "a") as stream:
        stream.write(f"{request['x']}\\n")
print("working on", request["x"])
if request.get("background"):
    child = subprocess.Popen(["sleep", "600"])
    Path("background").write_text(str(child.pid))
if request.get("detached"):  # a process in a session of its own, which has started another one
    line = "sleep 600 & echo $$ $! > temporary; mv temporary detached; exec sleep 600"
    subprocess.Popen(["sh", "-c", line], start_new_session=True)
    while not os.path.exists("detached"):
        time.sleep(0.01)
while (hold := request.get("hold")) and os.path.exists(hold):
    time.sleep(0.02)
time.sleep(request.get("sleep", 0))
if "signal" in request:
    os.kill(os.getpid(), request["signal"])
if "exit" in request:
    sys.exit(request["exit"])
result = {"x": request["x"] ** 2}
if request.get("who"):
    result |= {"drawn": random.random(), "pid": os.getpid(), "parent": os.getppid(), "name": __name__}
    result |= {"variables": dict(os.environ), "folder": sorted(os.listdir()), "python": sys.prefix}
    result |= {"argv": sys.orig_argv}
text = request.get("text", json.dumps(result))
if text:
    Path("temporary").write_text(text)
    os.replace("temporary", "result.json")
for name in request.get("planted", []):  # a folder in the place of a file, with a link in it
    if os.path.lexists(name):
        os.unlink(name)
    os.makedirs(f"{name}/below")
    os.symlink(request["target"], f"{name}/below/link")
    os.chmod(f"{name}/below", 0)
if link := request.get("replaced"):  # its own folder, by a link
    os.rename(os.getcwd(), f"{os.getcwd()}.gone")
    os.symlink(link, f"{os.getcwd()}".removesuffix(".gone"))
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of code and data with the module `job`."""
    folder = tmp_path / "tree"
    (folder / "src").mkdir(parents=True)
    (folder / "src/job.py").write_text(JOB)
    (folder / "data").mkdir()
    (folder / "params.yaml").write_text("seed: 1\n")
    return folder


@pytest.fixture
def unit_of(tree: Path) -> Callable[..., Unit]:
    """A unit that squares `x`; further keys of its request say what else it does."""

    def make(x: int = 3, **request: Any) -> Unit:
        return Unit(f"number {x}", "job", {"x": x, **request}, tree, "sha256:tree")

    return make


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def wait_for(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until `true` gives something; fail after `seconds`."""
    last = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < last, f"{threading.current_thread().name} waited in vain"
        time.sleep(0.02)
    return found


def lines_of(file: Path) -> Iterator[str]:
    return iter(file.read_text().splitlines() if file.exists() else [])
