"""The contract that was judged by last, in the monitor's folder: after a restart, nobody may vouch for a version."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import ValidationError

from beampermit.contract import Contract
from beampermit.files import write_text

logger = logging.getLogger(__name__)
FILE = "contract.json"


def keep_contract(folder: Path, contract: Contract) -> None:
    """Where the disk is full, the one before stays."""
    try:
        write_text(folder / FILE, contract.model_dump_json() + "\n")
    except OSError as error:
        logger.warning("%s cannot be written: %s", folder / FILE, error.strerror)


def last_contract(folder: Path) -> Contract | None:
    """None where no version was judged yet, or by another Beampermit, whose contracts had other keys."""
    try:
        return Contract.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError):
        return None
