"""A laboratory's interlocks as ours see them. They are added: none takes an id, a family or an input of ours."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput, BeampermitError, Failed
from beampermit.interlocks.api import INPUTS, OwnInterlock
from beampermit.interlocks.families import FAMILIES, load_interlocks, select_interlocks
from beampermit.interlocks.inputs import PROVIDERS
from beampermit.interlocks.interlock import Finding, Interlock
from beampermit.interlocks.own.installation import folder_of, installed
from beampermit.interlocks.own.lock import FILE, lock_of
from beampermit.project import Project
from beampermit.verdicts.packages import InterlockPackage
from beampermit.verdicts.verdict import OWN_ID, Outcome

GROUP = "beampermit.interlocks"
FAMILY = "own"
NAMED = re.compile(r"X[A-Z]{2}(\d{3})?")
"""An id or a family of a laboratory."""
LONGEST = 60
"""Characters of a title, as of ours."""


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
    with _ours_kept(known.folder):
        made = {id: _interlock(id, package, point, known) for id, (package, point) in known.points.items()}
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
            f"{package.label} adds {id[:40]!r}, which is no id of a laboratory's interlock",
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


@contextmanager
def _ours_kept(folder: Path) -> Iterator[None]:
    """`folder` is looked in after all that the checker has; what its modules register among ours is dropped again."""
    known, providers = dict(Interlock.known), dict(PROVIDERS)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        importlib.invalidate_caches()
    try:
        yield
    finally:
        Interlock.known.clear()
        Interlock.known.update(known)
        PROVIDERS.clear()
        PROVIDERS.update(providers)


def _interlock(id: str, package: InterlockPackage, point: EntryPoint, known: Declared) -> type[Interlock]:
    try:
        kind: Any = point.load()
        why = _unfit(id, kind, known.folder)
    except (Exception, SystemExit) as error:
        why = f"{point.value} cannot be loaded: {type(error).__name__}: {error}"
        kind = None
    return _broken(id, package, why) if why else _added(id, package, kind)


def _unfit(id: str, kind: Any, folder: Path) -> str:
    """Why this class is no interlock; empty if it is."""
    if not (isinstance(kind, type) and issubclass(kind, OwnInterlock)):
        return "it is no subclass of OwnInterlock of beampermit.interlocks.api"
    if kind.__name__ != id:
        return f"the class is called {kind.__name__}"
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file is None or not Path(file).resolve().is_relative_to(folder.resolve()):
        return f"its module {kind.__module__} is not that of the locked package, but {file}"
    return _ill_written(kind)


def _ill_written(kind: type[OwnInterlock]) -> str:
    title = inspect.cleandoc(kind.__doc__ or "")
    if not title or "\n" in title or len(title) > LONGEST:
        return f"its docstring, the title, must be one line of at most {LONGEST} characters"
    check = getattr(kind, "check", None)
    if check is None or not inspect.getdoc(check):
        return "it has no method `check` whose docstring is the fix"
    if others := [name for name in _inputs(kind) if name not in INPUTS]:
        return f"`check` asks for {others[0]!r}; it may ask for {', '.join(INPUTS)}"
    if isinstance(kind.requires, str) or not all(isinstance(name, str) for name in kind.requires):
        return "`requires` must be a set of ids"
    return ""


def _inputs(kind: type[OwnInterlock]) -> tuple[str, ...]:
    return tuple(name for name in inspect.signature(kind.check).parameters if name != "self")


def _added(id: str, package: InterlockPackage, kind: type[OwnInterlock]) -> type[Interlock]:
    def check(_: Any, **given: Any) -> Finding:
        return _plain(kind().check(**given))

    return _made(id, package, kind.__doc__ or "", inspect.getdoc(kind.check) or "", check, _inputs(kind), kind.requires)


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


def _plain(finding: Any) -> Finding:
    """What was found, without what only ours may say: records that documents read, and when a check is due."""
    if not isinstance(finding, Finding):
        raise BadInput(f"`check` returned {type(finding).__name__}, and not what passed, failed or skipped make")
    if finding.outcome not in set(Outcome):
        raise BadInput(f"its outcome is {finding.outcome!r}, and not one that passed, failed or skipped make")
    if not isinstance(finding.reason, str):
        raise BadInput(f"the reason of its finding is {type(finding.reason).__name__}, and not a text")
    facts = finding.evidence if isinstance(finding.evidence, dict) else finding.evidence.model_dump(mode="json")
    try:
        facts = json.loads(json.dumps(facts, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise BadInput(f"its evidence cannot be written as JSON: {error}") from None
    return replace(finding, outcome=Outcome(finding.outcome), evidence=facts, until="")
