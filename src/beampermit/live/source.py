"""What feeds the inputs: PVs, or what was recorded. A laboratory adds its own by an entry point."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from beampermit.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from beampermit.live.latest import Latest
    from beampermit.live.trigger import Trigger
    from beampermit.live.wiring import Wiring

GROUP = "beampermit.inputs"
"""`[project.entry-points."beampermit.inputs"]` of any installed package: name = "module:Class"."""


class Source(Protocol):
    """Writes samples into `latest` from threads of its own, between `start` and `close`."""

    def start(self, latest: Latest, wiring: Wiring, trigger: Trigger) -> None: ...

    def close(self) -> None: ...


def load_source(name: str) -> Source:
    """A new source, as `--inputs` names it. Raises `BadInput` if no installed package has it."""
    installed = {point.name: point for point in entry_points(group=GROUP)}
    if name not in installed:
        hint = did_you_mean(name, installed) or f"; installed are {', '.join(sorted(installed))}"
        raise BadInput(f"--inputs: there is no source {name!r}{hint}")
    try:
        kind: Any = installed[name].load()
    except (ImportError, AttributeError) as error:
        raise BadInput(f"the source {name!r} ({installed[name].value}) cannot be loaded: {error}") from None
    return kind()
