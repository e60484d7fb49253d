"""All truth that is known of what a version predicted: from the contract's table, and from PVs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from beampermit.contract.signals import Signal
from beampermit.errors import BeampermitError
from beampermit.live.promoted.words import plain
from beampermit.monitoring.filled_in import Seen, filled_in
from beampermit.monitoring.quality import Truth, compare, compare_windows
from beampermit.monitoring.trip_rules import RuleState
from beampermit.monitoring.truth_pvs import TruthSource, truth_of, truth_pvs
from beampermit.monitoring.truth_tables import read_table
from beampermit.monitoring.watched import Watched

MOST_WORDS = 500
"""Characters of what is wrong with PVs: hundreds may be disconnected."""


class Known(NamedTuple):
    """What is known, compared with the log."""

    truths: list[Truth]
    problems: list[str]
    """Why something that should be known is not."""
    seen: Mapping[str, Seen]
    """Output -> the truth in its table, once this is judged."""


class Truths:
    """`table` is that of all outputs with a target; without one, it is the contract's in the project at `root`, and
    outputs with a `target_pv` have theirs from `pvs`.
    """

    def __init__(self, log: Path, table: Path | None, root: Path | None, pvs: TruthSource):
        self._log, self._table, self._root, self._pvs = log, table, root, pvs

    def close(self) -> None:
        self._pvs.close()

    def read(self, watched: Watched, until: float, before: RuleState, seen: Mapping[str, Seen]) -> Known:
        """What is known before `until`. `before` says up to when predictions were compared the last time, and `seen`
        with how much.
        """
        found, problems, now = list[Truth](), list[str](), {**seen}
        with _noted(problems):
            those = self._of_table(watched, until, before, problems)
            for truth, after in [self._filled_in(one, watched, until, before, seen) for one in those]:
                found.append(truth)
                now |= after
        with _noted(problems):
            found += self._of_pvs(watched, until, before, problems)
        return Known(found, [*problems, *_unlimited(found, watched)], now)

    def _of_table(self, watched: Watched, until: float, before: RuleState, problems: list[str]) -> list[Truth]:
        contract = watched.contract
        named = contract.monitoring.truth
        table = self._table or (self._root / named if self._root and named else None)
        outputs = [one for one in contract.signals.outputs if one.target and (self._table or not one.target_pv)]
        if not outputs and any(one.target_pv for one in contract.signals.outputs):
            return []
        if table is None:
            problems += [f"{named} of the contract is not here: --truth FILE"] if named else []
            return []
        truth = read_table(table, contract, until, outputs, self._root)

        def known(output: Signal) -> tuple[float, float]:
            return truth.of([output.name]).newest, _judged(before, watched, until, [output.name])

        # Labels of one output may come days after those of another: each is judged up to its own newest.
        each: dict[tuple[float, float], list[Signal]] = {}
        for output in outputs:
            each.setdefault(known(output), []).append(output)
        alike = [each[key] for key in sorted(each)] or [outputs]
        return [self._compared(truth.of([one.name for one in of]), of, watched, until, before) for of in alike]

    def _of_pvs(self, watched: Watched, until: float, before: RuleState, problems: list[str]) -> list[Truth]:
        contract = watched.contract
        pvs = () if self._table else truth_pvs(contract, watched.declared.root)
        self._pvs.follow(pvs, contract)
        if not pvs:
            return []
        lag, rule = contract.monitoring.truth_lag or 0.0, contract.monitoring
        ordered = sorted(pvs, key=lambda one: one.output.name)
        each = [list(same) for _, same in groupby(ordered, key=lambda one: one.output.name)]
        first = min(_judged(before, watched, until, [of[0].output.name]) for of in each)
        samples = self._pvs.read(first - rule.window - 2 * rule.truth_within + lag, until + lag)
        faults = "; ".join(self._pvs.faults())
        problems += [plain(faults, MOST_WORDS)] if faults else []
        truths = [(of[0].output, truth_of(of, samples, until, lag, self._pvs.note(of))) for of in each]
        return [self._compared(truth, [output], watched, until, before) for output, truth in truths]

    def _filled_in(
        self, truth: Truth, watched: Watched, until: float, before: RuleState, seen: Mapping[str, Seen]
    ) -> tuple[Truth, dict[str, Seen]]:
        """With the windows that a table fills in, and what is seen then. Of PVs nobody fills in what was."""
        contract, after = watched.contract, dict[str, Seen]()
        several = sum(bool(one.target or one.target_pv) for one in contract.signals.outputs) > 1
        for name in truth.values:
            own = truth.of([name])
            judged = max(_compared_until(before, watched, [name]), default=-math.inf)
            found = filled_in(own, seen.get(name), watched.version, contract.monitoring, until, judged)
            if found is None:
                continue
            windows = compare_windows(own, self._log, contract, until, found.ends, version=watched.version)
            said = filter(None, [found.note(name if several else "")])
            truth = replace(truth, filled_in=(*truth.filled_in, *windows), late=(*truth.late, *said))
            after[name] = found.seen
        return truth, after

    def _compared(
        self, truth: Truth, outputs: Sequence[Signal], watched: Watched, until: float, before: RuleState
    ) -> Truth:
        judged = _judged(before, watched, until, [output.name for output in outputs])
        return compare(truth, self._log, watched.contract, until, version=watched.version, judged=judged)


@contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except BeampermitError as error:
        problems.append(plain(error))


def _unlimited(truths: Sequence[Truth], watched: Watched) -> list[str]:
    """Truth that has come and that nothing is compared with: the reference had none, or text."""
    of = watched.limits.outputs if watched.limits else {}
    known = (name for truth in truths if truth.newest > -math.inf for name in truth.values)
    names = [name for name in known if name in of and of[name].error is None]
    file = watched.contract.monitoring.limits
    return [f"{file} has no limit of the distance of {', '.join(names)} from the truth"] if names else []


def _judged(before: RuleState, watched: Watched, until: float, outputs: Sequence[str]) -> float:
    """Up to when predictions of this version were compared with their truth; at first since its promotion, as long as
    truth may be late.
    """
    if times := _compared_until(before, watched, outputs):
        return min(max(times), until)  # a clock may have been set back
    event = watched.declared.event
    promoted = event.moment.timestamp() if event else until
    return min(max(promoted, until - watched.contract.monitoring.truth_after), until)


def _compared_until(before: RuleState, watched: Watched, outputs: Sequence[str]) -> list[float]:
    """Of each of these outputs that was, the newest truth that was compared with predictions of this version."""
    if before.version != watched.version:
        return []
    of = [one.reading for one in before.judged if one.reading.check == "MON007" and one.reading.subject in outputs]
    return [one.newest for one in of if one.newest is not None]
