"""Names that records can have: 60 characters, and no dot, which for EPICS begins the name of a field."""

from __future__ import annotations

import re
from collections.abc import Iterator

from beampermit.contract import FILE_NAME, Contract
from beampermit.contract.signals import PROTOCOL
from beampermit.errors import BadInput
from beampermit.live.epics.addresses import parse_address
from beampermit.live.status_pvs import STATUS_PVS, status_pv
from beampermit.live.wiring import Wiring

LONGEST = 60
IMPOSSIBLE = re.compile(r"""[^!-~]|['"$#\\]""")
"""A record's name has no space, no quotes, no `$`, and nothing beyond ASCII; `#` begins a column where PVs are read."""


def require_record_names(contract: Contract, wiring: Wiring) -> None:
    """Raise `BadInput` for the first output PV, or status PV, that no record can have as its name."""
    for what, name in (*_outputs(wiring), *_status(contract)):
        if wrong := fault(name):
            raise BadInput(f"{what} cannot be served: {wrong}", file=FILE_NAME)
    _require_own_names(contract, wiring)


def fault(name: str) -> str:
    """Why no record can have this name; empty where one can."""
    if PROTOCOL.match(name):
        return f"{name} says a protocol, and an output is served over both"
    if "." in name:
        return f"{name} has a dot, after which EPICS reads a field of {name.partition('.')[0] or 'a record'}"
    if found := IMPOSSIBLE.search(name):
        return f"{name!r} has {found[0]!r}, which no record's name may have"
    if len(name) > LONGEST:
        return f"{name} has {len(name)} characters, {LONGEST} is the limit"
    return ""


def _outputs(wiring: Wiring) -> Iterator[tuple[str, str]]:
    for plug in wiring.outputs:
        for device, pv in zip(wiring.rows, plug.pvs, strict=True):
            yield f"output {plug.signal.name}{f' of {device}' if device else ''}", pv


def _status(contract: Contract) -> Iterator[tuple[str, str]]:
    for status in STATUS_PVS:
        yield f"the status PV {status.name} (serving.prefix)", status_pv(contract, status.name)


def _require_own_names(contract: Contract, wiring: Wiring) -> None:
    records = {*wiring.output_pvs, *(name for _, name in _status(contract))}
    inputs = {parse_address(pv).name.partition(".")[0]: pv for wire in wiring.inputs for pv in wire.pvs}
    if both := next((record for record in inputs if record in records), None):
        raise BadInput(f"{inputs[both]} is an input, and {both} a record of the service itself", file=FILE_NAME)
    if len(records) < len(wiring.output_pvs) + len(STATUS_PVS):
        both = next(name for _, name in _status(contract) if name in wiring.output_pvs)
        raise BadInput(
            f"{both} is an output and one of the service's status PVs",
            file=FILE_NAME,
            hint="give serving.prefix another value",
        )
