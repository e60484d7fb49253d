"""Samples of an archiver, of recordings or of a laboratory's own source, as they came: not aligned, none left out.

They are fetched as for a data request, into files, and read one piece of time after the other.
"""

from __future__ import annotations

import heapq
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from beampermit.contract import FILE_NAME
from beampermit.contract.request import Request
from beampermit.contract.service import Serving
from beampermit.contract.signals import PROTOCOL
from beampermit.datasets.requests.query import Channel, Query, query_of
from beampermit.datasets.requests.source import SampledSource, load_source
from beampermit.datasets.requests.store import Store, connect
from beampermit.datasets.tables import parquet
from beampermit.errors import BadInput, Conflict, Failed
from beampermit.files import locked
from beampermit.live.replay.moments import Moment, Sample, plain
from beampermit.live.replay.row_times import Arrival, RowTimes
from beampermit.live.wiring import Wiring
from beampermit.progress import Progress
from beampermit.project import Project
from beampermit.reading import first_fault

SECOND = 10**9
"""ns. An archiver gives the second of a disconnect: what came within it was still good."""


@dataclass(frozen=True)
class Wanted:
    """Which samples: those of the source of `dataset.request`, or of an archiver, in a span or the request's ranges."""

    archiver: str = ""
    """Its address."""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Fetched:
    """All samples of the inputs, on disk."""

    query: Query
    store: Store
    wiring: Wiring
    serving: Serving
    strange: int = 0

    def require(self) -> None:
        """Raises `Failed` where no input has a sample."""
        for channel in self.query.channels:
            if not self.store.pieces(channel.pv):
                raise Failed(f"the source has nothing of {channel.pv}, which an input is")

    def moments(self) -> Iterator[Moment]:
        """In order of time, the ranges one after the other."""
        times = RowTimes(self.wiring, self.serving)
        with closing(connect(self.query.folder)) as connection:
            for start, end in self.query.ranges:
                yield from times.moments(self._arrivals(connection, start, end), start / 1e9, end / 1e9)

    def _arrivals(self, connection: Any, start: int, end: int) -> Iterator[Arrival]:
        pieces = _Pieces(connection, self.query.channels, self.store, self.wiring, start, end)
        for ns, samples in heapq.merge(pieces.lost(), pieces.samples(), key=itemgetter(0)):
            yield from ((ns / 1e9, sample) for sample in samples)


@dataclass(frozen=True)
class _Piece:
    """A stored file: a PV in a span of time, and the places of its samples (input and PV of the wiring)."""

    begins: int
    """ns."""
    channel: Channel
    places: Sequence[tuple[int, int]]

    @property
    def kind(self) -> str:
        """Files of one kind have values of one type."""
        signal = self.channel.signal
        return "texts" if signal.words else "lists" if signal.shape else "numbers"


