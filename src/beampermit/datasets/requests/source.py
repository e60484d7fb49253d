"""What a source is, and how it is found: a laboratory adds its own by an entry point."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from beampermit.contract import FILE_NAME
from beampermit.datasets.requests.alignment import align
from beampermit.datasets.requests.query import Answer, Query
from beampermit.datasets.requests.store import Store
from beampermit.errors import BadInput, did_you_mean
from beampermit.progress import Progress
from beampermit.record import Record

GROUP = "beampermit.sources"
"""`[project.entry-points."beampermit.sources"]` of any installed package: name = "module:Class"."""
NO_UNIT = {"", "1", "none", "n/a", "-"}
"""How sources write that a number has no unit."""


class Source(Protocol):
    """Answers a query. Its constructor raises `BadInput` for options that it does not know."""

    def __init__(self, query: Query) -> None: ...

    def answer(self, progress: Progress) -> Answer:
        """Make the table. Raises `Failed` for wrong data, `Outside` for a source that cannot be reached."""
        ...


class SampledSource(ABC):
    """A source that knows signals by their PVs: it collects samples, which are aligned into rows here."""

    def __init__(self, query: Query) -> None:
        self.query = query

    @abstractmethod
    def collect(self, store: Store, progress: Progress) -> dict[str, Any]:
        """Store the samples of each of `query.channels` in all `query.ranges`; return the origin for the sidecar."""

    def answer(self, progress: Progress) -> Answer:
        """Collect, then align."""
        if not self.query.signals:
            raise BadInput(
                f"the source {self.query.request.source} needs signals, and dataset.request names none", file=FILE_NAME
            )
        store = Store(self.query.folder / "samples", self.query.states)
        origin = self.collect(store, progress)
        return replace(align(self.query, store, progress), origin=origin)


class Options(Record):
    """`dataset.request.options` of one source; unknown keys are errors."""


OptionsType = TypeVar("OptionsType", bound=Options)


def load_options(kind: type[OptionsType], query: Query) -> OptionsType:
    """The options of a request, validated. Raises `BadInput`."""
    try:
        return kind.model_validate(query.request.options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in ("dataset.request.options", *first["loc"]))
        if first["type"] == "extra_forbidden":
            problem = f"unknown key{did_you_mean(str(first['loc'][-1]), kind.model_fields)}"
        else:
            problem = (
                "this key is missing" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
            )
        raise BadInput(f"{key}: {problem}", file=FILE_NAME) from None


def load_source(query: Query) -> Source:
    """The source that the request names. Raises `BadInput` if no installed package has it."""
    name = query.request.source if query.signals else "simulator"
    installed = {point.name: point for point in entry_points(group=GROUP)}
    if name not in installed:
        hint = did_you_mean(name, installed) or f"; installed are {', '.join(sorted(installed))}"
        raise BadInput(f"dataset.request.source: there is no source {name!r}{hint}", file=FILE_NAME)
    try:
        kind: Any = installed[name].load()
    except (ImportError, AttributeError) as error:
        raise BadInput(f"the source {name!r} ({installed[name].value}) cannot be loaded: {error}") from None
    return kind(query)


def same_unit(one: str, other: str) -> bool:
    """Equal apart from white space, Unicode form (µ has two) and the ways to write "none". `mm` and `MM` differ."""
    one, other = (unicodedata.normalize("NFKC", unit).strip() for unit in (one, other))
    return one == other or (one.casefold() in NO_UNIT and other.casefold() in NO_UNIT)
