"""Which version was served last, kept for the next start: all of it is verified again then."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import ValidationError

from beampermit.errors import BadInput
from beampermit.files import write_json
from beampermit.reading import read_json
from beampermit.registry.event import Event

logger = logging.getLogger(__name__)
FILE = "served.json"


def keep_served(state: Path, event: Event) -> None:
    """What the disk does not take is said, and no error: only the next start without its champion would need it."""
    try:
        write_json(state / FILE, event.content)
    except OSError as error:
        logger.warning("version %d cannot be kept for the next start: %s", event.version, error.strerror)


def read_served(state: Path) -> Event | None:
    """None where nothing was served yet, or the file is damaged."""
    try:
        return Event.model_validate(read_json(state / FILE), strict=True)
    except (BadInput, ValidationError):
        return None
