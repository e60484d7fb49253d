"""The labels of a project's work tree, looked at."""

from __future__ import annotations

from beampermit.datasets.labels import opinions, review
from beampermit.datasets.tables import open_tables
from beampermit.errors import Tripped
from beampermit.project import Project


def standing(project: Project) -> review.Found:
    """Coverage of the raw table and the splits that are here, conflicts, what people overruled.

    Raises `Tripped` for labels that are not here, `BadInput` for a line of people's that cannot be read.
    """
    dataset = project.contract.dataset
    if not project.path(dataset.labels).is_file():
        raise Tripped("the table of labels is not here", file=dataset.labels, hint="beampermit data pull")
    named = {"raw": dataset.raw, **dataset.splits}
    here = {name: path for name, path in named.items() if project.path(path).is_file()}
    labels, *others = open_tables(project.root, {"labels": dataset.labels, **here})
    said = opinions.read(project.root, dataset, dataset.review) if dataset.review else ()
    return review.look(labels, others, dataset, said)
