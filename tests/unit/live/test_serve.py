"""`beampermit serve` as operators see it: a trained model, a soft IOC, and clients that the service does not use.

What it shows when inputs or model fail, and how another champion takes over, is played by the demo.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from beampermit.datasets.tables import connect, parquet
from support.epics import Client, Network, Place, client, until
from support.registry_project import database
from support.served_project import PATIENCE, ServedProject, lay_out, machine
from support.trained_project import SLUG
from support.truth import ALLOWANCE, Situation

__all__ = ["database"]
PV = "BPM-01S1:X:FAULT"
PREFIX = "BPM-FAULTS"
ACCESS = """\
HAG(consoles) {127.0.0.1}
ASG(LIMITS) { RULE(1, READ) RULE(0, WRITE, TRAPWRITE) { HAG(consoles) } }
"""


@pytest.fixture
def served(_trained_folder: Path, environment_prefix: Path, database: Path, tmp_path: Path) -> ServedProject:
    served = lay_out(_trained_folder, database, tmp_path)
    served.have_the_model()
    return served


@dataclass
class Screen:
    """What operators see, by two clients."""

    pvapy: Client
    aioca: Client

    def value(self, pv: str = PV) -> dict[str, Any]:
        return self.pvapy.get(pv)

    def text(self, name: str) -> Any:
        return self.pvapy.get(f"{PREFIX}:{name}")["value"]

    def version(self) -> int:
        return int(self.aioca.get(f"{PREFIX}:VERSION")["value"])

    def wait(self, what: Callable[[], object]) -> None:
        def holds() -> object:
            with suppress(AssertionError):  # a client that finds no PV yet
                return what()

        until(holds, PATIENCE)

    def is_good(self, pv: str = PV) -> bool:
        shown = self.value(pv)
        return shown["severity"] < 3 and not shown["message"].startswith(("held", "default"))


@pytest.mark.slow
@pytest.mark.truth("half-open", measured=True)
def test_a_watch(served: ServedProject, epics: Network, tmp_path: Path, truth: Situation) -> None:
    root, log, access = served.lab.root, tmp_path / "log", tmp_path / "access.acf"
    access.write_text(ACCESS)
    served.register_challenger()
    with (
        machine(epics, root) as played,
        epics.place() as place,
        client(epics, "pvapy") as pvapy,
        client(epics, "aioca") as aioca,
        ended_with_another_limit(served, epics, place, access, Screen(pvapy, aioca)),
        served.service(
            epics,
            place,
            *("--http", "127.0.0.1:0", "--log", str(log), "--shadow", "challenger", "--access", str(access)),
        ) as service,
    ):
        screen = Screen(pvapy, aioca)
        screen.wait(screen.is_good)
        shown = aioca.get(PV)
        assert 0 <= shown["value"] <= 1
        assert shown["limits"]["high"] == 0.75, "an operator changed it before the restart"
        assert (screen.version(), screen.text("STATUS")) == (1, "SERVING")
        assert psutil.Process(service.pid).memory_info().rss < 2**30, "EPICS has locked all that is reserved"

        # An IOC hangs with its sockets open: the age of the values says so.
        played.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        screen.wait(lambda: "is older than 5 s (120 of 120 outputs)" in screen.text("REASON"))
        assert 4 < time.monotonic() - stopped < 5 + 0.2 + ALLOWANCE
        reason = screen.text("REASON")
        assert truth.says(reason.removeprefix("held, because ").removesuffix(" (120 of 120 outputs)")), reason
        assert not screen.is_good(), "no number of before is shown as an answer"
        sockets = psutil.Process(played.pid).net_connections("tcp")
        assert "ESTABLISHED" in {one.status for one in sockets}, "its age says so, and not a connection that ended"
        played.send_signal(signal.SIGCONT)
        screen.wait(screen.is_good)

        with pytest.raises(AssertionError):
            aioca.put(PV, 0.1)
        # A challenger answers beside it.
        screen.wait(lambda: screen.text("SHADOW").startswith("version 2: ") and "0 cycles" not in screen.text("SHADOW"))
        assert screen.version() == 1
        assert aioca.get(PV)["limits"]["high"] == 0.75
        # Limits that an operator changed are those of a promotion.
        served.promote_again()
        screen.wait(lambda: screen.version() == 3 and screen.is_good())
        assert aioca.get(PV)["limits"]["high"] == 0.5, "the contract's"
        assert not (served.state / "limits.json").exists()
    first = logged(log, 1)
    assert first[0] == (False, True)
    assert first == sorted(first), "what it answered after the other took over was beside that one"
    assert set(logged(log, 2)) == {(True, True)}
    # The service began, and then the first value was shown: nothing else was said in between.
    said = [json.loads(line) for line in served.said.read_text().splitlines() if line.startswith("{")]
    statuses = [line["status"] for line in said if "status" in line]
    assert statuses[: statuses.index("SERVING") + 1] in (["INVALID", "STARTING", "SERVING"], ["STARTING", "SERVING"])


@contextmanager
def ended_with_another_limit(
    served: ServedProject, epics: Network, place: Place, access: Path, screen: Screen
) -> Iterator[None]:
    """A service ran before, from the same state folder, and an operator changed a limit of it."""
    with served.service(epics, place, "--access", str(access)):
        screen.wait(lambda: screen.aioca.get(PV)["limits"]["high"] == 0.5)
        screen.aioca.put(f"{PV}.HIGH", 0.75)
        until((served.state / "limits.json").exists)
    served.said.unlink()
    yield


def logged(log: Path, version: int) -> list[tuple[bool, bool]]:
    """Of the rows of a version with an answer, in order: whether it ran beside the one in service, and was asked."""
    files = parquet(*(log / f"{SLUG}/{version}").glob("*.parquet"))
    sql = f'SELECT "served.shadow", "served.asked" FROM {files} WHERE score IS NOT NULL ORDER BY "served.cycle"'
    with connect() as connection:
        return connection.execute(sql).fetchall()
