"""What feeds the inputs: PVs, or what was recorded. A laboratory adds its own by an entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

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
