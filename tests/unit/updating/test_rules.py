"""The pipeline is replaced, and nothing of a project is lost with it: without its record, and beside files of yours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.code.pipeline import RECORD, digest_of_file
from beampermit.updating.rules import take_pipeline
from beampermit.updating.trees import Entry, Files

PLACE = "src/faults/pipeline/"
OLD = {"__init__.py": "", "train.py": "old", "gone.py": "old", "limits.py": "old"}
NEW = {"__init__.py": "", "train.py": "new", "extra.py": "new", "limits.py": "new", RECORD: "new"}


def files(contents: dict[str, str], folder: str = PLACE) -> Files:
    return {folder + name: Entry("100644", text) for name, text in contents.items()}


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., tuple[dict[str, str], dict[str, str], list[str]]]:
    """Update a project that has these files in its pipeline: what is there then, what is merged, and what is said."""

    def updated(
        contents: dict[str, str], record: str | None = None
    ) -> tuple[dict[str, str], dict[str, str], list[str]]:
        folder = tmp_path / PLACE
        folder.mkdir(parents=True)
        for name, text in OLD.items():
            (folder / name).write_text(text)
        digests = ", ".join(f'"{name}": "{digest_of_file(folder / name)}"' for name in OLD)
        contents = {**contents, RECORD: f'{{"files": {{{digests}}}}}' if record is None else record}
        if not contents[RECORD]:
            del contents[RECORD]
        for name, text in contents.items():
            (folder / name).write_text(text)
        base, ours, new = files({RECORD: "old"}), files(contents), files(NEW)
        notes = take_pipeline(tmp_path, base, ours, new, "faults")
        merged = {path.removeprefix(PLACE) for path in new if base.get(path) != new[path] or ours[path] != new[path]}
        sides = {name: f"{ours[PLACE + name].object}|{new[PLACE + name].object}" for name in merged}
        return {path.removeprefix(PLACE): entry.object for path, entry in ours.items()}, sides, notes

    return updated


Updated = Callable[..., tuple[dict[str, str], dict[str, str], list[str]]]


def test_what_it_came_with_is_replaced_and_an_edit_is_told(project: Updated) -> None:
    there, merged, notes = project({**OLD, "train.py": "mine"})
    assert (there, merged) == (NEW, {})
    assert notes == [
        f"{PLACE}train.py was edited here, and is replaced; the edit is in git: git show HEAD:./{PLACE}train.py"
    ]


def test_a_file_of_yours_stays_and_is_merged_with_a_new_one_of_its_name(project: Updated) -> None:
    there, merged, notes = project({**OLD, "ours.py": "mine", "extra.py": "mine"})
    assert there == {**NEW, "ours.py": "mine", "extra.py": "mine"}
    assert merged == {"extra.py": "mine|new"}
    assert notes == [f"{PLACE}extra.py is yours, and the new template has a file of that name"]


def test_a_file_of_yours_that_is_the_new_one_is_no_conflict(project: Updated) -> None:
    assert project({**OLD, "extra.py": "new"}) == (NEW, {}, [])


@pytest.mark.parametrize("record", ["", "{", "[]", '{"files": 1}'])
def test_without_a_record_it_is_replaced_and_all_that_is_replaced_is_told(project: Updated, record: str) -> None:
    there, merged, notes = project({**OLD, "train.py": "mine"}, record)
    assert (there, merged) == ({**NEW, "gone.py": "old"}, {})
    assert notes == [
        f"{PLACE} has no {RECORD} that can be read, so edits of yours are not known: replaced are limits.py, train.py; "
        f"what was there is in git: git show HEAD:./{PLACE}limits.py"
    ]


@pytest.mark.parametrize(
    ("own", "ours"),
    [
        (["train.py", "limits.py", "mine.py"], False),  # two of the template's four files are not most of them
        (["train.py", "limits.py", "__init__.py"], True),
    ],
)
def test_a_folder_of_that_name_with_other_files_is_the_project_s_own(
    project: Updated, own: list[str], ours: bool
) -> None:
    contents = dict.fromkeys(own, "mine")
    there, _, notes = project(contents, "")
    assert (there != contents) is ours
    said = f"{PLACE} has no {RECORD} and other files than the template's, and stays as it is"
    assert (notes == [said]) is not ours


def test_a_project_without_a_pipeline_gets_none_and_nothing_is_said(tmp_path: Path) -> None:
    ours = files({"model.py": ""}, "src/faults/")
    base, new = files({RECORD: "old"}), files(NEW)
    assert take_pipeline(tmp_path, base, ours, new, "faults") == []
    assert (base, new, ours) == ({}, {}, files({"model.py": ""}, "src/faults/"))
