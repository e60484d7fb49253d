"""PVs of real IOCs become samples; what other clients read says whether they are right."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest

from beampermit.errors import BadInput, Outside
from beampermit.live.epics import subscriptions
from beampermit.live.epics.channel_access import ChannelAccess
from beampermit.live.epics.feed import Feed
from beampermit.live.epics.inputs import EpicsInputs
from beampermit.live.epics.living import living
from beampermit.live.latest import Fault
from beampermit.live.severity import Severity, Status
from support.epics import Ioc, Network, client, pva_server, soft_ioc, until
from support.read_inputs import Inputs, reading
from support.served import NOW, SIGNALS, Serve
from support.truth import Situation

RECORDS: dict[str, Any] = {
    "FLOAT": 1.5,
    "INTEGER": -7,
    "LONG": {"record": "int64in", "value": 2**52 + 1},
    "SWITCH": True,
    "MODE": {"record": "mbbi", "states": ["off", "low", "on"], "value": 2, "fields": {"DISP": "0"}},
    "RENUMBERED": {"record": "mbbi", "states": ["on", "off", "low"], "value": 0},
    "STRANGE": {"record": "mbbi", "states": ["off", "stuck"], "value": 1},
    "TEXT": "stable beams",
    "WORD": "low",
    "LONG_TEXT": {"record": "lsi", "value": "x" * 60},
    "NEVER": {"record": "ai", "value": None},
    "TURNS": [1.0, 2.0, 3.0],
    "RAW": {"record": "waveform", "type": "int16", "length": 3, "value": [-1, 2, 3]},
    "PART": {"record": "waveform", "type": "float32", "length": 10, "value": [0.5, 1.5, 2.5]},
    "SHORT": [1.0, 2.0],
    "EMPTY": {"record": "waveform", "type": "float64", "length": 3, "value": []},
    "ONE": {"record": "waveform", "type": "float64", "length": 1, "value": [4.0]},
    "ALARM": 0.0,
    "NAN": math.nan,
    "STEADY": 5.0,
}
STRUCTURES: dict[str, Any] = {
    "TABLE": {"nt": "table", "types": {"name": "s", "x": "d"}, "value": {"name": ["a", "b"], "x": [1.0, 2.0]}},
    "IMAGE": {"nt": "image", "type": "uint16", "shape": [2, 3], "value": [1, 2, 3, 4, 5, 6]},
    "UNSIGNED": {"nt": "L", "value": 2**63},
}
SHAPES = dict.fromkeys(("TURNS", "RAW", "PART", "SHORT", "EMPTY"), (3,))
BOTH = ("pva://", "ca://")


class Machine(NamedTuple):
    ioc: Ioc
    server: Ioc
    inputs: Inputs


@pytest.fixture(scope="module")
def machine(epics: Network) -> Iterator[Machine]:
    """All records over PVA and over CA, and the structures, connected."""
    stamped = {name: {**spec, "timestamp": NOW} for name, spec in STRUCTURES.items()}
    pvs = {f"{protocol}{name}": SHAPES.get(name, ()) for protocol in BOTH for name in RECORDS}
    pvs |= {"TABLE#x": (2,), "TABLE": (), "IMAGE": (2, 3), "UNSIGNED": ()}
    with soft_ioc(epics, RECORDS) as ioc, pva_server(epics, stamped) as server, reading(pvs) as inputs:
        inputs.wait()
        yield Machine(ioc, server, inputs)


NUMBERS = ("FLOAT", "INTEGER", "LONG", "TURNS", "RAW", "PART", "ONE")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "protocol"), [("pvapy", "pva://"), ("caproto", "ca://")])
def test_values_and_times_are_those_that_other_clients_read(
    epics: Network, machine: Machine, kind: str, protocol: str
) -> None:
    with client(epics, kind) as judge:
        for name in NUMBERS:
            read, ours = judge.get(name), machine.inputs[f"{protocol}{name}"]
            assert np.array_equal(np.reshape(read["value"], SHAPES.get(name, ())), ours.value), name
            assert (read["severity"], Fault.NONE) == (ours.severity, ours.fault)
            assert ours.at == pytest.approx(read["timestamp"], abs=2e-6)


@pytest.mark.parametrize("protocol", BOTH)
def test_enums_and_switches_are_their_number(machine: Machine, protocol: str) -> None:
    assert machine.inputs[f"{protocol}MODE"].value == 2
    assert machine.inputs[f"{protocol}SWITCH"].value == 1


@pytest.mark.slow
def test_words_are_numbered_by_the_contract_whatever_the_number_in_the_ioc(epics: Network, machine: Machine) -> None:
    names = ("MODE", "RENUMBERED", "WORD", "STRANGE", "TEXT", "SWITCH", "FLOAT", "ONE")
    words = ("off", "low", "on")
    with reading({f"{protocol}{name}": () for protocol in BOTH for name in names}, words=words) as inputs:
        inputs.wait()
        for protocol in BOTH:
            read = {name: inputs[f"{protocol}{name}"] for name in names}
            assert {name: read[name].value for name in names[:3]} == {"MODE": 2, "RENUMBERED": 2, "WORD": 1}
            assert {read[name].fault for name in names[:3]} == {Fault.NONE}
            assert read["MODE"].at == machine.inputs["ca://MODE"].at
            for name, word in (("STRANGE", "stuck"), ("TEXT", "stable beams"), ("SWITCH", "On")):
                assert read[name].fault == Fault.UNKNOWN_WORD
                assert read[name].message == f"the word {word!r}, which is none of off, low, on"
            assert read["FLOAT"][3:5] == (Fault.WRONG_TYPE, "float instead of one of the words off, low, on")
            assert read["ONE"].fault == Fault.WRONG_TYPE
        machine.ioc.set("MODE", 1)  # only the number is sent
        until(lambda: {inputs[f"{protocol}MODE"].value for protocol in BOTH} == {1.0})
        machine.ioc.set("MODE", 2)
        with client(epics, "aioca") as operator:  # the label of state 2 is given to another one, while all are read
            operator.put("MODE.TWST", "off")
        machine.ioc.set("MODE", 2, severity=1, alarm=7, timestamp=NOW + 1)
        until(lambda: {inputs[f"{protocol}MODE"].severity for protocol in BOTH} == {Severity.MINOR})
        assert {inputs[f"{protocol}MODE"].value for protocol in BOTH} == {0.0}
        machine.ioc.set("MODE", 2)


@pytest.mark.parametrize("protocol", BOTH)
def test_what_is_no_number_of_the_shape_is_a_fault_with_both_sizes(machine: Machine, protocol: str) -> None:
    inputs = machine.inputs
    assert inputs[f"{protocol}TEXT"][3:5] == (Fault.WRONG_TYPE, "text 'stable beams' instead of a number")
    assert inputs[f"{protocol}SHORT"][3:5] == (Fault.WRONG_SHAPE, "2 values instead of 3 values")
    assert inputs[f"{protocol}EMPTY"][3:5] == (Fault.WRONG_SHAPE, "0 values instead of 3 values")
    assert inputs[f"{protocol}LONG_TEXT"].fault in (Fault.WRONG_TYPE, Fault.WRONG_SHAPE)  # of CA it is 61 numbers


@pytest.mark.parametrize("protocol", BOTH)
def test_a_record_that_was_never_processed_is_invalid(machine: Machine, protocol: str) -> None:
    never = machine.inputs[f"{protocol}NEVER"]
    assert (never.severity, never.fault, math.isnan(never.at)) == (Severity.INVALID, Fault.NONE, True)
    assert never.message == "UDF, it was never processed, or its source sets no time"


@pytest.mark.parametrize("protocol", BOTH)
def test_severity_word_and_time_of_the_source_are_kept(machine: Machine, protocol: str) -> None:
    pv = f"{protocol}ALARM"
    for value, severity, alarm, word in (
        (5.0, 2, 3, "HIHI"),
        (6.0, 2, 3, "HIHI"),
        (7.0, 3, 14, "LINK"),
        (8.0, 0, 0, ""),
    ):
        machine.ioc.set("ALARM", value, severity=severity, alarm=alarm, timestamp=NOW + value + 0.125)
        until(lambda value=value: machine.inputs[pv].value == value)
        assert machine.inputs[pv][:5] == (value, NOW + value + 0.125, severity, Fault.NONE, word)


@pytest.mark.parametrize("protocol", BOTH)
def test_nan_arrives_as_it_is(machine: Machine, protocol: str) -> None:
    assert math.isnan(machine.inputs[f"{protocol}NAN"].value)
    assert machine.inputs[f"{protocol}NAN"].fault == Fault.NONE


def test_structures_of_pva_arrive(machine: Machine) -> None:
    assert machine.inputs["TABLE#x"].value == [1.0, 2.0]
    assert machine.inputs["TABLE"].message == "a table instead of numbers: write NAME#COLUMN for one of name, x"
    assert machine.inputs["IMAGE"].value == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert machine.inputs["UNSIGNED"].value == 2.0**63
    machine.server.set("IMAGE", [6, 5, 4, 3, 2, 1], severity=1, message="dark", timestamp=NOW)
    until(lambda: machine.inputs["IMAGE"].severity == Severity.MINOR)
    assert machine.inputs["IMAGE"][:5] == ([[6.0, 5.0, 4.0], [3.0, 2.0, 1.0]], NOW, 1, Fault.NONE, "dark")


@pytest.mark.slow
def test_the_newest_of_many_updates_is_there_in_the_end(machine: Machine) -> None:
    for step in range(300):
        machine.ioc.set("FLOAT", 100.0 + step)
    until(lambda: {machine.inputs[f"{protocol}FLOAT"].value for protocol in BOTH} == {399.0})


def test_a_record_that_keeps_its_value_does_not_grow_stale(machine: Machine) -> None:
    with reading({f"{protocol}STEADY": () for protocol in BOTH}, stale_after="1s") as inputs:
        inputs.wait()
        for later in (1.0, 2.0):  # the record sends nothing: its value is the same
            machine.ioc.set("STEADY", 5.0, timestamp=NOW + later)
            until(lambda later=later: {inputs[f"{protocol}STEADY"].at for protocol in BOTH} == {NOW + later})


def test_a_name_without_a_protocol_is_read_once_over_pva_where_both_answer(machine: Machine) -> None:
    with reading({"MODE": (), "TABLE#x": (2,)}) as inputs:
        inputs.wait()
        machine.ioc.set("MODE", 1, severity=1, alarm=7)
        until(lambda: inputs["MODE"].value == 1)
        assert (inputs["MODE"].message, inputs["MODE"].count) == ("STATE", 2)
        machine.ioc.set("MODE", 2)
        until(lambda: inputs["MODE"].value == 2)
        assert inputs["MODE"].count == 3


def test_a_name_without_a_protocol_is_read_over_ca_where_pva_is_silent(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPICS_PVA_ADDR_LIST", "127.0.0.1:1")
    with reading({"INTEGER": (), "NOBODY": ()}) as inputs:
        until(lambda: inputs["INTEGER"].value == -7)
        assert inputs["NOBODY"][3:] == (Fault.NEVER, "", 0)


def test_two_versions_read_at_the_same_time_and_leave_no_thread(machine: Machine) -> None:
    before = ours()
    with reading({"ca://INTEGER": ()}) as one:
        with reading({"pva://INTEGER": (), "ca://INTEGER": ()}) as other:
            other.wait()
        one.wait()
        machine.ioc.set("INTEGER", 8)
        until(lambda: one["ca://INTEGER"].value == 8)
    machine.ioc.set("INTEGER", -7)
    assert ours() == before


def ours() -> int:
    """Threads of sources; the module's own is always there."""
    return [thread.name for thread in threading.enumerate()].count("inputs")


