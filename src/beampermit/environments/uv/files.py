"""The files that `uv.lock` names for one platform: fetched, hashed before each use, and installed from a bundle."""

from __future__ import annotations

import netrc
import os
import re
import shutil
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

from beampermit.cache import cache_folder
from beampermit.digest import has_sha256
from beampermit.environments.addresses import origin
from beampermit.environments.backend import Artifact, Lock, Package
from beampermit.environments.distributions import describe
from beampermit.environments.environment import python_in
from beampermit.environments.platforms import TAGS, current_platform, fits, world_of
from beampermit.environments.uv import specification
from beampermit.environments.uv.command import uv
from beampermit.environments.uv.installed import locked_for
from beampermit.environments.uv.specification import normalize
from beampermit.errors import BadInput, Failed, Outside, Problem, counted
from beampermit.files import replacing
from beampermit.progress import Progress

LOGIN = "log in as for uv: UV_INDEX_NAME_USERNAME and UV_INDEX_NAME_PASSWORD of the index, or netrc"


def login(root: Path, index: str | None, address: str) -> tuple[str, str] | None:
    """User and password for a file at `address` of a package of `index`; None if there are none.

    Credentials of an index are sent to its own host only. Raises `BadInput` for a netrc that cannot be read.
    """
    if index and origin(index) == origin(address):
        for name in _names(root, index):
            stem = "UV_INDEX_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
            user, password = (os.environ.get(f"{stem}_{word}", "") for word in ("USERNAME", "PASSWORD"))
            if user or password:
                return user, password
    return _in_netrc(urlsplit(address).hostname or "")


def _names(root: Path, index: str) -> list[str]:
    """The names of the index in `[[tool.uv.index]]`."""
    listed = specification.read(root).content.get("tool", {}).get("uv", {}).get("index", [])
    return [one["name"] for one in listed if one.get("name") and str(one.get("url")).rstrip("/") == index.rstrip("/")]


def _in_netrc(host: str) -> tuple[str, str] | None:
    file = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    if not file.is_file():
        return None
    try:
        entry = netrc.netrc(str(file)).authenticators(host)
    except netrc.NetrcParseError as error:
        raise BadInput(f"not a netrc file: {error.msg}", file=file, line=error.lineno) from None
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=file) from None
    return (entry[0], entry[2] or "") if entry else None


FOLDER = "wheels"
"""Their folder in a bundle: flat, as uv reads a folder of packages."""
OLD_BUILDER = "setuptools"
"""The build backend of sources that name none."""
LARGEST = 16 * 2**20


def packages_for(lock: Lock, platform: str) -> dict[str, Package]:
    """Name -> package of the lock's variant on a platform, for any Python that the lock allows."""
    if platform not in TAGS:
        raise BadInput(f"{platform!r} is not a platform; there are {', '.join(TAGS)}")
    worlds = [world_of(lock, platform, newest=newest) for newest in (False, True)]
    return {package.name: package for world in worlds for package in locked_for(lock, world)}


def files_for(lock: Lock, packages: Iterable[Package], platform: str) -> Iterator[tuple[Package, Artifact]]:
    """The files to install packages from: each wheel that fits, or the sources where none does. Raises `Failed`."""
    minors = {world_of(lock, platform, newest=newest)["python_version"].replace("3.", "") for newest in (False, True)}
    for package in packages:
        wheels = [artifact for artifact in package.artifacts if _fits(artifact.file_name, platform, minors)]
        sources = [artifact for artifact in package.artifacts if not artifact.file_name.endswith(".whl")]
        if not wheels and not sources:
            raise Failed(f"{package} has no file for {platform}", file=lock.file, line=package.line)
        for artifact in wheels or sources:
            if not artifact.sha256:
                raise Failed(
                    f"{package} is locked without a sha256",
                    file=lock.file,
                    line=package.line,
                    hint="beampermit env lock",
                )
            yield package, artifact


def bundled(lock: Lock, root: Path, platform: str, progress: Progress) -> dict[str, Path]:
    """Path in the bundle -> file on this machine, hashed.

    Sources can be built without a network only if their build backend is locked too. Raises `Failed` where it is not,
    or for a file with a wrong hash; `Outside` for one that cannot be fetched.
    """
    packages = packages_for(lock, platform)
    files = list(files_for(lock, packages.values(), platform))
    bundle: dict[str, Path] = {}
    for number, (package, artifact) in enumerate(files, 1):
        progress(f"fetching files: {number} of {len(files)}")
        place = (
            root / artifact.address
            if artifact.local
            else cache_folder() / "files" / str(artifact.sha256) / artifact.file_name
        )
        if not is_locked(place, artifact):
            if artifact.local:
                raise wrong_files(lock, [(package, artifact)], "this machine")
            _fetch(lock, root, package, artifact, place)
        if not artifact.file_name.endswith(".whl"):
            _refuse_unlocked_builder(lock, package, place, packages)
        bundle[f"{FOLDER}/{artifact.file_name}"] = place
    return bundle


def is_locked(path: Path, artifact: Artifact) -> bool:
    """Whether the file at `path` has the sha256 of the lock."""
    return has_sha256(path, artifact.sha256)


def wrong_files(lock: Lock, files: Iterable[tuple[Package, Artifact]], place: str) -> Failed:
    """The error for files, at least one, that `place` lacks or has with other bytes."""
    first, *others = (
        Problem(f"{artifact.file_name} is missing from {place}, or not the locked file", lock.file, package.line)
        for package, artifact in files
    )
    return Failed(
        first.message,
        file=lock.file,
        line=first.line,
        hint="run `beampermit env bundle` on a machine with a network",
        also=others,
    )


