"""What GitHub and a logbook say of an alarm of the monitor. Every value may come from a log that anybody wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beampermit.contract import Contract
from beampermit.contract.alarms import alarm_of
from beampermit.documents.markdown import code, duration, moment, number, text, visible
from beampermit.documents.monitoring_guide import GUIDES
from beampermit.monitoring.response.journal import Alarm, newest
from beampermit.verdicts.monitoring import CHECKS, Reading, Result, Standing, Trip

LISTED = 200
"""Alarms in one issue."""


@dataclass(frozen=True)
class AlarmTexts:
    """As `monitoring.response.texts.Texts`; `contract` is that of the version in service, as people agreed on it."""

    contract: Contract

    def title(self, alarm: Alarm) -> str:
        reading = alarm.trip.standing.reading
        of = f" of {reading.subject}" if reading.subject else ""
        return visible(f"{alarm.trip.model}: {_title(reading)}{of} ({reading.check})", limit=200)

    def body(self, alarm: Alarm, result: Result | None = None) -> str:
        trip = alarm.trip
        standing, reading = trip.standing, trip.standing.reading
        rows = [
            ("Severity", text(standing.level)),
            ("Since", moment(standing.since)),
            ("Reading", f"{_against(reading)}"),
            ("Of", code(reading.subject) if reading.subject else "all together"),
            ("Version", f"{trip.version}"),
            ("Window", f"{moment(trip.window.since)} to {moment(trip.window.until)}, {trip.window.rows} rows"),
        ]
        if bypassed := _bypassed(newest(alarm, result)):
            rows.append(("Bypassed", bypassed))
        parts = [
            f"**{text(_title(reading))}** ({reading.check}).",
            text(reading.detail) if reading.detail else "",
            text(fall_back_of(alarm), limit=900),
            "\n".join(("| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows))),
            *self._what_to_do(reading.check),
            "This issue is updated while the alarm is on, and closed when it has been clear for "
            f"{duration(self.contract.monitoring.response.close_after)}. If you close or lock it, it stays so. "
            f"{code('beampermit bypass --help')} says how to bypass an alarm until a time.",
        ]
        return "\n\n".join(filter(None, parts))

    def still_on(self, alarm: Alarm, at: float, result: Result | None = None) -> str:
        standing, window = alarm.trip.standing, alarm.trip.window
        now = newest(alarm, result)
        if now and result and now.level != "NO_ALARM":  # the reading of the raise may be days old
            standing, window = now.model_copy(update={"since": standing.since}), result.window
        bypassed = _bypassed(now)
        again = f", for the {alarm.episode}. time" if alarm.episode > 1 else ""
        went = f" {text(said, limit=900)}" if (said := fall_back_of(alarm)) else ""
        return (
            f"{text(standing.level)} since {moment(standing.since)}{again}: "
            f"{_against(standing.reading)}, in the window until {moment(window.until)}. "
            f"The alarm is on at {moment(at)}{f', bypassed {bypassed}' if bypassed else ''}.{went}"
        )

    def cleared(self, alarm: Alarm) -> str:
        trip = alarm.cleared or alarm.trip
        reading = trip.standing.reading
        said = f"The alarm has cleared: {_against(reading)}, in the window until {moment(trip.window.until)}."
        done = alarm.fall_back and alarm.fall_back.state == "done"
        return f"{said} {text(fall_back_of(alarm), limit=900)}" if done else said

    def gathered_title(self, model: str) -> str:
        return visible(f"{model}: many alarms of the monitor", limit=200)

    def gathered(self, alarms: Sequence[Alarm]) -> str:
        rows = [
            f"| {text(alarm.trip.standing.level)} | {alarm.trip.standing.reading.check} "
            f"| {code(alarm.trip.standing.reading.subject) or 'all together'} | {moment(alarm.trip.standing.since)} "
            f"| {_amount(alarm.trip.standing.reading.value, alarm.trip.standing.reading.unit)} "
            f"| {_amount(alarm.trip.standing.reading.limit, alarm.trip.standing.reading.unit)} |"
            for alarm in alarms[:LISTED]
        ]
        head = ("| severity | check | of | since | reading | limit |", "|---|---|---|---|---|---|")
        more = [f"and {len(alarms) - LISTED} more."] if len(alarms) > LISTED else []
        most = self.contract.monitoring.response.issues
        parts = [
            f"More than {most} alarms are on at once, which is more often one fault of the machine, or of what the "
            f"service reads, than {len(alarms)} different ones. These have no issue of their own:",
            "\n".join((*head, *rows)),
            *more,
            *self._what_to_do(""),
        ]
        return "\n\n".join(parts)

    def heartbeat(self, result: Result) -> str:
        alarmed = [standing for standing in result.standings if standing.alarmed]
        version = f"version {result.window.version}" if result.window.version else "no version in service"
        lines = [
            f"The monitor of {code(result.model)} judged its newest window at {moment(result.at)}: {version}, "
            f"{result.window.rows} rows, {len(alarmed)} alarms.",
            "The monitor replaces this text; the workflow `monitor.yml` fails when that time is longer ago than "
            f"{duration(self.contract.monitoring.response.silent_after)}. The issue may be open or closed.",
        ]
        return "\n\n".join(lines)

    def limits(self, trip: Trip, reason: str, issue: int) -> str:
        reading = trip.standing.reading
        parts = [
            f"{text(_title(reading))}{f' ({code(reading.subject)})' if reading.subject else ''}: {_against(reading)}.",
            text(reason, limit=2000),
            "Merge this only if what the alarm saw is how the machine is to run from now on, and the model is right. "
            "Otherwise close it: the limits stay as they are. The monitor merges nothing.",
            f"Of the alarm in #{issue}." if issue else "",
        ]
        return "\n\n".join(filter(None, parts))

    def entry(self, trip: Trip, on: int = 1) -> tuple[str, str]:
        reading = trip.standing.reading
        of = f" of {reading.subject}" if reading.subject else ""
        state, most = "cleared" if trip.cleared else trip.standing.level, self.contract.monitoring.response.issues
        title = visible(f"{trip.model} {state}: {_title(reading)}{of} ({reading.check})", limit=200)
        lines = [
            f"Reading {_plain(reading.value, reading.unit)}, limit {_plain(reading.limit, reading.unit)}, since "
            f"{moment(trip.standing.since)}, version {trip.version}.",
            visible(reading.detail, limit=500),
            *([] if trip.cleared else [f"- {visible(step)}" for step in self._steps(reading.check)]),
            f"{on} alarms are on at once: not each of them has an entry." if on > most else "",
            "" if trip.cleared else f"On call: {visible(self.contract.operations.on_call)}",
        ]
        return title, "\n".join(filter(None, lines))

    def _what_to_do(self, check: str) -> list[str]:
        steps = [f"- {text(step)}" for step in self._steps(check)]
        call = f"Whom to call: {text(self.contract.operations.on_call)}"
        return [*(["\n".join(("What to do:", "", *steps))] if steps else []), call]

    def _steps(self, check: str) -> Sequence[str]:
        """What the contract says of the cause that this check is of, or else the runbook."""
        if alarm := alarm_of(self.contract, check):
            return alarm.action
        return GUIDES[check].steps if check in GUIDES else ()


def fall_back_of(alarm: Alarm) -> str:
    """What became of going back to the former champion, and what a person can do, plain; empty where nothing did."""
    if alarm.fall_back is None:
        return ""
    said, version = alarm.fall_back.text, alarm.trip.version
    if alarm.fall_back.state == "done":
        undo = f"beampermit rollback --to {version} --reason WHY"
        return f"The monitor went back from version {version} to the former champion: {said}. To undo it: {undo}"
    if alarm.fall_back.state == "left":
        return f"The monitor did not go back to the former champion: {said}."
    by_hand = "beampermit rollback --reason WHY"
    return f"The monitor could not go back to the former champion, and tries again: {said}. By hand: {by_hand}"


def _title(reading: Reading) -> str:
    return CHECKS.get(reading.check, reading.check)


def _bypassed(standing: Standing | None) -> str:
    """Until when, by whom and why; empty where it is not."""
    if standing is None or standing.bypassed_until is None:
        return ""
    until = moment(standing.bypassed_until)
    return f"until {until} by {text(standing.bypassed_by, limit=80)}: {text(standing.bypass_reason, limit=200)}"


def _amount(value: float, unit: str) -> str:
    return f"{number(value)}{f' {text(unit, limit=40)}' if unit else ''}"


def _against(reading: Reading) -> str:
    return f"{_amount(reading.value, reading.unit)}, limit {_amount(reading.limit, reading.unit)}"


def _plain(value: float, unit: str) -> str:
    return f"{number(value)}{f' {visible(unit, limit=40)}' if unit else ''}"
