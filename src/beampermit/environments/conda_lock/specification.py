"""What a project requires, as conda-lock reads it: `environment.yml`, and files of other categories beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
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
"""What conda-lock locks for where no file says `platforms:` and nobody named one."""
KINDS = {
    "channels": list,
    "dependencies": list,
    "platforms": list,
    "category": str,
    "pip-repositories": list,
    "allow-pypi-requests": bool,
}
EDITABLE = "-e "
"""Before a folder in a `pip:` section: conda-lock leaves such a package to whoever installs it."""
CUDA = "__cuda"


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
    return next((name for name in FILES if (root / name).is_file()), None) or next(iter(_named_by_lock(root)), None)


def read(root: Path) -> Specification:
    """Read the environment files of the project at `root`. Raises `BadInput` with file and line."""
    sources = tuple(_sources(root))
    required = _lock_specification(sources, _in_lock(root, "platforms"))
    return Specification(
        file=sources[0].path,
        python=_python(required),
        requirements=tuple(_requirements(sources)),
        content={"root": root, "sources": sources, "required": required, "variants": lockfile.declared_variants(root)},
    )


def _lock_specification(sources: tuple[Source, ...], locked: tuple[str, ...]) -> Any:
    """conda-lock's own model of the requirements of each platform. Raises `BadInput`.

    Where no file says `platforms:`, they are those that the lock was made for (`conda-lock -p`).
    """
    models, aggregation = conda_lock_module("models.lock_spec"), conda_lock_module("src_parser.aggregation")
    listed = dict.fromkeys(name for source in sources for name in source.content.get("platforms") or ())
    platforms = list(listed or locked or PLATFORMS)
    parsed = [
        models.LockSpecification(
            dependencies={platform: _dependencies(source, platform) for platform in platforms},
            channels=_listed(source, "channels"),
            pip_repositories=_listed(source, "pip-repositories"),
            allow_pypi_requests=source.content.get("allow-pypi-requests", True),
            sources=[Path(source.path)],
        )
        for source in sources
    ]
    try:
        return aggregation.aggregate_lock_specs(parsed, platforms)
    except aggregation.ChannelAggregationError:
        raise _contradiction(sources) from None


def _listed(source: Source, key: str) -> list[str]:
    return [str(name) for name in source.content.get(key) or () if name != "nodefaults"]


def _contradiction(sources: tuple[Source, ...]) -> BadInput:
    """Two files list other channels, and nobody can tell which of them come first."""
    key = next(key for key in ("channels", "pip-repositories") if _odd(sources, key))
    longest, odd = max(sources, key=lambda source: len(_listed(source, key))), _odd(sources, key)[0]
    return BadInput(
        f"{key}: lists {', '.join(_listed(odd, key))}, and {longest.path} lists {', '.join(_listed(longest, key))}",
        file=odd.path,
        line=_line(odd.text, f"{key}:"),
        hint=f"write the same list in both files, or leave {key}: out of {odd.path}",
    )


def _odd(sources: tuple[Source, ...], key: str) -> list[Source]:
    """The files whose list is not the end of the longest one."""
    longest = max((_listed(source, key) for source in sources), key=len)
    lists = ((source, _listed(source, key)) for source in sources)
    return [source for source, listed in lists if listed and listed != longest[-len(listed) :]]


def virtual_packages(repodata: Any, platform: str) -> dict[str, tuple[str, str]]:
    """Name -> version and build of what machines of a platform offer.

    What a file does not name is as conda-lock assumes it: its solver takes that from the machine. `__cuda` is never
    assumed beside a file: machines that are described without it have no GPU.
    """
    assumed = {name: package for name, package in _offered(_assumed(), platform).items() if name != CUDA}
    return assumed | _offered(repodata, platform)


@cache
def _assumed() -> Any:
    """Kept: conda-lock writes a folder for each."""
    return conda_lock_module("virtual_package").default_virtual_package_repodata()


def _offered(repodata: Any, platform: str) -> dict[str, tuple[str, str]]:
    """The virtual packages that are named for a platform; of `__osx`, which conda-lock lists twice, the newer."""
    packages: dict[str, tuple[str, str]] = {}
    for entry in repodata.all_repodata.get(platform, {}).get("packages", {}).values():
        name, version = entry["name"], entry["version"]
        if name not in packages or _numbers(packages[name][0]) < _numbers(version):
            packages[name] = (version, entry["build_string"] or "0")
    return packages


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


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
    return tuple(name for name in _in_lock(root, "sources") if _inside(name) and (root / name).is_file())


def _in_lock(root: Path, key: str) -> tuple[str, ...]:
    """A list of the lock's metadata, by its lines: a lock that was merged badly is made anew for the same platforms."""
    path = root / lockfile.FILE
    if not path.is_file():
        return ()
    text = decode(path.read_bytes(), path.name).replace("\r\n", "\n")
    listed = re.search(rf"^  {key}:\n((?:  +- .*\n)+)", text, re.MULTILINE)
    return tuple(line.strip()[2:].strip("'\"") for line in listed[1].splitlines()) if listed else ()


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
    """Refuse what is neither a package nor a `pip:` section."""
    listed = item.get("pip") or [] if isinstance(item, dict) and "pip" in item else None
    if isinstance(listed, list):
        item = next((one for one in listed if not isinstance(one, str)), "")
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
    written = content["dependencies"] or []
    dependencies = [_parsed(one, source, lambda text: parse(text, source.category)) for one in _of_conda(written)]
    # As conda-lock does, after all others, of which the last one of a name counts.
    for section in _of_pip(written):
        found = (_parsed(one, source, lambda text: _pip_dependency(text, source.category, platform)) for one in section)
        dependencies += [dependency for dependency in found if dependency is not None]
        dependencies.append(conda_lock_module("models.lock_spec").VersionedDependency(name="pip", version="*"))
    return dependencies


