"""What a project requires, read from `pyproject.toml`, and which of its extras are accelerator variants."""

from __future__ import annotations

import glob
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed

from beampermit.environments.addresses import unclear
from beampermit.environments.backend import Lock, Requirement, Specification
from beampermit.environments.uv.lockfile import RELOCK, own_package
from beampermit.environments.uv.shape import FILE, line_of, lines_of_strings, validate
from beampermit.errors import BadInput, Problem
from beampermit.reading import decode, parse_toml

ACCELERATORS = ("cpu", "cuda")
MOST = 10_000
"""Requirements of one project."""
BESIDE = "settings beside"
"""Key of a specification's content: problems of further files with settings that uv would read."""
LOCAL = "projects beside"
"""Key of a specification's content: what of other folders is locked with the project, by its path from there. The
content of a `pyproject.toml`, the place of a file, or None where that is missing."""
FOLDER = "folder"
"""Key of a specification's content: the project's folder, from which relative paths of indexes count."""
ARCHIVES = (".whl", ".tar.gz", ".zip")
MOST_LOCAL = 500
HIGHEST = 16
"""Folders above the project in which others may be."""
SETTINGS = re.compile(
    r"add-bounds|audit|build-backend|build-constraint-dependencies|cache-keys|compile-bytecode|concurrent-builds|"
    r"concurrent-downloads|concurrent-installs|conflicts|constraint-dependencies|default-groups|dependency-groups|"
    r"dependency-metadata|dev-dependencies|environments|exclude-dependencies|exclude-newer|exclude-newer-package|"
    r"extra-build-dependencies|extra-index-url|find-links|fork-strategy|index|index-strategy|index-url|"
    r"keyring-provider|link-mode|managed|native-tls|no-binary|no-binary-package|no-build|no-build-isolation|"
    r"no-build-isolation-package|no-build-package|no-index|no-sources|no-sources-package|offline|"
    r"override-dependencies|package|pip|prerelease|preview|preview-features|python-downloads|python-preference|"
    r"publish-url|check-url|trusted-publishing|reinstall|reinstall-package|required-environments|required-version|"
    r"resolution|sources|system-certs|upgrade|upgrade-package|workspace"
)
"""Keys of `[tool.uv]` with which uv installs the files of the lock and no others. Those that say how to solve may
differ as they like: the lock is judged."""
OF_WORKSPACE = re.compile(
    r"workspace|sources|managed|package|dev-dependencies|default-groups|dependency-groups|conflicts|environments|"
    r"required-environments|constraint-dependencies|override-dependencies|build-constraint-dependencies"
)
"""Keys of a `[tool.uv]` above that do not count for a project that is not a member of its workspace."""
REQUIREMENTS = "requirements.txt"
BEGUN = f"# Made from {REQUIREMENTS} by `beampermit env lock`, which has not finished: run it again.\n"
"""First line of a `pyproject.toml` until what was locked for it has the hashes that are pinned."""
PINNED = (".python-version", ".python-versions")


def read(root: Path, *, begun: bool = False) -> Specification:
    """Read the project's `pyproject.toml`. Raises `BadInput` with file and line; also, without `begun`, for one that
    a killed `env lock` left."""
    path = root / FILE
    if not path.is_file():
        hint = "beampermit env lock" if (root / REQUIREMENTS).is_file() else "beampermit new"
        raise BadInput("the file is missing", file=FILE, hint=hint)
    text = decode(path.read_bytes(), FILE)
    if text.startswith(BEGUN) and not begun:
        raise BadInput(
            f"`beampermit env lock` was stopped before it compared the hashes of {REQUIREMENTS}",
            file=FILE,
            line=1,
            hint="beampermit env lock",
        )
    content = parse_toml(text, FILE)
    validate(content, text)
    python = content.get("project", {}).get("requires-python")
    if not python:
        raise BadInput(
            "project.requires-python is missing: a lock is for a Python version",
            file=FILE,
            line=line_of(text, ("project",)),
            hint='write requires-python = ">=3.11", or what the code needs, below [project]'
            if "project" in content
            else "write a table [project] with name, version, requires-python and dependencies",
        )
    content[BESIDE] = tuple(_settings_beside(root, content))
    content[LOCAL] = _local(root, content)
    content[FOLDER] = root.resolve()
    indexes = tuple(_index_addresses(content.get("tool", {}).get("uv", {}), text))
    return Specification(FILE, python, tuple(_requirements(content, text)), content, text, indexes)


def _requirements(content: dict[str, Any], text: str) -> Iterator[Requirement]:
    project, lines = content.get("project", {}), lines_of_strings(text)
    groups = [("", project.get("dependencies", []))]
    groups += [(f"extra {extra}", listed) for extra, listed in project.get("optional-dependencies", {}).items()]
    groups += _dependency_groups(content.get("dependency-groups", {}))
    _refuse_more(sum(len(listed) for _, listed in groups))
    for group, listed in groups:
        for written in listed:
            line = lines.get(written)
            yield Requirement(normalize(parse_requirement(written, line).name), written, group, line)


