"""What a project requires, as conda-lock reads it: `environment.yml`, and files of other categories beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from beampermit.environments.backend import Requirement, Specification
from beampermit.environments.conda_lock import lockfile
from beampermit.environments.conda_lock.conda_lock_api import conda_lock_module
from beampermit.environments.conda_lock.lockfile import RELOCK, parse_yaml
from beampermit.errors import BadInput
from beampermit.reading import decode

FILES = ("environment.yml", "environment.yaml")
MORE = ("environment-*.yml", "environment-*.yaml", "*-environment.yml", "*-environment.yaml")
"""Files of another category (`category: dev`), by the names that conda-lock's users give them."""
PLATFORMS = ("linux-64", "osx-arm64", "osx-64", "win-64")
"""What conda-lock locks for where no file says `platforms:`."""
KINDS = {"channels": list, "dependencies": list, "platforms": list, "category": str}


@dataclass(frozen=True)
class Source:
    """One environment file: `path` is relative to the project's root."""

    path: str
    text: str
    content: dict[str, Any]

    @property
    def category(self) -> str:
        """`main` where the file does not say."""
        return self.content.get("category") or "main"


def file_of(root: Path) -> str | None:
    """The project's environment file."""
    return next((name for name in FILES if (root / name).is_file()), None)


def read(root: Path) -> Specification:
    """Read the environment files of the project at `root`. Raises `BadInput` with file and line."""
    sources = tuple(_sources(root))
    required = lock_specification(sources)
    return Specification(
        file=sources[0].path,
        python=_python(required),
        requirements=tuple(_requirements(sources)),
        content={"root": root, "sources": sources, "required": required, "variants": lockfile.declared_variants(root)},
    )


def lock_specification(sources: tuple[Source, ...]) -> Any:
    """conda-lock's own model of the requirements of each platform. Raises `BadInput`."""
    models = conda_lock_module("models.lock_spec")
    platforms = list(dict.fromkeys(name for source in sources for name in source.content.get("platforms") or ()))
    parsed = [
        models.LockSpecification(
            dependencies={platform: _dependencies(source, platform) for platform in platforms or PLATFORMS},
            channels=[str(name) for name in source.content.get("channels") or () if name != "nodefaults"],
            sources=[Path(source.path)],
        )
        for source in sources
    ]
    try:
        return conda_lock_module("src_parser.aggregation").aggregate_lock_specs(parsed, platforms or list(PLATFORMS))
    except ValueError as error:
        raise BadInput(f"the environment files contradict each other: {error}", file=sources[-1].path) from None


def virtual_repodata(root: Path, variant: str) -> Any:
    """conda-lock's own model of the virtual packages of a variant. Raises `BadInput`."""
    module = conda_lock_module("virtual_package")
    path = lockfile.virtual_packages_file(root, variant)
    if path is None:
        return module.default_virtual_package_repodata()
    parse_yaml(decode(path.read_bytes(), path.name), path.name)
    try:
        return module.virtual_package_repo_from_specification(path)
    except (ValueError, AttributeError, TypeError, AssertionError) as error:
        raise BadInput(f"invalid file of virtual packages: {str(error).splitlines()[0]}", file=path.name) from None


def _sources(root: Path) -> Iterator[Source]:
    first = file_of(root)
    if first is None:
        raise BadInput("the file is missing", file=FILES[0], hint="beampermit new")
    listed = [first, *(name for name in _named_by_lock(root) if name != first)]
    beside = sorted(path.name for pattern in MORE for path in root.glob(pattern))
    for name in dict.fromkeys((*listed, *beside)):
        source = _source(root, name)
        if name in listed or source.content.get("category"):
            yield source


def _named_by_lock(root: Path) -> tuple[str, ...]:
    """Environment files that an existing lock was made from, so that users of conda-lock can keep their names."""
    path = root / lockfile.FILE
    if not path.is_file():
        return ()
    listed = re.search(r"^  sources:\n((?:  - .*\n)+)", decode(path.read_bytes(), path.name), re.MULTILINE)
    names = [line.strip()[2:].strip("'\"") for line in listed[1].splitlines()] if listed else []
    return tuple(name for name in names if _inside(name) and (root / name).is_file())


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.suffix in {".yml", ".yaml"}


def _source(root: Path, name: str) -> Source:
    text = decode((root / name).read_bytes(), name)
    content = parse_yaml(text, name, hint=RELOCK)
    if not isinstance(content, dict):
        raise BadInput("an environment file must be a mapping of keys to values", file=name, line=1, hint=RELOCK)
    for key, kind in KINDS.items():
        if content.get(key) is not None and not isinstance(content[key], kind):
            raise BadInput(f"{key}: must be a {kind.__name__}", file=name, line=_line(text, f"{key}:"), hint=RELOCK)
    if not content.get("dependencies"):
        raise BadInput("dependencies: is missing or empty", file=name, line=_line(text, "dependencies:"), hint=RELOCK)
    for item in content["dependencies"]:
        _refuse(item, text, name)
    return Source(name, text, content)


def _refuse(item: Any, text: str, name: str) -> None:
    """Refuse what cannot be locked with a sha256 for each package."""
    if isinstance(item, dict) and "pip" in item:
        raise BadInput(
            "a `pip:` section is not supported: list the packages as conda packages, or use uv",
            file=name,
            line=_line(text, "pip:"),
            hint=RELOCK,
        )
    if not isinstance(item, str):
        raise BadInput(f"{item!r} is not a package", file=name, line=_line(text, str(item)), hint=RELOCK)


def _dependencies(source: Source, platform: str) -> list[Any]:
    """The requirements of a file on one platform, its selectors (`# [linux]`) applied."""
    import yaml

    try:
        lines = conda_lock_module("src_parser.selectors").filter_platform_selectors(source.text, platform=platform)
        content = yaml.load("\n".join(lines), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except KeyError:
        raise BadInput(f"{platform!r} is not a platform of conda-lock", file=source.path) from None
    parse = conda_lock_module("src_parser.conda_common").conda_spec_to_versioned_dep
    dependencies = []
    for written in content["dependencies"] or ():
        try:
            dependencies.append(parse(written, source.category))
        except (RuntimeError, ValueError) as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            raise BadInput(
                f"{written!r} is not a package: {reason}", file=source.path, line=_line(source.text, written)
            ) from None
    return dependencies


def _requirements(sources: tuple[Source, ...]) -> Iterator[Requirement]:
    for source in sources:
        group = "" if source.category == "main" else source.category
        for written in source.content["dependencies"]:
            name = re.split(r"[\s=<>!~\[]", written.rpartition("::")[2].strip(), maxsplit=1)[0]
            yield Requirement(name, written, group, _line(source.text, written))


def _python(required: Any) -> str:
    """The version specifier of Python in the form of PEP 440; empty where platforms differ or none is given."""
    versions = {
        _pep440(dependency.version)
        for dependencies in required.dependencies.values()
        for dependency in dependencies
        if dependency.name == "python"
    }
    return versions.pop() if len(versions) == 1 else ""


def _pep440(version: str) -> str:
    if re.fullmatch(r"[\d.]+(\.\*)?", version):
        return f"=={version}"
    if match := re.fullmatch(r"=([\d.]+?)(\.\*)?", version):
        return f"=={match[1]}.*"
    return version


def _line(text: str, part: str) -> int | None:
    return next((number for number, line in enumerate(text.splitlines(), 1) if part in line), None)
