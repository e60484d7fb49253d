"""The monitor's own folder: what it must remember between windows, and its newest result, each written by rename."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError

from beampermit.errors import BadInput
from beampermit.files import write_json
from beampermit.live.observation.monitoring import RESULT
from beampermit.monitoring.filled_in import Seen
from beampermit.monitoring.trip_rules import RuleState
from beampermit.reading import first_fault, read_json
from beampermit.record import Record
from beampermit.verdicts.monitoring import Result, Trip

logger = logging.getLogger(__name__)
STATE, LOCK = "state.json", "monitor.lock"
MOST_BYTES = 256 * 2**20
"""Of what is remembered: thousands of arrays have four numbers each, with latches."""


class Kept(Record):
    """What a monitor that starts again goes on from."""

    format: Literal[1] = 1
    model: str
    rules: RuleState = RuleState()
    untold: tuple[Trip, ...] = ()
    """Trips that nobody has taken over yet: a kill between judging and responding loses none."""
    seen: dict[str, Seen] = Field(default_factory=dict)
    """Output -> the truth in its table that was judged."""


class StateFolder:
    """Held by one monitor until `close`."""

    def __init__(self, folder: Path, model: str):
        """Raises `BadInput` where another monitor holds it, or it is that of another model."""
        from filelock import FileLock, Timeout

        self.path, self._model = folder, model
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except FileExistsError:
            raise BadInput("the state folder is a file", file=folder) from None
        self._held = FileLock(folder / LOCK)
        try:
            self._held.acquire(timeout=0)
        except Timeout:
            raise BadInput("another monitor uses this state folder", file=folder) from None
        try:
            self.kept = self._read()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._held.release()

    def keep(self, rules: RuleState, untold: tuple[Trip, ...], seen: Mapping[str, Seen] | None = None) -> None:
        """`seen` is as it was where it is None."""
        kept = Kept(model=self._model, rules=rules, untold=untold, seen=self.kept.seen if seen is None else {**seen})
        write_json(self.path / STATE, kept.model_dump(mode="json"))
        self.kept = kept

    def show(self, result: Result) -> None:
        """For the service, and whoever else asks how the model is."""
        write_json(self.path / RESULT, result.model_dump(mode="json"))

    def _read(self) -> Kept:
        file = self.path / STATE
        if not file.exists():
            return Kept(model=self._model)
        try:
            kept = Kept.model_validate(read_json(file, limit=MOST_BYTES))
        except (BadInput, ValidationError) as error:
            said = error.message if isinstance(error, BadInput) else first_fault(error)
            # A monitor that ends for a damaged disk watches nothing; alarms are raised anew.
            logger.warning("%s: %s; alarms are judged anew", file, said)
            return Kept(model=self._model)
        if kept.model != self._model:
            raise BadInput(f"this state folder is that of a monitor of {kept.model}", file=self.path)
        return kept
