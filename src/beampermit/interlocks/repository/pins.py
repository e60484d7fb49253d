"""GIT003: workflows run the code that was reviewed."""

from __future__ import annotations

from beampermit.errors import BadInput, more
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.interlocks.repository.workflows import Workflows
from beampermit.verdicts.verdict import Location
from beampermit.workflows.uses import Use, find_uses
from beampermit.workflows.workflow import FOLDER


class GIT003(Interlock):
    "Workflows pin every action and image by commit or digest"

    def check(self, workflows: Workflows) -> Finding:
        """A tag or a branch can be moved to other code after the review. Pin actions by the full commit, with the
        version as a comment: `uses: actions/checkout@<40 hex digits> # v6.0.2`. Pin images by digest: `@sha256:...`.
        Dependabot updates such pins in pull requests. If there are no workflows yet, run `beampermit init`: it adds the
        short files that call Beampermit's workflows, and changes none of yours."""
        if not workflows.names:
            return failed(f"there is no workflow in {FOLDER}, so pull requests are not checked", FOLDER)
        uses: list[Use] = []
        for file, text in workflows.texts.items():
            try:
                uses += find_uses(text, file)
            except BadInput as error:
                return failed(f"cannot be read: {error}", Location(file=file, line=error.line))
        unpinned = [use for use in uses if use.defect]
        if unpinned:
            first = unpinned[0]
            return failed(
                f"{first.file}:{first.line}: {first.text!r}: {first.defect}{more(len(unpinned) - 1)}",
                *(Location(file=use.file, line=use.line) for use in unpinned),
                unpinned=[f"{use.file}:{use.line} {use.text}" for use in unpinned],
            )
        return passed(f"{len(uses)} uses in {len(workflows.texts)} files, all pinned", uses=len(uses))