class _Pieces:
    """The files of one range."""

    def __init__(
        self, connection: Any, channels: Sequence[Channel], store: Store, wiring: Wiring, start: int, end: int
    ):
        self._connection, self._start = connection, start
        places: dict[str, list[tuple[int, int]]] = {}
        for wire_number, wire in enumerate(wiring.inputs):
            for pv_number, pv in enumerate(wire.pvs):
                places.setdefault(PROTOCOL.sub("", pv, count=1), []).append((wire_number, pv_number))
        self._files = {
            str(file): _Piece(begins, channel, places.get(channel.pv, ()))
            for channel in channels
            for file in store.pieces(channel.pv)
            if start <= (begins := int(file.stem.partition("-")[2])) < end
        }

    def samples(self) -> Iterator[tuple[int, list[Sample]]]:
        """The time of arrival (ns), and the samples of one value; what held at the start arrives there."""
        begun: dict[int, list[str]] = {}
        for file, piece in self._files.items():
            begun.setdefault(piece.begins, []).append(file)
        for begins in sorted(begun):
            kinds = self._by_kind(begun[begins]).values()
            yield from heapq.merge(*map(self._of_files, kinds), key=itemgetter(0))

    def lost(self) -> list[tuple[int, list[Sample]]]:
        """The disconnects, each of which stands at the sample after it, maybe in a later file."""
        found = []
        for files in self._by_kind(self._files).values():
            for ns, file, when in self._rows("ns, filename, lost", files, "lost IS NOT NULL", "ns, filename"):
                at = max(min(when + SECOND - 1, ns - 1), self._start)
                gone = [Sample(*place, None, at / 1e9, 0, lost=True) for place in self._files[file].places]
                found.append((at, gone))
        return sorted(found, key=itemgetter(0))

    def _of_files(self, files: list[str]) -> Iterator[tuple[int, list[Sample]]]:
        order = f"greatest(ns, {self._start}), filename, arrived"
        for ns, file, value, severity in self._rows("ns, filename, value, severity", files, "true", order):
            piece = self._files[file]
            read = plain(value, piece.channel.signal.shape)
            yield max(ns, self._start), [Sample(*place, read, ns / 1e9, severity) for place in piece.places]

    def _by_kind(self, files: Iterable[str]) -> dict[str, list[str]]:
        kinds: dict[str, list[str]] = {}
        for file in files:
            kinds.setdefault(self._files[file].kind, []).append(file)
        return kinds

    def _rows(self, columns: str, files: list[str], where: str, order: str) -> Iterator[tuple[Any, ...]]:
        source = parquet(*map(Path, files), named=True)
        with self._connection.cursor() as cursor:
            sql = f"SELECT {columns} FROM {source} WHERE place <> 'outside' AND {where} ORDER BY {order}"
            found = cursor.execute(sql)
            while batch := found.fetchmany(1000):
                yield from batch


@contextmanager
def fetch_samples(project: Project, wiring: Wiring, wanted: Wanted, progress: Progress) -> Iterator[Fetched]:
    """Fetch the samples of all inputs. What is interrupted goes on where it was; what was replayed is removed.

    Raises `BadInput` for a source that gives rows alone, and otherwise as the source does.
    """
    if project.contract.serving.snapshot:
        raise BadInput(
            "serving.snapshot makes rows, and samples of that PV are not asked for: replay a table with a row for each",
            file=FILE_NAME,
        )
    folder = project.own / "replays"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock", Conflict("another `beampermit replay` fetches samples in this project")):
        query = _query(project, folder, wanted)
        source = load_source(query)
        if not isinstance(source, SampledSource):
            raise BadInput(f"the source {query.request.source} gives rows, not samples", file=FILE_NAME)
        store = Store(query.folder / "samples", query.states)
        source.collect(store, progress)
        yield Fetched(query, store, wiring, project.contract.serving)
        shutil.rmtree(query.folder, ignore_errors=True)


def _query(project: Project, folder: Path, wanted: Wanted) -> Query:
    asked, inputs = project.contract.dataset.request, project.contract.signals.inputs
    if not asked.signals and not wanted.archiver:
        raise BadInput(
            f"dataset.request names no signals: its source {asked.source} gives rows, not samples",
            file=FILE_NAME,
            hint="beampermit replay --archiver URL",
        )
    ranges = asked.ranges
    if wanted.since and wanted.until:
        ranges = ({"start": wanted.since, "end": wanted.until},)
    if not ranges:
        raise BadInput("say from when to when", hint="beampermit replay --archiver URL --since TIME --until TIME")
    source = "archiver" if wanted.archiver else asked.source
    told = {"url": wanted.archiver} if wanted.archiver else {}
    known = {signal.name: signal for signal in asked.signals}
    oldest = max([signal.stale_after or 0.0 for signal in inputs] + [asked.gaps.max_age if asked.gaps else 1.0])
    content = {
        "source": source,
        "options": {**(asked.options if source == asked.source else {}), **told},
        "signals": [
            {"name": signal.name, "states": known[signal.name].states if signal.name in known else ()}
            for signal in inputs
            if signal.source == "pv"
        ],
        "ranges": [span if isinstance(span, dict) else span.model_dump() for span in ranges],
        "sampling": {"period": 1.0},
        "gaps": {"max_age": oldest},
    }
    try:
        request = Request.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"these samples cannot be asked for: {first_fault(error)}") from None
    return query_of(project, folder, _nothing_to_run, request).in_own_folder()


def _nothing_to_run(*_: Any) -> Any:
    raise BadInput("a replay runs nothing of the project but its model", file=FILE_NAME)
