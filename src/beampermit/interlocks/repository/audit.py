"""The audit of the protected branch: GIT001 and GIT002 in full."""

from __future__ import annotations

from beampermit.errors import BeampermitError
from beampermit.github.client import Client
from beampermit.github.codeowners import CodeOwners
from beampermit.github.context import find_branch, require_client
from beampermit.github.owners import load_owner_errors
from beampermit.github.protection import Protection, load_ledger_gaps, load_protection
from beampermit.github.rulesets import MAIN, read_ruleset
from beampermit.interlocks.repository.ownership import guarded_files, ownership, unknown_owners_gap
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
    owners, unknown = _owners(project, client, protection.branch)
    checks, ledger = protection.check_gaps(permit.context), load_ledger_gaps(client)
    gaps = (*protection.gaps, *checks, *ledger, *filter(None, [owners]))
    notes = [*protection.idle]
    if protection.bypass is None:
        notes.append("GitHub shows the bypass list to administrators only: use the token of an administrator to see it")
    notes += [*unknown, *_drift(project, protection)]
    return Audit(
        repository=client.repository,
        branch=protection.branch,
        api=protection.api,
        check=permit.context,
        gaps=gaps,
        notes=tuple(notes),
    )


def _owners(project: Project, client: Client, branch: str) -> tuple[str, list[str]]:
    """What leaves a file without an owner, and notes on owners whom GitHub does not know."""
    gap, owners = ownership(project).gap, CodeOwners.find(project.git.top.root)
    errors = load_owner_errors(client, branch)
    if errors is None or owners is None:
        return gap, [] if gap else ["GitHub does not say whether it knows the owners: the token may not read contents"]
    gap = gap or unknown_owners_gap(owners, errors, guarded_files(project))
    return gap, [] if gap else [f"{owners.file}: {error}" for error in errors.errors]


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
        if protection.of_organization:
            return []
        return [f"there is no {MAIN}, so the rules of the branch are not under version control"]
    missing = [rule.type for rule in read_ruleset(file).rules if not protection.has(rule.type)]
    return [f"the rule {type} in {MAIN} is not active" for type in missing]
