"""The model's alarms for Phoebus and JAWS: the PVs of each output, and the guidance for the operator."""

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
from beampermit.live.status_pvs import status_pv
from beampermit.project import Project

NAME = re.compile(r"""(?!//)[^\s"'\\=,]{1,200}""", re.ASCII)
"""A PV name that both alarm systems accept: Phoebus refuses a leading `//`, JAWS splits at `=`."""
DEFAULTS = (("enabled", "true"), ("latching", "true"), ("annunciating", "false"))
"""Settings of a PV, as the alarm server's own export writes them."""
MONITORING = "monitoring"
"""Where the alarm of the monitor is, beside those of outputs."""
PRIORITIES = {"MINOR": "P3_MINOR", "MAJOR": "P2_MAJOR", "INVALID": "P2_MAJOR"}
"""INVALID is above MAJOR in EPICS. P1 is left to the laboratory."""


@dataclass(frozen=True)
class Branch:
    """An output, its PV names, and its alarms in the contract's order."""

    output: Signal
    pvs: tuple[str, ...]
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True)
class Tree:
    """`others` are alarms that no output PV shows, such as drift."""

    contract: Contract
    branches: tuple[Branch, ...]
    others: tuple[Alarm, ...]

    @property
    def pvs(self) -> int:
        return sum(len(branch.pvs) for branch in self.branches)


def alarm_tree(project: Project) -> Tree:
    """The tree of the contract and the device table. Raises `BadInput` for an invalid PV name."""
    contract = project.contract
    signals = contract.signals
    templates = {output.name: output.pv for output in signals.outputs if output.pv}
    table = load_devices(project.root, signals.devices, templates.values())
    names = {output: table.names(pv) for output, pv in templates.items()}
    _check_names(names, FILE_NAME if signals.devices is None else signals.devices)
    branches = (
        Branch(output, names[output.name], guidance(contract, output.name))
        for output in signals.outputs
        if output.name in names
    )
    return Tree(contract, tuple(branches), guidance(contract, None))


def _check_names(names: dict[str, tuple[str, ...]], file: str) -> None:
    owner: dict[str, str] = {}
    for output, pvs in names.items():
        for pv in pvs:
            if not pv.isascii() or not pv.isprintable() or not NAME.fullmatch(pv):
                raise BadInput(f"{pv[:80]!r} is not a valid PV name", file=file)
            if pv in owner:
                raise BadInput(f"outputs {owner[pv]} and {output} have the same PV {pv!r}", file=FILE_NAME)
            owner[pv] = output


def title(alarm: Alarm) -> str:
    """`MAJOR: score above 0.9`."""
    return f"{alarm.severity}: {visible(alarm.condition)}"


def meaning(alarm: Alarm) -> str:
    return visible(alarm.meaning)


def steps(alarm: Alarm) -> str:
    return numbered(alarm.action)


def general(contract: Contract) -> dict[str, str]:
    """Guidance for every alarm of the model, by title."""
    model, operations = contract.model, contract.operations
    return {
        "The model": f"{visible(model.summary)}\nNot for: {visible(model.use.out_of_scope)}",
        "When the model cannot answer": numbered(fallback(contract)),
        "On call": visible(operations.on_call),
        "Logbook": visible(operations.logbook),
    }


def numbered(lines: tuple[str, ...]) -> str:
    return "\n".join(f"{number}. {visible(line)}" for number, line in enumerate(lines, 1))


def phoebus_files(tree: Tree, config: str | None = None) -> dict[str, str]:
    """For `alarm-server -config NAME -import FILE`."""
    return {"phoebus.xml": phoebus(tree, config)}


