"""The PVs that say how the service itself is, `PREFIX:VERSION` and so on: for records, screens and archiver lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from beampermit.contract import Contract


@dataclass(frozen=True)
class StatusPV:
    name: str
    """After the prefix and a colon."""
    kind: Literal["int", "float", "text"]
    description: str
    """At most 40 characters: DESC."""
    unit: str = ""
    writable: bool = False
    """By those whom the access security file lets."""


# Of monitoring, as MON001: the worst of each check, as part of its limit.
STATUS_PVS = (
    StatusPV("VERSION", "int", "Version that gave the last answer"),
    StatusPV("PERMIT", "text", "SHA-256 of its permit"),
    StatusPV("STATUS", "text", "Whether its outputs can be trusted"),
    StatusPV("REASON", "text", "The worst that is wrong"),
    StatusPV("HEARTBEAT", "int", "Cycles of the inference loop"),
    StatusPV("UPTIME", "float", "Since the service started", "s"),
    StatusPV("INPUT_AGE", "float", "Age of the oldest input", "s"),
    StatusPV("LATENCY_P99", "float", "From input to output, 99th percentile", "s"),
    StatusPV("DROPPED", "int", "Samples replaced before they were used"),
    StatusPV("SHADOW", "text", "Version beside it, and how it differs"),
    StatusPV("DRIFT", "float", "Largest drift, as part of its limit"),
    StatusPV("MONITOR", "float", "Age of the last monitoring result", "s"),
    StatusPV("MON001", "float", "Drift of an input"),
    StatusPV("MON002", "float", "Drift of the inputs together"),
    StatusPV("MON003", "float", "Inputs missing or out of range"),
    StatusPV("MON004", "float", "Drift of an output"),
    StatusPV("MON005", "float", "Outputs INVALID or a fallback"),
    StatusPV("MON006", "float", "Late answers"),
    StatusPV("MON007", "float", "Distance from the truth that arrived"),
    StatusPV("MON008", "float", "Beyond 1: the monitor cannot judge"),
    StatusPV("RESTART", "int", "Write 1: start the model process again", writable=True),
)


def prefix_of(contract: Contract) -> str:
    """`serving.prefix`, or the model's name in capitals."""
    return contract.serving.prefix or contract.model.name.upper()


def status_pv(contract: Contract, name: str) -> str:
    return f"{prefix_of(contract)}:{name}"
