"""A project's DVC repository: its stages, the outputs that DVC tracks, their manifests, its remote."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

from beampermit.datasets import configuration, manifests
from beampermit.datasets.dvc_lock import count_of, locked_outputs
from beampermit.datasets.imports import Source, new_sources
from beampermit.datasets.manifests import Manifest
from beampermit.datasets.remote import Remote
from beampermit.errors import BadInput, BeampermitError, Failed
from beampermit.project import Project
from beampermit.reading import MERGE_MARKERS
from beampermit.yaml_nodes import load_quickly

HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")
OWN_FILES = re.compile(r"\.dvc/(config|\.gitignore|plots/.*)")
"""Files of DVC's own folder that git may track."""
LINK = "120000"
READ = re.compile(r"(\.dvc|\.dvcignore|\.lock|\.ya?ml|\.json|\.toml|\.py|\.dvc/config)$")
"""Files that DVC reads: pipelines, locks, parameters."""


@dataclass(frozen=True)
class Output:
    """An output that DVC stores. `oid` is `<32 hex>` of a file, `<32 hex>.dir` of a folder.

    `remote` is the name of the remote where it is kept, None for the default one; for what `dvc import` took from
    another repository, which keeps it, the `.dvc` file.
    """

    path: str
    stage: str
    file: str
    oid: str
    hash_name: str
    remote: str | None = None
    pushed: bool = True
    size: int | None = None
    """Bytes of a file, by the lock."""
    imported: bool = False
    executable: bool = False

    @property
    def folder(self) -> bool:
        """Whether it is a folder, with a manifest."""
        return self.oid.endswith(".dir")


def is_below(path: str, folder: str) -> bool:
    """Whether a path of the project is a folder, or lies in it; all lie in `.`, the project's root."""
    return folder in (".", path) or path.startswith(f"{folder}/")


def overlap(one: str, other: str) -> bool:
    """Whether one path of the project is the other, or lies in it."""
    return is_below(one, other) or is_below(other, one)


