"""What a command prints: results on stdout, progress and errors on stderr, JSON when asked."""

from __future__ import annotations

import codecs
import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beampermit.errors import BadInput, BeampermitError, Failed
from beampermit.progress import Progress, silent

if TYPE_CHECKING:
    from beampermit.verdicts.verdict import Verdict

SPELLED = {"≥": ">=", "≤": "<=", "→": "->", "\u2013": "-", "…": "...", "●": "*"}
"""Our own characters that an old terminal lacks."""
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def print_in_any_encoding() -> None:
    """Let stdout and stderr spell out what they cannot encode, instead of ending in a traceback."""
    codecs.register_error("beampermit", _spell)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="beampermit")


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(SPELLED.get(character) or ascii(character)[1:-1] for character in wrong), error.end


def show(value: Any, text: Callable[[], None], as_json: bool) -> None:
    """Print `value` as JSON, or call `text` to print it for a person."""
    if as_json:
        print_json(value)
    else:
        text()


def print_json(value: Any, *, allow_nan: bool = False) -> None:
    """Print JSON with all text as it is; where stdout is not UTF-8, which JSON has to be, as its escapes."""
    unicode = (sys.stdout.encoding or "utf-8").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=not unicode, allow_nan=allow_nan) + "\n")


def console() -> Any:
    """A rich console on stdout that prints text literally and leaves long lines to the terminal.

    Paths, digests and commands are then never cut, nor broken by a line end that would be pasted with them.
    """
    from rich.console import Console

    return Console(soft_wrap=True, highlight=False, markup=False, emoji=False)


def plain(text: str) -> str:
    """`text` on one line of a terminal, which obeys control sequences in values."""
    from beampermit.documents.markdown import logged

    return logged(text)


def plain_lines(lines: Iterable[str]) -> str:
    """Each line `plain`, as far to the right as it was."""
    bare = ((line, line.lstrip(" ")) for line in lines)
    return "\n".join(f"{line[: len(line) - len(text)]}{plain(text)}" for line, text in bare)


def progress_console() -> Any:
    """A rich console on stderr, for progress."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_verdicts(verdicts: Sequence[Verdict], everything: bool = False) -> None:
    """Print verdicts for a person."""
    from beampermit.documents.screen import render_verdicts

    target = console()
    target.print(render_verdicts(verdicts, target.width, everything))


def print_verdicts_as_json(verdicts: Sequence[Verdict]) -> None:
    """Print verdicts for a program."""
    print_json([verdict.model_dump(mode="json") for verdict in verdicts], allow_nan=True)


def fail(error: BeampermitError) -> int:
    """Print an error on stderr, or as JSON on stdout where JSON was asked for; return its exit code."""
    hint = "" if _is_this_command(error) else error.hint
    if re.search(r" (--json|--format[ =]json)( |$)", " ".join(sys.argv)):
        body = {
            "error": error.message,
            "file": error.file,
            "line": error.line,
            "also": [{"error": each.message, "file": each.file, "line": each.line} for each in error.also],
            "next": hint,
            "exit_code": error.exit_code,
        }
        print_json(body)
        return error.exit_code
    from beampermit.documents.markdown import logged  # terminals and runners obey control sequences in values
    from beampermit.documents.screen import shortened

    sys.stderr.write(f"beampermit: {logged(error.problem)}\n")
    # What a person wrote is corrected line by line; what differs otherwise may be a whole environment.
    others = [*map(logged, error.also)]
    shown = others if isinstance(error, BadInput) else shortened(others, "problem")
    # Behind a dash, no line can be a runner's command.
    sys.stderr.writelines(f"  - {line}\n" for line in shown)
    if hint:
        sys.stderr.write(f"      next: {logged(hint)}\n")
    return error.exit_code


def _is_this_command(error: BeampermitError) -> bool:
    """Whether the hint is what was just run; it helps only where something outside failed."""
    program, *words = error.hint.split() or [""]
    at_fault = error.exit_code in (Failed.exit_code, BadInput.exit_code)
    return at_fault and program == "beampermit" and sys.argv[1 : len(words) + 1] == words


def _say_which(ctx: typer.Context, folder: Path) -> Path:
    """Say which folder is taken where another one is named: that is the project which is judged."""
    if ctx.resilient_parsing or folder == Path():
        return folder
    from beampermit.contract import FILE_NAME
    from beampermit.environments.choice import REQUIRED
    from beampermit.project import find_folder

    of_environment = ctx.parent is not None and ctx.parent.info_name == "env"
    try:
        taken = find_folder(folder, REQUIRED if of_environment else ())
    except BeampermitError:
        return folder  # the command itself says what is wrong
    if taken != folder.resolve():
        line = f"{folder} has no {FILE_NAME}: the project is {taken}"
        progress_console().print(line, style="dim", soft_wrap=True)
    return folder


Folder = Annotated[
    Path,
    typer.Option("--project", help="A folder of the project.", show_default="this folder", callback=_say_which),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key", help="Public key (PEM).", show_default="the project's .github/permit.pub"),
]


EVERY = 10.0
"""Seconds between two lines of a log that differ only in their numbers."""


@contextmanager
def shown_progress(enabled: bool = True) -> Iterator[Progress]:
    """Show steps on stderr: a spinner or a bar on a terminal, lines in a log."""
    if not enabled:
        yield silent
        return
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Display

    target = progress_console()
    if not target.is_terminal:
        yield _Lines(target)
        return
    counts = (BarColumn(), MofNCompleteColumn())
    with Display(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), *counts, console=target, transient=True
    ) as display:
        task = display.add_task("", total=None)
        yield lambda step, done=0, total=0, /: display.update(
            task, description=step, completed=done, total=total or None
        )


class _Lines:
    """A line for each new step; lines that differ only in their numbers come every `EVERY` seconds."""

    def __init__(self, target: Any):
        self._target = target
        self._step = ""
        self._next = 0.0

    def __call__(self, step: str, done: int = 0, total: int = 0, /) -> None:
        line = f"{step}: {done} of {total}" if total else step
        step, now = re.sub(r"\d+", "", line), time.monotonic()
        if not line or (step == self._step and now < self._next):
            return
        self._step, self._next = step, now + EVERY
        self._target.print(line, style="dim", soft_wrap=True)
