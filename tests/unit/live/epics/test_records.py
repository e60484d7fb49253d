"""The service's records in a process of their own, judged by three clients that it does not use itself."""

from __future__ import annotations

import getpass
import json
import math
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from beampermit.contract import parse_contract
from beampermit.deployment.archiver import archiver_list, archiver_statements
from beampermit.deployment.deployment import Deployment
from beampermit.deployment.screen import FIELDS, screen, screen_statements
from beampermit.deployment.statements import PV
from beampermit.documents.alarm_tree import Tree
from beampermit.files import write_json
from beampermit.live.epics.slots import EPOCH, LATEST
from beampermit.live.status_pvs import STATUS_PVS
from beampermit.live.wiring import wire
from support.epics import Client, Network, client, until
from support.served import NOW, Serve
from support.served_records import (
    ORBIT,
    PROMOTION,
    SCORE,
    UNTOUCHED,
    Records,
    aioca,
    alarm,
    caproto,
    contract_of,
    pvapy,
    served,
    start,
)

if TYPE_CHECKING:
    from p4p.client.thread import Context

__all__ = ["aioca", "caproto", "pvapy", "served", "start"]
UNDEFINED, INVALID, MAJOR, MINOR = 17, 3, 2, 1
LINK, CALC, HIHI = 14, 12, 3
OTHERS = """\
UAG(operators) {mallory}
HAG(consoles)  {127.0.0.1}
ASG(LIMITS)  { RULE(1, READ) RULE(0, WRITE, TRAPWRITE) { HAG(consoles) } }
ASG(RESTART) { RULE(1, READ) RULE(0, WRITE, TRAPWRITE) { UAG(operators) } }
"""


@pytest.fixture(scope="module")
def pva(epics: Network) -> Iterator[Context]:
    """What the other clients cannot do: monitors, and puts with a request."""
    from p4p.client.thread import Context

    with Context("pva") as made:
        yield made


def test_every_pv_of_screen_and_archiver_is_served(served: Records, start: dict[str, Any], aioca: Client) -> None:
    contract = parse_contract(start["text"])
    deployment = Deployment(contract, wire(contract, Path(start["root"])), Tree(contract, (), ()), ())
    said = [*screen_statements(screen(deployment), ""), *archiver_statements(archiver_list(deployment), "")]
    names = {one.subject.removeprefix(PV) for one in said if one.subject.startswith(PV)}
    assert {SCORE, ORBIT, "FAULTS:REASON.VAL$", "FAULTS:RESTART"} <= names
    for name in sorted(names | {f"{SCORE}.{field}" for field in FIELDS}):
        aioca.get(name)  # fails where nobody serves it


def test_limits_of_a_record_agree_with_the_service(served: Records, aioca: Client, pvapy: Client) -> None:
    served.show(UNTOUCHED, 90.0, severity="MAJOR", status="HIHI", time=NOW + 3)
    assert alarm(aioca.get(UNTOUCHED)) == (MAJOR, HIHI)
    assert pvapy.get(UNTOUCHED)["message"] == "HIHI"


def test_status_pvs_say_how_the_service_is(served: Records, aioca: Client, pvapy: Client) -> None:
    reason = "B1:TBT is disconnected, " * 20
    served.publish(reason=reason, version=7, cycles=12, latency_p99=math.nan, dropped=2**40)
    assert pvapy.get("FAULTS:REASON")["value"] == reason
    assert aioca.get("FAULTS:REASON.VAL$")["value"] == reason
    assert aioca.get("FAULTS:REASON")["value"] == reason[:39]
    assert pvapy.get("FAULTS:DROPPED")["value"] == 2**40
    assert [pvapy.get(f"FAULTS:{name}")["value"] for name in ("VERSION", "STATUS")] == [7, "SERVING"]
    assert alarm(aioca.get("FAULTS:VERSION")) == alarm(aioca.get("FAULTS:REASON")) == (0, 0)
    assert alarm(aioca.get("FAULTS:LATENCY_P99")) == alarm(aioca.get("FAULTS:DRIFT")) == (INVALID, UNDEFINED)
    served.publish(version=0)
    assert alarm(aioca.get("FAULTS:VERSION")) == (INVALID, UNDEFINED)


