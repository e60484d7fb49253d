"""What DVC says of a project's files, as our errors: the file, the line, and the deepest reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beampermit.errors import BadInput, BeampermitError
from beampermit.reading import MERGE_MARKERS


@contextmanager
def bad_input(root: Path) -> Iterator[None]:
    """Turn what DVC raises about a project's files into `BadInput` with file and line."""
    from dvc.exceptions import DvcException

    try:
        yield
    except BeampermitError:
        raise
    except (DvcException, OSError, ValueError, TypeError, RecursionError) as error:
        raise explain(error, root) from None


def explain(error: Exception, root: Path) -> BadInput:
    """The deepest thing that DVC says of a file, with the line where there is one."""
    from dvc.utils.strictyaml import YAMLSyntaxError, YAMLValidationError, determine_linecol

    if isinstance(error, YAMLSyntaxError):
        file = _named(error.relpath, root)
        line = _conflict(root / file)
        if line:
            return BadInput("there are merge-conflict markers in this file", file=file, line=line, hint="git mergetool")
        mark = getattr(error.exc.__cause__, "problem_mark", None)
        problem = getattr(error.exc.__cause__, "problem", None) or "cannot be read"
        return BadInput(f"not YAML: {problem}", file=file, line=mark.line + 1 if mark else None)
    if isinstance(error, YAMLValidationError):
        from dvc.utils.serialize import parse_yaml_for_update

        first = error.exc.errors[0]
        line = determine_linecol(parse_yaml_for_update(error.text, error.path), first.path)[0]
        where = ".".join(str(part) for part in first.path)
        return BadInput(f"{where}: {first.error_message}", file=_named(error.path, root), line=line)
    words = [" ".join(str(found).split()).replace(f"{root}/", "") for found in _chain(error)]
    return BadInput("; ".join(dict.fromkeys(word for word in words if word)) or type(error).__name__, hint="dvc status")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _named(path: str, root: Path) -> str:
    found = Path(os.path.abspath(path))  # noqa: PTH100 - DVC names files from the current folder, links unresolved
    return found.relative_to(root).as_posix() if found.is_relative_to(root) else path


def _conflict(file: Path) -> int | None:
    return next(
        (
            number
            for number, line in enumerate(_lines(file), 1)
            if line.startswith(MERGE_MARKERS) or line.rstrip() == "======="
        ),
        None,
    )


def line_of(file: Path, word: str) -> int | None:
    """The first line of a file that holds `word`, from 1; None where there is none."""
    return next((number for number, line in enumerate(_lines(file), 1) if word in line), None)


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
