"""Times as people type them: a duration from now, or a time with its zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from beampermit.contract.part import DURATION, SECONDS
from beampermit.errors import BadInput

HINT = "write a duration such as 8h or 3d, or a time with its zone such as 2026-11-30T06:00Z or 2026-11-30T06:00+01:00"


def parse_moment(text: str, option: str, now: datetime) -> datetime:
    """In UTC, to the second, never rounded down. Raises `BadInput` for what is not a time, or one without a zone."""
    moment = _parse(text.strip(), option, now).astimezone(UTC)
    return moment.replace(microsecond=0) + timedelta(seconds=1 if moment.microsecond else 0)


def parse_last_day(text: str, option: str, now: datetime) -> datetime:
    """As `parse_moment`; a date alone is the end of that day in UTC."""
    try:
        day = date.fromisoformat(text.strip())
        return datetime.combine(day + timedelta(days=1), time(), UTC)
    except (ValueError, OverflowError):
        return parse_moment(text, option, now)


def _parse(text: str, option: str, now: datetime) -> datetime:
    try:
        if duration := DURATION.fullmatch(text):
            return now + timedelta(seconds=float(duration[1]) * SECONDS[duration[2]])
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise BadInput(f"{option} {text[:80]!r} has no time zone", hint=HINT)
        # Years 1 and 9999 have no time in every zone.
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput(f"{option} {text[:80]!r} is not a time", hint=HINT) from None
