"""The daemons of one SLURM, and whatever they start: `python slurm_child.py FOLDER`.

All are ended when stdin ends, and the folder is removed: nothing outlives the tests, which may be killed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def main(folder: Path, nodes: list[str]) -> None:
    """Start them, and start a daemon again, or kill one, when a line says so: `start slurmd`, `kill slurmd`."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what they leave behind is ours
    commands = _commands(folder, nodes)
    running = {name: _started(folder, name, command) for name, command in commands.items()}
    _say("started")
    for line in sys.stdin:
        word, name = line.split()
        if word == "kill":
            running[name].kill()
            running[name].wait()
        else:
            running[name] = _started(folder, name, commands[name])
        _say(word)
    while children := _children():
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


def _commands(folder: Path, nodes: list[str]) -> dict[str, list[str]]:
    files = {name: str(folder / f"munge.{name}") for name in ("socket", "key", "pid", "log", "seed")}
    conf = str(folder / "daemons.conf")
    munged = ["munged", "--foreground", "--force", f"--socket={files['socket']}", f"--key-file={files['key']}"]
    rest = [f"--pid-file={files['pid']}", f"--log-file={files['log']}", f"--seed-file={files['seed']}"]
    daemons = {node: ["slurmd", "-D", "-f", conf, "-N", node] for node in nodes}
    return {"munged": [*munged, *rest], "slurmctld": ["slurmctld", "-D", "-i", "-f", conf], **daemons}


def _started(folder: Path, name: str, command: list[str]) -> subprocess.Popen[bytes]:
    with (folder / f"{name}.out").open("ab") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    if name == "munged":
        end = time.monotonic() + 30
        while not (folder / "munge.socket").exists() and time.monotonic() < end:
            time.sleep(0.02)
    return child


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _children() -> list[int]:
    """All descendants that live."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z" or int(parent) == os.getpid():
                    parents[int(folder.name)] = int(parent)
    found = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


if __name__ == "__main__":
    # Ctrl-C is for the tests; they end us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(Path(sys.argv[1]), sys.argv[2:])
