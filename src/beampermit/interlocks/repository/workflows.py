"""GIT003 and GIT004: workflows run the code that was reviewed, and give forks no access."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from beampermit.errors import BadInput, counted, more
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.project import Project
from beampermit.verdicts.verdict import Location
from beampermit.workflows.lint import lint
from beampermit.workflows.uses import Use, find_uses
from beampermit.workflows.workflow import FOLDER, own_workflows

NOTHING = f"there is no workflow in {FOLDER}, so nothing runs; `beampermit init` adds those that check pull requests"


@dataclass(frozen=True)
class Workflows:
    """Text by path in the repository."""

    texts: dict[str, str]


@provides
def workflows(project: Project) -> Workflows:
    """The workflow files of the work tree, and every action file that git tracks."""
    git = project.git.top
    names = {path.relative_to(git.root).as_posix() for path in (git.root / FOLDER).glob("*.y*ml")}
    actions = {name for name in git.tracked() if PurePosixPath(name).name in ("action.yml", "action.yaml")}
    files = (name for name in sorted(names | actions) if (git.root / name).is_file())
    return Workflows({name: (git.root / name).read_text(encoding="utf-8", errors="replace") for name in files})


class GIT004(Interlock):
    "Fork code reaches no self-hosted runner, secret or release"

    of_repository = True
    decided_by = ("commit",)

    needs_contract = False

    def check(self, workflows: Workflows) -> Finding:
        """Each line of the reason says what to write instead. Anybody can open a pull request from a fork, so:

        - a job that it starts uses GitHub's runners, or has the condition
          `github.event.pull_request.head.repo.full_name == github.repository`;
        - secrets are passed by name to the step that needs them, neither inherited nor in the `env:` of a whole job;
        - there is no `pull_request_target`; `workflow_run` does not check out the pull request, nor
          `repository_dispatch` what its payload names, beside a token;
        - no script contains `${{ }}` or runs a title, a branch name or a comment as a program (`eval`, `bash -c`), no
          checkout keeps the token, and no release restores a cache;
        - YAML is plain: no tags, directives, merge keys or repeated anchors, which GitHub may read in another way.

        Reusable workflows are followed where they can be read. `beampermit check GIT003 GIT004` works in any
        repository; `zizmor` also finds other kinds of problem.
        """
        if not workflows.texts:
            return passed(NOTHING)
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
            places = (Location(file=defect.file, line=defect.line, reason=defect.message) for defect in linted.defects)
            return failed(f"{first}{more}", *places, **evidence)
        followed = (
            f"; not followed, being in other repositories: {', '.join(linted.not_followed)}"
            if linted.not_followed
            else ""
        )
        return passed(f"no access for a fork in {counted(len(workflows.texts), 'file')}{followed}", **evidence)


class GIT003(Interlock):
    "Workflows pin every action and image by commit or digest"

    of_repository = True
    decided_by = ("commit",)

    needs_contract = False

    def check(self, workflows: Workflows) -> Finding:
        """A tag or a branch can be moved to other code after the review. Pin actions by the full commit, with the
        version as a comment: `uses: actions/checkout@<40 hex digits> # v6.0.2`. Pin images by digest: `@sha256:...`.
        Dependabot updates such pins in pull requests. What is in this repository needs no pin if it is of the commit
        that runs: `uses: $/actions/mine`, or a job's `uses: ./.github/workflows/train.yml`. A step's `./actions/mine`
        runs what is checked out, which may be another commit."""
        if not workflows.texts:
            return passed(NOTHING)
        uses: list[Use] = []
        for file, text in workflows.texts.items():
            try:
                uses += find_uses(text, file)
            except BadInput as error:
                return failed(f"cannot be read: {error}", Location(file=file, line=error.line))
        unpinned = [use for use in uses if use.defect]
        if unpinned:
            first = unpinned[0]
            reasons = [f"{use.text!r}: {use.defect}" for use in unpinned]
            places = zip(unpinned, reasons, strict=True)
            return failed(
                f"{first.file}:{first.line}: {reasons[0]}{more(len(unpinned) - 1)}",
                *(Location(file=use.file, line=use.line, reason=reason) for use, reason in places),
                unpinned=[f"{use.file}:{use.line} {use.text}" for use in unpinned],
            )
        return passed(
            f"{counted(len(uses), 'use')} in {counted(len(workflows.texts), 'file')}, all pinned", uses=len(uses)
        )
