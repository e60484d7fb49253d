"""Times of the ledger as a control room reads them: its own time, and UTC beside it."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from beampermit.documents.markdown import moment

MINUTES = "%Y-%m-%d %H:%M"


def local_time(at: str, zone: str | None) -> str:
    """Such as `2026-11-23 09:00 CET (2026-11-23 08:00 UTC)`; the machine's time zone where none is named."""
    read = datetime.fromisoformat(at)
    return _beside(read, zone, f"{read.astimezone(UTC):{MINUTES}} UTC")


def local_moment(at: float, zone: str | None) -> str:
    """The same of s since 1970, in UTC to the second; a time in a file that anybody wrote may be none."""
    utc = moment(at)
    try:
        return _beside(datetime.fromtimestamp(at, UTC), zone, utc)
    except (ValueError, OverflowError, OSError):
        return utc


def _beside(at: datetime, zone: str | None, utc: str) -> str:
    local = at.astimezone(_zone(zone))
    return utc if not local.utcoffset() and local.tzname() == "UTC" else f"{local:{MINUTES} %Z} ({utc})"


def _zone(name: str | None) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
