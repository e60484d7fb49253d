"""A program `kubectl` that does with an Indexed Job what Kubernetes does: no cluster is on this machine.

It runs the container of each index as a process, with the variables of the manifest and no others, and its paths below
`/tmp` elsewhere. `get job` says what became of them, `delete` kills them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = """\
#!{python}
import sys
sys.path.insert(0, {support!r})
from support.kubectl import main
main({folder!r}, sys.argv[1:])
"""


def plant(folder: Path) -> None:
    """Write the program into `folder`, which also has what it remembers, and a log of its words."""
    program = PROGRAM.format(python=sys.executable, support=str(Path(__file__).parents[1]), folder=str(folder))
    (folder / "kubectl").write_text(program)
    (folder / "kubectl").chmod(0o755)


def pods_of(job: dict[str, Any], temporary: Path) -> list[tuple[list[str], dict[str, str]]]:
    """Words and variables of the container of each index, as the kubelet makes them."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    pods = []
    for index in range(job["spec"]["completions"]):
        variables = {"PATH": os.defpath}
        for one in container["env"]:
            told = one.get("value")
            if told is None:
                assert "batch.kubernetes.io/job-completion-index" in one["valueFrom"]["fieldRef"]["fieldPath"]
                told = str(index)
            variables[one["name"]] = re.sub(r"^/tmp", str(temporary), told)
        words = [*container["command"], *container["args"]]
        pods.append(([sys.executable if word == "python" else _expanded(word, variables) for word in words], variables))
    return pods


def _expanded(word: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], word)


def main(folder: str, words: list[str]) -> None:
    room = Path(folder)
    with (room / "words").open("a") as stream:
        stream.write(f"{' '.join(words)}\n")
    if (room / "refuses").exists():
        sys.exit((room / "refuses").read_text())
    verb = next(word for word in words if word in ("apply", "get", "delete"))
    if verb == "get":
        sys.stdout.write((room / "status").read_text() if (room / "status").exists() else "{}")
        return
    import yaml

    job = yaml.safe_load(Path(words[-1]).read_text())
    if verb == "delete":
        for process in (room / job["metadata"]["name"]).read_text().split():
            os.killpg(int(process), signal.SIGTERM)
        return
    children = [
        subprocess.Popen(
            command,
            env=variables,
            cwd="/",
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command, variables in pods_of(job, room)
    ]
    (room / job["metadata"]["name"]).write_text(" ".join(str(child.pid) for child in children))
    (room / "status").write_text(json.dumps({"status": {"active": len(children)}}))
