"""What stands on this machine: programs, the locked environment, git's hooks."""

from __future__ import annotations

import os
from pathlib import Path

from beampermit.doctor.results import Found, missing, there, unseen
from beampermit.doctor.subject import Subject
from beampermit.environments.choice import backend_of
from beampermit.environments.environment import prefix_of, python_in, stamp_of
from beampermit.errors import BeampermitError
from beampermit.git import Git, version_in
from beampermit.processes import run
from beampermit.rehearsal.runner import find_act
from beampermit.updating.trees import OLDEST_GIT as MERGING_GIT

OLDEST_GIT: tuple[int, int] = (2, 31)
"""What is needed at all; `beampermit update` needs more."""
HOOKS = ".pre-commit-config.yaml"


def programs(_: Subject) -> Found:
    """git is new enough; act is for rehearsals alone."""
    from importlib.metadata import version

    git = run(["git", "--version"], cwd=Path.cwd()).out.strip().removeprefix("git version ")
    numbers = version_in(git) or MERGING_GIT
    if numbers < OLDEST_GIT:
        oldest = ".".join(map(str, OLDEST_GIT))
        return missing(f"git is {git}, older than {oldest}", "install a newer git from your system's packages")
    try:
        find_act()
        act = "act is there"
    except BeampermitError:
        act = "act is not there: only beampermit rehearse needs it"
    update = "" if numbers >= MERGING_GIT else f" (beampermit update needs {'.'.join(map(str, MERGING_GIT))})"
    return there(f"git {git}{update}, dvc {version('dvc')}, {act}")


def environment(subject: Subject) -> Found:
    """The environment is there, and of the lock."""
    assert subject.project is not None  # noqa: S101 - `examine` sees to that
    root = subject.project.root
    backend = backend_of(root)
    if not (root / backend.lock_file).is_file():
        return missing(f"there is no {backend.lock_file}", "beampermit env lock")
    lock, prefix = backend.read(root), prefix_of(root)
    if not python_in(prefix).exists():
        return missing(f"no environment is installed at {prefix}", "beampermit env install")
    stamp = stamp_of(prefix)
    digests = {each.digest for each in lock.all}
    if not stamp:
        return missing(f"the environment at {prefix} is not finished, or not ours", "beampermit env install")
    if stamp.partition(" ")[0] not in digests:
        return missing(f"the environment at {prefix} is of another lock", "beampermit env install")
    return there(f"the environment at {prefix} is of {backend.lock_file}")


def hooks(subject: Subject) -> Found:
    """A commit runs the hooks, by pre-commit or anything else that git starts."""
    project = subject.project
    assert project is not None  # noqa: S101 - `examine` sees to that
    top = project.git.top
    if not any((folder / HOOKS).is_file() for folder in (project.root, top.root)):
        return unseen(f"there is no {HOOKS}, so no hooks are asked for")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        return there("a job makes no commits")
    file = hook_file(top)
    if file.is_file() and os.access(file, os.X_OK):
        return there("git runs hooks at each commit")
    return missing("git runs no hooks at a commit", "beampermit env run -- pre-commit install")


def hook_file(git: Git) -> Path:
    """Where git looks for it, by `core.hooksPath` and in work trees that share a repository too."""
    folder = git.try_("rev-parse", "--path-format=absolute", "--git-path", "hooks").out.removesuffix("\n")
    return Path(folder) / "pre-commit"
