"""`beampermit new`: a complete project from the template."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.output import Json, console, progress_console, show, shown_progress
from beampermit.errors import counted


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
    from beampermit.environments.choice import backend_of
    from beampermit.generation.answers import ask_on_terminal, complete, parse
    from beampermit.generation.rendering import generate
    from beampermit.git import Git

    options = {"example": example, "library": library}
    given = {**{question: name for question, name in options.items() if name is not None}, **parse(answer or [])}
    answers = complete(given, None if no_input or as_json else ask_on_terminal)
    with shown_progress() as progress:
        progress("generating the project")
        project = generate(
            output_dir,
            answers,
            lock="try" if lock is None else lock,
            progress=progress,
            warn=lambda line: progress_console().print(line, style="yellow", soft_wrap=True),
        )
    git = Git(project)
    steps = [
        f"cd {project}",
        *([] if (project / backend_of(project).lock_file).is_file() else ["beampermit env lock"]),
        "beampermit env install",
        "make reproduce",
        "make check",
    ]

    def text() -> None:
        console().print(f"{project}: {counted(len(git.tracked()), 'file')}. Next steps:")
        for step in steps:
            console().print(f"  {step}")

    show({"project": str(project), "answers": answers, "commit": git.resolve("HEAD"), "next": steps}, text, as_json)
