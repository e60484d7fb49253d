"""Whether the files that decide about the model have code owners, who must approve their changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from beampermit.datasets.dvc_lock import pipeline_locks
from beampermit.github.codeowners import PLACES, CodeOwners, Uncovered
from beampermit.github.rulesets import FOLDER as RULESETS
from beampermit.interlocks.inputs import provides
from beampermit.project import Project
from beampermit.verdicts.verdict import Location
from beampermit.workflows.workflow import FOLDER as WORKFLOWS

GUARDED = ("contract.yaml", ".dvc/config", "uv.lock", "*conda-lock.yml")
"""Files of a project that decide about its model, or what it is made from; with the `dvc.lock` of each pipeline."""
SHARED = (
    ".dvc/config",
    f"{RULESETS}/*",
    f"{WORKFLOWS}/*",
    ".github/permit.pub",
    ".github/permit.trust.json",
    "*action.yml",
    *PLACES,
)
"""The same, of the whole repository."""
NEW = (f"{WORKFLOWS}/new.yml", f"{RULESETS}/new.json")
"""Files that a pull request could add, so they need an owner before they exist."""


@dataclass(frozen=True)
class Ownership:
    """The guarded files without an owner; `file` is the CODEOWNERS that GitHub uses, empty if there is none."""

    file: str
    uncovered: tuple[Uncovered, ...]
    placeholders: tuple[tuple[str, int], ...] = ()
    """Owners that nobody has replaced, and their lines."""

    @property
    def gap(self) -> str:
        """One line; empty where every guarded file has an owner."""
        if not self.file:
            return "there is no CODEOWNERS, so nobody must approve changes of contract and workflows"
        if self.placeholders and not self.uncovered:
            names = ", ".join(dict.fromkeys(name for name, _ in self.placeholders))
            lines = ", ".join(str(line) for line in dict.fromkeys(line for _, line in self.placeholders))
            return f"{self.file} still names {names} as an owner, in the lines {lines}: write who it is"
        if not self.uncovered:
            return ""
        paths = (file.path + (f" (line {file.line})" if file.line else "") for file in self.uncovered)
        return f"{self.file} names no owner for {', '.join(paths)}"

    @property
    def fix(self) -> str:
        """What closes the gap."""
        if not self.file:
            return (
                "Write `.github/CODEOWNERS`, with owners for the contract, workflows, rulesets, locks, `.dvc/config` "
                "and itself."
            )
        return (
            f"Edit `{self.file}`: write an account (`@name`), a team (`@organisation/team`) or an address that GitHub "
            "knows as the owner of each of these files, and commit it."
        )

    @property
    def places(self) -> tuple[Location, ...]:
        """The lines of CODEOWNERS that take owners away."""
        if not self.file:
            return ()
        lines = [file.line for file in self.uncovered] or [line for _, line in self.placeholders]
        return tuple(Location(file=self.file, line=line) for line in dict.fromkeys(lines))


@provides
def ownership(project: Project) -> Ownership:
    """Which of the files that decide about the model have an owner in CODEOWNERS."""
    git = project.git
    owners = CodeOwners.find(git.top.root)
    if owners is None:
        return Ownership("", ())
    files = git.tracked()
    locks = pipeline_locks(files)
    own = (f"{git.prefix}{path}" for path in files if path in locks or _matches(path, GUARDED))
    guarded = dict.fromkeys((*own, *(path for path in git.top.tracked() if _matches(path, SHARED))))
    return Ownership(owners.file, owners.uncovered([*guarded, *NEW]), owners.placeholders())


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
