"""Trees of files in git, and their merge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from beampermit.errors import Outside
from beampermit.git import Git, GitError, scratch_index, version_in

OLDEST_GIT: tuple[int, int] = (2, 38)
"""The first with `merge-tree --write-tree`."""
AUTHOR = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "beampermit"), ("EMAIL", "beampermit@localhost"), ("DATE", "2000-01-01T00:00:00Z"))
}
PLAIN = (
    "-c",
    "core.autocrlf=false",
    "-c",
    "core.safecrlf=false",
    "-c",
    "core.fileMode=true",
    "-c",
    "core.symlinks=true",
)
MERGING = ("-c", "merge.conflictStyle=merge", "-c", "merge.renames=true", "-c", "merge.directoryRenames=true")


class Entry(NamedTuple):
    mode: str
    object: str


Files = dict[str, Entry]


@dataclass(frozen=True)
class Merged:
    """`stages` has, for each path in conflict, its entry in the base (1), here (2) and in the new template (3)."""

    files: Files
    stages: Mapping[str, Mapping[int, Entry]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    """What git wrote behind conflict markers, and what is meant."""

    def in_words(self, sides: Mapping[str, str]) -> Merged:
        """As it is, but for files in the way of a folder: git puts them beside it, with a commit in their names."""

        def named(path: str) -> str:
            for oid, word in sides.items():
                said = path.replace(f"~{oid}", f"~{word}")
                if said != path and said not in self.files:
                    return said
            return path

        files = {named(path): entry for path, entry in self.files.items()}
        return Merged(files, {named(path): entries for path, entries in self.stages.items()}, self.labels)


def files_of(git: Git, tree: str) -> Files:
    """Path -> entry of a tree, such as `HEAD:models/faults/`."""
    listed = git("ls-tree", "-r", "-z", "--full-tree", tree)
    found: Files = {}
    for line in filter(None, listed.split("\0")):
        about, _, path = line.partition("\t")
        mode, _, oid = about.split(" ")
        found[path] = Entry(mode, oid)
    return found


def add_folder(git: Git, folder: Path) -> Files:
    """The files below a folder become objects, whatever a `.gitignore` in it says."""
    own = git("rev-parse", "--path-format=absolute", "--git-dir")
    with scratch_index() as index:
        env = {"GIT_DIR": own, "GIT_WORK_TREE": str(folder), **index}
        inside = git.elsewhere(folder)
        inside(*PLAIN, "add", "--all", "--force", ".", env=env)
        return files_of(git, inside("write-tree", env=env))


def write_tree(git: Git, files: Files) -> str:
    """The tree of these files."""
    lines = "".join(f"{entry.mode} {entry.object}\t{path}\0" for path, entry in files.items())
    with scratch_index() as env:
        # Where nothing is read from standard input, git would take the paths of the real index.
        git.try_("read-tree", "--empty", env=env)
        added = git.try_("update-index", "-z", "--add", "--index-info", stdin=lines, env=env)
        if added.code:
            raise GitError(added)
        return git("write-tree", env=env)


def merge(git: Git, base: Files, ours: Files, new: Files, name: str) -> Merged:
    """Merge as `git merge` does, renames included; `name` is the new template's, for the markers. Raises `Outside`."""
    first = _commit(git, write_tree(git, base))
    here, there = (_commit(git, write_tree(git, files), first) for files in (ours, new))
    # From a folder of the repository, git would name the files relative to it.
    done = git.top.try_(*MERGING, "merge-tree", "--write-tree", "-z", here, there)
    if done.code not in (0, 1):
        _refuse_old_git(git)
        raise GitError(done)
    tree, *rest = done.out.split("\0")
    stages: dict[str, dict[int, Entry]] = {}
    for line in rest:
        if not (found := re.fullmatch(r"(\d{6}) ([0-9a-f]+) ([123])\t(.+)", line, re.DOTALL)):
            break
        mode, oid, stage, path = found.groups()
        stages.setdefault(path, {})[int(stage)] = Entry(mode, oid)
    return Merged(files_of(git, tree), stages, {here: "yours", there: name}).in_words(
        {here: "yours", there: "template"}
    )


def _commit(git: Git, tree: str, *parents: str) -> str:
    given = [word for parent in parents for word in ("-p", parent)]
    return git("commit-tree", tree, *given, "-m", "A side of an update", env=AUTHOR)


def _refuse_old_git(git: Git) -> None:
    found = version_in(git("version"))
    if found and found < OLDEST_GIT:
        here, needed = (".".join(map(str, numbers)) for numbers in (found, OLDEST_GIT))
        raise Outside(f"git {here} cannot merge a template: {needed} or newer is needed")
