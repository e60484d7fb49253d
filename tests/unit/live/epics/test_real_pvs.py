"""PVs with the names and values of real machines, through a soft IOC and back."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import numpy as np
import pytest

from beampermit.live.epics.inputs import EpicsInputs
from beampermit.live.latest import Fault
from support.epics import Network, client, pva_server, soft_ioc, until
from support.paths import LCLS, LHC
from support.read_inputs import reading
from support.served import NOW, SIGNALS, Serve

MONITORS, TURNS = 120, 250


@pytest.mark.slow
@pytest.mark.skipif(not LCLS.is_file(), reason="the PVs of LCLS are not on this machine")
def test_two_thousand_pvs_of_lcls_are_read_back_over_both_protocols(epics: Network) -> None:
    values: dict[str, Any] = json.loads(LCLS.read_text())
    fields = {name: {"nt": "d", "value": value} for name, value in values.items() if "." in name}
    records = {name: value for name, value in values.items() if name not in fields}
    read_as = {f"ca://{name}": name for name in records} | {f"pva://{name}": name for name in values}
    # One after the other, two thousand take them minutes.
    some = [*records][::100] + [name for name, value in records.items() if isinstance(value, list)][:3]
    with soft_ioc(epics, records), pva_server(epics, fields):
        shapes = {address: np.shape(values[name]) for address, name in read_as.items()}
        with reading(shapes) as inputs:
            inputs.wait(patience=60)
        for library in ("aioca", "pvapy", "caproto"):
            with client(epics, library) as other:
                assert {name: other.get(name)["value"] for name in some} == {name: values[name] for name in some}
    read = inputs.all()
    assert {address: read[address].value for address in read_as} == {
        address: values[name] for address, name in read_as.items()
    }
    assert {one.fault for one in read.values()} == {Fault.NONE}


@pytest.mark.slow
@pytest.mark.skipif(not LHC.is_file(), reason="the LHC's acquisitions are not on this machine")
def test_the_turns_of_120_monitors_of_the_lhc_are_one_batch(epics: Network, serve: Serve) -> None:
    query = f"select turns_2um from '{LHC}' where plane = 'X' order by acquired_at, bpm limit {MONITORS}"
    turns = [row[0] for row in duckdb.sql(query).fetchall()]
    raw, _, gain = SIGNALS["inputs"]
    inputs = [{**raw, "shape": [TURNS], "unit": "2um", "range": [-32768, 32767]}, gain]
    served, source = serve(devices=MONITORS, signals={**SIGNALS, "inputs": inputs}), EpicsInputs()
    records = {
        f"B{number}:TBT": {"record": "waveform", "type": "int16", "length": TURNS, "value": [0] * TURNS}
        for number in range(1, MONITORS + 1)
    }
    with soft_ioc(epics, records) as ioc:
        source.start(served.loop.latest, served.loop.wiring, served.loop.trigger)
        try:
            until(lambda: bool(np.all(served.loop.latest.read().count)))
            ioc.set_all(dict(zip(records, turns, strict=True)), timestamp=NOW)
            until(lambda: bool(np.all(served.loop.latest.read().time == NOW)))
        finally:
            source.close()
    served.cycle()
    (asked,) = served.model.asked
    assert np.array_equal(asked["turns"], np.array(turns, float))
