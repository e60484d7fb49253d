"""A file of verdicts can always be read again, however much a laboratory's own interlocks say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from beampermit.interlocks.interlock import MOST
from beampermit.interlocks.own.inside import FACTS, TEXT
from beampermit.verdicts import verdict as verdict_file
from beampermit.verdicts import writing
from beampermit.verdicts.verdict import Location, Outcome, Verdict, VerdictFile, Where, read_verdicts
from beampermit.verdicts.writing import write_verdicts

HERE = Where(host="here", system="Linux", python="3.11")
OURS = {"rows": list(range(1000))}


def own(number: int, evidence: dict[str, Any], places: int = 0) -> Verdict:
    at = tuple(Location(file="𠮷" * TEXT, reason="𠮷" * TEXT) for _ in range(places))
    return Verdict(
        id=f"XON{number:03}", title="T", by="lab 1.0", outcome=Outcome.FAILED, reason="no", evidence=evidence,
        locations=at, exit_code=1,
    )  # fmt: skip


def kept(path: Path, *verdicts: Verdict) -> tuple[Verdict, ...]:
    ours = Verdict(id="DOC001", title="T", outcome=Outcome.PASSED, reason="yes", evidence=OURS)
    where = VerdictFile(checker="0.1.0", commit="c" * 40, tree="d" * 40, where=HERE, verdicts=(ours, *verdicts))
    write_verdicts(path, where)
    first, *others = read_verdicts(path).verdicts
    assert first == ours
    return tuple(others)


@pytest.mark.slow
def test_what_all_say_together_is_never_too_much_to_be_read(tmp_path: Path) -> None:
    """Each within its own limits; numbers in a list take more bytes in the file, where they are further in."""
    many = [own(number, {"all": [1] * (FACTS // 8)}, places=MOST * (number < 3)) for number in range(18)]
    found = kept(tmp_path / "verdicts.json", *many)
    assert [(one.id, one.outcome, one.reason) for one in found] == [(one.id, one.outcome, one.reason) for one in many]
    assert all(len(one.locations) >= min(1, len(was.locations)) for one, was in zip(found, many, strict=True))


def test_the_largest_evidence_is_left_out_first_and_only_as_much_as_must_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [own(1, {"x": "small"}), own(2, {"x": "y" * 9000}), own(3, {"x": "z" * 5000}, places=1)]
    path = tmp_path / "verdicts.json"
    assert kept(path, *few) == tuple(few)
    whole = path.stat().st_size
    for limit, gone in ((whole, []), (whole - 1, [2]), (whole - 8000, [2]), (whole - 9500, [2, 3])):
        for module in (verdict_file, writing):
            monkeypatch.setattr(module, "LARGEST", limit)
        found = kept(path, *few)
        assert [int(one.id[3:]) for one in found if "left_out" in dict(one.evidence)] == gone, limit
        assert found[2].locations == few[2].locations
    assert found[1].evidence == {"left_out": f"9013 bytes of JSON, and a file of verdicts has at most {limit}"}
