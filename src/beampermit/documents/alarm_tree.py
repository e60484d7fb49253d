"""Which PVs show an alarm of the model, and what the operator is told at each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from beampermit.contract import FILE_NAME, Contract
from beampermit.contract.alarms import guidance
from beampermit.contract.service import Alarm
from beampermit.contract.signals import Signal
from beampermit.datasets.devices import load_devices
from beampermit.documents.markdown import link, text, visible
from beampermit.documents.runbook import fallback
from beampermit.errors import BadInput
from beampermit.project import Project

SAID = (("enabled", "true"), ("latching", "true"), ("annunciating", "false"))
"""What the alarm server takes where nothing is said; its export always says it."""


def phoebus(found: Tree, config: str | None = None) -> str:
    """The tree as XML; `config` is the name of the configuration that it is imported into, else the model's."""
    contract = found.contract
    root = ET.Element("config", name=visible(config or contract.model.name))
    top = ET.SubElement(root, "component", name=contract.model.name)
    for heading, details in general(contract).items():
        _guidance(top, heading, details)
    for alarm in found.others:
        _guidance(top, title(alarm), f"{meaning(alarm)}\n{steps(alarm)}")
    for branch in found.branches:
        _component(top, branch, contract.model.name)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _component(parent: ET.Element, branch: Branch, model: str) -> None:
    node = ET.SubElement(parent, "component", name=branch.output.name)
    for alarm in branch.alarms:
        _guidance(node, title(alarm), f"{meaning(alarm)}\n{steps(alarm)}")
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
    guidance = general(found.contract)
    said = {
        heading: guidance[heading] for heading in ("When it cannot answer", "Whom to call", "Where to write it down")
    }
    return {
        "category": category,
        "priority": min((PRIORITIES[alarm.severity] for alarm in alarms), default="P3_MINOR"),
        "rationale": _sections({"What it is": guidance["What it is"], **_of(alarms, meaning)}),
        "correctiveaction": _sections({**_of(alarms, steps), **said}),
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
    return {title(alarm): words(alarm) for alarm in alarms}


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


NAME = re.compile(r"""(?!//)[^\s"'\\=,]{1,200}""", re.ASCII)
"""A PV's name that neither alarm system takes for something else: Phoebus refuses `//` in front, JAWS splits at `=`."""


@dataclass(frozen=True)
class Branch:
    """An output, the names of its PVs, and its alarms in the contract's order."""

    output: Signal
    pvs: tuple[str, ...]
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True)
class Tree:
    """All branches of a model; `others` are alarms that no PV of an output shows, such as drift."""

    contract: Contract
    branches: tuple[Branch, ...]
    others: tuple[Alarm, ...]

    @property
    def pvs(self) -> int:
        """How many PVs it has."""
        return sum(len(branch.pvs) for branch in self.branches)


def tree(project: Project) -> Tree:
    """The tree of the contract and the device table. Raises `BadInput` for a name that no PV can have."""
    contract = project.contract
    signals = contract.signals
    shown = {output.name: output.pv for output in signals.outputs if output.pv}
    table = load_devices(project.root, signals.devices, shown.values())
    names = {output: table.names(pv) for output, pv in shown.items()}
    _judge(names, FILE_NAME if signals.devices is None else signals.devices)
    branches = (
        Branch(output, names[output.name], guidance(contract, output.name))
        for output in signals.outputs
        if output.name in names
    )
    return Tree(contract, tuple(branches), guidance(contract, None))


def _judge(names: dict[str, tuple[str, ...]], file: str) -> None:
    owner: dict[str, str] = {}
    for output, pvs in names.items():
        for pv in pvs:
            if not pv.isascii() or not pv.isprintable() or not NAME.fullmatch(pv):
                raise BadInput(f"{pv[:80]!r} is not the name of a PV", file=file)
            if pv in owner:
                raise BadInput(f"{pv!r} is a PV of {owner[pv]} and of {output}", file=FILE_NAME)
            owner[pv] = output


def title(alarm: Alarm) -> str:
    """`MAJOR: fault-score above 0.9`."""
    return f"{alarm.severity}: {visible(alarm.condition)}"


def meaning(alarm: Alarm) -> str:
    """What it says about the machine."""
    return visible(alarm.meaning)


def steps(alarm: Alarm) -> str:
    """What is done, numbered, a line each."""
    return numbered(alarm.action)


def general(contract: Contract) -> dict[str, str]:
    """What holds for every alarm of the model: title -> lines."""
    model, operations = contract.model, contract.operations
    return {
        "What it is": f"{visible(model.summary)}\nNot for: {visible(model.use.out_of_scope)}",
        "When it cannot answer": numbered(fallback(contract)),
        "Whom to call": visible(operations.on_call),
        "Where to write it down": visible(operations.logbook),
    }


def numbered(lines: tuple[str, ...]) -> str:
    """Lines with their numbers, from 1."""
    return "\n".join(f"{number}. {visible(line)}" for number, line in enumerate(lines, 1))


def phoebus_files(found: Tree, config: str | None = None) -> dict[str, str]:
    """For `alarm-server -config NAME -import FILE`."""
    return {"phoebus.xml": phoebus(found, config)}


def jaws_files(found: Tree) -> dict[str, str]:
    """For `set_action --file` and then `set_instance --file`."""
    return {"jaws-actions": actions(found), "jaws-instances": instances(found)}