def _of_conda(written: list[Any]) -> list[str]:
    return [one for one in written if isinstance(one, str)]


def _of_pip(written: list[Any]) -> list[list[str]]:
    """The `pip:` sections, without packages in folders; a section that selectors emptied is none."""
    sections = (one.get("pip") for one in written if isinstance(one, dict))
    return [[text for text in section if not text.startswith(EDITABLE)] for section in sections if section is not None]


def _pip_dependency(written: str, category: str, platform: str) -> Any | None:
    """A requirement of a `pip:` section; None where its markers leave the platform out."""
    import warnings

    # Its import takes a second, of which projects without a `pip:` section know nothing.
    module = conda_lock_module("src_parser.pyproject_toml")
    dependency = module.parse_python_requirement(written, manager="pip", category=category, mapping_url="")
    with warnings.catch_warnings(action="ignore"):
        return dependency if module.evaluate_marker(dependency.markers, platform) else None


def _parsed(written: str, source: Source, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(written)
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = next(iter(str(error.__cause__ or error).splitlines()), "conda-lock cannot read it")
        raise BadInput(
            f"{written!r} is not a package: {reason}", file=source.path, line=_line(source.text, written)
        ) from None


def _requirements(sources: tuple[Source, ...]) -> Iterator[Requirement]:
    for source in sources:
        group, listed = "" if source.category == "main" else source.category, source.content["dependencies"]
        for written in (*_of_conda(listed), *(text for section in _of_pip(listed) for text in section)):
            name = re.split(r"[\s=<>!~\[@;]", written.rpartition("::")[2].strip(), maxsplit=1)[0]
            yield Requirement(name, written, group, _line(source.text, written))


def _python(required: Any) -> str:
    """The version specifier of Python in the form of PEP 440; empty where platforms differ or none is given."""
    versions = {
        _pep440(dependency.version)
        for dependencies in required.dependencies.values()
        for dependency in dependencies
        if dependency.name == "python" and dependency.manager == "conda"
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
