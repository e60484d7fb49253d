"""What the alarm tree of Phoebus says: its PVs, and what an operator reads there."""

from __future__ import annotations

from collections.abc import Iterator

from beampermit.deployment.deployment import Deployment
from beampermit.deployment.statements import Statement, names
from beampermit.deployment.xml_lines import read_xml
from beampermit.documents.alarm_tree import phoebus


def alarms(deployment: Deployment) -> str:
    return phoebus(deployment.tree)


def alarm_statements(text: str, file: str) -> Iterator[Statement]:
    """Raises `BadInput`."""
    for element in read_xml(text, file).walk():
        if element.tag == "pv":
            yield names(element.attributes.get("name", ""), element.line)
        where = f" of {element.attributes.get('name', '')}" if element.tag == "component" else ""
        for child in element.children:
            if child.tag == "guidance":
                yield Statement(f"guidance{where}, {child.of('title')!r}", child.of("details"), child.line)
