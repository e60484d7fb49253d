"""`beampermit validate`: cross-validation by the groups or the time of the contract."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli import compute_options as where
from beampermit.cli.output import Folder, Json, console, plain_lines, show, shown_progress


class By(StrEnum):
    """What keeps folds apart."""

    GROUP = "group"
    TIME = "time"


def validate(
    folds: Annotated[
        int | None,
        typer.Option("--folds", metavar="N", help="How many.", show_default="reproducibility.folds, else 5"),
    ] = None,
    by: Annotated[
        By | None,
        typer.Option(
            help="Groups of dataset.split.by, each in one fold; or dataset.split.time: fitted on all before a fold.",
            show_default="reproducibility.folds, else time where there is one",
        ),
    ] = None,
    variant: Annotated[str, typer.Option(help="Accelerator variant to train in.", show_default="none")] = "",
    on: where.On = None,
    cores: where.Cores = None,
    gpus: where.Gpus = None,
    memory: where.Memory = None,
    time: where.Time = None,
    partition: where.Partition = None,
    at_once: where.AtOnce = None,
    nodes: where.Nodes = None,
    work: where.Work = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Fit the model on folds of its data, and measure it on the rest.

    On the splits train and validation, by the contract's groups or time, with the parameters of params.yaml. The test
    split is not read. Folds that ended are kept: the same command goes on where an earlier one was interrupted.
    """
    from beampermit.processes import ended_by_signals
    from beampermit.project import Project
    from beampermit.trials.cross_validation import cross_validate, text

    resources = where.resources_of(on, cores, gpus, memory, time, partition, at_once, nodes, work)
    found = Project.find(project.resolve())
    asked = found.contract.reproducibility.folds
    chosen = by.value if by else asked and asked.by
    count = folds or (asked.count if asked else 5)
    with ended_by_signals(), shown_progress() as progress:
        done = cross_validate(found, count, chosen, resources, progress, variant=variant)
    show(done.model_dump(mode="json"), lambda: console().print(plain_lines(text(done))), as_json)
