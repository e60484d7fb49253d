"""Questions of a command on a terminal: no answer is lost where it ends early."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from beampermit.cli.output import progress_console
from beampermit.errors import BeampermitError

if TYPE_CHECKING:
    from beampermit.generation.answers import Question


def ask_and_keep(kept: dict[str, str], question: Question) -> str:
    from beampermit.generation.answers import ask_on_terminal

    kept[question.name] = ask_on_terminal(question)
    return kept[question.name]


@contextmanager
def answers_are_told(kept: dict[str, str]) -> Iterator[None]:
    """Where the command ends early, say with which words it goes on."""
    try:
        yield
    except (KeyboardInterrupt, BeampermitError, OSError):
        if kept:
            given = [f"--answer={question}={answer}" for question, answer in kept.items()]
            command = shlex.join(["beampermit", *sys.argv[1:], *given])
            progress_console().print(f"\nTo go on with the answers so far:\n  {command}", soft_wrap=True)
        raise
