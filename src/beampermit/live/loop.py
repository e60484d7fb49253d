"""The inference loop: read the inputs, ask the model, publish what is true. Replay runs the same cycles."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf, nan

import numpy as np

from beampermit.contract import Contract
from beampermit.contract.service import Fallback
from beampermit.live.answers import judge, shown
from beampermit.live.apart import Apart, together
from beampermit.live.bypassed import Bypassed, summary, told
from beampermit.live.fallback import LastGood
from beampermit.live.latest import Latest
from beampermit.live.limits import Limits, alarm
from beampermit.live.rows import Invalid, Rows, assemble
from beampermit.live.severity import Severity, Status
from beampermit.live.sharing import Model, ModelError, NotLoaded, SharedModel
from beampermit.live.times import timed
from beampermit.live.trigger import Trigger
from beampermit.live.update import Health, State, Update, Value
from beampermit.live.wiring import Wiring

logger = logging.getLogger(__name__)
REMEMBERED = 1000
"""Cycles whose latency is in the percentile."""


@dataclass(frozen=True)
class Standing:
    """What ledger, permit and registry say of the version that is served."""

    version: int
    permit: str
    refused: str = ""
    """Why nothing may be served; empty where the version may."""
    retired: bool = False
    ended: bool = False
    """The last day of the PVs of a retired version is over."""
    note: str = ""
    """What does not stop the service: a registry that does not answer, frozen promotions."""
    routine: bool = False
    """Whether the note is of nothing that is wrong: frozen promotions, a champion that runs beside the version."""
    bypassed: tuple[Bypassed, ...] = ()
    """Of alarms, in force when the ledger was read last."""


@dataclass(frozen=True)
class _Asked:
    """The rows that the model was asked for with their numbers, its answers, which of the rows have one, and how long
    it took. No answers where none has one.
    """

    numbers: np.ndarray
    rows: Rows
    answers: dict[str, np.ndarray] | None
    answered: np.ndarray
    took: float

    def only(self, some: np.ndarray) -> _Asked | None:
        """Of `some` of the rows, among which are all that have an answer."""
        if some.all():
            return self
        if not some.any():
            return None
        answers = self.answers
        if answers is not None:
            answers = {name: values[some] for name, values in answers.items()}
        return _Asked(self.numbers[some], self.rows.take(np.flatnonzero(some)), answers, self.answered[some], self.took)


class Loop:
    """One version of a model. `cycle` is called by one thread."""

    def __init__(
        self,
        contract: Contract,
        wiring: Wiring,
        model: Model,
        standing: Standing,
        publish: Callable[[Update], object],
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ):
        self.contract, self.wiring, self.model = contract, wiring, SharedModel(model)
        self.standing = standing
        self.limits = limits or Limits(wiring)
        self.trigger = Trigger(wiring, contract.serving)
        newest = self.trigger.next_shot_is_untimed if contract.serving.snapshot else None
        self.latest = Latest(wiring, self.trigger.changed, newest=newest)
        self._publish, self._clock = publish, clock
        self._began = time.monotonic()
        self._shown: dict[str, Value] = {}
        self._since = -inf
        """Times before are of what another process showed; by the clock. None are in a replay."""
        self._good = {pv: LastGood(plug.signal, contract.fallback) for plug in wiring.outputs for pv in plug.pvs}
        self._shapes = {plug.signal.name: plug.signal.shape for plug in wiring.outputs}
        self._asked = np.full(len(wiring.rows), -1, np.int64)
        self._told = np.full(len(wiring.rows), -1, np.int64)
        """Samples of a row when an update had it last, with an answer or without."""
        self._owed = np.zeros(len(wiring.rows), bool)
        self._expires = np.full(len(wiring.rows), np.inf)
        self._answered: list[dict[str, np.ndarray | Invalid]] = [{} for _ in wiring.rows]
        self._apart = Apart()
        self._failure: Invalid | None = None
        self._begins_anew = False
        self._elapsed, self._live = 0.0, False
        self._complete = 0.0
        """Since when the rows of the cycle were due and their newest input was there, by the monotonic clock."""
        self._latencies: deque[float] = deque(maxlen=REMEMBERED)
        self._cycles = 0

    def run(self, stop: threading.Event) -> None:
        """Cycles until `stop` is set. An error of ours makes every output INVALID, and is logged."""
        self.trigger.on_due, self._since = self.latest.rows_are_due, self._clock()
        while not stop.is_set():
            due = self.trigger.wait()
            try:
                update = self.cycle(self._clock(), due, time.monotonic())
            except Exception as error:
                logger.exception("a cycle failed")
                update = self._failed(error)
            self._publish(update)
            if update.answers is not None:
                self._latencies.append(time.monotonic() - self._complete)

    def model_is_back(self) -> None:
        """A process of the model is ready: what an earlier one failed at says nothing of it. From any thread."""
        self._begins_anew = True
        self.trigger.fire()

    def shown(self) -> dict[str, Value]:
        """All output PVs as they are."""
        return dict(self._shown)

    def go_on_from(self, shown: Mapping[str, Value], now: float) -> dict[str, Value]:
        """All output PVs as they are, where another version has `shown` until `now`: no time of a PV falls back.

        By the thread of the cycles.
        """
        before = {pv: value.time for pv, value in shown.items()}
        self._shown = {pv: timed(value, before.get(pv, self._since), now) for pv, value in self._shown.items()}
        return self.shown()

    @property
    def failure(self) -> str:
        """Why the model answered for no row the last time that the loop asked it; empty where it did, or where another
        process of it is ready since."""
        return self._failure.message if self._failure else ""

    def cycle(self, now: float, due: bool = True, elapsed: float | None = None) -> Update:
        """The update at the time `now`; the model is asked only where rows are `due`.

        `elapsed` is what values are held by and inputs arrive by, in s: a clock that nobody sets. Without one, as in a
        replay, `now` is.
        """
        self._cycles += 1
        self._elapsed, self._live = now if elapsed is None else elapsed, elapsed is not None
        self._complete = max(self.latest.arrived, self.trigger.since if due else time.monotonic())
        if self._begins_anew:
            self._begin_anew()
        readings = self.latest.read(due)
        rows = assemble(self.wiring, readings, self.contract.serving, now, self._elapsed, self.trigger.shot)
        due = self._is_due(rows, due)
        asked = self._ask(rows, due)
        told = self._to_tell(asked, due) if asked else None
        changed = self._show(self._values(rows, now), now)
        health = self._health(rows, self._shown, now)
        if told is None:
            return Update(changed, health, at=now)
        return Update(changed, health, told.rows, told.answers, told.answered, told.took, now)

    def _begin_anew(self) -> None:
        """All rows are asked for again, as soon as nothing is wrong with them."""
        self._begins_anew, self._failure = False, None
        self._apart.forget()
        self._asked.fill(-1)
        self._owed.fill(True)

    def _is_due(self, rows: Rows, due: bool) -> bool:
        """Rows that could not be asked for when they were due are owed: as soon as nothing is wrong with them."""
        sound = np.zeros(len(rows.names), bool)
        if not self.standing.refused:
            sound[rows.sound] = True
        if due:
            self._owed = np.logical_not(sound)
            return True
        owed = bool((self._owed & sound).any())
        self._owed = self._owed & np.logical_not(sound)
        return owed

    def _ask(self, rows: Rows, due: bool) -> _Asked | None:
        """None where there is nothing to ask the model."""
        new = self._new(rows, due)
        if self.standing.refused or not new.size:
            return None
        asked = rows.take(new)
        began = time.monotonic()
        # A replay gives the same each time, however long the model takes.
        until = began + self.contract.serving.timeout if self._live else inf
        try:
            with self.model.taken() as model:
                parts = self._apart.ask(model.ask, new.tolist(), asked.inputs, until)
        except ModelError as error:
            self._failure = Invalid(Status.UDF if isinstance(error, NotLoaded) else Status.CALC, str(error))
            return _Asked(new, asked, None, np.zeros(len(new), bool), time.monotonic() - began)
        for part in parts:
            self._take(rows, new[part.places], part.answers)
        self._failure = self._raises_for_all(rows)
        answers, answered = together(parts, len(new), self._shapes)
        return _Asked(new, asked, answers, answered, time.monotonic() - began)

    def _to_tell(self, asked: _Asked, due: bool) -> _Asked | None:
        """All rows with an answer; one without, which is asked for in each cycle, where it was due and is new.

        Else one device for which the model raises has a row in the log each time that any other has one.
        """
        new = self._told[asked.numbers] != asked.rows.count
        told = asked.answered | (due & (new | self._makes_all))
        self._told[asked.numbers[told]] = asked.rows.count[told]
        return asked.only(told)

    def _take(self, rows: Rows, numbers: np.ndarray, answers: dict[str, np.ndarray] | Invalid) -> None:
        """What the model said of rows that it was asked for together."""
        if isinstance(answers, Invalid):
            return
        judged = {plug.signal.name: judge(plug.signal, answers, len(numbers)) for plug in self.wiring.outputs}
        for place, row in enumerate(numbers.tolist()):
            self._answered[row] = {name: values[place] for name, values in judged.items()}
        self._asked[numbers], self._expires[numbers] = rows.count[numbers], rows.expires[numbers]

    def _raises_for_all(self, rows: Rows) -> Invalid | None:
        """Why, where the model answers for none of the rows that it may be asked for."""
        if not self._apart.reasons:
            return None
        reasons = [self._apart.reasons.get(row) for row in rows.sound.tolist()]
        return reasons[0] if all(reasons) else None

    def _new(self, rows: Rows, due: bool) -> np.ndarray:
        """The rows to ask for: all with something new, or all where a period or a snapshot makes them; and at any time
        those for which the model did not answer."""
        sound = rows.sound
        if self._failure or (due and self._makes_all):
            return sound
        wanted = rows.count[sound] != self._asked[sound] if due else np.zeros(len(sound), bool)
        if self._apart.reasons:
            wanted |= np.isin(sound, list(self._apart.reasons))
        return sound[wanted]

    @property
    def _makes_all(self) -> bool:
        """Whether a period or a snapshot makes rows, new or not."""
        return self.contract.serving.period is not None or self.contract.serving.snapshot is not None

    def _values(self, rows: Rows, now: float) -> dict[str, Value]:
        values = {}
        for plug in self.wiring.outputs:
            for row, pv in enumerate(plug.pvs):
                value = self._value(plug.signal.name, pv, row, rows, now)
                if bypassed := self.standing.bypassed:
                    value = told(value, plug.signal.name, (pv, rows.names[row]), bypassed, now)
                values[pv] = value
        return values

    def _show(self, values: Mapping[str, Value], now: float) -> dict[str, Value]:
        """Those that say something else than before; the others keep their times."""
        before = {pv: self._shown.get(pv) for pv in values}
        changed = {
            pv: timed(value, shown.time if (shown := before[pv]) else self._since, now)
            for pv, value in values.items()
            if _differs(value, before[pv])
        }
        self._shown = {**self._shown, **changed}
        return changed

    def _value(self, output: str, pv: str, row: int, rows: Rows, now: float) -> Value:
        problem = self._problem(rows, row)
        answer = self._answered[row].get(output)
        if problem is None and isinstance(answer, Invalid):
            problem = answer
        if problem is not None or answer is None or isinstance(answer, Invalid):
            return self._good[pv].instead(problem or _NO_ANSWER, float(rows.time[row]), self._elapsed)
        if rows.count[row] != self._asked[row] and pv in self._shown:
            return self._unasked(pv, row, rows, now)
        value = shown(answer, rows, row, self.limits.of(pv))
        self._good[pv].keep(value, self._elapsed)
        return value

    def _unasked(self, pv: str, row: int, rows: Rows, now: float) -> Value:
        """Something arrived, and the moment to ask has not come: what is shown stays, as long as it may."""
        before = self._shown[pv]
        if before.origin != "model":
            return self._good[pv].instead(_NOT_YET, float(rows.time[row]), self._elapsed)
        if now > self._expires[row]:
            return self._good[pv].instead(_NO_ROW, float(rows.time[row]), self._elapsed)
        severity, status = alarm(self.limits.of(pv), before.value)
        if before.status == Status.LINK and before.severity >= severity:
            return before
        return replace(before, severity=severity, status=status, message="")

    def _problem(self, rows: Rows, row: int) -> Invalid | None:
        if self.standing.refused:
            return Invalid(Status.DISABLE, self.standing.refused)
        if self.trigger.lost:
            return Invalid(Status.LINK, self.trigger.lost)
        return rows.problems[row] or self._failure or self._apart.reasons.get(row)

    def ended(self) -> Update:
        """All outputs INVALID: nobody judges them any more. Once the loop has stopped."""
        return self._nothing(Invalid(Status.DISABLE, "the service has ended"))

    def _failed(self, error: Exception) -> Update:
        """All outputs INVALID; the next cycle begins from nothing."""
        self._begins_anew = True
        return self._nothing(Invalid(Status.CALC, f"the service failed: {type(error).__name__}"))

    def _nothing(self, problem: Invalid) -> Update:
        now = self._clock()
        nothing = Fallback(on_invalid="invalid")
        outputs = {pv: LastGood(plug.signal, nothing) for plug in self.wiring.outputs for pv in plug.pvs}
        changed = self._show({pv: output.instead(problem, now, now) for pv, output in outputs.items()}, now)
        dropped, restarts = self.latest.dropped, self.model.restarts
        health = Health(
            0, self.standing.permit, "INVALID", problem.message, self._cycles, 0.0, nan, nan, dropped, restarts
        )
        return Update(changed, health, at=now)

    def _health(self, rows: Rows, values: Mapping[str, Value], now: float) -> Health:
        invalid = [value for value in values.values() if value.severity == Severity.INVALID]
        doubtful = [value for value in values.values() if value.origin in ("held", "default")]
        standing, answered = self.standing, any(self._answered)
        worst = next(iter([*invalid, *doubtful]), None)
        reason = worst.message if worst else standing.note
        if worst and len(invalid) + len(doubtful) > 1:
            reason = f"{reason} ({len(invalid) + len(doubtful)} of {len(values)} outputs)"
        hidden = [one for one in standing.bypassed if now < one.until and one.words not in reason]
        reason = "; ".join(filter(None, (reason, summary(hidden))))
        return Health(
            version=standing.version if answered else 0,
            permit=standing.permit,
            status=self._status(len(invalid), len(values), bool(doubtful or (standing.note and not standing.routine))),
            reason=reason,
            cycles=self._cycles,
            uptime=time.monotonic() - self._began,
            input_age=float(now - np.nanmin(rows.oldest)) if np.isfinite(rows.oldest).any() else float("nan"),
            latency_p99=float(np.percentile(self._latencies, 99)) if self._latencies else float("nan"),
            dropped=self.latest.dropped,
            restarts=self.model.restarts,
        )

    def _status(self, invalid: int, outputs: int, doubtful: bool) -> State:
        if self.standing.retired:
            return "RETIRED"
        if invalid == outputs:
            failed = self._failure is not None and self._failure.status != Status.UDF
            return "INVALID" if self.standing.refused or any(self._answered) or failed else "STARTING"
        return "DEGRADED" if invalid or doubtful else "SERVING"


_NOT_YET = Invalid(Status.TIMEOUT, "no row was made since nothing is wrong with its inputs any more")
_NO_ROW = Invalid(Status.TIMEOUT, "no row was made since its inputs became too old")
_NO_ANSWER = Invalid(Status.UDF, "there was no answer yet")


def _differs(value: Value, shown: Value | None) -> bool:
    """A transition is published once, and a number of the model each time that its inputs changed."""
    if shown is None or value.origin != shown.origin:
        return True
    if value.origin == "model" and value.newest != shown.newest:
        return True
    same = (value.severity, value.status, value.message) == (shown.severity, shown.status, shown.message)
    return not same or not np.array_equal(value.value, shown.value, equal_nan=True)
