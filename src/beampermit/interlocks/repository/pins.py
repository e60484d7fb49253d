"""GIT003: what workflows run is what was reviewed."""

from __future__ import annotations

from beampermit.errors import BadInput, more
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.interlocks.repository.workflows import Workflows
from beampermit.verdicts.verdict import Location
from beampermit.workflows.uses import Use, find_uses
from beampermit.workflows.workflow import FOLDER


class GIT003(Interlock):
    "Everything that workflows run from elsewhere is pinned by commit"

    def check(self, workflows: Workflows) -> Finding:
        """A tag or a branch can be moved to other code after the review. Name the full commit and keep the version as
        a comment, `uses: actions/checkout@<40 hex digits> # v6.0.2`; images by `@sha256:...`. Dependabot moves such
        pins in pull requests of its own. Where there is no workflow yet, `beampermit init` adds the short files that
        call Beampermit's, and touches none of yours.
        """
        if not workflows.names:
            return failed(f"there is no workflow in {FOLDER}: nothing judges a pull request", FOLDER)
        found: list[Use] = []
        for file, text in workflows.texts.items():
            try:
                found += find_uses(text, file)
            except BadInput as error:
                return failed(f"cannot be read: {error}", Location(file=file, line=error.line))
        loose = [use for use in found if use.defect]
        if loose:
            first = loose[0]
            return failed(
                f"{first.file}:{first.line}: {first.text!r}: {first.defect}{more(len(loose) - 1)}",
                *(Location(file=use.file, line=use.line) for use in loose),
                loose=[f"{use.file}:{use.line} {use.text}" for use in loose],
            )
        return passed(f"{len(found)} uses in {len(workflows.texts)} files, each pinned", uses=len(found))
