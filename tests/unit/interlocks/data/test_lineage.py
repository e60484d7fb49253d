"""A record of a dataset that is not true fails."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from beampermit.interlocks.data import DAT007
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.interlock import Finding
from beampermit.interlocks.runner import check
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome
from support.dvc_repositories import append, edit, without_data

Alter = Callable[..., None]


def dat007(project: Project) -> Finding:
    return DAT007().check(project, project.contract)


def broken(key: str, value: object) -> Callable[[Project], None]:
    def plant(project: Project) -> None:
        file = project.root / "data/dataset.json"
        content = json.loads(file.read_text())
        place = content
        *path, last = key.split("/")
        for part in path:
            place = place[part]
        place[last] = value
        file.write_text(json.dumps(content))

    return plant


def untrack(project: Project) -> None:
    project.git("rm", "--quiet", "--cached", "data/dataset.json")
    for name in ("dvc.yaml", "dvc.lock"):
        (project.root / name).unlink()


NOT_ITS = f"sha256:{'0' * 64}"
RECORDS: dict[str, tuple[Callable[[Project], None], str]] = {
    "missing": (
        lambda project: (project.root / "data/dataset.json").unlink(),
        "the splits were made from, is missing",
    ),
    "parent": (
        append("data/raw.parquet"),
        "its parent data/raw.parquet has changed since the dataset was made",
    ),
    "code": (append("make.py"), "its code make.py has changed"),
    "code gone": (lambda project: (project.root / "make.py").unlink(), "its code make.py is missing"),
    "split": (append("data/dataset/test.parquet"), "split test (data/dataset/test.parquet) has changed"),
    "no labels": (broken("parents", {"data/raw.parquet": NOT_ITS}), "it does not list data/labels.parquet"),
    "rule": (
        edit("contract.yaml", "by: [acquisition, device]", "by: [device]"),
        "the splits are made by acquisition, device and acquired_at, the contract says by device",
    ),
    "elsewhere": (broken("splits/test/path", "data/test.parquet"), "split test is data/test.parquet"),
    "no splits": (broken("splits", {}), "not a lineage record: splits"),
    "no digest": (broken("code", {"make.py": "md5:1"}), "not a lineage record: code.make.py"),
    "climbs": (broken("code", {"../make.py": NOT_ITS}), "inside it"),
    "not JSON": (edit("data/dataset.json", "{", "{{"), "not JSON"),
    "a placeholder": (
        edit("contract.yaml", "terms: Free to use.", "terms: TODO"),
        "dataset.about.terms is a placeholder",
    ),
    "not kept": (untrack, "data/dataset.json is tracked neither by DVC nor by git"),
}


@pytest.mark.plants("DAT007")
@pytest.mark.parametrize("defect", RECORDS)
def test_dat007_fails_on_a_record_that_is_not_true(dvc_project: Project, defect: str) -> None:
    plant, reason = RECORDS[defect]
    plant(dvc_project)
    (verdict,) = check(Project(dvc_project.root), select_interlocks(["DAT007"]))
    assert verdict.outcome is Outcome.FAILED
    assert reason in verdict.reason


def test_dat007_asks_for_what_no_table_can_tell(dvc_project: Project) -> None:
    file = dvc_project.root / "contract.yaml"
    text = file.read_text()
    file.write_text(text[: text.index("  about:")] + text[text.index("  review:") :])
    assert "dataset.about is missing" in dat007(dvc_project).reason


@pytest.mark.slow
def test_dat006_and_dat007_are_skipped_where_data_were_not_pulled(dvc_project: Project) -> None:
    without_data(dvc_project)
    verdicts = check(dvc_project, select_interlocks(["DAT006", "DAT007"]))
    assert [verdict.outcome for verdict in verdicts] == [Outcome.SKIPPED] * 2
    assert all("beampermit data pull" in verdict.reason for verdict in verdicts)
