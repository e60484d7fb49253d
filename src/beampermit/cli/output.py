"""What a command prints: results on stdout, progress and errors on stderr, JSON when asked."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from beampermit.errors import BeampermitError

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def show(value: Any, text: Callable[[], None], as_json: bool) -> None:
    """Print a result: `value` as JSON, or whatever `text` prints."""
    if as_json:
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        text()


def console() -> Any:
    """A rich console on stdout; values printed with it must be escaped or `Text`."""
    from rich.console import Console

    return Console(soft_wrap=False, highlight=False)


def progress_console() -> Any:
    """A rich console on stderr, for progress."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def fail(error: BeampermitError) -> int:
    """Say why on stderr (as JSON where `--json` was given), with the next command; give the exit code."""
    if "--json" in sys.argv:
        body = {
            "error": error.message,
            "file": error.file,
            "line": error.line,
            "next": error.hint,
            "exit_code": error.exit_code,
        }
        sys.stdout.write(json.dumps(body, indent=2, ensure_ascii=False) + "\n")
        return error.exit_code
    from beampermit.documents.markdown import logged  # a terminal and a runner obey what stands in a value

    # An item of a list begins with a word, so it cannot be a command to a runner, whoever wrote it.
    items = re.split(r"\n  (?=\w)", str(error))
    text = "\n  ".join(logged(item) for item in items)
    sys.stderr.write(f"beampermit: {text}\n")
    if error.hint:
        sys.stderr.write(f"      next: {logged(error.hint)}\n")
    return error.exit_code
