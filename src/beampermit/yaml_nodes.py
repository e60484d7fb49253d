"""YAML read by libyaml where it says the same as ruamel's own reader, which takes several times as long.

Only what both read alike goes this way: no tab, no directive, no tag, no anchor, one document. All else, what is wrong
among it, is read by ruamel from the beginning: its values and its errors are what counts. Values, lines and the refusal
of a key that is there twice are ruamel's either way. libyaml's own composer is not asked: it recurses in C, and a text
of some hundred kilobytes would end this process.
"""

from __future__ import annotations

import re
from typing import Any

DEEPEST = 100
"""Of collections in collections; deeper ones are for the reader that counts them."""
_READ_ALIKE = re.compile(r"[\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
"""No tabs, no carriage returns and other ends of lines, no marks of byte order."""
_ODD_LINE = re.compile(r"^(?:%|---.|\.\.\.| +$)|[|>][-+0-9]{0,2}#", re.MULTILINE)
"""A directive, a document that begins or ends with more in its line, and spaces alone, which end some block scalars; a
comment with no space before it behind the sign of a block scalar, which ruamel refuses."""


def load_quickly(yaml: Any, text: str) -> tuple[Any, bool]:
    """What `yaml.load(text)` gives, and True; None and False where `load` is to be asked, of another object."""
    node = _compose(text, yaml.resolver.resolve)
    if node is None:
        return None, False
    try:
        return yaml.constructor.construct_document(node), True
    except Exception:  # what is wrong, `load` says
        return None, False


def _compose(text: str, resolve: Any) -> Any:
    """The nodes of a text, as ruamel composes them; None where it is not for this reader.

    `resolve` says the tag of a node: of what kind a plain value is.
    """
    import yaml
    from ruamel.yaml.nodes import MappingNode

    libyaml: Any = getattr(yaml, "CSafeLoader", None)
    if not libyaml or not _READ_ALIKE.fullmatch(text) or _ODD_LINE.search(text):
        return None
    documents: list[Any] = []
    around: list[Any] = []
    """The collections that are open."""
    try:
        parser = libyaml(text)
        while not isinstance(event := parser.get_event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.NodeEvent):
                node = None if _is_pair(event, text) else _node(event, around, resolve)
                if node is None:
                    return None
                (around[-1].value if around else documents).append(node)
                if isinstance(event, yaml.CollectionStartEvent):
                    around.append(node)
            elif isinstance(event, yaml.CollectionEndEvent):
                node = around.pop()
                node.end_mark = event.end_mark
                if isinstance(node, MappingNode):
                    node.value = list(zip(node.value[::2], node.value[1::2], strict=True))
    except (yaml.YAMLError, ValueError):
        return None
    return documents[0] if len(documents) == 1 else None


def _is_pair(event: Any, text: str) -> bool:
    """Whether it begins a mapping of one key in a list, as `[a: 1]` has it: of `["a":1]` ruamel finds none."""
    import yaml

    if not isinstance(event, yaml.MappingStartEvent) or not event.flow_style:
        return False
    return text[event.start_mark.index : event.end_mark.index] != "{"


def _node(event: Any, around: list[Any], resolve: Any) -> Any:
    """The node that an event begins in these collections; None where both readers may not say the same."""
    import yaml
    from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

    if event.anchor or getattr(event, "tag", None) or len(around) > DEEPEST:
        return None
    if not isinstance(event, yaml.ScalarEvent):
        kind = MappingNode if isinstance(event, yaml.MappingStartEvent) else SequenceNode
        return kind(resolve(kind, None, True), [], event.start_mark, None, flow_style=event.flow_style)
    plain, value = not event.style, event.value
    # A document of one value; a merge; an empty item, which ruamel finds in the line of what follows.
    if not around or (plain and (value == "<<" or not (value or isinstance(around[-1], MappingNode)))):
        return None
    tag = resolve(ScalarNode, value, (plain, not plain))
    return ScalarNode(tag, value, event.start_mark, event.end_mark, style=event.style or None)
