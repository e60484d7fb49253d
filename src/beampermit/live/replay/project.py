"""A replay with the saved model of a project, in a process as in service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from beampermit.datasets.pull import absence
from beampermit.environments import Environment
from beampermit.live.log.reading import Selection
from beampermit.live.loop import Loop, Standing
from beampermit.live.process.loaded import loaded_model
from beampermit.live.replay.moments import Moment, Recorded, open_recorded
from beampermit.live.replay.replay import replay
from beampermit.live.replay.results import Summary, write_results
from beampermit.live.replay.samples import Fetched, Wanted, fetch_samples
from beampermit.live.wiring import Wiring, wire
from beampermit.progress import Progress, silent
from beampermit.project import Project

NOT_PROMOTED = Standing(0, "")
"""The model of a work tree has no version and no permit."""


def replay_project(
    project: Project,
    environment: Environment,
    recorded: Path | Wanted,
    out: Path,
    time: str = "",
    selection: Selection | None = None,
    speed: float | None = None,
    progress: Progress = silent,
) -> Summary:
    """Write to `out` what the service would have shown of `recorded`: of the rows of a table or in the folder of a log,
    or of the samples of a source.

    Raises `BadInput` where there are none, `Failed` where the project cannot be served or its model not be loaded.
    """
    contract = project.contract
    wiring, folder = wire(contract, project.root), project.path(contract.model.path)
    if not folder.is_dir():
        raise absence(project, contract.model.path, "the model folder is missing")
    with _opened(project, wiring, recorded, time, selection, progress) as rows:
        rows.require()  # loading a model takes seconds
        progress("load the model")
        with loaded_model(environment, folder, contract, len(wiring.rows)) as model:
            loop = Loop(contract, wiring, model, NOT_PROMOTED, lambda _: None)
            updates = replay(loop, _counted(rows.moments(), progress), speed=speed)
            summary = write_results(updates, wiring, NOT_PROMOTED.version, out)
    summary.strange = rows.strange
    return summary


def _opened(
    project: Project,
    wiring: Wiring,
    recorded: Path | Wanted,
    time: str,
    selection: Selection | None,
    progress: Progress,
) -> AbstractContextManager[Recorded | Fetched]:
    if isinstance(recorded, Wanted):
        return fetch_samples(project, wiring, recorded, progress)
    column = time or project.contract.dataset.split.time or "acquired_at"
    return open_recorded(recorded, wiring, column, selection)


def _counted(moments: Iterator[Moment], progress: Progress) -> Iterator[Moment]:
    for number, moment in enumerate(moments, 1):
        progress(f"replay: moment {number:,}")
        yield moment
