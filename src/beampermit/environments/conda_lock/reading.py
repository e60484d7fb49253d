"""YAML as this program is willing to read it: plain values, nothing twice, of a bounded size and depth.

Values are made from the parser's events: three times as fast as a loader for a lock of 1,200 packages, and what hostile
files are made of (aliases, tags, merges) has no meaning here that could be abused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beampermit.errors import BadInput
from beampermit.reading import naming_yaml_errors, refuse_merge_markers

LARGEST = 64 * 2**20
DEEPEST = 100
TEXT = "tag:yaml.org,2002:str"


def tree(text: str, name: str, *, hint: str = "") -> Any:
    """The value of a YAML text whose line ends are `\\n`; `name` is what errors call it. Raises `BadInput`."""
    if len(text) > LARGEST:
        raise BadInput(f"more than {LARGEST} characters are not read", file=name)
    refuse_merge_markers(text, name, hint=hint)
    with naming_yaml_errors(name, reader="yaml", hint=hint):
        return _value(text)


def _value(text: str) -> Any:
    """The one document of a text, made while it is parsed; `open` holds what is not finished."""
    import yaml

    scalar, documents = _scalars(), list[Any]()
    open_: list[tuple[Any, Any]] = []
    inside, key = documents, _NONE
    for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        kind = type(event)
        if kind is yaml.ScalarEvent:
            value = scalar(event)
        elif kind in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
            if event.tag or len(open_) == DEEPEST or (type(inside) is dict and key is _NONE):
                raise _refused(_why(event, len(open_)), event)
            open_.append((inside, key))
            inside, key = {} if kind is yaml.MappingStartEvent else [], _NONE
            continue
        elif kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
            value = inside
            inside, key = open_.pop()
        elif kind is yaml.AliasEvent:
            raise _refused("YAML aliases are not read here: write each value", event)
        else:
            continue
        if type(inside) is list:
            inside.append(value)
        elif key is _NONE:
            if value in inside:
                raise _refused(f"the key {value!r} is given twice", event)
            key = value
        else:
            inside[key], key = value, _NONE
    if len(documents) > 1:
        raise ValueError("one document belongs into this file")
    return documents[0] if documents else None


def _scalars() -> Callable[[Any], Any]:
    """What a scalar stands for, as PyYAML's safe loader has it; each plain word is looked at once."""
    import yaml

    loader = yaml.SafeLoader("")
    known: dict[str, Any] = {}

    def scalar(event: Any) -> Any:
        if event.tag:
            raise _refused(_why(event, 0), event)
        words = event.value
        if not event.implicit[0]:
            return words
        if words not in known:
            tag = loader.resolve(yaml.ScalarNode, words, (True, False))
            node = yaml.ScalarNode(tag, words, event.start_mark)
            known[words] = words if tag == TEXT else loader.construct_object(node)
        return known[words]

    return scalar


def _why(event: Any, depth: int) -> str:
    if event.tag:
        return f"the tag {event.tag!r} has no meaning here"
    return "values are nested too deeply" if depth == DEEPEST else "a key is a word"


def _refused(why: str, event: Any) -> Exception:
    import yaml

    return yaml.MarkedYAMLError(problem=why, problem_mark=event.start_mark)


_NONE = object()
