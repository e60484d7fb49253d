"""Units as tasks of any Dask scheduler. Where workers see the folder of work, they work in it; else files travel."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import logging
import os
import queue
import re
import secrets
import shutil
import tarfile
import tempfile
import threading
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from beampermit import __version__
from beampermit.compute import dask_worker, gateway
from beampermit.compute.resources import Resources
from beampermit.compute.unit import ENDED, INTERMEDIATE, OWN, REQUEST, STOP, UNIT
from beampermit.compute.worker import store
from beampermit.errors import BadInput, Outside, counted
from beampermit.files import write_bytes
from beampermit.reading import parse_json

ADDRESS = re.compile(r"((tcp|tls|ws|wss|ucx)://)?(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d{1,5}/?")
CONNECTING = 20.0
"""Seconds for a scheduler to answer."""
LOOK = 1.0
"""Seconds between two looks at copies, and at how many workers there are."""
PIECE = 16 * 2**20
"""Bytes of an archive that travel at once."""
AGAIN = "The same command later goes on with what is not done"


class Dask:
    """Its own context manager. Raises `BadInput` for an address or workers of another version, `Outside`."""

    late = 15.0

    def __init__(self, on: str, resources: Resources, work: Path):
        through_gateway = on.startswith(f"{gateway.KIND}://")
        if not through_gateway:
            self._address = address_of(on)
        if resources.nodes > 1:
            raise BadInput(f"--on {on}: a unit runs in one worker, and --nodes is {resources.nodes}")
        if find_spec("distributed") is None:
            raise BadInput("--on dask://ADDRESS needs the extra dask", hint="pip install 'beampermit[dask]'")
        if through_gateway:
            self._address = gateway.name_of(on)
        self._through_gateway, self._connection = through_gateway, ExitStack()
        self._resources, self._room = resources, work.absolute() / dask_worker.ROOM
        self._client: Any = None
        self._open: dict[Path, Any] = {}
        """Folder -> the future of its attempt."""
        self._ended: queue.SimpleQueue[tuple[Path, Any]] = queue.SimpleQueue()
        self._trees: dict[str, str] = {}
        """Path of a tree -> digest of its archive."""
        self._dangling: dict[str, list[str]] = {}
        self._offsets: dict[str, int] = {}
        self._threads = self._workers = 0
        self._counted = float("-inf")
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Dask:
        from distributed import Client

        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it says, we say
        if self._through_gateway:
            self._client = self._connection.enter_context(gateway.client_of(self._address))
            return self._begun()
        file: Any = {"scheduler_file": self._address} if self._address.startswith("/") else {"address": self._address}
        try:
            self._client = Client(**file, timeout=CONNECTING, set_as_default=False)
        except (OSError, ValueError) as error:
            words = " ".join(str(error).split())[:200]
            raise Outside(f"no Dask scheduler answers at {self._address}: {words}") from None
        return self._begun()

    def _begun(self) -> Dask:
        try:
            self._refuse_other_versions()
        except BaseException:
            self._client.close(timeout=LOOK)
            self._connection.close()
            raise
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        self._over.set()
        with suppress(Exception):
            self._client.close(timeout=5 * LOOK)
        self._connection.close()

    @property
    def slots(self) -> int:
        """As many units as have cores in the workers that are there now: more of them, more slots."""
        if self._resources.at_once:
            return self._resources.at_once
        self._count()
        return max(1, self._threads)

    def submit(self, folders: Sequence[Path]) -> None:
        for folder in folders:
            self._submit(folder)

    def ended(self, wait: float) -> Mapping[Path, str]:
        ended: dict[Path, str] = {}
        last = time.monotonic() + wait
        while not ended and (left := last - time.monotonic()) > 0:
            with suppress(queue.Empty):
                ended |= self._take(*self._ended.get(timeout=left))
                while True:
                    ended |= self._take(*self._ended.get_nowait())
            self._refuse_lost_scheduler()
        return ended

    def waiting(self) -> str:
        self._count()
        if not self._workers:
            return "the scheduler has no worker yet"
        return "" if len(self._open) <= self._threads else f"{counted(self._workers, 'worker')}"

    def cancel(self) -> None:
        names = [folder.name for folder in self._open]
        futures = list(self._open.values())
        self._open.clear()
        if names and self._client.status == "running":
            with suppress(Exception):
                self._client.cancel(futures, force=True)
                self._client.run(*_call(dask_worker.end, names), on_error="ignore")

    def _submit(self, folder: Path) -> None:
        description = (folder / UNIT).read_bytes()
        tree = parse_json(description, folder / UNIT)["tree"]
        order = {
            "version": __version__,
            "folder": str(folder.absolute()),
            "unit": description,
            "request": (folder / REQUEST).read_bytes(),
            "tree": self._trees.get(tree, ""),
            "dangling": self._dangling_of(tree),
            "cores": self._resources.cores,
            "gpus": self._resources.gpus,
            "seconds": self._resources.time,
            "bundle": self._resources.bundle,
        }
        key = f"beampermit-{folder.name[:12]}-{secrets.token_hex(4)}"
        try:
            future = self._client.submit(*_call(dask_worker.perform_unit, order), key=key, pure=False)
        except Exception:  # a client that has closed itself
            self._refuse_lost_scheduler(patience=2 * CONNECTING)
            raise
        self._open[folder] = future
        self._offsets[folder.name] = 0
        future.add_done_callback(lambda done: self._ended.put((folder, done)))

    def _dangling_of(self, tree: str) -> list[str]:
        """Links that lead to nothing here either: no worker needs what is behind them."""
        if tree not in self._dangling:
            self._dangling[tree] = dask_worker.dangling_links(tree) if tree else []
        return self._dangling[tree]

    def _take(self, folder: Path, future: Any) -> dict[Path, str]:
        """What became of an attempt; nothing where it goes on. Raises `BadInput` for a worker of another version."""
        if self._open.get(folder) is not future:
            return {}
        try:
            answer = future.result(timeout=CONNECTING)
        except (Exception, CancelledError) as error:
            self._refuse_lost_scheduler(patience=2 * CONNECTING)
            return self._closed(folder, self._why(folder, error))
        if found := answer.get("refused"):
            raise BadInput(_other_version(answer["machine"], found))
        if answer.get("wanted"):
            try:
                self._send(folder, answer["worker"])
            except (OSError, Outside) as error:
                return self._closed(folder, f"code and data did not reach {answer['worker']}: {error}")
            self._submit(folder)
            return {}
        if not answer.get("shared"):
            fault = _unpack(made, folder) if (made := answer.get(dask_worker.MADE)) else ""
            for name in dask_worker.RETURNED:
                if name in answer and not (fault and name == ENDED):
                    write_bytes(folder / name, answer[name])
            if fault:
                store(folder, reason=fault)
        return self._closed(folder, "")

    def _closed(self, folder: Path, why: str) -> dict[Path, str]:
        self._open.pop(folder, None)
        self._offsets.pop(folder.name, None)
        return {folder: why}

    def _why(self, folder: Path, error: BaseException) -> str:
        """Why an attempt failed. What would only fail so again is failed for good; without Beampermit, all would."""
        from distributed import KilledWorker

        if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("beampermit"):
            raise BadInput(_other_version("a worker", "")) from None
        if isinstance(error, KilledWorker):
            reason = "each worker that began it was lost: out of memory, or ended by the site"
            store(folder, reason=reason)
            return reason
        return " ".join(f"{type(error).__name__}: {error}".split())[:500]

    def _send(self, folder: Path, worker: str) -> None:
        """Bring code and data of a unit to a worker, once. Raises `Outside`."""
        tree = parse_json((folder / UNIT).read_bytes(), folder / UNIT)["tree"]
        if tree not in self._trees:
            self._trees[tree] = pack(Path(tree), self._room)
        digest, part = self._trees[tree], secrets.token_hex(8)
        if self._at(worker, dask_worker.has_tree, digest):
            return
        with (self._room / f"{digest}.tar").open("rb") as stream:
            while piece := stream.read(PIECE):
                self._at(worker, dask_worker.add_to_tree, digest, part, piece)
        if fault := self._at(worker, dask_worker.unpack_tree, digest, part):
            raise Outside(fault)

    def _at(self, worker: str, function: Any, *arguments: Any) -> Any:
        try:
            return self._client.run(*_call(function, *arguments), workers=[worker])[worker]
        except Exception as error:
            raise Outside(" ".join(f"{type(error).__name__}: {error}".split())[:300]) from None

    def _look(self) -> None:
        """In a thread: copies have no file `stop` of ours, and we none of their intermediate values."""
        while not self._over.wait(LOOK):
            offsets = dict(self._offsets)
            if not offsets or self._client.status != "running":
                continue
            open_ = {folder.name: folder for folder in list(self._open)}
            stopped = [name for name, folder in open_.items() if (folder / STOP).exists()]
            with suppress(Exception):  # a worker that has just gone
                answers = self._client.run(*_call(dask_worker.look, offsets, stopped), on_error="ignore")
                for name, content in (item for answer in answers.values() for item in answer.items()):
                    if name in open_ and self._offsets.get(name) == offsets[name]:
                        _append(open_[name] / INTERMEDIATE, content, offsets[name])
                        self._offsets[name] += len(content)

    def _count(self) -> None:
        now = time.monotonic()
        if now < self._counted + LOOK:
            return
        self._counted = now
        threads = [
            worker["nthreads"] for worker in self._client.scheduler_info(n_workers=-1).get("workers", {}).values()
        ]
        self._workers = len(threads)
        self._threads = sum(max(1, number // self._resources.cores) for number in threads)

    def _refuse_other_versions(self) -> None:
        """Raises `BadInput` where a worker has another Beampermit, or none."""
        try:
            found = self._client.run(importlib.metadata.version, "beampermit", on_error="return")
        except Exception as error:
            raise Outside(f"workers of the scheduler at {self._address} do not answer: {error}") from None
        for worker, version in sorted(found.items()):
            if version != __version__:
                raise BadInput(_other_version(f"the worker {worker}", version if isinstance(version, str) else ""))
        self._client.run(*_call(dask_worker.forget_old), on_error="ignore")

    def _refuse_lost_scheduler(self, patience: float = 0.0) -> None:
        """Raises `Outside` where it does not answer any more."""
        last = time.monotonic() + patience
        while self._client.status == "connecting" and time.monotonic() < last:
            time.sleep(0.1)
        if self._client.status != "running" and (patience or self._client.status == "closed"):
            raise Outside(f"the Dask scheduler at {self._address} does not answer any more", hint=AGAIN)


def address_of(on: str) -> str:
    """Dask's own address of `dask://HOST:PORT`, `dask://tls://HOST:PORT` or `dask:///FOLDER/scheduler.json`."""
    rest = on.removeprefix("dask://")
    if "@" in rest:
        raise BadInput("an address of Dask has no login: certificates stand in Dask's own configuration")
    if rest.startswith("/"):
        if not Path(rest).is_file():
            raise BadInput("there is no such file of a Dask scheduler", file=rest)
        return rest
    if not (match := ADDRESS.fullmatch(rest)):
        raise BadInput(f"--on is {on!r}, and dask://HOST:PORT is needed, such as dask://login1:8786")
    address = rest.rstrip("/")
    return address if match[1] else f"tcp://{address}"


