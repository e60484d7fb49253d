"""What `support.epics` starts: an IOC or a client in a process of its own, driven by JSON, one line each way.

    python epics_child.py softioc   records of a real IOC, over CA and PVA
    python epics_child.py p4p       any PVA structure: NTTable, NTNDArray, unsigned and odd scalars
    python epics_child.py aioca     a client, as are caproto and pvapy
    python epics_child.py records   the service's own records (`records_child.py`)

No two EPICS libraries are loaded in one process: pvapy and epicscorelibs break each other.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

Request = dict[str, Any]
Answer = Callable[[Request], Any]
PATIENCE = 10.0
"""Seconds that a client waits for a PV."""


def softioc(records: Request) -> Answer:
    """Records of pythonSoftIOC."""
    from softioc import asyncio_dispatcher, builder, softioc

    made = {name: _record(name, spec) for name, spec in records.items()}
    for name, spec in records.items():  # with TSE -2 a record has the time that it is given, the first one too
        if spec["value"] is not None:
            made[name].set(spec["value"], timestamp=time.time())
    builder.LoadDatabase()
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher())

    def answer(request: Request) -> None:
        for name, sample in request["set"].items():
            given = {key: sample[key] for key in ("severity", "alarm") if key in sample}
            made[name].set(sample["value"], timestamp=sample.get("timestamp", time.time()), **given)

    return answer


def _record(name: str, spec: Request) -> Any:
    """One record. A value of None leaves it as it is before it was ever processed: undefined, without a time."""
    from softioc import builder

    value, fields = spec["value"], {"TSE": "-2", **spec.get("fields", {})}
    if value is None:
        fields["PINI"] = "NO"
    elif spec["record"] != "waveform":
        fields["initial_value"] = value
    match spec["record"]:
        case "waveform":
            given = {} if value is None else {"initial_value": np.array(value, spec["type"])}
            return builder.WaveformIn(name, length=spec["length"], datatype=np.dtype(spec["type"]), **given, **fields)
        case "mbbi":
            return builder.mbbIn(name, *spec["states"], **fields)
        case "bi":
            return builder.boolIn(name, "Off", "On", **fields)
        case "lsi":
            return builder.longStringIn(name, length=256, **fields)
    kinds = {"ai": builder.aIn, "longin": builder.longIn, "int64in": builder.int64In, "stringin": builder.stringIn}
    return kinds[spec["record"]](name, **fields)


def p4p(structures: Request) -> Answer:
    """PVs of p4p, each from `nt` and `value`; of a table or an image, `types` and `shape` tell more."""
    from p4p.server import Server
    from p4p.server.thread import SharedPV

    makers = {name: _maker(spec) for name, spec in structures.items()}
    pvs = {name: SharedPV(initial=make(structures[name])) for name, make in makers.items()}
    server = Server(providers=[pvs])

    def answer(request: Request) -> None:
        assert server
        for name, sample in request["set"].items():
            pvs[name].post(makers[name](sample))

    return answer


def _maker(spec: Request) -> Callable[[Request], Any]:
    """Makes the structures of one PV: of value, severity, message and time."""
    from p4p.nt import NTEnum, NTNDArray, NTScalar, NTTable

    match spec["nt"]:
        case "table":
            kind, types = NTTable(columns=list(spec["types"].items())), spec["types"]
        case "image":
            kind = NTNDArray()
        case "enum":
            kind = NTEnum()
        case code:
            kind = NTScalar(code)

    def make(sample: Request) -> Any:
        value = sample["value"]
        match spec["nt"]:
            case "table":
                columns = {column: _array(value[column], code) for column, code in types.items()}
                made = kind.Value(kind.type, {"labels": list(columns), "value": columns})
            case "image":
                made = kind.wrap(np.array(value, spec["type"]).reshape(spec["shape"]))
                made["codec.name"] = spec.get("codec", "")
            case "enum":
                made = kind.wrap({"index": value, "choices": spec["states"]})
            case code:
                made = kind.wrap(_array(value, code[1:]) if code[0] == "a" else value)
        at = sample.get("timestamp", 0.0)
        made["timeStamp.secondsPastEpoch"], made["timeStamp.nanoseconds"] = int(at), round(at % 1 * 1e9)
        made["alarm.severity"], made["alarm.message"] = sample.get("severity", 0), sample.get("message", "")
        return made

    return make


def _array(value: list[Any], code: str) -> Any:
    """An array of a type code of pvAccess; texts stay a list."""
    codes = {"?": "?", "b": "i1", "B": "u1", "h": "i2", "H": "u2", "i": "i4", "I": "u4", "l": "i8", "L": "u8"}
    return value if code == "s" else np.array(value, {**codes, "f": "f4", "d": "f8"}[code])


def aioca(_: Request) -> Answer:
    """A client over CA."""
    import aioca as client

    loop = asyncio.new_event_loop()

    async def get(name: str) -> Request:
        value = await client.caget(name, format=client.FORMAT_TIME, timeout=PATIENCE)
        extra = await client.caget(name, format=client.FORMAT_CTRL, timeout=PATIENCE)
        return {
            "value": _plain(value),
            "severity": value.severity,
            "status": value.status,
            "timestamp": value.timestamp,
            "unit": getattr(extra, "units", ""),
            "precision": getattr(extra, "precision", None),
            "states": list(getattr(extra, "enums", ())),
            "limits": {key: getattr(extra, field) for key, field in _CA_LIMITS.items() if hasattr(extra, field)},
        }

    async def put(name: str, value: Any) -> None:
        await client.caput(name, value, wait=True, timeout=PATIENCE)

    return _client(
        lambda *words: loop.run_until_complete(get(*words)), lambda *words: loop.run_until_complete(put(*words))
    )


_CA_LIMITS = {
    "lolo": "lower_alarm_limit",
    "low": "lower_warning_limit",
    "high": "upper_warning_limit",
    "hihi": "upper_alarm_limit",
    "display_low": "lower_disp_limit",
    "display_high": "upper_disp_limit",
    "control_low": "lower_ctrl_limit",
    "control_high": "upper_ctrl_limit",
}


def caproto(_: Request) -> Answer:
    """A client over CA that shares no line with EPICS' own. It watches, for it says in which order updates came."""
    from caproto.sync import client

    heard: list[tuple[str, Any]] = []
    kept: list[Any] = []  # caproto refers to what it calls only weakly

    def get(name: str) -> Request:
        read = client.read(name, data_type="time", timeout=PATIENCE, repeater=False)
        extra = client.read(name, data_type="control", timeout=PATIENCE, repeater=False).metadata
        return {
            "value": _plain(read.data if len(read.data) != 1 else read.data[0]),
            "severity": int(read.metadata.severity),
            "status": int(read.metadata.status),
            "timestamp": read.metadata.timestamp,
            "unit": _plain(getattr(extra, "units", "")),
            "precision": getattr(extra, "precision", None),
            "limits": {key: getattr(extra, field) for key, field in _CA_LIMITS.items() if hasattr(extra, field)},
        }

    def put(name: str, value: Any) -> None:
        answer = client.write(name, value, notify=True, timeout=PATIENCE, repeater=False)
        if answer.status.name != "ECA_NORMAL":
            raise PermissionError(answer.status.description)

    def watch(names: list[str]) -> None:
        from caproto.threading.client import Context

        for pv in Context(timeout=PATIENCE).get_pvs(*names):  # of one server: over one connection
            pv.wait_for_connection(timeout=PATIENCE)
            hear = partial(_hear, heard, pv.name)
            subscription = pv.subscribe()
            subscription.add_callback(hear)
            kept.extend((pv, subscription, hear))

    return _client(get, put, watch, heard)


