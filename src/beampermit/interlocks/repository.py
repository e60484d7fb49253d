"""GIT: the repository's own wall: what its workflows run, and who can move it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from beampermit.errors import BadInput
from beampermit.github.workflow import FOLDER, Use, uses
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Finding, Interlock, closed, tripped
from beampermit.project import Project
from beampermit.verdict import Location


@dataclass(frozen=True)
class Workflows:
    """The text of workflow and action files by their path in the repository."""

    texts: dict[str, str]

    @property
    def names(self) -> list[str]:
        """Paths of the workflows alone."""
        return [file for file in self.texts if file.startswith(f"{FOLDER}/")]


@provides
def workflows(project: Project) -> Workflows:
    """Workflows as they stand in the work tree, and every action that git tracks."""
    here = {path.relative_to(project.root).as_posix() for path in (project.root / FOLDER).glob("*.y*ml")}
    actions = {name for name in project.git.tracked() if PurePosixPath(name).name in ("action.yml", "action.yaml")}
    files = (name for name in sorted(here | actions) if (project.root / name).is_file())
    return Workflows({name: (project.root / name).read_text(encoding="utf-8", errors="replace") for name in files})


class GIT003(Interlock):
    "Everything that workflows run from elsewhere is pinned by commit"

    def check(self, workflows: Workflows) -> Finding:
        """A tag or a branch can be moved to other code after the review. Name the full commit and keep the version as
        a comment, `uses: actions/checkout@<40 hex digits> # v6.0.2`; images by `@sha256:...`. Dependabot moves such
        pins in pull requests of its own. Where there is no workflow yet, `beampermit new` in another folder shows the
        short files that call Beampermit's: `.github/workflows/pull-request.yml` and `release.yml`.
        """
        if not workflows.names:
            return tripped(f"there is no workflow in {FOLDER}: nothing judges a pull request", FOLDER)
        found: list[Use] = []
        for file, text in workflows.texts.items():
            try:
                found += uses(text, file)
            except BadInput as error:
                return tripped(f"cannot be read: {error}", Location(file=file, line=error.line))
        loose = [use for use in found if use.defect]
        if loose:
            first, more = loose[0], f" (and {len(loose) - 1} more)" if len(loose) > 1 else ""
            return tripped(
                f"{first.file}:{first.line}: {first.text!r}: {first.defect}{more}",
                *(Location(file=use.file, line=use.line) for use in loose),
                loose=[f"{use.file}:{use.line} {use.text}" for use in loose],
            )
        return closed(f"{len(found)} uses in {len(workflows.texts)} files, each pinned", uses=len(found))