def _call(function: Callable[..., Any], *arguments: Any) -> tuple[Any, str, dict[str, Any]]:
    """What a worker is given in the place of the function: one that cannot import what it is given, ends."""
    text = f"__import__({function.__module__!r}, fromlist=['']).{function.__name__}(*arguments)"
    return eval, text, {"arguments": arguments}


def pack(tree: Path, to: Path) -> str:
    """Write the files of a tree as one archive, the same bytes for the same files; its digest, which is its name."""
    to.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=to, prefix=".") as scratch:
        file = Path(scratch, "tree.tar")
        with tarfile.open(file, "w") as archive:
            for path in _files(tree):
                about = tarfile.TarInfo(path.relative_to(tree).as_posix())
                about.mode = path.stat().st_mode & 0o755
                if path.is_dir():
                    about.type = tarfile.DIRTYPE
                    archive.addfile(about)
                    continue
                with path.open("rb") as stream:
                    about.size = path.stat().st_size
                    archive.addfile(about, stream)
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        file.replace(to / f"{digest}.tar")
    return digest


def _files(tree: Path) -> Iterator[Path]:
    """Folders before what is in them. A link is what it leads to: a file, or a folder that is below no link."""
    for folder, folders, names in os.walk(tree, followlinks=True):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not _is_loop(Path(folder, name)))
        yield from (path for name in sorted({*folders, *names}) if (path := Path(folder, name)).exists())


