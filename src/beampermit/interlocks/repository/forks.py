"""GIT004: a pull request from a fork reaches no self-hosted runner and no secret."""

from __future__ import annotations

from beampermit.errors import BadInput
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.interlocks.repository.workflows import Workflows
from beampermit.verdicts.verdict import Location
from beampermit.workflows.lint import lint
from beampermit.workflows.own import own_workflows
from beampermit.workflows.workflow import FOLDER


class GIT004(Interlock):
    "Fork code reaches no self-hosted runner, secret or release"

    def check(self, workflows: Workflows) -> Finding:
        """Each line of the reason says what to write instead. Anybody can open a pull request from a fork, so:

        - a job that it starts uses GitHub's runners, or has the condition
          `github.event.pull_request.head.repo.full_name == github.repository`;
        - secrets are passed by name to the step that needs them, neither inherited nor in the `env:` of a whole job;
        - there is no `pull_request_target`, and `workflow_run` does not check out the pull request;
        - no script contains `${{ }}`, no checkout keeps the token, and no release restores a cache.

        Reusable workflows are followed where they can be read. `beampermit check GIT003 GIT004` works in any
        repository; `zizmor` finds more, of other kinds.
        """
        if not workflows.names:
            return failed(f"there is no workflow in {FOLDER}, so pull requests are not checked", FOLDER)
        try:
            linted = lint(workflows.texts, own_workflows())
        except BadInput as error:
            return failed(f"cannot be read: {error}", Location(file=error.file or FOLDER, line=error.line))
        evidence = {
            "defects": [f"{defect.rule}: {defect}" for defect in linted.defects],
            "not_followed": linted.not_followed,
        }
        if linted.defects:
            first, *others = linted.defects
            more = f" (and {len(others)} more)" if others else ""
            places = (Location(file=defect.file, line=defect.line) for defect in linted.defects)
            return failed(f"{first}{more}", *places, **evidence)
        followed = (
            f"; not followed, being in other repositories: {', '.join(linted.not_followed)}"
            if linted.not_followed
            else ""
        )
        return passed(f"{len(workflows.texts)} files give a fork no access{followed}", **evidence)
