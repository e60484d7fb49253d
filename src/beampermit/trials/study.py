"""The study of a project as it is now, in its storage: opened to go on, or read to be shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.project import Project
from beampermit.trials.records import Study

if TYPE_CHECKING:
    import optuna

FOLDER = "trials"
"""In the project's own folder: a folder for each study."""


def read_study(project: Project, name: str | None = None, storage: str | None = None) -> Study:
    """A study with its trials: the one called `name`, else that of the data, code, lock and space as they are now.

    `storage` is the address of a database, else the user's configuration says which, else it is a file in the project's
    own folder. Raises `BadInput` where there is no such study, and says which there are and what differs; `Outside`
    where the database does not answer.
    """
    raise NotImplementedError


def list_studies(project: Project, storage: str | None = None) -> tuple[str, ...]:
    """Names of the project's studies, the newest first."""
    raise NotImplementedError


def folder_of(project: Project, name: str) -> Path:
    """Where the files of a study lie."""
    return project.own / FOLDER / name


def open_study(project: Project, storage: str | None = None) -> tuple[Study, optuna.Study]:
    """The study of the project as it is now, made if there is none; to ask and to tell."""
    raise NotImplementedError
