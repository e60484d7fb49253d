"""Models in service that promise one PV: two servers for it, found without a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from beampermit.errors import more
from beampermit.inventory.seen import Seen
from beampermit.verdicts.inventory import Finding


def shared_pvs(seen: Iterable[Seen]) -> Iterator[Finding]:
    """A finding for each pair, at the second of the two."""
    owner: dict[str, int] = {}
    pairs: dict[tuple[int, int], list[str]] = {}
    live = [one for one in seen if one.model.champion and one.pvs]
    for number, one in enumerate(live):
        for pv in dict.fromkeys((*one.pvs, *one.status_pvs)):
            if (first := owner.setdefault(pv, number)) != number:
                pairs.setdefault((first, number), []).append(pv)
    for (first, second), pvs in pairs.items():
        other = live[first]
        message = f"{pvs[0]}{more(len(pvs) - 1)} is also served by {other.model.name} of {other.project}"
        advice = "give one of the two another PV or another serving.prefix"
        yield live[second].finding("INV003", "MAJOR", message, advice)
