"""Starts the Jupyter kernel of a locked environment. It is copied beside `kernel.json`, and needs no Beampermit.

Where the lock is no longer the one that the environment was installed from, the first cell that runs says so.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any


def find_stale(about: dict[str, str]) -> str:
    """Why the environment is not the lock's; empty where it is. `about` is what `kernel.json` says of them."""
    lock, stamp = Path(about["project"], about["lock"]), Path(about["environment"], about["stamp"])
    if not lock.is_file():
        return f"{lock} is gone"
    built = stamp.read_text(encoding="utf-8", errors="replace").split() if stamp.is_file() else []
    content = lock.read_bytes().replace(b"\r\n", b"\n")
    if built[:1] == [f"sha256:{hashlib.sha256(content).hexdigest()}"]:
        return ""
    if not built:
        return f"the environment at {about['environment']} is not completely installed"
    return f"{lock} has changed since this environment was installed"


def main() -> None:
    sys.path.pop(0)  # this folder, which holds no module of the project
    content = json.loads(Path(__file__).with_name("kernel.json").read_text(encoding="utf-8"))
    about = content["metadata"]["beampermit"]
    try:
        from ipykernel.kernelapp import IPKernelApp
    except ImportError:
        sys.exit(
            f"ipykernel is not in the environment {about['environment']}: run beampermit env kernel in the project"
        )
    app = IPKernelApp.instance()
    app.initialize(sys.argv[1:])
    if reason := find_stale(about):
        _say_at_the_first_cell(app.shell, f"{reason}: run beampermit env install in {about['project']}, then restart")
    app.start()


def _say_at_the_first_cell(shell: Any, text: str) -> None:
    """What is printed before a cell runs, nobody sees."""

    def say(*_: object) -> None:
        shell.events.unregister("pre_run_cell", say)
        sys.stderr.write(f"{text}\n")

    shell.events.register("pre_run_cell", say)


if __name__ == "__main__":
    main()
