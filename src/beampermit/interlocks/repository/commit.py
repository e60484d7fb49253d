"""GIT005: what decides about the model is a plain file of the commit, not one that only this machine has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.contract import Contract
from beampermit.datasets.dvc_lock import pipeline_locks
from beampermit.datasets.repository import Repository, is_below, overlap
from beampermit.errors import BeampermitError, several
from beampermit.git import SUBMODULE
from beampermit.github.codeowners import PLACES
from beampermit.github.rulesets import FOLDER as RULESETS
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.interlocks.own.lock import FILE as OWN
from beampermit.project import Project
from beampermit.verdicts.verdict import Location
from beampermit.workflows.workflow import FOLDER as WORKFLOWS

DECIDING = (
    CONTRACT,
    "dvc.yaml",
    "dvc.lock",
    ".dvc/config",
    ".dvcignore",
    "pyproject.toml",
    "uv.lock",
    "environment*.yml",
    "*conda-lock.yml",
    "*virtual-packages.yml",
)
SHARED = (
    ".dvc/config",
    ".dvcignore",
    ".github/permit.pub",
    ".github/permit.trust.json",
    OWN,
    f"{WORKFLOWS}/*",
    f"{RULESETS}/*",
    *PLACES,
)
"""Files that are read by these names, in the project and at the top of its repository. None of them is a link: code
owners own the link, and anybody its target."""
CODE = ("src/", "tests/")
"""Where the code of the model and of its tests is, whether a stage names it or not."""
ENCODING = "working-tree-encoding"
AS_IT_IS = ("UNSPECIFIED", "UNSET", "SET", "UTF-8", "UTF8")
"""Values of this attribute with which git changes nothing."""
SHOWN = 20


class GIT005(Interlock):
    "Every file that is judged is in the commit"

    needs_contract = False
    decided_by = ("commit", "named", "dvc")

    def check(self, project: Project, dvc_if_any: Repository | None) -> Finding:
        """A file that git ignores, a link, a submodule and a repository inside this one are not part of the commit that
        is judged, so nobody reviewed what they hold, and another machine has other ones. Take the file out of
        `.gitignore` and run `git add FILE`; put a file in the place of a link; copy the code of a submodule into the
        repository, or install it as a package of the lock; take `working-tree-encoding` out of `.gitattributes` and
        commit the file in UTF-8; remove the `.git` of a repository inside this one (and
        `git rm --cached` it, if git says that it is one), then run `git add` for its files."""
        inputs = _Inputs(project, dvc_if_any)
        # DVC raises an error of its own for some of the first kind.
        faults = dict(inputs.not_plain()) or {**dict(inputs.re_encoded()), **dict(inputs.left_out())}
        if faults:
            reasons = [f"{path} {what}" for path, what in sorted(faults.items())]
            places = (Location(file=path, reason=what) for path, what in sorted(faults.items()))
            return failed(several(reasons), *places, faults=reasons[:SHOWN])
        aside = ", ".join(inputs.submodules)
        note = f"; other repositories in it, which nothing reads: {aside}" if aside else ""
        return passed(f"every file that decides about the model is in the commit{note}", files=len(inputs.held))


@dataclass(frozen=True)
class _Inputs:
    project: Project
    dvc: Repository | None

    @cached_property
    def held(self) -> dict[str, str]:
        """Path -> mode of the project's files that are in the commit, or come into it by `git add --all`."""
        return self.project.git.work_files()

    @cached_property
    def shared(self) -> set[str]:
        """Paths, from the project, of all such files of the repository."""
        git = self.project.git
        return {f"{git.way_up}{path}" for path in git.top.work_files()} if git.prefix else set(self.held)

    @cached_property
    def submodules(self) -> dict[str, str]:
        """Path -> what it is, of each repository in this one; git calls those submodules that `.gitmodules` names."""
        git = self.project.git
        listed = git.top.try_("config", "--file", ".gitmodules", "--get-regexp", "-z", r"^submodule\..*\.path$").out
        named = {entry.partition("\n")[2] for entry in listed.split("\0")}
        return {
            path: "is a submodule" if f"{git.prefix}{path}" in named else "is a repository of its own"
            for path, mode in self.held.items()
            if mode == SUBMODULE
        }

    @cached_property
    def stored(self) -> tuple[str, ...]:
        """Files and folders that DVC stores, by a hash in a file of the commit."""
        if self.dvc is None:
            return ()
        return tuple(
            path
            for stage in self.dvc.stages
            for path in _inside(self.dvc, [out for out in stage.outs if out.use_cache])
        )

    def not_plain(self) -> Iterator[tuple[str, str]]:
        """Path of a deciding file, and what is wrong with it."""
        for path in self._deciding():
            if link := self._link_on_the_way(path):
                yield link, "is a link, and a file is needed here"
            elif path not in self.held and path not in self.shared:
                yield path, "is ignored by git, so it is not in the commit"

    def left_out(self) -> Iterator[tuple[str, str]]:
        """Path of a file that contract or stages name, and why it is not part of the commit."""
        records = [(path, "the contract names it") for path in self._records()]
        for path, why in (*records, *self._of_stages()):
            yield from self._left_out(path, why)
        yield from self._code_elsewhere()

    def re_encoded(self) -> Iterator[tuple[str, str]]:
        """Path of a file that git checks out with other bytes than the commit has, which are those that people review:
        in some encodings a quote that they see is not a quote for Python."""
        judged = {*self._deciding(), *self._records(), *(path for path, _ in self._of_stages())}
        paths = [
            path
            for path in self.held
            if path.endswith(".py") or path.startswith(CODE) or any(is_below(path, one) for one in judged)
        ]
        listed = "".join(f"{path}\0" for path in paths)
        fields = self.project.git("check-attr", "--stdin", "-z", ENCODING, stdin=listed).split("\0") if listed else []
        for path, encoding in zip(fields[::3], fields[2::3], strict=False):
            if encoding.upper() not in AS_IT_IS:
                yield path, f"is checked out in {encoding}, so it is another file than people see: {ENCODING}"

    def _deciding(self) -> Iterator[str]:
        git = self.project.git
        for root, way, patterns in ((git.root, "", DECIDING), (git.top.root, git.way_up, SHARED)):
            for path in (path for pattern in patterns for path in root.glob(pattern)):
                if path.is_symlink() or path.is_file():
                    yield f"{way}{path.relative_to(root).as_posix()}"
        yield from (lock for lock in pipeline_locks(self.held) if lock in self.held)

    def _link_on_the_way(self, path: str) -> str:
        """The first part of a path that is a link; empty if none is."""
        parts = [path[:end] for end, letter in enumerate(f"{path}/") if letter == "/"]
        return next((part for part in parts if (self.project.root / part).is_symlink()), "")

    def _records(self) -> Iterator[str]:
        """Files that the contract names and that are kept in git, not those of the data, which have a hash there."""
        if not self.project.has_contract:
            return
        try:
            contract = self.project.contract
        except BeampermitError:
            return  # every interlock that needs it says so
        yield from record_paths(contract)

    def _of_stages(self) -> Iterator[tuple[str, str]]:
        repository = self.dvc
        if repository is None:
            return
        for stage in repository.stages:
            name = repository.name(stage)
            file = repository.relative(stage.path)
            yield file, "DVC reads it"
            if file.endswith("dvc.yaml"):
                yield f"{file.removesuffix('.yaml')}.lock", "DVC reads it"
            if not stage.is_import:
                yield from ((path, f"stage {name} reads it") for path in _inside(repository, stage.deps))
            made = [out for out in stage.outs if not out.use_cache]
            yield from (
                (path, f"stage {name} makes it, and DVC does not store it") for path in _inside(repository, made)
            )

    def _left_out(self, path: str, why: str) -> Iterator[tuple[str, str]]:
        """The file, or the files in the folder, that neither the commit holds nor DVC stores."""
        if any(is_below(path, stored) for stored in self.stored):
            return
        inside = [module for module in self.submodules if overlap(module, path)]
        yield from (
            (module, f"{self.submodules[module]}, so what it holds is not in the commit; {why}") for module in inside
        )
        for file in self._files(path):
            if not inside and not self._is_bound(file):
                yield file, f"is not in the commit, for git ignores it or a link leads to it; {why}"

    def _files(self, path: str) -> Iterator[str]:
        root = self.project.root.resolve()
        top = (root / path).resolve()
        if not top.is_relative_to(root):
            return  # DAT001 and DAT003 name what leads outside
        if top.is_file():
            yield top.relative_to(root).as_posix()
        for folder, folders, names in os.walk(top):
            folders[:] = [name for name in folders if name not in ("__pycache__", ".git")]
            for name in names:
                file = Path(folder, name)
                if not self._is_hidden(file):
                    yield file.relative_to(root).as_posix()

    def _is_hidden(self, file: Path) -> bool:
        """Whether `.dvcignore` leaves a file of a folder out, so that no hash depends on it."""
        if file.suffix == ".pyc" or self.dvc is None:
            return file.suffix == ".pyc"
        return self.dvc.repo.dvcignore.is_ignored_file(str(file))

    def _is_bound(self, file: str) -> bool:
        return file in self.held or any(is_below(file, output) for output in self.stored)

    def _code_elsewhere(self) -> Iterator[tuple[str, str]]:
        for module, what in self.submodules.items():
            if f"{module}/".startswith(CODE):
                yield module, f"{what}, so the code that it holds is not in the commit"


def record_paths(contract: Contract) -> Iterator[str]:
    yield from (contract.model.manifest, contract.dataset.lineage, contract.evaluation.metrics)
    yield from (contract.evaluation.plots, contract.reproducibility.record, contract.monitoring.limits)
    if contract.dataset.review:
        yield contract.dataset.review.file
    if contract.signals.devices:
        yield contract.signals.devices


def _inside(repository: Repository, items: Iterable[Any]) -> Iterator[str]:
    """The paths of dependencies or outputs in the project."""
    return (repository.relative(item.fs_path) for item in items if item.is_in_repo)
