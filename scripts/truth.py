"""Write the table of what the service shows: `python scripts/truth.py > docs/truth.md`."""

from __future__ import annotations

import ast
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.truth import ALLOWANCE, SITUATIONS, Situation  # noqa: E402

HEAD = """# What the service shows

What the PV of an output shows in each situation: value, severity, alarm status and message, and how soon. A held or
default value is MAJOR, so that nobody takes it for an answer. An answer has the time of its newest input, all else the
time from which it is shown ([times](service.md#times)).

Each row has a test. It asserts value, severity, status and message of an output as the inference loop shows it, also
where a process of the model or the ledger is at fault. Much of what is wrong with an input is read from PVs of a
running service as well, by clients over CA and PVA: `test_serve.py::test_a_watch`. A cycle begins when rows are due,
and inputs are judged again every 0.2 s. `within` is measured as well: from the fault, as its source, the model's
process or the ledger has it, to the update of the loop; no update since the fault shows an answer where there is to
be none. The tests allow a loaded machine {allowance:g} s more. From the update to a client it is
[milliseconds](performance.md). Where nothing can be measured, the row says why. In the PV itself AMSG is cut at 39
bytes; `REASON` has the whole message of the worst. The tests stand below `tests/unit/live`. This page is written from
them: `python scripts/truth.py > docs/truth.md`.

| situation | value | severity | status | message | within | test |
|---|---|---|---|---|---|---|
"""


Marked = dict[str, list[tuple[str, bool]]]
"""Situation -> the tests that are marked with it, and whether they measure `within`."""


def tests_by_situation(tests: Path) -> Marked:
    """Raises `SystemExit` for a mark that stands at no test."""
    marked: Marked = defaultdict(list)
    for file in sorted(tests.rglob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        if "truth" not in text:
            continue
        name, module = os.path.relpath(file, tests / "unit/live"), ast.parse(text)
        of_tests = set[ast.Call]()
        for test in ast.walk(module):
            if isinstance(test, ast.FunctionDef):
                for mark in _marks(*test.decorator_list):
                    of_tests.add(mark)
                    marked[ast.literal_eval(mark.args[0])].append((f"{name}::{test.name}", _measures(mark)))
        if lost := [mark.lineno for mark in _marks(module) if mark not in of_tests]:
            sys.exit(f"{file}, line {lost[0]}: this mark is not in a decorator of a test")
    return marked


def _marks(*nodes: ast.AST) -> Iterator[ast.Call]:
    for node in nodes:
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("pytest.mark.truth", "truth_case"):
                yield call


def _measures(mark: ast.Call) -> bool:
    return any(word.arg == "measured" and ast.unparse(word.value) == "True" for word in mark.keywords)


def page(marked: Marked) -> str:
    """Raises `SystemExit` for a row without a test, one whose `within` nothing says, and for a mark without a row."""
    if untested := SITUATIONS.keys() - marked.keys():
        sys.exit(f"no test is marked with {sorted(untested)}")
    if unknown := marked.keys() - SITUATIONS.keys():
        sys.exit(f"tests/support/truth.py has no {sorted(unknown)}")
    for name, situation in SITUATIONS.items():
        if any(measures for _, measures in marked[name]) == bool(situation.derived):
            sys.exit(f"{name!r}: either a test measures `within`, or the row says why none does")
    return HEAD.format(allowance=ALLOWANCE) + "".join(
        _row(situation, marked[name]) for name, situation in SITUATIONS.items()
    )


def _row(situation: Situation, marked: list[tuple[str, bool]]) -> str:
    message = f"`{situation.message}`" if situation.message else ""
    within = f"{situation.within}: {situation.derived}" if situation.derived else situation.within
    tests = ", ".join(f"`{test}`" for test in dict.fromkeys(test for test, _ in marked))
    words = (situation.when, situation.value, situation.severity.name, situation.status.name, message)
    return f"| {' | '.join(words)} | {within} | {tests} |\n"


if __name__ == "__main__":
    sys.stdout.write(page(tests_by_situation(ROOT / "tests")))
