"""Runs a project's tests in its own environment, and reads the result of each."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from beampermit.environments import Environment
from beampermit.errors import BadInput, Outside
from beampermit.processes import Finished
from beampermit.project import Project
from beampermit.reading import first_fault, read_json
from beampermit.record import Record

TIMEOUT = 1800.0
"""Seconds after which tests that hang are stopped."""
LARGEST = 64 * 2**20
PLUGIN = Path(__file__).with_name("pytest_plugin.py")


Text = Annotated[str, Field(max_length=300, pattern=r"^\P{C}*$")]


class Case(Record, strict=True):
    """One test: `file` is relative to the project, `line` from 1."""

    name: Text
    outcome: Literal["passed", "failed", "error", "skipped"]
    seconds: float = Field(ge=0)
    message: Text
    file: Text
    line: int | None = Field(ge=1)

    @property
    def place(self) -> str:
        """`file:line`."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


class Report(Record, strict=True):
    """What the plugin writes: the tests in the order they ran, and the peak memory of one GPU in bytes."""

    cases: list[Case]
    gpu_peak: int = Field(ge=0)


@dataclass(frozen=True)
class Ran:
    """One run of pytest. `trouble` says why there are no cases to judge; `peak` is in MiB of a GPU's memory."""

    cases: Sequence[Case] = ()
    code: int | None = None
    tail: str = ""
    trouble: str = ""
    peak: float = 0.0


def run_tests(project: Project, environment: Environment, folders: Sequence[str], *, gpu: bool = False) -> Ran:
    """Run the tests in `folders` that are marked `gpu`, or the ones that are not."""
    with tempfile.TemporaryDirectory() as temporary:
        own = Path(temporary)
        shutil.copy(PLUGIN, own / "beampermit_pytest.py")
        try:
            finished = _pytest(project, environment, folders, own, gpu)
        except Outside as error:
            return Ran(trouble=error.message)
        try:
            report = read_report(own / "report.json")
        except BadInput as error:
            return Ran(code=finished.code, trouble=_why_none(finished, error))
        return Ran(report.cases, finished.code, finished.tail, peak=report.gpu_peak / 2**20)


def read_report(path: Path) -> Report:
    """Read what the plugin wrote; the project's own code may have written it instead. Raises `BadInput`."""
    if not path.is_file():
        raise BadInput("pytest wrote no report")
    try:
        return Report.model_validate(read_json(path, limit=LARGEST))
    except ValidationError as error:
        raise BadInput(f"this is not a report of Beampermit's pytest plugin: {first_fault(error)}", file=path) from None


def _pytest(project: Project, environment: Environment, folders: Sequence[str], own: Path, gpu: bool) -> Finished:
    # What a project leaves out by its settings stays out; but a GPU's tests are often among that.
    marked = ["-m", "gpu"] if gpu else []
    return environment.run(
        ["-m", "pytest", *folders, "-p", "beampermit_pytest", *marked, "--quiet"],
        project=project.root,
        env={
            # Whoever runs the check has no say in which tests are run.
            "PYTEST_ADDOPTS": "",
            "PYTEST_PLUGINS": "",
            "PYTHONPATH": os.pathsep.join((str(project.root / "src"), str(own))),
            "BEAMPERMIT_REPORT": str(own / "report.json"),
            "BEAMPERMIT_GPU": "1" if gpu else "",
            "NO_COLOR": "1",
            "COLUMNS": "120",
        },
        timeout=TIMEOUT,
    )


def _why_none(finished: Finished, error: BadInput) -> str:
    """Why pytest gave no report that can be read."""
    if "No module named pytest" in finished.err:
        return "pytest is not in the locked environment: add it to the group dev of pyproject.toml"
    if finished.tail.startswith("E "):
        return f"pytest did not start: {finished.tail[2:].strip()}"
    if finished.code == 0:
        return f"{error.message}, though its exit status is 0: something ended the process before the tests had"
    return f"{error.message}, exit status {finished.code}: {finished.tail}"
