"""A YAML file with the line of every key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from threading import Lock
from typing import Any

from beampermit.errors import BadInput
from beampermit.reading import Aliases, naming_yaml_errors
from beampermit.yaml_nodes import load_quickly

_one_reader = Lock()


def read_tree(text: str, file: str) -> Mapping[Any, Any]:
    """Read a workflow or action file; `file` is its name in errors. Nobody changes what it gives.

    Raises `BadInput` with file and line.

    YAML aliases are allowed, as on GitHub, up to the limit of `Aliases`. What GitHub reads in another way than this
    reader, or not at all, is refused.
    """
    # Checks that run side by side ask for the same files at the same moment: one reads, the others wait for it.
    with _one_reader:
        return _read(text, file)


@lru_cache(maxsize=64)  # every check of the workflows, and each look at what they call, asks for the same files
def _read(text: str, file: str) -> Mapping[Any, Any]:
    from ruamel.yaml import YAML

    with naming_yaml_errors(file):
        for number, line in enumerate(text.split("\n"), 1):
            if any(mark in line for mark in _BREAKS):
                raise _unclear("there is a Unicode line separator in this line", file, number)
        constructor = _constructor(file)
        quick = YAML(typ="rt", pure=True)
        quick.Constructor = constructor
        tree, read = load_quickly(quick, text)  # never what the parser refuses
        if not read:
            yaml = YAML(typ="rt", pure=True)
            yaml.Parser, yaml.Constructor = _parser(file), constructor
            tree = yaml.load(text)
    if not isinstance(tree, Mapping):
        raise BadInput("not a mapping, so neither a workflow nor an action", file=file, line=1)
    return tree


MOST_DIGITS = 300
"""Of an integer, which GitHub reads as a number of double precision."""
_BASES = {"0o": 8, "0x": 16}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")


def _constructor(file: str) -> Any:
    """Makes the plain values of YAML 1.2 that GitHub knows: a date and `1_000` are texts."""
    from ruamel.yaml.constructor import RoundTripConstructor, SafeConstructor

    class Constructor(RoundTripConstructor):
        pass

    def integer(_: Any, node: Any) -> int | str:
        if len(node.value) > MOST_DIGITS:
            line = node.start_mark.line + 1
            raise BadInput(f"an integer of more than {MOST_DIGITS} digits", file=file, line=line)
        return int(node.value, _BASES.get(node.value[:2], 10)) if _INTEGER.fullmatch(node.value) else str(node.value)

    def real(constructor: Any, node: Any) -> float | str:
        return str(node.value) if "_" in node.value else SafeConstructor.construct_yaml_float(constructor, node)

    def text(_: Any, node: Any) -> str:
        return str(node.value)

    made = {"int": integer, "float": real, "bool": SafeConstructor.construct_yaml_bool, "timestamp": text}
    for name, construct in made.items():
        Constructor.add_constructor(f"tag:yaml.org,2002:{name}", construct)
    return Constructor


_BREAKS = "\x85\u2028\u2029"
"""Line ends of YAML 1.1 that are none in YAML 1.2."""


def _parser(file: str) -> Any:
    """Refuses what two YAML readers may take for different values, before anything is made of it.

    In the one pass that reads the file: a pass of its own takes as long again.
    """
    from ruamel.yaml.events import AliasEvent, DocumentStartEvent, NodeEvent, ScalarEvent
    from ruamel.yaml.parser import RoundTripParser

    class Parser(RoundTripParser):
        def __init__(self, loader: Any) -> None:
            self._looked_at: Any = None
            self._anchors: set[str] = set()
            self._aliases = Aliases()
            super().__init__(loader)

        def peek_event(self) -> Any:
            return self._sound(super().peek_event())

        def get_event(self) -> Any:
            return self._sound(super().get_event())

        def _sound(self, event: Any) -> Any:
            if event is self._looked_at:
                return event
            if oddity := self._oddity(event):
                raise _unclear(oddity, file, event.start_mark.line + 1)
            if fault := self._aliases.fault(event):
                raise BadInput(fault, file=file, line=event.start_mark.line + 1)
            self._looked_at = event
            return event

        def _oddity(self, event: Any) -> str:
            if isinstance(event, DocumentStartEvent) and (event.version or event.tags):
                return "there is a YAML directive (`%...`)"
            if isinstance(event, NodeEvent) and not isinstance(event, AliasEvent):
                if tag := getattr(event, "tag", None):
                    return f"there is the YAML tag {str(tag).replace('tag:yaml.org,2002:', '!!')!r}"
                if event.anchor in self._anchors:
                    return f"the YAML anchor {event.anchor!r} is given twice"
                self._anchors |= {event.anchor} if event.anchor else set()
            if isinstance(event, ScalarEvent) and event.value == "<<" and not event.style:
                return "there is a YAML merge key (`<<`)"
            return ""

    return Parser


def _unclear(oddity: str, file: str, line: int) -> BadInput:
    return BadInput(f"{oddity}, which GitHub may read in another way; write the file without it", file=file, line=line)


def line_of(holder: Any, key: Any) -> int:
    """The line of a key in its mapping; 1 where it is unknown."""
    try:
        return holder.lc.key(key)[0] + 1
    except (AttributeError, KeyError):
        return 1


def lines_of(holder: Mapping[Any, Any], prefix: str = "") -> dict[str, int]:
    """`prefix` + key -> line."""
    return {f"{prefix}{key}": line_of(holder, key) for key in holder}


def line_of_item(holder: Any, number: int) -> int:
    try:
        return holder.lc.item(number)[0] + 1
    except (AttributeError, KeyError):
        return 1


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is a mapping, otherwise an empty one."""
    return value if isinstance(value, Mapping) else {}
