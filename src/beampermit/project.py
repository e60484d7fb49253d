"""A repository with a contract: its root, its git, and the base branch it is judged against."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from beampermit.contract import FILE_NAME, Contract, load_contract, parse_contract
from beampermit.errors import BadInput
from beampermit.files import write_text
from beampermit.git import Git, find_root
from beampermit.reading import read_json

OWN_FOLDER = ".beampermit"
"""Our own folder in a project: kept out of git, may be deleted at any time."""


class Project:
    """The work tree at `root`. `base` names the base revision, whose contract gates are read from."""

    def __init__(self, root: Path, base: str | None = None):
        self.root = root
        self.git = Git(root)
        self._base = base

    @classmethod
    def find(cls, start: Path | None = None, base: str | None = None) -> Project:
        """The project that `start` (the working folder if None) is in. Raises `BadInput` outside git."""
        return cls(find_root(start or Path.cwd()), base)

    @cached_property
    def contract(self) -> Contract:
        """The contract of the work tree. Raises `BadInput`."""
        return load_contract(self.root)

    @property
    def has_contract(self) -> bool:
        return (self.root / FILE_NAME).is_file()

    @cached_property
    def base(self) -> str | None:
        """The commit of the base branch; None on the base branch itself, or if there is no remote.

        `--base`, else the base of the pull request or merge group according to GitHub, else `origin/HEAD`, else
        `origin/main`. Raises `BadInput` if a named base is not in this clone.
        """
        named = self._base or _event_base()
        if named:
            commit = self.git.resolve(named)
            if commit is None:
                raise BadInput(f"the base revision {named!r} is not in this clone", hint="git fetch origin")
            return commit
        commit = self.git.resolve("origin/HEAD") or self.git.resolve("origin/main")
        return None if commit == self.git.resolve("HEAD") else commit

    @property
    def merged(self) -> bool:
        """Whether HEAD is part of the base branch."""
        return self.base is None or self.git.try_("merge-base", "--is-ancestor", "HEAD", self.base).code == 0

    @cached_property
    def contract_on_base(self) -> Contract | None:
        """The contract on the base branch; None without a base, or if it has no contract yet."""
        if self.base is None:
            return None
        text = self.git.read(self.base, FILE_NAME)
        return None if text is None else parse_contract(text, f"{self.base[:12]}:{FILE_NAME}")

    @property
    def base_contract(self) -> Contract:
        """The contract that gates are read from: the base branch's, else the work tree's."""
        return self.contract_on_base or self.contract

    @cached_property
    def own(self) -> Path:
        """The folder of reused verdicts, fetched models and logs. Its own .gitignore hides it from git."""
        folder = self.root / OWN_FOLDER
        if not (folder / ".gitignore").exists():
            write_text(folder / ".gitignore", "*\n")
        return folder

    def alone(self) -> Project:
        """The same work tree without a base, for documents that compare nothing."""
        alone = Project(self.root)
        alone.base = None
        return alone

    def path(self, relative: str) -> Path:
        """An absolute path for one of the contract."""
        return self.root / relative


def _event_base() -> str | None:
    """The base according to GitHub: the pull request's base branch, or the base commit of a merge group."""
    if branch := os.environ.get("GITHUB_BASE_REF"):
        return f"origin/{branch}"
    if os.environ.get("GITHUB_EVENT_NAME") != "merge_group":
        return None
    event = read_json(Path(os.environ.get("GITHUB_EVENT_PATH", "")))
    group = event.get("merge_group") if isinstance(event, dict) else None
    commit = group.get("base_sha") if isinstance(group, dict) else None
    if not isinstance(commit, str):
        raise BadInput("this merge_group event has no base_sha", file=os.environ.get("GITHUB_EVENT_PATH"))
    return commit
