"""What the monitor found, as a page for the operator: what, since when, how bad, what to do, whom to call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beampermit.contract import Contract
from beampermit.contract.alarms import alarm_of
from beampermit.documents import rendering
from beampermit.documents.alarm_texts import fall_back_of
from beampermit.documents.local_time import local_moment
from beampermit.documents.markdown import Markdown, duration, number
from beampermit.documents.monitoring_guide import GUIDES
from beampermit.documents.page import drawing, page
from beampermit.errors import counted
from beampermit.live.severity import Severity
from beampermit.live.status_pvs import status_pv
from beampermit.monitoring.response.journal import Alarm
from beampermit.verdicts.monitoring import CHECKS, Picture, Result, Standing

ICONS = {"NO_ALARM": "✅", "MINOR": "⚠️", "MAJOR": "❌", "INVALID": "❔"}
TITLE = "Monitoring"
LISTED = 500
"""Rows of the table."""


@dataclass(frozen=True)
class _Row:
    """A standing, in words."""

    standing: Standing
    contract: Contract | None
    drawing: Markdown

    @property
    def icon(self) -> str:
        return ICONS[self.level]

    @property
    def level(self) -> str:
        return self.standing.level

    @property
    def check(self) -> str:
        return self.standing.reading.check

    @property
    def title(self) -> str:
        return CHECKS.get(self.check, "")

    @property
    def subject(self) -> str:
        return self.standing.reading.subject

    @property
    def detail(self) -> str:
        return self.standing.reading.detail

    @property
    def since(self) -> str:
        return _time(self.standing.since, self.contract)

    @property
    def value(self) -> str:
        return f"{number(self.standing.reading.value, 3)} {self.standing.reading.unit}".rstrip()

    @property
    def limit(self) -> str:
        return number(self.standing.reading.limit, 3)

    @property
    def times(self) -> str:
        reading = self.standing.reading
        return number(reading.part_of_limit, 3) if reading.limit > 0 else "many"

    @property
    def pv(self) -> str:
        return status_pv(self.contract, self.check) if self.contract else ""

    @property
    def bypassed(self) -> str:
        standing = self.standing
        if standing.bypassed_until is None:
            return ""
        return (
            f"until {_time(standing.bypassed_until, self.contract)} by {standing.bypassed_by}: {standing.bypass_reason}"
        )


def monitoring_page(
    result: Result, contract: Contract | None, pictures: Sequence[Picture] = (), told: Sequence[Alarm] = ()
) -> str:
    """HTML; drawings are made for alarms alone. `contract` is that of the version that was judged.

    `told` are the alarms of the last days, also of other versions: of them the page says where the monitor went back.
    """
    drawings = _drawings(pictures)
    went_back = [f"{alarm.trip.standing.key}: {said}" for alarm in told if (said := fall_back_of(alarm))]
    values = {**_values(result, contract, drawings), "went_back": went_back}
    text = rendering.join(rendering.blocks("monitoring.md.j2", values))
    return page(text, TITLE, drawings)


def headline(result: Result) -> str:
    """Such as `2 alarms, the worst is MAJOR`."""
    alarmed = [one for one in result.standings if one.alarmed]
    bypassed = sum(one.level != "NO_ALARM" and not one.alarmed for one in result.standings)
    beside = f"; {counted(bypassed, 'alarm')} bypassed" if bypassed else ""
    if not alarmed:
        return f"nothing is in alarm{beside}"
    worst = max((one.level for one in alarmed), key=lambda level: Severity[level])
    return f"{counted(len(alarmed), 'alarm')}, the worst is {worst}{beside}"


def _values(result: Result, contract: Contract | None, drawings: dict[str, str]) -> dict[str, object]:
    rows = [_row(one, contract, drawings) for one in result.standings[:LISTED]]
    alarms = [row for row in rows if row.level != "NO_ALARM"]
    return {
        "result": result,
        "contract": contract,
        "headline": headline(result),
        "since": _time(result.window.since, contract),
        "until": _time(result.window.until, contract),
        "at": _time(result.at, contract),
        "every": duration(contract.monitoring.every) if contract else "",
        "alarms": alarms,
        "answers": _answers(contract, alarms) if contract else (),
        "bypass": _bypass(alarms[0]) if alarms else "",
        "rows": rows,
    }


def _time(at: float, contract: Contract | None) -> str:
    return local_moment(at, contract.operations.time_zone if contract else None)


def _row(standing: Standing, contract: Contract | None, drawings: dict[str, str]) -> _Row:
    subject = standing.reading.subject
    shown = subject in drawings and standing.level != "NO_ALARM"
    return _Row(standing, contract, drawing(subject) if shown else Markdown())


@dataclass(frozen=True)
class _Answer:
    """What to do at an alarm: as the contract says, or else as every runbook does."""

    title: str
    meaning: str
    action: Sequence[str]


def _answers(contract: Contract, alarms: Sequence[_Row]) -> tuple[_Answer, ...]:
    """Each once, the worst first."""
    found = dict[str, _Answer]()
    for check in [row.check for row in alarms]:
        alarm, guide = alarm_of(contract, check), GUIDES.get(check)
        if alarm:
            found[alarm.condition] = _Answer(alarm.condition, alarm.meaning, alarm.action)
        elif guide:
            found[check] = _Answer(CHECKS[check], guide.meaning, guide.steps)
    return tuple(found.values())


def _bypass(row: _Row) -> str:
    subject = f" --subject {row.subject}" if row.subject else ""
    return f"beampermit bypass {row.check}{subject} --until 8h --reason WHY"


def _drawings(pictures: Sequence[Picture]) -> dict[str, str]:
    if not pictures:
        return {}
    from beampermit.documents.charts import density_svg

    return {
        one.subject: density_svg(one.subject, one.edges, {"reference": one.reference, "this window": one.window})
        for one in pictures
    }
