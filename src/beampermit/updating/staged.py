"""An update that is worked out, in git's own folder: written to the work tree from there, also after a kill."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from beampermit.digest import digest_bytes, digest_file
from beampermit.errors import BadInput, Conflict
from beampermit.files import locked, remove, replacing, write_text
from beampermit.git import Git
from beampermit.reading import first_fault, read_json
from beampermit.record import Record
from beampermit.updating.recorded import ANSWERS, RENDERED

FOLDER, PLAN, LOCK = "beampermit-update", "plan.json", "lock"
LINK, IS_FOLDER = "link:", "folder"


class Change(Record):
    """Of a file of the project; digests of its bytes before and after, None where it is absent."""

    path: str
    before: str | None
    after: str | None

    @property
    def kind(self) -> Literal["added", "changed", "removed"]:
        return "added" if self.before is None else "removed" if self.after is None else "changed"


class Stage(Record):
    """A line of git's index for a file in conflict."""

    path: str
    mode: str
    object: str
    stage: int


class Staged(Record):
    """`old` and `new` name the templates."""

    format: Literal[1] = 1
    old: str
    new: str
    changes: tuple[Change, ...]
    conflicts: tuple[str, ...]
    stages: tuple[Stage, ...]
    notes: tuple[str, ...]


def place_of(git: Git) -> Path:
    """The folder of this project's update, in the git folder of this work tree."""
    name = digest_bytes(os.fsencode(git.prefix)).removeprefix("sha256:")[:16] if git.prefix else "top"
    return _in_git(git, f"{FOLDER}/{name}")


@contextmanager
def alone(git: Git) -> Iterator[None]:
    """No other update of this work tree runs beside the block. Raises `Conflict`."""
    file = _in_git(git, f"{FOLDER}/{LOCK}")
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file, Conflict("another update of this repository is running", hint="wait until it has ended")):
        yield


def read_staged(git: Git) -> Staged | None:
    """The update that was interrupted; None where there is none. Raises `BadInput`."""
    file = place_of(git) / PLAN
    if not file.is_file():
        return None
    try:
        return Staged.model_validate(read_json(file))
    except ValidationError as error:
        raise BadInput(first_fault(error), file=file, hint=f"delete {file.parent}, which forgets that update") from None


def stage(git: Git, staged: Staged, files: Path) -> None:
    """Keep the new files in `files`, and then the plan, which makes them count."""
    place = place_of(git)
    remove(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(files, place / "files", symlinks=True)
    write_text(place / PLAN, staged.model_dump_json(indent=2) + "\n")


def apply(git: Git, staged: Staged) -> None:
    """Write all changes, then mark the conflicts in the index, then forget the plan: each step may be run again.

    The record comes last: it says that all else is there. Raises `Conflict` for a file that somebody has changed since,
    and where git could not mark conflicts, before anything else is written.
    """
    place = place_of(git)
    refuse_other_edits(git.root, staged, place)
    refuse_locked_index(git)
    for change in sorted(staged.changes, key=_turn):
        target = git.root / change.path
        if change.after is None:
            if digest_of(target) is not None:
                target.unlink()
            _remove_empty(target.parent, git.root)
            continue
        source = place / "files" / change.path
        if digest_of(target) != change.after or _executable(target) != _executable(source):
            _put(source, target)
    _mark(git, staged)
    remove(place)


def _turn(change: Change) -> int:
    """What goes makes room for what comes, as a file in place of a folder."""
    return 0 if change.after is None else 2 if change.path in (ANSWERS, RENDERED) else 1


def refuse_locked_index(git: Git) -> None:
    """Raise `Conflict` where another git works in this tree, or one was killed: conflicts could not be marked."""
    lock = _in_git(git, "index.lock")
    if lock.exists():
        raise Conflict(
            "git's index is locked: a commit or another command of git is not finished",
            file=lock,
            hint=f"end what is under way; where nothing is, `rm {shlex.quote(str(lock))}`",
        )


def refuse_other_edits(root: Path, staged: Staged, place: Path) -> None:
    gone = [root / change.path for change in staged.changes if change.after is None]
    emptied = {*gone, *(above for path in gone for above in path.parents)}
    for change in staged.changes:
        target = root / change.path
        if link := next((above for above in target.parents if above != root and above.is_symlink()), None):
            raise Conflict(f"{link.relative_to(root)} is a link, and an update writes below it", file=change.path)
        found = digest_of(target)
        if found in (change.before, change.after):
            continue
        if found == IS_FOLDER and change.after and emptied.issuperset((target, *target.rglob("*"))):
            continue
        if change.before is None:
            raise Conflict(
                "this file is in the way of a new one of the template, and git does not have it",
                file=change.path,
                hint="move it away, then run it again",
            )
        raise Conflict(
            "this file has been changed since the update began, which was interrupted",
            file=change.path,
            hint=f"to go on, `git checkout HEAD -- {shlex.quote(change.path)}`; to forget that update, "
            f"`rm -r {shlex.quote(str(place))}`",
        )


def digest_of(file: Path) -> str | None:
    if file.is_symlink():
        return LINK + digest_bytes(os.fsencode(file.readlink()))
    if file.is_dir():
        return IS_FOLDER
    return digest_file(file) if file.is_file() else None


def _executable(file: Path) -> bool:
    return not file.is_symlink() and file.is_file() and bool(file.stat().st_mode & 0o100)


def _in_git(git: Git, name: str) -> Path:
    return Path(git("rev-parse", "--path-format=absolute", "--git-path", name))


def _put(source: Path, target: Path) -> None:
    if source.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(source.readlink())
        return
    target.unlink(missing_ok=True) if target.is_symlink() else None
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
    target.chmod(source.stat().st_mode & 0o777)


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root:
        if folder.is_dir():
            if any(folder.iterdir()):
                return
            folder.rmdir()
        folder = folder.parent


def _mark(git: Git, staged: Staged) -> None:
    """As after `git merge`: a commit is refused until each file is added."""
    if not staged.stages:
        return
    prefix, none = git.prefix, "0" * len(staged.stages[0].object)
    gone = "".join(f"0 {none} 0\t{prefix}{path}\0" for path in dict.fromkeys(stage.path for stage in staged.stages))
    lines = "".join(f"{stage.mode} {stage.object} {stage.stage}\t{prefix}{stage.path}\0" for stage in staged.stages)
    git("update-index", "-z", "--index-info", stdin=gone + lines)
