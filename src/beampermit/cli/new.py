"""`beampermit new`: a complete project from the template."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.output import Json, console, progress_console, show, shown_progress


def new(
    output_dir: Annotated[
        Path, typer.Option("--output-dir", "-o", help="Where the project's folder is made.", show_default="this folder")
    ] = Path(),
    answer: Annotated[
        list[str] | None,
        typer.Option(
            "--answer", "-a", metavar="KEY=VALUE", help="Answer to a question, such as project_slug=bpm-faults."
        ),
    ] = None,
    no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing; defaults answer the rest.")] = False,
    lock: Annotated[
        bool | None,
        typer.Option(
            "--lock/--no-lock", help="Lock the environment too.", show_default="where its packages can be reached"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a new project from the template."""
    from rich.text import Text

    from beampermit.environments.choice import backend_of
    from beampermit.generation.answers import ask_on_terminal, complete, parse
    from beampermit.generation.rendering import generate
    from beampermit.git import Git

    answers = complete(parse(answer or []), None if no_input or as_json else ask_on_terminal)
    err = progress_console()
    with shown_progress() as progress:
        progress("generating the project")
        project = generate(
            output_dir,
            answers,
            lock="try" if lock is None else lock,
            progress=progress,
            warn=lambda line: err.print(Text(line, style="yellow")),
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
        console().print(Text(f"{project}: {len(git.tracked())} files. What to do next:"))
        for step in steps:
            console().print(Text(f"  {step}"))

    show({"project": str(project), "answers": answers, "commit": git.resolve("HEAD"), "next": steps}, text, as_json)
