"""GIT001 and GIT002: nobody changes the protected branch without its reviewers or without the permit."""

from __future__ import annotations

import os

from beampermit.github.client import Client
from beampermit.github.codeowners import CodeOwners
from beampermit.github.context import find_branch, find_client, in_workflow
from beampermit.github.owners import load_owner_errors
from beampermit.github.protection import HINT, Protection, load_ledger_gaps, load_protection
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Finding, Interlock, NotJudgedHere, failed, passed
from beampermit.interlocks.repository.ownership import Ownership, guarded_files, unknown_owners_gap
from beampermit.interlocks.repository.workflows import Workflows
from beampermit.project import Project
from beampermit.verdicts.verdict import Location
from beampermit.workflows.required import find_permit
from beampermit.workflows.workflow import own_workflows


class BranchProtection:
    """The rules that GitHub enforces on the branch; loaded once, and only if an interlock gets that far."""

    def __init__(self, project: Project):
        self._git = project.git
        self._loaded: Protection | None = None

    def load(self) -> Protection:
        """Raises `NotJudgedHere` where GitHub cannot be asked, `Failed` where its answer does not tell, `Outside`."""
        if self._loaded is None:
            self._loaded = load_protection(self._client(), find_branch(self._git))
        return self._loaded

    def load_ledger_gaps(self) -> tuple[str, ...]:
        """What the ledger's branch lacks. Raises as `load`."""
        return load_ledger_gaps(self._client())

    def load_unknown_owners(self, project: Project) -> str:
        """Which guarded files have only owners whom GitHub does not know; empty where it does not tell.

        Of a fork's commit, GitHub only knows the one that it merged: the job's. Raises as `load`.
        """
        owners = CodeOwners.find(project.git.top.root)
        revision = os.environ.get("GITHUB_SHA", "") if in_workflow() else find_branch(self._git)
        errors = load_owner_errors(self._client(), revision) if owners else None
        return unknown_owners_gap(owners, errors, guarded_files(project)) if owners and errors else ""

    def _client(self) -> Client:
        client = find_client(self._git)
        if client is None:
            raise NotJudgedHere("only GitHub knows this, and origin is not on GitHub")
        if not client.token and not in_workflow():
            raise NotJudgedHere(
                f"only GitHub knows this, and GITHUB_TOKEN is not set, which {client.repository} needs",
                hint="beampermit protect audit",
            )
        return client


@provides
def branch_protection(project: Project) -> BranchProtection:
    """The rules that GitHub enforces on the protected branch; `load()` asks GitHub."""
    return BranchProtection(project)


class GIT001(Interlock):
    "The branch is protected, and code owners approve changes"

    of_repository = True

    def check(self, project: Project, ownership: Ownership, branch_protection: BranchProtection) -> Finding:
        """Whoever can push to the branch can put any model on the machine, and whoever can set the ledger's branch back
        can undo a rollback. Ask an administrator of the repository to run `beampermit protect apply`, which uploads
        `main.json` and `ledger.json` of `.github/rulesets/`. `beampermit protect audit` shows what is active.
        `CODEOWNERS` must name owners for the contract, workflows, rulesets, locks, `.dvc/config` and itself, of
        whom GitHub knows one. Without a token this check is skipped on a laptop and runs in CI."""
        if ownership.gap:
            return failed(ownership.gap, *ownership.places, fix=ownership.fix)
        rules = branch_protection.load()
        ledger = branch_protection.load_ledger_gaps()
        if rules.gaps or ledger:
            idle = f" ({', '.join(rules.idle)})" if rules.idle else ""
            start = (
                f"{rules.branch} is not protected{rules.source}: {'; '.join(rules.gaps)}{idle}; " if rules.gaps else ""
            )
            return failed(
                f"{start}{'; '.join((*ledger, ''))}run `{HINT}`",
                gaps=(*rules.gaps, *ledger),
                api=rules.api,
            )
        if unknown := branch_protection.load_unknown_owners(project):
            return failed(unknown, Location(file=ownership.file), fix=ownership.fix)
        unseen = "" if rules.bypass is not None else "; only an administrator's token shows who may bypass the rules"
        return passed(
            f"{rules.branch}: pull requests, approved by code owners, no force-push, no deletion{rules.source}{unseen}",
            api=rules.api,
            repository=rules.repository,
        )


class GIT002(Interlock):
    "Only GitHub Actions can report the required check `permit`"

    of_repository = True
    decided_by = ("commit", "github")

    def check(self, workflows: Workflows, branch_protection: BranchProtection) -> Finding:
        """The branch must require the check `<calling job> / permit` of `.github/workflows/pull-request.yml`, and
        accept it from GitHub Actions only; otherwise any program with a token can report it. Ask an administrator to
        run `beampermit protect apply`. If you rename the calling job, change the name in `.github/rulesets/main.json`
        too."""
        permit = find_permit(workflows.texts, own_workflows())
        rules = branch_protection.load()
        gaps = rules.check_gaps(permit.context)
        if not gaps and rules.has("merge_queue") and not permit.in_merge_queue:
            gaps = (f"its merge queue waits for {permit.context!r}, and {permit.file} does not run on merge_group",)
        if gaps:
            return failed(f"{rules.branch}{rules.source}: {'; '.join(gaps)}", Location(file=permit.file))
        return passed(f"{permit.context!r} is required, from GitHub Actions only{rules.source}", api=rules.api)