def _hear(heard: list[tuple[str, Any]], name: str, _: Any, update: Any) -> None:
    """Called by one thread, update after update."""
    heard.append((name, _plain(update.data[0])))


def pvapy(_: Request) -> Answer:
    """A client over PVA that does not use pvxs. It asks one port of a host, so what it asks is handed on to all."""
    os.environ.update(EPICS_PVA_ADDR_LIST="127.0.0.1", EPICS_PVA_BROADCAST_PORT=str(_handed_on()))
    import pvaccess

    @cache  # a channel that goes away may take the process with it
    def channel(name: str) -> Any:
        made = pvaccess.Channel(name)
        made.setTimeout(PATIENCE)
        return made

    def get(name: str) -> Request:
        read = channel(name).get("").toDict()
        alarm, time, display = read.get("alarm", {}), read.get("timeStamp", {}), read.get("display", {})
        limits = {key: read.get(part, {}).get(field) for key, (part, field) in _PVA_LIMITS.items()}
        return {
            "value": _plain(read["value"]),
            "severity": alarm.get("severity"),
            "status": alarm.get("status"),
            "message": alarm.get("message"),
            "timestamp": time.get("secondsPastEpoch", 0) + time.get("nanoseconds", 0) * 1e-9,
            "unit": display.get("units", ""),
            "precision": display.get("precision"),
            "limits": {key: limit for key, limit in limits.items() if limit is not None},
            "fields": {key: _plain(part) for key, part in read.items() if key != "value"},
        }

    def put(name: str, value: Any) -> None:
        channel(name).put(value)

    return _client(get, put)


