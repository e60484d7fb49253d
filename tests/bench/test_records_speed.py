"""What the records of a large device table cost, against as many records that pythonSoftIOC makes and sets itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.epics import Network, epics
from support.served import SIGNALS, served_contract

__all__ = ["epics"]
pytestmark = pytest.mark.bench
OUTPUTS = 5000
OURS = """\
from beampermit.contract import load_contract
from beampermit.live.epics.records import Records
from beampermit.live.limits import Limits
from beampermit.live.severity import Severity, Status
from beampermit.live.update import Health, Update, Value
from beampermit.live.wiring import wire

contract = load_contract(root)
wiring = wire(contract, root)
records = measured("start", lambda: Records(contract, wiring, Limits(wiring), "", print, state=root))
health = Health(1, "", "SERVING", "", 1, 0.0, 0.0, 0.0, 0, 0)
for at in range(5):
    value = Value(float(at), Severity.NO_ALARM, Status.NO_ALARM, "", 1e9 + at, time=1e9 + at)
    values = dict.fromkeys(wiring.output_pvs, value)
    measured("update", lambda: records.publish(Update(values, health)))
"""
THEIRS = """\
from softioc import asyncio_dispatcher, builder, softioc

def start():
    made = [builder.aIn(f"B{number}:FAULT", EGU="mm", PREC=3, HIHI=90, HHSV="MAJOR", TSE=-2) for number in range(count)]
    builder.LoadDatabase()
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher())
    return made

made = measured("start", start)
for at in range(5):
    measured("update", lambda: [record.set(float(at), timestamp=1e9 + at) for record in made])
    time.sleep(1.0)  # it is processed by other threads
"""
MEASURE = """\
import json, os, sys, time
from pathlib import Path
root, count, cost = Path(sys.argv[1]), int(sys.argv[2]), {}

def measured(what, work):
    began = time.process_time()
    made = work()
    cost[what] = min(cost.get(what, 1e9), time.process_time() - began)
    return made

%s
print(json.dumps(cost), file=sys.stderr)
os._exit(0)
"""


def cost(script: str, network: Network, root: Path) -> dict[str, float]:
    """CPU seconds of the start, and of one update of all records."""
    with network.place() as place:
        words = [sys.executable, "-c", MEASURE % script, str(root), str(OUTPUTS)]
        environment = network.server(place)
        ran = subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return json.loads(ran.stderr.splitlines()[-1])


def test_records_of_a_large_device_table(
    epics: Network, contract_text: str, tmp_path: Path, say: Callable[[str], None]
) -> None:
    from yaml import safe_dump

    scalar = {**SIGNALS, "outputs": SIGNALS["outputs"][:1]}
    contract = served_contract(contract_text, signals=scalar)
    (tmp_path / "contract.yaml").write_text(safe_dump(contract.model_dump(mode="json", exclude_none=True)))
    (tmp_path / "devices.csv").write_text("device\n" + "\n".join(f"B{number}" for number in range(OUTPUTS)) + "\n")
    ours, theirs = (cost(script, epics, tmp_path) for script in (OURS, THEIRS))
    for what in ("start", "update"):
        ratio = ours[what] / theirs[what]
        say(f"{OUTPUTS} records, {what}: {ours[what]:.2f} s : {theirs[what]:.2f} s of CPU, {ratio:.2f}")