class Repository:
    """The DVC repository of a project. Everything read from it is untrusted until checked, except the configuration,
    which is the base branch's. Of one that lies around the project, only the stages in the project count. For another
    work tree of a project, `home` is the project, whose configuration and cache are used.
    """

    def __init__(self, project: Project, home: Project | None = None):
        self.project = project
        self.root = project.root.resolve()
        self._check_tracked()
        home = home or project
        own, cached = (configuration.dvc_home(one).root.resolve() for one in (project, home))
        self.repo = _open(own, cached, configuration.base_config(home))
        self.home = home
        self._remotes: dict[str | None, Remote | Source] = {}
        self._imports: dict[str, Any] = {}
        self._manifests: dict[str, Manifest | None] = {}

    @classmethod
    def of(cls, project: Project) -> Repository:
        """The DVC repository of a project. Raises `BadInput` if there is none."""
        if not cls.exists(project):
            raise BadInput("this is not a DVC repository", file=project.root, hint=cls.none_here(project))
        return cls(project)

    @staticmethod
    def none_here(project: Project) -> str:
        """What to do where there is no DVC repository."""
        return "dvc init" if project.has_contract else project.where_contracts_are("dvc init")

    @classmethod
    def exists(cls, project: Project) -> bool:
        """Whether the project is a DVC repository."""
        return (configuration.dvc_home(project).root / ".dvc").is_dir()

    @cached_property
    def index(self) -> Any:
        """What DVC read of its files, once: DVC itself forgets it with every lock."""
        return self.repo.index

    @cached_property
    def stages(self) -> list[Any]:
        """DVC's own stages, of `dvc.yaml` and `.dvc` files. Raises `BadInput` with file and line."""
        with dvc_errors(self.root):
            return [stage for stage in self.index.stages if Path(stage.path).is_relative_to(self.root)]

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """The outputs in the lock files that DVC stores. Raises `BadInput` for an invalid hash."""
        return tuple(
            self._output(stage, out)
            for stage in self.stages
            for out in stage.outs
            if out.use_cache and out.hash_info and out.is_in_repo
        )

    @property
    def cache(self) -> Path:
        """DVC's cache on this machine, which may be a folder elsewhere that several projects share."""
        return Path(self.repo.cache.legacy.path)

    def relative(self, path: str) -> str:
        """An absolute path relative to the project; unchanged if it is outside."""
        normal = Path(os.path.normpath(path))
        return normal.relative_to(self.root).as_posix() if normal.is_relative_to(self.root) else path

    def cached(self, oid: str, hash_name: str = "md5") -> Path:
        """The file of an object in the cache, whether it exists or not."""
        odb = self.repo.cache.legacy if hash_name == "md5-dos2unix" else self.repo.cache.local
        return Path(odb.oid_to_path(oid))

    def remote(self, name: str | None = None) -> Remote | Source:
        """Where an output's `remote` keeps its objects.

        Raises `Outside` if it does not answer, `BadInput` if it is not configured, and `Failed` for data imported from
        a repository that the base branch does not import from.
        """
        if name not in self._remotes:
            imported = self._imports.get(name or "")
            self._remotes[name] = self._source(str(name), imported) if imported else Remote.open(self.repo, name)
        return self._remotes[name]

    def _source(self, file: str, dependency: Any) -> Source:
        for _, fault in new_sources(self.home, {file: dependency.def_repo}):
            raise Failed(fault, file=file, hint="let a maintainer push the first import from it to the base branch")
        return Source.open(file, dependency)

    def manifest(self, output: Output) -> Manifest | None:
        """The checked manifest of a folder, from the cache or else the remote; None if neither has it.

        Raises `Outside` if the remote is needed and cannot be reached.
        """
        if output.oid not in self._manifests:
            self._manifests[output.oid] = self._read_manifest(output)
        return self._manifests[output.oid]

    def files(self, output: Output) -> dict[str, str]:
        """Path in the project -> hash of an output's files; empty for a folder without its manifest."""
        if not output.folder:
            return {output.path: output.oid}
        manifest = self.manifest(output)
        return {f"{output.path}/{name}": digest for name, digest in manifest.files.items()} if manifest else {}

    def objects(self, outputs: Iterable[Output]) -> dict[str, str]:
        """oid -> one path that needs it, of all objects of the outputs: files, and folders' manifests."""
        objects: dict[str, str] = {}
        for output in outputs:
            objects.setdefault(output.oid, output.path)
            for path, oid in self.files(output).items():
                objects.setdefault(oid, path)
        return objects

    def base_objects(self) -> set[str]:
        """The oids that the base branch names, which were on the remote when it was merged.

        A folder without its manifest is left out, with its files.
        """
        base = self.project.base
        if base is None:
            return set()
        oids: set[str] = set()
        for name in self.project.git.files_at(base):
            if name.endswith(".dvc") or Path(name).name == "dvc.lock":
                oids |= _output_hashes(self.project.git.read(base, name) or "", name)
        own = {output.oid: output for output in self.outputs}  # which know where they are kept
        for oid in [oid for oid in oids if oid.endswith(".dir")]:
            manifest = self.manifest(own.get(oid) or Output("", "", "", oid, "md5"))
            if manifest is None or manifest.faults:
                oids.discard(oid)
            else:
                oids |= set(manifest.files.values())
        return oids

    def _read_manifest(self, output: Output) -> Manifest | None:
        cached = self.cached(output.oid, output.hash_name)
        if cached.is_file() and cached.stat().st_size <= manifests.LARGEST:
            manifest = manifests.read_manifest(cached.read_bytes(), output.oid)
            if not manifest.faults:
                return manifest
        content = self.remote(output.remote).read(output.oid, manifests.LARGEST + 1, output.hash_name)
        return None if content is None else manifests.read_manifest(content, output.oid)

    def _output(self, stage: Any, out: Any) -> Output:
        file = self.relative(stage.path)
        lock = f"{file.removesuffix('.yaml')}.lock" if file.endswith("dvc.yaml") else file
        oid = str(out.hash_info.value)
        path = self.relative(out.fs_path)
        if not HASH.fullmatch(oid) or out.hash_name not in ("md5", "md5-dos2unix"):
            raise BadInput(
                f"the hash of {path} is {oid[:60]!r}, not an md5 as DVC writes it",
                file=lock,
                line=line_of(self.root / lock, oid),
                hint="dvc repro",
            )
        if reason := manifests.path_fault(path):
            raise BadInput(f"the output {path!a} {reason}", file=file, line=line_of(self.root / file, path))
        size = count_of(out.meta.size) if out.meta and not oid.endswith(".dir") else None
        remote, pushed = out.remote, out.can_push
        if stage.is_repo_import:
            self._imports[file] = stage.deps[0]
            remote, pushed = file, True
        name, executable = self.name(stage), bool(out.meta and out.meta.isexec)
        return Output(path, name, lock, oid, out.hash_name, remote, pushed, size, stage.is_repo_import, executable)

    def name(self, stage: Any) -> str:
        """A stage's name in `dvc.yaml`, or the path of its `.dvc` file."""
        return getattr(stage, "name", None) or self.relative(stage.path)

    def _check_tracked(self) -> None:
        """Refuse tracked files and links that would mislead DVC, before it reads anything. Raises `BadInput`."""
        git = configuration.dvc_home(self.project)
        if (git.root / ".dvc").is_symlink():
            raise BadInput("this folder must not be a link", file=".dvc")
        for entry in filter(None, git("ls-files", "--stage", "-z").split("\0")):
            mode, path = entry[:6], entry.partition("\t")[2]
            if path.startswith(".dvc/") and not OWN_FILES.fullmatch(path):
                raise BadInput(
                    "git tracks this file, which belongs to one machine", file=path, hint=f"git rm --cached {path}"
                )
            if mode == LINK and READ.search(path) and not _leads_to_file_below(git.root.resolve(), path):
                raise BadInput("this link does not point to a file of the project", file=path)


