"""Verdict files come from jobs that ran a pull request's code: they are read as such."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from beampermit.errors import BadInput
from beampermit.verdicts.verdict import Outcome, Verdict, VerdictFile, Where, exit_code, read_verdicts, write_verdicts


def verdict(id: str = "ENV001", outcome: Outcome = Outcome.PASSED, code: int = 0) -> Verdict:
    return Verdict(id=id, title="The lock exists", outcome=outcome, reason="uv.lock", exit_code=code)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "verdicts.json"
    where = Where(host="here", system="Linux", python="3.11")
    found = VerdictFile(checker="0.1.0", commit="c" * 40, tree="d" * 40, where=where, verdicts=(verdict(),))
    write_verdicts(path, found)
    return path


def test_what_is_written_is_read(file: Path) -> None:
    assert read_verdicts(file).verdicts == (verdict(),)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("outcome", "open", "verdicts.0.outcome"),
        ("id", "ENV1; rm", "verdicts.0.id"),
        ("seconds", -1, "verdicts.0.seconds"),
        ("colour", "red", "verdicts.0.colour: Extra inputs"),
    ],
)
def test_a_forged_verdict_is_named(file: Path, key: str, value: object, message: str) -> None:
    content = json.loads(file.read_text())
    content["verdicts"][0][key] = value
    file.write_text(json.dumps(content))
    with pytest.raises(BadInput) as caught:
        read_verdicts(file)
    assert message in str(caught.value)


def test_only_passed_counts() -> None:
    assert [verdict(outcome=outcome).passed for outcome in Outcome] == [True, False, False, False]


@pytest.mark.parametrize(("codes", "expected"), [([0, 0], 0), ([0, 4], 4), ([1, 4], 1), ([2, 0], 2), ([], 0)])
def test_a_failed_interlock_decides_the_exit_code_before_the_outside_world_does(
    codes: list[int], expected: int
) -> None:
    assert exit_code(verdict(code=code) for code in codes) == expected
