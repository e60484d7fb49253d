"""The storage that data are pushed to: can it be reached, what is on it, and its bytes, verified."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from beampermit.datasets.configuration import without_secrets
from beampermit.errors import BeampermitError, Outside

FEW = 8
"""Objects of one folder that are asked for one by one, whatever else is in it."""
WORTH = 4
"""Names that are listed in the time in which one file is asked for."""


def missing_in_folder(store: str, oids: Iterable[str]) -> set[str]:
    """Those of `oids` that are not at `<store>/<first two digits>/<the rest>`.

    Raises `OSError` for whatever is not a plain answer: what cannot be looked at is not missing. Hashes are spread
    evenly, so one listed folder tells how much there is in the others.
    """
    wanted: dict[str, set[str]] = defaultdict(set)
    for oid in oids:
        wanted[oid[:2]].add(oid[2:])
    missing: set[str] = set()
    held: int | None = None
    for folder, names in sorted(wanted.items(), key=lambda item: (-len(item[1]), item[0])):
        path = os.path.join(store, folder)  # noqa: PTH118 - 40,000 times
        if len(names) > FEW and (held is None or held <= WORTH * len(names)):
            there = _file_names(path)
            held = len(there)
            lost = names - there
        else:
            lost = {name for name in names if not is_file(f"{path}/{name}")}
        missing |= {folder + name for name in lost}
    return missing


def is_file(path: str) -> bool:
    """Whether a plain file, or a link to one, is there. Raises `OSError` where that cannot be seen."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - 40,000 times
    except (FileNotFoundError, NotADirectoryError):
        return False


def _file_names(path: str) -> set[str]:
    try:
        with os.scandir(path) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return set()


GONE = (404, 410)
NO_HEAD = (405, 501)
"""What a server answers that knows only GET."""


def missing_over_http(fs: Any, addresses: Mapping[str, str], at_once: int) -> set[str]:
    """The keys of `addresses` at which nothing is, through the session of DVC's file system: its login, TLS, patience.

    Raises `OSError`, `aiohttp.ClientError` or `TimeoutError` for whatever is not a plain answer.
    """
    return asyncio.run_coroutine_threadsafe(_missing_over_http(fs, addresses, at_once), fs.loop).result()


async def _absent(fs: Any, addresses: Mapping[str, str], at_once: int) -> set[str]:
    session = await fs.set_session()
    waiting = iter(addresses.items())
    try:
        async with asyncio.TaskGroup() as group:  # the first that fails stops the others
            tasks = [group.create_task(_missing_of(session, waiting)) for _ in range(min(at_once, len(addresses)))]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return set().union(*(task.result() for task in tasks))


async def _asked(session: Any, waiting: Iterator[tuple[str, str]]) -> set[str]:
    """Take addresses from those that wait until none is left; give the keys of those where nothing is."""
    return {key for key, address in waiting if not await _exists(session, address)}


async def _is_there(session: Any, address: str) -> bool:
    async with session.head(address, allow_redirects=True) as answer:
        status = answer.status
    if status in NO_HEAD:
        async with session.get(address) as answer:
            status = answer.status
    if status in GONE:
        return False
    if status >= 400:
        raise OSError(f"it answers with status {status}")
    return True


T = TypeVar("T")
WEB = ("http", "https")
TIMEOUT = 10.0
AT_ONCE = 64
"""Questions on their way at the same time; each waits for the network, not for this machine."""


