"""What is added: the contract, and files of a generated project under the answers that the repository gives."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from beampermit.contract import FILE_NAME
from beampermit.generation import generate
from beampermit.retrofit.skeleton import skeleton
from beampermit.retrofit.survey import Survey

STEPS = {
    "contract": "what the model promises, with a mark wherever only you know it",
    "workflows": "short callers of Beampermit's: pull requests are judged, what is merged is released",
    "ruleset": "protection of the branch, to be applied with `beampermit protect apply`",
    "owners": "who looks at what judges the model",
    "forms": "forms for issues and pull requests, and pins that are kept up to date",
}
"""Step -> what it is for, in the order they are asked."""
NOBODY = "second-owner@example.org"


@dataclass(frozen=True)
class Addition:
    """A file that is to be there: its path and text."""

    step: str
    path: str
    text: str


def additions(found: Survey, repository: str, today: date) -> tuple[Addition, ...]:
    """Everything that Beampermit wants to be in a repository, in the order of `STEPS`."""
    with tempfile.TemporaryDirectory(prefix="beampermit-init-") as folder:
        project = generate(Path(folder), _answers(found, repository))
        rendered = list(_rendered(project, found))
    first = Addition("contract", FILE_NAME, skeleton(found, today))
    order = list(STEPS)
    return tuple(sorted((first, *rendered), key=lambda one: (order.index(one.step), one.path)))


def _answers(found: Survey, repository: str) -> dict[str, str]:
    """For the files that are taken; all others are thrown away."""
    first, second = (*(owner.email for owner in found.owners), NOBODY, f"another-{NOBODY}")[:2]
    return {
        "project_slug": "thrown-away-after-rendering",
        "maintainer_email": first,
        "deputy_email": second,
        "environment": found.backend or "uv",
        "beampermit_repository": repository,
    }


def _rendered(project: Path, found: Survey) -> Iterator[Addition]:
    for file in sorted((project / ".github").rglob("*")):
        if file.is_file():
            path = file.relative_to(project).as_posix()
            yield Addition(_step(path), path, _named(_on_branch(file.read_text(encoding="utf-8"), found.branch)))
    owners = (project / "CODEOWNERS").read_text(encoding="utf-8")
    yield Addition("owners", "CODEOWNERS", _without_nobody(owners, known=bool(found.owners)))


def _step(path: str) -> str:
    folder = path.split("/")[1]
    return {"workflows": "workflows", "rulesets": "ruleset"}.get(folder, "forms")


def _on_branch(text: str, branch: str) -> str:
    """Workflows name the branch that they judge for."""
    if branch == "main":
        return text
    return re.sub(r"^(\s*branches: )\[main\]$", lambda line: f'{line[1]}["{branch}"]', text, flags=re.MULTILINE)


def _named(text: str) -> str:
    """`comment.yml` finds the workflow that judged by its name, and a team may call its own `Pull request`."""
    return re.sub(
        r"^(name: | *workflows: \[)Pull request(\]?)$", r"\1Beampermit pull request\2", text, flags=re.MULTILINE
    )


def _without_nobody(text: str, *, known: bool) -> str:
    """Owners of whom only one is known, or none: then every line waits for names."""
    kept = re.sub(rf" *\S*{re.escape(NOBODY)}", "", text)
    return kept if known else re.sub(r"^(?=[*/])", "# TODO names for: ", kept, flags=re.MULTILINE)