def test_a_faulty_name_is_refused_at_the_start() -> None:
    with pytest.raises(BadInput, match="has protocol tango"):
        Inputs({"tango://a": ()})


@pytest.mark.slow
def test_who_is_served_already_is_known_over_both_protocols(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert living(["UNSIGNED", "FLOAT"], timeout=20) == ["UNSIGNED", "FLOAT"]
    monkeypatch.setenv("EPICS_PVA_ADDR_LIST", "127.0.0.1:1")
    assert living(["TEXT"], timeout=20) == ["TEXT"]
    assert living([]) == []


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["pva", "ca"])
def test_the_last_of_thousands_of_names_is_asked_for_as_the_first_is(
    machine: Machine, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"pva": "CA", "ca": "PVA"}[protocol]
    monkeypatch.setenv(f"EPICS_{other}_ADDR_LIST", "127.0.0.1:1")
    assert living([*(f"NOBODY:{number}" for number in range(1999)), "FLOAT"], timeout=8) == ["FLOAT"]


@pytest.mark.slow
def test_the_time_to_answer_begins_when_all_were_asked_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = ChannelAccess.ask

    def slowly(client: ChannelAccess, feed: Feed) -> None:
        time.sleep(0.0 if feed in client._channels else 6.0)
        ask(client, feed)

    monkeypatch.setattr(ChannelAccess, "ask", slowly)
    monkeypatch.setenv("EPICS_PVA_ADDR_LIST", "127.0.0.1:1")
    assert living(["ALARM"], timeout=5) == ["ALARM"]


