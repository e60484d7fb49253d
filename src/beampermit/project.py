"""A repository with a contract: its root, its git, and the base branch it is judged against."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from beampermit.contract import FILE_NAME, Contract, load_contract, parse_contract
from beampermit.digest import digest_bytes, digest_file
from beampermit.errors import BadInput, BeampermitError, Outside, Problem, several
from beampermit.files import write_text
from beampermit.git import FULL_HASH, LOCAL, OF_ORIGIN, Git, find_top, resolve_base
from beampermit.reading import read_json
from beampermit.record import printable

OWN_FOLDER = ".beampermit"
"""Our own folder in a project: kept out of git, may be deleted at any time."""


class Project:
    """The folder `root` of a work tree. `base` names the base revision, whose contract gates are read from."""

    def __init__(self, root: Path, base: str | None = None):
        self.root = root
        self.git = Git(root)
        self._base = base

    @classmethod
    def find(cls, start: Path | None = None, base: str | None = None) -> Project:
        """The project that `start` (the working folder if None) is in. Raises `BadInput` outside git.

        A branch that removes a contract must not be judged by that of the project around it, nor one that adds a
        contract by the new one, where another project's would judge without it.
        """
        start = (start or Path.cwd()).resolve()
        project = cls(find_root(start), base)
        try:
            commit = project.base
        except (BadInput, Outside):
            return project  # whoever needs the base says so
        if commit is None:
            return project
        for folder in (start, *start.parents)[: len(start.relative_to(project.root).parts)]:
            if Git(folder).read(commit, FILE_NAME) is not None:
                raise BadInput(
                    f"this branch removes the contract of the project in this folder, which its base {commit[:12]} has",
                    file=folder / FILE_NAME,
                    hint=f"beampermit check --project {project.root}",
                )
        project.refuse_inside_another()
        return project

    def refuse_uncommitted(self) -> None:
        """Raise `BadInput` where no file of the project is in git's history: most verdicts are about a commit."""
        commit = self.git.resolve("HEAD")
        if commit and self.git.files_at(commit):
            return
        raise BadInput(
            "nothing of this project is committed, and most interlocks judge what is in git",
            file=self.root,
            hint='git add . && git commit -m "A new project"',
        )

    def refuse_inside_another(self) -> None:
        """Raise `BadInput` where the base has no contract in this folder, and one in a folder above, or one that this
        branch moves or hides behind a link: a contract must not judge itself in the place of another."""
        try:
            commit = self.base
        except (BadInput, Outside):
            return  # whoever needs the base says so
        if commit is None or self.git.read(commit, FILE_NAME) is not None:
            return
        if self.has_contract and (gone := self._contracts_gone(commit)):
            raise BadInput(
                f"this branch adds this contract and takes away {several(gone, 3)}, which its base {commit[:12]} has: "
                "a new contract must not judge in the place of an earlier one",
                file=self.root / FILE_NAME,
                hint="add the project in one pull request, and take the other away in the next",
            )
        if not self.git.prefix:
            return
        change = "adds a contract inside the project around it" if self.has_contract else "removes the contract above"
        for folder in self.root.resolve().parents[: self.git.prefix.count("/")]:
            if Git(folder).read(commit, FILE_NAME) is not None:
                raise BadInput(
                    f"this branch {change}, which its base {commit[:12]} has: that project judges this branch, and a "
                    "new contract counts once it is merged",
                    file=(self.root if self.has_contract else folder) / FILE_NAME,
                    hint=f"beampermit check --project {folder}",
                )

    def _contracts_gone(self, commit: str) -> list[str]:
        """Paths in the repository of contracts that a commit has, and the work tree has not, or only behind a link."""
        top = self.git.top
        held = top.work_files().keys() - top("ls-files", "--deleted", "-z").split("\0")
        place = top.root.resolve()
        listed = [path for path in top.files_at(commit) if f"/{path}".endswith(f"/{FILE_NAME}")]
        return [
            path
            for path in listed
            if (path not in held or (place / path).parent.resolve() != (place / path).parent)
            and _is_contract(top.read(commit, path) or "")
        ]

    @cached_property
    def contract(self) -> Contract:
        """The contract of the work tree. Raises `BadInput`."""
        if not self.has_contract:
            raise BadInput("there is no contract", file=self.path(FILE_NAME), hint=self.where_contracts_are())
        return load_contract(self.root)

    def where_contracts_are(self, otherwise: str = "beampermit init") -> str:
        """What to do where there is no contract: go to a project below, or, where none is, `otherwise`."""
        tracked = self.git.try_("ls-files", "-z").out.split("\0")  # nothing in a folder without git
        below = [path.removesuffix(f"/{FILE_NAME}") for path in tracked if path.endswith(f"/{FILE_NAME}")]
        if not below:
            return otherwise
        return f"a project of this repository is in {several(below, 3)}: run the command there"

    @property
    def has_contract(self) -> bool:
        return (self.root / FILE_NAME).is_file()

    @cached_property
    def base(self) -> str | None:
        """The commit of the base branch; None on the base branch itself, or if there is no remote.

        `--base`, else the base of the pull request or merge group according to GitHub, else the `protected_branch`.
        Only branches of origin and full hashes count, and for a person what `resolve_base` adds: a tag or local branch
        that is called `origin/main` is none. Raises `BadInput` if a named base is not in this clone.
        """
        if self._base:
            return resolve_base(self.git, self._base, local=not _in_workflow())
        if branch := os.environ.get("GITHUB_BASE_REF"):
            return self._tip(branch)
        if os.environ.get("GITHUB_EVENT_NAME") == "merge_group":
            return resolve_base(self.git, _base_of_merge_group(), local=False)
        commit = self._protected_tip()
        return None if commit == self.git.resolve("HEAD") else commit

    @property
    def protected_branch(self) -> str:
        """The branch of origin that changes go to.

        The pull request's base, else the branch that a job runs on if GitHub protects it (GIT001 asks how), else
        origin's default branch, else main.
        """
        asked = os.environ.get("GITHUB_BASE_REF") or _protected_by_github() or _default_of_event()
        return asked or self.git.default_branch() or "main"

    def _protected_tip(self) -> str | None:
        """None where there is no such branch; a job that runs on another one needs it."""
        branch = self.protected_branch
        if _default_of_event() and os.environ.get("GITHUB_REF") != f"{LOCAL}{branch}":
            return self._tip(branch)
        return self.git.ref(OF_ORIGIN + branch)

    def _tip(self, branch: str) -> str:
        commit = self.git.ref(OF_ORIGIN + branch)
        if commit is None:
            raise BadInput(f"the base revision {f'origin/{branch}'!r} is not in this clone", hint="git fetch origin")
        return commit

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

    @property
    def base_contract_digest(self) -> str | None:
        """Digest of the contract that gates are read from; None where there is none."""
        text = self.git.read(self.base, FILE_NAME) if self.base else None
        if text is not None:
            return digest_bytes(text.encode())
        return digest_file(self.path(FILE_NAME)) if self.has_contract else None

    @cached_property
    def own(self) -> Path:
        """The folder of reused verdicts, fetched models and logs. Its own .gitignore hides it from git.

        Raises `BadInput` where a branch brings one: a link in it would be written through.
        """
        folder = self.root / OWN_FOLDER
        if self.git.try_("ls-files", "-z", "--", OWN_FOLDER).out:
            raise BadInput("beampermit writes here, and git has it", file=OWN_FOLDER, hint=f"git rm -r {OWN_FOLDER}")
        if folder.is_symlink():
            raise BadInput("beampermit writes here, and it is a link", file=OWN_FOLDER, hint=f"rm {OWN_FOLDER}")
        if not (folder / ".gitignore").exists():
            write_text(folder / ".gitignore", "*\n")
        return folder

    @contextmanager
    def apart(self) -> Iterator[Project]:
        """The same project, with `Git.apart`."""
        with self.git.apart() as git:
            apart = copy(self)
            apart.git = git
            yield apart

    def alone(self) -> Project:
        """The same work tree without a base, for documents that compare nothing."""
        alone = Project(self.root)
        alone.base = None
        return alone

    def path(self, relative: str) -> Path:
        """An absolute path for one of the contract."""
        return self.root / relative

    def in_repository(self, path: str) -> str:
        """The path in the repository of a file as it is shown, given by its path in the project or on this machine."""
        top = self.git.top.root
        place = Path(os.path.normpath(top / self.git.prefix / path))
        return printable(place.relative_to(top).as_posix() if place.is_relative_to(top) else path)

    def problems_of(self, error: BeampermitError) -> tuple[Problem, ...]:
        """What is wrong, with each file as reports and annotations name it."""
        return tuple(
            replace(problem, file=problem.file and self.in_repository(problem.file)) for problem in error.problems
        )


