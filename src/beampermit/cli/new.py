"""`beampermit new`: a complete project from the template."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beampermit.cli.asking import answers_are_told, ask_and_keep
from beampermit.cli.output import Json, console, progress_console, show, shown_progress
from beampermit.errors import BadInput, counted

if TYPE_CHECKING:
    from beampermit.generation.from_table.project import TableProject
    from beampermit.generation.lume_project import LumeProject

ONE_WAY = "--from-table, --from-lume and --example are three ways to begin: give one of them"


def new(
    output_dir: Annotated[
        Path, typer.Option("--output-dir", "-o", help="Parent folder of the project.", show_default="this folder")
    ] = Path(),
    answer: Annotated[
        list[str] | None,
        typer.Option(
            "--answer",
            "-a",
            metavar="KEY=VALUE",
            help="Answer to a question of the template, such as project_slug=bpm-faults.",
        ),
    ] = None,
    example: Annotated[
        str | None, typer.Option("--example", metavar="NAME", help="Worked example to start from, such as bpm-faults.")
    ] = None,
    library: Annotated[
        str | None, typer.Option("--library", metavar="NAME", help="Library of the example's model, such as torch.")
    ] = None,
    from_table: Annotated[
        Path | None,
        typer.Option("--from-table", metavar="FILE", help="Make the project of your own table: Parquet, CSV or HDF5."),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option("--output", metavar="NAME", help="With --from-table: a column that the model predicts."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="NAME", help="With --from-table: a column whose values are each in one split."),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option("--time", metavar="NAME", help="With --from-table: the column of time, in which splits follow."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="NAME", help="With --from-table: a column that is not an input."),
    ] = None,
    from_lume: Annotated[
        Path | None,
        typer.Option("--from-lume", metavar="FILE", help="Make the project of a LUME model: its model_config.yaml."),
    ] = None,
    pv_mapping: Annotated[
        Path | None,
        typer.Option("--pv-mapping", metavar="FILE", help="With --from-lume: which PVs make the model's inputs."),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(
            "--python",
            metavar="FILE",
            help="With --from-lume: the Python with torch that reads the weights.",
            show_default="that of the shell",
        ),
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option("--network", metavar="FILE", help="With --from-lume: Python code of layers saved without them."),
    ] = None,
    no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing; take defaults for the rest.")] = False,
    lock: Annotated[
        bool | None,
        typer.Option(
            "--lock/--no-lock", help="Also lock the environment.", show_default="if the package index can be reached"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a new project from the template."""
    from beampermit.generation.answers import complete, parse
    from beampermit.generation.next_steps import next_steps
    from beampermit.generation.rendering import generate, refuse_without_fill
    from beampermit.git import Git

    if from_table and from_lume:
        raise BadInput(ONE_WAY)
    options = {"example": example, "library": library}
    given = {**{question: name for question, name in options.items() if name is not None}, **parse(answer or [])}
    lume = _lume(from_lume, pv_mapping, python, network, given)
    named = {"outputs": output or [], "groups": group or [], "ignored": ignore or []}
    kept: dict[str, str] = {}
    ask = None if no_input or as_json else partial(ask_and_keep, kept)
    with _table(from_table, named, time, given) as table, answers_are_told(kept):
        begun = table or lume
        if not begun:
            refuse_without_fill(given)
        answers = complete(given, ask, begun.defaults if begun else {}, partial(_taken, output_dir))
        with shown_progress() as progress:
            progress("generating the project")
            project = generate(
                output_dir,
                answers,
                fill=begun.fill if begun else None,
                lock="try" if lock is None else lock,
                progress=progress,
                warn=lambda line: progress_console().print(line, style="yellow", soft_wrap=True),
            )
    git = Git(project)
    steps = next_steps(project, answers)
    drafted = table.drafted if table else None
    notes = drafted.notes if drafted else lume.notes if lume else ()

    def text() -> None:
        for note in notes:
            console().print(note)
        console().print(f"{project}: {counted(len(git.tracked()), 'file')}. Next steps:")
        for step in steps:
            console().print(f"  {step}")
        if open_questions := [question for question, answer in answers.items() if "TODO" in answer]:
            console().print(f"Still TODO: {', '.join(open_questions)}. `beampermit contract check` names the lines.")

    made = {"project": str(project), "answers": answers, "commit": git.resolve("HEAD"), "next": steps}
    of_table = {"table": drafted.model_dump(mode="json", exclude={"draft"})} if drafted else {}
    of_lume = {"lume": {"notes": lume.notes}} if lume else {}
    show({**made, **of_table, **of_lume}, text, as_json)


def _taken(output_dir: Path, question: str, answer: str) -> str:
    """Why a project of this name cannot be made here."""
    from beampermit.generation.rendering import is_there

    if question != "project_slug" or not is_there(output_dir / answer):
        return ""
    return f"the folder {output_dir / answer} already exists"


@contextmanager
def _table(
    file: Path | None, named: dict[str, list[str]], time: str | None, given: dict[str, str]
) -> Iterator[TableProject | None]:
    """What `--from-table` makes of a project; its copy of the table lasts until the end."""
    from beampermit.generation.from_table.project import EXAMPLE, prepare
    from beampermit.generation.from_table.roles import Asked

    if file is None:
        if time or any(named.values()):
            raise BadInput(
                "--output, --group, --time and --ignore name columns of a table", hint="add --from-table FILE"
            )
        yield None
        return
    if not named["outputs"]:
        raise BadInput("no --output says which column of the table the model predicts", file=file)
    if given.setdefault("example", EXAMPLE) != EXAMPLE:
        raise BadInput(ONE_WAY)
    with tempfile.TemporaryDirectory(prefix="beampermit-table-") as scratch:
        with shown_progress() as progress:
            asked = Asked(time=time, **{role: tuple(names) for role, names in named.items()})
            prepared = prepare(file, asked, Path(scratch), progress)
        yield prepared


def _lume(
    file: Path | None, mapping: Path | None, python: Path | None, network: Path | None, given: dict[str, str]
) -> LumeProject | None:
    """What `--from-lume` makes of a project."""
    from beampermit.generation.lume_project import EXAMPLE, prepare

    if file is None:
        if mapping or python or network:
            raise BadInput("--pv-mapping, --python and --network are about a LUME model", hint="add --from-lume FILE")
        return None
    if given.setdefault("example", EXAMPLE) != EXAMPLE:
        raise BadInput(ONE_WAY)
    with shown_progress() as progress:
        return prepare(file, mapping, python, network, progress)
