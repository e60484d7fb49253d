"""Reads the report that pytest writes with `--junitxml`. The project's own code made it: it is read as if hostile."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from beampermit.errors import BadInput

LARGEST = 64 * 2**20
LONGEST = 300
PLACE = re.compile(r"^(?P<file>[^\s:][^:\n]*\.py):(?P<line>\d+): ", re.MULTILINE)
ERROR = re.compile(r"^E\s+(?P<words>\S.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """One test: `outcome` is passed, failed, error or skipped; `file` is relative to the project, `line` from 1."""

    name: str
    outcome: str
    seconds: float
    message: str
    file: str
    line: int | None

    @property
    def place(self) -> str:
        """`file:line`."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


def read(path: Path) -> tuple[Case, ...]:
    """The tests of a report, in the order they ran. Raises `BadInput` for what is no report of at most 64 MiB."""
    if not path.is_file():
        raise BadInput("pytest wrote no report")
    if path.stat().st_size > LARGEST:
        raise BadInput(f"the report is larger than {LARGEST} bytes")
    try:
        text = path.read_bytes().decode()
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise BadInput("the report declares XML entities, which pytest never does")
        root = ElementTree.fromstring(text)  # noqa: S314 - without declarations there is nothing to expand
        return tuple(_case(element) for element in root.iter("testcase"))
    except (UnicodeDecodeError, ElementTree.ParseError, ValueError) as error:
        raise BadInput(f"the report is not one of pytest: {error}") from None


def _case(element: ElementTree.Element) -> Case:
    outcome, found = next(
        ((kind, child) for kind in ("failure", "error", "skipped") if (child := element.find(kind)) is not None),
        ("passed", None),
    )
    text = (found.text or "") if found is not None else ""
    file, line = _place(text, element)
    return Case(
        name=element.get("name", "a test without a name"),
        outcome="failed" if outcome == "failure" else outcome,
        seconds=max(float(element.get("time", "0")), 0.0),
        message=_message(text, found.get("message", "") if found is not None else ""),
        file=file,
        line=line,
    )


def _place(text: str, element: ElementTree.Element) -> tuple[str, int | None]:
    """Where it failed: the last place of the traceback that lies in the project, else where the test begins."""
    inside = [match for match in PLACE.finditer(text) if not match["file"].startswith(("/", ".."))]
    if inside:
        return inside[-1]["file"], int(inside[-1]["line"])
    file, line = element.get("file"), element.get("line", "")
    if file is None:
        module = element.get("classname") or element.get("name", "")
        return f"{module.replace('.', '/')}.py", None
    return file, int(line) + 1 if line.isdecimal() else None


def _message(text: str, summary: str) -> str:
    said = ERROR.findall(text)
    words = said[-1] if said and ("collection failure" in summary or not summary) else summary
    line = " ".join(words.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
