"""`beampermit reproduce`: train a commit again from scratch and compare the models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beampermit.cli.compute_options import (
    AtOnce,
    Cores,
    Gpus,
    Memory,
    Nodes,
    On,
    Partition,
    Time,
    Work,
    resources_of,
)
from beampermit.cli.output import Folder, Json, console, show, shown_progress

if TYPE_CHECKING:
    from beampermit.compute.resources import Resources
    from beampermit.project import Project
    from beampermit.reproduction.retraining import Trainer


def reproduce(
    commit: Annotated[str | None, typer.Argument(help="The commit to reproduce.", show_default="the work tree")] = None,
    champion: Annotated[
        bool, typer.Option("--champion", help="Reproduce the champion according to the ledger on origin.")
    ] = False,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="N,N,...|all", help="Also train with these seeds; all: those of the contract."),
    ] = None,
    reuse: Annotated[bool, typer.Option("--reuse", help="Reuse an environment installed from the same lock.")] = False,
    variant: Annotated[str, typer.Option(help="Accelerator variant to train in.", show_default="none")] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Use the trainings that an interrupted run of this commit finished.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the metrics, weights and logs of each training.")] = None,
    on: On = None,
    cores: Cores = None,
    gpus: Gpus = None,
    memory: Memory = None,
    time: Time = None,
    partition: Partition = None,
    at_once: AtOnce = None,
    nodes: Nodes = None,
    work: Work = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Train the model of a commit again and compare.

    In a clean tree, with its lock, its data and its stages, in a new private folder. After an interruption, --resume
    trains the remaining seeds. With --on, trainings run on a cluster. Exit code 1: not the same model.
    """
    from beampermit.documents.reproduction import headline, summarise, summarised, text
    from beampermit.processes import ended_by_signals
    from beampermit.project import Project
    from beampermit.registry.champion import load_champion
    from beampermit.reproduction.environments import new_environments, reused_environments
    from beampermit.reproduction.reproduce import reproduce as reproduce_commit

    if champion and commit:
        raise typer.BadParameter("excludes a commit: the ledger names it", param_hint="--champion")
    found = Project.find(project.resolve())
    resources = resources_of(on, cores, gpus, memory, time, partition, at_once, nodes, work)
    with (
        ended_by_signals(),
        shown_progress() as progress,
        summarised(),
        found.apart() as repository,
        _trainer(resources) as train,
    ):
        in_service = load_champion(repository) if champion else None
        if champion and in_service is None:
            nothing = f"no version of {repository.contract.model.name} is in service"
            summarise("Nothing to reproduce", nothing)
            show({"champion": None}, lambda: console().print(nothing), as_json)
            return
        contract = in_service.contract if in_service else repository.base_contract
        done = reproduce_commit(
            repository,
            contract,
            in_service.event.commit if in_service else _resolve(repository, commit),
            (reused_environments if reuse else new_environments)(progress, variant),
            seeds=_parse_seeds(seeds, contract.reproducibility.seeds),
            digest=in_service.event.digest if in_service else "",
            out=out,
            kept=True,
            resume=resume,
            train=train,
            progress=progress,
        )
    lines = "\n".join(filter(None, (in_service and in_service.description, text(done))))
    summarise(headline(done), lines)
    show(done.as_json(), lambda: console().print(lines), as_json)
    raise typer.Exit(0 if done.sound else 1)


@contextmanager
def _trainer(resources: Resources) -> Iterator[Trainer]:
    """Here DVC runs the stages itself, several trainings at a time, unless somebody wants more of the executor."""
    from functools import partial

    from beampermit.compute.executor import open_executor
    from beampermit.reproduction.elsewhere import trainer_on
    from beampermit.reproduction.retraining import train

    plain = resources.cores == resources.nodes == 1 and not (resources.gpus or resources.memory or resources.time)
    if resources.on == "local" and plain:
        yield partial(train, at_once=resources.at_once or None)
        return
    folder = resources.folder()
    with open_executor(resources.on, resources, folder) as executor:
        yield trainer_on(executor, folder)


def _resolve(project: Project, revision: str | None) -> str:
    from beampermit.errors import BadInput
    from beampermit.reproduction.tree import commit_of_work_tree

    commit = project.git.resolve(revision) if revision else commit_of_work_tree(project.git)
    if commit is None:
        raise BadInput(f"{revision!r} is not a commit of this repository", file=project.root, hint="git fetch origin")
    return commit


def _parse_seeds(text: str | None, of_contract: tuple[int, ...]) -> tuple[int, ...]:
    if text is None:
        return ()
    if text == "all":
        return of_contract
    try:
        return tuple(dict.fromkeys(int(seed) for seed in text.split(",")))
    except ValueError:
        raise typer.BadParameter("give integers separated by commas, or all", param_hint="--seeds") from None
