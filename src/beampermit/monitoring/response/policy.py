"""Which steps a trip starts, as the contract says. Pure: nothing is done here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from beampermit.contract.service import Monitoring
from beampermit.live.severity import Severity
from beampermit.monitoring.response.journal import Alarm, Journal, Kind, Task, key_of, time_of
from beampermit.verdicts.monitoring import Trip

FALL_BACK = frozenset({"MON004", "MON005", "MON006", "MON007"})
"""About what the model gives. For other inputs than those of training, the former champion is no better."""
RETRAIN = frozenset({"MON001", "MON002", "MON004", "MON007"})
LIMITS = frozenset({"MON001", "MON002", "MON003", "MON004"})
"""New limits for a broken service, late answers or wrong predictions would only hide them."""
TELLS: frozenset[Kind] = frozenset({"logbook", "webhook"})
EPISODES = 100
"""Raises of an alarm, before the last, that are known again when they are told again."""


def take(journal: Journal, trips: Iterable[Trip], tasks: Iterable[Task], at: float, most: int) -> Journal:
    """The journal with what trips ask for, and with `tasks` of theirs; the same where it was told before.

    Of more than `most` alarms at once one more is entered and posted, and says so; the others are not.
    """
    alarms = {alarm.key: alarm for alarm in journal.alarms}
    loud = {key for key, alarm in alarms.items() if alarm.on and not alarm.quiet}
    for trip in trips:
        key = key_of(trip)
        known = alarms.get(key)
        if (alarm := _told(known, trip, at) if known else _new(trip)) is None:
            continue
        if alarm.on and (known is None or known.episode != alarm.episode):
            alarm = alarm.model_copy(update={"quiet": len(loud - {key}) > most})
        alarms[key] = alarm
        (loud.add if alarm.on and not alarm.quiet else loud.discard)(key)
    quiet = {key for key, alarm in alarms.items() if alarm.quiet}
    known_ids = {*journal.finished, *(task.id for task in journal.tasks)}
    new = tuple(
        task for task in tasks if task.id not in known_ids and not (task.kind in TELLS and key_of(task.trip) in quiet)
    )
    after = tuple(alarms.values())
    if not new and after == journal.alarms:
        return journal
    return journal.model_copy(update={"alarms": after, "tasks": (*journal.tasks, *new)})


def tasks_of(trip: Trip, monitoring: Monitoring, at: float) -> Iterator[Task]:
    kinds: list[Kind] = ["logbook", "webhook"]
    if not trip.cleared:
        kinds = ["candidate", *kinds]
        response, check, rank = monitoring.response, trip.standing.reading.check, Severity[trip.standing.level]
        if check in FALL_BACK and response.fall_back != "never" and rank >= Severity[response.fall_back]:
            kinds.append("fall-back")
        if rank >= Severity[response.proposes_at]:
            if monitoring.on_trip == "propose-limits" and check in LIMITS:
                kinds.append("propose-limits")
            if monitoring.on_trip == "retrain" and check in RETRAIN:
                kinds.append("retrain")
    for kind in kinds:
        yield Task(kind=kind, trip=trip, asked=at)


def refusal(journal: Journal, task: Task, monitoring: Monitoring, at: float) -> str:
    """Why a proposal or a fall-back is not made now or later; empty where it may be."""
    cooldown = monitoring.response.cooldown
    # A clock that was set back must not lift the bound, nor hold it for ever.
    alike = [proposal for proposal in journal.proposals if (proposal.kind == "fall-back") == (task.kind == "fall-back")]
    recent = [proposal for proposal in alike if abs(at - proposal.at) < cooldown]
    if recent:
        last = recent[-1]
        return f"{last.kind} was done {abs(at - last.at) / 3600:.1f} h ago, and monitoring.response.cooldown is longer"
    alarm = journal.find(key_of(task.trip))
    if alarm is None or not alarm.on or alarm.trip.name != task.trip.name:
        return "the alarm has cleared"
    return ""


def _new(trip: Trip) -> Alarm | None:
    return None if trip.cleared else Alarm(trip=trip)


def _told(alarm: Alarm, trip: Trip, at: float) -> Alarm:
    same = trip.name == alarm.trip.name
    if trip.cleared:
        return alarm.model_copy(update={"cleared": trip, "cleared_at": at}) if alarm.on and same else alarm
    if same:
        worse = Severity[trip.standing.level] > Severity[alarm.trip.standing.level]
        return alarm.model_copy(update={"trip": trip}) if alarm.on and worse else alarm
    if trip.name in alarm.before:
        return alarm  # told before; their times would not say so where a clock was set back
    before = (*alarm.before, alarm.trip.name)[-EPISODES:]
    again = {
        "episode": alarm.episode + 1,
        "before": before,
        "issue": _reawakened(alarm),
        "cleared": None,
        "cleared_at": 0.0,
        "well_until": time_of(alarm.cleared) if alarm.cleared else alarm.well_until,
        "fall_back": None,
    }
    return alarm.model_copy(update={"trip": trip, **again})


def _reawakened(alarm: Alarm) -> object:
    """What a person left is looked at anew when the alarm is raised anew."""
    return alarm.issue and alarm.issue.model_copy(update={"left_alone": False})
