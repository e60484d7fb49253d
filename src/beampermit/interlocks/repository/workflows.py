"""The workflow and action files of a repository, as text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from beampermit.interlocks.inputs import provides
from beampermit.project import Project
from beampermit.workflows.workflow import FOLDER


@dataclass(frozen=True)
class Workflows:
    """Text by path in the repository."""

    texts: dict[str, str]

    @property
    def names(self) -> list[str]:
        """Paths of the workflows alone."""
        return [file for file in self.texts if file.startswith(f"{FOLDER}/")]


@provides
def workflows(project: Project) -> Workflows:
    """The workflow files of the work tree, and every action file that git tracks."""
    names = {path.relative_to(project.root).as_posix() for path in (project.root / FOLDER).glob("*.y*ml")}
    actions = {name for name in project.git.tracked() if PurePosixPath(name).name in ("action.yml", "action.yaml")}
    files = (name for name in sorted(names | actions) if (project.root / name).is_file())
    return Workflows({name: (project.root / name).read_text(encoding="utf-8", errors="replace") for name in files})
