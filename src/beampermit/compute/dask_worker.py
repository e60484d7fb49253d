"""What runs in a Dask worker: a unit in the shared folder of work, or in a copy of it where that is not shared."""

from __future__ import annotations

import atexit
import errno
import hashlib
import io
import json
import os
import platform
import shutil
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from beampermit import __version__
from beampermit.cache import cache_folder
from beampermit.compute.team import team_of
from beampermit.compute.unit import (
    ENDED,
    INTERMEDIATE,
    LOG,
    OWN,
    REQUEST,
    UNIT,
    UNITS,
    clear,
    make_folder,
    read_ended,
    read_plain,
    read_result,
    stop_unit,
)
from beampermit.compute.worker import Worker, dealt, store
from beampermit.errors import BadInput
from beampermit.files import remove, write_bytes
from beampermit.reading import parse_json

ROOM, TREES = "dask", "trees"
RETURNED = (LOG, INTERMEDIATE, ENDED)
"""Files of a copy that travel back; the last one says that all are there."""
KEPT = 7 * 86400.0
"""Seconds for which a copy stays: who submitted it and was killed asks for its result again."""
LONGEST_LOG = 2**20
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
MADE, LARGEST_MADE = "made.tar", 256 * 2**20
"""Archive of what else the command wrote, and its bytes: the saved model of a training, for instance."""
Running = tuple[Path, Worker]

_running: dict[str, Running] = {}
_copies: set[str] = set()
"""Names of units that run, and of those in a copy."""
_idle: dict[str, list[Worker]] = {}
_whole: set[str] = set()
"""Trees of submitters that are here with what their links lead to."""
_free = threading.Condition()
_busy = [0]


def perform_unit(order: Mapping[str, Any]) -> dict[str, Any]:
    """Perform one unit. The answer says `shared`, or has the files of the copy; or what is in the way.

    `refused` is our version, if it is another one; `wanted` is True where code and data of the unit are not here, or
    links in them lead to what is not.
    """
    here = {"machine": platform.node(), "worker": _address()}
    if order["version"] != __version__:
        return {**here, "refused": __version__}
    folder = Path(order["folder"])
    shared = sees(folder, order["unit"], order["dangling"])
    try:
        if not shared:
            copy = _copy(order)
            if copy is None:
                return {**here, "wanted": True}
            folder = copy
        with _cores(order["cores"]), _worker(order, folder, shared) as worker:
            worker.perform(folder)
    except OSError as error:
        if error.errno not in FULL:
            raise
        if not shared:  # what filled the disk would fail all other units of this machine
            remove(_room(UNITS) / folder.name)
        raise OSError(error.errno, f"{error.strerror} on {here['machine']}", error.filename) from None
    return {**here, "shared": True} if shared else {**here, **_files(folder)}


def sees(folder: Path, description: bytes, dangling: Sequence[str]) -> bool:
    """Whether the submitter's folder is here too, with code and data, and what their links lead to but for `dangling`.

    A backtest's files of the log are links, and the log may lie where workers see nothing.
    """
    try:
        if read_plain(folder / UNIT) != description:
            return False
    except (BadInput, OSError):
        return False
    tree = parse_json(description, UNIT)["tree"]
    if not tree:
        return True
    if not Path(tree).is_dir():
        return False
    if tree not in _whole and {*dangling_links(tree)} <= {*dangling}:
        _whole.add(tree)
    return tree in _whole


def dangling_links(tree: str) -> list[str]:
    """Links below a folder that lead to nothing on this machine."""
    return [
        os.path.relpath(entry, tree)
        for folder, _, names in os.walk(tree)
        for entry in (os.path.join(folder, name) for name in names)  # noqa: PTH118 - of 10,000 files of a log
        if os.path.islink(entry) and not os.path.exists(entry)  # noqa: PTH110, PTH114
    ]


def look(offsets: Mapping[str, int], stopped: Sequence[str]) -> dict[str, bytes]:
    """What copies have added to `intermediate.jsonl` from these bytes on; ask those that are `stopped` to end."""
    added: dict[str, bytes] = {}
    for name in _copies & set(offsets):
        running = _running.get(name)
        if running is None:
            continue
        if name in stopped:
            stop_unit(running[0])
        with suppress(BadInput, OSError):
            content = (read_plain(running[0] / INTERMEDIATE) or b"")[offsets[name] :]
            if complete := content[: content.rfind(b"\n") + 1]:
                added[name] = complete
    return added


def end(names: Sequence[str]) -> None:
    """End the units of these names that run here."""
    for name in names:
        if running := _running.get(name):
            running[1].close()


def has_tree(digest: str) -> bool:
    return _tree(digest).is_dir()


def add_to_tree(digest: str, part: str, content: bytes) -> None:
    """Take the next bytes of an archive; `part` names whoever sends it."""
    file = _room(TREES) / f".{digest}.{part}"
    with file.open("ab") as stream:
        stream.write(content)


def unpack_tree(digest: str, part: str) -> str:
    """Unpack the archive if it is what its digest says; else, why not."""
    file = _room(TREES) / f".{digest}.{part}"
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != digest:
            return f"sha256 {found[:12]} arrived, and {digest[:12]} was sent"
        with tempfile.TemporaryDirectory(dir=_room(TREES), prefix=".") as scratch:
            with tarfile.open(file) as archive:
                archive.extractall(f"{scratch}/tree", filter="data")
            with suppress(OSError):  # another worker of this machine was first
                Path(scratch, "tree").rename(_tree(digest))
    finally:
        file.unlink(missing_ok=True)
    return ""


