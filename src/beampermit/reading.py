"""Read text, JSON, YAML and TOML that somebody else may have written.

Every error is a `BadInput` with the file and, where it is known, the line.
"""

from __future__ import annotations

import importlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beampermit.errors import BadInput
from beampermit.yaml_nodes import load_quickly

if TYPE_CHECKING:
    from pydantic import ValidationError

UPGRADE = "pip install --upgrade beampermit"
MERGE_MARKERS = ("<<<<<<<", ">>>>>>>", "|||||||")
"""Beginnings of the lines that git writes into a file with a merge conflict."""


def decode(content: bytes, name: Path | str, *, hint: str = "") -> str:
    """UTF-8 text with `\\n` line ends; `name` is the file in errors. Raises `BadInput`."""
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"not UTF-8: {error.reason} at byte {error.start}", file=name, hint=hint) from None


def refuse_merge_markers(text: str, name: Path | str, *, hint: str) -> None:
    """Raise `BadInput` for an unresolved merge conflict: the parser's message would be misleading."""
    if not any(marker in text for marker in MERGE_MARKERS):
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(MERGE_MARKERS):
            raise BadInput("there are merge-conflict markers in this file", file=name, line=number, hint=hint)


def refuse_newer(found: Any, known: int, name: Path | str, *, line: int | None = None) -> None:
    """Raise `BadInput` for a format later than `known`: what a newer version wrote is never half understood."""
    if isinstance(found, int) and found > known:
        raise BadInput(
            f"this file has format {found}, and this beampermit reads formats up to {known}",
            file=name,
            line=line,
            hint=UPGRADE,
        )


def read_json(path: Path, *, limit: int = 16 * 2**20) -> Any:
    """Read strict JSON of at most `limit` bytes. Raises `BadInput` with file and line."""
    if not path.is_file():
        raise BadInput("the file is missing", file=path)
    if path.stat().st_size > limit:
        raise BadInput(f"this file is larger than {limit} bytes, the limit", file=path)
    return parse_json(path.read_bytes(), path)


def parse_json(content: bytes, name: Path | str) -> Any:
    """Parse JSON without NaN or duplicate keys; `name` is the file in errors. Raises `BadInput`."""
    try:
        value = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        if _SURROGATE.search(content):
            _refuse_lone_surrogates(value)
    except json.JSONDecodeError as error:
        raise BadInput(f"not JSON: {error.msg}", file=name, line=error.lineno) from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"not JSON: {error}", file=name) from None
    except _Refused as error:
        raise BadInput(str(error), file=name) from None
    except ValueError:
        # int refuses more than 4300 digits, with a message about Python.
        raise BadInput("not JSON: an integer with thousands of digits", file=name) from None
    return value


MOST_NODES = 100_000
"""Values, lists and mappings that a text with aliases may stand for, each alias counted as what it repeats."""


def parse_yaml(
    content: str | bytes, name: Path | str, *, lines: bool = False, aliases: bool = False, hint: str = ""
) -> Any:
    """Parse YAML without tags that make objects.

    Aliases, a few lines of which can stand for gigabytes, are refused; with `aliases`, for what people write for other
    tools, only where they stand for more than `MOST_NODES`. With `lines`, mappings and lists have the lines of their
    items (`lc` of ruamel.yaml). Raises `BadInput` with file and line.
    """
    from ruamel.yaml import YAML

    text, kind = _text(content, name, hint), "rt" if lines else "safe"
    with naming_yaml_errors(name, hint=hint):
        tree, read = load_quickly(YAML(typ=kind, pure=True), text)
        if read:  # it has no aliases
            return tree
        if "*" in text and (fault := alias_fault(text, aliases)):
            message, line = fault
            raise BadInput(message, file=name, line=line, hint=hint)
        return YAML(typ=kind, pure=True).load(text)