class Remote:
    """One remote that answered. `url` is its address without secrets.

    Some storages say "not there" when they fail, so that is believed only of one that still answers afterwards.
    """

    def __init__(self, name: str, url: str, found: Any):
        self.name = name
        self.url = url
        self._remote = found
        self._local = found.fs.protocol == "local"

    @classmethod
    def open(cls, repo: Any, name: str | None) -> Remote:
        """The remote called `name` (the default one if None) of DVC's configuration, probed. Raises `Outside`."""
        from dvc.exceptions import DvcException

        name = name or repo.config["core"].get("remote")
        try:
            found = repo.cloud.get_remote(name)
        except DvcException as error:
            raise Outside(
                f"no remote to look at: {str(error).splitlines()[0]}", file=".dvc/config", hint="dvc remote list"
            ) from None
        except ImportError as error:  # DVC knows the storage, and the package that speaks to it is not installed
            extra = "s3" if "dvc-s3" in str(error) else ""
            hint = f"pip install 'beampermit[{extra}]'" if extra else "dvc remote list"
            raise Outside(f"the remote {name} cannot be spoken to: {error}", file=".dvc/config", hint=hint) from None
        if found.fs.version_aware or found.worktree:
            raise Outside(f"the remote {name} keeps versions in the cloud, which cannot be looked at object by object")
        address = str(repo.config["remote"].get(name, {}).get("url", found.path))
        remote = cls(str(name), without_secrets(address), found)
        remote.probe()
        return remote

    def probe(self) -> None:
        """Ask for an answer. Raises `Outside` where there is none: an absent remote is not one with missing objects."""
        with self._outside():
            if self._local:
                os.listdir(self._remote.path)  # noqa: PTH208 - raises what tells absent from forbidden
            elif self._remote.fs.protocol in WEB:
                self._probe_http()
            elif not self._remote.fs.exists(self._remote.path):
                raise FileNotFoundError(f"nothing is there, or it was never pushed to: {self.url}")

    def missing(self, oids: Iterable[str], hash_name: str = "md5") -> set[str]:
        """Those of `oids` that are not on the remote. Raises `Outside`."""
        wanted = set(oids)
        odb = self._odb(hash_name)
        with self._outside():
            if self._local:
                # DVC's own look-up hashes objects and removes those that do not match: a check changes nothing.
                return missing_in_folder(odb.path, wanted)
            if odb.fs.protocol in WEB:
                missing = missing_over_http(odb.fs.fs, {oid: odb.oid_to_path(oid) for oid in wanted}, AT_ONCE)
            else:
                missing = wanted - set(odb.oids_exist(wanted, jobs=max(AT_ONCE, odb.fs.jobs))) if wanted else set()
        if missing:
            self.probe()
        return missing

    def read(self, oid: str, limit: int, hash_name: str = "md5") -> bytes | None:
        """At most `limit` bytes of an object, or None where it is missing. Raises `Outside`."""

        def head(fs: Any, path: str) -> bytes:
            with fs.open(path, "rb") as stream:
                return stream.read(limit)

        return self._taken(oid, hash_name, head)

    def fetch(self, oid: str, into: Path, hash_name: str = "md5") -> str | None:
        """Copy an object to the file `into`; give the hash of the bytes that came, None where it is missing."""

        def copy(fs: Any, path: str) -> Path:
            if self._local:
                shutil.copyfile(path, into)
            else:
                fs.get_file(path, str(into))
            return into

        came = self._taken(oid, hash_name, copy)
        return None if came is None else hash_of(came, hash_name)

    def _taken(self, oid: str, hash_name: str, take: Callable[[Any, str], T]) -> T | None:
        """What `take` makes of the object's file system and path; None where it is missing. Raises `Outside`."""
        odb = self._odb(hash_name)
        path = odb.oid_to_path(oid)
        with self._outside():
            # Of a folder only a plain file is opened: a pipe would wait for ever.
            if self._local and not is_file(path):
                return None
            try:
                return take(odb.fs, path)
            except FileNotFoundError:
                self.probe()
                return None

    def _odb(self, hash_name: str) -> Any:
        return self._remote.legacy_odb if hash_name == "md5-dos2unix" else self._remote.odb

    def _probe_http(self) -> None:
        import httpx

        status = httpx.head(self._remote.path, timeout=TIMEOUT, follow_redirects=True).status_code
        if status in (401, 403, 407) or status >= 500:
            raise OSError(f"it answers with status {status}")

    @contextmanager
    def _outside(self) -> Iterator[None]:
        try:
            yield
        except BeampermitError:
            raise
        except FileNotFoundError as error:
            raise self._failed(f"there is no {error.filename or error}") from None
        except Exception as error:  # each kind of storage raises its own
            words = " ".join(str(error).split()) or type(error).__name__
            raise self._failed(words) from None

    def _failed(self, why: str) -> Outside:
        return Outside(f"the remote {self.name} ({self.url}) cannot be reached: {why}", hint="dvc remote list")


def hash_of(file: Path, hash_name: str = "md5") -> str:
    """DVC's hash of a file, 32 hexadecimal digits, from its bytes and never from a memory of them."""
    if hash_name == "md5-dos2unix":
        from dvc_data.hashfile.hash import file_md5

        return file_md5(str(file), name=hash_name)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
