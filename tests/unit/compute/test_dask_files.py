"""Files that a unit leaves on a Dask worker which does not share our folder of work."""

from __future__ import annotations

import errno
import io
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from beampermit.compute import dask, dask_worker
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Unit, prepare, read_ended, read_result
from beampermit.compute.worker import store
from support.privileges import unprivileged


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A unit's folder on a worker, with a tree beside it."""
    folder = tmp_path / "worker" / ("a" * 64)
    folder.mkdir(parents=True)
    (tmp_path / "worker/tree").mkdir()
    (tmp_path / "worker/tree/rows").write_text("1")
    (folder / "data").symlink_to(tmp_path / "worker/tree")
    store(folder, {"x": 1})
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def archive_of(*members: tuple[str, dict[str, Any]], content: bytes = b"x") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, about in members:
            member = tarfile.TarInfo(name)
            member.size = len(content) if not about else 0
            for key, value in about.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def test_links_travel_where_they_lead_to_what_travels(copy: Path, here: Path) -> None:
    made = copy / "made"
    (made / "deep").mkdir(parents=True)
    (made / "epoch=3.ckpt").write_text("weights")
    (copy / "log.txt").write_text("said")
    (copy / "top").symlink_to(made / "epoch=3.ckpt")
    (made / "deep/last.ckpt").symlink_to(made / "epoch=3.ckpt")
    (made / "deep/relative").symlink_to("../epoch=3.ckpt")
    (made / "folder").symlink_to(made / "deep")
    os.link(made / "epoch=3.ckpt", made / "second")
    for name, target in {
        "absolute": "/etc/passwd", "up": "..", "outside": "../../tree/rows", "dangling": "nowhere", "circle": "circle",
        "ours": "../log.txt", "tree": str(copy / "data/rows"), "to_pipe": "deep/pipe",
    }.items():  # fmt: skip
        (made / name).symlink_to(target)
    os.mkfifo(made / "deep/pipe")
    for again in ("", "again"):  # who asks again for a result gets the same
        here = here / again
        here.mkdir(exist_ok=True)
        assert dask._unpack(dask_worker._files(copy)[dask_worker.MADE], here) == ""
        assert below(here) == [
            "made", "made/deep", "made/deep/last.ckpt", "made/deep/relative", "made/epoch=3.ckpt", "made/folder",
            "made/second", "top",
        ]  # fmt: skip
    for name in ("top", "made/deep/last.ckpt", "made/folder/relative", "made/second"):
        assert (here / name).read_text() == "weights"
    assert str((here / "made/deep/last.ckpt").readlink()) == "../epoch=3.ckpt"
    assert read_result(copy) == {"x": 1}
    assert not (copy / "data").is_symlink()


@pytest.mark.parametrize("folder", [False, True])
def test_a_file_that_cannot_be_read_fails_its_unit_once(folder: bool) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        copy = Path(scratch, "a" * 64)
        copy.mkdir()
        (copy / "made/closed").mkdir(parents=True) if folder else (copy / "made").mkdir()
        closed = copy / "made/closed"
        if not folder:
            closed.write_text("x")
        closed.chmod(0o700 if not os.geteuid() else 0)
        copy.chmod(0o777)
        try:
            with unprivileged():
                store(copy, {"x": 1})
                answer = dask_worker._files(copy)
        finally:
            closed.chmod(0o700)
        ended = read_ended(copy)
        assert set(answer) == {"ended.json"}
        assert ended
        assert ended["result"] is None
        assert ended["reason"] == "made/closed: what it left cannot be read by its worker: permission denied"


def test_a_unit_that_failed_or_was_stopped_says_so_whatever_it_left(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_worker, "LARGEST_MADE", 3)
    (copy / "made").write_text("1234")
    for end in ({"reason": "it ended with exit status 3"}, {"reason": "stopped", "stopped": True}):
        store(copy, **end)  # type: ignore[arg-type]
        before = (copy / "ended.json").read_bytes()
        assert dask_worker._files(copy) == {"ended.json": before}
    store(copy, {"x": 1})
    dask_worker._files(copy)
    assert read_result(copy) is None


def test_none_of_it_takes_the_place_of_ours(here: Path) -> None:
    assert "FileExistsError" in dask._unpack(archive_of(("made/../claim", {})), here)
    assert below(here) == []
    made = archive_of(("ended.json", {}), ("./log.txt", {}), ("claim/x", {}), ("./scores", {}))
    assert dask._unpack(made, here) == ""
    assert below(here) == ["scores"]


