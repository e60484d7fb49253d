"""Reads XML as a tree whose elements know their lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from beampermit.errors import BadInput


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        """Itself, and all elements below, in the file's order."""
        pending: list[Element] = [self]
        while pending:
            element = pending.pop()
            yield element
            pending.extend(reversed(element.children))

    def of(self, tag: str) -> str:
        """The text of the child `tag`; empty where there is none."""
        return next((child.text.strip() for child in self.children if child.tag == tag), "")


def read_xml(text: str, file: str) -> Element:
    """The root. Raises `BadInput` with the line; also for a document type, whose entities may stand for gigabytes."""
    parser = expat.ParserCreate()
    above = [Element("", {}, 0)]

    def begin(tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, parser.CurrentLineNumber)
        above[-1].children.append(element)
        above.append(element)

    def add(text: str) -> None:
        above[-1].text += text

    def refuse(*_: object) -> None:
        raise BadInput("a document type is not allowed here", file=file, line=parser.CurrentLineNumber)

    parser.StartElementHandler, parser.EndElementHandler = begin, lambda _: above.pop()
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = add, refuse
    parser.buffer_text = True
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise BadInput(f"not XML: {expat.ErrorString(error.code)}", file=file, line=error.lineno) from None
    return above[0].children[0]
