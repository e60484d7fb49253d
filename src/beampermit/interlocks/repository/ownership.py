"""Whether the files that decide about the model have code owners, who must approve their changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from beampermit.datasets.dvc_lock import pipeline_locks
from beampermit.github.codeowners import PLACES, CodeOwners, Uncovered
from beampermit.github.owners import OwnerErrors
from beampermit.github.rulesets import FOLDER as RULESETS
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.own.lock import FILE as OWN
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
    OWN,
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
    owners = CodeOwners.find(project.git.top.root)
    if owners is None:
        return Ownership("", ())
    return Ownership(owners.file, owners.uncovered(guarded_files(project)), owners.placeholders())


def guarded_files(project: Project) -> tuple[str, ...]:
    """Paths in the repository that need an owner."""
    git = project.git
    files = git.tracked()
    return guarded_of(files, git.prefix, files if git.top is git else git.top.tracked())


def guarded_of(own: Sequence[str], prefix: str, every: Sequence[str]) -> tuple[str, ...]:
    """As `guarded_files`: of the `own` paths of a project whose folder is `prefix`, and of `every` path."""
    locks = pipeline_locks(own)
    mine = (f"{prefix}{path}" for path in own if path in locks or _matches(path, GUARDED))
    return tuple(dict.fromkeys((*mine, *(path for path in every if _matches(path, SHARED)), *NEW)))


def unknown_owners_gap(owners: CodeOwners, errors: OwnerErrors, guarded: Sequence[str]) -> str:
    """One line on files whose only owners GitHub does not know; empty where each file has one that it knows."""
    before = {file.path for file in owners.uncovered(guarded)}
    lost = [file for file in errors.leave(owners).uncovered(guarded) if file.path not in before]
    if not lost:
        return ""
    paths = ", ".join(file.path for file in lost)
    return f"GitHub knows no owner of {paths}; {owners.file}: {'; '.join(map(str, errors.errors))}"


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
