"""The tree as the alarm server of Phoebus imports it, in the form that its own export writes.

Guidance stands at the component of an output and not at each of its PVs: Phoebus shows what stands above as well, and
a table of a thousand devices would repeat it a thousand times. The published schema cannot be used as a judge: it
names an element that it does not define, and forbids the colon in names of PVs.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from beampermit.documents.alarm_tree import wording
from beampermit.documents.alarm_tree.tree import Branch, Tree
from beampermit.documents.markdown import visible

SAID = (("enabled", "true"), ("latching", "true"), ("annunciating", "false"))
"""What the alarm server takes where nothing is said; its export always says it."""


def phoebus(found: Tree, config: str | None = None) -> str:
    """The tree as XML; `config` is the name of the configuration that it is imported into, else the model's."""
    contract = found.contract
    root = ET.Element("config", name=visible(config or contract.model.name))
    top = ET.SubElement(root, "component", name=contract.model.name)
    for title, details in wording.general(contract).items():
        _guidance(top, title, details)
    for alarm in found.others:
        _guidance(top, wording.title(alarm), f"{wording.meaning(alarm)}\n{wording.steps(alarm)}")
    for branch in found.branches:
        _component(top, branch, contract.model.name)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _component(parent: ET.Element, branch: Branch, model: str) -> None:
    node = ET.SubElement(parent, "component", name=branch.output.name)
    for alarm in branch.alarms:
        _guidance(node, wording.title(alarm), f"{wording.meaning(alarm)}\n{wording.steps(alarm)}")
    words = f"{model}: {visible(branch.output.description) or branch.output.name}"
    for name in branch.pvs:
        pv = ET.SubElement(node, "pv", name=name)
        ET.SubElement(pv, "description").text = words
        for tag, value in SAID:
            ET.SubElement(pv, tag).text = value


def _guidance(parent: ET.Element, title: str, details: str) -> None:
    node = ET.SubElement(parent, "guidance")
    ET.SubElement(node, "title").text = title
    ET.SubElement(node, "details").text = details
