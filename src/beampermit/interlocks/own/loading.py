"""A laboratory's interlocks as ours see them. They are added: none takes an id, a family or an input of ours."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput, BeampermitError, Failed
from beampermit.interlocks.families import FAMILIES, load_interlocks, select_interlocks
from beampermit.interlocks.interlock import Finding, Interlock
from beampermit.interlocks.own.answers import LONGEST, Described
from beampermit.interlocks.own.installation import folder_of, installed
from beampermit.interlocks.own.lock import FILE, lock_of
from beampermit.interlocks.own.process import describe, judge
from beampermit.project import Project
from beampermit.verdicts.packages import InterlockPackage
from beampermit.verdicts.verdict import OWN_ID

GROUP = "beampermit.interlocks"
FAMILY = "own"
NAMED = re.compile(r"X[A-Z]{2}(\d{3})?")
"""An id or a family of a laboratory."""


@dataclass(frozen=True)
class Declared:
    """Which interlocks the packages of the protected branch's lock add, by id: nothing of them is imported yet."""

    packages: tuple[InterlockPackage, ...] = ()
    points: dict[str, tuple[InterlockPackage, EntryPoint]] = field(default_factory=dict)
    folder: Path = Path()

    @property
    def titles(self) -> dict[str, str]:
        """By id, for a report of those without a verdict."""
        return {id: f"an interlock of {package.label}" for id, (package, _) in self.points.items()}


def declared(project: Project) -> Declared:
    """Raises `Failed` where the packages are not installed, or would replace something; `BadInput` for a bad lock."""
    lock = lock_of(project)
    if lock is None:
        return Declared()
    points: dict[str, tuple[InterlockPackage, EntryPoint]] = {}
    found = installed(lock)
    for package in lock.packages:
        for point in sorted(found[package.name].entry_points.select(group=GROUP), key=lambda point: point.name):
            _refuse(point.name, package, points)
            points[point.name] = (package, point)
    if not points:
        raise Failed(f"no package of it has an entry point of the group {GROUP}, so none adds an interlock", file=FILE)
    return Declared(lock.packages, dict(sorted(points.items())), folder_of(lock))


def own_interlocks(project: Project) -> dict[str, type[Interlock]]:
    """By id. One that cannot be loaded is there, and its check is an error. Raises as `declared`."""
    known = declared(project)
    if not known.points:
        return {}
    ours = frozenset(load_interlocks())
    described = describe(known.folder, {id: point.value for id, (_, point) in known.points.items()})
    made = {
        id: _interlock(id, package, point, known.folder, described[id]) for id, (package, point) in known.points.items()
    }
    _refuse_circles(made, ours)
    return made


def expected_titles(project: Project) -> dict[str, str]:
    """Ids and titles of all interlocks; of ours alone where GIT006 has to say why the others are not here."""
    ours = {id: cls.title() for id, cls in load_interlocks().items()}
    try:
        return ours | declared(project).titles
    except BeampermitError:
        return ours


def select(names: Iterable[str], project: Project | None) -> list[type[Interlock]]:
    """As `select_interlocks`, with the laboratory's: all that are named, `own`, and theirs by family or id.

    Raises `BadInput`, and as `declared` where those of the laboratory are named.
    """
    names = list(names)
    theirs = {name.upper() for name in names if name.lower() == FAMILY or NAMED.fullmatch(name.upper())}
    ours = [name for name in names if name.upper() not in theirs]
    chosen = select_interlocks(ours) if ours or not names else []
    if not names:
        return [*chosen, *_of(project, quietly=True).values()]
    if not theirs:
        return chosen
    found = _of(project, quietly=False)
    for name in theirs - {FAMILY.upper()}:
        if not any(id.startswith(name) for id in found):
            which = ", ".join(found) or "none"
            raise BadInput(f"there is no interlock {name!r} of the laboratory's own, which are: {which}")
    return [*chosen, *(cls for id, cls in found.items() if {FAMILY.upper(), id, id[:3]} & theirs)]


def _of(project: Project | None, *, quietly: bool) -> dict[str, type[Interlock]]:
    if project is None:
        return {}
    try:
        return own_interlocks(project)
    except BeampermitError:
        if quietly:
            return {}  # GIT006 says why
        raise


def _refuse(id: str, package: InterlockPackage, points: dict[str, tuple[InterlockPackage, EntryPoint]]) -> None:
    """Raise `Failed` for an id that is ours, another package's, or none of those that are a laboratory's."""
    if id[:3] in FAMILIES:
        raise Failed(
            f"{package.label} adds {id}, and the family {id[:3]} is Beampermit's: a laboratory adds interlocks and "
            "replaces none",
            file=FILE,
            hint="call it X, two letters and three digits, such as XAR001",
        )
    if not OWN_ID.fullmatch(id):
        raise Failed(
            f"{package.label} adds {id[:40]!r}, which is not an id of a laboratory's interlock",
            file=FILE,
            hint="call it X, two letters and three digits, such as XAR001",
        )
    for other, (owner, _) in points.items():
        if other[:3] == id[:3] and owner != package:
            raise Failed(f"{package.label} adds {id}, and the family {id[:3]} is that of {owner.label}", file=FILE)


def _refuse_circles(made: dict[str, type[Interlock]], ours: frozenset[str]) -> None:
    unknown = {id: sorted(cls.requires - ours - made.keys()) for id, cls in made.items()}
    for id, names in unknown.items():
        if names:
            raise Failed(f"{made[id].package}: {id} requires {names[0]}, which there is not", file=FILE)
    try:
        TopologicalSorter({id: cls.requires & made.keys() for id, cls in made.items()}).prepare()
    except CycleError as error:
        raise Failed(
            f"these interlocks wait for each other: {', '.join(sorted(set(error.args[1])))}", file=FILE
        ) from None


def _interlock(id: str, package: InterlockPackage, point: EntryPoint, folder: Path, what: Described) -> type[Interlock]:
    if what.why:
        return _broken(id, package, what.why)

    def check(_: Any, project: Project) -> Finding:
        return judge(project, package.label, id, point.value, folder, what.inputs, what.time_limit)

    return _made(id, package, what.title, what.fix, check, ("project",), what.requires)


def _broken(id: str, package: InterlockPackage, why: str) -> type[Interlock]:
    def check(_: Any) -> Finding:
        raise BadInput(f"{package.label} {id}: {why}", hint="write to whoever keeps that package")

    return _made(id, package, f"An interlock of {package.name}"[:LONGEST], "", check, (), ())


def _made(
    id: str,
    package: InterlockPackage,
    title: str,
    fix: str,
    check: Any,
    inputs: tuple[str, ...],
    requires: Iterable[str],
) -> type[Interlock]:
    check.__doc__ = fix
    members = {
        "__doc__": title,
        "__module__": __name__,
        "check": check,
        "requires": frozenset(requires),
        "package": package.label,
        "inputs": classmethod(lambda _: inputs),
    }
    return type(id, (Interlock,), members, own=True)
