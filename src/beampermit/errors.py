"""What a user can cause, with the exit code it ends in (the same for every command)."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
EXHAUSTED = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ELOOP}
"""What the machine says of files, whatever command asks; anything else that it says is our mistake."""
PROGRAMS = {"beampermit", "df", "dvc", "export", "git", "less", "ls", "make", "pip", "python", "unset", "uv"}
"""First words of hints that are commands."""


@dataclass(frozen=True)
class Problem:
    """Something wrong in a file of the project: `line` from 1, None where it is the file as a whole."""

    # Where pydantic reads one out of an artifact, an unknown key is an error.
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    message: str
    file: str | None = None
    line: int | None = None
    hint: str = ""

    @property
    def place(self) -> str:
        """`file:line`, `file`, or nothing."""
        if self.file is None:
            return ""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class BeampermitError(Exception):
    """One line of why, where it happened, and the command to run next.

    `exit_code` is part of the promise to scripts: 1 failed, 2 usage or bad input, 3 conflict, 4 the outside world.
    """

    exit_code = 2

    def __init__(self, message: str, *, file: Path | str | None = None, line: int | None = None, hint: str = ""):
        super().__init__(message)
        self.message = message
        self.file = str(file) if file is not None else None
        self.line = line
        self.hint = hint

    @property
    def problem(self) -> Problem:
        return Problem(self.message, self.file, self.line, self.hint)

    def __str__(self) -> str:
        return str(self.problem)

    @property
    def place(self) -> str:
        """`file:line`, `file`, or nothing."""
        return self.problem.place


class Failed(BeampermitError):
    """The project is at fault: an interlock fails."""

    exit_code = 1


class BadInput(BeampermitError):
    """Usage, or a file or an answer that cannot be accepted."""

    exit_code = 2


class Conflict(BeampermitError):
    """Somebody else was first; nothing moved."""

    exit_code = 3


class Outside(BeampermitError):
    """Network, registry, remote or GitHub failed; the project may be fine."""

    exit_code = 4


def several(faults: Sequence[str], shown: int = 1) -> str:
    """The first of some faults, and how many more there are, in one line."""
    return "; ".join(faults[:shown]) + more(len(faults) - shown)


def more(count: int) -> str:
    """Such as ` (and 3 more)`; nothing where there are none."""
    return f" (and {count} more)" if count > 0 else ""


def meant(word: str, known: Iterable[str], ask: str = "did you mean") -> str:
    """`; did you mean 'the nearest of the known words'?`; nothing where none is near."""
    import difflib  # only who errs waits for it

    near = difflib.get_close_matches(word, list(known), 1, 0.5)
    return f"; {ask} {near[0]!r}?" if near else ""


def is_command(hint: str) -> bool:
    """Whether a hint can be typed as it is; any other is a sentence."""
    return hint.partition(" ")[0] in PROGRAMS


def of_the_machine(error: OSError) -> Outside | None:
    """A file that may not be read or written, a full or broken disk, as a user is told of it; None for our mistakes."""
    if error.errno not in REFUSED | EXHAUSTED:
        return None
    hint = ""
    if isinstance(error.filename, str):
        hint = f"ls -ld {error.filename}" if error.errno in REFUSED else "df -h"
    return Outside(str(error.strerror or error).lower(), file=error.filename, hint=hint)
