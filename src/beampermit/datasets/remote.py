"""A DVC remote: does it answer, which objects does it have, and their verified bytes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import re
import secrets
import shutil
import socket
import ssl
import stat
import tempfile
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from beampermit.datasets.configuration import without_secrets
from beampermit.errors import BadInput, BeampermitError, Outside, one_line

T = TypeVar("T")
WEB = ("http", "https")
TIMEOUT = 10.0
AT_ONCE = 64
"""Concurrent look-ups; each waits for the network, not for this machine."""
GONE = (404, 410)
FORBIDDEN = (401, 403, 407)
NO_HEAD = (405, 501)
"""Status codes of a server that answers only GET."""
FEW = 8
"""Up to this many objects of one folder are looked up one by one, however many it has."""
WORTH = 4
"""Directory entries that are listed in the time of one look-up."""
BUDGET = 256 * 2**20
"""Bytes that one check reads to compare hashes; of what goes beyond, only the sizes are compared."""
CHUNK = 2**20
EMPTY = "d41d8cd98f00b204e9800998ecf8427e"


REFUSALS = {"NoCredentialsError", "PartialCredentialsError", "PermissionDenied", "ClientAuthenticationError"}
"""Names of errors of kinds of storage for a login that is missing or wrong; others are `PermissionError`."""
LOGIN = "check its login: keys in the environment, or in `.dvc/config.local`"
PORTS = {"http": 80, "https": 443, "ssh": 22}


class Remote:
    """A remote that has answered; `url` is its address without secrets. `empty` says why it has nothing at all.

    Some storages report "not found" when they fail, so that is trusted only if the remote still answers afterwards.
    """

    def __init__(self, name: str, url: str, remote: Any, settings: Mapping[str, Any] | None = None):
        self.name = name
        self.url = url
        self.empty = ""
        self._remote = remote
        self._settings = settings or {}
        self._local = remote.fs.protocol == "local"

    @classmethod
    def open(cls, repo: Any, name: str | None) -> Remote:
        """The remote `name` of DVC's configuration, or the default one.

        Raises `BadInput` if there is none, and `Outside` if it does not answer.
        """
        from dvc.exceptions import DvcException

        name = name or repo.config["core"].get("remote")
        if not name or name not in repo.config["remote"]:
            which = f"a remote called {name}" if name else "a default remote"
            raise BadInput(
                f"{which} is not configured; in a pull request the base branch's configuration counts",
                file=".dvc/config",
                hint=f"dvc remote add {name or '--default NAME'} URL",
            )
        try:
            remote = repo.cloud.get_remote(name)
        except DvcException as error:
            raise BadInput(
                f"the remote {name} cannot be used: {one_line(error)}", file=".dvc/config", hint="dvc remote list"
            ) from None
        except ImportError as error:  # the package for this kind of storage is not installed
            package = re.search(r"dvc-(s3|azure|gs)\b|dvc-\w+", str(error))
            extra = f"'beampermit[{package[1]}]'" if package and package[1] else package[0] if package else ""
            hint = f"pip install {extra}" if extra else "dvc remote list"
            raise Outside(
                f"the package for the remote {name} is not installed: {error}", file=".dvc/config", hint=hint
            ) from None
        if remote.fs.version_aware or remote.worktree:
            raise Outside(f"the remote {name} is cloud-versioned (version_aware or worktree), which is not supported")
        settings = repo.config["remote"][name]
        opened = cls(str(name), without_secrets(str(settings.get("url", remote.path))), remote, settings)
        opened.probe()
        return opened

    def probe(self) -> None:
        """Raises `Outside` if the remote does not answer: then its objects are not known to be missing."""
        with self._outside():
            if self._local:
                self._probe_folder()
                return
            self._require_listening()
            if self._remote.fs.protocol in WEB:
                self._probe_http()
            else:
                self._probe_store()

    def missing(self, oids: Iterable[str], hash_name: str = "md5") -> set[str]:
        """Those of `oids` that are not on the remote. Raises `Outside`."""
        expected = set(oids)
        if expected and not self._local:
            self._refuse_yes_to_everything(hash_name)
        return self._missing(expected, hash_name)

    def altered(self, sizes: Mapping[str, int | None], hash_name: str = "md5") -> tuple[dict[str, str], int]:
        """What is wrong with the bytes of objects, by oid, and the number of objects whose bytes were read.

        `sizes` are those that are known here. Bytes are read up to `BUDGET`, of objects in an order that nobody can
        foresee. Raises `Outside`.
        """
        if not sizes:
            return {}, 0
        faults: dict[str, str] = {}
        stored = self._sizes(sizes, hash_name)
        for oid, size in stored.items():
            expected = 0 if oid == EMPTY else sizes[oid]
            if size is not None and (size != expected if expected is not None else size == 0):
                faults[oid] = f"has {size} bytes there{'' if expected is None else f', not {expected}'}"
        left, chosen = BUDGET, []
        for oid in random.SystemRandom().sample(sorted(stored.keys() - faults.keys()), len(stored) - len(faults)):
            size = stored[oid] if sizes[oid] is None else sizes[oid]
            left -= size or 0
            chosen += [oid] if left >= 0 else []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            digests = pool.map(lambda oid: self._hash(oid, hash_name), chosen)
            differ = [oid for oid, digest in zip(chosen, digests, strict=True) if digest != oid.removesuffix(".dir")]
        return faults | dict.fromkeys(differ, "has other bytes there than its hash says"), len(chosen)

    def _refuse_yes_to_everything(self, hash_name: str) -> None:
        nobodys = secrets.token_hex(16)
        if not self._missing({nobodys}, hash_name):
            reason = f"it says that it has object {nobodys[:8]}, which nobody made, so its answers prove nothing"
            raise Outside(f"the remote {self.name} ({self.url}) is not reliable: {reason}", hint="dvc remote list")

    def _sizes(self, oids: Iterable[str], hash_name: str) -> dict[str, int | None]:
        odb = self._odb(hash_name)
        with self._outside(), ThreadPoolExecutor(AT_ONCE) as pool:
            names = list(oids)
            return dict(zip(names, pool.map(lambda oid: odb.fs.size(odb.oid_to_path(oid)), names), strict=True))

    def _hash(self, oid: str, hash_name: str) -> str | None:
        """The hash of an object's bytes, of at most `BUDGET`; None if it is missing, or longer. Raises `Outside`."""
        if hash_name != "md5":
            with tempfile.TemporaryDirectory() as folder:
                return self.fetch(oid, Path(folder) / "object", hash_name)

        def read(fs: Any, path: str) -> str | None:
            found, length = hashlib.md5(usedforsecurity=False), 0
            with fs.open(path, "rb") as stream:
                while chunk := stream.read(CHUNK):
                    found.update(chunk)
                    length += len(chunk)
                    if length > BUDGET:
                        return None
            return found.hexdigest()

        return self._with_object(oid, hash_name, read)

    def _missing(self, expected: set[str], hash_name: str) -> set[str]:
        odb = self._odb(hash_name)
        with self._outside():
            if self._local:
                # DVC's own look-up removes objects that do not match their hash; a check must not change the remote.
                return missing_in_folder(odb.path, expected)
            if odb.fs.protocol in WEB:
                missing = missing_over_http(odb.fs.fs, {oid: odb.oid_to_path(oid) for oid in expected}, AT_ONCE)
            else:
                jobs = max(AT_ONCE, odb.fs.jobs)
                missing = expected - set(odb.oids_exist(expected, jobs=jobs)) if expected else set()
        if missing:
            self.probe()
        return missing

    def read(self, oid: str, limit: int, hash_name: str = "md5") -> bytes | None:
        """At most `limit` bytes of an object; None if it is missing. Raises `Outside`."""

        def head(fs: Any, path: str) -> bytes:
            with fs.open(path, "rb") as stream:
                return stream.read(limit)

        return self._with_object(oid, hash_name, head)

    def fetch(self, oid: str, into: Path, hash_name: str = "md5") -> str | None:
        """Copy an object to the file `into`; return the hash of the bytes received, None if it is missing."""

        def copy(fs: Any, path: str) -> Path:
            if self._local:
                shutil.copyfile(path, into)
            else:
                fs.get_file(path, str(into))
            return into

        copied = self._with_object(oid, hash_name, copy)
        return None if copied is None else hash_of(copied, hash_name)

    def _with_object(self, oid: str, hash_name: str, read: Callable[[Any, str], T]) -> T | None:
        """`read` called with the object's file system and path; None if it is missing. Raises `Outside`."""
        odb = self._odb(hash_name)
        path = odb.oid_to_path(oid)
        with self._outside():
            # In a local folder only a regular file is opened: a pipe would block for ever.
            if self._local and not is_file(path):
                return None
            try:
                return read(odb.fs, path)
            except FileNotFoundError:
                self.probe()
                return None

    def try_writing(self) -> str | None:
        """Why nothing can be written, empty where a small file was, and is gone again. None where it is not tried."""
        fs = self._remote.fs
        if fs.protocol in WEB:
            return None
        path = f"{self._remote.path.rstrip('/')}/beampermit-doctor-{secrets.token_hex(8)}"
        try:
            with fs.open(path, "wb") as stream:
                stream.write(b"written by beampermit doctor --try-writing, and removed\n")
            fs.remove(path)
        except Exception as error:  # each kind of storage raises its own
            return one_line(error)
        return ""

    def _odb(self, hash_name: str) -> Any:
        return self._remote.legacy_odb if hash_name == "md5-dos2unix" else self._remote.odb

    def _probe_folder(self) -> None:
        folder = Path(self._remote.path)
        try:
            with os.scandir(folder) as entries:
                self.empty = "" if next(entries, None) else "is empty: nothing was pushed to it yet"
        except FileNotFoundError:
            if not folder.parent.is_dir():
                raise
            self.empty = "does not exist: nothing was pushed to it yet, or the folder is not mounted here"

    def _probe_http(self) -> None:
        """Ask as DVC's session does, which would repeat it for seconds."""
        import httpx

        user, password = (str(self._settings.get(key, "")) for key in ("user", "password"))
        basic, custom = (self._settings.get("auth") == kind for kind in ("basic", "custom"))
        verify = self._settings.get("ssl_verify", True)
        context = ssl.create_default_context(cafile=verify) if isinstance(verify, str) else verify
        status = httpx.head(
            self._remote.path,
            auth=(user, password) if basic else None,
            headers={str(self._settings.get("custom_auth_header")): password} if custom else None,
            timeout=TIMEOUT,
            follow_redirects=True,
            verify=True if context is None else context,
        ).status_code
        if status in FORBIDDEN or status >= 500:
            raise status_error(status)

    def _probe_store(self) -> None:
        fs, path = self._remote.fs, self._remote.path
        self.empty = ""
        if fs.exists(path):
            return
        above = path.rpartition("/")[0] if path.startswith("/") else path.partition("/")[0]
        if above in ("", path) or not fs.exists(above):
            fs.ls(above or path)  # raises why, which `exists` does not tell
            raise FileNotFoundError(f"{above or path} does not exist, or it may not be seen")
        self.empty = "is empty: nothing was pushed to it yet"

    def _require_listening(self) -> None:
        """Raises `OSError` at once where nobody listens: clients of storages try again for seconds."""
        address = urlsplit(str(self._settings.get("endpointurl") or self._settings.get("url") or ""))
        host, port = address.hostname, address.port or PORTS.get(address.scheme)
        proxied = address.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host or "")
        if host and port and not proxied:
            socket.create_connection((host, port), timeout=TIMEOUT).close()

    @contextmanager
    def _outside(self) -> Iterator[None]:
        try:
            yield
        except BeampermitError:
            raise
        except FileNotFoundError as error:
            raise self._failed(f"{error.filename} does not exist" if error.filename else str(error)) from None
        except Exception as error:  # each kind of storage raises its own
            reason = one_line(error)
            if isinstance(error, PermissionError) or type(error).__name__ in REFUSALS:
                raise Outside(f"the remote {self.name} ({self.url}) refuses access: {reason}", hint=LOGIN) from None
            raise self._failed(reason) from None

    def _failed(self, reason: str) -> Outside:
        return Outside(f"the remote {self.name} ({self.url}) cannot be reached: {reason}", hint="dvc remote list")