def test_the_time_of_a_text_is_since_when_it_says_so(served: Records, aioca: Client) -> None:
    served.publish(status="DEGRADED", cycles=50)
    since = aioca.get("FAULTS:STATUS")["timestamp"]
    beat = aioca.get("FAULTS:HEARTBEAT")["timestamp"]
    served.publish(status="DEGRADED", cycles=51)
    assert aioca.get("FAULTS:STATUS")["timestamp"] == since
    assert aioca.get("FAULTS:HEARTBEAT")["timestamp"] > beat
    served.publish(status="SERVING", cycles=52)
    assert aioca.get("FAULTS:STATUS")["timestamp"] > since


def test_outputs_are_written_before_version_and_heartbeat(served: Records, aioca: Client) -> None:
    served.publish({SCORE: {"value": 1.0}, ORBIT: {"value": [1.0, 2.0, 3.0]}}, version=7, status="DEGRADED")
    names = (SCORE, ORBIT, "FAULTS:STATUS", "FAULTS:VERSION", "FAULTS:HEARTBEAT")
    times = [aioca.get(name)["timestamp"] for name in names]
    assert times == sorted(times)


@pytest.mark.parametrize("kind", ["aioca", "caproto", "pvapy"])
def test_clients_write_nothing_but_limits(served: Records, request: pytest.FixtureRequest, kind: str) -> None:
    one: Client = request.getfixturevalue(kind)
    served.show(SCORE, 12.5, time=NOW)
    before = len(served.puts())
    texts = {"aioca": "x", "caproto": ["x"], "pvapy": "x"}
    numbers = (SCORE, ORBIT, f"{SCORE}.PREC", f"{SCORE}.PROC", f"{SCORE}.HHSV", f"{SCORE}.DISP", "FAULTS:HEARTBEAT")
    for name, value in (
        *((name, [1] if kind == "caproto" else 1) for name in numbers),
        *((name, texts[kind]) for name in (f"{SCORE}.DESC", f"{SCORE}.EGU", f"{SCORE}.ASG", "FAULTS:REASON")),
    ):
        with pytest.raises(AssertionError, match=r"[Ww]rite access denied|Put not permitted"):
            one.put(name, value)
    assert one.get(SCORE)["value"] == 12.5
    assert len(served.puts()) == before


@pytest.mark.parametrize("kind", ["aioca", "caproto", "pvapy"])
def test_an_operator_changes_a_limit(
    served: Records, start: dict[str, Any], request: pytest.FixtureRequest, kind: str
) -> None:
    one: Client = request.getfixturevalue(kind)
    new = {"aioca": 80.0, "caproto": 81.0, "pvapy": 82.0}[kind]
    old, before = one.get(f"{SCORE}.HIHI")["value"], len(served.puts())
    one.put(f"{SCORE}.HIHI", new)
    until(lambda: len(served.puts()) > before)
    put = served.puts()[-1]
    assert put == {"put": "accepted", "user": getpass.getuser(), "host": "127.0.0.1", "pv": SCORE, "field": "HIHI",
                   "old": old, "new": new}  # fmt: skip
    assert served.ask(limits=SCORE) == {"high": 50.0, "hihi": new}
    kept = json.loads((Path(start["state"]) / "limits.json").read_text())
    assert (kept["promotion"], kept["limits"][SCORE]) == (PROMOTION, {"hihi": new})


def test_a_limit_that_the_contract_does_not_have_gets_its_severity(served: Records, aioca: Client) -> None:
    aioca.put("B2:FAULT.LOLO", -20.0)
    until(lambda: served.ask(limits="B2:FAULT") == {"lolo": -20.0, "high": 50.0, "hihi": 90.0})
    until(lambda: aioca.get("B2:FAULT.LLSV")["value"] == MAJOR)
    assert aioca.get("B2:FAULT")["limits"]["lolo"] == -20.0


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("HIGH", 95.0, "alarm limits must rise: LOLO, LOW, HIGH, HIHI"),
        ("HIHI", math.nan, "a limit is a number"),
    ],
)
def test_a_limit_that_cannot_be_is_put_back(
    served: Records, aioca: Client, field: str, value: float, reason: str
) -> None:
    limits, before = served.ask(limits="B3:FAULT"), len(served.puts())
    aioca.put(f"B3:FAULT.{field}", value)
    until(lambda: len(served.puts()) > before)
    put = served.puts()[-1]
    assert (put["put"], put["field"], put["reason"]) == ("refused", field, reason)
    assert served.ask(limits="B3:FAULT") == limits
    assert aioca.get(f"B3:FAULT.{field}")["value"] == limits[field.lower()]


