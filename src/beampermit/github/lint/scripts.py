"""Expressions inside scripts: whoever names a branch or a title writes into the script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from beampermit.github.lint.reach import Defect
from beampermit.github.workflow import Step

_WORDS = 'an expression inside {} becomes part of the program; hand it over in `env:` and write "$NAME"'
SCRIPTED = "actions/github-script@"


def rule(file: str, steps: Sequence[Step]) -> Iterator[Defect]:
    """No `${{ }}` stands in a `run:`, nor in the script of actions/github-script."""
    for step in steps:
        if "${{" in step.run:
            yield Defect(file, step.line("run"), "script-expression", _WORDS.format("`run:`"))
        if step.uses.startswith(SCRIPTED) and "${{" in str(step.given.get("script", "")):
            yield Defect(file, step.line("with"), "script-expression", _WORDS.format("`script:`"))
