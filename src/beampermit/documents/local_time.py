"""Times of the ledger as a control room reads them: its own time, and UTC beside it."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MINUTES = "%Y-%m-%d %H:%M"


def local_time(at: str, zone: str | None) -> str:
    """Such as `2026-11-23 09:00 CET (2026-11-23 08:00 UTC)`; the machine's time zone where none is named."""
    moment = datetime.fromisoformat(at)
    utc = f"{moment.astimezone(UTC):{MINUTES}} UTC"
    local = moment.astimezone(_zone(zone))
    return utc if not local.utcoffset() and local.tzname() == "UTC" else f"{local:{MINUTES} %Z} ({utc})"


def _zone(name: str | None) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
