"""`beampermit reproduce`: train a commit again from nothing, and say how what comes out compares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beampermit.cli.output import Folder, Json, console, show, shown_progress

if TYPE_CHECKING:
    from beampermit.project import Project


def reproduce(
    commit: Annotated[
        str | None, typer.Argument(help="The commit to make again.", show_default="the files as they stand")
    ] = None,
    champion: Annotated[
        bool, typer.Option("--champion", help="Make the model in service again, as the ledger on origin names it.")
    ] = False,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="N,N,...|all", help="Train with these seeds too; all: those of the contract."),
    ] = None,
    reuse: Annotated[
        bool, typer.Option("--reuse", help="Take an environment that was made from the same lock before.")
    ] = False,
    variant: Annotated[
        str, typer.Option(help="The accelerator variant to train in.", show_default="the one without a name")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for the metrics, weights and logs of each training.")] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Train the model of a commit again and compare.

    In a clean work tree, with its lock, its data and its stages. Killed and run again, it goes on with the seeds that
    are left. Exit code 1: not the same model.
    """
    from beampermit.documents.reproduction import headline, summarise, summarised, text
    from beampermit.processes import ended_by_signals
    from beampermit.project import Project
    from beampermit.registry.ledger import load_champion
    from beampermit.reproduction.environments import new_environments, reused_environments
    from beampermit.reproduction.reproduce import reproduce as again

    if champion and commit:
        raise typer.BadParameter("the ledger says which commit it is", param_hint="--champion")
    found = Project.find(project.resolve())
    with ended_by_signals(), shown_progress() as progress, summarised():
        known = load_champion(found) if champion else None
        if champion and known is None:
            nothing = f"no version of {found.contract.model.name} is in service"
            summarise("Nothing to make again", nothing)
            show({"champion": None}, lambda: console().print(nothing, markup=False, soft_wrap=True), as_json)
            return
        chosen = known.event.commit if known else _commit(found, commit)
        contract = known.contract if known else found.base_contract
        done = again(
            found,
            contract,
            chosen,
            (reused_environments if reuse else new_environments)(progress, variant),
            seeds=_seeds(seeds, contract.reproducibility.seeds),
            digest=known.event.digest if known else "",
            out=out,
            progress=progress,
        )
    words = "\n".join(filter(None, (known and known.description, text(done))))
    summarise(headline(done), words)
    show(done.as_json(), lambda: console().print(words, markup=False, soft_wrap=True), as_json)
    raise typer.Exit(0 if done.sound else 1)


def _commit(project: Project, named: str | None) -> str:
    from beampermit.errors import BadInput
    from beampermit.reproduction.preparation import commit_of_work_tree

    found = project.git.resolve(named) if named else commit_of_work_tree(project.git)
    if found is None:
        raise BadInput(f"{named!r} is no commit of this repository", file=project.root, hint="git fetch origin")
    return found


def _seeds(words: str | None, of_contract: tuple[int, ...]) -> tuple[int, ...]:
    if words is None:
        return ()
    if words == "all":
        return of_contract
    try:
        return tuple(dict.fromkeys(int(word) for word in words.split(",")))
    except ValueError:
        raise typer.BadParameter("whole numbers with commas between, or all", param_hint="--seeds") from None
