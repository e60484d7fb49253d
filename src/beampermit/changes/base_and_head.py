"""The two sides of a comparison: where the branch left its base, and the work tree."""

from __future__ import annotations

from functools import cached_property
from pathlib import PurePosixPath

from beampermit.errors import BadInput
from beampermit.project import Project
from beampermit.reading import decode

LARGEST = 32 * 2**20


class Sides:
    """Texts before and after.

    Before is the merge base, so that what moved on the base branch meanwhile is not shown as undone; `strangers` share
    none, and before is the base's tip.
    """

    def __init__(self, project: Project):
        self._project = project
        base = project.base
        common = project.git.try_("merge-base", base, "HEAD").out.strip() if base else ""
        self.fork = common or base
        self.strangers = base is not None and not common

    def before(self, path: str) -> str | None:
        """The text of a file where the branch began; None where it was not, or where nothing is to compare with."""
        return None if self.fork is None else self._project.git.read(self.fork, path)

    def after(self, path: str) -> str | None:
        """The text of a file of the work tree; None where it is not there. Raises `BadInput` for what is no text."""
        file = self._project.root / path
        if file.is_symlink() or not file.is_file():
            return None
        if file.stat().st_size > LARGEST:
            raise BadInput(f"larger than the {LARGEST} bytes that are read for a report", file=path)
        return decode(file.read_bytes(), path)

    @cached_property
    def tracked(self) -> frozenset[str]:
        """Paths that git tracks now."""
        return frozenset(self._project.git.tracked())

    def names(self) -> tuple[str, ...]:
        """Names of files in the project's root, on either side."""
        git = self._project.git
        there = git("ls-tree", "--name-only", "-z", self.fork).split("\0") if self.fork else []
        return tuple(sorted({*filter(None, there), *(path.name for path in self._project.root.iterdir())}))

    def pointers(self) -> tuple[str, ...]:
        """The `.dvc` files of either side, which stand for data that no stage makes."""
        git = self._project.git
        there = git("ls-tree", "-r", "--name-only", "-z", self.fork).split("\0") if self.fork else []
        return tuple(sorted(path for path in {*there, *self.tracked} if PurePosixPath(path).suffix == ".dvc"))

    def touched(self) -> tuple[str, ...]:
        """Paths that the branch or the work tree changes, new files with them."""
        if self.fork is None:
            return ()
        git = self._project.git
        changed = git("diff", "--name-only", "-z", "--no-renames", self.fork).split("\0")
        new = git("ls-files", "--others", "--exclude-standard", "-z").split("\0")
        return tuple(sorted({path for path in (*changed, *new) if path}))