def test_a_limit_that_is_put_with_processing_leaves_the_alarm(served: Records, pva: Context) -> None:
    held = {"severity": "MAJOR", "status": "LINK", "message": "held", "time": NOW}
    served.show("B3:FAULT", 1.0, **held)
    seen: dict[float, set[tuple[int, str]]] = {1.0: set(), 2.0: set()}
    before = len(served.puts())
    with closing(pva.monitor("B3:FAULT", lambda one: seen[float(one)].add((one.severity, one.raw.alarm.message)))):
        until(lambda: seen[1.0])
        pva.put("B3:FAULT.HIHI", 85.0, request="record[process=true]field(value)", timeout=20.0)
        until(lambda: len(served.puts()) > before)
        served.show("B3:FAULT", 2.0, **held)
        until(lambda: seen[2.0])
    assert seen == {1.0: {(MAJOR, "held")}, 2.0: {(MAJOR, "held")}}


def test_monitors_see_each_update_also_of_the_same_value(served: Records, pva: Context) -> None:
    times: list[float] = []
    with closing(pva.monitor(SCORE, lambda value: times.append(value.timestamp))):
        for second in range(3):
            served.show(SCORE, 12.5, time=NOW + second)
            until(lambda second=second: NOW + second in times)


def test_each_update_of_an_output_reaches_a_client_under_a_later_time(
    served: Records, serve: Serve, pva: Context
) -> None:
    """What an archiver asks for, or it drops the value that says that something is wrong."""
    looped, seen = serve(), list[tuple[int, str, int]]()

    def see(one: Any) -> None:
        stamp = one.raw.timeStamp
        seen.append((one.severity, one.raw.alarm.message, 10**9 * stamp.secondsPastEpoch + stamp.nanoseconds))

    def shown(after: float) -> None:
        value, before = looped.cycle(after=after).values["B3:FAULT"], len(seen)
        said = {"severity": value.severity.name, "status": value.status.name, "message": value.message}
        served.show("B3:FAULT", value.value, **said, time=value.time)
        until(lambda: len(seen) > before)

    looped.at = NOW + 60
    with closing(pva.monitor("B3:FAULT", see)):
        until(lambda: seen)
        before = seen.pop()
        looped.put()
        looped.current()
        shown(0.0)
        looped.disconnect("B3")
        shown(0.1)
        looped.put(age=0.1)
        shown(0.1)
        looped.put(age=-1200.0)
        shown(0.1)
    gone, future = "B3:TBT is disconnected", "B3:TBT has a time more than 10 s in ..."
    assert [each[:2] for each in seen] == [(0, ""), (INVALID, gone), (0, ""), (INVALID, future)]
    times = [each[2] for each in (before, *seen)]
    assert times == sorted(set(times))
    assert times[-1] == pytest.approx((NOW + 60.3) * 1e9, abs=1e3)


@pytest.mark.parametrize(
    ("at", "held"), [(0.0, EPOCH), (-math.inf, EPOCH), (LATEST + 0.5, LATEST), (2.0**33, LATEST), (math.inf, LATEST)]
)
def test_a_time_that_no_record_can_hold_is_the_nearest_that_it_can(
    served: Records, aioca: Client, at: float, held: float
) -> None:
    served.show(UNTOUCHED, 12.5, time=at)
    assert aioca.get(UNTOUCHED)["timestamp"] == held


@pytest.mark.attack(
    guard="serve",
    tried="moves an alarm limit to where no value is shown, so that there is never an alarm",
    said="100.5 is outside the output's range [-100, 100], where it is never shown",
)
def test_an_operator_cannot_silence_an_alarm(served: Records, aioca: Client, said: str) -> None:
    before = len(served.puts())
    aioca.put("B2:FAULT.HIHI", 100.5)
    until(lambda: len(served.puts()) > before)
    assert served.puts()[-1]["reason"] == said
    assert aioca.get("B2:FAULT")["limits"]["hihi"] == 90.0


@pytest.mark.attack(
    guard="serve",
    tried="moves an alarm limit through a channel with a filter, under whose name nobody looks for it",
    said="alarm limits must rise: LOLO, LOW, HIGH, HIHI",
)
def test_a_filter_hides_no_put(served: Records, aioca: Client, said: str) -> None:
    before = len(served.puts())
    aioca.put('B2:FAULT.HIHI{"ts":{}}', 40.0)
    until(lambda: len(served.puts()) > before)
    put = served.puts()[-1]
    assert (put["pv"], put["field"], put["new"], put["reason"]) == ("B2:FAULT", "HIHI", 40.0, said)
    assert aioca.get("B2:FAULT")["limits"]["hihi"] == 90.0


