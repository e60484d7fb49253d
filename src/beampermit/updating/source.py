"""Where a template comes from: the installed package, or a revision of its repository."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from beampermit.cache import cache_folder
from beampermit.digest import digest_bytes
from beampermit.errors import BadInput, Outside
from beampermit.generation.rendering import render_template
from beampermit.git import Git
from beampermit.processes import run, scratch_folder
from beampermit.template import IN_SOURCE, template_folder
from beampermit.updating.recorded import ANSWERS

ADDRESS = re.compile(r"(https?|ssh|file)://[^\s\0]+|[\w.-]+@[\w.-]+:[^\s\0]+|/[^\0]*")
REVISION = re.compile(r"[A-Za-z0-9][\w./+-]*")
CHANGES, RELEASE = "CHANGELOG.md", "release.json"


@dataclass(frozen=True)
class Source:
    """A template in a folder; `changes` is the changelog that came with it."""

    folder: Path
    version: str
    commit: str | None
    digest: str
    changes: str

    @property
    def name(self) -> str:
        return f"{self.version} ({self.commit[:12]})" if self.commit else self.version

    def render(self, folder: Path, answers: Mapping[str, str], warn: Callable[[str], None]) -> Path:
        """The project as this template makes it, with its record, below `folder`."""
        project = render_template(self.folder, folder, answers, warn, commit=False)
        if not (project / ANSWERS).is_file():  # of a template that wrote none
            rules()["record"](project, self.folder, answers)
        return project


def installed() -> Source:
    return source_in(template_folder())


def source_in(folder: Path) -> Source:
    known = rules()["origin"](folder)
    return Source(folder, known["version"] or "", known["commit"], rules()["digest"](folder), _text(folder, CHANGES))


@contextmanager
def at(revision: str, address: str, *, asked: bool = True) -> Iterator[Source]:
    """The template at a tag, branch or commit. Raises `BadInput` where the repository has no such one, `Outside`.

    A template's hook runs where it is rendered, and the address stands in a file that a pull request may change: so
    nothing is fetched from it unless somebody `asked` for a revision, now or before.
    """
    git, commit = _find(revision, address, asked)
    with scratch_folder() as scratch:
        listed = git("ls-tree", "--name-only", "--full-tree", commit).split("\n")
        parts = [part for part in ("template", "pyproject.toml", CHANGES) if part in listed]
        if "template" not in parts:
            raise BadInput(f"{revision!r} has no template", hint="beampermit update --to VERSION")
        git("archive", "--format=tar", f"--output={scratch / 'at.tar'}", commit, *parts)
        with tarfile.open(scratch / "at.tar") as packed:
            packed.extractall(scratch / "at", filter="data")
        folder = scratch / "at/template"
        version = rules()["origin"](folder)["version"] or ""
        (folder.parent / RELEASE).write_text(json.dumps({"version": version, "commit": commit}), encoding="utf-8")
        yield source_in(folder)


def _find(revision: str, address: str, asked: bool) -> tuple[Git, str]:
    """A repository that has the revision, and its commit: the checkout that we run from, else one that is fetched."""
    if not REVISION.fullmatch(revision):
        raise BadInput(f"{revision!a} is not a version, tag, branch or commit", hint="beampermit update --help")
    own = Git(IN_SOURCE.parent)
    if (IN_SOURCE / "cookiecutter.json").is_file() and (commit := _resolve(own, revision)):
        return own, commit
    if not ADDRESS.fullmatch(address):
        raise BadInput(f"the template's address {address!a} is none that git fetches from", file=ANSWERS)
    folder = _copy_of(address)
    if not asked and not folder.is_dir():
        raise BadInput(f"nobody has asked for a revision of {address} yet", hint="beampermit update --to VERSION")
    git = _fetched(address, folder)
    if commit := _resolve(git, revision):
        return git, commit
    raise BadInput(f"{address} has no {revision!r}", hint=f"git ls-remote {shlex.quote(address)}")


def _resolve(git: Git, revision: str) -> str | None:
    names = (
        f"refs/tags/{revision}",
        f"refs/tags/v{revision}",
        f"refs/remotes/origin/{revision}",
        f"refs/heads/{revision}",
    )
    found = next(filter(None, map(git.ref, names)), None)
    return found or (git.resolve(revision) if re.fullmatch(r"[0-9a-f]{7,64}", revision) else None)


def _copy_of(address: str) -> Path:
    return cache_folder() / "templates" / digest_bytes(address.encode()).removeprefix("sha256:")[:16]


def _fetched(address: str, folder: Path) -> Git:
    """The copy in the cache, brought up to date. Raises `Outside`."""
    if not (folder / "HEAD").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        run(["git", "init", "--quiet", "--bare", str(folder)], cwd=folder)
    git = Git(folder)
    heads, tags = "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"
    fetched = git.try_("fetch", "--quiet", "--prune", "--end-of-options", address, heads, tags, timeout=300)
    if fetched.code:
        raise Outside(
            f"the template's repository cannot be fetched: {fetched.tail}",
            hint=f"git ls-remote {shlex.quote(address)}",
        )
    return git


@cache
def rules() -> dict[str, Any]:
    """The template's own script that records: of the installed package, whichever template is looked at."""
    return runpy.run_path(str(template_folder() / "record.py"))


def _text(folder: Path, name: str) -> str:
    file = folder.parent / name
    return file.read_text(encoding="utf-8") if file.is_file() else ""
