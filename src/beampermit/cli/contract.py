"""`beampermit contract`: is it sound, and its schema."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import Json, console, show

app = typer.Typer(cls=Grouped, no_args_is_help=True, help="Check contract.yaml, or print its schema.")
Where = Annotated[Path, typer.Argument(help="The contract, or the folder that holds it.", show_default="this folder")]


@app.command()
def check(path: Where = Path(), as_json: Json = False) -> None:
    """Check contract.yaml and name what is still to be written.

    An error names file, line and key.
    """
    from beampermit.contract import FILE_NAME, load_contract
    from beampermit.contract.completeness import todos
    from beampermit.documents.markdown import visible

    found = load_contract(path)
    file = path / FILE_NAME if path.is_dir() else path
    waiting = todos(file.read_text(encoding="utf-8"))

    def text() -> None:
        inputs, outputs = len(found.signals.inputs), len(found.signals.outputs)
        gates = ", ".join(
            f"{metric.name} {'≥' if metric.better == 'higher' else '≤'} {metric.gate:g}" for metric in found.metrics
        )
        console().print(
            f"contract of {found.model.name}: {inputs} inputs, {outputs} outputs; gates {gates}", markup=False
        )
        for todo in waiting:
            what = ": ".join(filter(None, (todo.key, todo.what))) or "marked"
            console().print(f"{file}:{todo.line}: {visible(what)}", markup=False, soft_wrap=True)
        if waiting:
            console().print(f"{len(waiting)} lines wait for you: write each, and remove its mark TODO")

    body = found.model_dump(mode="json")
    show(body | ({"todo": [todo.__dict__ for todo in waiting]} if waiting else {}), text, as_json)


@app.command()
def schema() -> None:
    """Print the JSON schema of the contract, for editors.

    Such as: beampermit contract schema > .beampermit/contract.schema.json
    """
    from beampermit.contract.schema import contract_schema

    show(contract_schema(), lambda: None, as_json=True)


@app.command()
def reference() -> None:
    """Print every key of the contract with its type and default."""
    from beampermit.contract.reference import contract_reference

    sys.stdout.write(contract_reference())
