"""Files that are whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import importlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8, `\\n`) in one step; a kill leaves the old file or the new one."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block ends well, remove it when not.

    Raises `BadInput` where something else than a file, or than its folder, is in the way.
    """
    if path.is_dir():
        raise BadInput("a file is to be written here, and this is a folder", file=path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError):
        raise BadInput("no folder can be made here: something else is in the way", file=path.parent) from None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        error.filename = str(path)  # what a user asked for, not the name it has meanwhile
        raise
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON; NaN and infinities are refused, for no reader agrees on them."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, *, limit: int = 16 * 2**20) -> Any:
    """Read JSON that someone else wrote: at most `limit` bytes, no NaN, no key given twice.

    Raises `BadInput` that names the file, and the line where there is one.
    """
    if not path.is_file():
        raise BadInput("the file is missing", file=path)
    if path.stat().st_size > limit:
        raise BadInput(f"larger than the {limit} bytes allowed here", file=path)
    return parse_json(path.read_bytes(), path)


def parse_json(content: bytes, name: Path | str) -> Any:
    """Parse strict JSON bytes; `name` is what an error calls them. Raises `BadInput`."""
    try:
        found = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
        if _HALF.search(content):
            _refuse_halves(found)
    except json.JSONDecodeError as error:
        raise BadInput(f"not JSON: {error.msg}", file=name, line=error.lineno) from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"not JSON: {error}", file=name) from None
    except _Refused as error:
        raise BadInput(str(error), file=name) from None
    except ValueError:
        # json leaves an integer of more than 4300 digits to int, which refuses it in words about Python.
        raise BadInput("not JSON: an integer with thousands of digits", file=name) from None
    return found


def parse_yaml(text: str, name: Path | str, *, lines: bool = False, hint: str = "") -> Any:
    """Parse YAML that someone else wrote: no tags that make objects, no aliases, of which a few lines make gigabytes.

    With `lines`, mappings and lists know where their items stand (`lc` of ruamel.yaml). Raises `BadInput` with file and
    line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.events import AliasEvent

    with naming_yaml_errors(name, hint=hint):
        if "*" in text:
            for event in YAML(typ="safe", pure=True).parse(text):
                if isinstance(event, AliasEvent):
                    line = event.start_mark.line + 1
                    raise BadInput(
                        "YAML aliases are not read here: each value stands where it is used",
                        file=name,
                        line=line,
                        hint=hint,
                    )
        return YAML(typ="rt" if lines else "safe", pure=True).load(text)


@contextmanager
def naming_yaml_errors(name: Path | str, *, reader: str = "ruamel.yaml.error", hint: str = "") -> Iterator[None]:
    """What a YAML reader raises in the block becomes a `BadInput` that names the file, and the line if it is known.

    `reader` is the module that has the reader's errors: `yaml` for PyYAML.
    """
    kinds: Any = importlib.import_module(reader)
    try:
        yield
    except kinds.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        problem = (error.problem or "cannot be read").splitlines()[0]
        raise BadInput(f"not YAML: {problem}", file=name, line=line, hint=hint) from None
    except (kinds.YAMLError, RecursionError, ValueError) as error:
        raise BadInput(f"not YAML: {str(error).splitlines()[0]}", file=name, hint=hint) from None


_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


class _Refused(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Refused(f"key {twice!r} is given twice")
    return found


def _no_constant(name: str) -> Any:
    raise _Refused(f"{name} is not a number that JSON knows")


def _refuse_halves(value: Any) -> None:
    r"""`\ud800` without its other half is text that no file can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _Refused("half a character (\\ud800 to \\udfff alone) is no text") from None


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