def find_root(start: Path) -> Path:
    """The root of the project that `start` is in: the nearest folder with a contract, else the top of the repository.

    Raises `BadInput` outside git.
    """
    top = find_top(start)
    start = start.resolve()
    folders = (start, *start.parents[: len(start.relative_to(top).parts)])
    return next((folder for folder in folders if os.path.lexists(folder / FILE_NAME)), top)


def find_folder(start: Path, files: Collection[str] = ()) -> Path:
    """As `find_root`, for what needs no git: outside of it, `start` itself.

    Without a contract, the nearest folder with one of `files` comes before the top of the repository.
    """
    try:
        root = find_root(start)
    except (BadInput, Outside):
        if not start.is_dir():
            raise
        return start.resolve()
    if os.path.lexists(root / FILE_NAME):
        return root
    start = start.resolve()
    folders = (start, *start.parents[: len(start.relative_to(root).parts)])
    return next((folder for folder in folders if any((folder / name).is_file() for name in files)), root)


def _is_contract(text: str) -> bool:
    try:
        parse_contract(text, FILE_NAME)
    except BadInput:
        return False
    return True


def _in_workflow() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


def _default_of_event() -> str | None:
    """The repository's default branch according to the event that started this job; None outside of one."""
    if not _in_workflow() or not os.environ.get("GITHUB_EVENT_PATH"):
        return None
    branch = _of_event("repository", "default_branch")
    return branch if isinstance(branch, str) and branch else None


def _protected_by_github() -> str | None:
    ref = os.environ.get("GITHUB_REF", "")
    protected = _in_workflow() and os.environ.get("GITHUB_REF_PROTECTED") == "true" and ref.startswith(LOCAL)
    return ref.removeprefix(LOCAL) if protected else None


def _base_of_merge_group() -> str:
    commit = _of_event("merge_group", "base_sha")
    if not isinstance(commit, str) or not FULL_HASH.fullmatch(commit):
        raise BadInput("this merge_group event has no base_sha", file=os.environ.get("GITHUB_EVENT_PATH"))
    return commit


def _of_event(part: str, key: str) -> Any:
    event = read_json(Path(os.environ.get("GITHUB_EVENT_PATH", "")))
    values = event.get(part) if isinstance(event, dict) else None
    return values.get(key) if isinstance(values, dict) else None
