"""What a source is, and how one is found: a laboratory adds its own with an entry point."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from beampermit.contract import FILE_NAME
from beampermit.contract.request import AskedSignal, Request
from beampermit.datasets.devices import PLACEHOLDER, devices
from beampermit.datasets.requests.gaps import Gaps
from beampermit.datasets.requests.store import Store
from beampermit.digest import digest_json
from beampermit.errors import BadInput, meant
from beampermit.processes import Finished
from beampermit.progress import Progress
from beampermit.project import Project
from beampermit.record import Record

MANNER = {"at_once", "timeout", "longest", "tries", "backoff"}
"""Options that say how a source is asked, and not for what."""
MOST_ROWS = 10**10
Worker = Callable[[Sequence[str | Path], Path], Finished]
"""Runs Python in the project's own environment: arguments, and the folder that stands for the project."""


@dataclass(frozen=True)
class Wanted:
    """One PV: the signal it is, and of which device (the values of the columns that stand in its name)."""

    pv: str
    signal: AskedSignal
    device: tuple[str, ...]
    columns: tuple[str, ...] = ()
    """Those of the device table whose values `device` holds."""

    @property
    def size(self) -> int:
        """How many numbers one value has; 0 of a scalar."""
        size = 1
        for length in self.signal.shape:
            size *= length
        return size if self.signal.shape else 0


@dataclass(frozen=True)
class Asked:
    """A request as a source sees it. Moments are nanoseconds since 1970, UTC."""

    root: Path
    request: Request
    signals: tuple[AskedSignal, ...]
    time: str
    """The column of time."""
    key: tuple[str, ...]
    """Columns that name a row, as the contract says."""
    raw: str
    """Where the project's own function writes its table."""
    columns: tuple[str, ...]
    """Columns of the device table that stand in names of PVs, in its order."""
    devices: tuple[tuple[str, ...], ...]
    """Their values; one empty row where no device stands in any name."""
    folder: Path
    """For what is kept between runs, and for scratch."""
    work: Worker

    @cached_property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Start, and end that is not in it any more, in order."""
        return tuple(sorted((_nanoseconds(span.start), _nanoseconds(span.end)) for span in self.request.ranges))

    @cached_property
    def wanted(self) -> tuple[Wanted, ...]:
        """Each PV once: those of no device first, then device by device."""
        return tuple(dict.fromkeys(self._wanted()))

    def of(self, device: tuple[str, ...]) -> tuple[Wanted, ...]:
        """The PVs that make the rows of a device, in the order of the signals."""
        return tuple(self._one(signal, device) for signal in self.signals)

    def identity(self) -> dict[str, Any]:
        """What makes it this request: two with equal identities ask for the same."""
        return {
            "request": self.request.model_dump(mode="json", exclude={"version": True, "options": MANNER}),
            "signals": [signal.model_dump(mode="json") for signal in self.signals],
            "devices": [list(device) for device in self.devices],
            "time": self.time,
        }

    @cached_property
    def digest(self) -> str:
        """sha256 of `identity`."""
        return digest_json(self.identity())

    def _wanted(self) -> Iterator[Wanted]:
        shared = [signal for signal in self.signals if not PLACEHOLDER.search(signal.pv or "")]
        yield from (self._one(signal, ()) for signal in shared)
        for device in self.devices:
            yield from (self._one(signal, device) for signal in self.signals if signal not in shared)

    def _one(self, signal: AskedSignal, device: tuple[str, ...]) -> Wanted:
        values = dict(zip(self.columns, device, strict=False))
        stand = set(PLACEHOLDER.findall(signal.pv or ""))
        name = PLACEHOLDER.sub(lambda found: values[found[1]], signal.pv or "")
        own = {column: value for column, value in values.items() if column in stand}
        return Wanted(name, signal, tuple(own.values()), tuple(own))


def ask(project: Project, folder: Path, work: Worker) -> Asked:
    """What the contract of the project asks for. Raises `BadInput`, also for a range that has not ended yet."""
    contract = project.contract
    request = contract.dataset.request
    signals = request.resolved(contract.signals.inputs)
    table = devices(project.root, contract.signals.devices, [signal.pv or "" for signal in signals])
    found = Asked(
        root=project.root,
        request=request,
        signals=signals,
        time=contract.dataset.split.time or "acquired_at",
        key=contract.dataset.key,
        raw=contract.dataset.raw,
        columns=table.columns,
        devices=table.values,
        folder=folder,
        work=work,
    )
    _judge(found, datetime.now(UTC))
    return found


def _judge(asked: Asked, now: datetime) -> None:
    for span in asked.request.ranges:
        if span.end > now:
            raise BadInput(
                f"dataset.request.ranges: {span.end.isoformat()} has not come yet, so the answer would change",
                file=FILE_NAME,
            )
    period = asked.request.sampling.period if asked.request.sampling else None
    rows = sum(end - start for start, end in asked.ranges) / (period * 1e9) * len(asked.devices) if period else 0
    if rows > MOST_ROWS:
        raise BadInput(f"dataset.request asks for {rows:.0e} rows; {MOST_ROWS:.0e} are the limit", file=FILE_NAME)
    names = [*asked.columns, asked.time, *(signal.name for signal in asked.signals)]
    names += [f"{signal.name}_severity" for signal in asked.signals]
    folded = [name.casefold() for name in names]
    twice = [name for name in names if folded.count(name.casefold()) > 1]
    if twice:
        raise BadInput(f"dataset.request: two columns of the table would be called {twice[0]!r}", file=FILE_NAME)
    pvs: set[str] = set()
    for wanted in asked.wanted:
        if wanted.pv in pvs:
            raise BadInput(f"dataset.request.signals: two of them are the PV {wanted.pv!r}", file=FILE_NAME)
        pvs.add(wanted.pv)


def _nanoseconds(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86400 + since.seconds) * 10**6 + since.microseconds) * 1000


GROUP = "beampermit.sources"
"""`[project.entry-points."beampermit.sources"]` of any installed package: name = "module:Class"."""


@dataclass(frozen=True)
class Answer:
    """What a source gave: a table, and what is to be said of it."""

    table: Path
    """Parquet, in the folder of the request."""
    counts: dict[str, int] = field(default_factory=dict)
    gaps: Gaps = field(default_factory=Gaps)
    origin: dict[str, Any] = field(default_factory=dict)
    """Where it came from, for the sidecar: JSON, the same for the same data."""
    sidecar: Path | None = None
    """The one that the project's own function wrote beside its table."""