def _is_loop(folder: Path) -> bool:
    return folder.is_symlink() and folder.resolve() in folder.absolute().parents


def _other_version(who: str, version: str) -> str:
    """`version` is empty where there is none."""
    has = f"has beampermit {version}" if version else "has no beampermit"
    return f"{who} {has}, and here is {__version__}: install this version in the environment of Dask's workers"


def _unpack(made: bytes, folder: Path) -> str:
    """Take what a command made besides its result, and nothing in the place of files of ours; else, why not."""
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
            with tarfile.open(fileobj=io.BytesIO(made), mode="r:") as archive:
                size = sum(one.size for one in archive)
                if size > dask_worker.LARGEST_MADE:
                    return f"its worker sent files of {size} bytes, {dask_worker.LARGEST_MADE} is the limit"
                archive.extractall(scratch, filter="data")
            for path in Path(scratch).iterdir():
                if path.name not in OWN:
                    _replace(path, folder / path.name)
    except Exception as error:  # it comes from elsewhere, and tarfile has many
        if isinstance(error, OSError) and error.errno in dask_worker.FULL:
            raise
        return f"what its worker sent cannot be unpacked: {' '.join(f'{type(error).__name__}: {error}'.split())[:300]}"
    return ""


def _replace(path: Path, to: Path) -> None:
    """Take the place of what an earlier attempt left."""
    if to.is_dir() and not to.is_symlink():
        shutil.rmtree(to)
    else:
        to.unlink(missing_ok=True)
    path.rename(to)


def _append(file: Path, content: bytes, offset: int) -> None:
    """Write what comes after the first `offset` bytes."""
    with file.open("ab") as stream:
        stream.truncate(offset)
        stream.write(content)
