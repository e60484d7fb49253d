"""The service of the benches: its parts as `beampermit serve` puts them together, without ledger, permit and registry.

    python service_child.py FOLDER [LOG]

FOLDER has contract, device table and model. With a folder LOG it writes the prediction log there and serves HTTP. Each
line of its input promotes the next version, which has the same model.
"""

from __future__ import annotations

import gc
import itertools
import sys
import threading
from pathlib import Path
from typing import Any

from beampermit.contract import load_contract
from beampermit.environments import Environment
from beampermit.live.epics.inputs import EpicsInputs
from beampermit.live.epics.records import Records
from beampermit.live.http.observed import Observed
from beampermit.live.http.server import serve_http
from beampermit.live.lane import Lane
from beampermit.live.log.prediction_log import PredictionLog
from beampermit.live.loop import Loop, Standing
from beampermit.live.observation.metrics import Metrics
from beampermit.live.observation.vitals import Vitals
from beampermit.live.process.model_process import ModelProcess
from beampermit.live.promoted.promoted import Declared
from beampermit.live.service import Service
from beampermit.live.switch import Switch
from beampermit.live.update import Sink, Update
from beampermit.live.wiring import wire


class Bench:
    """The records, once there is a version."""

    def __init__(self, root: Path, log: Path | None):
        self._root, self._contract = root, load_contract(root)
        self._wiring = wire(self._contract, root)
        self._records: Records | None = None
        self._service = Service(
            Switch([self, *self._observers(log)]), self._lane, fits=lambda _: True, adopt=self._adopt
        )

    def run(self) -> None:
        threading.Thread(target=self._promote, daemon=True).start()
        self._service.run()

    def publish(self, update: Update) -> None:
        if self._records:
            self._records.publish(update)

    def close(self) -> None:
        """A sink has it."""

    def _observers(self, log: Path | None) -> list[Sink]:
        if log is None:
            return []
        name, vitals, metrics = self._contract.model.name, Vitals(), Metrics("bench", lambda: self._service.loop)
        serve_http("127.0.0.1:0", Observed(name, lambda: self._service.loop, vitals, metrics), questions=True)
        return [vitals, metrics, PredictionLog(log, name, 1, self._wiring)]

    def _promote(self) -> None:
        for version in itertools.count(1):
            nothing: Any = None
            declared = Declared(version, None, b"", nothing, self._contract, self._root)
            self._service.promote(declared, Standing(version, f"sha256:{version}"))
            if not sys.stdin.readline():
                return

    def _lane(self, declared: Declared, standing: Standing, publish: Any) -> Lane:
        model = ModelProcess(Environment(Path(sys.prefix)), self._contract)
        loop = Loop(self._contract, self._wiring, model, standing, publish)
        model.load(self._root / "model", rows=len(self._wiring.rows), on_ready=loop.model_is_back)
        model.start()
        return Lane(f"version {declared.version}", loop, [EpicsInputs()], model.close)

    def _adopt(self, loop: Loop) -> None:
        promotion = loop.standing.permit
        if self._records:
            self._records.begin(self._contract, self._wiring, loop.limits, promotion)
        else:
            self._records = Records(self._contract, self._wiring, loop.limits, promotion, lambda: None)
            gc.collect()
            gc.freeze()


if __name__ == "__main__":
    folder, *log = map(Path, sys.argv[1:])
    Bench(folder, next(iter(log), None)).run()
