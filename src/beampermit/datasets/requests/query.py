"""A request resolved against contract, device table and clock: which PVs, which times, and what answers it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from beampermit.contract import FILE_NAME
from beampermit.contract.request import Request, RequestedSignal
from beampermit.contract.signals import PROTOCOL
from beampermit.datasets.devices import PLACEHOLDER, load_devices
from beampermit.datasets.requests.gaps import Gaps
from beampermit.digest import digest_json
from beampermit.errors import BadInput
from beampermit.processes import Finished
from beampermit.project import Project

TRANSPORT_OPTIONS = {"at_once", "timeout", "longest", "tries", "backoff"}
"""Options that change how the data are fetched, not which: they are no part of the request's digest."""
MOST_ROWS = 10**10
RunPython = Callable[[Sequence[str | Path], Path], Finished]
"""Runs Python in the project's own environment: arguments, and the folder that stands for the project."""


@dataclass(frozen=True)
class Channel:
    """One PV: its signal, and the values that its device has in `columns` of the device table."""

    pv: str
    signal: RequestedSignal
    device: tuple[str, ...]
    columns: tuple[str, ...] = ()

    @property
    def sql_type(self) -> str:
        """Of its values, as its source gives them."""
        if self.signal.words:
            return "VARCHAR"
        return "DOUBLE[]" if self.size else "DOUBLE"

    @property
    def size(self) -> int:
        """How many numbers one value has; 0 for a scalar."""
        return math.prod(self.signal.shape) if self.signal.shape else 0


@dataclass(frozen=True)
class Query:
    """A request as a source sees it. Times are nanoseconds since 1970, UTC."""

    root: Path
    request: Request
    signals: tuple[RequestedSignal, ...]
    time: str
    """The time column."""
    key: tuple[str, ...]
    """Columns that identify a row (`dataset.key`)."""
    raw: str
    """Where the project's own function writes its table."""
    columns: tuple[str, ...]
    """Columns of the device table that appear in PV names, in its order."""
    devices: tuple[tuple[str, ...], ...]
    """Their values; one empty row if no PV name has a placeholder."""
    folder: Path
    """For pieces kept between runs, and for temporary files."""
    run_python: RunPython

    @cached_property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Start and end (exclusive), in order."""
        return tuple(sorted((_nanoseconds(span.start), _nanoseconds(span.end)) for span in self.request.ranges))

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """Each PV once: those without a device first, then device by device."""
        return tuple(dict.fromkeys(self._channels()))

    @property
    def states(self) -> dict[str, tuple[str, ...]]:
        """Of each PV with words: what its numbers stand for; empty where nobody says."""
        return {channel.pv: channel.signal.states for channel in self.channels if channel.signal.words}

    def channels_of(self, device: tuple[str, ...]) -> tuple[Channel, ...]:
        """The PVs of a device's rows, in the order of the signals."""
        return tuple(self._channel(signal, device) for signal in self.signals)

    @cached_property
    def digest(self) -> str:
        """sha256 of what is requested: equal for two requests of the same data."""
        return digest_json(
            {
                "request": self.request.model_dump(
                    mode="json", exclude={"version": True, "options": TRANSPORT_OPTIONS}
                ),
                "signals": [_told(signal) for signal in self.signals],
                "devices": [list(device) for device in self.devices],
                "time": self.time,
            }
        )

    def in_own_folder(self) -> Query:
        """With a folder for its digest; those of other queries are removed."""
        own = self.folder / self.digest.removeprefix("sha256:")[:16]
        for other in self.folder.iterdir():
            if other.is_dir() and other != own:
                shutil.rmtree(other, ignore_errors=True)
        own.mkdir(exist_ok=True)
        return replace(self, folder=own)

    def _channels(self) -> Iterator[Channel]:
        shared = [signal for signal in self.signals if not PLACEHOLDER.search(signal.pv or "")]
        yield from (self._channel(signal, ()) for signal in shared)
        for device in self.devices:
            yield from (self._channel(signal, device) for signal in self.signals if signal not in shared)

    def _channel(self, signal: RequestedSignal, device: tuple[str, ...]) -> Channel:
        values = dict(zip(self.columns, device, strict=False))
        placeholders = set(PLACEHOLDER.findall(signal.pv or ""))
        pv = PLACEHOLDER.sub(lambda match: values[match[1]], PROTOCOL.sub("", signal.pv or "", count=1))
        own = {column: value for column, value in values.items() if column in placeholders}
        return Channel(pv, signal, tuple(own.values()), tuple(own))


@dataclass(frozen=True)
class Answer:
    """A source's table, with what the sidecar says about it."""

    table: Path
    """Parquet, in the folder of the query."""
    counts: dict[str, int] = field(default_factory=dict)
    gaps: Gaps = field(default_factory=Gaps)
    origin: dict[str, Any] = field(default_factory=dict)
    """Where the data come from, for the sidecar: JSON, equal for equal data."""
    sidecar: Path | None = None
    """The sidecar that the project's own function wrote beside its table."""


def query_of(project: Project, folder: Path, run_python: RunPython, request: Request | None = None) -> Query:
    """The query of a project's contract, or of another request with its inputs.

    Raises `BadInput`, also for a range that has not ended yet.
    """
    contract = project.contract
    request = request or contract.dataset.request
    signals = request.resolved(contract.signals.inputs)
    table = load_devices(project.root, contract.signals.devices, [signal.pv or "" for signal in signals])
    query = Query(
        root=project.root,
        request=request,
        signals=signals,
        time=contract.dataset.split.time or "acquired_at",
        key=contract.dataset.key,
        raw=contract.dataset.raw,
        columns=table.columns,
        devices=table.values,
        folder=folder,
        run_python=run_python,
    )
    _check_ranges(query, datetime.now(UTC))
    _check_columns(query)
    _check_pvs(query)
    return query


def _told(signal: RequestedSignal) -> dict[str, Any]:
    """Without words as before there were any: a request of the same data has the same digest."""
    told = signal.model_dump(mode="json")
    return told if signal.words else {key: value for key, value in told.items() if key not in ("words", "states")}


def _check_ranges(query: Query, now: datetime) -> None:
    for span in query.request.ranges:
        if span.end > now:
            raise BadInput(
                f"dataset.request.ranges: {span.end.isoformat()} is in the future, so the answer would change",
                file=FILE_NAME,
            )
    period = query.request.sampling.period if query.request.sampling else None
    rows = sum(end - start for start, end in query.ranges) / (period * 1e9) * len(query.devices) if period else 0
    if rows > MOST_ROWS:
        raise BadInput(f"dataset.request asks for {rows:.0e} rows; the limit is {MOST_ROWS:.0e}", file=FILE_NAME)


def _check_columns(query: Query) -> None:
    names = [*query.columns, query.time, *(signal.name for signal in query.signals)]
    names += [f"{signal.name}_severity" for signal in query.signals]
    folded = [name.casefold() for name in names]
    repeated = [name for name in names if folded.count(name.casefold()) > 1]
    if repeated:
        raise BadInput(f"dataset.request: two columns of the table would be named {repeated[0]!r}", file=FILE_NAME)


def _check_pvs(query: Query) -> None:
    pvs: set[str] = set()
    for channel in query.channels:
        if channel.pv in pvs:
            raise BadInput(f"dataset.request.signals: two signals have the PV {channel.pv!r}", file=FILE_NAME)
        pvs.add(channel.pv)


def _nanoseconds(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86400 + since.seconds) * 10**6 + since.microseconds) * 1000
