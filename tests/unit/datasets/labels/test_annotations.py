"""Labels are appended whole by several people at once, and survive crashes."""

from __future__ import annotations

import multiprocessing
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from beampermit.contract.dataset import Dataset
from beampermit.datasets.labels.annotations import Annotation, append_annotation, latest_annotations, read_annotations
from beampermit.datasets.labels.queue import Queue
from beampermit.errors import BadInput
from beampermit.project import Project
from support.annotations import saved

ROW = ("a02-1", "BPM.2", "Y")


@pytest.fixture
def dataset(dvc_project: Project) -> Dataset:
    return dvc_project.contract.dataset


def word(by: str, value: str = "true", minutes: int = 0, key: tuple[str, ...] = ROW) -> Annotation:
    return Annotation(key, value, by, datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=minutes), f"why {minutes}")


def _say_many(root: str, by: str, count: int) -> None:
    project = Project(Path(root))
    dataset = project.contract.dataset
    assert dataset.review
    for number in range(count):
        append_annotation(project.root, dataset, dataset.review, word(by, minutes=number, key=(f"a{number}", by, "X")))


@pytest.mark.slow
def test_two_people_can_label_at_once(dvc_project: Project, dataset: Dataset) -> None:
    context = multiprocessing.get_context("spawn")
    people = [context.Process(target=_say_many, args=(str(dvc_project.root), by, 40)) for by in ("Bo", "Cy")]
    for person in people:
        person.start()
    for person in people:
        person.join()
    found = saved(dvc_project)
    assert len(found) == len(set(found)) == 81


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_lines(dvc_project: Project, dataset: Dataset) -> None:
    context = multiprocessing.get_context("spawn")
    person = context.Process(target=_say_many, args=(str(dvc_project.root), "Bo", 100_000))
    person.start()
    file = dvc_project.root / "labels/reviewed.csv"
    deadline = time.monotonic() + 60
    while file.read_text().count("\n") < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    person.kill()
    person.join()
    whole = len(saved(dvc_project))
    assert whole >= 9
    assert dataset.review
    append_annotation(dvc_project.root, dataset, dataset.review, word("Cy"))
    assert len(saved(dvc_project)) == whole + 1


@pytest.mark.parametrize("cut", [1, 4, 20, 50])
def test_a_truncated_line_is_dropped_and_the_next_one_kept(dvc_project: Project, dataset: Dataset, cut: int) -> None:
    assert dataset.review
    before = saved(dvc_project)
    append_annotation(dvc_project.root, dataset, dataset.review, word("Bo"))
    file = dvc_project.root / "labels/reviewed.csv"
    file.write_bytes(file.read_bytes()[:-cut])
    assert saved(dvc_project) == before
    append_annotation(dvc_project.root, dataset, dataset.review, word("Cy"))
    assert saved(dvc_project) == [*before, ("Cy", " ".join(ROW), "true")]


def test_a_line_written_by_hand_without_a_newline_is_kept(dvc_project: Project, dataset: Dataset) -> None:
    assert dataset.review
    file = dvc_project.root / "labels/reviewed.csv"
    file.write_text(file.read_text() + "a02-1,BPM.2,Y,true,Ada,2026-02-01T10:00:00Z,by hand,1")
    append_annotation(dvc_project.root, dataset, dataset.review, word("Bo"))
    assert [by for by, *_ in saved(dvc_project)] == ["Ada", "Ada", "Bo"]


def test_a_file_that_git_replaced_is_appended_to(dvc_project: Project, dataset: Dataset) -> None:
    assert dataset.review
    append_annotation(dvc_project.root, dataset, dataset.review, word("Bo"))
    dvc_project.git("checkout", "--quiet", "labels/reviewed.csv")
    append_annotation(dvc_project.root, dataset, dataset.review, word("Cy"))
    assert [by for by, *_ in saved(dvc_project)] == ["Ada", "Cy"]


def test_a_missing_file_is_created(dvc_project: Project, dataset: Dataset) -> None:
    assert dataset.review
    file = dvc_project.root / "labels/reviewed.csv"
    file.unlink()
    append_annotation(dvc_project.root, dataset, dataset.review, word("Bo"))
    assert file.read_text().splitlines() == [
        "acquisition,device,plane,faulty,labelled_by,labelled_at,why,confidence",
        "a02-1,BPM.2,Y,true,Bo,2026-03-01T00:00:00.000000Z,why 0,1",
    ]


def test_a_file_without_confidence_keeps_its_columns(dvc_project: Project, dataset: Dataset) -> None:
    assert dataset.review
    file = dvc_project.root / "labels/reviewed.csv"
    file.write_text("why,acquisition,device,plane,faulty,labelled_by,labelled_at\n")
    append_annotation(dvc_project.root, dataset, dataset.review, word("Bo"))
    assert file.read_text().splitlines()[1] == "why 0,a02-1,BPM.2,Y,true,Bo,2026-03-01T00:00:00.000000Z"


def test_the_latest_annotation_of_each_person_counts_by_time_then_by_line() -> None:
    words = [word("Ada", "true", 3), word("Bo", "false", 2), word("Ada", "false", 1)]
    (found,) = latest_annotations(words).values()
    assert [(one.by, one.value) for one in found] == [("Ada", "true"), ("Bo", "false")]
    same = [Annotation(ROW, value, "Ada", word("Ada").at, line=line) for line, value in enumerate(["a", "b"])]
    assert latest_annotations(same)[ROW][0].value == "b"


def test_a_pipe_is_not_read(dvc_project: Project, dataset: Dataset) -> None:
    assert dataset.review
    file = dvc_project.root / "labels/reviewed.csv"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(BadInput, match="not a regular file"):
        read_annotations(dvc_project.root, dataset, dataset.review)
    with pytest.raises(BadInput, match="not a regular file"):
        append_annotation(dvc_project.root, dataset, dataset.review, word("Bo"))


def test_rows_are_shown_without_a_label_table(dvc_project: Project) -> None:
    (dvc_project.root / "data/labels.parquet").unlink()
    rows = Queue.of(dvc_project, "train", "Bo").state()["rows"]
    assert len(rows) == 8
    assert rows[0]["rule"] == {"value": "", "by": "", "why": "", "confidence": None}
