"""What to type after a new project is made."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from beampermit.environments.choice import backend_of
from beampermit.git import Git


def next_steps(project: Path, answers: Mapping[str, str]) -> list[str]:
    """The commands that follow, in their order, each as it can be typed."""
    locked = (project / backend_of(project).lock_file).is_file()
    return [
        f"cd {shlex.quote(str(project))}",
        *([] if knows_who_commits(Git(project)) else who_commits(answers)),
        *([] if locked else ["beampermit env lock"]),
        "beampermit env install",
        "make reproduce",
        "make push",
        'git add --all && git commit -m "The first model"',
        "make check",
    ]


def knows_who_commits(git: Git) -> bool:
    return git.try_("var", "GIT_AUTHOR_IDENT").code == 0


def who_commits(answers: Mapping[str, str]) -> list[str]:
    """The lines that tell git who commits: the maintainer, or words in the place of what nobody has said."""
    name, email = answers["maintainer_name"], answers["maintainer_email"]
    known = "TODO" not in name + email
    name, email = (name, email) if known else ("YOUR NAME", "YOUR.NAME@LAB.ORG")
    return [f"git config user.name {shlex.quote(name)}", f"git config user.email {shlex.quote(email)}"]
