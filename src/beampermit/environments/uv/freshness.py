"""Whether `uv.lock` is a solution of `pyproject.toml`: uv's own check, and what it does not look at."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from beampermit.environments.backend import Lock, Package, Specification
from beampermit.environments.backend import Requirement as Asked
from beampermit.environments.markers import Unjudged
from beampermit.environments.uv import consistency, lockfile
from beampermit.environments.uv.command import call, failure
from beampermit.environments.uv.shape import FILE, keys_at, line_of, lines_of_strings
from beampermit.environments.uv.specification import normalize, parse_requirement, refused_settings, settings_of
from beampermit.errors import BadInput, Outside, Problem
from beampermit.processes import Finished

LISTS = ("constraint-dependencies", "override-dependencies", "build-constraint-dependencies")
REASON = re.compile(
    r"(?:Resolving despite|Ignoring) existing lockfile due to (.+?):?\n(?: +Requested: (.*)\n +Existing: (.*))?"
)
REQUIREMENT = re.compile(r'Requirement \{ name: PackageName\("([^"]+)"\).*?origin: \w+ \}')
STRUCTURE = re.compile(r": `\w+\(\[.*")
NAMES = re.compile(r'(?:Extra|Group|Package)Name\("([^"]+)"\)')


def stale(specification: Specification, lock: Lock) -> Iterator[Problem]:
    """Each way in which the lock is not what the project asks for, the reason first and its consequences last.

    Raises `Outside` where uv cannot tell, for want of a Python that the project allows, and `BadInput` for values in
    `pyproject.toml` that cannot be read.
    """
    own = lockfile.own_package(lock)
    if own is None:
        yield Problem("the lock has no entry for the project itself", lock.file)
        return
    inconsistent = list(_inconsistent(lock, own))
    unsupported = [*refused_settings(specification), *_unsupported(specification, own)]
    yield from unsupported or _different(specification, lock, known=bool(inconsistent))
    yield from inconsistent


def _inconsistent(lock: Lock, own: Package) -> Iterator[Problem]:
    try:
        yield from consistency.unmet(lock, own)
    except Unjudged as error:
        yield Problem(str(error), lock.file)
    yield from consistency.loose_ends(lock, (*own.needs, *(edge for edges in own.optional.values() for edge in edges)))


def _unsupported(specification: Specification, own: Package) -> Iterator[Problem]:
    """What uv would have to build, clone or download before it can tell, and with that run code of the project."""
    project, settings = specification.content.get("project", {}), settings_of(specification)
    if own.name != normalize(project.get("name", "")):
        yield Problem(f"the lock is for the project {own.name}, {FILE} is for {project.get('name')}", FILE)
    for name in sorted({"dependencies", "optional-dependencies"} & set(project.get("dynamic", []))):
        yield Problem(f"project.dynamic has {name!r}: list them in {FILE}, so that they can be locked", FILE)
    if "workspace" in settings:
        yield Problem("[tool.uv.workspace] is not supported: give the project a lock of its own", FILE)
    for name, sources in settings.get("sources", {}).items():
        for source in sources if isinstance(sources, list) else [sources]:
            if "index" not in source:
                yield Problem(
                    f"[tool.uv.sources] takes {name} from {next(iter(source), 'nowhere')}, not an index", FILE
                )
    lines = lines_of_strings(specification.text)
    written = [one.text for one in specification.requirements]
    for text in (*written, *(text for name in LISTS for text in settings.get(name, ()))):
        line = lines.get(text)
        if parse_requirement(text, line).url:
            yield Problem(f"{text} is taken from a URL, not an index", FILE, line)


def _different(specification: Specification, lock: Lock, *, known: bool) -> Iterator[Problem]:
    """Where uv finds that `pyproject.toml` is not what the lock was made for; `known` if the lock is broken anyway."""
    copy = _copy(specification)
    finished = _ask_uv(specification, lock, copy)
    if finished.code == 0:
        return
    if reason := REASON.search(finished.err):
        yield from _explained(specification, lock, reason)
    elif isinstance(error := failure(finished.err), Outside):
        raise error
    elif error.file == FILE:
        # Without a line, the error begins with the setting that it is about.
        keys = keys_at(copy, error.line) if error.line else tuple(error.message.split()[0].split("."))
        yield Problem(error.message, FILE, line_of(specification.text, keys))
    elif not known:
        yield Problem(error.message, lock.file, error.line)


def _ask_uv(specification: Specification, lock: Lock, copy: str) -> Finished:
    """Run `uv lock --check` on a copy without the project's code: uv starts a `.venv` and builds what is in reach."""
    with tempfile.TemporaryDirectory() as folder:
        project, text = Path(folder) / "project", lock.text
        project.mkdir()
        locations: list[str] = []
        for number, source in enumerate(lock.sources):
            if "://" in source:
                locations.append(f"--index={source}")
                continue
            # The files of a local folder are not looked at, so the folder need not be on this machine.
            place = Path(folder) / f"local-{number}"
            place.mkdir()
            locations.append(f"--find-links={place.as_posix()}")
            text = text.replace(f'registry = "{source}"', f'registry = "{place.as_posix()}"')
        (project / FILE).write_text(copy, encoding="utf-8")
        (project / lockfile.FILE).write_text(text, encoding="utf-8")
        return call(
            [
                "lock",
                "--check",
                "--offline",
                "--no-build",
                "--no-cache",
                "--verbose",
                *locations,
                *_python(specification),
            ],
            cwd=project,
            env={"UV_PROJECT_ENVIRONMENT": str(Path(folder) / "none"), "RUST_LOG": ""},
        )


