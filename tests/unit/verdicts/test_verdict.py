"""Verdict files come from jobs that ran a pull request's code, and are read strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from beampermit.digest import digest_json
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
)
from beampermit.verdicts.writing import write_verdicts


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


@pytest.fixture
def skipped(file: Path) -> Path:
    """A job's file whose second verdict waits for the first."""
    waiting = verdict("ENV005", Outcome.SKIPPED, 1).model_copy(
        update={"fix": "Run `beampermit env sync`.", "reason": "waits for ENV001", "waits_for": ("ENV001",)}
    )
    write_verdicts(file, read_verdicts(file).model_copy(update={"verdicts": (verdict(), waiting)}))
    assert read_verdicts(file).verdicts[1] == waiting
    return file


@pytest.mark.attack(
    guard="permit assemble",
    tried="`skipped` is edited to `passed` in a verdict file",
    said="the verdicts were changed after they were written",
)
def test_a_verdict_file_that_was_edited_is_refused(skipped: Path, said: str) -> None:
    text = skipped.read_text()
    skipped.write_text(text.replace('"skipped"', '"passed"').replace('"exit_code": 1', '"exit_code": 0'))
    body = json.loads(skipped.read_text())
    body["verdicts"][1] |= {"fix": "", "waits_for": []}
    for edited in (body, {key: value for key, value in body.items() if key != "digest"}, {**body, "digest": None}):
        skipped.write_text(json.dumps(edited))
        with pytest.raises(BadInput, match=said):
            read_verdicts(skipped)
    skipped.write_text(" ".join(text.split("\n")))  # the same content in another spelling
    assert read_verdicts(skipped).verdicts[1].outcome is Outcome.SKIPPED


@pytest.mark.parametrize("left", [{"fix": "Run it."}, {"exit_code": 1}, {"waits_for": ["ENV001"]}])
@pytest.mark.attack(
    guard="permit assemble",
    tried="`skipped` is edited to `passed`, with the digest of the file, and a trace is left",
    said="ENV005 passed, and yet has a fix, an exit code or something that it waits for",
)
def test_a_pass_that_waits_or_has_a_fix_is_refused(skipped: Path, left: dict[str, Any], said: str) -> None:
    body = json.loads(skipped.read_text())
    body["verdicts"][1] |= {"outcome": "passed", "fix": "", "exit_code": 0, "waits_for": [], **left}
    del body["digest"]
    skipped.write_text(json.dumps({**body, "digest": digest_json(body)}))
    with pytest.raises(BadInput, match=said):
        read_verdicts(skipped)


def test_only_passed_counts() -> None:
    assert [verdict(outcome=outcome).passed for outcome in Outcome] == [True, False, False, False]


PASSES, FAILS, NO_REMOTE = (Outcome.PASSED, 0), (Outcome.FAILED, 1), (Outcome.ERROR, 4)
NO_DATA, ELSEWHERE, BAD_INPUT = (Outcome.SKIPPED, 1), (Outcome.SKIPPED, 0), (Outcome.ERROR, 2)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], 0),
        ([PASSES, PASSES], 0),
        ([PASSES, ELSEWHERE], 0),
        ([PASSES, NO_DATA], 1),
        ([PASSES, NO_REMOTE], 4),
        ([NO_REMOTE, NO_DATA], 4),
        ([NO_DATA, BAD_INPUT, PASSES], 2),
        ([BAD_INPUT, NO_REMOTE], 4),
        ([FAILS, NO_REMOTE, NO_DATA], 1),
    ],
)
def test_a_failure_decides_the_exit_code_then_an_error_then_what_was_skipped(
    found: list[tuple[Outcome, int]], expected: int
) -> None:
    for order in (found, found[::-1]):
        assert exit_code([verdict(outcome=outcome, code=code) for outcome, code in order]) == expected


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


def test_a_verdict_says_in_which_run_and_attempt_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "3")
    assert (Where.here().run, Where.here().attempt) == ("", 0)
    for name, value in {"SERVER_URL": "https://github.com", "REPOSITORY": "lab/faults", "RUN_ID": "7"}.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    assert (Where.here().run, Where.here().attempt) == ("https://github.com/lab/faults/actions/runs/7", 3)
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "")
    assert Where.here().attempt == 0
