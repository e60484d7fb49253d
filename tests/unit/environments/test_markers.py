"""Markers are evaluated in every world that tells them apart."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from beampermit.environments.markers import Unjudged, holds, worlds

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
    return all(holds(one, world) == holds(other, world) for world in worlds((one, other)))


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
    names = ("platform_machine", "platform_release", "platform_version", "extra")
    bomb = " or ".join(f"{name} == 'v{number}'" for name in names for number in range(20))
    with pytest.raises(Unjudged, match="too many combinations"):
        worlds([bomb])
