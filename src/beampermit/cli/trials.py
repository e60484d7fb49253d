"""`beampermit trials`: search for better parameters, by what the validation split says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli import compute_options as where
from beampermit.cli import trials_show
from beampermit.cli.help import Grouped
from beampermit.cli.output import Folder, Json, console, plain_lines, show, shown_progress
from beampermit.cli.trials_show import Storage

app = typer.Typer(help="Search for better parameters.", no_args_is_help=True, cls=Grouped)


@app.command()
def run(
    trials: Annotated[
        int, typer.Option("--trials", help="Trials of the study in all, those of earlier runs too.")
    ] = 50,
    storage: Storage = None,
    mlflow: Annotated[bool, typer.Option("--mlflow/--no-mlflow", help="Write each trial as a run of MLflow.")] = True,
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
    """Run trials until the study has as many.

    What is tried says `trials` in params.yaml; docs/trials.md has the keys. Run it again to go on, or several times at
    once to share the work. Exit code 1: all trials failed.
    """
    from beampermit.processes import ended_by_signals
    from beampermit.project import Project
    from beampermit.trials import session

    resources = where.resources_of(on, cores, gpus, memory, time, partition, at_once, nodes, work)
    found = Project.find(project.resolve())
    with ended_by_signals(), shown_progress() as progress:
        done = session.run_study(found, trials, resources, progress, storage=storage, mlflow=mlflow, variant=variant)
    show(session.as_json(done), lambda: console().print(plain_lines(session.text(done).splitlines())), as_json)


app.command("show")(trials_show.show_study)
app.command("best")(trials_show.best)
app.command("apply")(trials_show.apply)
