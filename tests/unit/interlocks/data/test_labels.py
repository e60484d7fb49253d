"""DAT006 fails on labels without a valid origin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from beampermit.changes.contract_changes import compare_contracts
from beampermit.errors import Failed
from beampermit.interlocks.data import DAT006
from beampermit.interlocks.interlock import Finding
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome
from support.dvc_repositories import halve, replace

pytestmark = pytest.mark.slow

Alter = Callable[..., None]


def dat006(project: Project) -> Finding:
    return DAT006().check(project, project.contract, project.base_contract)


LABELS: dict[str, tuple[str, str]] = {
    "no who": ("* EXCLUDE (labelled_by)", "there is no column 'labelled_by'"),
    "renamed": ("* RENAME (labelled_at AS labeled_at)", "no column 'labelled_at'; is it 'labeled_at'?"),
    "no why": ("* REPLACE (' ' AS why)", "why is empty in 24 of 24 labels"),
    "nobody": ("* REPLACE (NULL::VARCHAR AS labelled_by)", "labelled_by is empty in 24 of 24 labels"),
    "null": ("* REPLACE (NULL::BOOLEAN AS faulty)", "faulty is empty in 24 of 24 labels"),
    "when is text": ("* REPLACE ('yesterday' AS labelled_at)", "labelled_at has type VARCHAR, not a time"),
    "clock jump": (
        "* REPLACE (TIMESTAMPTZ '2099-01-01 00:00:00Z' AS labelled_at)",
        "labelled_at is in the future in 24 labels",
    ),
    "nanoseconds taken for microseconds": (
        "* REPLACE (make_timestamp(epoch_ns(labelled_at)) AS labelled_at)",
        "labelled_at is not a time of the years 1 to 9999 in 24 labels",
    ),
    "at no time": (
        "* REPLACE ('-infinity'::TIMESTAMP AS labelled_at)",
        "labelled_at is not a time of the years 1 to 9999 in 24 labels",
    ),
    "too sure": ("* REPLACE (1.5 AS confidence)", "confidence is not from 0 to 1 in 24 labels"),
    "not sure": ("* REPLACE ('nan'::DOUBLE AS confidence)", "confidence is not from 0 to 1 in 24 labels"),
    "sure in words": ("* REPLACE ('very' AS confidence)", "confidence has type VARCHAR, not a number"),
    "other labels": ("* REPLACE (NOT faulty AS faulty)", "faulty differs from its label in 8 of 8 rows"),
    "other rows": (
        "* REPLACE ('b' || acquisition AS acquisition)",
        "train.parquet: 8 of 8 rows have no label (first: acquisition a01-0, device BPM.1, plane X)",
    ),
    "expert unheard": (
        "* REPLACE ('rule' AS labelled_by)",
        "1 annotation not in the labels: Ada says true at labels/reviewed.csv:2, the labels say true by rule"
        " (acquisition a01-3, device BPM.1, plane X)",
    ),
}


@pytest.mark.plants("DAT006")
@pytest.mark.parametrize("defect", LABELS)
def test_dat006_fails_on_labels_without_a_valid_origin(dvc_project: Project, alter: Alter, defect: str) -> None:
    columns, reason = LABELS[defect]
    alter("../labels", columns)
    finding = dat006(dvc_project)
    assert finding.outcome is Outcome.FAILED
    assert reason in " ".join(finding.evidence["problems"])


def test_dat006_fails_on_a_row_that_is_labelled_twice(dvc_project: Project, alter: Alter) -> None:
    alter("../labels", "*", "UNION ALL FROM (SELECT * REPLACE (NOT faulty AS faulty) FROM '{file}' LIMIT 1)")
    assert "1 row labelled more than once, 1 of them with different values (first: " in dat006(dvc_project).reason


def test_dat006_fails_on_a_row_without_a_label(dvc_project: Project, alter: Alter) -> None:
    alter("../labels", "*", "WHERE acquisition <> 'a02-2'")
    assert "validation.parquet: 2 of 8 rows have no label (first: acquisition a02-2" in dat006(dvc_project).reason


def test_dat006_fails_on_labels_that_are_no_table(dvc_project: Project) -> None:
    halve(dvc_project.root / "data/labels.parquet")
    with pytest.raises(Failed, match="cannot be read") as caught:
        dat006(dvc_project)
    assert caught.value.file == "data/labels.parquet"


def test_dat006_fails_on_labels_that_no_version_is_kept_of(dvc_project: Project) -> None:
    replace(dvc_project.root / "contract.yaml", "labels: data/labels.parquet", "labels: mine.parquet")
    assert dat006(dvc_project).reason == "mine.parquet is tracked neither by DVC nor by git"
    dvc_project.git("rm", "--quiet", "--cached", "labels/reviewed.csv")
    replace(dvc_project.root / "contract.yaml", "labels: mine.parquet", "labels: data/labels.parquet")
    assert dat006(Project(dvc_project.root)).reason == "labels/reviewed.csv is tracked neither by DVC nor by git"


def test_dat006_shows_what_people_overruled_and_where_they_disagree(dvc_project: Project) -> None:
    with (dvc_project.root / "labels/reviewed.csv").open("a") as stream:
        stream.write("a01-3,BPM.1,X,false,Bo,2026-01-31T10:00:00+01:00,looks sound,0.5\n")
    finding = dat006(dvc_project)
    assert finding.outcome is Outcome.PASSED
    assert (
        "annotators corrected 1 label of rules; they disagree on 1 row, where the latest label counts" in finding.reason
    )
    assert finding.evidence["overruled"][0]["before"] == "false"
    assert [said["by"] for said in finding.evidence["conflicts"][0]] == ["Ada", "Bo"]


ANNOTATIONS = {
    "unknown value": ("a01-3,BPM.1,X,maybe,Ada,2026-02-01T10:00:00Z,x,1", "faulty 'maybe' is none of true, false", 3),
    "nobody": ("a01-3,BPM.1,X,true, ,2026-02-01T10:00:00Z,x,1", "labelled_by is empty", 3),
    "no zone": ("a01-3,BPM.1,X,true,Ada,2026-10-25T02:30:00,x,1", "has no time zone; add Z for UTC", 3),
    "no time": ("a01-3,BPM.1,X,true,Ada,last week,x,1", "'last week' is not a time such as", 3),
    "future": ("a01-3,BPM.1,X,true,Ada,2099-10-25T02:30:00Z,x,1", "is in the future", 3),
    "too sure": ("a01-3,BPM.1,X,true,Ada,2026-02-01T10:00:00Z,x,7", "confidence '7' is not a number from 0 to 1", 3),
    "not a number": ("a01-3,BPM.1,X,true,Ada,2026-02-01T10:00:00Z,x,nan", "confidence 'nan' is not", 3),
    "few fields": ("a01-3,BPM.1,X", "has more or fewer fields than the header", 3),
    "conflict": ("<<<<<<< HEAD", "resolve the merge conflict by keeping the lines of both sides", 3),
    "quote": ('a01-3,BPM.1,X,true,"Ada,2026-02-01T10:00:00Z,x,1', "not CSV", 3),
    "not UTF-8": ("a01-3,BPM.1,X,true,\udcff,2026-02-01T10:00:00Z,x,1", "not UTF-8", 3),
}


@pytest.mark.parametrize("defect", ANNOTATIONS)
def test_dat006_fails_on_an_annotation_that_cannot_be_taken(dvc_project: Project, defect: str) -> None:
    text, message, line = ANNOTATIONS[defect]
    with (dvc_project.root / "labels/reviewed.csv").open("a", errors="surrogateescape") as stream:
        stream.write(f"{text}\n")
    with pytest.raises(Failed) as caught:
        dat006(dvc_project)
    assert message in caught.value.message
    assert (caught.value.file, caught.value.line) == ("labels/reviewed.csv", line)


def test_dat006_fails_on_an_annotation_about_a_row_that_is_not_there(dvc_project: Project) -> None:
    with (dvc_project.root / "labels/reviewed.csv").open("a") as stream:
        stream.write("a09-3,BPM.1,X,true,Ada,2026-02-01T10:00:00Z,x,1\n")
    assert "labels/reviewed.csv:3: 1 annotation about rows without a label" in dat006(dvc_project).reason


LABELLED = "  labels: data/labels.parquet\n"
REVIEWED = '  review: {file: labels/reviewed.csv, column: faulty, values: ["true", "false"]}\n'


def without_labels(project: Project) -> Project:
    for text in (LABELLED, REVIEWED):
        replace(project.root / "contract.yaml", text, "")
    return Project(project.root, base=project.git.head())


def test_where_nothing_labels_dat006_asks_for_no_labels(dvc_project: Project) -> None:
    project = without_labels(dvc_project)
    found = DAT006().check(project, project.contract, project.contract)
    assert found.outcome is Outcome.PASSED
    assert found.reason == "nobody and nothing labels these data: the contract has no dataset.labels"


def test_a_pull_request_that_removes_the_labels_is_judged_by_those_of_the_base_branch(
    dvc_project: Project, alter: Alter
) -> None:
    project = without_labels(dvc_project)
    note = "; this pull request removes dataset.labels; the base branch's contract decides"
    assert project.base_contract.dataset.labels, "the base branch has labels"
    found = dat006(project)
    assert found.outcome is Outcome.PASSED
    assert found.reason.endswith(note)
    alter("../labels", "* REPLACE (' ' AS why)")
    found = dat006(project)
    assert found.outcome is Outcome.FAILED
    assert found.reason == f"why is empty in 24 of 24 labels{note}"
    (change,) = [
        one for one in compare_contracts(project.base_contract, project.contract).looser if "labels" in one.key
    ]
    assert change.key == "dataset.labels"
