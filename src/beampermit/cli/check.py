"""`beampermit check`: run interlocks, print their verdicts."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.output import Folder, plain, print_verdicts, print_verdicts_as_json, show, shown_progress
from beampermit.errors import BadInput


class Format(StrEnum):
    """How verdicts are printed."""

    RICH = "rich"
    JSON = "json"
    MARKDOWN = "markdown"
    GITHUB = "github"


Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="FAMILY|ID", help="Families (data, DAT, own) or ids (DAT004).", show_default="all"),
]


def check(
    names: Names = None,
    format: Annotated[Format, typer.Option(help="How verdicts are printed.")] = Format.RICH,
    json_: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    project: Folder = Path(),
    base: Annotated[
        str | None,
        typer.Option(help="Revision whose contract applies.", show_default="the pull request's base"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the verdicts to this file, for the permit.")] = None,
    fresh: Annotated[
        bool, typer.Option(help="Run every check, also where nothing has changed since the last run.")
    ] = False,
    all_: Annotated[bool, typer.Option("--all", help="Also list the interlocks that passed.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the interlocks and exit.")] = False,
) -> None:
    """Run interlocks on this repository and say which pass."""
    from beampermit.documents.verdicts import annotate_problems
    from beampermit.interlocks import runner
    from beampermit.interlocks.own.loading import select
    from beampermit.project import Project
    from beampermit.verdicts.verdict import exit_code
    from beampermit.verdicts.writing import write_verdicts

    if list_:
        _list(select(names or [], _project_if_any(project.resolve(), base)), Format.JSON if json_ else format)
        return
    repository = Project.find(project.resolve(), base)
    if not names and format is not Format.GITHUB:  # a job has a commit
        repository.refuse_uncommitted()
    chosen = select(names or [], repository)
    with shown_progress(sys.stderr.isatty() and format is Format.RICH and not json_) as progress:
        try:
            verdicts = runner.check(repository, chosen, fresh=fresh or out is not None, progress=progress)
        except BadInput as error:
            if format is Format.GITHUB:
                sys.stdout.write(annotate_problems(repository.problems_of(error)))
            raise
    if out:
        write_verdicts(out, runner.verdict_file(repository, verdicts))
    _print(verdicts, Format.JSON if json_ else format, all_)
    raise typer.Exit(exit_code(verdicts))


def _project_if_any(folder: Path, base: str | None) -> Any:
    """None outside of a repository: the list is then that of every project."""
    from beampermit.errors import BeampermitError
    from beampermit.project import Project

    try:
        return Project.find(folder, base)
    except BeampermitError:
        return None


def _list(chosen: list[Any], format: Format) -> None:
    from beampermit.interlocks.reference import interlock_reference

    if format is Format.MARKDOWN:
        sys.stdout.write(interlock_reference(chosen))
        return
    entries = [
        {
            "id": cls.id(),
            "title": cls.title(),
            "requires": sorted(cls.requires),
            "fix": cls.fix(),
            "package": cls.package,
        }
        for cls in chosen
    ]
    lines = [f"{cls.id()}  {plain(cls.title())}{f' ({cls.package})' if cls.package else ''}\n" for cls in chosen]
    show(entries, lambda: sys.stdout.writelines(lines), format is Format.JSON)


def _print(verdicts: list[Any], format: Format, everything: bool) -> None:
    from beampermit.documents import verdicts as render

    if not verdicts and format is not Format.JSON:
        sys.stdout.write("the protected branch asks for no interlocks of the laboratory's own\n")
        return
    match format:
        case Format.RICH:
            print_verdicts(verdicts, everything)
        case Format.JSON:
            print_verdicts_as_json(verdicts)
        case Format.MARKDOWN:
            sys.stdout.write(render.format_markdown(verdicts))
        case Format.GITHUB:
            sys.stdout.write(render.format_annotations(verdicts))
