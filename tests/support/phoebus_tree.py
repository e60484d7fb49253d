"""What Phoebus reads of an alarm tree: it passes over anything else."""

from __future__ import annotations

from xml.etree import ElementTree as ET

LINKS = frozenset({"guidance", "display", "command", "automated_action"})
CHILDREN = {
    "config": {"component", "pv"},
    "component": {"component", "pv", *LINKS},
    "pv": {"description", "enabled", "latching", "annunciating", "delay", "count", "filter", *LINKS},
    "automated_action": {"title", "details", "delay"},
    **{tag: {"title", "details"} for tag in LINKS - {"automated_action"}},
}
"""Element -> what is read in it: the constants `TAG_*` of Phoebus' class
`org.phoebus.applications.alarm.model.xml.XmlModelReader`, in 4.7.0 as in 5.0.5.
"""
NAMED = ("config", "component", "pv")
"""Of these the attribute `name` is read, and of others none."""


def unread_in_tree(text: str) -> set[str]:
    """Elements and attributes that are passed over, each with the element that it stands in."""
    root = ET.fromstring(text)  # noqa: S314 - our own
    found = set[str]() if root.tag == "config" else {root.tag}
    for element in root.iter():
        known = CHILDREN.get(element.tag, set())
        found |= {f"{element.tag}/{child.tag}" for child in element if child.tag not in known}
        attributes = {"name"} if element.tag in NAMED else set[str]()
        found |= {f"{element.tag}@{name}" for name in element.attrib if name not in attributes}
    return found