def test_what_an_earlier_attempt_left_is_replaced_and_no_link_is_followed(here: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/rows").write_text("of the project")
    (here / "made").symlink_to(tmp_path / "tree")
    (here / "scores").mkdir()
    (here / "scores/old").touch()
    made = archive_of(("made/rows", {}), ("scores", {}))
    assert dask._unpack(made, here) == ""
    assert (tmp_path / "tree/rows").read_text() == "of the project"
    assert below(here) == ["made", "made/rows", "scores"]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (archive_of(("last.ckpt", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})), "AbsoluteLinkError: 'last"),
        (archive_of(("a/up", {"type": tarfile.SYMTYPE, "linkname": "../../x"})), "LinkOutsideDestinationError: 'a/up'"),
        (archive_of(("pipe", {"type": tarfile.FIFOTYPE})), "SpecialFileError: 'pipe' is a special file"),
        (archive_of(("../../x", {})), "OutsideDestinationError: '../../x'"),
        (archive_of(("a", {}), ("a/b", {})), "NotADirectoryError"),
        (archive_of(("x" * 300, {})), "OSError: [Errno 36] File name too long"),
        (archive_of(("hard", {"type": tarfile.LNKTYPE, "linkname": "nowhere"})), "KeyError"),
        (b"no archive" * 100, "ReadError"),
        (archive_of(("zeros", {}), content=bytes(1001)), "files of 1001 bytes, 1000 is the limit"),
    ],
)
def test_a_hostile_archive_fails_its_unit_alone(
    unit_of: Callable[..., Unit], work: Path, made: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_worker, "LARGEST_MADE", 1000)
    there = work.parent / "there"
    executor = dask.Dask("dask://login1:8786", Resources(), work)
    units = [unit_of(1), unit_of(2), unit_of(3)]
    sound = archive_of(("scores", {}), content=bytes(1000))
    for unit, sent in zip(units, (sound, made, sound), strict=True):
        folder, copy = unit.folder(work), unit.folder(there)
        prepare(unit, folder)
        copy.mkdir(parents=True)
        store(copy, {"x": 1})
        answer = {"made.tar": sent, "log.txt": b"said", "ended.json": (copy / "ended.json").read_bytes()}
        future = SimpleNamespace(result=lambda timeout, answer=answer: answer)
        executor._open[folder] = future
        assert executor._take(folder, future) == {folder: ""}
    first, second, third = (read_ended(unit.folder(work)) for unit in units)
    assert first
    assert second
    assert third
    assert first["result"] == third["result"] == {"x": 1}
    assert second["result"] is None
    assert reason in second["reason"]
    folder = units[1].folder(work)
    assert below(folder) == ["ended.json", "log.txt", "request.json", "unit.json"], "nothing half unpacked"


def test_no_result_is_there_before_its_fault(
    unit_of: Callable[..., Unit], work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, folder = unit_of().folder(tmp_path / "there"), unit_of().folder(work)
    copy.mkdir(parents=True)
    prepare(unit_of(), folder)
    store(copy, {"x": 1})
    monkeypatch.setattr(dask, "store", lambda *_, **__: None)  # killed just before
    executor = dask.Dask("dask://login1:8786", Resources(), work)
    answer = {"made.tar": b"none", "ended.json": (copy / "ended.json").read_bytes()}
    executor._open[folder] = future = SimpleNamespace(result=lambda timeout: answer)
    executor._take(folder, future)
    assert read_result(folder) is None


def test_a_full_disk_here_is_no_fault_of_the_unit(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(dask, "_replace", full)
    with pytest.raises(OSError, match="No space left"):
        dask._unpack(archive_of(("scores", {})), here)


@pytest.mark.parametrize("name", ["result.json", "ended.json", "request.json", "unit.json", "stop", "log.txt"])
def test_a_folder_in_the_place_of_a_file_is_removed_from_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path))
    order = {"folder": f"/elsewhere/{'a' * 64}", "unit": b'{"tree": ""}', "tree": "", "request": b"{}"}
    folder = dask_worker._copy(order)
    assert folder
    (folder / name).unlink(missing_ok=True)
    (folder / name / "below").mkdir(parents=True)
    assert dask_worker._copy(order) == folder
    assert below(folder) == ["request.json", "unit.json"]