class Source(Protocol):
    """Answers a request. Made with what is asked; options it does not know are `BadInput`."""

    def __init__(self, asked: Asked) -> None: ...

    def answer(self, progress: Progress) -> Answer:
        """Make the table. Raises `Failed` for data that are wrong, `Outside` for a source that cannot be reached."""
        ...


class Sampled(ABC):
    """A source that knows signals by their PVs: it brings samples; rows and gaps are made from them here."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    @abstractmethod
    def collect(self, store: Store, progress: Progress) -> dict[str, Any]:
        """Put the samples of each PV of `asked.wanted`, in all `asked.ranges`, into the store; say their origin."""

    def answer(self, progress: Progress) -> Answer:
        """Collect, then align."""
        from beampermit.datasets.requests.alignment import align

        if not self.asked.signals:
            raise BadInput(
                f"the source {self.asked.request.source} brings signals, and dataset.request names none", file=FILE_NAME
            )
        store = Store(self.asked.folder / "samples")
        origin = self.collect(store, progress)
        return replace(align(self.asked, store, progress), origin=origin)


Kind = TypeVar("Kind", bound="Options")


class Options(Record):
    """What a source needs to know, as `dataset.request.options` says it: unknown keys are errors."""


def options_of(kind: type[Kind], asked: Asked) -> Kind:
    """The options of a request, read strictly. Raises `BadInput`."""
    try:
        return kind.model_validate(asked.request.options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("dataset.request.options", *first["loc"]))
        if first["type"] == "extra_forbidden":
            words = f"unknown key{meant(str(first['loc'][-1]), kind.model_fields)}"
        else:
            words = "this key is missing" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
        raise BadInput(f"{where}: {words}", file=FILE_NAME) from None


def source_of(asked: Asked) -> Source:
    """The source that the request names, made. Raises `BadInput` for one that no installed package has."""
    name = asked.request.source if asked.signals else "simulator"
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        hint = meant(name, found) or f"; installed are {', '.join(sorted(found))}"
        raise BadInput(f"dataset.request.source: there is no source {name!r}{hint}", file=FILE_NAME)
    try:
        kind: Any = found[name].load()
    except (ImportError, AttributeError) as error:
        raise BadInput(f"the source {name!r} ({found[name].value}) cannot be loaded: {error}") from None
    return kind(asked)


NONE = {"", "1", "none", "n/a", "-"}
"""How sources say that a number has no unit."""


def same(one: str, other: str) -> bool:
    """Equal but for white space, Unicode form (µ has two), and the many ways to say none. `mm` and `MM` are two."""
    one, other = (unicodedata.normalize("NFKC", unit).strip() for unit in (one, other))
    return one == other or (one.casefold() in NONE and other.casefold() in NONE)
