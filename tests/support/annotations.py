"""What the annotation file of a project holds."""

from __future__ import annotations

from beampermit.datasets.labels.annotations import read_annotations
from beampermit.project import Project


def saved(project: Project) -> list[tuple[str, str, str]]:
    dataset = project.contract.dataset
    assert dataset.review
    return [(one.by, " ".join(one.key), one.value) for one in read_annotations(project.root, dataset, dataset.review)]
