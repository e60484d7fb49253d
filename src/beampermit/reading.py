"""What someone else wrote, read with suspicion: text, JSON, YAML and TOML.

Whatever is wrong is a `BadInput` that names the file, and the line where it is known.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beampermit.errors import BadInput

if TYPE_CHECKING:
    from pydantic import ValidationError

MERGE_MARKERS = ("<<<<<<<", ">>>>>>>", "|||||||")
"""How the lines begin that git leaves in a file where two branches disagree."""


def decode(content: bytes, name: Path | str, *, hint: str = "") -> str:
    """UTF-8 text with `\\n` line ends; `name` is what errors call it. Raises `BadInput`."""
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"not UTF-8: {error.reason} at byte {error.start}", file=name, hint=hint) from None


def refuse_merge_markers(text: str, name: Path | str, *, hint: str) -> None:
    """Raise `BadInput` for a file in which a merge is not settled: its parser would blame something else."""
    if not any(marker in text for marker in MERGE_MARKERS):
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(MERGE_MARKERS):
            raise BadInput("there are merge-conflict markers in this file", file=name, line=number, hint=hint)


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


def parse_yaml(content: str | bytes, name: Path | str, *, lines: bool = False, hint: str = "") -> Any:
    """Parse YAML that someone else wrote: no tags that make objects, no aliases, of which a few lines make gigabytes.

    With `lines`, mappings and lists know where their items stand (`lc` of ruamel.yaml). Raises `BadInput` with file and
    line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.events import AliasEvent

    text = _text(content, name, hint)
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


def parse_toml(content: str | bytes, name: Path | str, *, hint: str = "") -> dict[str, Any]:
    """Parse TOML; `name` is what errors call it. Raises `BadInput` with file and line."""
    import tomllib

    try:
        return tomllib.loads(_text(content, name, hint))
    except tomllib.TOMLDecodeError as error:
        found = _AT_LINE.search(str(error))
        message = str(error).split(" (at ", maxsplit=1)[0]
        line = int(found[1]) if found else None
        raise BadInput(f"not TOML: {message}", file=name, line=line, hint=hint) from None
    except RecursionError:
        raise BadInput("not TOML: nested too deeply", file=name, hint=hint) from None


def first_fault(error: ValidationError, *above: str) -> str:
    """The first thing that a model finds wrong, behind its place: `verdicts.0.id: Field required`.

    `above` names where the model itself stands.
    """
    first = error.errors()[0]
    place = ".".join(map(str, (*above, *first["loc"])))
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


_AT_LINE = re.compile(r"\(at line (\d+)")
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def _text(content: str | bytes, name: Path | str, hint: str) -> str:
    return content if isinstance(content, str) else decode(content, name, hint=hint)


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
