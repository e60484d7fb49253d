"""What is looked at: the files of a project, here or on GitHub, and what GitHub says of its repository."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

from beampermit.contract import FILE_NAME, Contract
from beampermit.contract.load import parse_contract
from beampermit.errors import BadInput, Outside
from beampermit.github.client import Answer, Client, Refused, parse_answer
from beampermit.github.codeowners import PLACES, CodeOwners
from beampermit.project import Project
from beampermit.workflows.workflow import FOLDER


class Owner(Answer):
    """`type` is `User` or `Organization`."""

    login: str
    type: str = ""


class About(Answer):
    """A repository, as GitHub lists it."""

    full_name: str
    default_branch: str = "main"
    private: bool = False
    archived: bool = False
    owner: Owner


@dataclass(frozen=True)
class Files:
    """Paths of a whole repository, and the text of each; `prefix` is the project's folder, such as `models/a/`."""

    paths: tuple[str, ...]
    read: Callable[[str], str | None]
    prefix: str = ""

    @property
    def own(self) -> tuple[str, ...]:
        """Those of the project, from its folder."""
        return tuple(path.removeprefix(self.prefix) for path in self.paths if path.startswith(self.prefix))

    @cached_property
    def workflows(self) -> dict[str, str]:
        """Text by path, of workflows and of actions."""
        names = [path for path in self.paths if _is_workflow(path)]
        return {name: text for name in sorted(names) if (text := self.read(name)) is not None}


@dataclass
class Known:
    """What several projects have in common, so that it is asked for once: texts of files by hash, days of commits."""

    texts: dict[str, str | None] = field(default_factory=dict)
    days: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """One project. Without `project`, only GitHub has it; without `client` and `about`, GitHub is not asked."""

    name: str
    files: Files
    branch: str
    client: Client | None = None
    about: About | None = None
    project: Project | None = None
    known: Known = field(default_factory=Known)
    try_writing: bool = False

    @property
    def hub(self) -> Client:
        """For checks that ask GitHub, which are left out where there is none."""
        assert self.client is not None  # noqa: S101 - `examine` sees to that
        return self.client

    @cached_property
    def contract(self) -> Contract:
        """Raises `BadInput`."""
        path = f"{self.files.prefix}{FILE_NAME}"
        text = self.files.read(path)
        if text is None:
            init = "beampermit init"
            hint = self.project.where_contracts_are(init) if self.project else init
            raise BadInput("there is no contract", file=path, hint=hint)
        return parse_contract(text, path)

    @cached_property
    def owners(self) -> CodeOwners | None:
        """CODEOWNERS. Raises `Failed` for one that GitHub does not read."""
        if self.project is not None:
            return CodeOwners.find(self.project.git.top.root)
        found = ((place, self.files.read(place)) for place in PLACES if place in self.files.paths)
        return next((CodeOwners(place, text) for place, text in found if text is not None), None)

    @cached_property
    def variables(self) -> Mapping[str, str]:
        """Variables that workflows get from the repository. Raises `Refused`, `Outside`."""
        return _values(self.hub, "/actions/variables", "variables")

    @cached_property
    def shared_variables(self) -> Mapping[str, str]:
        """Those that they get from the organization. Raises `Refused`, `Outside`."""
        return _values(self.hub, "/actions/organization-variables", "variables")


def files_here(project: Project) -> Files:
    """Of the work tree: tracked files, and those that wait for their first commit."""
    top = project.git.top

    def read(path: str) -> str | None:
        file = top.root / path
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None

    new = {name for name in (f"{project.git.prefix}{FILE_NAME}", *PLACES) if (top.root / name).is_file()}
    new |= {path.relative_to(top.root).as_posix() for path in (top.root / FOLDER).glob("*.y*ml")}
    return Files(tuple(sorted({*top.tracked(), *new})), read, project.git.prefix)


def files_there(client: Client, branch: str, known: Known) -> Files:
    """Of a branch on GitHub, without a checkout. Raises `Outside`, also for more files than GitHub lists."""
    tree = client.get(f"/git/trees/{quote(branch, safe='')}", recursive=1)
    rows = tree.get("tree") if isinstance(tree, Mapping) else None
    if not isinstance(rows, list):
        raise Outside(f"GitHub's list of the files of {client.repository} has an unknown format")
    if tree.get("truncated"):
        hint = "run `beampermit doctor` in a clone"
        raise Outside(f"{client.repository} has more files than GitHub lists", hint=hint)
    blobs = [row for row in rows if isinstance(row, Mapping) and row.get("type") == "blob"]
    hashes = {str(row.get("path")): str(row.get("sha")) for row in blobs}

    def read(path: str) -> str | None:
        sha = hashes.get(path)
        if sha is None:
            return None
        if sha not in known.texts:
            known.texts[sha] = _text(client.get(f"/git/blobs/{quote(sha, safe='')}"))
        return known.texts[sha]

    return Files(tuple(hashes), read)


def load_about(client: Client) -> About:
    return parse_answer(About, client.get(""))


def day_of(subject: Subject, repository: str, commit: str) -> str:
    """The day of a commit of another repository, such as 2026-03-01; empty where this token does not see it."""
    key = f"{repository}@{commit}"
    if key not in subject.known.days:
        try:
            answer = subject.hub.sibling(repository).get(f"/commits/{quote(commit, safe='')}")
            subject.known.days[key] = str(answer["commit"]["committer"]["date"])[:10]
        except (Refused, KeyError, TypeError):
            subject.known.days[key] = ""
    return subject.known.days[key]


def names_of(client: Client, path: str, key: str) -> set[str]:
    """The names of a list. Raises `Refused`, `Outside`."""
    return {str(row.get("name")) for row in client.pages(path, key) if isinstance(row, Mapping)}


def _values(client: Client, path: str, key: str) -> dict[str, str]:
    rows = (row for row in client.pages(path, key) if isinstance(row, Mapping))
    return {str(row.get("name")): str(row.get("value", "")) for row in rows}


def _text(blob: Any) -> str | None:
    content = blob.get("content") if isinstance(blob, Mapping) else None
    try:
        return base64.b64decode(str(content)).decode(errors="replace") if content is not None else None
    except binascii.Error:
        return None


def _is_workflow(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return (folder == FOLDER and name.endswith((".yml", ".yaml"))) or name in ("action.yml", "action.yaml")
