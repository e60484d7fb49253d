"""Asks a laboratory's interlocks in a process of their own, one for each check: whatever happens there is an answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

from pydantic import ValidationError

from beampermit.errors import BeampermitError, Outside
from beampermit.files import write_text
from beampermit.forking import Kept
from beampermit.interlocks.interlock import Finding
from beampermit.interlocks.own.answers import Described, Found, Raised
from beampermit.interlocks.own.printed import Printed
from beampermit.processes import scratch_folder, start, stop
from beampermit.project import Project

MODULE = "beampermit.interlocks.own.inside"
IMPORTING = 120.0
"""Seconds that the import of each interlock may take."""
STARTING = 120.0
"""Seconds that the import of ours may take."""


def describe(folder: Path, points: Mapping[str, str]) -> dict[str, Described]:
    """What each entry point is, by id. One that ends the process is none, and the others are asked again."""
    found: dict[str, Described] = {}
    while left := {id: value for id, value in points.items() if id not in found}:
        request = {"folder": str(folder), "points": left}
        answers, ended = _ask("the laboratory's own interlocks", request, IMPORTING * len(left))
        begun = next(iter(left))
        for answer in answers:
            begun = answer.get("begun", begun)
            with suppress(KeyError, ValidationError):
                found[answer["id"]] = Described.model_validate(answer["described"])
        if begun not in found:
            found[begun] = Described(why=f"{left[begun]} cannot be loaded: {ended}")
    return found


def judge(
    project: Project, package: str, id: str, value: str, folder: Path, inputs: tuple[str, ...], limit: float
) -> Finding:
    """What the check finds. Raises what it raised, as ours, and `Outside` without an answer in `limit` seconds."""
    check = {"root": str(project.root), "base": project.base, "inputs": inputs, "package": package}
    answers, ended = _ask(f"{id} ({package})", {"folder": str(folder), "points": {id: value}, "check": check}, limit)
    answer = next((answer for answer in answers if answer.get("id") == id), {})
    try:
        if "found" in answer:
            return Found.model_validate(answer["found"]).finding()
        error: BeampermitError = Raised.model_validate(answer["raised"]).error()
    except (KeyError, ValidationError):
        error = Outside(f"internal error in this check of {package}: {ended}")
    raise error


def _ask(name: str, request: dict[str, Any], limit: float) -> tuple[list[dict[str, Any]], str]:
    """The answers, and how the process ended, at the latest after `limit` seconds.

    What it prints goes to stderr, under `name`.
    """
    with scratch_folder() as scratch:
        write_text(scratch / "request", json.dumps(request))
        with Printed(scratch / "output") as printed:
            code = (_forked if sys.platform == "linux" else _started)(scratch, limit, printed)
        sys.stderr.writelines(f"{name}: {line}\n" for line in printed.lines())
        answers = scratch / "answers"
        lines = answers.read_text(encoding="utf-8", errors="replace").splitlines() if answers.is_file() else ()
    if code is None:
        return list(_parsed(lines)), f"it took longer than {limit:g} s, and was ended"
    how = f"exit status {code}" if code >= 0 else f"signal {-code}"
    return list(_parsed(lines)), f"it ended its process, with {how} and without an answer"


def _forked(scratch: Path, limit: float, printed: Printed) -> int | None:
    """The exit status of a process that is forked from one that has imported ours; None where it took too long."""
    command = (sys.executable, "-P", "-m", MODULE, "serve")
    request = {name: str(scratch / name) for name in ("request", "answers", "output")} | {"cwd": str(Path.cwd())}
    with _kept.use(command, dict(os.environ), Path.cwd()) as process:
        try:
            code = process.run(request, limit, STARTING)
        except TimeoutError:
            return None
        if code is None:  # it ended, as where ours cannot be imported
            process.errors.seek(0)
            printed.add(process.errors.read())
            return process.child.returncode
        return code


def _started(scratch: Path, limit: float, _printed: Printed) -> int | None:
    """The same of a process that is started: a fork of what has imported so much is not safe everywhere."""
    command = [sys.executable, "-P", "-m", MODULE, scratch / "request", scratch / "answers"]
    with (scratch / "output").open("wb") as stream:
        child = start(command, cwd=Path.cwd(), env=os.environ, stdout=stream, stderr=stream)
        try:
            child.wait(limit)
        except TimeoutExpired:
            return None
        finally:
            stop(child)  # also what it left running
    return child.returncode


_kept = Kept()


def _parsed(lines: Any) -> Iterator[dict[str, Any]]:
    for line in lines:
        with suppress(ValueError):  # half written
            parsed = json.loads(line)
            if isinstance(parsed, dict):
                yield parsed
