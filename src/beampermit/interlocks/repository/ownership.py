"""Whether somebody is asked when the files change that judge the model."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from beampermit.github.codeowners import PLACES, CodeOwners, Uncovered
from beampermit.github.rulesets import FOLDER as RULESETS
from beampermit.interlocks.inputs import provides
from beampermit.project import Project
from beampermit.verdicts.verdict import Location
from beampermit.workflows.workflow import FOLDER as WORKFLOWS

GUARDED = (
    "contract.yaml",
    ".dvc/config",
    f"{RULESETS}/*",
    f"{WORKFLOWS}/*",
    ".github/permit.pub",
    ".github/permit.trust.json",
    "*action.yml",
    "dvc.lock",
    "uv.lock",
    "*conda-lock.yml",
    *PLACES,
)
"""Files that judge the model, or say what it is made from."""
NEW = (f"{WORKFLOWS}/new.yml", f"{RULESETS}/new.json")
"""Files that a pull request could add: they need an owner before they are there."""


@dataclass(frozen=True)
class Ownership:
    """What of the guarded files has no owner; `file` is the CODEOWNERS that counts, if there is one."""

    file: str
    uncovered: tuple[Uncovered, ...]

    @property
    def gap(self) -> str:
        """The gap, in a line; nothing where every guarded file has an owner."""
        if not self.file:
            return "there is no CODEOWNERS: nobody is asked when contract and workflows change"
        if not self.uncovered:
            return ""
        names = ", ".join(one.path + (f" (line {one.line})" if one.line else "") for one in self.uncovered)
        return f"{self.file} names no owner for {names}"

    @property
    def places(self) -> tuple[Location, ...]:
        """The lines that take owners away, and the file."""
        if not self.file:
            return ()
        return tuple(Location(file=self.file, line=one.line) for one in self.uncovered)


@provides
def ownership(project: Project) -> Ownership:
    """CODEOWNERS of the work tree, against every guarded file that is there or could be added."""
    found = CodeOwners.find(project.root)
    if found is None:
        return Ownership("", ())
    there = [path for path in project.git.tracked() if any(fnmatchcase(path, guarded) for guarded in GUARDED)]
    return Ownership(found.file, found.uncovered([*there, *NEW]))
