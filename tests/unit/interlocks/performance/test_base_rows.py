"""The test rows of the base branch: removed, changed, added, relabelled, and a new version of the dataset."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from beampermit.digest import digest_file
from beampermit.files import write_json
from beampermit.interlocks.performance.base_rows import BaseRows, base_rows
from beampermit.project import Project
from support.attacks import attack_case
from support.dvc_repositories import replace

TEST = "data/dataset/test.parquet"
ROW = "acquisition = 'a03-2' AND plane = 'X'"
ORDER = "ORDER BY acquisition DESC"


@pytest.fixture
def changed(dvc_project: Project) -> Project:
    """A pull request whose base branch has evaluated a model on eight rows."""
    git = dvc_project.git
    git("switch", "--quiet", "main")
    files = {TEST: digest_file(dvc_project.root / TEST)}
    write_json(dvc_project.root / "manifest.json", {"algorithm": "sha256", "files": files})
    git("add", "--all")
    git("commit", "--quiet", "--message", "A model")
    git("branch", "--force", "change", "main")
    git("switch", "--quiet", "change")
    return dvc_project


def rows(project: Project) -> BaseRows:
    project = Project(project.root, base="main")
    return base_rows(project, project.contract, project.base_contract, project.root / TEST)


def raise_version(project: Project) -> None:
    replace(project.root / "contract.yaml", "version: 1", "version: 2")


def keys(file: Any) -> list[Any]:
    return duckdb.sql(f"SELECT acquisition, plane FROM read_parquet('{file}')").fetchall()


@pytest.mark.slow
def test_the_same_file_is_the_same_rows(changed: Project) -> None:
    assert rows(changed) == BaseRows()


@pytest.mark.slow
def test_without_a_base_branch_or_a_model_there_nothing_is_compared(dvc_project: Project, alter: Any) -> None:
    alter("test", "*", "WHERE plane = 'X'")
    assert rows(dvc_project) == BaseRows()
    alone = Project(dvc_project.root).alone()
    assert base_rows(alone, alone.contract, alone.base_contract, alone.root / TEST) == BaseRows()


ATTACKS = [
    attack_case(
        "*",
        "WHERE NOT (acquisition = 'a03-2' AND plane = 'X')",
        guard="PRF001",
        tried="rows that the model misjudges are taken out of the test set",
        said="1 of 8 rows are missing (first: acquisition a03-2, device BPM.3, plane X), and dataset.request",
        id="removed",
    ),
    attack_case(
        "* REPLACE (acquisition <> 'a03-2' AND faulty AS faulty)",
        "",
        guard="PRF001",
        tried="labels of test rows are turned over to what the model says",
        said="2 of 8 rows are changed (first: acquisition a03-2, device BPM.3, plane X)",
        id="labels",
    ),
    attack_case(
        "* REPLACE (list_reverse(turns) AS turns)",
        "",
        guard="PRF001",
        tried="the signals of the test rows are made easier",
        said="8 of 8 rows are changed",
        id="signals",
    ),
    attack_case(
        "* EXCLUDE (turns)",
        "",
        guard="PRF001",
        tried="the test set has no longer the column that could be compared",
        said="there is no column turns, which tells whether the test rows are the same",
        id="column",
    ),
    attack_case(
        "* REPLACE (acquisition || 'b' AS acquisition)",
        "",
        guard="PRF001",
        tried="each test row gets another key, so that none can be found again",
        said="8 of 8 rows are missing, 8 new rows",
        id="keys",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "where"), ATTACKS)
def test_other_test_rows_under_the_same_version_are_refused(
    changed: Project, alter: Any, columns: str, where: str, said: str
) -> None:
    alter("test", columns, where)
    assert said in rows(changed).problem


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "where"), [("*", ORDER), ("*, 1.0 AS weight", ""), ("* EXCLUDE (acquired_at)", "")]
)
def test_another_order_and_further_columns_are_the_same_rows(
    changed: Project, alter: Any, columns: str, where: str
) -> None:
    alter("test", columns, where)
    assert rows(changed) == BaseRows(f"{TEST} has changed: the 8 rows are the same")


RELABELLED = "* REPLACE (CASE WHEN acquisition = 'a03-2' AND plane = 'X' THEN NOT faulty ELSE faulty END AS faulty)"


def relabel(project: Project, acquisition: str) -> None:
    with (project.root / "labels/reviewed.csv").open("a") as file:
        file.write(f"{acquisition},BPM.3,X,false,Ada,2026-02-02T10:00:00Z,seen,0.9\n")


@pytest.mark.slow
def test_labels_that_people_corrected_may_differ_and_are_counted(changed: Project, alter: Any) -> None:
    alter("test", RELABELLED)
    assert "1 of 8 rows are changed" in rows(changed).problem
    relabel(changed, "a03-1")
    assert "1 of 8 rows are changed" in rows(changed).problem, "another row was labelled"
    relabel(changed, "a03-2")
    assert rows(changed) == BaseRows(f"{TEST} has changed: 1 of 8 rows were labelled by people")


@pytest.mark.slow
def test_a_label_by_a_person_does_not_let_the_signal_change(changed: Project, alter: Any) -> None:
    relabel(changed, "a03-2")
    alter(
        "test", "* REPLACE (CASE WHEN acquisition = 'a03-2' AND plane = 'X' THEN [9, 9, 9, 9] ELSE turns END AS turns)"
    )
    assert "1 of 8 rows are changed" in rows(changed).problem


@pytest.mark.slow
def test_what_a_signal_is_says_the_base_branch_too(changed: Project, alter: Any) -> None:
    """The pull request calls its input otherwise, so that `turns` is a column like any other."""
    replace(changed.root / "contract.yaml", "name: turns", "name: others")
    replace(changed.root / "contract.yaml", "turns.stale", "others.stale")
    relabel(changed, "a03-2")
    alter("test", f"* REPLACE (CASE WHEN {ROW} THEN [9, 9, 9, 9] ELSE turns END AS turns)")
    assert "1 of 8 rows are changed" in rows(changed).problem


@pytest.mark.slow
def test_a_label_that_the_base_branch_has_already_does_not_let_a_row_change(changed: Project, alter: Any) -> None:
    changed.git("switch", "--quiet", "main")
    relabel(changed, "a03-2")
    changed.git("commit", "--quiet", "--all", "--message", "A label")
    changed.git("switch", "--quiet", "change")
    changed.git("merge", "--quiet", "main")
    alter("test", RELABELLED)
    assert "1 of 8 rows are changed" in rows(changed).problem


@pytest.mark.slow
def test_a_new_version_of_the_dataset_may_have_other_rows_and_is_judged_on_the_earlier_ones_as_well(
    changed: Project, alter: Any
) -> None:
    raise_version(changed)
    alter("test", "* REPLACE (acquisition || 'b' AS acquisition)", "WHERE acquisition <> 'a03-1'")
    found = rows(changed)
    assert (found.problem, found.binding) == ("", False)
    assert found.note == "dataset.request.version 1 -> 2: 8 of 8 rows are missing, 6 new rows"
    assert found.table is not None
    assert len(keys(found.table)) == 8


@pytest.mark.slow
def test_a_version_that_falls_is_no_new_one(changed: Project, alter: Any) -> None:
    raise_version(changed)
    changed.git("commit", "--quiet", "--all", "--message", "A version")
    changed.git("branch", "--force", "main")
    replace(changed.root / "contract.yaml", "version: 2", "version: 1")
    alter("test", "*", "WHERE plane = 'X'")
    assert "4 of 8 rows are missing" in rows(changed).problem


@pytest.mark.slow
def test_where_rows_are_added_the_earlier_ones_are_judged_by_themselves_too(changed: Project, alter: Any) -> None:
    """Easy rows in plenty would hide those that the model misjudges."""
    new = "UNION ALL SELECT * REPLACE ('n' || acquisition AS acquisition) FROM read_parquet('{file}')"
    alter("test", "*", f"{new} ORDER BY plane DESC, acquisition")
    found = rows(changed)
    assert (found.note, found.problem, found.binding) == (f"{TEST} has changed: 8 new rows", "", True)
    assert found.table is not None
    assert keys(found.table) == [(f"a03-{turn}", plane) for plane in "YX" for turn in range(4)]


@pytest.mark.slow
@pytest.mark.attack(
    guard="PRF001",
    tried="easy test rows are added, and a column called `key0` says that they are the earlier ones",
    said="8 new rows",
)
def test_no_further_column_says_which_rows_are_the_earlier_ones(changed: Project, alter: Any, said: str) -> None:
    new = "SELECT * REPLACE ('n' || acquisition AS acquisition), acquisition AS key0 FROM read_parquet('{file}')"
    alter("test", "*, 'none' AS key0", f"UNION ALL {new} ORDER BY plane DESC, acquisition")
    found = rows(changed)
    assert (found.note, found.binding) == (f"{TEST} has changed: {said}", True)
    assert found.table is not None
    assert keys(found.table) == [(f"a03-{turn}", plane) for plane in "YX" for turn in range(4)]


@pytest.mark.slow
def test_a_row_that_is_there_twice_is_a_new_row(changed: Project, alter: Any) -> None:
    alter("test", "*", "UNION ALL SELECT * FROM read_parquet('{file}') WHERE plane = 'X'")
    found = rows(changed)
    assert found.note == f"{TEST} has changed: 4 new rows"
    assert found.binding


@pytest.mark.slow
def test_rows_of_the_base_branch_that_are_nowhere_cannot_be_compared(
    changed: Project, alter: Callable[..., None]
) -> None:
    alter("test", "*", ORDER)
    for folder in (changed.root / ".dvc/cache", changed.root.parent / "storage/files"):
        shutil.rmtree(folder, ignore_errors=True)
    assert rows(changed).problem.startswith("the test rows cannot be compared with those of the base branch: ")
    raise_version(changed)
    found = rows(changed)
    assert found.problem == ""
    assert found.note.startswith("dataset.request.version 1 -> 2; the test rows cannot be compared")


@pytest.mark.slow
def test_rows_that_the_base_branchs_manifest_does_not_list_are_not_believed(changed: Project, alter: Any) -> None:
    changed.git("switch", "--quiet", "main")
    replace(changed.root / "manifest.json", "sha256:", "sha256:" + "0" * 10)
    text = (changed.root / "manifest.json").read_text().split("sha256:0000000000")
    (changed.root / "manifest.json").write_text(text[0] + "sha256:0000000000" + text[1][:54] + text[1][64:])
    changed.git("commit", "--quiet", "--all", "--message", "Another digest")
    changed.git("branch", "--force", "change", "main")
    changed.git("switch", "--quiet", "change")
    assert "is not the file that its manifest lists" in rows(changed).problem


@pytest.mark.slow
def test_a_manifest_of_the_base_branch_that_is_none_does_not_leave_the_rows_uncompared(changed: Project) -> None:
    changed.git("switch", "--quiet", "main")
    replace(changed.root / "manifest.json", '"algorithm": "sha256"', '"algorithm": "md5"')
    changed.git("commit", "--quiet", "--all", "--message", "No manifest")
    changed.git("branch", "--force", "change", "main")
    changed.git("switch", "--quiet", "change")
    assert "not a manifest: algorithm: Input should be 'sha256'" in rows(changed).problem


@pytest.mark.slow
def test_rows_that_git_holds_are_compared_as_well(changed: Project, alter: Any) -> None:
    changed.git("switch", "--quiet", "main")
    changed.git("add", "--force", TEST)
    changed.git("commit", "--quiet", "--message", "Rows in git")
    changed.git("branch", "--force", "change", "main")
    changed.git("switch", "--quiet", "change")
    alter("test", "*", "WHERE plane = 'X'")
    assert "4 of 8 rows are missing" in rows(changed).problem
