"""Follows the ledger: a new champion is prepared beside the one in service, which goes on until that one is ready."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from beampermit.errors import BeampermitError, Outside
from beampermit.live.loop import Standing
from beampermit.live.promoted.job import Failure, Job, as_error
from beampermit.live.promoted.promoted import Declared, Promoted
from beampermit.live.promoted.promotions import Promotions
from beampermit.live.promoted.served import keep_served, read_served
from beampermit.live.promoted.words import act, plain, time_of
from beampermit.progress import Progress, silent
from beampermit.registry.event import Event
from beampermit.registry.ledger_state import ModelState

logger = logging.getLogger(__name__)
PATIENCE = 10.0
"""Seconds that the thread has to end; git may be waiting for the network."""


class Follower:
    """Looks at the ledger every `every` s, in a thread of its own once it is started.

    `on_champion` gets each new champion with its standing; it may raise a `BeampermitError` where it cannot begin with
    it, which is then tried again. `on_standing` gets each change of the standing of the version in service.
    `on_declared` gets, while no version is in service, what is known of one: which PVs it has. All are called from
    other threads, one at a time but for `on_declared`.
    """

    def __init__(
        self,
        promotions: Promotions,
        on_champion: Callable[[Promoted, Standing], None],
        on_standing: Callable[[Standing], None],
        *,
        on_declared: Callable[[Declared], None] = lambda _: None,
        progress: Progress = silent,
        every: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.current: Promoted | None = None
        """The version that was given to `on_champion` last."""
        self.standing = Standing(0, "", refused="the ledger was not read yet")
        self._promotions, self._progress, self._every, self._clock = promotions, progress, every, clock
        self._on_champion, self._on_standing, self._on_declared = on_champion, on_standing, on_declared
        self._served = read_served(promotions.wanted.state)
        self._declared: Declared | None = None
        self._answered = False
        self._trouble: tuple[str, BeampermitError] | None = None
        """Since when the ledger cannot be followed, and why."""
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

    def look(self) -> None:
        """Look once: what was prepared is handed over, what is new is begun."""
        self._fetch()
        try:
            state, unread = self._promotions.state(), None
        except BeampermitError as error:
            state, unread = None, error
        if state is not None:
            self._collect(state)
            self._begin(state)
        self._say(self._standing(state, unread))

    def settle(self, timeout: float) -> bool:
        """Wait until what is being prepared is ready or failed; whether there is anything."""
        if self._job:
            self._job.join(timeout)
        return self._job is not None

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self.look()
            except Exception:
                # A thread that ended would never see that the version in service is retired.
                logger.exception("the ledger could not be followed")
            self._wake.wait(self._every)
            self._wake.clear()

    def _fetch(self) -> None:
        try:
            self._promotions.look()
        except BeampermitError as error:
            if self._trouble is None or type(error) is not type(self._trouble[1]):
                logger.warning("%s", plain(error), extra={"hint": plain(error.hint)})
                self._trouble = time_of(datetime.now(UTC)), error
            return
        if self._trouble:
            logger.info("the ledger answers again")
        self._trouble, self._answered = None, True

    # What is prepared, and handed over

    def _begin(self, state: ModelState) -> None:
        seen = len(state.events), self._promotions.keys_at
        if seen != self._seen:  # what failed may be repaired: signed again, another key
            self._failures = {key: Failure(one.error, 0, 0.0) for key, one in self._failures.items()}
            self._seen = seen
        target = None if self._job else self._target(state)
        if target:
            self._job = Job(target, self._prepare if state.champion else self._declare, self._wake.set)
            self._job.start()

    def _target(self, state: ModelState) -> Event | None:
        """The event whose version is to be prepared now."""
        champion = state.champion
        if champion is None:
            unknown = self.current is None and self._declared is None
            return state.last_in_service if unknown and self._is_due(state.last_in_service) else None
        if self._is_current(champion):
            return None
        if self._is_due(champion):
            return champion
        served = self._served_before(state)
        return served if self.current is None and self._is_due(served) else None

    def _served_before(self, state: ModelState) -> Event | None:
        """What was served before this start, where it may go on while the champion cannot be served."""
        served = self._served
        if served is None or served.version in state.retired:
            return None
        promotion = state.promoted.get(served.version)
        return served if promotion and _key(promotion) == _key(served) else None

    def _is_due(self, event: Event | None) -> bool:
        if event is None:
            return False
        failure = self._failures.get(_key(event))
        return failure is None or self._clock() >= failure.until

    def _prepare(self, event: Event) -> Declared:
        return self._promotions.prepare(self._declare(event), self._progress)

    def _declare(self, event: Event) -> Declared:
        self._progress("verify the permit")
        declared = self._promotions.declare(event)
        if self.current is None:
            self._declared = declared
            # Another version than was served before may have other PVs, and may not be servable.
            if self._served is None or _key(self._served) == _key(event):
                self._on_declared(declared)
        return declared

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
            self._failures.pop(_key(job.event), None)
            return
        failure = Failure.after(self._failures.get(_key(job.event)), error, self._clock())
        self._failures[_key(job.event)] = failure
        logger.warning("version %d: %s", job.event.version, plain(error), extra={"hint": plain(error.hint)})
        if self.current is None and self._declared and self._served_before(state) is None:
            with suppress(BeampermitError):
                self._on_declared(self._declared)

    def _is_wanted(self, event: Event, state: ModelState) -> bool:
        served = self._served_before(state) if self.current is None else None
        return state.champion is not None and _key(event) in {_key(one) for one in (state.champion, served) if one}

    def _hand_over(self, promoted: Promoted, state: ModelState) -> BeampermitError | None:
        """The error where it cannot begin to serve."""
        before, self.current = self.current, promoted
        standing = self._standing(state, None)
        try:
            self._promotions.verify_permit(promoted)  # keys may have changed while it was prepared
            self._on_champion(promoted, standing)
        except Exception as error:
            self.current = before
            return as_error(error, f"version {promoted.version}")
        self.standing = standing
        if promoted.event:
            self._keep(promoted.event)
        return None

    def _keep(self, event: Event) -> None:
        self._served = event
        try:
            keep_served(self._promotions.wanted.state, event)
        except OSError as error:
            # Only the next start without its champion would need it.
            logger.warning("version %d cannot be kept for the next start: %s", event.version, error.strerror)

    def _is_current(self, event: Event) -> bool:
        return self.current is not None and self.current.event is not None and _key(self.current.event) == _key(event)

    # What is said

    def _say(self, standing: Standing) -> None:
        if standing != self.standing:
            self.standing = standing
            self._on_standing(standing)

    def _standing(self, state: ModelState | None, unread: BeampermitError | None) -> Standing:
        current = self.current
        if current is None:
            return self._standing_of_none(state, unread)
        version, permit = current.version, current.statement.digest
        if state and (retirement := _retirement(state, version)):
            return Standing(version, permit, refused=_retired(retirement, state), retired=True)
        try:
            self._promotions.verify_permit(current)
        except Outside:
            pass  # said by the note
        except BeampermitError as error:
            return Standing(version, permit, refused=plain(error.message))
        return Standing(version, permit, note="; ".join(self._notes(state, unread, current)))

    def _standing_of_none(self, state: ModelState | None, unread: BeampermitError | None) -> Standing:
        trouble = self._trouble[1] if self._trouble else None
        if state is None:
            return Standing(
                0, "", refused=f"no champion could be verified: {plain((trouble or unread or '').__str__())}"
            )
        champion, last = state.champion, state.last_in_service
        if last is None:
            return Standing(0, "", refused=f"no version of {self._promotions.wanted.model} was ever promoted")
        if champion is None:
            return Standing(
                last.version, last.permit, refused=_retired(state.retired[last.version], state), retired=True
            )
        failure = self._failures.get(_key(champion))
        if failure is None:
            return Standing(champion.version, champion.permit, refused=f"version {champion.version} is being prepared")
        refused = f"no champion could be verified: {plain(failure.error)}"
        return Standing(champion.version, champion.permit, refused=refused)

    def _notes(self, state: ModelState | None, unread: BeampermitError | None, current: Promoted) -> list[str]:
        notes = []
        goes_on = f"version {current.version} goes on"
        if self._trouble:
            since, error = self._trouble
            seen = goes_on if self._answered else f"version {current.version} is served as it was last verified here"
            silent = isinstance(error, Outside)
            said = f"the ledger has not answered since {since}" if silent else f"since {since}: {plain(error.message)}"
            notes.append(f"{said}; {seen}")
        elif unread:
            notes.append(f"the ledger cannot be read: {plain(unread)}; {goes_on}")
        if state is None:
            return notes
        champion = state.champion
        if champion and not self._is_current(champion) and (failure := self._failures.get(_key(champion))):
            what = f"version {champion.version}, champion since {champion.at}, cannot be served"
            notes.append(f"{what}: {plain(failure.error)}; {goes_on}")
        if state.frozen:
            notes.append(act("promotions were frozen", state.frozen))
        return notes


def _key(event: Event) -> tuple[int, str]:
    """Events of the same version and permit are one promotion: a rollback repeats it."""
    return event.version, event.permit


def _retirement(state: ModelState, version: int) -> Event | None:
    """Of the version, or of the one that replaced it, with which nothing is in service any more."""
    last = state.last_in_service
    return state.retired.get(version) or (state.retired[last.version] if last and state.champion is None else None)


def _retired(retirement: Event, state: ModelState) -> str:
    words = act(f"version {retirement.version} was retired", retirement)
    return f"{words}; version {state.champion.version} is champion now" if state.champion else words