def _dependency_groups(groups: dict[str, list[str | dict[str, str]]]) -> list[tuple[str, list[str]]]:
    """The requirements of each dependency group, with those of the groups it includes. Raises `BadInput`."""
    members = {normalize(group): listed for group, listed in groups.items()}
    includes = {
        group: [normalize(one["include-group"]) for one in listed if isinstance(one, dict)]
        for group, listed in members.items()
    }
    try:
        order = list(TopologicalSorter(includes).static_order())
    except CycleError as error:
        raise BadInput(f"dependency group {error.args[1][0]!r} includes itself", file=FILE) from None
    requirements: dict[str, list[str]] = {}
    total = 0
    for group in order:
        if group not in members:
            raise BadInput(f"dependency group {group!r} is included and does not exist", file=FILE)
        # A group that is included twice counts once: else a chain of such groups doubles with each.
        listed = (
            [one] if isinstance(one, str) else requirements[normalize(one["include-group"])] for one in members[group]
        )
        requirements[group] = list(dict.fromkeys(chain.from_iterable(listed)))
        total += len(requirements[group])
        _refuse_more(total)
    return [(group, requirements[normalize(group)]) for group in groups]


def _refuse_more(requirements: int) -> None:
    if requirements > MOST:
        raise BadInput(f"there are more than {MOST} requirements, the limit", file=FILE)


