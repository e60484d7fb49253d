"""`beampermit contract`: check contract.yaml, print its schema and its reference."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import Json, console, show
from beampermit.errors import BadInput, Failed, counted

if TYPE_CHECKING:
    from beampermit.code.check import Fit

app = typer.Typer(cls=Grouped, no_args_is_help=True, help="Check contract.yaml, or print its schema.")
Where = Annotated[Path, typer.Argument(help="The contract, or a folder of its project.", show_default="this folder")]


@app.command()
def check(
    path: Where = Path(),
    code: Annotated[
        bool,
        typer.Option("--code", help="Also list code, stages, parameters, tests and documents that do not fit it."),
    ] = False,
    base: Annotated[
        str | None,
        typer.Option(help="With --code: revision that says what is gone.", show_default="the pull request's base"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check contract.yaml and list the lines marked TODO.

    An error names file, line and key. With --code, the project's files are read as well, and nothing of them is run.
    """
    from beampermit.contract import FILE_NAME, load_contract
    from beampermit.contract.completeness import todos
    from beampermit.documents.markdown import visible
    from beampermit.project import Project, find_folder

    file = find_folder(path) / FILE_NAME if path.is_dir() else path
    contract = Project(file.parent).contract if path.is_dir() else load_contract(file)
    marked = todos(file.read_text(encoding="utf-8"))
    fit = _fit(file, base) if code else None

    def text() -> None:
        inputs, outputs = len(contract.signals.inputs), len(contract.signals.outputs)
        gates = ", ".join(
            f"{metric.name} {'≥' if metric.better == 'higher' else '≤'} {metric.gate:g}" for metric in contract.metrics
        )
        signals = f"{counted(inputs, 'input')}, {counted(outputs, 'output')}"
        console().print(f"contract of {contract.model.name}: {signals}; gates {gates}")
        for todo in marked:
            what = ": ".join(filter(None, (todo.key, todo.what))) or "TODO"
            console().print(f"{file}:{todo.line}: {visible(what)}")
        if marked:
            console().print(f"{counted(len(marked), 'line')} marked TODO: complete each and remove the mark")
        if fit:
            _print_fit(fit)

    body = contract.model_dump(mode="json")
    body |= {"todo": [vars(todo) for todo in marked]} if marked else {}
    body |= {"code": _fit_body(fit), "notes": [*fit.notes]} if fit else {}
    show(body, text, as_json)
    if fit and fit.problems:
        raise typer.Exit(Failed.exit_code)


def _fit(file: Path, base: str | None) -> Fit:
    from beampermit.code.check import check_code
    from beampermit.contract import FILE_NAME
    from beampermit.project import Project

    if file.name != FILE_NAME:
        raise BadInput(f"--code is for a project, with its contract in {FILE_NAME}", file=file)
    project = Project.find(file.parent.resolve(), base)
    if base:
        _ = project.base  # raises where a named base does not exist
    return check_code(project)


def _fit_body(fit: Fit) -> list[dict[str, object]]:
    return [
        {"file": problem.file, "line": problem.line, "what": problem.message, "fix": problem.hint}
        for problem in fit.problems
    ]


def _print_fit(fit: Fit) -> None:
    from beampermit.documents.markdown import logged

    for problem in fit.problems:
        console().print(logged(problem))
        console().print(f"    fix: {logged(problem.hint)}")
    for note in fit.notes:
        console().print(logged(note))
    count = counted(len(fit.problems), "place")
    console().print(f"{count} where code and contract do not fit" if fit.problems else "code and contract fit")


@app.command()
def schema() -> None:
    """Print the JSON schema of the contract, for editors.

    For example: beampermit contract schema > .beampermit/contract.schema.json
    """
    from beampermit.contract.reference import contract_schema

    show(contract_schema(), lambda: None, as_json=True)


@app.command()
def reference() -> None:
    """Print every key of the contract with its type and default."""
    from beampermit.contract.reference import contract_reference

    sys.stdout.write(contract_reference())
