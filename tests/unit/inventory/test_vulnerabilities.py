"""Records of OSV: which versions they mean, and what is not a record."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import BadInput
from beampermit.inventory.facts import Locked
from beampermit.inventory.vulnerabilities import Vulnerabilities


def record(id: str = "GHSA-1", name: str = "torch", events: Any = None, **more: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": events}] if events else []
    affected = {"package": {"ecosystem": "PyPI", "name": name}, "ranges": ranges, **more.pop("affected", {})}
    return {"schema_version": "1.6.0", "id": id, "modified": "2026-01-01T00:00:00Z", "affected": [affected], **more}


def known(folder: Path, *records: dict[str, Any]) -> Vulnerabilities:
    for number, one in enumerate(records):
        (folder / f"{number}.json").write_text(json.dumps(one))
    return Vulnerabilities([folder])


def ids(found: Vulnerabilities, version: str, name: str = "torch") -> list[tuple[str, ...]]:
    return [one.ids for one in found.of([Locked(name=name, version=version)])]


FROM_TO = [{"introduced": "2.0"}, {"fixed": "2.6.0"}]
UP_TO = [{"introduced": "0"}, {"last_affected": "2.5.1"}]
TWICE = [{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"fixed": "2.6"}]


@pytest.mark.parametrize(
    ("events", "version", "affected"),
    [
        (FROM_TO, "1.13.1", False),
        (FROM_TO, "2.0", True),
        (FROM_TO, "2.0rc1", False),
        (FROM_TO, "2.5.1+cpu", True),
        (FROM_TO, "2.6.0rc1", True),
        (FROM_TO, "2.6.0", False),
        (FROM_TO, "2.6.0+cpu", False),
        (UP_TO, "2.5.1+cu126", True),
        (UP_TO, "2.5.2", False),
        (TWICE, "1.1", True),
        (TWICE, "1.2", False),
        (TWICE, "1.9", False),
        (TWICE, "2.3", True),
        (TWICE[::-1], "1.9", False),
        ([{"introduced": "0"}], "99", True),
        (FROM_TO, "not a version", False),
    ],
)
def test_a_range_means_what_osv_says(tmp_path: Path, events: Any, version: str, affected: bool) -> None:
    assert ids(known(tmp_path, record(events=events)), version) == ([("GHSA-1",)] if affected else [])


@pytest.mark.parametrize(
    "other",
    [
        record(events=FROM_TO, name="pytorch"),
        record(events=FROM_TO, withdrawn="2026-02-01T00:00:00Z"),
        record(affected={"package": {"ecosystem": "npm", "name": "torch"}, "versions": ["2.5.1"]}),
        record(affected={"package": {"ecosystem": "PyPI", "name": "torch"}, "versions": ["2.5.0"]}),
        record(affected={"ranges": [{"type": "GIT", "repo": "x", "events": [{"introduced": "0"}]}]}),
        {"id": "EMPTY"},
    ],
)
def test_other_records_are_no_false_alarm(tmp_path: Path, other: dict[str, Any]) -> None:
    assert ids(known(tmp_path, other), "2.5.1") == []


def test_a_version_that_is_listed_counts_and_names_are_compared_as_indexes_do(tmp_path: Path) -> None:
    found = known(tmp_path, record(name="Ruamel_YAML", affected={"versions": ["0.18.0"]}))
    assert ids(found, "0.18", "ruamel.yaml") == [("GHSA-1",)]


def test_one_defect_with_two_records_counts_once_and_says_what_mends_it(tmp_path: Path) -> None:
    first = record("PYSEC-1", events=FROM_TO, aliases=["CVE-1", "GHSA-1"])
    grave = record("GHSA-1", events=FROM_TO, aliases=["CVE-1"], database_specific={"severity": "CRITICAL"})
    other = record("GHSA-2", events=[{"introduced": "0"}, {"fixed": "2.10.0"}])
    (one,) = known(tmp_path, first, grave, other).of([Locked(name="torch", version="2.5.1")])
    assert (one.ids, one.grave, one.fixed) == (("GHSA-1", "GHSA-2"), True, "2.10.0")
    (still,) = known(tmp_path, grave, record("GHSA-3", events=UP_TO)).of([Locked(name="torch", version="2.5.1")])
    assert still.fixed == "", "one of them is fixed nowhere"


def test_zip_list_and_answers_of_the_api_are_read_as_well(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("GHSA-1.json", json.dumps(record(events=FROM_TO)))
    (tmp_path / "list").write_text(json.dumps([record("GHSA-2", events=FROM_TO)]))
    (tmp_path / "answer").write_text(json.dumps({"vulns": [record("GHSA-3", events=FROM_TO)]}))
    found = Vulnerabilities([tmp_path / name for name in ("all.zip", "list", "answer")])
    assert ids(found, "2.5.1") == [("GHSA-1", "GHSA-2", "GHSA-3")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ('{"name": "torch"}', "not a record of OSV: id: Field required"),
        ('{"id": "A", "affected": 7}', "not a record of OSV: affected"),
    ],
)
def test_what_is_no_record_is_refused_with_its_file(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "one.json").write_text(content)
    with pytest.raises(BadInput, match=words) as refused:
        Vulnerabilities([tmp_path])
    assert refused.value.file == str(tmp_path / "one.json")


def test_nothing_there_is_said_instead_of_nothing_known(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no record of OSV here"):
        Vulnerabilities([tmp_path])
    with pytest.raises(BadInput, match="there is no such file or folder"):
        Vulnerabilities([tmp_path / "none"])
