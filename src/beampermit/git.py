"""The git command."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from beampermit.errors import BadInput, BeampermitError
from beampermit.processes import Finished, run

QUIET = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8", "GIT_OPTIONAL_LOCKS": "0"}


class GitError(BeampermitError):
    """git failed; `finished` has its output."""

    def __init__(self, finished: Finished):
        super().__init__(f"git {finished.command[1]}: {finished.err.strip() or finished.tail}")
        self.finished = finished


class Git:
    """git in the work tree at `root`."""

    def __init__(self, root: Path):
        self.root = root

    def try_(
        self,
        *arguments: str,
        stdin: str | None = None,
        env: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> Finished:
        """Run git, whatever its exit status. Raises `Outside` after `timeout` seconds."""
        return run(["git", *arguments], cwd=self.root, env={**QUIET, **(env or {})}, stdin=stdin, timeout=timeout)

    def __call__(self, *arguments: str, stdin: str | None = None, env: dict[str, str] | None = None) -> str:
        """Run git; its output without the last newline. Raises `GitError`."""
        finished = self.try_(*arguments, stdin=stdin, env=env)
        if finished.code:
            raise GitError(finished)
        return finished.out.removesuffix("\n")

    def resolve(self, revision: str) -> str | None:
        """The commit of a revision; None if there is none."""
        finished = self.try_("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        return finished.out.strip() if finished.code == 0 else None

    def head(self) -> str:
        """The commit of HEAD. Raises `BadInput` if there is none yet."""
        commit = self.resolve("HEAD")
        if commit is None:
            raise BadInput(
                "this repository has no commit yet",
                file=self.root,
                hint="git add -A && git commit -m 'First commit'",
            )
        return commit

    def read(self, revision: str, path: str) -> str | None:
        """A file's text at a revision; None if the revision does not have it."""
        finished = self.try_("show", f"{revision}:{path}")
        return finished.out if finished.code == 0 else None

    def tracked(self) -> list[str]:
        """Tracked paths, relative to the root."""
        return [path for path in self("ls-files", "-z").split("\0") if path]

    def changed(self, base: str) -> dict[str, str]:
        """Path -> status letter (A, M, D, ...) between the merge base with `base` and HEAD."""
        output = self("diff", "--name-status", "-z", "--no-renames", f"{base}...HEAD")
        fields = [field for field in output.split("\0") if field]
        return dict(zip(fields[1::2], fields[::2], strict=True))

    def work_tree(self) -> str:
        """The tree id of the work tree: tracked and new files, without ignored ones."""
        with tempfile.TemporaryDirectory() as folder:
            env = {"GIT_INDEX_FILE": os.path.join(folder, "index")}  # noqa: PTH118
            if self.resolve("HEAD"):
                self("read-tree", "HEAD", env=env)
            self("add", "--all", ".", env=env)
            return self("write-tree", env=env)


def find_root(start: Path) -> Path:
    """The root of the work tree that `start` is in. Raises `BadInput`."""
    if not start.is_dir():
        parent = next(folder for folder in start.absolute().parents if folder.is_dir())
        raise BadInput("there is no such folder", file=start, hint=f"ls {parent}")
    finished = run(["git", "rev-parse", "--show-toplevel"], cwd=start, env=QUIET)
    if finished.code:
        raise BadInput("this folder is not in a git repository", file=start, hint="git init")
    return Path(finished.out.strip())
