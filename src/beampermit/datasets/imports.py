"""Data that `dvc import` took from another repository, which keeps them: `dvc push` leaves them out."""

from __future__ import annotations

import atexit
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from beampermit.datasets.configuration import without_secrets
from beampermit.datasets.remote import CHUNK, Remote, hash_of
from beampermit.errors import BadInput, BeampermitError, Outside, one_line
from beampermit.project import Project
from beampermit.reading import parse_yaml

REVISIONS = ("rev", "rev_lock")
SEE = "look whether this machine may clone it"


def new_sources(project: Project, sources: Mapping[str, Mapping[str, Any]] | None = None) -> Iterator[tuple[str, str]]:
    """Those of the imports, `.dvc` file -> repository, that are from one that the base branch does not import from.

    All imports of the work tree by default. A pull request must not choose whom the checker asks, as with the remote.
    """
    if project.base is None:
        return
    git, base = project.git, project.base
    if sources is None:
        files = (path for path in git.work_files() if path.endswith(".dvc"))
        texts = {path: project.path(path) for path in files if project.path(path).is_file()}
        sources = {name: repo for name, file in texts.items() if (repo := _imported(file.read_bytes(), name))}
    if not sources:
        return
    before = (_imported(git.read(base, name) or "", name) for name in git.files_at(base) if name.endswith(".dvc"))
    known = {_key(repo) for repo in before if repo}
    for name, repo in sources.items():
        if _key(repo) not in known:
            url = without_secrets(str(repo.get("url")))
            yield name, f"{name} imports from {url}, and nothing on the base branch is imported from there"


def _imported(text: str | bytes, name: str) -> dict[str, Any] | None:
    """The repository that a `.dvc` file imports from; None where it is not an import, or cannot be read."""
    try:
        content = parse_yaml(text, name, aliases=True)
    except BadInput:
        return None
    deps = content.get("deps") if isinstance(content, dict) else None
    first = deps[0] if isinstance(deps, list) and deps and isinstance(deps[0], dict) else {}
    repo = first.get("repo")
    return repo if isinstance(repo, dict) else None


def _key(repo: Mapping[str, Any]) -> str:
    """All that says where the data come from, but for the revision."""
    return json.dumps({key: value for key, value in repo.items() if key not in REVISIONS}, sort_keys=True, default=str)


