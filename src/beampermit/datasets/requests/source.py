"""What a source is, and how one is found: a laboratory adds its own with an entry point."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from beampermit.contract import FILE_NAME
from beampermit.datasets.requests.asked import Asked
from beampermit.datasets.requests.gaps import Gaps
from beampermit.datasets.requests.store import Store
from beampermit.errors import BadInput, meant
from beampermit.verdict import Record

GROUP = "beampermit.sources"
"""`[project.entry-points."beampermit.sources"]` of any installed package: name = "module:Class"."""
Watch = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and of how much."""


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

    def answer(self, watch: Watch) -> Answer:
        """Make the table. Raises `Tripped` for data that are wrong, `Outside` for a source that cannot be reached."""
        ...


class Sampled(ABC):
    """A source that knows signals by their PVs: it brings samples; rows and gaps are made from them here."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    @abstractmethod
    def collect(self, store: Store, watch: Watch) -> dict[str, Any]:
        """Put the samples of each PV of `asked.wanted`, in all `asked.ranges`, into the store; say their origin."""

    def answer(self, watch: Watch) -> Answer:
        """Collect, then align."""
        from beampermit.datasets.requests.alignment import align

        if not self.asked.signals:
            raise BadInput(
                f"the source {self.asked.request.source} brings signals, and dataset.request names none", file=FILE_NAME
            )
        store = Store(self.asked.folder / "samples")
        origin = self.collect(store, watch)
        return replace(align(self.asked, store, watch), origin=origin)


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
