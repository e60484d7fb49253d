"""The audit of the protected branch: GIT001 and GIT002 in full."""

from __future__ import annotations

from beampermit.errors import BeampermitError
from beampermit.github.context import find_branch, require_client
from beampermit.github.protection import Protection, load_ledger_gaps, load_protection
from beampermit.github.rulesets import MAIN, read_ruleset
from beampermit.interlocks.repository.ownership import ownership
from beampermit.interlocks.repository.workflows import workflows
from beampermit.project import Project
from beampermit.record import Record
from beampermit.workflows.required import RequiredCheck, find_permit
from beampermit.workflows.workflow import own_workflows


class Audit(Record):
    """`gaps` leave the branch unprotected; `notes` do not."""

    repository: str
    branch: str
    api: str
    check: str
    gaps: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def protected(self) -> bool:
        return not self.gaps


def audit(project: Project, repository: str = "", branch: str = "") -> Audit:
    """Raises `Failed` where GitHub's answer does not tell, `BadInput`, `Outside`."""
    client = require_client(project.git, repository)
    permit = _required_check(project)
    protection = load_protection(client, branch or find_branch(project.git))
    owners = ownership(project).gap
    checks, ledger = protection.check_gaps(permit.context), load_ledger_gaps(client)
    gaps = (*protection.gaps, *checks, *ledger, *filter(None, [owners]))
    notes = [*protection.idle]
    if protection.bypass is None:
        notes.append("GitHub shows the bypass list to administrators only: use the token of an administrator to see it")
    notes += _drift(project, protection)
    return Audit(
        repository=client.repository,
        branch=protection.branch,
        api=protection.api,
        check=permit.context,
        gaps=gaps,
        notes=tuple(notes),
    )


def _required_check(project: Project) -> RequiredCheck:
    """As `find_permit`, with a hint for a workflow that it cannot follow."""
    try:
        return find_permit(workflows(project).texts, own_workflows())
    except BeampermitError as error:
        error.hint = error.hint or "beampermit check GIT"
        raise


def _drift(project: Project, protection: Protection) -> list[str]:
    """Rules in the file in git that are not active on the branch."""
    file = project.git.top.root / MAIN
    if not file.is_file():
        return [f"there is no {MAIN}, so the rules of the branch are not under version control"]
    missing = [rule.type for rule in read_ruleset(file).rules if not protection.has(rule.type)]
    return [f"the rule {type} in {MAIN} is not active" for type in missing]
