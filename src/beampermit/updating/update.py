"""`beampermit update`: what is newer, what it changes, and writing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from packaging.version import InvalidVersion, Version

from beampermit.errors import BadInput
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
from beampermit.updating.staged import (
    Staged,
    alone,
    apply,
    place_of,
    read_staged,
    refuse_locked_index,
    refuse_other_edits,
    stage,
)
from beampermit.updating.unclean import refuse_hidden_edits, refuse_unclean
from beampermit.updating.working_out import worked_out

NONE: Mapping[str, str] = MappingProxyType({})
Difference = Literal["same", "newer", "older"]


@dataclass(frozen=True)
class Outcome:
    """`staged` is None where there is nothing to do; `defaults` are new questions that nobody was asked.

    `unfinished`: it is an update that was interrupted.
    """

    old: str
    new: str
    difference: Difference
    staged: Staged | None = None
    changes: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    unfinished: bool = False


def find_project(start: Path) -> Git:
    """git in the nearest folder with a record, else in the project's. Raises `BadInput`."""
    start = start.resolve()
    top = find_top(start)
    folders = (start, *start.parents[: len(start.relative_to(top).parts)])
    return Git(next((folder for folder in folders if (folder / ANSWERS).is_file()), find_root(start)))


def check(git: Git, revision: str = "", *, given: Mapping[str, str] = NONE) -> Outcome:
    """What an update would do; nothing is written, and nobody is asked."""
    if interrupted := read_staged(git):
        return _unfinished(interrupted)
    recorded = current_record(git.root)
    with source_of(recorded, revision) as source:
        difference = compare(recorded, source)
        if (difference == "same" and not given) or (difference == "older" and not revision):
            return Outcome(recorded.name, source.name, difference)
        answers, defaults = complete_answers(recorded.answers, given, source, None)
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

    Raises `BadInput` for a work tree with changes, `Conflict` for a file in the way and beside another update, all
    before anything is written.
    """
    with alone(git):
        interrupted = read_staged(git)
        if not interrupted:
            return _update(git, revision, given, ask, progress)
        if revision or given:
            raise BadInput(
                f"an update to the template of {interrupted.new} is not finished: it is first, and takes no other "
                "version and no answers",
                file=git.root,
                hint="beampermit update",
            )
        progress("finishing the update that was interrupted")
        apply(git, interrupted)
        return _unfinished(interrupted)


def _unfinished(staged: Staged) -> Outcome:
    return Outcome(staged.old, staged.new, "newer", staged, unfinished=True)


def _update(git: Git, revision: str, given: Mapping[str, str], ask: Asker | None, progress: Progress) -> Outcome:
    refuse_unclean(git)
    refuse_locked_index(git)
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
            refuse_hidden_edits(git, staged)
            refuse_other_edits(git.root, staged, place_of(git))
            stage(git, staged, files)
            apply(git, staged)
            return _outcome(recorded, source, difference, staged, defaults)


def _outcome(
    recorded: Recorded, source: Source, difference: Difference, staged: Staged, defaults: Mapping[str, str]
) -> Outcome:
    changes = tuple(changes_between(source.changes, recorded.since, source.version))
    return Outcome(recorded.name, source.name, difference, staged, changes, defaults)


@contextmanager
def source_of(recorded: Recorded, revision: str) -> Iterator[Source]:
    """The installed template, or that of a revision of the template's repository."""
    with at(revision, recorded.template) if revision else nullcontext(installed()) as source:
        yield source


def compare(recorded: Recorded, source: Source) -> Difference:
    """The template against the recorded one: by its content where that is recorded, else by its commit, and by version.

    A template that a later release has not changed is newer all the same, for it has later pins.
    """
    if not recorded.digest and recorded.commit and recorded.commit == source.commit:
        return "same"
    try:
        new, old = Version(source.version), Version(recorded.version)
    except InvalidVersion:
        return "same" if recorded.digest == source.digest else "newer"
    if recorded.digest == source.digest:
        return "newer" if new > old else "same"
    return "older" if new < old else "newer"
