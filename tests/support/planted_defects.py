"""Tests that plant a defect name the interlocks that must fail: `@pytest.mark.plants("DAT004")`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial, wraps

import pytest

from beampermit.errors import Failed
from beampermit.interlocks.families import load_interlocks
from beampermit.interlocks.interlock import Finding
from beampermit.verdicts.verdict import Outcome


@contextmanager
def failing(*ids: str) -> Iterator[None]:
    """Assert that `check` of each of these interlocks fails at least once in the block."""
    failed: set[str] = set()
    known = load_interlocks({id[:3] for id in ids})
    with pytest.MonkeyPatch.context() as patch:
        for id in ids:
            patch.setattr(known[id], "check", _noting_failures(known[id].check, partial(failed.add, id)))
        yield
    assert failed == set(ids), f"{', '.join(sorted(set(ids) - failed))} did not fail in this test"


def without_defect(ids: Iterable[str], sources: Iterable[str]) -> list[str]:
    """Those of `ids` that no mark `plants` in the sources of the tests names."""
    return sorted(set(ids).difference(*(_planted(source) for source in sources if "plants" in source)))


@cache
def _planted(source: str) -> frozenset[str]:
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    marks = [node for node in calls if isinstance(node.func, ast.Attribute) and node.func.attr == "plants"]
    return frozenset(ast.literal_eval(argument) for node in marks for argument in node.args)


def _noting_failures(check: Callable[..., Finding], note: Callable[[], None]) -> Callable[..., Finding]:
    @wraps(check)
    def watched(*arguments: object, **named: object) -> Finding:
        try:
            finding = check(*arguments, **named)
        except Failed:
            note()
            raise
        if finding.outcome is Outcome.FAILED:
            note()
        return finding

    return watched
