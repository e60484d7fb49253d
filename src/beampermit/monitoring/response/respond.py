"""Does what trips ask for, step by step: each is noted before and after, so a kill loses nothing and repeats nothing.

`take` only writes the journal, and is quick. `work` does what is due, each time that it is called; what the world does
not let us do is tried again later, and the monitor goes on meanwhile.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from beampermit.contract import Contract
from beampermit.contract.service import Monitoring
from beampermit.digest import digest_json
from beampermit.errors import BadInput, BeampermitError, Outside
from beampermit.github.client import Client, Limited, Refused
from beampermit.monitoring.response import heartbeat
from beampermit.monitoring.response.alarm_issues import AlarmIssues, forget
from beampermit.monitoring.response.candidates import store_candidate
from beampermit.monitoring.response.issues import Issues
from beampermit.monitoring.response.journal import FallBack, Kind, Proposal, Task, key_of, name_of
from beampermit.monitoring.response.kept import Kept
from beampermit.monitoring.response.last_contract import keep_contract, last_contract
from beampermit.monitoring.response.logbook import Entry, InTime, Logbook
from beampermit.monitoring.response.policy import refusal, take, tasks_of
from beampermit.monitoring.response.proposals import (
    NewLimits,
    Suppressed,
    limits_proposed,
    propose_limits,
    refuse_second,
    retraining_started,
    start_retraining,
    tag_of,
)
from beampermit.monitoring.response.texts import Texts
from beampermit.monitoring.response.webhook import Webhook
from beampermit.registry.event import Event
from beampermit.verdicts.monitoring import Result, Trip

logger = logging.getLogger(__name__)
FIRST, LONGEST = 60.0, 3600.0
"""Seconds until something that failed is tried again: twice as long each time."""
GIVE_UP = 86400.0
"""Seconds after which a webhook, an entry or a proposal is late news."""
TRIES = 3
PATIENCE = 5.0
PROPOSALS = frozenset({"propose-limits", "retrain", "fall-back"})
SLOW = frozenset({"propose-limits", "retrain"})
"""After people were told: limits take a backtest of weeks, and the pull request names the issue."""


def nothing_done(_trip: Trip, _host: str) -> Event | None:
    return None


@dataclass(frozen=True)
class Outlets:
    """Where a response goes; what is None is not there: nothing new is noted for it, and what waits for it waits on."""

    texts: Callable[[Contract], Texts]
    """Of a contract, what people read."""
    log: Path | None = None
    """The prediction log of the model."""
    client: Client | None = None
    webhook: Webhook | None = None
    logbook: Logbook | None = None
    new_limits: Callable[[Trip], NewLimits] | None = None
    """Raises `Suppressed` where recorded data give none."""
    fall_back: Callable[[Trip, str], Event] | None = None
    """As `fall_back.fall_back`, with a session; the text is this machine's name."""
    fell_back: Callable[[Trip, str], Event | None] = nothing_done
    """As `fall_back.fell_back`: whether an earlier run did it."""
    show_in_service: Callable[[str], object] | None = None
    """Has the releases of a model say which version serves. Raises `BeampermitError`."""

    @cached_property
    def book(self) -> InTime | None:
        return InTime(self.logbook) if self.logbook else None

    @cached_property
    def issues(self) -> Issues | None:
        return Issues(self.client) if self.client else None


