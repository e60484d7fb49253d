"""`beampermit update`: what is newer, what it changes, and writing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from packaging.version import InvalidVersion, Version

from beampermit.errors import BadInput, counted
from beampermit.generation.answers import Asker
from beampermit.git import Git, find_top
from beampermit.progress import Progress, silent
from beampermit.project import find_root
from beampermit.reading import UPGRADE
from beampermit.updating.answering import complete_answers
from beampermit.updating.changelog import changes_between
from beampermit.updating.migrations import current_record
from beampermit.updating.recorded import ANSWERS, Recorded
from beampermit.updating.source import Source, at, installed
from beampermit.updating.staged import Staged, apply, place_of, read_staged, refuse_other_edits, stage
from beampermit.updating.working_out import worked_out

NONE: Mapping[str, str] = MappingProxyType({})
Difference = Literal["same", "newer", "older"]


@dataclass(frozen=True)
class Outcome:
    """`staged` is None where there is nothing to do; `defaults` are new questions that nobody was asked."""

    old: str
    new: str
    difference: Difference
    staged: Staged | None = None
    changes: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)


def find_project(start: Path) -> Git:
    """git in the nearest folder with a record, else in the project's. Raises `BadInput`."""
    start = start.resolve()
    top = find_top(start)
    folders = (start, *start.parents[: len(start.relative_to(top).parts)])
    return Git(next((folder for folder in folders if (folder / ANSWERS).is_file()), find_root(start)))


def check(git: Git, revision: str = "") -> Outcome:
    """What an update would do; nothing is written, and nobody is asked."""
    recorded = current_record(git.root)
    with source_of(recorded, revision) as source:
        difference = compare(recorded, source)
        if difference == "same" or (difference == "older" and not revision):
            return Outcome(recorded.name, source.name, difference)
        answers, defaults = complete_answers(recorded.answers, NONE, source, None)
        with git.apart() as apart, worked_out(apart, recorded, source, answers, asked=bool(revision)) as (staged, _):
            return _outcome(recorded, source, difference, staged, defaults)


def update(
    git: Git,
    revision: str = "",
    *,
    given: Mapping[str, str] = NONE,
    ask: Asker | None = None,
    progress: Progress = silent,
) -> Outcome:
    """Merge the template into the project; an update that was interrupted is finished first, and alone.

    Raises `BadInput` for a work tree with changes, `Conflict` for a file in the way, both before anything is written.
    """
    if interrupted := read_staged(git):
        progress("finishing the update that was interrupted")
        apply(git, interrupted)
        return Outcome(interrupted.old, interrupted.new, "newer", interrupted)
    refuse_unclean(git)
    recorded = current_record(git.root)
    with source_of(recorded, revision) as source:
        difference = compare(recorded, source)
        if difference == "older" and not revision:
            raise BadInput(
                f"the project has the template of {recorded.name}, and this installation an older one, {source.name}",
                hint=UPGRADE,
            )
        if difference == "same" and not given:
            return Outcome(recorded.name, source.name, difference)
        answers, defaults = complete_answers(recorded.answers, given, source, ask)
        progress("merging the template")
        with worked_out(git, recorded, source, answers, asked=bool(revision)) as (staged, files):
            refuse_other_edits(git.root, staged, place_of(git))
            stage(git, staged, files)
            apply(git, staged)
            return _outcome(recorded, source, difference, staged, defaults)


def _outcome(
    recorded: Recorded, source: Source, difference: Difference, staged: Staged, defaults: Mapping[str, str]
) -> Outcome:
    changes = tuple(changes_between(source.changes, recorded.version, source.version))
    return Outcome(recorded.name, source.name, difference, staged, changes, defaults)


@contextmanager
def source_of(recorded: Recorded, revision: str) -> Iterator[Source]:
    """The installed template, or that of a revision of the template's repository."""
    with at(revision, recorded.template) if revision else nullcontext(installed()) as source:
        yield source


def compare(recorded: Recorded, source: Source) -> Difference:
    """The template against the recorded one: by its content where that is recorded, else by its commit."""
    if recorded.digest == source.digest or (
        not recorded.digest and recorded.commit and recorded.commit == source.commit
    ):
        return "same"
    try:
        older = Version(source.version) < Version(recorded.version)
    except InvalidVersion:
        older = False
    return "older" if older else "newer"


def refuse_unclean(git: Git) -> None:
    """Raise `BadInput` where git has not kept what an update would write over."""
    git.head()
    listed = git("status", "--porcelain", "-z", "--untracked-files=no", "--no-renames", "--", ".")
    changed = [entry[3:] for entry in listed.split("\0") if entry]
    if changed:
        raise BadInput(
            f"{counted(len(changed), 'file')} changed and not committed, such as {changed[0]}: an update begins from a "
            "commit, so that nothing is lost",
            file=git.root,
            hint="commit them, or put them away with `git stash`",
        )