def _fits(file_name: str, platform: str, minors: set[str]) -> bool:
    if not file_name.endswith(".whl") or not fits(file_name, platform):
        return False
    *_, tags = parse_wheel_filename(file_name)
    return any(_runs(tag, minors) for tag in tags)


def _runs(tag: Tag, minors: set[str]) -> bool:
    """Whether a CPython of these minor versions accepts a wheel with that tag."""
    if tag.interpreter in ("py3", "py2.py3") or tag.interpreter in {f"py3{minor}" for minor in minors}:
        return tag.abi == "none"
    if tag.abi == "abi3":
        return any(re.fullmatch(r"cp3\d+", tag.interpreter) and int(tag.interpreter[3:]) <= int(one) for one in minors)
    return tag.interpreter in {f"cp3{minor}" for minor in minors}


def _fetch(lock: Lock, root: Path, package: Package, artifact: Artifact, place: Path) -> None:
    import httpx

    credentials = login(root, package.source, artifact.address)
    try:
        with (
            httpx.stream("GET", artifact.address, follow_redirects=True, timeout=60, auth=credentials) as reply,
            replacing(place) as temporary,
        ):
            reply.raise_for_status()
            with temporary.open("wb") as stream:
                for part in reply.iter_bytes():
                    stream.write(part)
            if not is_locked(temporary, artifact):
                raise Failed(
                    f"{package}: {artifact.address} has a wrong sha256",
                    file=lock.file,
                    line=package.line,
                    hint="beampermit env lock",
                )
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise Outside(f"{artifact.address} answers {status}", hint=LOGIN if status in (401, 403) else "") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Outside(f"{artifact.address} cannot be reached: {error}") from None
    except OSError as error:
        raise Outside(f"cannot write: {error.strerror}", file=place) from None


def _refuse_unlocked_builder(lock: Lock, package: Package, sources: Path, packages: dict[str, Package]) -> None:
    for name in _builders(sources):
        if name not in packages:
            raise Failed(
                f"{package} has no wheel and is built by {name}, which is not locked",
                file=lock.file,
                line=package.line,
                hint=f"add {name} to a dependency group of pyproject.toml, then run `beampermit env lock`",
            )


def _builders(sources: Path) -> list[str]:
    """Names of the packages that are needed to build an archive of sources."""
    try:
        text = _in_archive(sources)
        table = tomllib.loads(text).get("build-system", {}) if text else {}
        return [normalize(Requirement(text).name) for text in table.get("requires", [OLD_BUILDER])]
    except (tarfile.TarError, zipfile.BadZipFile, tomllib.TOMLDecodeError, InvalidRequirement, ValueError):
        return [OLD_BUILDER]


def _in_archive(sources: Path) -> str | None:
    """The `pyproject.toml` of the sources."""
    if sources.suffix == ".zip":
        with zipfile.ZipFile(sources) as packed:
            name = next((name for name in packed.namelist() if _is_pyproject(name)), None)
            return packed.read(name).decode() if name else None
    with tarfile.open(sources) as packed:
        member = next((one for one in packed if _is_pyproject(one.name) and one.size < LARGEST), None)
        stream = packed.extractfile(member) if member else None
        return stream.read().decode() if stream else None


def _is_pyproject(name: str) -> bool:
    return name.count("/") == 1 and name.endswith("/pyproject.toml")


REACH_NOTHING = {
    "UV_OFFLINE": "1",
    "UV_NO_INDEX": "1",
    "UV_FIND_LINKS": "",
    "UV_INDEX": "",
    "UV_DEFAULT_INDEX": "",
    "UV_NO_CONFIG": "1",
}


def install(lock: Lock, root: Path, prefix: Path, bundle: Path, progress: Progress) -> None:
    """Install the lock from the files of `bundle`. Raises `Failed` for one that is missing or has a wrong hash."""
    platform = current_platform()
    files = list(files_for(lock, packages_for(lock, platform).values(), platform))
    progress(f"hashing {counted(len(files), 'file')} of the bundle")
    with tempfile.TemporaryDirectory(dir=_beside(prefix)) as folder:
        # uv sees hashed files only: another file of the bundle could be newer, or build a package.
        wrong = []
        for package, artifact in files:
            copy = Path(folder) / artifact.file_name
            _take(bundle / FOLDER / artifact.file_name, copy)
            if not is_locked(copy, artifact):
                wrong.append((package, artifact))
        if wrong:
            raise wrong_files(lock, wrong, "the bundle")
        progress(f"installing the bundle into {prefix}")
        _sync(lock, root, prefix, Path(folder))


def _sync(lock: Lock, root: Path, prefix: Path, folder: Path) -> None:
    if not python_in(prefix).exists():
        uv(["venv", "--no-project", "--python", _python(lock), prefix], cwd=root, env=REACH_NOTHING)
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(sorted(map(_line, locked_for(lock, describe(prefix))))), encoding="utf-8")
    uv(
        [
            "pip",
            "sync",
            "--no-cache",
            "--reinstall",
            "--require-hashes",
            "--no-index",
            "--find-links",
            folder,
            "--python",
            python_in(prefix),
            requirements,
        ],
        cwd=root,
        env=REACH_NOTHING,
    )


def _line(package: Package) -> str:
    hashes = " ".join(f"--hash=sha256:{artifact.sha256}" for artifact in package.artifacts if artifact.sha256)
    return f"{package.name}=={package.version} {hashes}\n"


def _python(lock: Lock) -> str:
    """The Pythons that the lock allows, as uv's `--python` takes them."""
    return str(lock.content.get("requires-python", "")) or f"{sys.version_info.major}.{sys.version_info.minor}"


def _take(place: Path, copy: Path) -> None:
    if place.is_file():
        shutil.copyfile(place, copy)


def _beside(prefix: Path) -> Path:
    """A folder on the disk of the prefix, so that files can be linked."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    return prefix.parent
