"""Verdict files come from jobs that ran a pull request's code, and are read strictly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from beampermit.errors import BadInput
from beampermit.verdicts.evidence import Champion, Comparison, RowChecks, SplitChanges
from beampermit.verdicts.verdict import (
    Outcome,
    Verdict,
    VerdictFile,
    Where,
    exit_code,
    find_evidence,
    read_verdicts,
    write_verdicts,
)


def verdict(id: str = "ENV001", outcome: Outcome = Outcome.PASSED, code: int = 0) -> Verdict:
    return Verdict(id=id, title="The lock exists", outcome=outcome, reason="uv.lock", exit_code=code)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "verdicts.json"
    where = Where(host="here", system="Linux", python="3.11")
    content = VerdictFile(checker="0.1.0", commit="c" * 40, tree="d" * 40, where=where, verdicts=(verdict(),))
    write_verdicts(path, content)
    return path


def test_what_is_written_is_read(file: Path) -> None:
    assert read_verdicts(file).verdicts == (verdict(),)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("outcome", "open", "verdicts.0.outcome"),
        ("id", "ENV1; rm", "verdicts.0.id"),
        ("seconds", -1, "verdicts.0.seconds"),
        ("until", "release", "only a skipped check is put off"),
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


def compared(evidence: object) -> dict[str, object]:
    return {**verdict("PRF002").model_dump(mode="json"), "evidence": evidence}


def test_evidence_is_read_as_the_record_of_its_interlock() -> None:
    champion = Champion(version=3, digest="sha256:0", metrics={"auc": 0.98})
    comparison = Comparison(champion=champion, challenger={"auc": 0.99})
    read = Verdict.model_validate_json(json.dumps(compared(comparison.model_dump(mode="json"))))
    assert read.evidence == comparison
    assert find_evidence([verdict(), read], Comparison) == comparison


@pytest.mark.parametrize(
    "evidence",
    [
        {"champion": None},
        {"champion": 3, "challenger": {}},
        {"champion": None, "challenger": {"auc": True}},
        {"champion": None, "challenger": {"auc": "0.9"}},
        {"champion": None, "challenger": {"auc": float("nan")}},
        {"champion": None, "challenger": {}, "colour": "red"},
        [3],
        None,
    ],
)
def test_evidence_of_another_shape_is_dropped_and_the_verdict_stays(evidence: object) -> None:
    read = Verdict.model_validate(compared(evidence))
    assert (read.evidence, read.passed) == ({}, True)
    assert find_evidence([read], Comparison) is None


def test_a_comparison_of_many_splits_is_cut() -> None:
    words = tuple(map(str, range(50)))
    split = SplitChanges(split="x", changes=words, histograms=dict.fromkeys(words, ("a", "b")))
    kept = RowChecks(changes=(split,) * 50).changes
    assert (len(kept), len(kept[0].changes), len(kept[0].histograms)) == (20, 20, 20)
