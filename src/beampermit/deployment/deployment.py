"""What the contract decides about the service's deployment: its name, its PVs, its alarms, its memory."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from beampermit.contract import Contract
from beampermit.contract.causes import SEVERITIES, limits
from beampermit.contract.signals import Signal
from beampermit.datasets.devices import PLACEHOLDER
from beampermit.documents.alarm_tree import Tree, alarm_tree
from beampermit.live.epics.addresses import parse_address
from beampermit.live.epics.names import require_record_names
from beampermit.live.status_pvs import STATUS_PVS, prefix_of, status_pv
from beampermit.live.wiring import Wiring, wire
from beampermit.project import Project

FOLDER = "deploy"
"""Where the files go while the contract names no folder (`serving.deployment`)."""
OF_SERVER = 512
"""MiB of the server itself, beside its models."""
FIELD = re.compile(r"\.[A-Z][A-Z0-9]*\$?$")
"""A field of a record, behind the name of a PV."""
LONGEST_CYCLE = 30.0
"""Seconds without a cycle after which the service is taken for dead; longer where the model may take longer."""


@dataclass(frozen=True)
class Deployment:
    """`patterns` are the PVs of outputs as contracts write them, this one's and the base branch's."""

    contract: Contract
    wiring: Wiring
    tree: Tree
    patterns: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.contract.model.name

    @property
    def dns_name(self) -> str:
        """The name where only letters, digits and hyphens may be."""
        return self.name.replace("_", "-")

    @property
    def memory(self) -> int:
        """MiB: the server, a model that has grown to twice its budget, and the process that takes over from it."""
        return OF_SERVER + 3 * round(self.contract.budget.memory)

    @property
    def usual_memory(self) -> int:
        """MiB: the server and one version."""
        return OF_SERVER + round(self.contract.budget.memory)

    @property
    def watchdog(self) -> float:
        """Seconds; a model that hangs until its time is up is no reason to end the server."""
        return max(LONGEST_CYCLE, 5 * self.contract.serving.timeout)

    @cached_property
    def pvs(self) -> frozenset[str]:
        """Every PV of the service: inputs, outputs, status."""
        inputs = (parse_address(pv).name for wire in self.wiring.inputs for pv in wire.pvs)
        status = (status_pv(self.contract, pv.name) for pv in STATUS_PVS)
        return frozenset((*inputs, *self.wiring.output_pvs, *status))

    def is_gone(self, pv: str) -> bool:
        """Whether it looks like a PV of the service, and is none: of a device that left the table, of an old prefix."""
        name = pv.partition("://")[2] or pv
        record = FIELD.sub("", name)
        return not {name, record} & self.pvs and any(rule.fullmatch(record) for rule in self._rules)

    @cached_property
    def _rules(self) -> tuple[re.Pattern[str], ...]:
        """Which names the patterns can stand for; a device has no more parts than those of the table."""
        with_colons = any(
            pv.count(":") > _literal(plug.signal).count(":") for plug in self.wiring.outputs for pv in plug.pvs
        )
        value = "[^ ]+" if with_colons else "[^ :]+"
        return tuple(
            re.compile(value.join(map(re.escape, PLACEHOLDER.split(pattern)[::2])))
            for pattern in self.patterns
            if PLACEHOLDER.sub("", pattern).strip(":-_")
        )


def deployment_of(project: Project) -> Deployment:
    """Raises `BadInput` or `Failed` where the contract, the device table or a PV cannot be served."""
    contract, wiring = project.contract, wire(project.contract, project.root)
    require_record_names(contract, wiring)
    patterns = (pattern for one in (contract, project.base_contract) for pattern in _patterns(one))
    return Deployment(contract, wiring, alarm_tree(project), tuple(dict.fromkeys(patterns)))


def limits_of(signal: Signal) -> str:
    """The alarm limits of an output in words: `high 0.5 MINOR, hihi 0.9 MAJOR`."""
    return ", ".join(f"{name} {value:g} {SEVERITIES[name]}" for name, value in limits(signal).items()) or "no limits"


def _patterns(contract: Contract) -> Iterable[str]:
    yield from (signal.pv for signal in contract.signals.outputs if signal.pv)
    yield from (f"{prefix_of(contract)}:{pv.name}" for pv in STATUS_PVS)


def _literal(signal: Signal) -> str:
    """The PV without what the device table fills in."""
    return PLACEHOLDER.sub("", signal.pv or "")
