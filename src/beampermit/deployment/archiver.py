"""What is archived, and how: the body of `POST /mgmt/bpl/archivePV` of the EPICS Archiver Appliance."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from beampermit.deployment.deployment import Deployment
from beampermit.deployment.statements import Statement, names
from beampermit.errors import BadInput
from beampermit.live.status_pvs import STATUS_PVS, StatusPV, status_pv
from beampermit.reading import parse_json

SLOWLY = 60.0
"""Seconds between two samples of what moves all the time: ages, latencies, counters."""
SECOND = 1.0
SHORTEST = 0.1
"""Seconds; what an archiver takes unless its configuration allows less."""
ARCHIVED_AS_IT_CHANGES = ("VERSION",)
"""A number among the status PVs that stays for months, as texts do."""


def archiver_list(deployment: Deployment) -> str:
    """A PV a line: outputs and texts as they change, other status PVs once a minute. RESTART has no history."""
    period = _period(deployment)
    lines = [_entry(pv, "MONITOR", period) for pv in deployment.wiring.output_pvs]
    for pv in STATUS_PVS:
        if not pv.writable:
            lines.append(_entry(status_pv(deployment.contract, pv.name), *_method(pv)))
    return "[\n{}\n]\n".format(",\n".join(lines))


def archiver_statements(text: str, file: str) -> Iterator[Statement]:
    """Raises `BadInput`."""
    entries = parse_json(text.encode(), file)
    if not isinstance(entries, list):
        raise BadInput("not a list of PVs to archive", file=file, line=1)
    lines = {match[1]: number for number, line in enumerate(text.splitlines(), 1) if (match := ENTRY.search(line))}
    for entry in entries:
        pv = entry.get("pv") if isinstance(entry, dict) else None
        if isinstance(pv, str):
            yield names(pv, lines.get(pv, 1))


ENTRY = re.compile(r'"pv"\s*:\s*"([^"]*)"')


def _period(deployment: Deployment) -> float:
    """The shortest time between two values: the archiver keeps room for so many."""
    serving = deployment.contract.serving
    return max(SHORTEST, serving.period or serving.at_most or SECOND)


def _method(pv: StatusPV) -> tuple[str, float]:
    as_it_changes = pv.kind == "text" or pv.name in ARCHIVED_AS_IT_CHANGES
    return ("MONITOR", SECOND) if as_it_changes else ("SCAN", SLOWLY)


def _entry(pv: str, method: str, period: float) -> str:
    return json.dumps({"pv": pv, "samplingmethod": method, "samplingperiod": f"{period:g}"})