class Responder:
    """Of one monitor: `kept` is its journal. Its thread is started by `start` and ends with `close`."""

    def __init__(
        self,
        kept: Kept,
        outlets: Outlets,
        contract: Contract | None = None,
        *,
        clock: Callable[[], float] = time.time,
        every: float = 15.0,
    ):
        self.kept, self.outlets, self.contract = kept, outlets, contract or last_contract(kept.folder)
        self.result: Result | None = None
        """The newest, which GitHub hears of."""
        self.on_fall_back: Callable[[], None] = lambda: None
        """Called when the journal says what became of one; by the thread that works."""
        self._clock, self._every = clock, every
        self._closed, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="respond to alarms", daemon=True)

    def take(self, trips: Iterable[Trip], result: Result | None = None, contract: Contract | None = None) -> None:
        """Note what these trips ask for, soon. `contract` is that of the version that was judged, from now on."""
        if contract and contract != self.contract:
            self.contract = contract
            keep_contract(self.kept.folder, contract)
        self.result = result or self.result
        at, trips = self._clock(), tuple(trips)
        tasks = [task for trip in trips for task in tasks_of(trip, self.monitoring, at) if self._is_there(task.kind)]
        most = self.monitoring.response.issues
        self.kept.change(lambda journal: take(journal, trips, tasks, at, most))
        self._wake.set()

    def _is_there(self, kind: Kind) -> bool:
        """Whether somebody set up where it goes; a proposal that cannot be made is said."""
        outlets: dict[Kind, object] = {
            "candidate": self.outlets.log,
            "logbook": self.outlets.logbook,
            "webhook": self.outlets.webhook,
        }
        return kind not in outlets or outlets[kind] is not None

    def start(self) -> None:
        self._thread.start()

    def hurry(self) -> None:
        """Whatever waits after a failure is tried the next time."""
        tasks = tuple(task.model_copy(update={"due": 0.0}) for task in self.kept.journal.tasks)
        self.kept.update(tasks=tasks, wait_until=0.0)

    def close(self) -> None:
        """What is under way may take longer than we wait; the next run finishes it."""
        self._closed.set()
        self._wake.set()
        if self._thread.ident:
            self._thread.join(PATIENCE)

    @property
    def monitoring(self) -> Monitoring:
        return self.contract.monitoring if self.contract else Monitoring()

    def work(self) -> None:
        """Do what is due. Nothing that the world or a user can cause is raised."""
        if self.contract is None:
            return  # no version was ever judged here: nobody could say what is to be done
        texts = self.outlets.texts(self.contract)
        self._do_all([task.id for task in self.kept.journal.tasks if task.kind not in SLOW], texts)
        if not self._closed.is_set():
            self._tell_github(texts)
        self._do_all([task.id for task in self.kept.journal.tasks if task.kind in SLOW], texts)

    def _do_all(self, ids: Sequence[str], texts: Texts) -> None:
        for id in ids:
            at, task = self._clock(), next((one for one in self.kept.journal.tasks if one.id == id), None)
            # After a clock was set back, nothing waits longer than it may.
            if task and not self._closed.is_set() and (at >= task.due or task.due - at > 2 * LONGEST):
                self._do(task, at, texts)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self.work()
            except Exception:
                logger.exception("what an alarm asks for could not be done")
            self._wake.wait(self._every)
            self._wake.clear()

    # Tasks

    def _do(self, task: Task, at: float, texts: Texts) -> None:
        steps = {
            "candidate": self._store,
            "logbook": partial(self._enter, texts),
            "webhook": self._send,
            "propose-limits": partial(self._propose, texts),
            "retrain": self._retrain,
            "fall-back": self._fall_back,
        }
        if at - task.asked > GIVE_UP and task.tries >= TRIES:
            self._tell_fall_back(task, "left", f"given up after a day: {task.error}")
            self.kept.finish(task, f"{task.id}: given up: {task.error or 'it was not done in time'}")
            logger.warning("%s: given up after a day: %s", task.id, task.error)
            return
        try:
            line = steps[task.kind](task)
        except Suppressed as error:
            self._tell_fall_back(task, "left", str(error))
            self.kept.finish(task, f"{task.id}: not done: {error}")
        except _Absent as error:
            self._wait_for_outlet(task, str(error), at)
        except BeampermitError as error:
            self._try_later(task, error, at)
        else:
            self._tell_fall_back(task, "done", line)
            proposal = Proposal(kind=task.kind, at=at, address=line)
            done = (*self.kept.journal.proposals, proposal)[-20:]
            more: dict[str, object] = {"proposals": done} if task.kind in PROPOSALS else {}
            more |= {"releases": task.trip.model} if task.kind == "fall-back" else {}
            self.kept.finish(task, f"{task.id}: {line}", **more)

    def _wait_for_outlet(self, task: Task, missing: str, at: float) -> None:
        """The next run may be started with it: one by hand, or without a variable, must not end what waits."""
        if at - task.asked > GIVE_UP:
            self.kept.finish(task, f"{task.id}: given up: {missing}")
        elif task.error != missing:
            self.kept.put_task(task.model_copy(update={"error": missing}))
            logger.warning("%s: %s; it waits for a day", task.id, missing)

    def _try_later(self, task: Task, error: BeampermitError, at: float) -> None:
        wait = min(max(_wait(task.tries), _asked(error)), LONGEST)
        failed = {"tries": task.tries + 1, "due": at + wait, "error": error.message[:500]}
        begun = next((one for one in self.kept.journal.tasks if one.id == task.id), task)
        self._tell_fall_back(task, "failed", error.message)
        self.kept.put_task(begun.model_copy(update=failed))
        if task.kind in ("logbook", "webhook"):  # what does not answer once is not asked for each alarm of a flood
            self.kept.postpone(task.kind, at + wait)
        level = logging.INFO if failed["error"] == task.error else logging.WARNING
        logger.log(level, "%s: %s; tried again in %.0f s", task.id, error.message, wait, extra={"hint": error.hint})

    def _tell_fall_back(self, task: Task, state: Literal["done", "failed", "left"], text: str) -> None:
        """On the page and in the issue of the alarm; before the task is finished, so that a kill loses nothing."""
        alarm = self.kept.journal.find(key_of(task.trip))
        if task.kind == "fall-back" and alarm and alarm.trip.name == task.trip.name:  # and not that of an earlier raise
            self.kept.put(alarm.key, fall_back=FallBack(state=state, text=text[:500]))
            self.on_fall_back()

    def _store(self, task: Task) -> str:
        if self.outlets.log is None:
            raise _Absent("there is no prediction log")
        try:
            return f"stored as {store_candidate(self.kept.folder, self.outlets.log, task.trip)}"
        except BadInput as error:
            raise Suppressed(error.message) from None

    def _enter(self, texts: Texts, task: Task) -> str:
        if (book := self.outlets.book) is None:
            raise _Absent("no logbook is set")
        title, text = texts.entry(task.trip, self._on)
        level = "NO_ALARM" if task.trip.cleared else task.trip.standing.level
        id = digest_json(["logbook", name_of(task.trip)]).removeprefix("sha256:")[:32]
        moment = datetime.fromtimestamp(task.trip.window.until, UTC)
        return book.write(Entry(id, moment, title, text, level, task.trip.model))

    def _send(self, task: Task) -> str:
        if self.outlets.webhook is None:
            raise _Absent("no webhook is set")
        self.outlets.webhook.send(task.trip, self._on)
        return "the webhook has it"

    @property
    def _on(self) -> int:
        return sum(alarm.on for alarm in self.kept.journal.alarms)

    def _propose(self, texts: Texts, task: Task) -> str:
        if done := self._done_before(task, lambda: limits_proposed(self._client(), tag_of(task.trip))):
            return done
        client = self._client()
        if self.outlets.new_limits is None:
            raise _Absent("limits need recorded data of the service")
        refuse_second(client, tag_of(task.trip))
        new = self.outlets.new_limits(task.trip)
        self._begin(task)
        alarm = self.kept.journal.find(key_of(task.trip))
        text = texts.limits(task.trip, new.reason, alarm.issue.number if alarm and alarm.issue else 0)
        title = f"Limits of {task.trip.standing.key}"[:200]
        return propose_limits(client, new, title=title, body=text, tag=tag_of(task.trip))

    def _retrain(self, task: Task) -> str:
        if done := self._done_before(task, lambda: retraining_started(self._client(), tag_of(task.trip))):
            return done
        client = self._client()
        self._begin(task)
        return start_retraining(client, reason=task.trip.name, tag=tag_of(task.trip))

    def _fall_back(self, task: Task) -> str:
        host = socket.gethostname()
        if done := self._done_before(task, lambda: self._fell_back(task.trip, host)):
            return done
        if self.outlets.fall_back is None:
            raise _Absent("the monitor has no ledger and registry that it may write")
        self._begin(task)
        return self.outlets.fall_back(task.trip, host).summary

    def _fell_back(self, trip: Trip, host: str) -> str:
        event = self.outlets.fell_back(trip, host)
        return event.summary if event else ""

    def _client(self) -> Client:
        if self.outlets.client is None:
            raise _Absent("no GitHub is known")
        return self.outlets.client

    def _done_before(self, task: Task, found: Callable[[], str]) -> str:
        """What an earlier run did, where this task was begun. Raises `Suppressed` where it is not to be done now."""
        if task.begun and (done := found()):
            return done
        if why := refusal(self.kept.journal, task, self.monitoring, self._clock()):
            raise Suppressed(why)
        return ""

    def _begin(self, task: Task) -> None:
        if not task.begun:
            self.kept.put_task(task.model_copy(update={"begun": True}))

    # GitHub

    def _tell_github(self, texts: Texts) -> None:
        at, journal, issues = self._clock(), self.kept.journal, self.outlets.issues
        if issues is None:
            forget(self.kept, self.monitoring.response, at)
            return
        if at < journal.wait_until and journal.wait_until - at <= LONGEST:
            return
        failures = list(self._try_all(issues, texts, at))
        if failures:
            wait = max(_wait(journal.troubles), *(_asked(error) for error in failures))
            problem = failures[0].message[:500]
            self.kept.update(troubles=journal.troubles + 1, wait_until=at + min(wait, LONGEST), problem=problem)
            logger.warning("GitHub was not told: %s; tried again in %.0f s", problem, wait)
        elif self.kept.journal.troubles:
            self.kept.update(troubles=0, wait_until=0.0, problem="")
            logger.info("GitHub is told again")

    def _try_all(self, issues: Issues, texts: Texts, at: float) -> Iterable[Outside]:
        """What failed. One issue that GitHub refuses is no reason to leave out the others; that nobody answers is."""
        alarms = AlarmIssues(self.kept, issues, texts, self.monitoring, at, self.result)
        alarms.share_out()
        steps: list[Callable[[], None]] = [partial(alarms.settle, alarm) for alarm in self.kept.journal.alarms]
        steps += [alarms.gather, partial(self._report, issues, texts, at), self._show_in_service]
        steps.append(partial(forget, self.kept, self.monitoring.response, at))
        for step in steps:
            if self._closed.is_set():
                return
            try:
                step()
            except Outside as error:
                yield error
                if not isinstance(error, Refused) or isinstance(error, Limited) or error.status in (401, 403):
                    return

    def _report(self, issues: Issues, texts: Texts, at: float) -> None:
        if self.result is not None:
            heartbeat.report(self.kept, issues, texts, self.result, at)

    def _show_in_service(self) -> None:
        """After a fall-back. A token that may not do it is no reason to tell GitHub nothing else."""
        model, show = self.kept.journal.releases, self.outlets.show_in_service
        if not model or show is None:
            return
        try:
            show(model)
        except BeampermitError as error:
            if isinstance(error, Outside) and (not isinstance(error, Refused) or isinstance(error, Limited)):
                raise
            self.kept.note(
                f"the releases do not say what is in service: {error.message}; beampermit publish --in-service"
            )
        self.kept.update(releases="")


class _Absent(Exception):
    """Where a task goes is not set up in this run; the message says what."""


def _wait(tries: int) -> float:
    return min(LONGEST, FIRST * 2.0 ** min(tries, 10))


def _asked(error: BeampermitError) -> float:
    return error.seconds if isinstance(error, Outside) else 0.0
