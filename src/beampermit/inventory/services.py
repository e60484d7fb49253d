"""What services say of themselves, and which servers answer for their PVs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from beampermit.inventory.search import find_servers
from beampermit.inventory.seen import Seen
from beampermit.live.observation.services import ServiceStatus, ask_by_http, ask_by_pvs

AT_ONCE = 8
NAME = re.compile(r"[!-~]{1,60}")
"""A PV that can be asked for: what a contract says goes into packets."""
PREFIX = re.compile(r"[!-~]{1,48}")
MOST_PVS = 2000
"""Of one model that second servers are searched for."""


def is_address(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def status_command(name: str) -> str:
    """What a person types to ask the same."""
    return f"beampermit status {'--http ' if is_address(name) else ''}{shlex.quote(name)}"


def ask_services(names: Sequence[str], timeout: float) -> dict[str, ServiceStatus]:
    """Prefixes of status PVs and URLs -> what each answers. Raises `BadInput` where PVs cannot be read here."""
    names = list(dict.fromkeys(names))
    urls, prefixes = [name for name in names if is_address(name)], [name for name in names if not is_address(name)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        by_http = pool.map(lambda url: ask_by_http(url, timeout), urls)
        by_pvs = ask_by_pvs(prefixes, timeout) if prefixes else []
        return dict(zip((*urls, *prefixes), (*by_http, *by_pvs), strict=True))


def with_address(seen: Seen) -> Seen:
    """The URL that is listed, else the prefix of its status PVs."""
    return seen if seen.address else replace(seen, address=prefix_of(seen))


def prefix_of(seen: Seen) -> str:
    """Empty for a model that is not served as PVs, or whose PVs cannot be asked for."""
    prefix = seen.declared.prefix if seen.declared and seen.pvs else ""
    return prefix if PREFIX.fullmatch(prefix) else ""


def ask_servers(seen: Sequence[Seen]) -> dict[str, tuple[str, ...]]:
    """PV -> the servers that answer for it, of all models."""
    wanted = [pv for one in seen for pv in _searched(one)]
    return find_servers(wanted) if wanted else {}


def with_service(seen: Seen, answers: Mapping[str, ServiceStatus], servers: Mapping[str, tuple[str, ...]]) -> Seen:
    """The model with what its service answered, and with the servers of its PVs."""
    own = {pv: servers[pv] for pv in _searched(seen) if pv in servers}
    return replace(seen, service=answers.get(seen.address), servers=own)


def _searched(seen: Seen) -> tuple[str, ...]:
    prefix = prefix_of(seen)
    if not prefix:
        return ()
    return tuple(filter(NAME.fullmatch, (f"{prefix}:HEARTBEAT", *seen.pvs[:MOST_PVS])))