_PVA_LIMITS = {
    "lolo": ("valueAlarm", "lowAlarmLimit"),
    "low": ("valueAlarm", "lowWarningLimit"),
    "high": ("valueAlarm", "highWarningLimit"),
    "hihi": ("valueAlarm", "highAlarmLimit"),
    "display_low": ("display", "limitLow"),
    "display_high": ("display", "limitHigh"),
    "control_low": ("control", "limitLow"),
    "control_high": ("control", "limitHigh"),
}


def _handed_on() -> int:
    """A port from which each datagram goes on to all of `EPICS_PVA_ADDR_LIST`; answers go straight to who asked."""
    places = [place.split(":") for place in os.environ["EPICS_PVA_ADDR_LIST"].split()]
    asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asked.bind(("127.0.0.1", 0))

    def hand_on() -> None:
        while True:
            question = asked.recv(65536)
            for host, port in places:
                asked.sendto(question, (host, int(port)))

    threading.Thread(target=hand_on, daemon=True).start()
    return asked.getsockname()[1]


def _client(
    get: Callable[[str], Request],
    put: Callable[[str, Any], None],
    watch: Callable[[list[str]], None] | None = None,
    heard: list[tuple[str, Any]] | None = None,
) -> Answer:
    def answer(request: Request) -> Any:
        if watch and "watch" in request:
            return watch(request["watch"])
        if "heard" in request:
            return list(heard or ())
        return put(request["put"], request["value"]) if "put" in request else get(request["get"])

    return answer


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    for kind in (bool, int, float):  # aioca has subclasses of its own
        if isinstance(value, kind):
            return kind(value)
    return value.decode() if isinstance(value, bytes) else str(value)


def records(first: Request) -> Answer:
    """What the service serves."""
    from records_child import records

    return records(first)


def main() -> None:
    """Read requests until the input ends, and answer each. What an EPICS library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    kinds = {kind.__name__: kind for kind in (softioc, p4p, aioca, caproto, pvapy, records)}
    answer = kinds[sys.argv[1]](json.loads(sys.stdin.readline()))
    answers.write('{"ok": null}\n')
    for line in sys.stdin:
        try:
            reply = {"ok": answer(json.loads(line))}
        except Exception as error:  # whatever a library raises is the answer
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")
    os._exit(0)  # an IOC has no end of its own


if __name__ == "__main__":
    main()
