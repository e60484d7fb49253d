"""`[tool.uv]`: what of it a solution depends on, against what the lock recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from packaging.specifiers import SpecifierSet

from beampermit.environments.backend import Lock, Problem, Specification
from beampermit.environments.markers import holds, worlds
from beampermit.environments.uv import specification as asked_for
from beampermit.environments.uv.asked import Asked, from_table, from_text
from beampermit.environments.uv.specification import FILE, normal

LISTS = {
    "constraint-dependencies": "constraints",
    "override-dependencies": "overrides",
    "build-constraint-dependencies": "build-constraints",
}
"""Lists of requirements, and what the lock's `[manifest]` calls them."""
OPTIONS = {
    "resolution": ("resolution-mode", "highest"),
    "prerelease": ("prerelease-mode", "if-necessary-or-explicit"),
    "fork-strategy": ("fork-strategy", "requires-python"),
}
"""Choices, what the lock's `[options]` calls them, and the choice that it does not write down."""
MARKERS = {"environments": "supported-markers", "required-environments": "required-markers"}
UNKNOWN = (
    "workspace",
    "dependency-metadata",
    "extra-build-dependencies",
    "exclude-dependencies",
    "exclude-newer-package",
    "no-sources",
)
"""Settings that change a solution and that we cannot judge without uv: better to fail than to pass wrongly."""
UNKNOWN_IN_LOCK = ("dependency-metadata", "members", "requirements", "dependency-groups", "excludes")


def changed(specification: Specification, lock: Lock) -> Iterator[Problem]:
    """Settings that are not those the lock was made with."""
    settings = _settings(specification)
    manifest = lock.content.get("manifest", {})
    for name in (name for name in UNKNOWN if settings.get(name)):
        yield Problem(f"[tool.uv] {name} cannot be judged without a solver; remove it", FILE)
    for name in (name for name in UNKNOWN_IN_LOCK if manifest.get(name)):
        yield Problem(f"the lock was made with {name}, which [tool.uv] does not say", lock.file)
    yield from asked_for.changed(specification, lock)
    for name, recorded in LISTS.items():
        asked = [_sourced(specification, words) for words in settings.get(name, [])]
        yield from _lists(name, asked, manifest.get(recorded, []), lock)
    options = lock.content.get("options", {})
    for name, (recorded, default) in OPTIONS.items():
        mine, theirs = settings.get(name, default), options.get(recorded, default)
        if mine != theirs:
            yield Problem(f"[tool.uv] {name} is {mine!r}, the lock was made with {theirs!r}", lock.file)
    yield from _newest(settings.get("exclude-newer"), options.get("exclude-newer"), lock)
    for name, recorded in MARKERS.items():
        if not _same_union(settings.get(name, []), lock.content.get(recorded, []), specification.python):
            yield Problem(f"[tool.uv] {name} is not what the lock was made for", lock.file, lock.line_of(recorded))


def source_of(
    specification: Specification, name: str, extra: str | None = None, group: str | None = None
) -> tuple[str | None, str | None]:
    """The index (URL) that `[tool.uv.sources]` takes a package from, and the place that is no index, or None."""
    sources = {normal(key): value for key, value in _settings(specification).get("sources", {}).items()}
    found = sources.get(name)
    if found is None:
        return None, None
    several = found if isinstance(found, list) else [found]
    meant = [
        source
        for source in several
        if source.get("extra") in (None, extra) and source.get("group") in (None, group) and "marker" not in source
    ]
    if len(meant) != 1 or "index" not in meant[0]:
        return None, f"[tool.uv.sources] {name}"
    urls = {index.get("name"): index.get("url") for index in _settings(specification).get("index", [])}
    return urls.get(meant[0]["index"], f"the unknown index {meant[0]['index']}"), None


def _settings(specification: Specification) -> dict[str, Any]:
    return specification.content.get("tool", {}).get("uv", {})


def _sourced(specification: Specification, words: str) -> Asked:
    index, elsewhere = source_of(specification, from_text(words).name)
    return from_text(words, index=index, elsewhere=elsewhere)


def _lists(name: str, asked: list[Asked], tables: list[dict[str, Any]], lock: Lock) -> Iterator[Problem]:
    recorded = [from_table(table) for table in tables]
    for rule in asked:
        if not any(rule.equals(made_with) for made_with in recorded):
            yield Problem(f"[tool.uv] {name} has {rule}, and the lock was made without it", FILE)
    for made_with in recorded:
        if not any(made_with.equals(rule) for rule in asked):
            yield Problem(f"the lock was made with {made_with} in {name}, which is not there", lock.file)


def _newest(asked: Any, recorded: Any, lock: Lock) -> Iterator[Problem]:
    """`exclude-newer`: a date stands for the end of that day in the time zone of whoever locked."""
    if bool(asked) != bool(recorded):
        yield Problem(f"[tool.uv] exclude-newer is {asked or 'not set'}, the lock was made with {recorded}", lock.file)
    if not asked or not recorded:
        return
    try:
        mine, theirs = _moment(str(asked)), _moment(str(recorded))
    except ValueError:
        return  # A span such as "7 days": the lock holds the moment that it meant when it was made.
    slack = timedelta(0) if "T" in str(asked) else timedelta(hours=40)
    if abs(mine - theirs) > slack:
        yield Problem(f"[tool.uv] exclude-newer is {asked}, the lock was made with {recorded}", lock.file)


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _same_union(mine: str | Iterable[str], theirs: Iterable[str], python: str) -> bool:
    """Whether two lists of markers allow the same worlds; no list allows all."""
    one, other = [mine] if isinstance(mine, str) else list(mine), list(theirs)
    return all(
        (not one or any(holds(marker, world) for marker in one))
        == (not other or any(holds(marker, world) for marker in other))
        for world in worlds([*one, *other], SpecifierSet(python))
    )
