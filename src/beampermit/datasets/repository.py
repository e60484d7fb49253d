"""A project's DVC repository, opened once: its stages, the outputs that DVC keeps, their manifests, its remote."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from beampermit.datasets import configuration, manifests
from beampermit.datasets.dvc_lock import locked_outputs
from beampermit.datasets.manifests import Manifest
from beampermit.datasets.remote import Remote
from beampermit.errors import BadInput, BeampermitError
from beampermit.project import Project
from beampermit.reading import MERGE_MARKERS


@contextmanager
def dvc_errors(root: Path) -> Iterator[None]:
    """Turn what DVC raises about a project's files into `BadInput` with file and line."""
    from dvc.exceptions import DvcException

    try:
        yield
    except BeampermitError:
        raise
    except (DvcException, OSError, ValueError, TypeError, RecursionError) as error:
        raise bad_input_of(error, root) from None


def bad_input_of(error: Exception, root: Path) -> BadInput:
    """The deepest thing that DVC says of a file, with the line where there is one."""
    from dvc.utils.strictyaml import YAMLSyntaxError, YAMLValidationError, determine_linecol

    if isinstance(error, YAMLSyntaxError):
        file = _relative_name(error.relpath, root)
        line = _merge_marker(root / file)
        if line:
            return BadInput("there are merge-conflict markers in this file", file=file, line=line, hint="git mergetool")
        mark = getattr(error.exc.__cause__, "problem_mark", None)
        problem = getattr(error.exc.__cause__, "problem", None) or "cannot be read"
        return BadInput(f"not YAML: {problem}", file=file, line=mark.line + 1 if mark else None)
    if isinstance(error, YAMLValidationError):
        from dvc.utils.serialize import parse_yaml_for_update

        first = error.exc.errors[0]
        line = determine_linecol(parse_yaml_for_update(error.text, error.path), first.path)[0]
        where = ".".join(str(part) for part in first.path)
        return BadInput(f"{where}: {first.error_message}", file=_relative_name(error.path, root), line=line)
    words = [" ".join(str(found).split()).replace(f"{root}/", "") for found in _chain(error)]
    return BadInput("; ".join(dict.fromkeys(word for word in words if word)) or type(error).__name__, hint="dvc status")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _relative_name(path: str, root: Path) -> str:
    found = Path(os.path.abspath(path))  # noqa: PTH100 - DVC names files from the current folder, links unresolved
    return found.relative_to(root).as_posix() if found.is_relative_to(root) else path


def _merge_marker(file: Path) -> int | None:
    return next(
        (
            number
            for number, line in enumerate(_lines(file), 1)
            if line.startswith(MERGE_MARKERS) or line.rstrip() == "======="
        ),
        None,
    )


def line_of(file: Path, word: str) -> int | None:
    """The first line of a file that holds `word`, from 1; None where there is none."""
    return next((number for number, line in enumerate(_lines(file), 1) if word in line), None)


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []


HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")
OWN_FILES = re.compile(r"\.dvc/(config|\.gitignore|plots/.*)")
"""What git may hold of DVC's own folder."""
LINK = "120000"
READ = re.compile(r"(\.dvc|\.dvcignore|\.lock|\.ya?ml|\.json|\.toml|\.py|\.dvc/config)$")
"""Files that DVC reads: pipelines, locks, parameters."""


@dataclass(frozen=True)
class Output:
    """An output whose bytes DVC keeps. `oid` is `<32 hex>` of a file, `<32 hex>.dir` of a folder."""

    path: str
    stage: str
    file: str
    oid: str
    hash_name: str
    remote: str | None = None
    pushed: bool = True

    @property
    def folder(self) -> bool:
        """Whether it is a folder, with a manifest."""
        return self.oid.endswith(".dir")


