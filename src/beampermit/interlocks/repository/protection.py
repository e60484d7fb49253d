"""GIT001 and GIT002: nobody moves the protected branch past its reviewers, or past the permit."""

from __future__ import annotations

from beampermit.github.context import find_branch, find_client, in_workflow
from beampermit.github.protection import HINT, Protection, load_protection
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Finding, Interlock, NotJudgedHere, failed, passed
from beampermit.interlocks.repository.ownership import Ownership
from beampermit.interlocks.repository.workflows import Workflows
from beampermit.project import Project
from beampermit.verdicts.verdict import Location
from beampermit.workflows.own import own_workflows
from beampermit.workflows.required import find_permit


class BranchProtection:
    """What GitHub enforces on the branch that this work tree is judged for: asked once, and only if somebody looks."""

    def __init__(self, project: Project):
        self._git = project.git
        self._seen: Protection | None = None

    def look(self) -> Protection:
        """The answer. Raises `Elsewhere` where no GitHub is to be asked, `Failed` for no clear answer, `Outside`."""
        if self._seen is None:
            self._seen = self._look()
        return self._seen

    def _look(self) -> Protection:
        client = find_client(self._git)
        if client is None:
            raise NotJudgedHere("GitHub answers this, and origin is not there", hint="beampermit protect audit --help")
        if not client.token and not in_workflow():
            raise NotJudgedHere(
                f"GitHub answers this, and no GITHUB_TOKEN is set to ask it about {client.repository}",
                hint="beampermit protect audit",
            )
        return load_protection(client, find_branch(self._git))


@provides
def branch_protection(project: Project) -> BranchProtection:
    """GitHub, to be asked about the protected branch."""
    return BranchProtection(project)


class GIT001(Interlock):
    "Active rules protect the branch, and its owners are asked"

    def check(self, ownership: Ownership, branch_protection: BranchProtection) -> Finding:
        """Whoever can push to the branch can put any model on the machine. An administrator runs
        `beampermit protect apply`, which brings `.github/rulesets/main.json` to GitHub; `beampermit protect audit`
        shows what is active. `CODEOWNERS` must name owners for the contract, workflows, rulesets, locks, `.dvc/config`
        and itself, or nobody is asked when they change. On a laptop without a token this is skipped: GitHub alone
        knows.
        """
        if ownership.gap:
            return failed(ownership.gap, *ownership.places)
        found = branch_protection.look()
        if found.gaps:
            why = f" ({', '.join(found.idle)})" if found.idle else ""
            return failed(
                f"{found.branch} is not protected{found.source}: {'; '.join(found.gaps)}{why}; run `{HINT}`",
                gaps=found.gaps,
                api=found.api,
            )
        unseen = "" if found.bypass is not None else "; who may bypass them only an administrator's token can see"
        return passed(
            f"{found.branch}: pull requests, approved by code owners, no force-push, no deletion{found.source}{unseen}",
            api=found.api,
            repository=found.repository,
        )


class GIT002(Interlock):
    "The required check is `permit`, and only GitHub Actions can report it"

    def check(self, workflows: Workflows, branch_protection: BranchProtection) -> Finding:
        """The branch must require the check that the workflow of pull requests reports, pinned to GitHub Actions, or
        any program with a token can report it: `beampermit protect apply` brings `.github/rulesets/main.json` to
        GitHub. The check's name is `<calling job> / permit`: where the job in `.github/workflows/pull-request.yml` is
        renamed, the name in the ruleset follows.
        """
        permit = find_permit(workflows.texts, own_workflows())
        found = branch_protection.look()
        gaps = found.check_gaps(permit.context)
        if not gaps and found.has("merge_queue") and not permit.in_merge_queue:
            gaps = (f"its merge queue waits for {permit.context!r}, and {permit.file} does not run on merge_group",)
        if gaps:
            return failed(f"{found.branch}{found.source}: {'; '.join(gaps)}", Location(file=permit.file))
        return passed(f"{permit.context!r} is required and pinned to GitHub Actions{found.source}", api=found.api)
