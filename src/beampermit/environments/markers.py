"""Environment markers (`sys_platform == "linux"`), evaluated in every world that they can tell apart.

A world is a set of values for a marker's variables. There is one for each way in which the literals in some markers can
be met or missed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache

from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

World = Mapping[str, str]
MOST = 20_000
EXTRA = re.compile(r"""\bextra\s*([!=]=)\s*(?:"([^"]*)"|'([^']*)')|(?:"([^"]*)"|'([^']*)')\s*([!=]=)\s*extra\b""")
LITERAL = re.compile(r'(\w+)\s*(?:not in|in|[<>=!~]+)\s*"([^"]*)"|"([^"]*)"\s*(?:not in|in|[<>=!~]+)\s*(\w+)')
# Variables that go together: no machine is Linux by one of them and Windows by another.
TOGETHER = {
    "sys_platform": {"linux": ("Linux", "posix"), "darwin": ("Darwin", "posix"), "win32": ("Windows", "nt")},
    "implementation_name": {"cpython": ("CPython",), "pypy": ("PyPy",)},
}
FOLLOWERS = {
    "sys_platform": ("platform_system", "os_name"),
    "implementation_name": ("platform_python_implementation",),
}
LEADER = {follower: leader for leader, followers in FOLLOWERS.items() for follower in followers}


class Unjudged(ValueError):
    """Markers that cannot be evaluated; the message says which."""


def holds(marker: str | None, world: World, extras: Collection[str] = ()) -> bool:
    """Whether a marker holds in a world where `extras` are asked for: of those, any number at a time.

    Raises `Unjudged`.
    """
    if marker is None:
        return True
    decided = EXTRA.sub(lambda match: _decided(match, extras), marker) if "extra" in marker else marker
    try:
        return _parsed(decided).evaluate({**world})
    except (UndefinedComparison, UndefinedEnvironmentName, InvalidVersion) as error:
        raise Unjudged(f"the marker {marker!r} cannot be evaluated: {error}") from None


def extras_in(marker: str | None) -> frozenset[str]:
    """What a marker compares `extra` with."""
    return frozenset(_extra(match) for match in EXTRA.finditer(marker or ""))


def _extra(match: re.Match[str]) -> str:
    return next((name for name in match.group(2, 3, 4, 5) if name), "")


def _decided(match: re.Match[str], extras: Collection[str]) -> str:
    """A comparison with `extra` as one that is always true, or never."""
    is_met = (_extra(match) in extras) is ("==" in (match[1], match[6]))
    return f'python_version {">=" if is_met else "<"} "0"'


def worlds(markers: Iterable[str | None], python: SpecifierSet | None = None) -> list[World]:
    """A world for each combination of outcomes of `markers`, with Pythons that `python` allows. Raises `Unjudged`.

    Extras are not of a world: `holds` is told them.
    """
    named = list({pair for marker in markers if marker for pair in _literals(marker)})
    named += [("python_full_version", literal) for specifier in python or () for literal in [specifier.version]]
    axes = [_pythons([value for name, value in named if name.startswith("python_")], python)]
    axes += [_system(leader, named) for leader in TOGETHER]
    for name in sorted({name for name, _ in named}):
        if name.startswith("python_") or name == "extra" or name in TOGETHER or name in LEADER:
            continue
        axes.append([{name: value} for value in sorted({value for key, value in named if key == name} | {"other"})])
    size = 1
    for axis in axes:
        size *= len(axis)
    if size > MOST:
        raise Unjudged(f"markers over {len(axes)} variables have too many combinations")
    base: dict[str, str] = {"platform_machine": "other", "platform_release": "", "platform_version": ""}
    return [base | {key: value for part in parts for key, value in part.items()} for parts in itertools.product(*axes)]


@cache
def _parsed(marker: str) -> Marker:
    try:
        return Marker(marker)
    except (InvalidMarker, RecursionError):
        raise Unjudged(f"{marker!r} is not a marker") from None


@cache
def _literals(marker: str) -> tuple[tuple[str, str], ...]:
    return tuple(_find_literals(str(_parsed(marker))))


def _find_literals(text: str) -> Iterator[tuple[str, str]]:
    for left, value, reverse, right in LITERAL.findall(text):
        name = left or right
        yield name, value or reverse
        for part in re.split(r"[\s,|]+", value or reverse):
            yield name, part


def _pythons(literals: list[str], allowed: SpecifierSet | None) -> list[dict[str, str]]:
    """Versions at, just below and just above each literal, where the value of a marker can change."""
    versions: set[Version] = {Version("3.11.0")}
    for literal in literals:
        try:
            major, minor, micro = (*Version(literal.removesuffix(".*")).release, 0, 0)[:3]
        except InvalidVersion:
            continue
        versions |= {Version(f"{major}.{minor}.{number}") for number in (micro, micro + 1, max(micro - 1, 0))}
        versions |= {Version(f"{major}.{number}.0") for number in (minor + 1, max(minor - 1, 0))}
    kept = sorted(version for version in versions if allowed is None or version in allowed)
    return [
        {"python_full_version": str(version), "implementation_version": str(version)}
        | {"python_version": f"{version.major}.{version.minor}"}
        for version in kept
    ]


def _system(leader: str, named: list[tuple[str, str]]) -> list[dict[str, str]]:
    known = TOGETHER[leader]
    names = (leader, *FOLLOWERS[leader])
    rows = [dict(zip(names, (value, *rest), strict=True)) for value, rest in known.items()]
    values = {value for row in rows for value in row.values()}
    for name, value in named:
        if name in names and value not in values:
            rows.append(dict.fromkeys(names, "other") | {name: value})
    if not any(name in names for name, _ in named):
        return rows[:1]
    return [*rows, dict.fromkeys(names, "other")]
