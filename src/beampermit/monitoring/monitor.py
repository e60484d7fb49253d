"""Judges one window after another: what the ledger says is in service, what its log has, and which alarms follow."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from beampermit.contract import Contract
from beampermit.contract.service import Monitoring
from beampermit.errors import BadInput, BeampermitError
from beampermit.live.observation.monitoring import DRIFT
from beampermit.live.promoted.promotions import Promotions
from beampermit.live.promoted.wanted import Wanted
from beampermit.live.promoted.words import plain
from beampermit.monitoring.filled_in import Seen
from beampermit.monitoring.pictures import pictures
from beampermit.monitoring.quality import distances
from beampermit.monitoring.readings import readings
from beampermit.monitoring.state import StateFolder
from beampermit.monitoring.trip_rules import CANNOT_JUDGE, RuleState, TripRules
from beampermit.monitoring.truth_pvs import TruthSource
from beampermit.monitoring.truth_recorder import TruthRecorder
from beampermit.monitoring.truths import Truths
from beampermit.monitoring.watched import Watch, Watched, bypassing, in_force
from beampermit.monitoring.windows import LogWindow, read_window
from beampermit.registry.event import Event
from beampermit.registry.ledger_state import ModelState
from beampermit.verdicts.monitoring import Picture, Reading, Result, Standing, Trip, Window

logger = logging.getLogger(__name__)
LEDGER, TRUTH = "ledger", "truth"
"""Folders in the monitor's own: the ledger's copy, and what truth PVs said."""
SETTLED = 2.0
"""Seconds after which the rows of a cycle are in the log: it is written twice a second."""
MOST_STANDINGS = 4000
"""In a result, of which the service reads so much: the worst, and the worst of each check."""
AGAIN = 60.0
"""Seconds until the next try where no contract says how often."""
Respond = Callable[[Sequence[Trip], Result, Contract | None], None]
"""With the contract of the version that was judged or served last, None where none ever did. It returns soon."""


@dataclass(frozen=True)
class _Measured:
    """Of a window."""

    watched: Watched
    window: Window
    readings: Sequence[Reading]
    rows: LogWindow | None = None
    filled_in: Sequence[Reading] = ()
    """Of windows that were judged before much of their truth was known."""
    seen: Mapping[str, Seen] | None = None
    """Output -> the truth that was judged with this window."""


def nobody(_trips: Sequence[Trip], _result: Result, _contract: Contract | None) -> None:
    """Trips are shown, and nothing more is done."""


@dataclass(frozen=True)
class Round:
    """One window, judged."""

    result: Result
    trips: tuple[Trip, ...]
    every: float
    """Seconds until the next one."""
    contract: Contract | None = None
    """Of the version that was judged; None where none is in service."""
    pictures: tuple[Picture, ...] = ()
    """Of what drifts, for the page."""
    notes: tuple[str, ...] = ()
    """What is odd, and no alarm."""

    @property
    def in_alarm(self) -> bool:
        return any(one.alarmed for one in self.result.standings)


class Monitor:
    """Of one model, by its prediction log in `log`. Holds its state folder until `close`.

    Killed at any point, the next one goes on: what was judged is kept before it is shown, and a trip until `respond`
    has taken it over.
    """

    def __init__(
        self,
        wanted: Wanted,
        log: Path,
        respond: Respond = nobody,
        clock: Callable[[], float] = time.time,
        truth: Path | None = None,
        root: Path | None = None,
        pvs: TruthSource | None = None,
    ):
        """`wanted.state` is the monitor's folder. `truth` is a table of what turned out to be true; otherwise it is the
        contract's in the project at `root`, and of outputs with a `target_pv` what `pvs` gives, which are subscribed
        where None; a truth that the contract names and nobody knows is an alarm. Raises `BadInput` where another
        monitor holds the folder.
        """
        self._model, self._log, self._respond, self._clock = wanted.model, log, respond, clock
        self._truths = Truths(log, truth, root, pvs or TruthRecorder(wanted.state / TRUTH, clock))
        self.folder = StateFolder(wanted.state, wanted.model)
        try:
            ledger = Wanted(wanted.model, wanted.repository, wanted.state / LEDGER)
            self._promotions = Promotions(ledger)
        except BaseException:
            self.folder.close()
            raise
        self.watch = Watch(self._promotions)
        """What of the ledger is known here."""

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._truths.close()
        self._promotions.close()
        self.folder.close()

    def judge(self) -> Round:
        """Judge the window that ends now, show it, and have its trips responded to.

        Raises `Outside` where the ledger was never read here, `BadInput` where it cannot be read.
        """
        state, at = self.watch.look(), self._clock()
        notes = tuple(filter(None, [self.watch.note]))
        if state.champion is None:
            return self._of_none(state, at, notes)
        known, doubt = self.watch.believed(state, state.champion)
        if known is None:
            return self._of_no_permit(state.champion, at, doubt, notes)
        measured = self._measured(state, known, at)
        watched, window, rows = measured.watched, measured.window, measured.rows
        found = [*measured.readings, *([cannot_judge("permit", doubt)] if doubt else [])]
        contract = watched.contract
        bypass = bypassing(in_force(state, contract, at))
        before = self.folder.kept.rules
        outcome = TripRules(self._model, contract.monitoring, bypass).judge(
            before, [*found, *_judged_again(before, found)], window, measured.filled_in
        )
        drift = max((one.part_of_limit for one in found if one.check in DRIFT), default=None)
        shown = worst(outcome.standings)
        result = Result(model=self._model, at=at, window=window, standings=shown, drift=drift)
        self._settle(outcome.state, outcome.trips, result, contract, measured.seen)
        drawn = pictures(rows, watched.limits, outcome.standings) if rows and watched.limits else ()
        return Round(result, outcome.trips, contract.monitoring.every, contract, drawn, notes)

    def run(self, end: threading.Event, told: Callable[[Round], None]) -> None:
        """Judge a window each `every` s until `end` is set. What fails is logged, and tried again."""
        while not end.is_set():
            began, every = time.monotonic(), AGAIN
            try:
                done = self.judge()
                told(done)
                every = done.every
            except BeampermitError as error:
                logger.warning("%s", plain(error), extra={"hint": plain(error.hint)})
            except Exception:
                # A monitor that ended for one odd window would watch nothing any more.
                logger.exception("the window could not be judged")
            end.wait(max(every - (time.monotonic() - began), 1.0))

    def _of_none(self, state: ModelState, at: float, notes: tuple[str, ...]) -> Round:
        """Nothing is in service: never promoted, or retired. What was in alarm ends."""
        window = Window(since=at, until=at, rows=0, version=0)
        outcome = TripRules(self._model, Monitoring()).judge(self.folder.kept.rules, (), window)
        result = Result(model=self._model, at=at, window=window, standings=(), drift=None)
        self._settle(outcome.state, outcome.trips, result, self._last_contract(state))
        return Round(result, outcome.trips, AGAIN, notes=(*notes, f"no version of {self._model} is in service"))

    def _last_contract(self, state: ModelState) -> Contract | None:
        """That of the version which served last: it says how its alarms end, also after a restart."""
        if state.last_in_service is None:
            return None
        try:
            return self.watch.watched(state.last_in_service).contract
        except BeampermitError as error:
            logger.warning("%s", plain(error))
            return None

    def _of_no_permit(self, champion: Event, at: float, doubt: str, notes: tuple[str, ...]) -> Round:
        """Nobody vouches for any version, so there is no contract to judge by: that alone is said."""
        window, rule = Window(since=at, until=at, rows=0, version=champion.version), Monitoring()
        found = [cannot_judge("permit", doubt)]
        outcome = TripRules(self._model, rule).judge(self.folder.kept.rules, found, window)
        result = Result(model=self._model, at=at, window=window, standings=outcome.standings, drift=None)
        self._settle(outcome.state, outcome.trips, result)
        return Round(result, outcome.trips, rule.every, notes=(*notes, doubt))

    def _measured(self, state: ModelState, watched: Watched, at: float) -> _Measured:
        """What is watched; while another version is still in service instead, that one, by its own limits."""
        until = at - SETTLED
        since = until - watched.contract.monitoring.window
        nothing = Window(since=since, until=until, rows=0, version=watched.version)
        try:
            rows = read_window(self._log, watched.contract, since, until)
            if rows.window.version != watched.version:
                other = state.promoted.get(rows.window.version)
                if other and len(rows) and other.version not in state.retired:
                    watched = self.watch.watched(other)
                rows = read_window(self._log, watched.contract, since, until, version=watched.version)
            window = rows.window.model_copy(update={"version": watched.version})
            return self._read(watched, window, rows)
        except BeampermitError as error:
            return _Measured(watched, nothing, [cannot_judge("log", plain(error))])
        except Exception as error:
            # Whatever a log may hold: that nothing is watched is an alarm, and no end of the monitor.
            logger.exception("the window could not be judged")
            said = plain(f"{type(error).__name__}: {error}", 200)
            return _Measured(watched, nothing, [cannot_judge("log", f"a defect of the monitor: {said}")])

    def _read(self, watched: Watched, window: Window, rows: LogWindow) -> _Measured:
        contract, limits, kept = watched.contract, watched.limits, self.folder.kept
        if limits is None:
            return _Measured(watched, window, [cannot_judge("limits", watched.problem)], rows)
        truths, problems, seen = self._truths.read(watched, rows.window.until, kept.rules, kept.seen)
        said = [cannot_judge("truth", "; ".join(problems))] if problems else []
        found = [*readings(rows, limits, contract, truths), *said]
        late = [*distances((one for truth in truths for one in truth.filled_in), contract, limits)]
        return _Measured(watched, window, found, rows, late, seen)

    def _settle(
        self,
        rules: RuleState,
        trips: Sequence[Trip],
        result: Result,
        contract: Contract | None = None,
        seen: Mapping[str, Seen] | None = None,
    ) -> None:
        """In this order, so that a kill between two of them loses nothing."""
        untold = (*self.folder.kept.untold, *trips)
        self.folder.keep(rules, untold, seen)
        self.folder.show(result)
        self._respond(untold, result, contract)
        if untold:
            self.folder.keep(rules, ())


def cannot_judge(subject: str, why: str) -> Reading:
    return Reading(check=CANNOT_JUDGE, subject=subject, value=1.0, limit=0.0, detail=why)


def worst(standings: Sequence[Standing]) -> tuple[Standing, ...]:
    """As many as a result may have; they come worst first."""
    first: dict[str, str] = {}
    for one in standings:
        first.setdefault(one.reading.check, one.key)
    keys = (*first.values(), *(one.key for one in standings))
    kept = set(itertools.islice(dict.fromkeys(keys), MOST_STANDINGS))
    return tuple(one for one in standings if one.key in kept)


def _judged_again(before: RuleState, found: Sequence[Reading]) -> list[Reading]:
    """Whatever could not be judged before and is not said now can be judged again."""
    now = {one.subject for one in found if one.check == CANNOT_JUDGE}
    subjects = {"", *(one.reading.subject for one in before.judged if one.reading.check == CANNOT_JUDGE)}
    return [Reading(check=CANNOT_JUDGE, subject=subject, value=0.0, limit=0.0) for subject in sorted(subjects - now)]


def require_log(folder: Path) -> None:
    """Raises `BadInput` where there is no such folder: a typing error, where a person asks once."""
    if not folder.is_dir():
        raise BadInput(
            "there is no such folder with a prediction log", file=folder, hint="beampermit serve --log FOLDER"
        )
