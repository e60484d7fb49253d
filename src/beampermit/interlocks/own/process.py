"""Asks a laboratory's interlocks in a process of their own, one for each check: whatever happens there is an answer."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

from pydantic import ValidationError

from beampermit.errors import BeampermitError, Outside
from beampermit.files import write_text
from beampermit.interlocks.interlock import Finding
from beampermit.interlocks.own.answers import Described, Found, Raised
from beampermit.processes import scratch_folder, start, stop
from beampermit.project import Project

MODULE = "beampermit.interlocks.own.inside"
SHOWN = 64 * 1024
"""Bytes of what a check prints that are shown: the last."""
IMPORTING = 120.0
"""Seconds that the import of each interlock may take."""
UNSEEN = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[^\x20-\x7e\xa0-\U0010ffff]")


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
    late = False
    with scratch_folder() as scratch:
        write_text(scratch / "request", json.dumps(request))
        answers, output = scratch / "answers", scratch / "output"
        command = [sys.executable, "-P", "-m", MODULE, scratch / "request", answers]
        with output.open("wb") as stream:
            child = start(command, cwd=Path.cwd(), env=os.environ, stdout=stream, stderr=stream)
            try:
                child.wait(limit)
            except TimeoutExpired:
                late = True
            finally:
                stop(child)  # also what it left running
        sys.stderr.writelines(f"{name}: {line}\n" for line in _printed(output))
        lines = answers.read_text(encoding="utf-8", errors="replace").splitlines() if answers.is_file() else ()
    if late:
        return list(_parsed(lines)), f"it took longer than {limit:g} s, and was ended"
    code = child.returncode
    how = f"exit status {code}" if code >= 0 else f"signal {-code}"
    return list(_parsed(lines)), f"it ended its process, with {how} and without an answer"


def _parsed(lines: Any) -> Iterator[dict[str, Any]]:
    for line in lines:
        with suppress(ValueError):  # half written
            parsed = json.loads(line)
            if isinstance(parsed, dict):
                yield parsed


def _printed(output: Path) -> Iterator[str]:
    """Its lines without what a terminal obeys, nor what GitHub's runner reads as a command anywhere in a line."""
    with output.open("rb") as stream:
        stream.seek(max(0, output.stat().st_size - SHOWN))
        text = stream.read().decode(errors="replace")
    for line in text.replace("\r", "\n").split("\n"):
        if line.strip():
            yield UNSEEN.sub(" ", line).replace("##[", "## [")
