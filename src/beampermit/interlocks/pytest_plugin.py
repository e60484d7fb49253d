"""A plugin for a project's pytest: it runs the tests marked `gpu`, or the others, and writes the result of each.

It runs in the project's environment, as a copy, and imports nothing of Beampermit. Options would not do: a second `-m`
replaces the one in the project's settings.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPORT, GPU = Path(os.environ["BEAMPERMIT_REPORT"]), bool(os.environ["BEAMPERMIT_GPU"])
RANKS = {"passed": 0, "skipped": 1, "failed": 2, "error": 2}
"""Of several results of one test (setup, call, teardown, subtests) the first of the highest rank counts."""
PLACE = re.compile(r"^([^\s:/.][^:\n]*\.py):(\d+): ", re.MULTILINE)
"""A line of a traceback that lies in the project."""
LONGEST = 300

_cases: dict[str, dict[str, Any]] = {}
_seconds: defaultdict[str, float] = defaultdict(float)
_peaks = [0]
"""Bytes of GPU memory, after each test."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the one kind of tests; `trylast`, since marks may be given by a conftest."""
    kept = [item for item in items if (item.get_closest_marker("gpu") is not None) == GPU]
    left = [item for item in items if item not in kept]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Measure in the process that runs the test; the report carries it to the one that writes (pytest-xdist)."""
    made: Any = yield
    if GPU and (torch := sys.modules.get("torch")):
        devices = range(torch.cuda.device_count())
        made.get_result().gpu_peak = max(map(torch.cuda.max_memory_allocated, devices), default=0)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Called for setup, call and teardown."""
    _seconds[report.nodeid] += report.duration
    _peaks.append(getattr(report, "gpu_peak", 0))
    if report.when == "call" or not report.passed:
        _record(report, "error" if report.failed and report.when != "call" else report.outcome)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that cannot be imported is an error."""
    if not report.passed:
        _record(report, "error" if report.failed else "skipped")


def pytest_internalerror(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """A conftest may break pytest itself."""
    last = excinfo.traceback[-1]
    _cases[""] = _case("pytest", "error", excinfo.exconly(), os.path.relpath(last.path), last.lineno + 1)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report, except in a worker of pytest-xdist."""
    if not hasattr(session.config, "workerinput"):
        cases = [{**case, "seconds": _seconds[nodeid]} for nodeid, case in _cases.items()]
        REPORT.write_text(json.dumps({"cases": cases, "gpu_peak": max(_peaks)}), encoding="utf-8")


def _record(report: Any, outcome: str) -> None:
    before = _cases.get(report.nodeid)
    if outcome not in RANKS or (before and RANKS[before["outcome"]] >= RANKS[outcome]):
        return
    file, line, _ = report.location
    line = None if line is None else line + 1
    if report.failed and (places := PLACE.findall(report.longreprtext)):
        file, line = places[-1][0], int(places[-1][1])
    name = report.nodeid.partition("::")[2] or "collection"
    _cases[report.nodeid] = _case(name, outcome, _message(report), file, line)


def _case(name: str, outcome: str, message: str, file: str, line: int | None) -> dict[str, Any]:
    return {"name": _clean(name), "outcome": outcome, "message": _clean(message), "file": _clean(file), "line": line}


def _message(report: Any) -> str:
    if report.skipped:
        reason = report.wasxfail if hasattr(report, "wasxfail") else report.longrepr[2]
        return reason.removeprefix("reason: ").removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash else report.longreprtext.strip().rpartition("\n")[2].removeprefix("E ")
    return f'failed on {report.when} with "{message}"' if report.when in ("setup", "teardown") else message


def _clean(text: str) -> str:
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