def parse_requirement(text: str, line: int | None = None) -> Parsed:
    """Parse a requirement such as `numpy>=2`. Raises `BadInput`."""
    try:
        return Parsed(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{text!r} is not a requirement: {reason}", file=FILE, line=line) from None


def settings_of(specification: Specification) -> dict[str, Any]:
    """The table `[tool.uv]`."""
    return specification.content.get("tool", {}).get("uv", {})


def folder_of_index(address: str, root: Path) -> str | None:
    """The absolute folder of an index that is one: uv writes `file:///folder` in one place, a path in another."""
    if address.startswith("file:///"):
        address = unquote(address.removeprefix("file://"))
    return None if "://" in address else os.path.normpath(root / address)


def refused_settings(specification: Specification) -> Iterator[Problem]:
    """Settings with which uv could install something else under the same lock, such as files from another cache."""
    for key in settings_of(specification):
        if not SETTINGS.fullmatch(key):
            line = line_of(specification.text, ("tool", "uv", key))
            yield Problem(f"tool.uv.{key} can change what uv installs under the same lock: remove it", FILE, line)
    for text in _texts(settings_of(specification).get("extra-build-dependencies")):
        if "@" in text or "/" in text:
            line = lines_of_strings(specification.text).get(text)
            yield Problem(f"tool.uv.extra-build-dependencies takes {text} from a URL, not an index", FILE, line)
    yield from specification.content.get(BESIDE, ())


def _texts(value: Any) -> Iterator[str]:
    """All strings in a value of TOML."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(part)


def refuse_settings(specification: Specification) -> None:
    """Raise `BadInput` for the first of `refused_settings`: uv is not started with it."""
    _refuse(refused_settings(specification))


def _refuse(problems: Iterable[Problem]) -> None:
    for problem in problems:
        raise BadInput(problem.message, file=problem.file, line=problem.line)


def unlockable(specification: Specification) -> Iterator[Problem]:
    """Requirements that only a build backend of the project knows, and that are code for us."""
    dynamic = specification.content.get("project", {}).get("dynamic", [])
    for name in sorted({"dependencies", "optional-dependencies"} & set(dynamic)):
        line = line_of(specification.text, ("project", "dynamic"))
        yield Problem(f"project.dynamic has {name!r}: list them in {FILE}, so that they can be locked", FILE, line)


def refuse_unlockable(specification: Specification) -> None:
    """Raise `BadInput` for a project of which no lock would pass, or that asks for nothing."""
    _refuse(unlockable(specification))
    settings = settings_of(specification)
    if not (specification.requirements or settings.get("dev-dependencies") or "workspace" in settings):
        raise BadInput(
            "nothing to lock: no package is required",
            file=FILE,
            line=line_of(specification.text, ("project",)),
            hint="list packages under dependencies of [project], or in [dependency-groups]",
        )


def _index_addresses(settings: dict[str, Any], text: str) -> Iterator[tuple[str, int | None]]:
    """The addresses in `[tool.uv]` that any package may come from, with their lines.

    An explicit index is left out: only packages that name it come from there, and they are in the lock.
    """
    for number, index in enumerate(settings.get("index", [])):
        if not index.get("explicit") and (url := index.get("url")):
            yield _plain(str(url)), line_of(text, ("tool", "uv", "index", number, "url"))
    for key in ("index-url", "extra-index-url", "find-links"):
        listed = settings.get(key, [])
        for url in listed if isinstance(listed, list) else [listed]:
            yield _plain(str(url)), line_of(text, ("tool", "uv", key))


def _plain(address: str) -> str:
    """An address as a lock has it: without a login, a folder by its path."""
    if unclear(address):
        return address
    if address.startswith("file:///"):
        return PurePosixPath(unquote(address.removeprefix("file://"))).as_posix()
    parts = urlsplit(address)
    if not parts.netloc:
        return PurePosixPath(address).as_posix()
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def _settings_beside(root: Path, content: dict[str, Any]) -> Iterator[Problem]:
    """`uv.toml`, which counts instead of `[tool.uv]`; also either of them above a project without that table."""
    if (root / "uv.toml").exists():
        yield Problem(f"uv would read uv.toml instead of [tool.uv]: move its settings to {FILE}", "uv.toml")
    elif "uv" not in content.get("tool", {}):
        for folder in root.absolute().parents:
            if (folder / "uv.toml").exists():
                yield Problem(f"uv would read settings from {folder / 'uv.toml'}: add a table [tool.uv] here", FILE)
            elif keys := _settings_in(folder / FILE):
                what = f"{', '.join(keys)} of [tool.uv] from {folder / FILE}"
                yield Problem(f"uv would read {what}: add a table [tool.uv] here", FILE)
    for name in PINNED:
        file = root / name
        lines = decode(file.read_bytes(), name).splitlines() if file.is_file() else []
        for number, line in enumerate(map(str.strip, lines), 1):
            if line and not line.startswith("#") and (set(line) & set("/\\") or (root / line).exists()):
                yield Problem(f"uv would start {line!r} as Python: write a version such as 3.11", name, number)


def _settings_in(file: Path) -> list[str]:
    """Keys of its `[tool.uv]` that count for other projects too; none where uv cannot read the file."""
    try:
        settings = parse_toml(file.read_bytes(), file).get("tool", {}).get("uv", {})
        return sorted(key for key in settings if not OF_WORKSPACE.fullmatch(key))
    except (BadInput, OSError, AttributeError, TypeError):
        return []


def _local(root: Path, content: dict[str, Any]) -> dict[str, dict[str, Any] | Path | None]:
    """The projects of the workspace, and the folders and files that `[tool.uv.sources]` names, in them as well."""
    found: dict[str, dict[str, Any] | Path | None] = {}
    waiting = [(".", content)]
    while waiting:
        folder, table = waiting.pop()
        for named in _folders(root / folder, table):
            place = PurePosixPath(posixpath.normpath(posixpath.join(folder, named))).as_posix()
            if place in (".", *found) or place.startswith("/") or place.count("../") > HIGHEST:
                continue
            if len(found) == MOST_LOCAL:
                raise BadInput(f"there are more than {MOST_LOCAL} other projects, the limit", file=FILE)
            found[place] = other = _project_or_file(root, place)
            if isinstance(other, dict):
                waiting.append((place, other))
    return found


def _project_or_file(root: Path, place: str) -> dict[str, Any] | Path | None:
    path = root / place
    if path.is_file():
        return path.absolute() if place.endswith(ARCHIVES) else None
    if not (path / FILE).is_file():
        return None
    name = f"{place}/{FILE}"
    text = decode((path / FILE).read_bytes(), name)
    content = parse_toml(text, name)
    validate(content, text, name)
    content[FOLDER] = path.resolve()
    return content


def _folders(folder: Path, content: dict[str, Any]) -> Iterator[str]:
    settings = content.get("tool", {}).get("uv", {})
    for sources in settings.get("sources", {}).values():
        for source in sources if isinstance(sources, list) else [sources]:
            if isinstance(path := source.get("path"), str):
                yield path
    workspace = settings.get("workspace")
    members = workspace.get("members") if isinstance(workspace, dict) else None
    for pattern in filter(lambda one: isinstance(one, str), members if isinstance(members, list) else ()):
        for place in sorted(glob.iglob(pattern, root_dir=folder, recursive=True)):  # noqa: PTH207 - patterns may be `..`
            if (folder / place / FILE).is_file():
                yield place


def normalize(name: str) -> str:
    """A package name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def variants_of(lock: Lock) -> tuple[str, ...]:
    """The accelerator variants that the lock has."""
    own = own_package(lock)
    return tuple(name for name in ACCELERATORS if own and name in own.optional)


def choose_variant(lock: Lock, variant: str) -> str:
    """The variant to install: `cpu` where none is named and the lock has it. Raises `BadInput` for an unknown one."""
    variants = variants_of(lock)
    if not variant:
        return "cpu" if "cpu" in variants else ""
    if variant not in variants:
        raise BadInput(
            f"there is no extra {variant!r} for an accelerator; the lock has {', '.join(variants) or 'none'}",
            file=lock.file,
            # A project for one kind of machine needs no extra.
            hint=f"{'add' if variants else 'leave --variant out; or add'} the extra to "
            f"[project.optional-dependencies] of {FILE}, then {RELOCK}",
        )
    return variant
