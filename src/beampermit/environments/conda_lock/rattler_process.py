"""Asks rattler, which runs in a process of its own, and says its failures in our words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

from beampermit.environments.conda_lock.variants import FILE
from beampermit.errors import BadInput, BeampermitError, Failed, Outside
from beampermit.processes import stop
from beampermit.progress import Progress

LONGEST = 600
AGAIN = "check the network, then run the command again"
LOGIN = "log in: a netrc file (NETRC), or ${VARIABLE} of a token in the channel's address"
FULL = ("No space left on device", "Disk quota exceeded", "os error 28")
NETWORK = ("Connect", "dns error", "timed out", "error sending request", "error decoding response body")
FIX = "change what clashes, then run `beampermit env lock`"


def ask(work: str, *, progress: Progress, **asked: Any) -> Any:
    """Have rattler do `work` (see `worker.py`). Raises `Failed`, `BadInput` or `Outside` for what it could not do."""
    answer = _answer({"work": work, **asked}, progress)
    if "result" in answer:
        return answer["result"]
    raise failure(answer["error"], answer["message"])


def failure(kind: str, said: str) -> BeampermitError:
    """What rattler said, as one of our errors."""
    words = shorten(said)
    return _fault_of_project(kind, said, words) or _fault_of_world(said, words)


def _fault_of_project(kind: str, said: str, words: str) -> BeampermitError | None:
    file = "environment.yml"
    if kind == "SolverError":
        return Failed(f"no solution: {words}", file=file, hint=FIX)
    if kind == "InvalidMatchSpecError":
        return BadInput(f"not a package: {words}", file=file)
    if found := re.search(r"'([^']+)' is not a known subdir", said):
        return BadInput(f"{found[1]!r} is no platform", file=file)
    if found := re.search(r"could not find subdir '[^']+' in channel '([^']+)'", said):
        return BadInput(f"there is no channel at {_masked(found[1].rstrip('/'))}", file=file, hint="fix `channels:`")
    return None


def _fault_of_world(said: str, words: str) -> BeampermitError:
    if any(sign in said for sign in FULL):
        return Outside(f"there is no space left on the disk: {words}", hint="free some space, then run it again")
    if found := re.search(r"HTTP status \w+ error \((\d+ [^)]*)\) for url \(([^)]*)\)", said):
        hint = LOGIN if found[1].startswith(("401", "403")) else AGAIN
        return Outside(f"a channel answers {found[1]} for {_masked(found[2])}", hint=hint)
    if any(sign in said for sign in NETWORK):
        return Outside(f"a channel cannot be reached: {words}", hint=AGAIN)
    if "zstd stream did not finish" in said or "repodata" in said:
        return Outside(f"a channel answers with something else than its packages: {words}", hint=AGAIN)
    return Outside(words)


def shorten(said: str) -> str:
    """A tree of reasons as one line."""
    lines = [re.sub(r"^[\s│├└─]+", "", line).removeprefix("Caused by: ").strip() for line in said.splitlines()]
    words = _masked("; ".join(line.rstrip(";,:.") for line in lines if line)) or "rattler failed and said nothing"
    words = words.removeprefix("Cannot solve the request because of: ")
    return words if len(words) <= LONGEST else words[: LONGEST - 1].rsplit(" ", 1)[0] + " …"


def _masked(words: str) -> str:
    """Without what a private channel's address carries: a token, or a name and password."""
    return re.sub(r"://[^/@\s]+@", "://***@", re.sub(r"/t/[^/\s]+/", "/t/***/", words))


def _answer(asked: dict[str, Any], progress: Progress) -> dict[str, Any]:
    command = [sys.executable, "-I", "-m", "beampermit.environments.conda_lock.worker"]
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        return _conversation(child, asked, progress)
    finally:
        stop(child)


def _conversation(child: subprocess.Popen[str], asked: dict[str, Any], progress: Progress) -> dict[str, Any]:
    if not (child.stdin and child.stdout):
        raise Outside("rattler cannot be spoken to")
    try:
        child.stdin.write(json.dumps(asked) + "\n")
        child.stdin.flush()
    except BrokenPipeError:
        pass  # It ended before it read: what it printed, or nothing, tells.
    for line in child.stdout:
        if line.startswith('{"watch"'):
            progress(json.loads(line)["watch"])
        elif line.startswith(('{"result"', '{"error"')):
            return json.loads(line)
    child.wait()
    raise Outside(f"rattler ended with status {child.returncode} before it answered", file=FILE)
