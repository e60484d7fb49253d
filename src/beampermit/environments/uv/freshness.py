"""Whether `uv.lock` is a solution of `pyproject.toml`: uv's own check, and what it does not look at."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from beampermit.cache import cache_folder
from beampermit.environments.backend import Lock, Package, Specification
from beampermit.environments.backend import Requirement as Asked
from beampermit.environments.markers import Unjudged
from beampermit.environments.uv import consistency, lockfile
from beampermit.environments.uv.command import CACHE, PREFIX, call, failure
from beampermit.environments.uv.shape import FILE, keys_at, line_of
from beampermit.environments.uv.specification import (
    FOLDER,
    LOCAL,
    folder_of_index,
    normalize,
    refused_settings,
    unlockable,
)
from beampermit.errors import BadInput, Outside, Problem
from beampermit.processes import Finished

REASON = re.compile(
    r"(?:Resolving despite|Ignoring) existing lockfile due to (.+?):?\n(?: +Requested: (.*)\n +Existing: (.*))?"
)
REQUIREMENT = re.compile(r'Requirement \{ name: PackageName\("([^"]+)"\).*?origin: \w+ \}')
OWNER = re.compile(r"^(?:mismatched|dynamic|missing) [\w ]+: `([^`=]+)")
UNBUILT = re.compile(r"(?:Distribution|Building source distributions for) `(?P<name>[^`@]+?)(?: @ [^`]*)?` (can.t|is)")
SOURCES = {"Git": "git", "Url": "a URL", "Path": "a file", "Directory": "a folder"}
SOURCE = re.compile(rf"\bsource: ({'|'.join(SOURCES)})")
STRUCTURE = re.compile(r": `\w+\(\[.*")
NAMES = re.compile(r'(?:Extra|Group|Package)Name\("([^"]+)"\)')


def stale(specification: Specification, lock: Lock) -> tuple[Problem, ...]:
    """Each way in which the lock is not what the project asks for, the reason first and its consequences last.

    Raises `Outside` where nobody can tell, for want of a Python that the project allows or of what uv would have to
    build, and `BadInput` for values in `pyproject.toml` that cannot be read.
    """
    own = lockfile.own_package(lock)
    if own is None:
        return (Problem("the lock has no entry for the project itself", lock.file),)
    inconsistent, unjudged = _inconsistent(lock, specification.content[FOLDER])
    unsupported = (*refused_settings(specification), *unlockable(specification), *_misnamed(specification, own))
    problems = *(unsupported or _different(specification, lock, known=bool(inconsistent))), *inconsistent
    if unjudged and not problems:
        raise Outside(f"uv takes {lock.file} for fresh, and it cannot be compared with the requirements: {unjudged}")
    return problems


def _inconsistent(lock: Lock, root: Path) -> tuple[list[Problem], Unjudged | None]:
    """What uv does not look at, and why not all of it can be judged."""
    problems, unjudged = [], None
    try:
        problems += consistency.unmet(lock, root)
    except Unjudged as error:
        unjudged = error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(f"not a uv lock: {error!r}", file=lock.file, hint=lockfile.RELOCK) from None
    return [*problems, *consistency.loose_ends(lock)], unjudged


def _misnamed(specification: Specification, own: Package) -> Iterator[Problem]:
    name = specification.content.get("project", {}).get("name", "")
    if own.name != normalize(name):
        yield Problem(f"the lock is for the project {own.name}, {FILE} is for {name or 'none'}", FILE)


def _different(specification: Specification, lock: Lock, *, known: bool) -> Iterator[Problem]:
    """Where uv finds that `pyproject.toml` is not what the lock was made for; `known` if the lock is broken anyway."""
    copy = _copy(specification.content)
    finished = _ask_uv(specification, lock, copy)
    if finished.code == 0:
        return
    if reason := REASON.search(finished.err):
        yield from _explained(specification, lock, reason)
    elif unbuilt := UNBUILT.search(finished.err):
        raise Outside(
            f"uv would have to build {unbuilt['name']} to tell whether {lock.file} is fresh, and that runs its code",
            hint="write its version and dependencies into its pyproject.toml",
        )
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
    beside = specification.content.get(LOCAL, {})
    with tempfile.TemporaryDirectory() as folder:
        depth = max((PurePosixPath(place).parts.count("..") for place in beside), default=0)
        project, text = Path(folder, *["above"] * depth, "project"), lock.text
        project.mkdir(parents=True)
        _copy_beside(beside, project)
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
        cache = _cache_of_pythons(Path(folder))
        return call(
            ["lock", "--check", "--offline", "--no-build", "--verbose", *locations, *_python(specification)],
            cwd=project,
            # Offline, uv has git fetch from folders alone; what it fetched is not checked out.
            env={CACHE: str(cache), PREFIX: str(Path(folder) / "none"), "RUST_LOG": "", "GIT_ALLOW_PROTOCOL": "none"},
        )


def _cache_of_pythons(folder: Path) -> Path:
    """An empty cache, but for what uv knows of the Pythons on this machine: to ask one takes as long as all else."""
    cache = folder / "cache"
    cache.mkdir()
    for known in (cache_folder() / "uv").glob("interpreter-v*"):
        (cache / known.name).symlink_to(known)
    return cache


def _copy_beside(beside: dict[str, dict[str, Any] | Path | None], project: Path) -> None:
    """Copy what of other projects a lock depends on, and link the files that are locked by their path."""
    for place, found in beside.items():
        if found is None:
            raise Outside(
                f"{place} is not a project with a {FILE} on this machine; the lock cannot be judged without it"
            )
        if isinstance(found, Path):
            (project / place).parent.mkdir(parents=True, exist_ok=True)
            (project / place).symlink_to(found)
        else:
            (project / place).mkdir(parents=True, exist_ok=True)
            (project / place / FILE).write_text(_copy(found), encoding="utf-8")


def _copy(content: dict[str, Any]) -> str:
    """What of a `pyproject.toml` a lock depends on; the build backend is replaced by one that cannot be installed."""
    import tomlkit

    settings = {key: value for key, value in content.get("tool", {}).get("uv", {}).items() if key != "find-links"}
    if "index" in settings:
        # A relative path counts from the project, not from its copy.
        settings["index"] = [_absolute(index, content[FOLDER]) for index in settings["index"]]
    kept = {key: content[key] for key in ("project", "dependency-groups") if key in content}
    if "build-system" in content:
        kept["build-system"] = {"requires": ["beampermit-builds-nothing"], "build-backend": "none"}
    try:
        return tomlkit.dumps(kept | {"tool": {"uv": settings}})
    except RecursionError:
        raise BadInput("nested too deeply", file=FILE) from None


def _absolute(index: dict[str, Any], root: Path) -> dict[str, Any]:
    folder = folder_of_index(str(index.get("url", "://")), root)
    return index | {"url": folder} if folder else index


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
    owner = OWNER.search(why)
    if owner and owner[1] != normalize(specification.content["project"]["name"]):
        yield _of_another(lock, owner[1], why, requested, existing)
        return
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
        source = SOURCE.search(changed[name])
        origin = f" from {SOURCES[source[1]]}" if source else ""
        yield Problem(f"{written.text}{origin} is required, and {lock.file} was made {made}", FILE, written.line)
    for name in sorted(gone):
        line = lock.line_of(f'name = "{name}"')
        yield Problem(f"{lock.file} was made for {name}, which {FILE} no longer requires", lock.file, line)


def _of_another(lock: Lock, name: str, why: str, requested: str, existing: str) -> Problem:
    """uv's reason where it is about another project that the lock covers, in a folder of its own."""
    places = (lockfile.place_of(package) for package in lock.named(name))
    file = next((f"{place}/{FILE}" for place in places if place), FILE)
    new, old = ({item[0]: item[1] for item in REQUIREMENT.finditer(text)} for text in (requested, existing))
    names = sorted({*(new[item] for item in new.keys() - old.keys()), *(old[item] for item in old.keys() - new.keys())})
    listed = f" ({', '.join(names)})" if names else ""
    return Problem(f"{lock.file} does not match {file}: {STRUCTURE.sub('', why)}{listed}", file)


def _general(lock: Lock, why: str, requested: str, existing: str) -> Problem:
    new, old = set(NAMES.findall(requested)), set(NAMES.findall(existing))
    kind = next((kind for kind in ("extra", "group", "member") if kind in why), "")
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
