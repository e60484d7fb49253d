"""`beampermit contract`: check contract.yaml, print its schema and its reference."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import Json, console, show
from beampermit.errors import counted

app = typer.Typer(cls=Grouped, no_args_is_help=True, help="Check contract.yaml, or print its schema.")
Where = Annotated[Path, typer.Argument(help="The contract, or a folder of its project.", show_default="this folder")]


@app.command()
def check(path: Where = Path(), as_json: Json = False) -> None:
    """Check contract.yaml and list the lines marked TODO.

    An error names file, line and key.
    """
    from beampermit.contract import FILE_NAME, load_contract
    from beampermit.contract.completeness import todos
    from beampermit.documents.markdown import visible
    from beampermit.project import find_folder

    file = find_folder(path) / FILE_NAME if path.is_dir() else path
    contract = load_contract(file)
    marked = todos(file.read_text(encoding="utf-8"))

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

    body = contract.model_dump(mode="json")
    show(body | ({"todo": [vars(todo) for todo in marked]} if marked else {}), text, as_json)


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
