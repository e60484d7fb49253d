"""Runs a project's tests in its own environment, and reads what pytest reports."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from beampermit.environments import Environment
from beampermit.errors import BadInput, Outside
from beampermit.interlocks import junit
from beampermit.interlocks.junit import Case
from beampermit.processes import Finished
from beampermit.project import Project
from beampermit.reading import read_json

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
            cases = junit.read(own / "report.xml")
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
    said = junit.ERROR.findall(f"{finished.out}\n{finished.err}")
    if said:
        return f"pytest did not start: {said[-1]}"
    if finished.code == 0:
        return f"{error.message}, though its exit status is 0: something ended the process before the tests had"
    return f"{error.message}, exit status {finished.code}: {finished.tail}"