def alias_fault(text: str, allowed: bool) -> tuple[str, int] | None:
    """Why the aliases of a text must not be followed, and the line; None where they may."""
    from ruamel.yaml import YAML

    aliases = Aliases(allowed)
    events = YAML(typ="safe", pure=True).parse(text)
    return next(((fault, event.start_mark.line + 1) for event in events if (fault := aliases.fault(event))), None)


class Aliases:
    """What the aliases of a text stand for, counted while it is read."""

    def __init__(self, allowed: bool = True):
        from ruamel.yaml import events

        self._allowed, self._kinds = allowed, events
        self._sizes: dict[str, int] = {}
        self._around: list[tuple[str | None, int]] = [(None, 0)]
        """Anchor and size so far of the collections that are open."""

    def fault(self, event: Any) -> str:
        """Why the text must not be read on after this event; empty where it may."""
        kinds, anchor, size = self._kinds, getattr(event, "anchor", None), 1
        if isinstance(event, kinds.CollectionStartEvent):
            self._around.append((anchor, 1))
            return ""
        if isinstance(event, kinds.AliasEvent):
            if not self._allowed:
                return "YAML aliases are not allowed here: write the value where it is used"
            if anchor not in self._sizes:
                return f"the YAML alias *{anchor} stands inside of what it repeats"
            size = self._sizes[anchor]
        elif isinstance(event, kinds.CollectionEndEvent):
            anchor, size = self._around.pop()
        elif not isinstance(event, kinds.ScalarEvent):
            return ""
        if anchor:
            self._sizes[anchor] = size
        outer, before = self._around[-1]
        self._around[-1] = (outer, before + size)
        if before + size > MOST_NODES and self._sizes:
            return f"its YAML aliases stand for more than {MOST_NODES} values"
        return ""


@contextmanager
def naming_yaml_errors(name: Path | str, *, reader: str = "ruamel.yaml.error", hint: str = "") -> Iterator[None]:
    """Turn errors of a YAML reader into `BadInput` with the file and, if it is known, the line.

    `reader` is the module of the reader's errors: `yaml` for PyYAML.
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
    """Parse TOML; `name` is the file in errors. Raises `BadInput` with file and line."""
    import tomllib

    try:
        return tomllib.loads(_text(content, name, hint))
    except tomllib.TOMLDecodeError as error:
        place = _AT_LINE.search(str(error))
        message = str(error).split(" (at ", maxsplit=1)[0]
        line = int(place[1]) if place else None
        raise BadInput(f"not TOML: {message}", file=name, line=line, hint=hint) from None
    except RecursionError:
        raise BadInput("not TOML: nested too deeply", file=name, hint=hint) from None


def first_fault(error: ValidationError, *above: str) -> str:
    """The first error of a model, such as `verdicts.0.id: Field required`; `above` are the keys of the model itself."""
    first = error.errors()[0]
    place = ".".join(map(str, (*above, *first["loc"])))
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


_AT_LINE = re.compile(r"\(at line (\d+)")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _text(content: str | bytes, name: Path | str, hint: str) -> str:
    return content if isinstance(content, str) else decode(content, name, hint=hint)


class _Refused(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Refused(f"key {twice!r} is given twice")
    return unique


def _refuse_constant(name: str) -> Any:
    raise _Refused(f"{name} is not a JSON number")


def _refuse_lone_surrogates(value: Any) -> None:
    r"""`\ud800` alone cannot be encoded as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _Refused("text has a lone surrogate (\\ud800 to \\udfff)") from None


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """What `Retry-After` of an answer asks for, a number of seconds or a date; None where it says neither."""
    after = headers.get("retry-after", "")
    if re.fullmatch(r"[0-9]{1,12}", after):
        return float(after)
    at = _seconds_of(after)
    return None if at is None else max(at - answered_at(headers), 0.0)


def answered_at(headers: Mapping[str, str]) -> float:
    """When an answer was written, s since 1970 by the clock of who wrote it; by ours where its `Date` says nothing."""
    at = _seconds_of(headers.get("date", ""))
    return time.time() if at is None else at


def _seconds_of(date: str) -> float | None:
    try:
        at = parsedate_to_datetime(date)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
