"""Which model is to be served, and where its ledger and its registry are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from beampermit.errors import BadInput
from beampermit.project import Project
from beampermit.registry.asking import RegistryProcess

OF_CONNECTIONS = re.compile(
    r"(credential|http|protocol|url)\.|core\.(sshcommand|askpass|gitproxy)$|remote\.origin\.proxy"
)
"""Settings of a checkout that decide how git reaches its origin."""


@dataclass(frozen=True)
class Repository:
    """The one with the ledger. `address` is as git has it, or an absolute path."""

    address: str
    settings: tuple[tuple[str, str], ...] = ()
    """Of git: how it reaches the repository, where that is set for one checkout alone."""

    @property
    def name(self) -> str:
        """The address without a login."""
        return re.sub(r"(?<=://)[^/@]*@", "", self.address)

    @classmethod
    def named(cls, name: str, folder: Path | None = None) -> Self:
        """As a person names it: a path counts from `folder`, the working folder if None. Raises `BadInput`."""
        if not name or name.startswith("-"):
            raise BadInput(f"{name!r} is not the address of a repository")
        path = (folder or Path.cwd()) / Path(name).expanduser()
        return cls(str(path.resolve()) if path.exists() else name)

    @classmethod
    def of_project(cls, project: Project) -> Self:
        """The origin of a checkout. Raises `BadInput` where it has none."""
        git = project.git.top
        origin = git.try_("config", "--get", "remote.origin.url").out.strip()
        if not origin:
            raise BadInput(
                "this repository has no remote called origin, where its ledger would be",
                file=git.root,
                hint="git remote add origin URL",
            )
        listed = git.try_("config", "--local", "--list", "-z").out.split("\0")
        pairs = (entry.partition("\n")[::2] for entry in listed)
        settings = tuple((name, value) for name, value in pairs if OF_CONNECTIONS.match(name.lower()))
        return cls(cls.named(origin, git.root).address, settings)


@dataclass(frozen=True)
class Wanted:
    """`state` is the service's own folder: one service at a time, and what it needs to start without a network."""

    model: str
    repository: Repository
    state: Path
    registry: str = ""
    """Address of the registry; where empty, `MLFLOW_TRACKING_URI`. It is asked for bytes that are not here yet, and
    once a minute whether it is there."""
    bundle: Path | None = None
    """Folder or tar that packages are taken from, instead of an index."""
    variant: str = ""
    """Accelerator variant of the lock; where empty, that of this machine."""
    begun: RegistryProcess | None = field(default=None, compare=False)
    """A process that waits to ask the registry for the first version."""
