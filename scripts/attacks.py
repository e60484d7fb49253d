"""Write the table of attacks from the marks of the tests: `python scripts/attacks.py > docs/attacks.md`."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
TEXTS = ("guard", "tried", "said")
HEAD = """# Attacks that were tried

Each row is a test. It plays the author of a pull request, or whoever can write the registry, the DVC remote or the
ledger's branch; it makes the attack for real, sees the guard refuse it, and reads what is said. [Trust](trust.md) says
what no guard prevents. This page is written from the tests: `python scripts/attacks.py > docs/attacks.md`.
"""


@dataclass(frozen=True, order=True)
class Attack:
    """The texts of a mark `pytest.mark.attack`, or of an `attack_case`, and the file that it stands in."""

    guard: str
    tried: str
    said: str
    file: str


def attacks(tests: Path = TESTS) -> list[Attack]:
    """Every attack that a test marks, by guard."""
    return sorted(attack for file in tests.rglob("test_*.py") for attack in _marked(file, tests))


def table(found: list[Attack]) -> str:
    """The page."""
    parts = [HEAD]
    for guard, of_guard in groupby(found, lambda attack: attack.guard):
        parts += [f"\n## {guard}\n\n| what was tried | what was said | test |\n|---|---|---|\n"]
        parts += [f"| {_cell(row.tried)} | {_cell(row.said)} | `{row.file}` |\n" for row in of_guard]
    return "".join(parts)


def _marked(file: Path, tests: Path) -> Iterator[Attack]:
    text = file.read_text(encoding="utf-8")
    if "attack" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("attack_case", "pytest.mark.attack"):
            words = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg in TEXTS}
            yield Attack(words["guard"], words["tried"], words["said"], file.relative_to(tests).as_posix())


def _cell(text: str) -> str:
    return re.sub(r"([|<])", r"\\\1", " ".join(text.split()))


if __name__ == "__main__":
    sys.stdout.write(table(attacks()))