def test_that_nobody_can_be_asked_is_an_error_and_not_the_answer_that_nobody_is_there(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no sockets left")

    monkeypatch.setattr(subscriptions, "PvAccess", fail)
    monkeypatch.setattr("beampermit.live.epics.living.PATIENCE", 0.1)
    with pytest.raises(Outside, match=r"could not be asked within 0\.1 s"):
        living(["FLOAT"])


@pytest.fixture(params=BOTH)
def over(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The protocol of the inputs, which gives a silent server up after seconds."""
    for name in ("EPICS_PVA_CONN_TMO", "EPICS_CA_CONN_TMO"):
        monkeypatch.setenv(name, "2")
    return request.param


def signals_over(protocol: str) -> dict[str, Any]:
    inputs = [{**one, "pv": f"{protocol}{one['pv']}"} if "pv" in one else one for one in SIGNALS["inputs"]]
    return {**SIGNALS, "inputs": inputs}


DEVICES = ("B1", "B2", "B3")
SOUND: dict[str, Any] = {**{f"{device}:TBT": [1.0, 2.0, 3.0] for device in DEVICES}, "RING:CURRENT": 300.0}


def changed() -> dict[str, Any]:
    """Other values than those at the start: a record sends only what changes."""
    return {name: [*value[:2], 4.0] if isinstance(value, list) else 301 for name, value in SOUND.items()}


@contextmanager
def served_from(epics: Network, serve: Serve, pvs: Mapping[str, Any] = SOUND, **sections: Any) -> Iterator[Any]:
    """The service of `serve`, with an IOC, whose time stands, at its inputs."""
    served, source = serve(**sections), EpicsInputs()
    with soft_ioc(epics, pvs) as ioc:
        source.start(served.loop.latest, served.loop.wiring, served.loop.trigger)
        try:
            until(lambda: bool(np.all(served.loop.latest.read().count)))
            ioc.set_all(changed(), timestamp=NOW)
            until(lambda: bool(np.all(served.loop.latest.read().time == NOW)))
            yield served, ioc
        finally:
            source.close()


@pytest.mark.slow
@pytest.mark.truth("half-open")
def test_a_connection_to_a_stopped_ioc_is_stale_then_disconnected_then_sound(
    epics: Network, serve: Serve, over: str, truth: Situation
) -> None:
    with served_from(epics, serve, signals=signals_over(over)) as (served, ioc):
        served.cycle()
        assert served.says("B1:FAULT") == (Severity.NO_ALARM, Status.NO_ALARM, "")
        ioc.pause()
        served.cycle(after=5)
        assert served.says("B1:FAULT")[0] == Severity.NO_ALARM
        served.cycle(after=0.1)
        assert truth.holds(served.shown("B1:FAULT"))
        _until_says(served, (Severity.INVALID, Status.LINK, f"{over}B1:TBT is disconnected"))
        ioc.go_on()
        until(lambda: not np.any(served.loop.latest.read().fault))
        ioc.set_all(changed(), timestamp=served.at)
        _until_says(served, (Severity.NO_ALARM, Status.NO_ALARM, ""))


@pytest.mark.slow
def test_an_ioc_that_starts_again_is_read_again_whatever_its_types_are(epics: Network, serve: Serve, over: str) -> None:
    with served_from(epics, serve, signals=signals_over(over)) as (served, ioc):
        served.cycle()
        ioc.kill()
        _until_says(served, (Severity.INVALID, Status.LINK, f"{over}B1:TBT is disconnected"))
        ioc.start({**SOUND, "B1:TBT": "text", "RING:CURRENT": 200})
        _until_says(served, (Severity.INVALID, Status.READ, f"{over}B1:TBT has text 'text' instead of a number"))
        until(lambda: np.count_nonzero(served.loop.latest.read().fault) == 1)
        ioc.set_all({**changed(), "B1:TBT": "text"}, timestamp=served.at)
        _until_says(served, (Severity.NO_ALARM, Status.NO_ALARM, ""), of="B2:FAULT")


@pytest.mark.slow
@pytest.mark.truth("no snapshot")
def test_rows_are_made_as_the_snapshot_changes_and_none_are_true_without_it(
    epics: Network, serve: Serve, truth: Situation
) -> None:
    pvs = {**SOUND, "SHOT": 1}
    with served_from(epics, serve, pvs, serving={"snapshot": "SHOT", "within": 0.5}) as (served, ioc):
        trigger = served.loop.trigger
        until(lambda: not trigger.lost)
        until(lambda: not trigger.wait())  # what was set at the start is done
        ioc.set("B1:TBT", [2.0, 2.0, 2.0], timestamp=NOW)
        assert not trigger.wait()
        ioc.set("SHOT", 2, timestamp=NOW)
        until(trigger.wait)
        served.cycle()
        assert served.says("B1:FAULT")[0] == Severity.NO_ALARM
        ioc.set("SHOT", 3, timestamp=NOW + 1)  # before the inputs of this shot
        until(trigger.wait)
        served.cycle()
        assert served.says("B1:FAULT")[2].endswith(" is more than 0.5 s older than SHOT")
        ioc.set_all(SOUND, timestamp=NOW + 1)
        _until_says(served, (Severity.NO_ALARM, Status.NO_ALARM, ""))
        ioc.kill()
        _until_says(served, (Severity.INVALID, Status.LINK, "SHOT is disconnected"))
        assert truth.holds(served.shown("B1:FAULT"))
        ioc.start(pvs)
        until(lambda: not trigger.lost)
        assert not trigger.wait()  # the first value after a connection is no shot


@pytest.mark.slow
def test_a_waveform_is_a_snapshot_however_many_values_it_has(epics: Network, serve: Serve, over: str) -> None:
    with served_from(epics, serve, {**SOUND, "SHOT": [1.0, 2.0]}, serving={"snapshot": f"{over}SHOT"}) as (served, ioc):
        trigger = served.loop.trigger
        until(lambda: not trigger.lost)
        until(lambda: not trigger.wait())  # what was set at the start is done
        for values in ([3.0], [4.0], [5.0, 6.0], [7.0]):
            ioc.set("SHOT", values, timestamp=NOW)
            until(trigger.wait)
            assert not trigger.lost


PAUSE = 0.5
"""s between rows."""
PLACES = {"B1:TBT": 0, "RING:CURRENT": len(DEVICES)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("serving", "pause"),
    [
        pytest.param({"event": "current"}, 0.0, id="event"),
        pytest.param({"period": PAUSE}, PAUSE, id="period"),
        pytest.param({"at_most": PAUSE}, PAUSE, id="at_most"),
    ],
)
def test_rows_of_pvs_are_made_as_the_contract_says(
    epics: Network, serve: Serve, serving: dict[str, Any], pause: float
) -> None:
    with served_from(epics, serve, serving=serving) as (served, ioc):
        trigger, due = served.loop.trigger, list[float]()

        def post(pv: str, value: Any) -> None:
            ioc.set(pv, value, timestamp=NOW)
            until(lambda: served.loop.latest.read().highest[PLACES[pv]] == np.max(value))

        def look() -> bool:
            if made := trigger.wait():
                due.append(trigger.since)
            return made

        until(lambda: not trigger.wait())  # what was set at the start is done
        for step in range(1, 4):
            post("B1:TBT", [10.0 + step] * 3)
            assert not look() or pause, "it is not the event"
            post("RING:CURRENT", 310.0 + step)
            if pause:
                look()
            else:
                until(look)
        post("RING:CURRENT", 320.0)
        until(look)
        assert np.diff(due).min() > pause - 1e-6, "however often the PVs change"
        served.cycle()
        assert served.shown("B1:FAULT").value == 26.0
        assert set(served.model.asked[-1]["current"]) == {320.0}
        if serving.get("period"):
            until(look)  # though nothing changes


def _until_says(served: Any, words: tuple[Severity, Status, str], of: str = "B1:FAULT") -> None:
    def holds() -> bool:
        served.cycle()
        return served.says(of) == words

    until(holds)
