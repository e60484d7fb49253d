"""`beampermit log`: what a service answered."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beampermit.cli.output import console, print_json, progress_console

if TYPE_CHECKING:
    from beampermit.live.log.reading import Log

FOLDER = Path("predictions")
ON_SCREEN = 20
"""Rows that are printed where nobody says how many."""


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def log(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="What `beampermit serve --log` names, or a folder in it.")
    ] = FOLDER,
    since: Annotated[str | None, typer.Option(help="First time: with a zone, or so long ago, such as 2h.")] = None,
    until: Annotated[str | None, typer.Option(help="The same of the end, which is excluded.")] = None,
    version: Annotated[list[int] | None, typer.Option(help="Only this version; may be given again.")] = None,
    output: Annotated[list[str] | None, typer.Option(help="Only this output; may be given again.")] = None,
    invalid: Annotated[bool, typer.Option("--invalid", help="Only rows of which an output is INVALID.")] = False,
    rows: Annotated[
        int | None, typer.Option(min=1, help="At most so many rows, the newest.", show_default="20, and all with --out")
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(help="Format of what is printed or written.", show_default="by the name of --out, else a table"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A file to write, instead of printing.")] = None,
) -> None:
    """Show what a service answered, and why an output was INVALID.

    Reads the prediction log, also while the service writes it.
    """
    from beampermit.live.log.reading import Selection, open_log, parse_moment

    selection = Selection(
        since=parse_moment(since) if since else None,
        until=parse_moment(until) if until else None,
        versions=tuple(version or ()),
        outputs=tuple(output or ()),
        invalid=invalid,
    )
    kind = format or _by_name(out)
    with open_log(folder, selection) as opened:
        if out is None:
            _print(opened, kind, rows or ON_SCREEN)
        else:
            _write(opened, kind, rows, out)


def _by_name(out: Path | None) -> Format:
    """Raises `BadInput` for a name that says no format."""
    if out is None:
        return Format.TABLE
    from beampermit.errors import BadInput

    try:
        return Format(out.suffix.removeprefix("."))
    except ValueError:
        raise BadInput(
            "this name says no format; end it in .parquet, .csv or .json, or add --format", file=out
        ) from None


def _write(opened: Log, kind: Format, rows: int | None, out: Path) -> None:
    from beampermit.errors import BadInput, counted
    from beampermit.files import replacing

    if kind is Format.TABLE:
        raise BadInput("a table is for the screen", hint="write .parquet, .csv or .json")
    with replacing(out) as temporary:
        count = _write_json(opened, rows, temporary) if kind is Format.JSON else opened.copy(temporary, kind, rows)
    progress_console().print(f"{out}: {counted(count, 'row')}", soft_wrap=True)


def _write_json(opened: Log, rows: int | None, file: Path) -> int:
    """A list of objects, one a line: of a long log not all are in memory."""
    count = 0
    with file.open("w", encoding="utf-8") as stream:
        stream.write("[")
        for count, record in enumerate(opened.records(rows), 1):
            stream.write(f"{',' if count > 1 else ''}\n{json.dumps(_plain(record), ensure_ascii=False)}")
        stream.write("\n]\n")
    return count


def _print(opened: Log, kind: Format, rows: int) -> None:
    from beampermit.errors import BadInput

    if kind is Format.PARQUET:
        raise BadInput("Parquet is not for the screen", hint="add --out FILE.parquet")
    if kind is Format.JSON:
        print_json([_plain(record) for record in opened.records(rows)])
    elif kind is Format.CSV:
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch, "rows.csv")
            opened.copy(file, kind, rows)
            sys.stdout.write(file.read_text(encoding="utf-8"))
    else:
        _print_table(opened, rows)


def _print_table(opened: Log, rows: int) -> None:
    from beampermit.documents.served_rows import format_rows

    records = [*opened.records(rows)]
    target = console()
    if records:
        target.print(format_rows(records, opened.outputs, target.width))
    else:
        target.print("no row of the log is like that")


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: the reason beside it says what it was."""
    return {name: _plain_value(value) for name, value in record.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_value(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
