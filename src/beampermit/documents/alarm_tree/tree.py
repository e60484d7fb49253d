"""Which PVs show an alarm of the model, and what the operator is told at each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from beampermit.contract import FILE_NAME, Contract
from beampermit.contract.service import Alarm
from beampermit.contract.signals import Signal
from beampermit.datasets.devices import devices
from beampermit.documents.guidance import guidance
from beampermit.errors import BadInput
from beampermit.project import Project

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
    table = devices(project.root, signals.devices, shown.values())
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