@pytest.mark.slow
@pytest.mark.attack(
    guard="serve",
    tried="writes an alarm limit from an account that the access security file does not name",
    said="Write access denied",
)
def test_who_is_not_in_the_access_file_writes_no_limit(served: Records, epics: Network, said: str) -> None:
    stranger = {**epics.client(), **dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME"), "mallory")}
    one = Client("caproto", {}, stranger)
    with pytest.raises(AssertionError, match=said):
        one.put(f"{SCORE}.HIHI", 70.0)
    one.kill()


@pytest.mark.slow
def test_a_file_that_epics_cannot_read_starts_nothing(start: dict[str, Any], epics: Network, tmp_path: Path) -> None:
    file = tmp_path / "bad.acf"
    file.write_text("ASG(LIMITS) {\n    RULE(0, WRITE, TRAPWRITE) { UAG(unknown) }\n}\n")
    with epics.place() as place, pytest.raises(AssertionError) as caught:
        Records("records", {**start, "access": str(file)}, epics.server(place))
    assert "at line 2" in str(caught.value)
    assert f"{file}: EPICS cannot read this access security file" in str(caught.value)


def test_restart_calls_back(served: Records, aioca: Client) -> None:
    before = served.restarts
    aioca.put("FAULTS:RESTART", 2)
    aioca.put("FAULTS:RESTART", 1)
    until(lambda: served.restarts == before + 1)
    until(lambda: [put["put"] for put in served.puts()[-2:]] == ["refused", "accepted"])
    assert aioca.get("FAULTS:RESTART")["value"] == 0


@pytest.mark.slow
def test_puts_in_quick_succession_are_each_judged_by_what_they_wrote(served: Records, pva: Context) -> None:
    """What is set back after one of them is not taken for what the next one wrote."""
    restarts, puts = served.restarts, len(served.puts())
    written = [(field, value) for value in range(50, 100) for field, value in (("HIHI", value), ("HIGH", value - 20))]
    for field, value in written:
        pva.put(f"{SCORE}.{field}", value)
        pva.put("FAULTS:RESTART", 2)
        pva.put("FAULTS:RESTART", 1)
    until(lambda: len(served.puts()) == puts + 3 * len(written))
    heard = [(put["field"], put["new"]) for put in served.puts()[puts:]]
    assert heard == [each for one in written for each in (one, ("VAL", 2), ("VAL", 1))]
    assert served.restarts == restarts + len(written)


@pytest.mark.slow
def test_other_pvs_are_other_records(served: Records, contract_text: str) -> None:
    for same, change in (
        (True, {"high": 40, "unit": "mm"}),
        (False, {"pv": "{device}:SCORE"}),
        (False, {"shape": [4]}),
    ):
        changed = contract_of(contract_text, **change)
        assert served.ask(same={"text": changed}) is same, change


@pytest.mark.slow
def test_a_restart_keeps_changed_limits_and_another_promotion_ends_them(
    start: dict[str, Any], epics: Network, contract_text: str, tmp_path: Path
) -> None:
    from p4p.client.thread import Context, RemoteError

    (tmp_path / "devices.csv").write_text("device\nC1\n")
    (tmp_path / "elsewhere.acf").write_text(OTHERS)
    (tmp_path / "limits.json").write_text(json.dumps({"promotion": PROMOTION, "limits": {"C1:FAULT": {"hihi": 77}}}))
    text = contract_of(contract_text, "OTHERS")
    own_start = {**start, "text": text, "root": str(tmp_path), "state": str(tmp_path), "access": None}
    with epics.place() as place:
        own = Records("records", own_start, epics.server(place))
        assert own.ask(limits="C1:FAULT")["hihi"] == 77.0
        with client(epics, "aioca") as fresh:
            all_is_undefined(fresh)
            assert fresh.get("C1:FAULT")["limits"]["hihi"] == 77.0
            with pytest.raises(AssertionError, match="Write access denied"):  # without a file, nobody changes limits
                fresh.put("C1:FAULT.HIHI", 80.0)
            another_promotion(own, fresh, contract_text)
        own.again({**own_start, "access": str(tmp_path / "elsewhere.acf")})
        assert own.ask(limits="C1:FAULT") == {"high": 50.0, "hihi": 90.0}
        with Context("pva") as fresh:  # PVA obeys accounts and hosts as CA does
            with pytest.raises(RemoteError, match="Put not permitted"):
                fresh.put("OTHERS:RESTART", 1, timeout=20.0)
            fresh.put("C1:FAULT.HIHI", 80.0, timeout=20.0)
            until(lambda: own.ask(limits="C1:FAULT") == {"high": 50.0, "hihi": 80.0})
            own.ask(begin={"promotion": "sha256:3"})
            assert own.ask(limits="C1:FAULT") == {"high": 50.0, "hihi": 90.0}
            assert fresh.get("C1:FAULT.HIHI", timeout=20.0) == 90.0
        assert own.left(3) == 3


@pytest.mark.slow
def test_a_switch_shows_no_number_with_the_alarm_of_the_other_version(
    served: Records, start: dict[str, Any], contract_text: str, pva: Context
) -> None:
    other = contract_of(contract_text, unit="mm", high=1, hihi=5)
    served.show(UNTOUCHED, 12.5, time=NOW + 20)
    seen: list[tuple[float, int, str, float]] = []

    def see(one: Any) -> None:
        seen.append((float(one), one.severity, one.raw.alarm.message, one.timestamp))

    try:
        with closing(pva.monitor(UNTOUCHED, see)):
            until(lambda: seen)
            served.ask(begin={"text": other, "promotion": "sha256:4"})
            served.show(UNTOUCHED, 3.0, severity="MINOR", status="HIGH", message="HIGH", time=NOW + 21)
            until(lambda: seen[-1][0] == 3.0)
    finally:
        served.ask(begin={"promotion": PROMOTION})
        served.show(UNTOUCHED, 12.5, time=NOW + 22)
    assert set(seen) == {(12.5, 0, "", NOW + 20), (3.0, MINOR, "HIGH", NOW + 21)}


@pytest.mark.slow
def test_what_the_monitor_says_is_shown_with_its_severity(
    served: Records, aioca: Client, start: dict[str, Any]
) -> None:
    folder, at = Path(f"{start['state']}-monitor"), time.time()
    served.publish()
    assert alarm(aioca.get("FAULTS:DRIFT")) == alarm(aioca.get("FAULTS:MON001")) == (INVALID, UNDEFINED)
    reading = {"check": "MON001", "subject": "turns.std", "value": 1.5, "limit": 0.5}
    said = {"reading": reading, "level": "MAJOR", "since": at}
    window = {"since": at - 3600, "until": at, "rows": 60, "version": 3}
    write_json(
        folder / "result.json",
        {"model": "bpm-faults", "at": at, "window": window, "standings": [said], "drift": 3.0},
    )
    served.publish()
    for name in ("DRIFT", "MON001"):
        read = aioca.get(f"FAULTS:{name}")
        assert (read["value"], *alarm(read)) == (3.0, MAJOR, HIHI), name
    age = aioca.get("FAULTS:MONITOR")
    assert (0 <= age["value"] < 60, *alarm(age)) == (True, MAJOR, HIHI)
    assert alarm(aioca.get("FAULTS:MON007")) == (INVALID, UNDEFINED)
    served.publish(version=4)  # of which it says nothing
    assert alarm(aioca.get("FAULTS:DRIFT")) == (INVALID, UNDEFINED)


def all_is_undefined(aioca: Client) -> None:
    of_score, of_orbit = aioca.get("C1:FAULT"), aioca.get("C1:ORBIT")
    assert math.isnan(of_score["value"])
    assert len(of_orbit["value"]) == 3
    assert all(math.isnan(number) for number in of_orbit["value"])
    assert alarm(of_score) == alarm(of_orbit) == (INVALID, UNDEFINED)
    for status in STATUS_PVS:
        if status.name != "RESTART":
            assert alarm(aioca.get(f"OTHERS:{status.name}")) == (INVALID, UNDEFINED), status.name


def another_promotion(served: Records, aioca: Client, contract_text: str) -> None:
    served.show("C1:FAULT", 60.0, time=NOW + 9)
    assert alarm(aioca.get("C1:FAULT")) == (MINOR, 4)
    other = contract_of(
        contract_text, "OTHERS", unit="mm", description="°C " + "x" * 35, high=65, hihi=95, resolution=0.5
    )
    served.ask(begin={"text": other, "promotion": "sha256:2"})
    read = aioca.get("C1:FAULT")
    assert (read["unit"], read["precision"]) == ("mm", 1)
    assert (read["limits"]["high"], read["limits"]["hihi"]) == (65.0, 95.0)
    assert aioca.get("C1:FAULT.DESC$")["value"] == "degC " + "x" * 35
    assert (read["value"], read["timestamp"], *alarm(read)) == (60.0, NOW + 9, MINOR, 4)  # until it has its own value
    served.show("C1:FAULT", 60.0, time=NOW + 10)
    assert alarm(aioca.get("C1:FAULT")) == (0, 0)
