"""ENV: the model's software is locked, and the lock is what runs."""

from __future__ import annotations

from beampermit.environments import Environment
from beampermit.environments.backend import Backend, Lock, Specification
from beampermit.environments.choice import backend_of
from beampermit.environments.environment import environment_of
from beampermit.errors import BadInput
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Absent
from beampermit.project import Project


@provides
def backend(project: Project) -> Backend:
    """The kind of lock that the project is written for."""
    return backend_of(project.root)


@provides
def specification(project: Project, backend: Backend) -> Specification:
    """What the project asks for."""
    return backend.specification(project.root)


@provides
def lock(project: Project, backend: Backend) -> Lock:
    """The lock in the work tree."""
    if not (project.root / backend.lock_file).is_file():
        raise Absent(f"there is no {backend.lock_file}", hint="beampermit env lock")
    return backend.read(project.root)


@provides
def environment(project: Project) -> Environment:
    """The installed environment that the project's own code runs in."""
    try:
        return environment_of(project.root)
    except BadInput as error:
        raise Absent(error.message, hint=error.hint) from None
