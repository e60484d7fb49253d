"""Tells systemd how the service is: sd_notify(3), a datagram to the socket that NOTIFY_SOCKET names."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beampermit.live.update import Health, Update

logger = logging.getLogger(__name__)
LONGEST = 500
"""Characters of a status."""
EVERY = 2.0
"""Seconds between two signs of life, where systemd asks for none more often; a status is as old at most."""
BEGINS = 300.0
"""Seconds without a sign of life in which a first version may begin: it asks for its PVs, and starts an IOC."""


class Notifier:
    """A sink, the last one: `READY=1` says that the first update is out, or that there is nothing to show yet.

    Signs of life come from the cycles themselves, so they end where the inference loop stands. Before there is one,
    they come from the thread that begins it. Nothing is sent where nobody listens.
    """

    def __init__(self, variables: Mapping[str, str] | None = None, *, monotonic: Callable[[], float] = time.monotonic):
        variables = os.environ if variables is None else variables
        self._address = _address(variables.get("NOTIFY_SOCKET", ""))
        self._limit = self._usual = _seconds(variables.get("WATCHDOG_USEC", ""))
        """Seconds that systemd waits for a sign of life, as it was told last, and once there is a loop."""
        # Where systemd names a process, it listens to that one alone.
        self._watched = self._usual > 0 and variables.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self._every = min(EVERY, self._usual / 4) if self._watched else EVERY
        self._monotonic = monotonic
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if self._address else None
        if self._socket:
            self._socket.setblocking(False)
        self._next = 0.0
        self._ready = False
        self._status = ""
        self._heard = True

    def say(self, status: str) -> None:
        """What the service does, before the first update."""
        self._status = _one_line(status)
        self._send([f"STATUS={self._status}"])

    def wait(self, *, ready: bool) -> None:
        """A sign of life where there is no loop. `ready`: the ledger has nothing that could be shown, which may stay so
        for months; whoever starts the service is not to wait for that, and a start has a limit of time.
        """
        if ready or self._ready:
            self._tell(self._status, max(self._usual, BEGINS))

    def publish(self, update: Update) -> None:
        self._tell(_describe(update.health), self._usual)

    def _tell(self, status: str, limit: float) -> None:
        """No oftener than anybody needs it; `limit` is how long systemd has to wait for the next one, in s."""
        another = self._watched and limit != self._limit
        if self._ready and not another and self._monotonic() < self._next:
            return
        self._next = self._monotonic() + self._every
        watched = ["WATCHDOG=1", *[f"WATCHDOG_USEC={round(limit * 1e6)}"] * another] if self._watched else []
        if self._send([*["READY=1"][self._ready :], *watched, f"STATUS={status}"]):
            self._ready, self._limit = True, limit

    def start_again(self) -> None:
        """This process goes on as a new one, which will say that it is ready; after `STOPPING=1` it would be killed."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(["RELOADING=1", f"MONOTONIC_USEC={microseconds}", "STATUS=starting again"])
        self._leave()

    def close(self) -> None:
        self._send(["STOPPING=1"])
        self._leave()

    def _leave(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None

    def _send(self, lines: list[str]) -> bool:
        """Whether systemd has it; where its queue is full, the next cycle says it again."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if self._heard:
                logger.warning("systemd does not hear of the service: %s", error.strerror)
            self._heard = False
            return False
        self._heard = True
        return True


def _address(name: str) -> str:
    """The address as Python writes it: an abstract one, `@NAME`, begins with a zero. Empty where it is no such name."""
    if name.startswith("@"):
        return f"\0{name[1:]}"
    return name if name.startswith("/") else ""


def _seconds(microseconds: str) -> float:
    return int(microseconds) / 1e6 if microseconds.isascii() and microseconds.isdigit() else 0.0


def _describe(health: Health) -> str:
    version = f"version {health.version}: " if health.version else ""
    return _one_line(f"{version}{health.status}{f', {health.reason}' if health.reason else ''}")


def _one_line(text: str) -> str:
    """Each line of a datagram is an assignment of its own."""
    return " ".join(text.split())[:LONGEST]
