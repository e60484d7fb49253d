"""How services are, asked from outside: by their status PVs over PVA, or by HTTP."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError

from beampermit.live.extra import require_live
from beampermit.live.promoted.words import plain
from beampermit.reading import first_fault
from beampermit.record import Count, Number, Record

PVS = ("VERSION", "STATUS", "REASON", "INPUT_AGE", "LATENCY_P99", "MONITOR", "HEARTBEAT")
MOST_BYTES = 2**20
Text = Annotated[str, Field(max_length=10_000)]


class ServiceStatus(Record):
    """One service. Ages and latencies are in s, None where nobody knows them."""

    model_config = ConfigDict(extra="ignore")

    name: Text
    """Of the model, or the prefix of its status PVs."""
    version: Count = 0
    """0 where none has answered yet."""
    status: Text = ""
    """Empty where nothing was reached; `error` says why."""
    reason: Text = ""
    since: Number | None = None
    """Since when its status is what it is, s since 1970."""
    input_age: Number | None = None
    latency_p99: Number | None = None
    monitor_age: Number | None = None
    """Of the newest result of monitoring."""
    alive: bool = False
    """Whether the heartbeat moves."""
    log: Text = ""
    """Why its prediction log cannot be written; over PVA, the reason says it where there is no other."""
    error: Text = ""

    @property
    def serving(self) -> bool:
        return self.alive and self.status == "SERVING"


class Client(Record):
    """Of the PVs of a service."""

    model_config = ConfigDict(extra="ignore")

    protocol: Text
    host: Text
    user: Text = ""
    pvs: tuple[Text, ...] = ()


class Clients(Record):
    """Those of one service."""

    model_config = ConfigDict(extra="ignore")

    name: Text
    clients: tuple[Client, ...] = ()
    error: Text = ""


def ask_for_clients(url: str, timeout: float) -> Clients:
    """Who is connected to the service whose HTTP server, with questions, is at `url`."""
    import httpx

    try:
        return Clients.model_validate_json(_get(f"{url.rstrip('/')}/clients", timeout))
    except httpx.HTTPStatusError as error:
        return Clients(name=url, error=f"HTTP status {error.response.status_code}; ask the port of --http")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Clients(name=url, error=plain(error) or type(error).__name__)
    except ValidationError as error:
        return Clients(name=url, error=f"no answer of this service: {plain(first_fault(error))}")


def ask_by_http(url: str, timeout: float) -> ServiceStatus:
    """`url` is the server's, such as `http://127.0.0.1:8765`."""
    import httpx

    try:
        return ServiceStatus.model_validate_json(_get(f"{url.rstrip('/')}/status", timeout))
    except httpx.HTTPStatusError as error:
        return ServiceStatus(name=url, error=f"HTTP status {error.response.status_code}")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return ServiceStatus(name=url, error=plain(error) or type(error).__name__)
    except ValidationError as error:
        return ServiceStatus(name=url, error=f"no answer of this service: {plain(first_fault(error))}")


def _get(url: str, timeout: float) -> bytes:
    """The whole answer within `timeout` s: httpx bounds the wait for each part, and a server may drip its headers, too.

    Raises errors of httpx.
    """
    import httpx

    end, got = time.monotonic() + timeout, Future[bytes]()

    def ask() -> None:
        try:
            with httpx.stream("GET", url, timeout=timeout, follow_redirects=False) as answer:
                answer.raise_for_status()
                got.set_result(_first_bytes(answer.iter_bytes(), end))
        except BaseException as error:
            got.set_exception(error)

    # It ends no later than the process does.
    threading.Thread(target=ask, name="ask a service", daemon=True).start()
    try:
        return got.result(timeout)
    except TimeoutError:
        raise httpx.ReadTimeout(f"no whole answer within {timeout:g} s") from None


def _first_bytes(parts: Iterable[bytes], end: float) -> bytes:
    """Until `end`, by the monotonic clock: then nobody waits for it any more."""
    content = b""
    for part in parts:
        content += part
        if len(content) > MOST_BYTES or time.monotonic() > end:
            break
    return content


def ask_by_pvs(prefixes: Sequence[str], timeout: float) -> list[ServiceStatus]:
    """Each prefix, over PVA, where an answer may take `timeout` s. Heartbeats have so long to move, too.

    Raises `BadInput` without the extra `live`.
    """
    require_live("the status PVs")
    services = _ask(prefixes, timeout)
    nothing = f"no answer within {timeout:g} s"
    return [services.get(prefix) or ServiceStatus(name=prefix, error=nothing) for prefix in prefixes]


def _ask(prefixes: Sequence[str], timeout: float) -> dict[str, ServiceStatus]:
    """Those that answer."""
    from p4p.client.thread import Context

    with Context("pva", nt=False) as context:

        def read(pvs: Sequence[str], asked: Sequence[str]) -> dict[str, dict[str, Any]]:
            """Prefix -> PV -> value, of those that answer."""
            names = [f"{prefix}:{pv}" for prefix in asked for pv in pvs]
            values = iter(list(context.get(names, timeout=timeout, throw=False) or ()))
            each = {prefix: {pv: next(values) for pv in pvs} for prefix in asked}
            return {prefix: one for prefix, one in each.items() if not any(map(_failed, one.values()))}

        answers = read(PVS, prefixes)
        beats = {prefix: _number(each["HEARTBEAT"]) for prefix, each in answers.items()}
        moving: set[str] = set()
        end = time.monotonic() + timeout
        while (waiting := [prefix for prefix in beats if prefix not in moving]) and time.monotonic() < end:
            time.sleep(0.1)
            now = read(("HEARTBEAT",), waiting)
            moving |= {prefix for prefix, each in now.items() if _number(each["HEARTBEAT"]) != beats[prefix]}
    return {prefix: _status(prefix, each, alive=prefix in moving) for prefix, each in answers.items()}


def _status(prefix: str, values: Mapping[str, Any], *, alive: bool) -> ServiceStatus:
    stamp = values["STATUS"]["timeStamp"]
    version = _number(values["VERSION"])
    return ServiceStatus(
        name=prefix,
        version=max(int(version or 0), 0),
        status=_text(values["STATUS"]),
        reason=_text(values["REASON"]),
        since=stamp["secondsPastEpoch"] + stamp["nanoseconds"] * 1e-9,
        input_age=_number(values["INPUT_AGE"]),
        latency_p99=_number(values["LATENCY_P99"]),
        monitor_age=_number(values["MONITOR"]),
        alive=alive,
    )


def _failed(value: Any) -> bool:
    return isinstance(value, Exception)


def _number(value: Any) -> float | None:
    """None for what is no finite number, whoever serves a PV of this name."""
    number = value["value"]
    return float(number) if isinstance(number, (int, float)) and math.isfinite(number) else None


def _text(value: Any) -> str:
    """Empty for what is no text, whoever serves a PV of this name."""
    content = value["value"]
    return content[:10_000] if isinstance(content, str) else ""
