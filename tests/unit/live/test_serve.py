"""`beampermit serve` as operators see it: a trained model, a soft IOC, and clients that the service does not use.

What it shows when the model fails, and how other champions take over, is played by the demo.
"""

from __future__ import annotations

import json
import math
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from beampermit.datasets.tables import connect, parquet
from beampermit.live.log.stream import close_left
from beampermit.live.severity import Severity, Status
from beampermit.live.update import Value
from support.epics import Client, Network, Place, client, until
from support.one_monitor import NO_TIME, OneMonitor, one_monitor, without
from support.registry_project import database
from support.served_project import PATIENCE, ServedProject, lay_out, machine
from support.trained_project import SLUG
from support.truth import ALLOWANCE, SITUATIONS, Situation

__all__ = ["database"]
PV = "BPM-01S1:X:FAULT"
OWN, OWN_INPUT = "BPM-01S1:Y:FAULT", "BPM-01S1:Y:TBT"
"""Of the monitor that is in the hands of the test."""
PREFIX = "BPM-FAULTS"
SOME = 8
"""Updates of the next version, in which one of the version before would be seen."""
TURNS = [math.sin(0.31 * 2 * math.pi * turn) for turn in range(250)]
TROUBLES: list[tuple[str, dict[str, Any]]] = [
    ("nan", {"value": [math.nan, *TURNS[1:]]}),
    ("infinite", {"value": [-math.inf, *TURNS[1:]]}),
    ("outside", {"value": [20.001, *TURNS[1:]]}),
    ("shape", {"value": TURNS[1:]}),
    ("invalid", {"severity": Severity.INVALID, "alarm": Status.READ}),
    ("severe", {"severity": Severity.MAJOR, "alarm": Status.LOW}),
    ("stale", {"age": 5.5}),
    ("future", {"age": -20.0}),
    ("invalid", {"age": NO_TIME}),
]
"""Situation, and what an IOC says then. Those of a PV that is gone, and of one that is another, follow."""
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

    def shown(self, pv: str = OWN) -> Value:
        """What both clients see of an output. Its message is cut there, and `REASON` has the whole of one."""
        read: list[dict[str, Any]] = []

        def of_one_update() -> bool:
            read[:] = self.aioca.get(pv), self.pvapy.get(pv)
            ours, theirs = ((one["severity"], round(one["timestamp"], 3), repr(one["value"])) for one in read)
            return ours == theirs

        self.wait(of_one_update)
        ours, theirs = read
        value, message, reason = ours["value"], theirs["message"], self.text("REASON")
        if message.endswith("...") and reason.startswith(message.removesuffix("...")):
            message = reason
        origin = "held" if message.startswith("held, ") else "none" if math.isnan(value) else "model"
        return Value(value, Severity(ours["severity"]), Status(ours["status"]), message, ours["timestamp"], origin)

    def shows(self, situation: str) -> None:
        """Wait for its message: all else must then be as well."""
        truth, seen = SITUATIONS[situation], list[Value]()

        def says() -> bool:
            seen.append(self.shown())
            return truth.says(seen[-1].message)

        self.wait(says)
        assert truth.holds(seen[-1])

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
        machine(epics, root, without(root, OWN_INPUT, tmp_path / "others")) as played,
        one_monitor(epics, OWN_INPUT, TURNS) as own,
        epics.place() as place,
        client(epics, "pvapy") as pvapy,
        client(epics, "aioca") as aioca,
        client(epics, "caproto") as caproto,
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
        hung(screen, played, own, truth)
        with pytest.raises(AssertionError):
            aioca.put(PV, 0.1)
        # A challenger answers beside it.
        screen.wait(lambda: screen.text("SHADOW").startswith("version 2: ") and "0 cycles" not in screen.text("SHADOW"))
        assert screen.version() == 1
        assert aioca.get(PV)["limits"]["high"] == 0.75
        followed_by_another_model(screen, caproto, served)
        troubled(screen, own)
    close_left(log / SLUG)  # as the next service does: a loaded machine may have had no time for it
    first = logged(log, 1)
    assert first[0] == (False, True)
    assert first == sorted(first), "what it answered after the other took over was beside that one"
    assert set(logged(log, 2)) == {(True, True)}
    # The service began, and then the first value was shown: nothing else was said in between.
    said = [json.loads(line) for line in served.said.read_text().splitlines() if line.startswith("{")]
    statuses = [line["status"] for line in said if "status" in line]
    assert statuses[: statuses.index("SERVING") + 1] in (["INVALID", "STARTING", "SERVING"], ["STARTING", "SERVING"])


