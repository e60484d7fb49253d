"""The alarm tree of a retired model: its entries stay and are disabled, with reason and successor."""

from __future__ import annotations

import shlex
from xml.etree import ElementTree as ET

from beampermit.documents.alarm_tree import Tree, monitor_pv
from beampermit.documents.markdown import visible
from beampermit.registry.event import Event

TITLE = "Retired"
OVERRIDES = "jaws-overrides"
"""For `sh`: JAWS disables by overrides, which are no part of its instances."""


def disabled(tree: str, retirement: Event) -> str:
    """The tree as `alarm_tree.phoebus` writes it, with no PV enabled."""
    root = ET.fromstring(tree)  # noqa: S314 - our own
    for enabled in root.iter("enabled"):
        enabled.text = "false"
    guidance = ET.Element("guidance")
    ET.SubElement(guidance, "title").text = TITLE
    ET.SubElement(guidance, "details").text = reason(retirement)
    for top in root.findall("component"):
        top.insert(0, guidance)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def overrides(tree: Tree, retirement: Event) -> str:
    """A command of JAWS for each PV of the tree, which disables its instance."""
    pvs = (*(pv for branch in tree.branches for pv in branch.pvs), monitor_pv(tree))
    said = shlex.quote(reason(retirement))
    return "".join(f"set_override --override Disabled --comments {said} -- {shlex.quote(pv)}\n" for pv in pvs)


def reason(retirement: Event) -> str:
    """Such as `version 3, at 2026-11-23T08:00:00Z by Ada: drifts. Use orbit-2.`"""
    instead = f". Use {retirement.successor_name}" if retirement.successor else ""
    end = f". Its PVs end at {retirement.until}" if retirement.until else ""
    said = f"version {retirement.version}, at {retirement.at} by {retirement.by}: {retirement.reason}"
    return f"{visible(said)}{instead}{end}."