def _copy(specification: Specification) -> str:
    """What of `pyproject.toml` a lock depends on; the build backend is replaced by one that cannot be installed."""
    import tomlkit

    content = specification.content
    settings = {key: value for key, value in settings_of(specification).items() if key != "find-links"}
    kept = {key: content[key] for key in ("project", "dependency-groups") if key in content}
    if "build-system" in content:
        kept["build-system"] = {"requires": ["beampermit-builds-nothing"], "build-backend": "none"}
    try:
        return tomlkit.dumps(kept | {"tool": {"uv": settings}})
    except RecursionError:
        raise BadInput("nested too deeply", file=FILE) from None


def _python(specification: Specification) -> list[str]:
    """The Python that runs us, where the project allows it; else uv looks for one."""
    try:
        allowed = SpecifierSet(specification.python)
    except InvalidSpecifier:
        raise BadInput(f"requires-python {specification.python!r} is not a version specifier", file=FILE) from None
    running = ".".join(map(str, sys.version_info[:3]))
    return [f"--python={sys.executable}"] if running in allowed else []


def _explained(specification: Specification, lock: Lock, reason: re.Match[str]) -> Iterator[Problem]:
    """Give uv's reason; where it is about requirements, those that differ, with their lines."""
    why, requested, existing = reason[1], reason[2] or "", reason[3] or ""
    new, old = ({item[0]: item[1] for item in REQUIREMENT.finditer(text)} for text in (requested, existing))
    changed = {new[item]: item for item in new.keys() - old.keys()}
    gone = {old[item] for item in old.keys() - new.keys()} - changed.keys()
    if not (changed or gone) or not why.startswith(("mismatched requirements", "mismatched dependency groups")):
        yield _general(lock, why, requested, existing)
        return
    recorded = consistency.recorded(lock)
    for name in sorted(changed):
        written = _written(specification, name, changed[name])
        was = " and ".join(sorted({str(one) for one in recorded if one.name == name}))
        made = f"for {was}" if was else "without it"
        yield Problem(f"{written.text} is required, and {lock.file} was made {made}", FILE, written.line)
    for name in sorted(gone):
        line = lock.line_of(f'name = "{name}"')
        yield Problem(f"{lock.file} was made for {name}, which {FILE} no longer requires", lock.file, line)


def _general(lock: Lock, why: str, requested: str, existing: str) -> Problem:
    new, old = set(NAMES.findall(requested)), set(NAMES.findall(existing))
    kind = next((kind for kind in ("extra", "group") if kind in why), "")
    if kind and new - old:
        return Problem(f"{lock.file} was made without the {kind} {min(new - old)!r}", FILE)
    if kind and old - new:
        return Problem(f"{lock.file} has the {kind} {min(old - new)!r}, which {FILE} no longer has", lock.file)
    names = f" ({', '.join(sorted(new | old))})" if new | old else ""
    # uv prints some values as its own structures.
    return Problem(f"{lock.file} does not match {FILE}: {STRUCTURE.sub('', why)}{names}", FILE)


def _written(specification: Specification, name: str, item: str) -> Asked:
    """The requirement as `pyproject.toml` has it: of several with that name, the one with these versions."""
    versions = re.findall(r'version: "([^"]+)"', item)
    named = [one for one in specification.requirements if one.name == name]
    exact = [one for one in named if all(version in one.text for version in versions)]
    return next(iter((*exact, *named)), Asked(name, name))