def _leads_to_file_below(root: Path, link: str) -> bool:
    target = (root / link).resolve()
    return target.is_file() and target.is_relative_to(root)


def _open(root: Path, home: Path, text: str | None) -> Any:
    os.environ.setdefault("DVC_NO_ANALYTICS", "true")
    from dvc.repo import Repo
    from dvc.utils.objects import cached_property as dvc_cached_property

    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _let_dvc_read_quickly()

    class ConfiguredRepo(Repo):
        @dvc_cached_property
        def config(self) -> Any:
            config = configuration.make_config(home / ".dvc", text)
            if home != root:
                config["cache"].setdefault("dir", str(home / ".dvc/cache"))
                # Code runs there: through a link it could write into the cache.
                config["cache"]["type"] = ["reflink", "copy"]
            return config

        def _ignore(self) -> None:
            if home == root:
                super()._ignore()  # for another work tree, git would be told to ignore files of this one

    with dvc_errors(root):
        return ConfiguredRepo(str(root))


def _let_dvc_read_quickly() -> None:
    """Its files are read by libyaml where that reads as ruamel does, which takes DVC longer than all else."""
    from ruamel.yaml import YAML

    try:
        from dvc.utils import strictyaml
        from dvc.utils.serialize import _yaml

        slow = strictyaml.parse_yaml
    except (ImportError, AttributeError):
        return  # a later DVC, which has them elsewhere, reads them itself
    modules: tuple[Any, ...] = (strictyaml, _yaml)  # of pipelines and locks; of parameters
    if hasattr(slow, "__wrapped__"):
        return

    @wraps(slow)
    def parse_yaml(text: str, path: str, typ: str = "safe") -> Any:
        if typ == "safe":  # what is written back needs its comments
            found, read = load_quickly(YAML(typ="safe", pure=True), text)
            if read:
                return found or {}
        return slow(text, path, typ)

    for module in modules:
        module.parse_yaml = parse_yaml


def _output_hashes(text: str, name: str) -> set[str]:
    """The hashes of the outputs in a `dvc.lock` or `.dvc` file; empty if it cannot be read."""
    try:
        return {output.hash for output in locked_outputs(text, name).values() if HASH.fullmatch(output.hash)}
    except BadInput:
        return set()


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
    """The most specific message of DVC, with file and line if it gives them."""
    from dvc.utils.serialize import ParseError
    from dvc.utils.strictyaml import YAMLSyntaxError, YAMLValidationError, determine_linecol

    if isinstance(error, YAMLSyntaxError):
        return _unreadable(_relative_name(error.relpath, root), root, error.exc)
    if unread := next((cause for cause in _chain(error) if isinstance(cause, ParseError)), None):
        return _unreadable(_relative_name(str(unread.path), root), root, unread)
    if isinstance(error, YAMLValidationError):
        from dvc.utils.serialize import parse_yaml_for_update

        first = error.exc.errors[0]
        line = determine_linecol(parse_yaml_for_update(error.text, error.path), first.path)[0]
        key = ".".join(str(part) for part in first.path)
        return BadInput(f"{key}: {first.error_message}", file=_relative_name(error.path, root), line=line)
    messages = [" ".join(str(cause).split()).replace(f"{root}/", "") for cause in _chain(error)]
    return BadInput("; ".join(dict.fromkeys(filter(None, messages))) or type(error).__name__, hint="dvc status")


def _unreadable(file: str, root: Path, error: BaseException) -> BadInput:
    """A pipeline, lock or parameters that are not YAML, JSON or TOML."""
    if line := _merge_marker(root / file):
        return BadInput("there are merge-conflict markers in this file", file=file, line=line, hint="git mergetool")
    cause = list(_chain(error))[-1]
    mark = getattr(cause, "problem_mark", None)
    if mark is None:
        return BadInput(f"cannot be read: {' '.join(str(cause).split())}", file=file)
    problem = getattr(cause, "problem", None) or "cannot be read"
    tab = "; YAML is indented by spaces, not by tabs" if "\\t" in problem else ""
    return BadInput(f"not YAML: {problem}{tab}", file=file, line=mark.line + 1)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _relative_name(path: str, root: Path) -> str:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - relative to the current folder, with links unresolved
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else path


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
    """The number of the first line that contains `word`, from 1; None if no line does."""
    return next((number for number, line in enumerate(_lines(file), 1) if word in line), None)


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
