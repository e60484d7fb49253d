"""Markers are evaluated in every world that tells them apart."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from beampermit.environments.markers import Unjudged, extras_in, holds, worlds

SAME = [
    ("python_version > '3.10'", "python_full_version >= '3.11'"),
    ("python_version in '3.11 3.12'", "python_full_version >= '3.11' and python_full_version < '3.13'"),
    ("platform_system == 'Windows'", "sys_platform == 'win32'"),
    ("sys_platform != 'win32' and os_name == 'posix'", "os_name == 'posix'"),
    ("extra == 'cuda' and python_version > '3.10'", "python_full_version >= '3.11' and extra == 'cuda'"),
    ("implementation_name == 'cpython'", "platform_python_implementation == 'CPython'"),
    (None, None),
]
DIFFERENT = [
    ("python_version > '3.10'", "python_version > '3.11'"),
    ("python_full_version >= '3.11.4'", "python_full_version >= '3.11'"),
    ("sys_platform == 'linux'", "sys_platform == 'darwin'"),
    ("sys_platform == 'linux'", None),
    ("platform_machine == 'x86_64'", "platform_machine in 'x86_64 arm64'"),
    ("extra == 'cuda'", "extra == 'cpu'"),
]


def same(one: str | None, other: str | None) -> bool:
    extras = ("", *extras_in(one), *extras_in(other))
    pairs = ((world, extra) for world in worlds((one, other)) for extra in extras)
    return all(holds(one, world, {extra}) == holds(other, world, {extra}) for world, extra in pairs)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_markers_that_hold_in_the_same_worlds_are_the_same(one: str | None, other: str | None) -> None:
    assert same(one, other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_markers_that_some_world_tells_apart_are_not_the_same(one: str | None, other: str | None) -> None:
    assert not same(one, other)
    assert not same(other, one)


def test_only_pythons_that_are_asked_for_are_looked_at() -> None:
    found = worlds(["python_version < '3.9'"], SpecifierSet("==3.11.*"))
    assert found
    assert not any(holds("python_version < '3.9'", world) for world in found)


def test_markers_over_too_many_variables_are_not_judged() -> None:
    names = ("platform_machine", "platform_release", "platform_version", "os_name")
    bomb = " or ".join(f"{name} == 'v{number}'" for name in names for number in range(20))
    with pytest.raises(Unjudged, match="too many combinations"):
        worlds([bomb])


@pytest.mark.parametrize(
    ("marker", "asked", "expected"),
    [
        ("extra == 'a' and extra == 'b'", {"a", "b"}, True),
        ("extra == 'a' and extra == 'b'", {"a"}, False),
        ("extra != 'a' or extra == 'b'", {"a", "b"}, True),
        ("'a' != extra", {"a"}, False),
        ('extra == "a" and sys_platform != "win32"', {"a"}, True),
        ("platform_release == 'extra'", {"a"}, False),
    ],
)
def test_several_extras_may_be_asked_for_at_once(marker: str, asked: set[str], expected: bool) -> None:
    (world,) = worlds(["sys_platform == 'linux'"])[:1]
    assert holds(marker, world, asked) is expected


def test_what_is_no_marker_is_not_judged() -> None:
    with pytest.raises(Unjudged, match="'sys_platform' is not a marker"):
        worlds(["sys_platform"])
