"""The files to add: a contract, and files of a project that is generated with answers from the repository."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from beampermit.contract import FILE_NAME
from beampermit.generation import generate
from beampermit.retrofit.skeleton import render_contract
from beampermit.retrofit.survey import Survey

STEPS = {
    "contract": "what the model promises; TODO marks what only you know",
    "workflows": "short workflows that call Beampermit's: they check pull requests and release what is merged",
    "ruleset": "branch protection, which `beampermit protect apply` applies",
    "owners": "who reviews changes to the contract, the workflows and the ruleset",
    "forms": "forms for issues and pull requests, and Dependabot updates of pinned actions",
}
"""Step -> its purpose, in the order of the questions."""
NOBODY = "second-owner@example.org"


@dataclass(frozen=True)
class Addition:
    step: str
    path: str
    text: str


def additions(survey: Survey, repository: str, today: date) -> tuple[Addition, ...]:
    """All files, in the order of `STEPS`; workflows come from the GitHub `repository`."""
    with tempfile.TemporaryDirectory(prefix="beampermit-init-") as folder:
        project = generate(Path(folder), _answers(survey, repository))
        rendered = list(_rendered(project, survey))
    contract = Addition("contract", FILE_NAME, render_contract(survey, today))
    order = list(STEPS)
    return tuple(sorted((contract, *rendered), key=lambda addition: (order.index(addition.step), addition.path)))


def _answers(survey: Survey, repository: str) -> dict[str, str]:
    """Only the answers that the added files depend on."""
    first, second = (*(owner.email for owner in survey.owners), NOBODY, f"another-{NOBODY}")[:2]
    return {
        "project_slug": "temporary-project",
        "maintainer_email": first,
        "deputy_email": second,
        "environment": survey.backend or "uv",
        "beampermit_repository": repository,
    }


def _rendered(project: Path, survey: Survey) -> Iterator[Addition]:
    for file in sorted((project / ".github").rglob("*")):
        if file.is_file():
            path = file.relative_to(project).as_posix()
            text = _set_branch(file.read_text(encoding="utf-8"), survey.branch)
            yield Addition(_step(path), path, _rename_workflow(text))
    owners = (project / "CODEOWNERS").read_text(encoding="utf-8")
    yield Addition("owners", "CODEOWNERS", _without_placeholder(owners, has_owners=bool(survey.owners)))


def _step(path: str) -> str:
    folder = path.split("/")[1]
    return {"workflows": "workflows", "rulesets": "ruleset"}.get(folder, "forms")


def _set_branch(text: str, branch: str) -> str:
    if branch == "main":
        return text
    return re.sub(r"^(\s*branches: )\[main\]$", lambda line: f'{line[1]}["{branch}"]', text, flags=re.MULTILINE)


def _rename_workflow(text: str) -> str:
    """`comment.yml` refers to the workflow by name, and a team may have its own `Pull request`."""
    return re.sub(
        r"^(name: | *workflows: \[)Pull request(\]?)$", r"\1Beampermit pull request\2", text, flags=re.MULTILINE
    )


def _without_placeholder(text: str, *, has_owners: bool) -> str:
    """Remove the second owner if there is only one; comment out every line if there is none."""
    owned = re.sub(rf" *\S*{re.escape(NOBODY)}", "", text)
    return owned if has_owners else re.sub(r"^(?=[*/])", "# TODO names for: ", owned, flags=re.MULTILINE)
