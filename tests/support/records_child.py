"""What `support.epics` starts as `records`: the records of the service, in a process of their own."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from beampermit.contract import parse_contract
from beampermit.live.epics.base import leave
from beampermit.live.epics.records import Records
from beampermit.live.limits import Limits
from beampermit.live.observation.monitoring import MonitorResults, monitor_folder
from beampermit.live.severity import Severity, Status
from beampermit.live.update import Health, Update, Value
from beampermit.live.wiring import wire

Request = dict[str, Any]
HEALTH = Health(3, "sha256:p", "SERVING", "", 1, 5.0, 0.1, 0.002, 0, 0)


def records(first: Request) -> Callable[[Request], Any]:
    """`first`: the contract's `text`, its `root`, `promotion`, and files `access` and `state` or None."""
    logged: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())
    logging.getLogger("beampermit").addHandler(handler)
    logging.getLogger("beampermit").setLevel(logging.INFO)
    restarts: list[int] = []
    current = _version(first)
    monitor = MonitorResults(monitor_folder(Path(first["state"])), current[0].model.name)
    served = Records(
        *current,
        restart=lambda: restarts.append(1),
        access=Path(first["access"]) if first["access"] else None,
        state=Path(first["state"]),
        monitor=monitor,
    )

    def answer(request: Request) -> Any:
        nonlocal current
        match request:
            case {"publish": values, "health": health}:
                monitor.look()
                served.publish(_update(values, health))
            case {"begin": version}:
                current = _version({**first, **version})
                served.begin(*current)
            case {"same": version}:
                return served.same_records(*_version({**first, **version})[:2])
            case {"limits": pv}:
                return current[2].of(pv)
            case {"clients": _}:
                return [vars(peer) for peer in served.clients()]
            case {"leave": code}:
                leave(code)
            case {"state": _}:
                return {"restarts": len(restarts), "log": logged}
        return None

    return answer


def _version(spec: Request) -> tuple[Any, Any, Limits, str]:
    contract = parse_contract(spec["text"])
    wiring = wire(contract, Path(spec["root"]))
    return contract, wiring, Limits(wiring), spec["promotion"]


def _update(values: Request, health: Request) -> Update:
    made = {
        pv: Value(
            np.array(one["value"]) if isinstance(one["value"], list) else one["value"],
            Severity[one.get("severity", "NO_ALARM")],
            Status[one.get("status", "NO_ALARM")],
            one.get("message", ""),
            math.nan,
            time=one.get("time", math.nan),
        )
        for pv, one in values.items()
    }
    return Update(made, Health(**{**vars(HEALTH), **health}))