def _copy(order: Mapping[str, Any]) -> Path | None:
    """The unit's folder on this machine; None where code and data have to be sent first."""
    description = parse_json(order["unit"], UNIT)
    if description["tree"]:
        if not order["tree"] or not has_tree(order["tree"]):
            return None
        description["tree"] = str(_tree(order["tree"]))
    folder = _room(UNITS) / Path(order["folder"]).name
    make_folder(folder)
    if read_result(folder) is None:
        clear(folder)
        write_bytes(folder / REQUEST, order["request"])
        write_bytes(folder / UNIT, json.dumps(description).encode())
    return folder


def _files(folder: Path) -> dict[str, bytes]:
    """What goes back: how it ended comes last. Of the copy, this stays."""
    made = _pack_made(folder)
    contents = {MADE: made} if made else {}
    for name in RETURNED:
        with suppress(BadInput, PermissionError):
            if (content := read_plain(folder / name)) is not None:
                contents[name] = content[-LONGEST_LOG if name == LOG else 0 :]
    for path in folder.iterdir():
        if path.is_symlink() and _made_by_link(path, folder) is None:
            path.unlink(missing_ok=True)  # into the tree, which may go
    return contents


def _pack_made(folder: Path) -> bytes:
    """What the command made besides its result. What cannot be read and too many of them fail the unit."""
    try:
        made = list(_made(folder))
        size = sum(path.stat().st_size for path, about in made if about.isreg())
        if size <= LARGEST_MADE:
            return _packed(made)
        reason = (
            f"its files have {size / 2**20:.0f} MiB, {LARGEST_MADE // 2**20} is the limit where they travel: "
            "give a folder that all machines share, with --work"
        )
    except OSError as error:
        name = os.path.relpath(error.filename or folder, folder)
        reason = f"{name}: what it left cannot be read by its worker: {str(error.strerror or error).lower()}"
    ended = read_ended(folder)
    if ended is None or ended["result"] is not None:  # else it has failed or was stopped, and says why
        store(folder, reason=reason)
    return b""


def _made(folder: Path) -> Iterator[tuple[Path, tarfile.TarInfo]]:
    """Files and folders that are not ours, folders first; links among them. Links elsewhere, pipes and devices stay.

    Raises `OSError` for a folder that cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=refuse):
        if place == str(folder):
            folders[:] = [name for name in folders if name not in OWN]
            names[:] = [name for name in names if name not in OWN]
        folders.sort()
        for path in (Path(place, name) for name in sorted({*folders, *names})):
            about = tarfile.TarInfo(path.relative_to(folder).as_posix())
            about.mode = path.lstat().st_mode & 0o777
            if path.is_symlink():
                target = _made_by_link(path, folder)
                if target is None:
                    continue
                about.type, about.linkname = tarfile.SYMTYPE, os.path.relpath(target, path.parent.resolve())
            elif path.is_dir():
                about.type = tarfile.DIRTYPE
            elif not path.is_file():
                continue
            yield path, about


def _made_by_link(link: Path, folder: Path) -> Path | None:
    """The file or folder that a link leads to, where it travels as well; else None."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # it leads nowhere, or in a circle
        return None
    home = folder.resolve()
    if home not in target.parents or target.relative_to(home).parts[0] in OWN:
        return None
    return target if target.is_file() or target.is_dir() else None


def _packed(made: Sequence[tuple[Path, tarfile.TarInfo]]) -> bytes:
    if not made:
        return b""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, about in made:
            if not about.isreg():
                archive.addfile(about)
                continue
            with path.open("rb") as stream:
                about.size = os.fstat(stream.fileno()).st_size
                archive.addfile(about, stream)
    return packed.getvalue()


@contextmanager
def _worker(order: Mapping[str, Any], folder: Path, shared: bool) -> Iterator[Worker]:
    """One that has imported what units run, if there is one; nobody else uses it meanwhile."""
    key = json.dumps([order[name] for name in ("cores", "gpus", "seconds", "bundle")])
    with _free:
        idle = _idle.setdefault(key, [])
        worker = idle.pop() if idle else None
    if worker is None:
        variables = dealt(order["cores"], None if order["gpus"] else ())
        team = team_of(1, order["gpus"], order["cores"])
        worker = Worker(variables, seconds=order["seconds"], bundle=order["bundle"], team=team)
        atexit.register(worker.close)
    _running[folder.name] = (folder, worker)
    if not shared:
        _copies.add(folder.name)
    try:
        yield worker
    except BaseException:
        worker.close()
        atexit.unregister(worker.close)
        raise
    finally:
        _copies.discard(folder.name)
        _running.pop(folder.name, None)
    with _free:
        _idle[key].append(worker)


@contextmanager
def _cores(number: int) -> Iterator[None]:
    """Units wait until their cores are free: Dask counts a task as one thread."""
    threads = max(number, _threads())
    with _free:
        _free.wait_for(lambda: _busy[0] + number <= threads)
        _busy[0] += number
    try:
        yield
    finally:
        with _free:
            _busy[0] -= number
            _free.notify_all()


def _threads() -> int:
    from distributed import get_worker

    return get_worker().state.nthreads


def _address() -> str:
    from distributed import get_worker

    return get_worker().address


def _tree(digest: str) -> Path:
    return _room(TREES) / digest


def _room(name: str) -> Path:
    folder = cache_folder() / ROOM / name
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def forget_old() -> None:
    """Remove copies and trees that nobody has used for a week."""
    last = time.time() - KEPT
    for name in (UNITS, TREES):
        for path in _room(name).iterdir():
            with suppress(OSError):
                if path.name not in _running and path.stat().st_mtime < last:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
