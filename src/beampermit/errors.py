"""Errors that a user can cause, each with the exit code of every command that it ends."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
EXHAUSTED = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ELOOP}
"""Errors of the file system that any command may meet; others are bugs of ours."""
PROGRAMS = {"beampermit", "df", "dvc", "export", "gh", "git", "less", "ls", "make", "pip", "python", "unset", "uv"}
"""First words of hints that are commands."""


@dataclass(frozen=True)
class Problem:
    """Something wrong in a file of the project; `line` counts from 1, None stands for the file as a whole."""

    # pydantic reads problems of other jobs from artifacts: an unknown key is an error.
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
    """One line that says what is wrong, the file and line, and what to do; `also` are further problems found with it.

    Scripts rely on `exit_code`: 1 failed, 2 usage or bad input, 3 conflict, 4 the outside world.
    """

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        file: Path | str | None = None,
        line: int | None = None,
        hint: str = "",
        also: Sequence[Problem] = (),
    ):
        super().__init__(message)
        self.message = message
        self.file = str(file) if file is not None else None
        self.line = line
        self.hint = hint
        self.also = tuple(also)

    @property
    def problem(self) -> Problem:
        return Problem(self.message, self.file, self.line, self.hint)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return (self.problem, *self.also)

    def __str__(self) -> str:
        return f"{self.problem}{more(len(self.also))}"

    @property
    def place(self) -> str:
        """`file:line`, `file`, or nothing."""
        return self.problem.place


class Failed(BeampermitError):
    """The project is at fault: an interlock fails."""

    exit_code = 1


class BadInput(BeampermitError):
    """Wrong usage, or invalid input."""

    exit_code = 2


class Conflict(BeampermitError):
    """Somebody else was first; nothing was changed."""

    exit_code = 3


class Outside(BeampermitError):
    """Network, registry, remote or GitHub failed; the project may be fine."""

    exit_code = 4

    seconds = 0.0
    """To wait, where the other side asks for it."""

    def after(self, seconds: float) -> Self:
        """This error, where the other side asks to wait so long."""
        self.seconds = seconds
        return self


def several(faults: Sequence[str], shown: int = 1) -> str:
    """The first `shown` faults in one line, and how many more there are."""
    return "; ".join(faults[:shown]) + more(len(faults) - shown)


def more(count: int) -> str:
    """Such as ` (and 3 more)`; nothing for 0."""
    return f" (and {count} more)" if count > 0 else ""


def one_line(error: BaseException) -> str:
    """What an exception says, in one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def counted(number: int, thing: str) -> str:
    """Such as `1 package` and `2 packages`."""
    return f"{number} {thing}{'s' * (number != 1)}"


def did_you_mean(word: str, choices: Iterable[str], question: str = "did you mean") -> str:
    """Such as `; did you mean 'model'?` for the most similar choice; nothing if none is similar."""
    import difflib  # 10 ms, which only an error costs

    similar = difflib.get_close_matches(word, list(choices), 1, 0.5)
    return f"; {question} {similar[0]!r}?" if similar else ""


def is_command(hint: str) -> bool:
    """Whether a hint can be typed as it is; any other is a sentence."""
    return hint.partition(" ")[0] in PROGRAMS


def from_os_error(error: OSError) -> Outside | None:
    """The error for a file without permission, a full or broken disk; None if it is a bug of ours."""
    if isinstance(error, shutil.Error):  # of a folder's copy: a list of what failed
        error = _first_of(error)
    if error.errno not in REFUSED | EXHAUSTED:
        return None
    hint = ""
    name = error.filename2 or error.filename  # of a copy, a link and a renaming, what is written and not what is there
    if isinstance(name, str):
        file = Path(name)
        # Not `Path.exists`: before Python 3.14 it raises for a file in a folder that may not be searched.
        there = next((path for path in (file, *file.parents) if os.path.exists(path)), file)  # noqa: PTH110
        hint = f"ls -ld {there}" if error.errno in REFUSED else "df -h"
    return Outside(str(error.strerror or error).lower(), file=name, hint=hint)


def _first_of(error: shutil.Error) -> OSError:
    """The first file of a folder that could not be copied, and why."""
    failed = error.args[0] if error.args else ""
    if not isinstance(failed, list) or not (number := re.match(r"\[Errno (\d+)\]", str(failed[0][2]))):
        return error
    return OSError(int(number[1]), os.strerror(int(number[1])), str(failed[0][1]))
