"""The tree as JAWS imports it: lines of `key=value`, the value a record of its Avro schemas in JSON.

An action says why and what is done, once for each output; an instance is one PV that has this action. Their schemas
know no person to call: that stands at the end of what is done. `set_action --file` and `set_instance --file` read them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from beampermit.contract.service import Alarm
from beampermit.documents.alarm_tree import wording
from beampermit.documents.alarm_tree.tree import Branch, Tree
from beampermit.documents.markdown import link, text, visible

PRIORITIES = {"MINOR": "P3_MINOR", "MAJOR": "P2_MAJOR", "INVALID": "P2_MAJOR"}
"""INVALID stands above MAJOR in EPICS. What is critical, only a person of the laboratory says."""


def actions(found: Tree) -> str:
    """What is done about the alarms of each output (`AlarmAction`)."""
    category = visible(found.contract.operations.category or found.contract.model.name)
    return _lines((_key(found, branch), _action(found, branch, category)) for branch in found.branches)


def instances(found: Tree) -> str:
    """Each PV that shows alarms (`AlarmInstance`), by its name."""
    locations = [visible(name) for name in found.contract.operations.locations]
    return _lines((pv, _instance(pv, _key(found, branch), locations)) for branch in found.branches for pv in branch.pvs)


def _action(found: Tree, branch: Branch, category: str) -> dict[str, Any]:
    alarms = (*branch.alarms, *found.others)
    general = wording.general(found.contract)
    said = {title: general[title] for title in ("When it cannot answer", "Whom to call", "Where to write it down")}
    return {
        "category": category,
        "priority": min((PRIORITIES[alarm.severity] for alarm in alarms), default="P3_MINOR"),
        "rationale": _sections({"What it is": general["What it is"], **_of(alarms, wording.meaning)}),
        "correctiveaction": _sections({**_of(alarms, wording.steps), **said}),
        "latchable": True,
        "filterable": True,
        "ondelayseconds": None,
        "offdelayseconds": None,
    }


def _instance(pv: str, action: str, locations: list[str]) -> dict[str, Any]:
    return {
        "action": action,
        "device": None,
        "source": {"org.jlab.jaws.entity.EPICSSource": {"pv": pv}},
        "location": locations,
        "maskedby": None,
        "screencommand": None,
    }


def _of(alarms: tuple[Alarm, ...], words: Callable[[Alarm], str]) -> dict[str, str]:
    return {wording.title(alarm): words(alarm) for alarm in alarms}


def _sections(parts: dict[str, str]) -> str:
    """Markdown, which JAWS shows."""
    shown = ((title, "\n".join(map(_line, body.splitlines()))) for title, body in parts.items())
    return "\n\n".join(f"**{text(title)}**\n\n{body}" for title, body in shown)


def _line(plain: str) -> str:
    """A step stays numbered, an address can be followed."""
    number, _, step = plain.partition(". ")
    return f"{number}. {text(step)}" if number.isdecimal() and step else link(plain)


def _key(found: Tree, branch: Branch) -> str:
    return f"{found.contract.model.name}-{branch.output.name}"


def _lines(records: Iterable[tuple[str, dict[str, Any]]]) -> str:
    """ASCII, for some readers end a line where Unicode may end one."""
    return "".join(f"{key}={json.dumps(value, allow_nan=False)}\n" for key, value in records)
