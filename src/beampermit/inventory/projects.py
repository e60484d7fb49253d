"""Reads all listed repositories at once, within a bound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

from beampermit.errors import BeampermitError
from beampermit.inventory.failures import failure, guarded
from beampermit.inventory.listing import Place
from beampermit.inventory.repository import Read, read_repository
from beampermit.inventory.seen import Seen
from beampermit.progress import Progress
from beampermit.verdicts.inventory import Finding

AT_ONCE = 8


@dataclass(frozen=True)
class Projects:
    """`read` are the places of which something is known, `unread` the names of the others."""

    seen: tuple[Seen, ...]
    read: tuple[Place, ...]
    unread: tuple[str, ...]
    findings: tuple[Finding, ...]


def read_projects(places: Sequence[Place], progress: Progress) -> Projects:
    places = list(dict.fromkeys(places))
    done = count(1)

    def read(place: Place) -> Read | BeampermitError:
        found = guarded(lambda: read_repository(place))
        progress("read the ledgers", next(done), len(places))
        return found

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = dict(zip(places, pool.map(read, places), strict=True))
    reads = {place: result for place, result in results.items() if isinstance(result, Read)}
    return Projects(
        tuple(one for place, read in reads.items() for one in _seen(place, read)),
        tuple(reads),
        tuple(place.repository.name for place in results if place not in reads),
        tuple(finding for place, result in results.items() for finding in _findings(place, result)),
    )


def _seen(place: Place, read: Read) -> Iterator[Seen]:
    models = read.facts.models
    for model in models:
        address = place.status if len(models) == 1 else ""
        yield Seen(place.repository.name, model, read.facts, address, stale=read.unreached is not None)


def _findings(place: Place, result: Read | BeampermitError) -> Iterator[Finding]:
    name = place.repository.name
    if isinstance(result, BeampermitError):
        yield failure(name, result)
        return
    facts = result.facts
    if result.unreached:
        yield failure(name, result.unreached, "; what was read last is shown")
    for trouble in facts.troubles:
        yield _to_fix(name, trouble, "fix the file on the protected branch")
    if place.status and len(facts.models) > 1:
        said = f"{place.status} is of one service, and {len(facts.models)} models are in this repository"
        yield _to_fix(name, said, "list each of them, with folder and status")
    if not facts.models and not facts.troubles:
        yield _to_fix(name, "this repository has neither a contract nor a ledger", f"git ls-remote {name}")


def _to_fix(project: str, message: str, advice: str) -> Finding:
    return Finding(id="INV016", level="MINOR", project=project, message=message, next=advice)
