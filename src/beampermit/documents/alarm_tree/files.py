"""The files that hold an alarm tree, by name."""

from __future__ import annotations

from beampermit.documents.alarm_tree.jaws import actions, instances
from beampermit.documents.alarm_tree.phoebus import phoebus
from beampermit.documents.alarm_tree.tree import Tree


def phoebus_files(found: Tree, config: str | None = None) -> dict[str, str]:
    """For `alarm-server -config NAME -import FILE`."""
    return {"phoebus.xml": phoebus(found, config)}


def jaws_files(found: Tree) -> dict[str, str]:
    """For `set_action --file` and then `set_instance --file`."""
    return {"jaws-actions": actions(found), "jaws-instances": instances(found)}
