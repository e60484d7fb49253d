"""Runs a project's pytest with a plugin: it runs the tests marked `gpu`, or the others, and writes the result of each.

It runs in the project's environment, as a copy, and imports nothing of Beampermit. Nothing of the project is imported
before it: pytest is the environment's, and the report goes to a file without a name, with a word that was read before.
Options would not do: a second `-m` replaces the one in the project's settings. PYTEST_DONT_REWRITE, for it is imported
before pytest could.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import atexit
import functools
import gc
import inspect
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

GPU, ROOT = bool(os.environ.get("BEAMPERMIT_GPU")), Path.cwd()
RANKS = {"passed": 0, "skipped": 1, "failed": 2, "error": 2}
"""Of several results of one test (setup, call, teardown, subtests) the first of the highest rank counts."""
PLACE = re.compile(r"^([^\s:/.][^:\n]*\.py):(\d+): ", re.MULTILINE)
"""A line of a traceback that lies in the project."""
LONGEST = 300
CHOOSING = ("markexpr", "keyword", "deselect", "ignore", "ignore_glob", "lf", "stepwise", "setuponly", "setupplan")
"""Options of pytest that leave tests out."""
UNCALLED, CHANGED = "its function was not called", "its function was changed"

_cases: dict[str, dict[str, Any]] = {}
_collected: dict[str, dict[str, Any]] = {}
_options: dict[str, str] = {}
_seconds: defaultdict[str, float] = defaultdict(float)
_calls: dict[str, str] = {}
"""Of each test whose function was called in this process: what it raised, or nothing."""
_seen: dict[str, str] = {}
"""The same, as the reports of the tests carry it from the process that ran them; the worst of the phases."""
_peaks = [0]
"""Bytes of GPU memory, after each test."""
_answer: dict[str, Any] = {}


def main() -> int:
    """`beampermit_pytest.py FD ARGUMENTS`: run pytest as `python -m pytest` does, and write the report to FD."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    _answer.update(word=sys.stdin.read(), stream=os.fdopen(descriptor, "w", encoding="utf-8"))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    root, own = str(Path.cwd()), str(Path(__file__).parent)
    sys.argv[:] = ["pytest", *sys.argv[2:]]
    sys.path[:0] = [own, root, str(Path(root, "src"))]
    os.environ["PYTHONPATH"] = os.pathsep.join((str(Path(root, "src")), own))
    return int(pytest.main(sys.argv[1:]))


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    """Of what tests import nothing goes: looking for what does takes a sixth of the time of it all.

    What a test imports later, as torch's optimizers do, makes Python look through all of it again.
    """
    collects = gc.isenabled()
    gc.disable()
    yield
    if collects:
        gc.freeze()
        atexit.register(gc.unfreeze)  # libraries call what is left there at the end a leak
        gc.enable()


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> Iterator[None]:
    """Note each test before a hook or an option can leave it out or change it, and watch its function."""
    function = getattr(item, "obj", None) if isinstance(item, pytest.Function) else None
    source = inspect.unwrap(function) if function else None
    code = getattr(source, "__code__", None)
    _collected[item.nodeid] = {
        "file": _relative(item.path),
        "line": (item.location[1] or 0) + 1,
        "name": _clean(item.nodeid.partition("::")[2]),
        "source": _relative(code.co_filename) if code else "",
        "qualname": _clean(getattr(source, "__qualname__", "")),
        "function": function is not None,
        "watched": False,
        "marks": sorted({_clean(mark.name) for mark in item.iter_markers()}),
    }
    # A unittest.TestCase finds its method by its name.
    if callable(function) and not hasattr(item, "_testcase") and not hasattr(item, "addError"):
        item.obj = _watched(item.nodeid, function)  # pyright: ignore[reportAttributeAccessIssue]
        _collected[item.nodeid]["watched"] = True
    yield


