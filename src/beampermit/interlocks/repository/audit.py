"""The audit of the protected branch: GIT001 and GIT002 with everything they leave out of one line."""

from __future__ import annotations

from beampermit.errors import BeampermitError
from beampermit.github.context import find_branch, require_client
from beampermit.github.protection import Protection, load_protection
from beampermit.github.rulesets import MAIN, read_ruleset
from beampermit.interlocks.repository.ownership import ownership
from beampermit.interlocks.repository.workflows import workflows
from beampermit.project import Project
from beampermit.record import Record
from beampermit.workflows.own import own_workflows
from beampermit.workflows.required import RequiredCheck, find_permit


class Audit(Record):
    """What was found; `gaps` leave the branch unprotected, `notes` are worth knowing."""

    repository: str
    branch: str
    api: str
    check: str
    gaps: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def protected(self) -> bool:
        """Whether there is no gap."""
        return not self.gaps


def audit(project: Project, repository: str = "", branch: str = "") -> Audit:
    """Ask GitHub, and compare. Raises `Failed` for no clear answer, `BadInput`, `Outside`."""
    client = require_client(project.git, repository)
    permit = _required_check(project)
    found = load_protection(client, branch or find_branch(project.git))
    owners = ownership(project).gap
    gaps = (*found.gaps, *found.check_gaps(permit.context), *filter(None, [owners]))
    notes = [*found.idle]
    if found.bypass is None:
        notes.append("who may bypass the rules is shown to administrators alone: run this with such a token")
    notes += _drift(project, found)
    return Audit(
        repository=client.repository,
        branch=found.branch,
        api=found.api,
        check=permit.context,
        gaps=gaps,
        notes=tuple(notes),
    )


def _required_check(project: Project) -> RequiredCheck:
    """What `find_permit` finds; the interlocks on the repository say more about a workflow that it cannot follow."""
    try:
        return find_permit(workflows(project).texts, own_workflows())
    except BeampermitError as error:
        error.hint = error.hint or "beampermit check GIT"
        raise


def _drift(project: Project, found: Protection) -> list[str]:
    """Rules that the file in git has, and the branch has not."""
    if not (project.root / MAIN).is_file():
        return [f"there is no {MAIN}: what protects the branch is written down nowhere"]
    missing = [rule.type for rule in read_ruleset(project.root / MAIN).rules if not found.has(rule.type)]
    return [f"{MAIN} has {type}, which is not active" for type in missing]
