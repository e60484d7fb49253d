"""GIT004: a stranger's pull request reaches no runner and no secret."""

from __future__ import annotations

from beampermit.errors import BadInput
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.interlocks.repository.workflows import Workflows
from beampermit.verdicts.verdict import Location
from beampermit.workflows.lint import lint
from beampermit.workflows.own import own_workflows
from beampermit.workflows.workflow import FOLDER


class GIT004(Interlock):
    "Fork code cannot reach runners of your own, secrets or releases"

    def check(self, workflows: Workflows) -> Finding:
        """Each line says what to write instead. Anybody can open a pull request, so a job that it starts runs on
        GitHub's machines, or has the condition `github.event.pull_request.head.repo.full_name == github.repository`; no
        secret is inherited or stands in the `env:` of a whole job; no `pull_request_target`; `workflow_run` checks out
        nothing of the pull request; no `${{ }}` inside a script; no token is left in the checkout; a release restores
        no cache. Reusable workflows are followed where they are at hand. `beampermit check GIT003 GIT004` works in any
        repository; `zizmor` sees more of what this does not look for.
        """
        if not workflows.names:
            return failed(f"there is no workflow in {FOLDER}: nothing judges a pull request", FOLDER)
        try:
            found = lint(workflows.texts, own_workflows())
        except BadInput as error:
            return failed(f"cannot be read: {error}", Location(file=error.file or FOLDER, line=error.line))
        evidence = {
            "defects": [f"{defect.rule}: {defect}" for defect in found.defects],
            "elsewhere": found.not_followed,
        }
        if found.defects:
            first, *others = found.defects
            more = f" (and {len(others)} more)" if others else ""
            places = (Location(file=defect.file, line=defect.line) for defect in found.defects)
            return failed(f"{first}{more}", *places, **evidence)
        followed = f"; not at hand and not followed: {', '.join(found.not_followed)}" if found.not_followed else ""
        return passed(f"{len(workflows.texts)} files, no way for a fork{followed}", **evidence)
