"""Which version was served last, kept for the next start: all of it is verified again then."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from beampermit.errors import BadInput
from beampermit.files import write_json
from beampermit.reading import read_json
from beampermit.registry.event import Event

FILE = "served.json"


def keep_served(state: Path, event: Event) -> None:
    write_json(state / FILE, event.content)


def read_served(state: Path) -> Event | None:
    """None where nothing was served yet, or the file is damaged."""
    try:
        return Event.model_validate(read_json(state / FILE), strict=True)
    except (BadInput, ValidationError):
        return None
