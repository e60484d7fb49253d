"""Runs a project's tests in its own environment, and reads what pytest reports."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from beampermit.environments import Environment
from beampermit.errors import BadInput, Outside
from beampermit.processes import Finished
from beampermit.project import Project
from beampermit.reading import read_json

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


TIMEOUT = 1800.0
"""Seconds after which tests that hang are stopped."""
PLUGIN = Path(__file__).with_name("gpu_plugin.py")


@dataclass(frozen=True)
class Ran:
    """One run of pytest. `trouble` says why there are no cases to judge; `peak` is in MiB of a GPU's memory."""

    cases: tuple[Case, ...] = ()
    code: int | None = None
    tail: str = ""
    trouble: str = ""
    peak: float = 0.0


def run_tests(project: Project, environment: Environment, folders: Sequence[str], *, gpu: bool = False) -> Ran:
    """Run the tests in `folders` that are marked `gpu`, or the ones that are not."""
    with tempfile.TemporaryDirectory() as temporary:
        own = Path(temporary)
        shutil.copy(PLUGIN, own / "beampermit_gpu.py")
        try:
            finished = _pytest(project, environment, folders, own, gpu)
        except Outside as error:
            return Ran(trouble=error.message)
        try:
            cases = read(own / "report.xml")
        except BadInput as error:
            return Ran(code=finished.code, trouble=_why_none(finished, error))
        return Ran(cases, finished.code, finished.tail, peak=_peak(own / "peak.json"))


def _pytest(project: Project, environment: Environment, folders: Sequence[str], own: Path, gpu: bool) -> Finished:
    # xunit1 is the form that names the file and line of each test.
    options = [f"--junitxml={own / 'report.xml'}", "--override-ini=junit_family=xunit1", "--quiet"]
    # What a project leaves out by its settings stays out; but a GPU's tests are often among that.
    marked = ["-m", "gpu"] if gpu else []
    return environment.run(
        ["-m", "pytest", *folders, "-p", "beampermit_gpu", *marked, *options],
        project=project.root,
        env={
            # Whoever runs the check has no say in which tests are run.
            "PYTEST_ADDOPTS": "",
            "PYTEST_PLUGINS": "",
            "PYTHONPATH": os.pathsep.join((str(project.root / "src"), str(own))),
            "BEAMPERMIT_GPU_PEAK": str(own / "peak.json") if gpu else "",
            "NO_COLOR": "1",
            "COLUMNS": "120",
        },
        timeout=TIMEOUT,
    )


def _peak(file: Path) -> float:
    """MiB, and 0 where nothing was measured: the file was written beside the project's own code."""
    try:
        found = read_json(file)
    except BadInput:
        return 0.0
    return max(found / 2**20, 0.0) if isinstance(found, int) and not isinstance(found, bool) else 0.0


def _why_none(finished: Finished, error: BadInput) -> str:
    """Why pytest gave no report that can be read."""
    if "No module named pytest" in finished.err:
        return "pytest is not in the locked environment: add it to the group dev of pyproject.toml"
    said = ERROR.findall(f"{finished.out}\n{finished.err}")
    if said:
        return f"pytest did not start: {said[-1]}"
    if finished.code == 0:
        return f"{error.message}, though its exit status is 0: something ended the process before the tests had"
    return f"{error.message}, exit status {finished.code}: {finished.tail}"
