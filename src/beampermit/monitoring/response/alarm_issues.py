"""One issue for each alarm: opened, told what is new, closed once it has long been clear. A person's word stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from beampermit.contract.response import Response
from beampermit.contract.service import Monitoring
from beampermit.monitoring.response.issues import Found, Issues, Written, mark_of, mark_of_time
from beampermit.monitoring.response.journal import Alarm, Issue, newest, time_of
from beampermit.monitoring.response.kept import Kept
from beampermit.monitoring.response.texts import Texts
from beampermit.verdicts.monitoring import Result

DELETED = "was deleted"
Said = Callable[[Sequence[Written]], bool]
"""Whether comments of monitors, oldest first, say what another one would."""
GATHER_EVERY = 600.0
"""Seconds between two changes of the issue that lists many alarms."""


def forget(kept: Kept, response: Response, at: float) -> None:
    """Those that are over: an alarm that comes back within `remind_every` opens its issue again."""
    least = max(response.close_after, response.remind_every)
    kept.drop({alarm.key for alarm in kept.journal.alarms if alarm.clear_for(at, least) and _is_settled(alarm)})


@dataclass(frozen=True)
class AlarmIssues:
    """Brings GitHub to what the journal says, at the time `at`. Methods raise `Outside`."""

    kept: Kept
    issues: Issues
    texts: Texts
    monitoring: Monitoring
    at: float
    result: Result | None = None
    """The newest."""

    def settle(self, alarm: Alarm) -> None:
        if alarm.gathered:
            return
        if alarm.on:
            self._while_on(alarm)
        elif self._is_over(alarm):
            self._after(alarm)

    # One alarm

    def _while_on(self, alarm: Alarm) -> None:
        issue = alarm.issue
        if issue and issue.left_alone:
            return
        if issue is None or not issue.number:
            self._open(alarm)
            return
        reminder, until = issue.told == _state_of(alarm), self._bypassed_until(alarm)
        bypassed = reminder and until is not None and until != issue.bypassed_until
        recent = self.at - issue.reminded < self.monitoring.response.remind_every
        if reminder and not bypassed and (recent or until is not None):
            return
        found = self.issues.get(issue.number)
        if found is None or found.locked:
            self._leave_alone(alarm, issue, _why(found))
            return
        by_person = found.state == "closed" and not self._closed_by_monitor(alarm, issue)
        if found.state == "closed" and not by_person:
            self.issues.change(issue.number, state="open")
        told = {"told": _state_of(alarm), "reminded": self.at, "bypassed_until": until, "left_alone": by_person}
        news, said = self._news(alarm, until if bypassed else None, reminder=reminder)
        text = self.texts.still_on(alarm, self.at, self.result)
        self._say(alarm, issue, text, news, said, closed=False, closing=False, **told)

    def _news(self, alarm: Alarm, bypassed: float | None, *, reminder: bool) -> tuple[tuple[str, ...], Said]:
        """The hidden lines of a comment, and whether others say the same: by the state of the alarm, for another
        monitor may count other episodes of it.
        """
        level = _level_of(alarm)
        if bypassed is not None:
            line = mark_of("news", alarm.key, f"{level} bypassed {bypassed:.0f}")
            return (line,), lambda there: any(one.has(line) for one in there)
        if reminder:
            line, least = mark_of("news", alarm.key, f"{level} again"), self.monitoring.response.remind_every / 2
            return (line,), lambda there: any(one.has(line) and abs(one.written_at - self.at) < least for one in there)
        line, own = mark_of("news", alarm.key, level), mark_of("news", alarm.key, alarm.trip.name, level)
        before = [mark_of("news", alarm.key, name, level) for name in alarm.before]
        well = -math.inf if alarm.well_until is None else alarm.well_until

        def said(there: Sequence[Written]) -> bool:
            open_again = takewhile(lambda one: not one.has(_closing(alarm)), reversed(there))
            same = any(one.has(line) and one.about > well and not one.has(*before) for one in open_again)
            return same or any(one.has(own) for one in there)

        # Of when it is, they say by the data: GitHub may have been told late, and its clock is not ours.
        return (line, own, mark_of_time(time_of(alarm.trip))), said

    def _bypassed_until(self, alarm: Alarm) -> float | None:
        now = newest(alarm, self.result)
        return now.bypassed_until if now else None

    def _open(self, alarm: Alarm) -> Issue:
        self.kept.put(alarm.key, issue=Issue())
        found = self.issues.open(
            self.texts.title(alarm), self.texts.body(alarm, self.result), mark_of("alarm", alarm.key)
        )
        until = self._bypassed_until(alarm)
        issue = Issue(number=found.number, told=_state_of(alarm), reminded=self.at, bypassed_until=until)
        self.kept.put(alarm.key, issue=issue)
        self.kept.note(f"{alarm.key}: issue {found.number}, {found.html_url}")
        return issue

    def _after(self, alarm: Alarm) -> None:
        issue = alarm.issue
        if issue is None or issue.closed or issue.left_alone:
            return
        if not issue.number:  # GitHub did not answer while it was on
            issue = self._open(alarm)
        found = self.issues.get(issue.number)
        if found and found.state == "closed" and self._closed_by_monitor(alarm, issue):
            self._closed(alarm, issue)
            return
        if found is None or found.locked or found.state == "closed":
            self._leave_alone(alarm, issue, _why(found))
            return
        news = f"{alarm.episode} cleared"
        if issue.told != news:
            marks = _closing(alarm), mark_of("news", alarm.key, news)
            issue = self._say(
                alarm,
                issue,
                self.texts.cleared(alarm),
                marks,
                lambda there: any(one.has(*marks) for one in there[-1:]),
                told=news,
                closing=True,
            )
        self.issues.change(issue.number, state="closed")
        self._closed(alarm, issue)

    def _closed(self, alarm: Alarm, issue: Issue) -> None:
        self.kept.put(alarm.key, issue=issue.model_copy(update={"closed": True, "closing": False}))
        self.kept.note(f"{alarm.key}: issue {issue.number} is closed, the alarm has cleared")

    def _closed_by_monitor(self, alarm: Alarm, issue: Issue) -> bool:
        """By this one, or by that of another machine: their last word says it."""
        last, own = self.issues.last_word(issue.number), issue.closed or issue.closing
        if last is None:
            return own
        # Before there was a line for it, this one's own last word was what its journal has.
        return last.has(_closing(alarm)) or (own and last.has(mark_of("news", alarm.key, issue.told)))

    def _say(self, alarm: Alarm, issue: Issue, text: str, marks: tuple[str, ...], said: Said, **after: object) -> Issue:
        """Write a comment once, by whichever monitor; `after` is what the journal then says of the issue."""
        self.issues.say(issue.number, text, marks, said)
        issue = issue.model_copy(update=after)
        self.kept.put(alarm.key, issue=issue)
        return issue

    def _leave_alone(self, alarm: Alarm, issue: Issue, why: str) -> None:
        number = 0 if why == DELETED else issue.number  # the next time that it is raised, another one is opened
        left = {"left_alone": True, "told": _state_of(alarm), "number": number}
        self.kept.put(alarm.key, issue=issue.model_copy(update=left))
        self.kept.note(f"{alarm.key}: issue {issue.number} {why} and is left alone")

    # Those that have none of their own

    def share_out(self) -> None:
        """Those for which there is no issue of their own are gathered."""
        alarms = self.kept.journal.alarms
        own = sum(alarm.issue is not None and not alarm.issue.closed for alarm in alarms)
        new = [alarm.key for alarm in alarms if alarm.on and alarm.issue is None and not alarm.gathered]
        if without := new[max(0, self.monitoring.response.issues - own) :]:
            self.kept.put(*without, gathered=True)

    def gather(self) -> None:
        """One issue lists them; it is closed when none of them is on."""
        gathered = [alarm for alarm in self.kept.journal.alarms if alarm.gathered]
        on = [alarm for alarm in gathered if alarm.on]
        issue = self.kept.journal.gathering
        if on and (issue is None or not issue.number):
            self._open_gathering(on)
        elif issue and issue.number and on:
            self._update_gathering(issue, on)
        elif issue and issue.number and all(self._is_over(alarm) for alarm in gathered):
            self._close_gathering(issue)

    def _open_gathering(self, on: list[Alarm]) -> None:
        model = on[0].trip.model
        self.kept.update(gathering=Issue())
        mark = mark_of("gathering", model)
        found = self.issues.open(self.texts.gathered_title(model), self.texts.gathered(on), mark)
        self.kept.update(gathering=Issue(number=found.number, told=_all(on), reminded=self.at))
        self.kept.note(f"{len(on)} more alarms: issue {found.number}, {found.html_url}")

    def _update_gathering(self, issue: Issue, on: list[Alarm]) -> None:
        if issue.told == _all(on) or 0 <= self.at - issue.reminded < GATHER_EVERY:
            return
        found = self.issues.get(issue.number)
        if found is None:
            self.kept.update(gathering=None)
            return
        if not found.locked:
            body = self.texts.gathered(on)
            self.issues.change(issue.number, body=f"{body.rstrip()}\n\n{mark_of('gathering', on[0].trip.model)}\n")
        self.kept.update(gathering=issue.model_copy(update={"told": _all(on), "reminded": self.at}))

    def _close_gathering(self, issue: Issue) -> None:
        found = self.issues.get(issue.number)
        if found and not found.locked and found.state == "open":
            self.issues.change(issue.number, state="closed")
        self.kept.update(gathering=None)

    def _is_over(self, alarm: Alarm) -> bool:
        return alarm.clear_for(self.at, self.monitoring.response.close_after)


def _closing(alarm: Alarm) -> str:
    """The line of the comment with which a monitor closes an issue."""
    return mark_of("closing", alarm.key)


def _state_of(alarm: Alarm) -> str:
    """What readers are told once each. Why a fall-back fails may change with each try, that it fails is news once."""
    return f"{alarm.episode} {_level_of(alarm)}"


def _level_of(alarm: Alarm) -> str:
    """The same, whichever episode it is."""
    level = alarm.trip.standing.level
    return f"{level}, fall-back {alarm.fall_back.state}" if alarm.fall_back else level


def _all(alarms: list[Alarm]) -> str:
    return mark_of(*sorted(f"{alarm.key} {_state_of(alarm)}" for alarm in alarms))


def _is_settled(alarm: Alarm) -> bool:
    issue = alarm.issue
    return issue is None or issue.closed or issue.left_alone


def _why(found: Found | None) -> str:
    if found is None:
        return DELETED
    return "is locked" if found.locked else "was closed by a person"
