"""Options that say where units of work run and what each gets; all commands that have units share them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from beampermit.compute.resources import Resources

PANEL = "Where it runs"
CONFIGURED = "compute.yaml"

On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="PLACE",
        help="local, slurm, dask://ADDRESS, dask-gateway://NAME or kubernetes.",
        show_default="compute.yaml, else local",
        rich_help_panel=PANEL,
    ),
]
Cores = Annotated[
    int | None, typer.Option("--cores", help="Cores of a unit of work.", show_default="1", rich_help_panel=PANEL)
]
Gpus = Annotated[
    int | None,
    typer.Option("--gpus", help="GPUs of a unit, on each node.", show_default="none", rich_help_panel=PANEL),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="SIZE", help="Memory of a unit, such as 4G; 0: what the place gives.", rich_help_panel=PANEL
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        "--time",
        metavar="TIME",
        help="How long a unit may take: seconds, 90m, 2h or 1-12:00:00; 0: any.",
        rich_help_panel=PANEL,
    ),
]
Partition = Annotated[
    str | None, typer.Option("--partition", help="Partition or queue of the cluster.", rich_help_panel=PANEL)
]
AtOnce = Annotated[int | None, typer.Option("--at-once", help="Units that run at once.", rich_help_panel=PANEL)]
Nodes = Annotated[
    int | None, typer.Option("--nodes", help="Machines of a unit.", show_default="1", rich_help_panel=PANEL)
]
Work = Annotated[
    Path | None,
    typer.Option(
        "--work",
        metavar="FOLDER",
        help="Where units lie; all machines share it.",
        show_default="the cache folder",
        rich_help_panel=PANEL,
    ),
]


def resources_of(
    on: str | None = None,
    cores: int | None = None,
    gpus: int | None = None,
    memory: str | None = None,
    time: str | None = None,
    partition: str | None = None,
    at_once: int | None = None,
    nodes: int | None = None,
    work: Path | None = None,
) -> Resources:
    """The options over the user's configuration. Raises `BadInput`."""
    from beampermit.compute.resources import load_resources

    return load_resources(
        {
            "on": on,
            "cores": cores,
            "gpus": gpus,
            "memory": memory,
            "time": time,
            "partition": partition,
            "at_once": at_once,
            "nodes": nodes,
            "work": str(work.absolute()) if work else None,
        }
    )
