"""Runs rattler in a process of its own and turns its failures into our errors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from beampermit.environments.conda_lock.lockfile import FILE
from beampermit.errors import BadInput, BeampermitError, Failed, Outside
from beampermit.processes import for_tools, stop
from beampermit.progress import Progress

WORKER = Path(__file__).with_name("worker.py")
LONGEST = 600
AGAIN = "check the network, then run the command again"
LOGIN = "log in: a netrc file (NETRC), or ${VARIABLE} of a token in the channel's address"
FULL = ("No space left on device", "Disk quota exceeded", "os error 28")
NETWORK = ("Connect", "dns error", "timed out", "error sending request", "error decoding response body")
RESOLVE = "change what clashes, then run `beampermit env lock`"


def run_rattler(work: str, *, progress: Progress, **request: Any) -> Any:
    """Have rattler do `work` (see `worker.py`). Raises `Failed`, `BadInput` or `Outside`."""
    answer = _answer({"work": work, **request}, progress)
    if "result" in answer:
        return answer["result"]
    raise failure(answer["error"], answer["message"])


def failure(kind: str, output: str) -> BeampermitError:
    """The error for what rattler reported."""
    reason = shorten(output)
    return _project_fault(kind, output, reason) or _outside_fault(output, reason)


def _project_fault(kind: str, output: str, reason: str) -> BeampermitError | None:
    file = "environment.yml"
    if kind == "SolverError":
        return Failed(f"no solution: {reason}", file=file, hint=RESOLVE)
    if kind == "InvalidMatchSpecError":
        return BadInput(f"not a package: {reason}", file=file)
    if match := re.search(r"'([^']+)' is not a known subdir", output):
        return BadInput(f"{match[1]!r} is not a platform of conda", file=file)
    if match := re.search(r"could not find subdir '[^']+' in channel '([^']+)'", output):
        return BadInput(f"there is no channel at {_masked(match[1].rstrip('/'))}", file=file, hint="fix `channels:`")
    return None


def _outside_fault(output: str, reason: str) -> BeampermitError:
    if any(sign in output for sign in FULL):
        return Outside(f"no space is left on the disk: {reason}", hint="free some space, then run it again")
    if match := re.search(r"HTTP status \w+ error \((\d+ [^)]*)\) for url \(([^)]*)\)", output):
        hint = LOGIN if match[1].startswith(("401", "403")) else AGAIN
        return Outside(f"a channel answers {match[1]} for {_masked(match[2])}", hint=hint)
    if any(sign in output for sign in NETWORK):
        return Outside(f"a channel cannot be reached: {reason}", hint=AGAIN)
    if "zstd stream did not finish" in output or "repodata" in output:
        return Outside(f"a channel does not serve a valid index of packages: {reason}", hint=AGAIN)
    return Outside(reason)


def shorten(output: str) -> str:
    """rattler's tree of reasons as one line."""
    lines = [re.sub(r"^[\s│├└─]+", "", line).removeprefix("Caused by: ").strip() for line in output.splitlines()]
    reason = _masked("; ".join(line.rstrip(";,:.") for line in lines if line)) or "rattler failed without a message"
    reason = reason.removeprefix("Cannot solve the request because of: ")
    return reason if len(reason) <= LONGEST else reason[: LONGEST - 1].rsplit(" ", 1)[0] + " …"


def _masked(text: str) -> str:
    """The text without tokens and passwords of private channels' addresses."""
    return re.sub(r"://[^/@\s]+@", "://***@", re.sub(r"/t/[^/\s]+/", "/t/***/", text))


def _answer(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    # By its file: as a module it would import our package of backends first, which takes longer than its work.
    command = [sys.executable, "-I", WORKER]
    child = subprocess.Popen(
        command,
        env=for_tools(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        return _conversation(child, request, progress)
    finally:
        stop(child)


def _conversation(child: subprocess.Popen[str], request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    if not (child.stdin and child.stdout):
        raise Outside("the process of rattler has no pipes")
    try:
        child.stdin.write(json.dumps(request) + "\n")
        child.stdin.flush()
    except BrokenPipeError:
        pass  # It ended before it read; what it printed says why.
    for line in child.stdout:
        if line.startswith('{"step"'):
            progress(json.loads(line)["step"])
        elif line.startswith(('{"result"', '{"error"')):
            return json.loads(line)
    child.wait()
    raise Outside(f"rattler ended with status {child.returncode} before it answered", file=FILE)
