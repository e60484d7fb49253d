"""What a comparison is between: the commit where the branch left its base, and the work tree."""

from __future__ import annotations

from functools import cached_property

from beampermit.errors import BadInput
from beampermit.project import Project
from beampermit.reading import decode
from beampermit.record import printable

LARGEST = 32 * 2**20


class BaseAndHead:
    """Texts before and after.

    Before is the merge base, so that what moved on the base branch meanwhile is not shown as undone. Two `unrelated`
    branches have none, and before is the tip of the base.
    """

    def __init__(self, project: Project):
        self._project = project
        base = project.base
        merge_base = project.git.try_("merge-base", base, "HEAD").out.strip() if base else ""
        self.merge_base = merge_base or base
        self.unrelated = base is not None and not merge_base

    def before(self, path: str) -> str | None:
        """The text of a file at the merge base; None where it was absent, or where there is no base."""
        return None if self.merge_base is None else self._project.git.read(self.merge_base, path)

    def after(self, path: str) -> str | None:
        """The text of a file in the work tree; None where it is absent. Raises `BadInput` where it is not text."""
        file = self._project.root / path
        if file.is_symlink() or not file.is_file():
            return None
        if file.stat().st_size > LARGEST:
            raise BadInput(f"larger than {LARGEST} bytes, the limit for files of a report", file=path)
        return decode(file.read_bytes(), path)

    @property
    def prefix(self) -> str:
        """Of the project's paths in the repository."""
        return self._project.git.prefix

    @cached_property
    def tracked(self) -> frozenset[str]:
        return frozenset(self._project.git.tracked())

    def root_files(self) -> tuple[str, ...]:
        """Names of files in the project's root, on either side."""
        before = self._list_tree()
        return tuple(sorted({*before, *(path.name for path in self._project.root.iterdir())}))

    @property
    def files_before(self) -> list[str]:
        return self._list_tree("-r")

    @property
    def files_after(self) -> list[str]:
        """Files of the work tree, without those that git ignores."""
        return [*self._project.git.work_files()]

    def changed_paths(self) -> tuple[str, ...]:
        """Paths in the repository that the branch or the work tree changes, with untracked files that git does not
        ignore, as they are shown."""
        if self.merge_base is None:
            return ()
        return tuple(printable(sorted({*self._project.git.top.differing(self.merge_base)})))

    def _list_tree(self, *options: str) -> list[str]:
        if not self.merge_base:
            return []
        return [*filter(None, self._project.git("ls-tree", *options, "--name-only", "-z", self.merge_base).split("\0"))]