def status_error(status: int) -> OSError:
    """The error for what a web server answers instead of an object."""
    return (PermissionError if status in FORBIDDEN else OSError)(f"it returns status {status}")


def hash_of(file: Path, hash_name: str = "md5") -> str:
    """DVC's hash of a file, 32 hexadecimal digits, always computed from its bytes."""
    if hash_name == "md5-dos2unix":
        from dvc_data.hashfile.hash import file_md5

        return file_md5(str(file), name=hash_name)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def missing_in_folder(store: str, oids: Iterable[str]) -> set[str]:
    """Those of `oids` that are not at `<store>/<first two digits>/<the rest>`.

    Raises `OSError` if it cannot be told: an unreadable folder is not an empty one. Hashes are spread evenly, so the
    first folder that is listed tells how many files the others have.
    """
    expected: dict[str, set[str]] = defaultdict(set)
    for oid in oids:
        expected[oid[:2]].add(oid[2:])
    missing: set[str] = set()
    folder_size: int | None = None
    for folder, names in sorted(expected.items(), key=lambda item: (-len(item[1]), item[0])):
        path = os.path.join(store, folder)  # noqa: PTH118 - 40,000 times
        if len(names) > FEW and (folder_size is None or folder_size <= WORTH * len(names)):
            present = _file_names(path)
            folder_size = len(present)
            absent = names - present
        else:
            absent = {name for name in names if not is_file(f"{path}/{name}")}
        missing |= {folder + name for name in absent}
    return missing