def _watched(nodeid: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, noted when it is called and when it raises."""
    source: Any = inspect.unwrap(function)
    code = getattr(source, "__code__", None)

    def began() -> None:
        _calls[nodeid] = "" if getattr(source, "__code__", None) is code else CHANGED

    def raised(error: BaseException) -> None:
        _calls[nodeid] = f"it raised {type(error).__name__}: {error}"

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        began()
        try:
            return function(*arguments, **named)
        except BaseException as error:
            raised(error)
            raise

    @functools.wraps(function)
    async def wait(*arguments: Any, **named: Any) -> Any:
        began()
        try:
            return await function(*arguments, **named)
        except BaseException as error:
            raised(error)
            raise

    watched: Any = wait if inspect.iscoroutinefunction(function) else call
    for name in ("__self__", "__func__"):  # pytest and its plugins ask methods for these
        if hasattr(function, name):
            setattr(watched, name, getattr(function, name))
    return watched


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the one kind of tests; `trylast`, since marks may be given by a conftest."""
    for item in items:
        if item.nodeid in _collected:
            _collected[item.nodeid]["marks"] = sorted({_clean(mark.name) for mark in item.iter_markers()})
    kept = [item for item in items if (item.get_closest_marker("gpu") is not None) == GPU]
    left = [item for item in items if item not in kept]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def _is_watched(nodeid: str) -> bool:
    return _collected.get(nodeid, {}).get("watched", False)


def pytest_configure(config: pytest.Config) -> None:
    """Paths of reports are relative to this folder."""
    _answer["rootpath"] = config.rootpath


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Measure in the process that runs the test; the report carries it to the one that writes (pytest-xdist)."""
    made: Any = yield
    report = made.get_result()
    if call.when == "call":
        report.beampermit_call = _calls.pop(item.nodeid, UNCALLED if _is_watched(item.nodeid) else "")
    if call.excinfo is not None and report.passed:
        report.beampermit_raised = f"it raised {call.excinfo.typename}: {call.excinfo.value}"
    if GPU and (torch := sys.modules.get("torch")):
        devices = range(torch.cuda.device_count())
        report.gpu_peak = max(map(torch.cuda.max_memory_allocated, devices), default=0)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Called for setup, call and teardown."""
    _seconds[report.nodeid] += report.duration
    _peaks.append(getattr(report, "gpu_peak", 0))
    seen = getattr(report, "beampermit_raised", "") or getattr(report, "beampermit_call", None)
    if seen is not None:
        _seen[report.nodeid] = seen if report.when == "call" else seen or _seen.get(report.nodeid, "")
    if report.when == "call" or not report.passed:
        _record(report, "error" if report.failed and report.when != "call" else report.outcome)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that cannot be imported is an error."""
    if not report.passed:
        _record(report, "error" if report.failed else "skipped")


def pytest_internalerror(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """A conftest may break pytest itself."""
    last = excinfo.traceback[-1]
    _cases[""] = _case("", "pytest", "error", excinfo.exconly(), _relative(last.path), last.lineno + 1)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What a worker of pytest-xdist collected."""
    output = getattr(node, "workeroutput", {})
    _collected.update(output.get("beampermit_collected", {}))


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Write the report, after all other hooks; a worker of pytest-xdist hands on what it collected."""
    worker = hasattr(session.config, "workerinput")
    if worker:
        session.config.workeroutput["beampermit_collected"] = _collected  # pyright: ignore[reportAttributeAccessIssue]
    yield
    if worker:
        return
    options = {name: session.config.getoption(name, None) for name in CHOOSING}
    report = {
        "word": _answer["word"],
        "cases": [
            {
                **case,
                "seconds": _seconds[nodeid],
                "seen": _clean(_seen.get(nodeid, UNCALLED if _is_watched(nodeid) else "")),
            }
            for nodeid, case in _cases.items()
        ],
        "collected": [{"id": _clean(nodeid), **item} for nodeid, item in _collected.items()],
        "options": [_clean(f"{name} {value}") for name, value in options.items() if value],
        "settings": _relative(session.config.inipath) if session.config.inipath else "",
        "gpu_peak": max(_peaks),
    }
    with _answer["stream"] as stream:
        json.dump(report, stream)


def _relative(path: str | Path) -> str:
    return _clean(os.path.relpath(path, ROOT))


def _record(report: Any, outcome: str) -> None:
    before = _cases.get(report.nodeid)
    if outcome not in RANKS or (before and RANKS[before["outcome"]] >= RANKS[outcome]):
        return
    file, line, _ = report.location
    file, line = _relative(_answer["rootpath"] / file), None if line is None else line + 1
    if report.failed and (places := PLACE.findall(report.longreprtext)):
        file, line = places[-1][0], int(places[-1][1])
    name = report.nodeid.partition("::")[2] or "collection"
    case = _case(report.nodeid, name, outcome, _message(report), file, line)
    _cases[report.nodeid] = case | {"expected": hasattr(report, "wasxfail")}


def _case(nodeid: str, name: str, outcome: str, message: str, file: str, line: int | None) -> dict[str, Any]:
    return {
        "id": _clean(nodeid),
        "name": _clean(name),
        "outcome": outcome,
        "message": _clean(message),
        "file": _clean(file),
        "line": line,
        "expected": False,
    }


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


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    import beampermit_pytest  # the plugin, under the name that pytest and its workers know

    sys.path.pop(0)
    sys.exit(beampermit_pytest.main())