class Repository:
    """The DVC repository of a project. What is read of it is hostile until judged; only its remote is believed,
    for it is the base branch's. Of a further work tree of a project, `home` is the project: configuration and cache
    are its own.
    """

    def __init__(self, project: Project, home: Project | None = None):
        self.project = project
        self.root = project.root.resolve()
        self._check_tracked()
        at_home = home or project
        self.repo = _open(self.root, at_home.root.resolve(), configuration.base_config(at_home))
        self._remotes: dict[str | None, Remote] = {}
        self._manifests: dict[str, Manifest | None] = {}

    @classmethod
    def of(cls, project: Project) -> Repository:
        """The DVC repository of a project. Raises `BadInput` where there is none."""
        if not cls.here(project):
            raise BadInput("this is no DVC repository", file=project.root, hint="dvc init")
        return cls(project)

    @classmethod
    def here(cls, project: Project) -> bool:
        """Whether the project is a DVC repository."""
        return (project.root / ".dvc").is_dir()

    @cached_property
    def stages(self) -> list[Any]:
        """DVC's own stages, of `dvc.yaml` and `.dvc` files. Raises `BadInput` with file and line."""
        with dvc_errors(self.root):
            return list(self.repo.index.stages)

    @cached_property
    def kept(self) -> tuple[Output, ...]:
        """The outputs that DVC keeps and the lock names. Raises `BadInput` for what is no hash."""
        return tuple(
            self._kept(stage, out)
            for stage in self.stages
            for out in stage.outs
            if out.use_cache and out.hash_info and out.is_in_repo
        )

    @property
    def cache(self) -> Path:
        """Where DVC keeps objects on this machine."""
        return Path(self.repo.cache.local.path)

    def relative(self, path: str) -> str:
        """An absolute path of DVC's as a path of the project; unchanged where it lies outside."""
        found = Path(os.path.normpath(path))
        return found.relative_to(self.root).as_posix() if found.is_relative_to(self.root) else path

    def cached(self, oid: str, hash_name: str = "md5") -> Path:
        """Where the object lies in the cache, if it is there."""
        odb = self.repo.cache.legacy if hash_name == "md5-dos2unix" else self.repo.cache.local
        return Path(odb.oid_to_path(oid))

    def remote(self, name: str | None = None) -> Remote:
        """The remote of that name, or the default one, probed. Raises `Outside`."""
        if name not in self._remotes:
            self._remotes[name] = Remote.open(self.repo, name)
        return self._remotes[name]

    def manifest(self, output: Output) -> Manifest | None:
        """The judged manifest of a folder, from the cache or else the remote; None where neither has it.

        Raises `Outside` when it is not in the cache and the remote cannot be reached.
        """
        if output.oid not in self._manifests:
            self._manifests[output.oid] = self._read_manifest(output)
        return self._manifests[output.oid]

    def leaves(self, output: Output) -> dict[str, str]:
        """The files of an output, path in the project -> hash; of a folder whose manifest is missing, none."""
        if not output.folder:
            return {output.path: output.oid}
        found = self.manifest(output)
        return {f"{output.path}/{name}": value for name, value in found.files.items()} if found else {}

    def objects(self, outputs: Iterable[Output]) -> dict[str, str]:
        """All objects of outputs, manifests and files of folders too: oid -> one path that needs it."""
        found: dict[str, str] = {}
        for output in outputs:
            found.setdefault(output.oid, output.path)
            for path, oid in self.leaves(output).items():
                found.setdefault(oid, path)
        return found

    def base_objects(self) -> set[str]:
        """The objects that the base branch names: they were on the remote when it was merged.

        Those of a folder are known only if its manifest is at hand; then they are few requests, else many.
        """
        base = self.project.base
        if base is None:
            return set()
        found: set[str] = set()
        names = self.project.git("ls-tree", "-r", "-z", "--name-only", base).split("\0")
        for name in names:
            if name.endswith(".dvc") or Path(name).name == "dvc.lock":
                found |= _output_hashes(self.project.git.read(base, name) or "", name)
        for oid in [oid for oid in found if oid.endswith(".dir")]:
            known = self.manifest(Output("", "", "", oid, "md5"))
            if known is None or known.faults:
                found.discard(oid)
            else:
                found |= set(known.files.values())
        return found

    def _read_manifest(self, output: Output) -> Manifest | None:
        here = self.cached(output.oid, output.hash_name)
        if here.is_file() and here.stat().st_size <= manifests.LARGEST:
            found = manifests.read_manifest(here.read_bytes(), output.oid)
            if not found.faults:
                return found
        content = self.remote(output.remote).read(output.oid, manifests.LARGEST + 1, output.hash_name)
        return None if content is None else manifests.read_manifest(content, output.oid)

    def _kept(self, stage: Any, out: Any) -> Output:
        file = self.relative(stage.path)
        lock = f"{file.removesuffix('.yaml')}.lock" if file.endswith("dvc.yaml") else file
        value = str(out.hash_info.value)
        path = self.relative(out.fs_path)
        if not HASH.fullmatch(value) or out.hash_name not in ("md5", "md5-dos2unix"):
            raise BadInput(
                f"{path} has the hash {value[:60]!r}, which is not one of DVC's",
                file=lock,
                line=line_of(self.root / lock, value),
                hint="dvc repro",
            )
        if reason := manifests.path_fault(path):
            raise BadInput(f"the output {path!a} {reason}", file=file, line=line_of(self.root / file, path))
        return Output(path, self.name(stage), lock, value, out.hash_name, out.remote, out.can_push)

    def name(self, stage: Any) -> str:
        """What users call a stage: its name in `dvc.yaml`, or the path of its `.dvc` file."""
        return getattr(stage, "name", None) or self.relative(stage.path)

    def _check_tracked(self) -> None:
        """Refuse, before DVC reads anything, what a commit could put in its way. Raises `BadInput`."""
        if (self.root / ".dvc").is_symlink():
            raise BadInput("DVC's own folder is a link", file=".dvc")
        for entry in filter(None, self.project.git("ls-files", "--stage", "-z").split("\0")):
            mode, path = entry[:6], entry.partition("\t")[2]
            if path.startswith(".dvc/") and not OWN_FILES.fullmatch(path):
                raise BadInput("git tracks what belongs to one machine", file=path, hint=f"git rm --cached {path}")
            if mode == LINK and READ.search(path) and not self._leads_to_own_file(self.root / path):
                raise BadInput("this link does not lead to a file of the project", file=path)

    def _leads_to_own_file(self, link: Path) -> bool:
        target = link.resolve()
        return target.is_file() and target.is_relative_to(self.root)


def _open(root: Path, home: Path, text: str | None) -> Any:
    os.environ.setdefault("DVC_NO_ANALYTICS", "true")
    from dvc.repo import Repo
    from dvc.utils.objects import cached_property as dvc_cached_property

    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    class Believed(Repo):
        @dvc_cached_property
        def config(self) -> Any:
            found = configuration.make_config(home / ".dvc", text)
            if home != root:
                found["cache"].setdefault("dir", str(home / ".dvc/cache"))
            return found

        def _ignore(self) -> None:
            if home == root:
                super()._ignore()  # elsewhere, git would be told to ignore files of another work tree

    with dvc_errors(root):
        return Believed(str(root))


def _output_hashes(text: str, name: str) -> set[str]:
    """The hashes of outputs in a `dvc.lock` or a `.dvc` file; of one that cannot be read, none."""
    try:
        return {output.hash for output in locked_outputs(text, name).values() if HASH.fullmatch(output.hash)}
    except BadInput:
        return set()