def hung(screen: Screen, played: subprocess.Popen[str], own: OneMonitor, truth: Situation) -> None:
    """Two IOCs hang with their sockets open: the age of the values says so."""
    before = screen.shown().value
    played.send_signal(signal.SIGSTOP)
    own.pause()
    stopped = time.monotonic()
    screen.wait(lambda: "is older than 5 s (120 of 120 outputs)" in screen.text("REASON"))
    assert 4 < time.monotonic() - stopped < 5 + 0.2 + ALLOWANCE
    reason = screen.text("REASON")
    assert truth.says(reason.removeprefix("held, because ").removesuffix(" (120 of 120 outputs)")), reason
    assert not screen.is_good(), "no number of before is shown as an answer"
    held = screen.shown()
    if held.origin == "held":  # a loaded machine may look later than `hold_for`
        assert replace(SITUATIONS["held"], status=truth.status).holds(held)
        assert held.value == pytest.approx(before)
    sockets = psutil.Process(played.pid).net_connections("tcp")
    assert "ESTABLISHED" in {one.status for one in sockets}, "its age says so, and not a connection that ended"
    played.send_signal(signal.SIGCONT)
    own.go_on()
    screen.wait(screen.is_good)


def followed_by_another_model(screen: Screen, caproto: Client, served: ServedProject) -> None:
    """Limits that an operator changed are those of a promotion, and no number is shown as that of another version."""
    screen.shows("all is well")
    before = screen.shown().value
    caproto.watch(OWN, f"{PREFIX}:VERSION", f"{PREFIX}:HEARTBEAT")
    served.change_the_model()
    served.promote_again()
    screen.wait(lambda: screen.version() == 3 and screen.is_good())
    assert screen.aioca.get(PV)["limits"]["high"] == 0.5, "the contract's"
    assert not (served.state / "limits.json").exists()
    screen.wait(lambda: len(numbers_of_versions(caproto.heard()).get(3, ())) > SOME)
    numbers = numbers_of_versions(caproto.heard())
    assert set(numbers) == {1, 3}
    assert numbers[1] == pytest.approx([before] * len(numbers[1]), rel=1e-3)
    assert numbers[3] == pytest.approx([before / 2] * len(numbers[3]), rel=1e-3)


def numbers_of_versions(heard: list[tuple[str, Any]]) -> dict[int, list[float]]:
    """What is there of the own monitor when `VERSION` changes, and at the end of each update, which is `HEARTBEAT`."""
    seen, numbers = dict[str, Any](), dict[int, list[float]]()
    for name, value in heard:
        seen[name] = value
        if len(seen) == 3 and name != OWN:
            numbers.setdefault(seen[f"{PREFIX}:VERSION"], []).append(seen[OWN])
    return numbers


def troubled(screen: Screen, own: OneMonitor) -> None:
    """Of the version that shows nothing where there is no answer."""
    screen.shows("all is well")
    for situation, sample in TROUBLES:
        own.say(**sample)
        screen.shows(situation)
        screen.wait(screen.is_good)  # the other plane of the same monitor
    own.say()
    screen.shows("all is well")
    own.go()
    screen.shows("disconnected")
    own.come_as("open")
    screen.shows("type")


@contextmanager
def ended_with_another_limit(
    served: ServedProject, epics: Network, place: Place, access: Path, screen: Screen
) -> Iterator[None]:
    """A service ran before, in the same state folder, without a checkout, and an operator changed a limit of it."""
    with served.service(epics, place, "--access", str(access), checkout=False):
        screen.wait(lambda: screen.aioca.get(PV)["limits"]["high"] == 0.5)
        screen.wait(screen.is_good)
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
