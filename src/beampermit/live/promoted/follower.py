"""Follows the ledger: a new champion is prepared beside the one in service, which goes on until that one is ready."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from beampermit.environments import Environment
from beampermit.errors import BeampermitError, Outside
from beampermit.live.loop import Standing
from beampermit.live.promoted.job import Failure, Job, as_error
from beampermit.live.promoted.promoted import Declared, Promoted
from beampermit.live.promoted.promotions import Promotions
from beampermit.live.promoted.reach import Reach
from beampermit.live.promoted.resuming import key_of, may_go_on
from beampermit.live.promoted.served import keep_served, read_served
from beampermit.live.promoted.words import act, bypassed, plain, retired, retirement_of
from beampermit.progress import Progress, silent
from beampermit.registry.event import Event
from beampermit.registry.ledger_state import ModelState

logger = logging.getLogger(__name__)
PATIENCE = 10.0
"""Seconds that the thread has to end; git may be waiting for the network."""


class Follower:
    """Looks at the ledger every `every` s, in a thread of its own once it is started.

    `on_champion` gets each new champion with its standing; it may raise a `BeampermitError` where it cannot begin with
    it, which is then tried again. `on_standing` gets each change of the standing of that version, and of the one that
    still shows while the new one runs beside it. `on_declared` gets, while no version is in service, what is known of
    one: which PVs it has. `on_environment` gets a version whose permit is believed, and its environment where that is
    there already, before any of its bytes is read; `on_unused` is called where it is then not given to `on_champion`.
    All are called from other threads, one at a time but for `on_declared` and `on_environment`.
    """

    def __init__(
        self,
        promotions: Promotions,
        on_champion: Callable[[Promoted, Standing], None],
        on_standing: Callable[[Standing], None],
        *,
        on_declared: Callable[[Declared], None] = lambda _: None,
        on_environment: Callable[[Declared, Environment], None] = lambda *_: None,
        on_unused: Callable[[], None] = lambda: None,
        progress: Progress = silent,
        every: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self.current: Promoted | None = None
        """The version that was given to `on_champion` last."""
        self.shows: Promoted | None = None
        """The version whose numbers are shown: the first that was handed over, and then what `took_over` named."""
        self.standing = Standing(0, "", refused="the ledger was not read yet")
        """Of `current`."""
        self.pvs_ended = False
        """Whether nothing is in service, and nothing has PVs any more."""
        self.waits = False
        """Whether the last look found nothing to show and nothing to prepare: no version that can be believed."""
        self._promotions, self._progress, self._every, self._clock = promotions, progress, every, clock
        self._now = now
        self._on_champion, self._on_standing, self._on_declared = on_champion, on_standing, on_declared
        self._on_environment, self._on_unused = on_environment, on_unused
        self._served = read_served(promotions.wanted.state)
        self._declared: Declared | None = None
        self._handed: dict[int, Promoted] = {}
        self._took_over: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._gave_up: queue.SimpleQueue[tuple[int, BeampermitError]] = queue.SimpleQueue()
        self._resumed = False
        """Whether what shows is no champion, and began because it answered last before this start."""
        self._said: dict[int, Standing] = {}
        self._pvs_shown = threading.Event()
        """Set once `on_declared` was called."""
        self._say_again = threading.Event()
        self._reach = Reach(promotions, clock)
        self._state: ModelState | None = None
        """As it was read last: what counts while the ledger cannot be read, a retirement above all."""
        self._job: Job | None = None
        self._failures: dict[tuple[int, str], Failure] = {}
        self._seen: tuple[int, str] = (0, "")
        self._closed, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="follow the ledger", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._wake.set()
        if self._thread.ident:
            self._thread.join(PATIENCE)

    def took_over(self, version: int) -> None:
        """This version shows from here on, and has answered: the first one as well as each that replaces another.

        Any thread may call it; it returns at once, and counts from the next look, which is at once where the thread
        runs. It is what goes on after a restart whose champion cannot be served.
        """
        self._took_over.put(version)
        self._wake.set()

    def gave_up(self, version: int, error: BeampermitError) -> None:
        """This version was handed over, and cannot begin to run or has ended beside the one that shows.

        It is handed over again later. As `took_over`, it counts from the next look.
        """
        self._gave_up.put((version, error))
        self._wake.set()

    def look(self) -> None:
        """Look once: what was prepared is handed over, what is new is begun."""
        self._reach.look(serves=self.current is not None)
        self._note_switches()
        self._note_failures()
        unread = self._read()
        if self._state is not None and unread is None:
            self.pvs_ended = self._pvs_ended(self._state)
            self._collect(self._state)
            self._begin(self._state)
        self._say(self._standings(self._state, unread))
        self.waits = self.current is None and self._job is None and not self._pvs_shown.is_set()

    def settle(self, timeout: float) -> bool:
        """Wait until what is being prepared is ready or failed, and what was asked is known; whether there is news."""
        news = self._reach.settle(timeout)
        if self._job:
            self._job.join(timeout)
        return news or self._job is not None

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self.look()
            except Exception:
                # A thread that ended would never see that the version in service is retired.
                logger.exception("the ledger could not be followed")
            self._wake.wait(self._every)
            self._wake.clear()
        self._note_switches()

    def _note_switches(self) -> None:
        with suppress(queue.Empty):
            while True:
                promoted = self._handed.get(self._took_over.get_nowait())
                if promoted is None:
                    continue
                self._resumed = self._resumed and promoted is self.shows
                self.shows = promoted
                if promoted.event:
                    self._failures.pop(key_of(promoted.event), None)
                    self._keep(promoted.event)

    def _note_failures(self) -> None:
        with suppress(queue.Empty):
            while True:
                version, error = self._gave_up.get_nowait()
                current, shows = self.current, self.shows
                if current is None or shows is None or version != current.version or version == shows.version:
                    continue
                self.current = shows
                self._handed.pop(version, None)
                if current.event:
                    self._fail(current.event, error)

    def _fail(self, event: Event, error: BeampermitError) -> None:
        key = key_of(event)
        self._failures[key] = Failure.after(self._failures.get(key), error, self._clock())
        logger.warning("version %d: %s", event.version, plain(error), extra={"hint": plain(error.hint)})

    def _read(self) -> BeampermitError | None:
        """Why the ledger as last fetched cannot be read."""
        try:
            self._state = self._promotions.state()
        except BeampermitError as error:
            return error
        return None

    # What is prepared, and handed over

    def _begin(self, state: ModelState) -> None:
        seen = len(state.events), self._promotions.keys_at
        if seen != self._seen:  # what failed may be repaired: signed again, another key
            self._failures = {key: Failure(one.error, 0, 0.0) for key, one in self._failures.items()}
            self._seen = seen
        target = None if self._job else self._target(state)
        if target:
            # While another version may go on, its PVs are shown: those of this one may be others, or not be servable.
            served = self._served_before(state) if state.champion else None
            shown = self.current is None and (served is None or key_of(served) == key_of(target))
            work = self._prepare if state.champion else self._declare
            self._job = Job(target, partial(work, shown=shown), self._wake.set)
            self._job.start()

    def _target(self, state: ModelState) -> Event | None:
        """The event whose version is to be prepared now."""
        champion = state.champion
        if champion is None:
            unknown = self.current is None and not self._pvs_shown.is_set()
            return state.last_in_service if unknown and self._is_due(state.last_in_service) else None
        if self._is_current(champion):
            return None
        served = self._served_before(state) if self.current is None else None
        if served and key_of(served) != key_of(champion) and self._is_due(served):
            return served  # the champion then runs beside it, and takes over once it answers
        return champion if self._is_due(champion) else None

    def _served_before(self, state: ModelState) -> Event | None:
        """What was served before this start, where it may go on until the champion answers."""
        return may_go_on(self._served, state)

    def _is_due(self, event: Event | None) -> bool:
        if event is None:
            return False
        failure = self._failures.get(key_of(event))
        return failure is None or self._clock() >= failure.until

    def _prepare(self, event: Event, *, shown: bool) -> Declared:
        return self._promotions.prepare(self._declare(event, shown=shown), self._progress, self._on_environment)

    def _declare(self, event: Event, *, shown: bool) -> Declared:
        """What is known of the version before its bytes are here; `shown`: outputs that say why they have no value."""
        self._progress("verify the permit")
        declared = self._promotions.declare(event)
        if self.current is None:
            self._declared = declared
        if shown:
            self._show_pvs(declared)
        return declared

    def _show_pvs(self, declared: Declared) -> None:
        self._on_declared(declared)
        self._pvs_shown.set()
        self._say_again.set()  # nobody could be told before

    def _collect(self, state: ModelState) -> None:
        """What a job gave is handed over where it is still wanted: the ledger may have moved on meanwhile."""
        job = self._job
        if job is None or job.is_alive():
            return
        self._job = None
        error = job.error
        if error is None and isinstance(job.result, Promoted) and self._is_wanted(job.event, state):
            error = self._hand_over(job.result, state)
            if error is None:
                return
        self._on_unused()
        if error is None:
            return
        self._fail(job.event, error)
        if self.current is None and self._declared and self._served_before(state) is None:
            with suppress(BeampermitError):
                self._show_pvs(self._declared)

    def _is_wanted(self, event: Event, state: ModelState) -> bool:
        served = self._served_before(state) if self.current is None else None
        return state.champion is not None and key_of(event) in {key_of(one) for one in (state.champion, served) if one}

    def _hand_over(self, promoted: Promoted, state: ModelState) -> BeampermitError | None:
        """The error where it cannot begin to serve."""
        before, showed = self.current, self.shows
        self.current = promoted
        if showed is None or showed.version == promoted.version:
            self.shows = promoted
        standing = self._standing(promoted, state, None)
        try:
            self._promotions.verify_permit(promoted)  # keys may have changed while it was prepared
            self._on_champion(promoted, standing)
        except Exception as error:
            self.current, self.shows = before, showed
            return as_error(error, f"version {promoted.version}")
        self._handed[promoted.version] = promoted
        self._said[promoted.version] = self.standing = standing
        if showed is None and promoted.event:
            self._resumed = not self._is_champion(promoted.event, state)
            if self._resumed:
                logger.info("version %d begins: it answered last before this start", promoted.version)
            served = self._served_before(state)
            # What was served before this start is given up only once this one has answered.
            if served is None or key_of(served) == key_of(promoted.event):
                self._keep(promoted.event)
        return None

    def _keep(self, event: Event) -> None:
        """For the next start, as what may go on where its champion cannot be served."""
        if self._served != event:
            self._served = event
            keep_served(self._promotions.wanted.state, event)

    def _is_champion(self, event: Event, state: ModelState) -> bool:
        return state.champion is not None and key_of(state.champion) == key_of(event)

    def _is_current(self, event: Event) -> bool:
        current = self.current.event if self.current else None
        return current is not None and key_of(current) == key_of(event)

    # What is said

    def _say(self, standings: list[Standing]) -> None:
        self.standing = standings[0]
        if self._say_again.is_set():
            self._say_again.clear()
            self._said = {}
        said, self._said = self._said, {}
        for standing in standings:
            if said.get(standing.version) != standing:
                self._on_standing(standing)
            self._said[standing.version] = standing  # what could not be said is said at the next look

    def _standings(self, state: ModelState | None, unread: BeampermitError | None) -> list[Standing]:
        """Of the version that was handed over last, and then of the one that shows, where that is another."""
        current, shows = self.current, self.shows
        if current is None or shows is None:
            return [self._standing_of_none(state, unread)]
        last = self._standing(current, state, unread)
        return [last] if shows.version == current.version else [last, self._standing(shows, state, unread, last)]

    def _standing(
        self, of: Promoted, state: ModelState | None, unread: BeampermitError | None, beside: Standing | None = None
    ) -> Standing:
        """`beside`: of the champion that runs beside it."""
        version, permit = of.version, of.statement.digest
        if state and (retirement := retirement_of(state, version)):
            return self._standing_of_retired(version, permit, retirement, state)
        try:
            self._promotions.verify_permit(of)
        except Outside:
            pass  # said by the note
        except BeampermitError as error:
            return Standing(version, permit, refused=plain(error.message))
        in_force = state.bypasses(self._now(), of.contract.monitoring.bypass_at_most) if state else ()
        faults, routine = self._faults(state, unread, beside), self._routine(state, beside)
        note = "; ".join([*faults, *routine])
        return Standing(version, permit, note=note, routine=not faults and bool(routine), bypassed=bypassed(in_force))

    def _standing_of_none(self, state: ModelState | None, unread: BeampermitError | None) -> Standing:
        if state is None or (unread and state.champion):
            why = self._reach.error or unread or ""
            return Standing(0, "", refused=f"no champion could be verified: {plain(why)}")
        champion, last = state.champion, state.last_in_service
        if last is None:
            return Standing(0, "", refused=f"no version of {self._promotions.wanted.model} was ever promoted")
        if champion is None:
            return self._standing_of_retired(last.version, last.permit, state.retired[last.version], state)
        failure, begun = self._failures.get(key_of(champion)), self._job.event if self._job else champion
        if failure is None:
            return Standing(begun.version, begun.permit, refused=f"version {begun.version} is being prepared")
        refused = f"no champion could be verified: {plain(failure.error)}"
        return Standing(champion.version, champion.permit, refused=refused)

    def _standing_of_retired(self, version: int, permit: str, retirement: Event, state: ModelState) -> Standing:
        refused = retired(retirement, state)
        return Standing(version, permit, refused=refused, retired=True, ended=self._pvs_ended(state))

    def _pvs_ended(self, state: ModelState) -> bool:
        retirement = state.out_of_service
        return retirement is not None and retirement.pvs_ended(self._now())

    def _faults(self, state: ModelState | None, unread: BeampermitError | None, beside: Standing | None) -> list[str]:
        """Notes of what is not as it should be."""
        shown = self._version_shown
        faults, champion = self._reach.notes(shown, unread), self._champion(state)
        if champion and (reason := self._why_not(champion, beside)):
            what = f"version {champion.version}, champion since {champion.at}, cannot be served"
            faults.append(f"{what}: {reason}; {shown} goes on")
        return faults

    def _routine(self, state: ModelState | None, beside: Standing | None) -> list[str]:
        """Notes of what somebody wanted, or what comes with each promotion."""
        notes, champion = [], self._champion(state)
        if champion and not self._why_not(champion, beside):
            what = f"version {champion.version} is champion since {champion.at}"
            if beside and self._is_current(champion):
                notes.append(f"{what} and runs beside it")
            elif self._resumed and not self._is_current(champion):
                notes.append(f"{what}; {self._version_shown} answered last, and goes on until it answers")
        if state and state.frozen:
            notes.append(act("promotions were frozen", state.frozen))
        return notes

    @property
    def _version_shown(self) -> str:
        return f"version {self.shows.version if self.shows else 0}"

    def _champion(self, state: ModelState | None) -> Event | None:
        return state.champion if state else self.current and self.current.event

    def _why_not(self, champion: Event, beside: Standing | None) -> str:
        """Why the champion is not what shows; empty where nothing hinders it."""
        if self._is_current(champion):
            return beside.refused if beside else ""
        failure = self._failures.get(key_of(champion))
        return plain(failure.error) if failure else ""