class Source:
    """Another repository at one commit, asked as a `Remote` is. What it sends is verified by its hash, like a remote's.

    Its files are in its git, on its own remote, or imported there in turn.
    """

    empty = ""

    def __init__(self, name: str, url: str, dependency: Any):
        self.name = name
        self.url = url
        self._fs = dependency.fs
        self._path = dependency.fs_path
        self._busy = Lock()

    @classmethod
    def open(cls, file: str, dependency: Any) -> Source:
        """The source of the data of a `.dvc` file. Raises `Outside` if it cannot be reached, or lacks the commit."""
        url = without_secrets(str(dependency.def_repo["url"]))
        source = cls(f"{url}, which {file} imports from", url, dependency)
        with source._outside():
            _ = source._kept
        return source

    def missing(self, oids: Iterable[str], hash_name: str = "md5") -> set[str]:
        """Those of `oids` that neither its commit nor its remote has. Raises `Outside`."""
        absent = set(oids) - self._kept.keys()
        for store, group in self._stores(set(oids) - absent):
            absent |= store.missing(group, hash_name)
        return absent

    def altered(self, sizes: Mapping[str, int | None], hash_name: str = "md5") -> tuple[dict[str, str], int]:
        """As `Remote.altered`; what is in its git was read and hashed to find it."""
        faults: dict[str, str] = {}
        read = len([oid for oid in sizes if self._kept[oid][1] is None])
        for store, group in self._stores(sizes):
            found, count = store.altered({oid: sizes[oid] for oid in group}, hash_name)
            faults |= found
            read += count
        return faults, read

    def read(self, oid: str, limit: int, hash_name: str = "md5") -> bytes | None:
        """At most `limit` bytes of an object; None if it is missing. Raises `Outside`."""
        if oid == self._manifest[0]:
            return self._manifest[1][:limit]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "object"
            return file.read_bytes()[:limit] if self.fetch(oid, file, hash_name) else None

    def fetch(self, oid: str, into: Path, hash_name: str = "md5") -> str | None:
        """Copy an object to the file `into`; return the hash of the bytes received, None if it is missing."""
        if oid == self._manifest[0]:
            into.write_bytes(self._manifest[1])
            return hash_of(into)
        if oid not in self._kept:
            return None
        path, store = self._kept[oid]
        if store is not None:
            return store.fetch(oid, into, hash_name)
        with self._outside(), self._busy:  # DVC's view of a commit is not made for several threads
            self._fs.get_file(path, str(into))
        return hash_of(into, hash_name)

    def _stores(self, oids: Iterable[str]) -> list[tuple[Remote | Source, list[str]]]:
        groups: dict[int, tuple[Remote | Source, list[str]]] = {}
        for oid in oids:
            store = self._kept[oid][1]
            if store is not None:
                groups.setdefault(id(store), (store, []))[1].append(oid)
        return list(groups.values())

    @cached_property
    def _files(self) -> list[tuple[str, str, Remote | Source | None]]:
        """Path in the source, hash, and what stores it, None for its git, of each file that was imported."""
        stores: dict[str, Remote | Source] = {}
        files: list[tuple[str, str, Remote | Source | None]] = []
        for path in self._fs.find(self._path) if self._fs.isdir(self._path) else [self._path]:
            info = self._fs.info(path)
            entry = (info.get("dvc_info") or {}).get("entry")
            if entry is None or not entry.hash_info:
                files.append((path, self._hash(path), None))
                continue
            out = next(out for out in info["repo"].index.outs if f"/{path}/".startswith(f"{out.fs_path}/"))
            if out.fs_path not in stores:
                stores[out.fs_path] = self._store(info["repo"], out)
            files.append((path, entry.hash_info.value, stores[out.fs_path]))
        return files

    def _store(self, repo: Any, out: Any) -> Remote | Source:
        if out.stage.is_repo_import:
            return Source.open(f"{self.url}: {out.stage.addressing}", out.stage.deps[0])
        try:
            return Remote.open(repo, out.remote)
        except BadInput as error:
            raise Outside(f"{self.name}: {error.message}") from None

    def _hash(self, path: str) -> str:
        found = hashlib.md5(usedforsecurity=False)
        with self._fs.open(path, "rb") as stream:
            while chunk := stream.read(CHUNK):
                found.update(chunk)
        return found.hexdigest()

    @cached_property
    def _manifest(self) -> tuple[str, bytes]:
        """The name and bytes of the folder's manifest as DVC writes it; empty for a file."""
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree

        if not self._fs.isdir(self._path):
            return "", b""
        tree = Tree()
        for path, value, _ in self._files:
            tree.add(PurePosixPath(path).relative_to(self._path).parts, None, HashInfo("md5", value))
        tree.digest()
        return str(tree.oid), tree.as_bytes()

    @cached_property
    def _kept(self) -> dict[str, tuple[str, Remote | Source | None]]:
        kept = {value: (path, store) for path, value, store in self._files}
        return {**kept, self._manifest[0]: (self._path, None)} if self._manifest[0] else kept

    @contextmanager
    def _outside(self) -> Iterator[None]:
        from dvc.repo.open_repo import clean_repos

        atexit.register(clean_repos)  # clones are made once a process
        try:
            yield
        except BeampermitError:
            raise
        except Exception as error:  # git's, DVC's and each kind of storage's own
            raise Outside(f"{self.name}, cannot be reached: {one_line(error)}", hint=SEE) from None
