"""`beampermit serve`: one process that follows a ledger, serves its champion, and ends when it is told to."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Mapping, Set
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.contract import Contract
from beampermit.errors import BeampermitError, Conflict
from beampermit.live.challenger import FollowChallenger
from beampermit.live.epics.access import access_rules
from beampermit.live.epics.peers import Peer, describe
from beampermit.live.extra import require_live
from beampermit.live.http.observed import Observed
from beampermit.live.http.server import serve_http
from beampermit.live.lane import Lane
from beampermit.live.log.open_logs import OpenLogs
from beampermit.live.loop import Loop, Standing
from beampermit.live.observation.changes import Changes
from beampermit.live.observation.metrics import Metrics
from beampermit.live.observation.monitoring import MonitorResults, monitor_folder
from beampermit.live.observation.notify import Notifier
from beampermit.live.observation.vitals import Vitals
from beampermit.live.process.ahead import Ahead, keep_start
from beampermit.live.process.early import EarlyProcess
from beampermit.live.process.starting import Start
from beampermit.live.promoted.follower import Follower
from beampermit.live.promoted.promoted import Declared, Promoted
from beampermit.live.promoted.promotions import Promotions
from beampermit.live.promoted.served import keep_served
from beampermit.live.promoted.wanted import Wanted
from beampermit.live.service import Publish, Service, StartAgain
from beampermit.live.sharing import ModelError
from beampermit.live.source import load_source
from beampermit.live.status_pvs import STATUS_PVS, status_pv
from beampermit.live.switch import Switch
from beampermit.live.update import Sink, Update, Value
from beampermit.live.wiring import Wiring, wire
from beampermit.processes import hear_signals
from beampermit.progress import Progress, silent

if TYPE_CHECKING:
    import numpy as np

    from beampermit.environments import Environment
    from beampermit.live.epics.records import Records
    from beampermit.live.process.model_process import ModelProcess

logger = logging.getLogger(__name__)
EPICS = "epics"
"""The source of inputs whose names are those of EPICS."""
ANSWERS = 1.0
"""Seconds in which somebody who serves one of our PVs already has to answer, and a millisecond more for each PV."""


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    wanted: Wanted
    inputs: str = EPICS
    """The source of the inputs, by its name."""
    follow: float = 15.0
    """Seconds between two looks at the ledger."""
    log: Path | None = None
    log_disk: int = 10 * 10**9
    http: str = ""
    """HOST:PORT; nothing where empty."""
    observe: str = ""
    """The same, for health and metrics alone."""
    access: Path | None = None
    challenger: bool = False
    """Whether the version with the alias `challenger` runs beside the champion."""
    ahead: Ahead | None = None
    """The process that was started before anything was known of the version."""
    monitor: Path | None = None
    """The monitor's folder; where None, the one beside the service's own."""


def serve(options: Options, progress: Progress = silent) -> None:
    """Serve until SIGTERM or an interrupt.

    Raises `BadInput` where another service holds the state folder, or for a faulty file or address; `Conflict` where
    somebody else serves one of the output PVs already; `LoopEnded`. A ledger or a registry that does not answer is no
    error: what was verified before is served, and else every output is INVALID.
    """
    hear_signals()
    require_live()
    load_source(options.inputs)
    access_rules(options.access)  # the records, which need it, may be made months after the start
    with Promotions(options.wanted) as promotions, ExitStack() as stack:
        assembly = _Assembly(options, promotions, stack, progress)
        try:
            assembly.run()
        except StartAgain as why:
            again = why
        else:
            return
    if assembly.told_to_end:
        return
    if event := again.declared.event:
        # The next start begins with this version: what answered before has PVs that this one cannot run beside.
        keep_served(options.wanted.state, event)
    logger.info("%s: the service starts again", again)
    logging.shutdown()  # what was logged is written
    sys.stdout.flush()
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - this very command


class NoModel:
    """Stands for the model of a version that cannot be served yet."""

    restarts = 0

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        raise ModelError(f"no model is loaded that takes {', '.join(inputs)}")


class _Assembly:
    """The parts of one service. What is made last is closed first."""

    def __init__(self, options: Options, promotions: Promotions, stack: ExitStack, progress: Progress):
        self._options, self._promotions, self._stack = options, promotions, stack
        self.told_to_end = False
        self._records: Records | None = None
        self._served = frozenset[str]()
        """PVs that the records have."""
        self._logs = OpenLogs()
        self._models: dict[int, ModelProcess] = {}
        self._promoted_by: dict[int, str] = {}
        """Version -> the promotion that it runs by."""
        self._early = EarlyProcess(options.ahead)
        stack.callback(self._early.close)
        self._monitor = MonitorResults(options.monitor or monitor_folder(options.wanted.state), options.wanted.model)
        self._notifier, self._vitals = Notifier(), Vitals(self._log_problem)
        stack.callback(self._notifier.close)
        switch = Switch([self, *self._observers(), self._notifier], self._on_shown, self._log_problem)
        self._service = Service(
            switch,
            self._make_lane,
            fits=self._fits,
            adopt=self._adopt,
            failed=self._on_failed,
            idle=self._wait,
        )
        self._challenger = FollowChallenger(promotions, self._service.challenge, self._service.end_challenge)
        self._follower = Follower(
            promotions,
            self._on_champion,
            self._on_standing,
            on_declared=self._on_declared,
            on_environment=self._on_environment,
            on_unused=self._early.end,
            progress=progress,
            every=options.follow,
        )

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._end())
        self._notifier.say("reading the ledger")
        self._monitor.start()
        self._stack.callback(self._monitor.close)
        self._follower.start()
        self._stack.callback(self._follower.close)
        if self._options.challenger:
            self._challenger.start()
            self._stack.callback(self._challenger.close)
        try:
            self._service.run()
        except StartAgain:
            self._notifier.start_again()
            raise

    def _end(self) -> None:
        self.told_to_end = True
        self._service.stop()

    def publish(self, update: Update) -> None:
        """To the records, which are there as soon as their names are known."""
        if self._records:
            self._records.publish(update)

    def close(self) -> None:
        """There is nothing to close."""

    def _wait(self) -> None:
        """While no version has begun."""
        self._vitals.wait()
        self._notifier.wait(ready=self._follower.waits)

    def _observers(self) -> list[Sink]:
        name, vitals = self._options.wanted.model, self._vitals
        metrics = Metrics(name, lambda: self._service.loop, lambda: self._logs.lost, self._monitor)
        observed = Observed(name, lambda: self._service.loop, vitals, metrics, self._monitor, self._clients)
        for address, questions in ((self._options.http, True), (self._options.observe, False)):
            if address:
                self._stack.callback(serve_http(address, observed, questions=questions).close)
        return [vitals, metrics, Changes()]

    def _clients(self) -> tuple[Peer, ...]:
        return self._records.clients() if self._records else ()

    def _log_problem(self) -> str:
        return self._logs.problem

    def _on_failed(self, version: int, error: BeampermitError) -> None:
        self._follower.gave_up(version, error)
        self._challenger.gave_up(version)

    def _on_shown(self, version: int) -> None:
        self._follower.took_over(version)

    # What the ledger says, told by another thread

    def _on_declared(self, declared: Declared) -> None:
        _require_servable(declared, self._options.inputs)
        refused = f"version {declared.version} is being prepared"
        self._service.declare(declared, Standing(declared.version, declared.statement.digest, refused=refused))

    def _on_environment(self, declared: Declared, environment: Environment) -> None:
        runs = self._models.get(declared.version)  # as the challenger
        if runs is None or runs.closed:
            self._early.begin(declared, environment)

    def _on_champion(self, promoted: Promoted, standing: Standing) -> None:
        _require_servable(
            promoted, self._options.inputs
        )  # what cannot be served is an error of its version, not of the service
        if not self._fits(promoted):
            _require_free(_pvs(promoted.contract, wire(promoted.contract, promoted.root)) - self._served)
        self._promoted_by[promoted.version] = promoted.promotion  # it may run already, as the challenger
        self._service.promote(promoted, standing)
        keep_start(self._options.wanted.state, Start.of(promoted.environment, promoted.contract))

    def _on_standing(self, standing: Standing) -> None:
        self._service.stand(standing)  # first: nothing that is only said may keep a retired version on the screen
        loop = self._service.loop
        shows = loop is None or loop.standing.version == standing.version  # and does not run beside what does
        if shows and (standing.refused or standing.note):
            self._notifier.say(standing.refused or standing.note)
        if standing.ended and self._records:
            self._service.end_pvs()
        if standing.retired and self._records:
            logger.warning("%s; connected: %s", standing.refused, self._connected())

    def _connected(self) -> str:
        try:
            return describe(self._clients())
        except OSError as error:  # EPICS writes its report into a file
            return f"not known, {error.strerror}"

    # What a version needs

    def _make_lane(self, declared: Declared, standing: Standing, publish: Publish) -> Lane:
        name, sources = f"version {declared.version}", [load_source(self._options.inputs)]
        self._promoted_by[declared.version] = declared.promotion
        wiring = wire(declared.contract, declared.root)
        if not isinstance(declared, Promoted):
            loop = Loop(declared.contract, wiring, NoModel(), standing, publish)
            return Lane(name, loop, sources, lambda: None)
        with ExitStack() as stack:
            if self._options.log:
                publish = self._logged(declared, wiring, self._options.log, publish, stack)
            model = self._model_of(declared, stack)
            loop = Loop(declared.contract, wiring, model, standing, publish)
            rows = len(wiring.rows)
            model.load(declared.folder, rows=rows, verify=declared.verify, on_ready=loop.model_is_back)
            self._models[declared.version] = model
            return Lane(name, loop, sources, stack.pop_all().close)

    def _model_of(self, promoted: Promoted, stack: ExitStack) -> ModelProcess:
        """A process that is started, and waits for the model."""
        from beampermit.live.process.model_process import ModelProcess

        model = self._early.take(promoted)
        if model is None:
            model = ModelProcess(promoted.environment, promoted.contract)
            model.start()
        stack.callback(model.close)
        return model

    def _logged(
        self,
        promoted: Promoted,
        wiring: Wiring,
        folder: Path,
        publish: Publish,
        stack: ExitStack,
    ) -> Publish:
        from beampermit.live.log.prediction_log import PredictionLog

        name, version = promoted.contract.model.name, promoted.version
        shown: Mapping[str, Value] | None = None
        log = PredictionLog(folder, name, version, wiring, shadow=lambda: shown is None, disk=self._options.log_disk)
        self._logs.add(log)
        stack.callback(self._logs.close, log)

        def both(update: Update) -> Mapping[str, Value] | None:
            nonlocal shown
            shown = publish(update)
            # In its first update, a version shows all its values.
            log.publish(update if shown is None else replace(update, values=shown))
            return shown

        return both

    # What clients see

    def _fits(self, declared: Declared) -> bool:
        wiring = wire(declared.contract, declared.root)
        return self._records is None or self._records.same_records(declared.contract, wiring)

    def _adopt(self, loop: Loop) -> None:
        if self._follower.pvs_ended and not self._records:
            logger.info("nothing is served: the last day of the PVs is over")
            return
        promotion = self._promoted_by.get(loop.standing.version, loop.standing.permit)
        if self._records:
            self._records.begin(loop.contract, loop.wiring, loop.limits, promotion)
            return
        from beampermit.live.epics.records import Records

        _require_free(pvs := _pvs(loop.contract, loop.wiring))
        self._records = Records(
            loop.contract,
            loop.wiring,
            loop.limits,
            promotion,
            self._restart,
            access=self._options.access,
            state=self._options.wanted.state,
            monitor=self._monitor,
        )
        self._served = pvs
        self._stack.callback(self._records.close)
        # What is imported and made by now stays: a pass over all of it takes as long as a cycle of 500 inputs.
        gc.collect()
        gc.freeze()

    def _restart(self) -> None:
        loop = self._service.loop
        model = self._models.get(loop.standing.version) if loop else None
        if model:
            model.restart()


def _require_servable(declared: Declared, inputs: str) -> None:
    """Raises `BadInput` or `Failed` for PV names that cannot be read from this source, or not be served."""
    from beampermit.live.epics.addresses import parse_address
    from beampermit.live.epics.names import require_record_names

    contract = declared.contract
    wiring = wire(contract, declared.root)
    require_record_names(contract, wiring)
    for pv in (*wiring.layout.pvs, *filter(None, [contract.serving.snapshot])) if inputs == EPICS else ():
        parse_address(pv)


def _pvs(contract: Contract, wiring: Wiring) -> frozenset[str]:
    """All that this service has records for."""
    return frozenset((*wiring.output_pvs, *(status_pv(contract, one.name) for one in STATUS_PVS)))


def _require_free(pvs: Set[str]) -> None:
    """Raises `Conflict` where somebody serves one of these already."""
    from beampermit.live.epics.hosts import SHELL, host_of
    from beampermit.live.epics.living import living

    others = living(sorted(pvs), ANSWERS)
    if not others:
        return
    host, more = host_of(others[0]), f", and {len(others) - 1} more" if others[1:] else ""
    raise Conflict(
        f"{host or 'somebody, over PVA,'} serves {others[0]} already{more}",
        hint="end that server, or serve from one machine only"
        + ("" if host else f"; `{SHELL.format(pv=others[0])}` says where it is"),
    )