def phoebus(tree: Tree, config: str | None = None) -> str:
    """The tree as XML; `config` is the alarm server's configuration, by default named after the model."""
    contract = tree.contract
    root = ET.Element("config", name=visible(config or contract.model.name))
    top = ET.SubElement(root, "component", name=contract.model.name)
    for heading, details in general(contract).items():
        _guidance(top, heading, details)
    for alarm in tree.others:
        _guidance(top, title(alarm), f"{meaning(alarm)}\n{steps(alarm)}")
    for branch in tree.branches:
        _component(top, branch, contract.model.name)
    node = ET.SubElement(top, "component", name=MONITORING)
    _pv(node, monitor_pv(tree), f"{contract.model.name}: the worst that monitoring finds, or that it is silent")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _component(parent: ET.Element, branch: Branch, model: str) -> None:
    node = ET.SubElement(parent, "component", name=branch.output.name)
    for alarm in branch.alarms:
        _guidance(node, title(alarm), f"{meaning(alarm)}\n{steps(alarm)}")
    description = f"{model}: {visible(branch.output.description) or branch.output.name}"
    for name in branch.pvs:
        _pv(node, name, description)


def monitor_pv(tree: Tree) -> str:
    """The one PV that has the worst alarm of all checks of monitoring."""
    return status_pv(tree.contract, "MONITOR")


def _pv(parent: ET.Element, name: str, description: str) -> None:
    pv = ET.SubElement(parent, "pv", name=name)
    ET.SubElement(pv, "description").text = description
    for tag, value in DEFAULTS:
        ET.SubElement(pv, tag).text = value


def _guidance(parent: ET.Element, title: str, details: str) -> None:
    node = ET.SubElement(parent, "guidance")
    ET.SubElement(node, "title").text = title
    ET.SubElement(node, "details").text = details


def jaws_files(tree: Tree) -> dict[str, str]:
    """For `set_action --file` and then `set_instance --file`."""
    return {"jaws-actions": actions(tree), "jaws-instances": instances(tree)}


def actions(tree: Tree) -> str:
    """An `AlarmAction` for each output, and one for monitoring."""
    category = visible(tree.contract.operations.category or tree.contract.model.name)
    own = ((_key(tree, branch.output.name), (*branch.alarms, *tree.others)) for branch in tree.branches)
    every = (*own, (_key(tree, MONITORING), tree.others))
    return _lines((key, _action(tree, alarms, category)) for key, alarms in every)


def instances(tree: Tree) -> str:
    """An `AlarmInstance` for each PV, by its name."""
    locations = [visible(name) for name in tree.contract.operations.locations]
    own = ((pv, _key(tree, branch.output.name)) for branch in tree.branches for pv in branch.pvs)
    every = (*own, (monitor_pv(tree), _key(tree, MONITORING)))
    return _lines((pv, _instance(pv, key, locations)) for pv, key in every)


def _action(tree: Tree, alarms: tuple[Alarm, ...], category: str) -> dict[str, Any]:
    guidance = general(tree.contract)
    after = {heading: guidance[heading] for heading in ("When the model cannot answer", "On call", "Logbook")}
    return {
        "category": category,
        "priority": min((PRIORITIES[alarm.severity] for alarm in alarms), default="P3_MINOR"),
        "rationale": _sections({"The model": guidance["The model"], **_of(alarms, meaning)}),
        "correctiveaction": _sections({**_of(alarms, steps), **after}),
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


def _of(alarms: tuple[Alarm, ...], text_of: Callable[[Alarm], str]) -> dict[str, str]:
    return {title(alarm): text_of(alarm) for alarm in alarms}


def _sections(parts: dict[str, str]) -> str:
    """JAWS shows Markdown."""
    sections = ((title, "\n".join(map(_line, body.splitlines()))) for title, body in parts.items())
    return "\n\n".join(f"**{text(title)}**\n\n{body}" for title, body in sections)


def _line(plain: str) -> str:
    """Escaped; a step keeps its number, an address is a link."""
    number, _, step = plain.partition(". ")
    return f"{number}. {text(step)}" if number.isdecimal() and step else link(plain)


def _key(tree: Tree, of: str) -> str:
    return f"{tree.contract.model.name}-{of}"


def _lines(records: Iterable[tuple[str, dict[str, Any]]]) -> str:
    """In ASCII: some readers end a line at Unicode line separators."""
    return "".join(f"{key}={json.dumps(value, allow_nan=False)}\n" for key, value in records)