def is_file(path: str) -> bool:
    """Whether a regular file, or a link to one, exists. Raises `OSError` if it cannot be told."""
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


def missing_over_http(fs: Any, addresses: Mapping[str, str], at_once: int) -> set[str]:
    """The keys of `addresses` where nothing exists, asked in the session of DVC's file system (login, TLS, timeouts).

    Raises `OSError`, `aiohttp.ClientError` or `TimeoutError` if it cannot be told.
    """
    return asyncio.run_coroutine_threadsafe(_missing_over_http(fs, addresses, at_once), fs.loop).result()


async def _missing_over_http(fs: Any, addresses: Mapping[str, str], at_once: int) -> set[str]:
    session = await fs.set_session()
    waiting = iter(addresses.items())
    try:
        async with asyncio.TaskGroup() as group:  # the first failure cancels the others
            tasks = [group.create_task(_missing_of(session, waiting)) for _ in range(min(at_once, len(addresses)))]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return set().union(*(task.result() for task in tasks))


async def _missing_of(session: Any, waiting: Iterator[tuple[str, str]]) -> set[str]:
    """Take addresses from the shared iterator until none is left; return the keys where nothing exists."""
    return {key for key, address in waiting if not await _exists(session, address)}


async def _exists(session: Any, address: str) -> bool:
    async with session.head(address, allow_redirects=True) as response:
        status = response.status
    if status in NO_HEAD:
        async with session.get(address) as response:
            status = response.status
    if status in GONE:
        return False
    if status >= 400:
        raise status_error(status)
    return True
