"""Proposes a newer template as a pull request, which the interlocks judge like any other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from beampermit.documents.markdown import code, text
from beampermit.errors import Outside
from beampermit.git import Git, GitError, scratch_index
from beampermit.github.branches import base_branch, push_branch
from beampermit.github.client import Client
from beampermit.github.pull_requests import open_pull_request
from beampermit.progress import Progress
from beampermit.updating.answering import complete_answers
from beampermit.updating.changelog import changes_between
from beampermit.updating.migrations import current_record
from beampermit.updating.recorded import ANSWERS, RENDERED
from beampermit.updating.staged import Change, Staged
from beampermit.updating.trees import add_folder
from beampermit.updating.update import NONE, compare, source_of
from beampermit.updating.working_out import worked_out

BRANCH = "beampermit/update"
MOST = 100
"""Lines of each list in the pull request's text, whose length GitHub limits."""
WORKFLOW = "workflow"
RIGHTS = (
    "GitHub lets a job's own token change no workflow: give the secret BEAMPERMIT_PROPOSE_TOKEN a token with the "
    "rights contents, pull requests and workflows"
)


@dataclass(frozen=True)
class Proposed:
    """`address` is None where there is nothing to propose: where there are `conflicts`, nothing but these is left."""

    address: str | None
    files: int = 0
    conflicts: tuple[str, ...] = ()


def propose(root: Path, client: Client, progress: Progress) -> Proposed:
    """Push the merge as the branch `beampermit/update` and open its pull request; the work tree stays as it is.

    The template is that of the installed checker alone: a job that may write runs no code from another address.

    Files in conflict are left as they are, and so is the record: what is merged stays merged, and the next update, of a
    person, has the rest. Raises `Conflict`, `Outside`.
    """
    git = Git(root)
    recorded = current_record(root)
    with source_of(recorded, "") as source:
        if compare(recorded, source) != "newer":
            return Proposed(None)
        answers, defaults = complete_answers(recorded.answers, NONE, source, None)
        progress("merging the template")
        with worked_out(git, recorded, source, answers) as (staged, files):
            left = {*staged.conflicts, *((ANSWERS, RENDERED) if staged.conflicts else ())}
            changes = [change for change in staged.changes if change.path not in left]
            title = f"Update the template to {source.version or source.name}"
            commit = _commit(git, changes, files, title)
        if not changes:
            return Proposed(None, 0, staged.conflicts)
        lines = changes_between(source.changes, recorded.since, source.version)
    progress(f"pushing {BRANCH}")
    try:
        push_branch(git, commit, BRANCH)
    except Outside as error:
        if WORKFLOW in error.message:
            raise Outside(error.message, hint=RIGHTS) from None
        raise
    body = _body(staged, changes, lines, defaults)
    address = open_pull_request(client, branch=BRANCH, base=base_branch(git), title=title, body=body)
    return Proposed(address, len(changes), staged.conflicts)


def _commit(git: Git, changes: list[Change], files: Path, title: str) -> str:
    """A commit on HEAD with these changes."""
    added = add_folder(git, files)
    none = "0" * len(git.head())
    lines = "".join(
        f"{entry.mode} {entry.object}\t{git.prefix}{change.path}\0"
        if (entry := added.get(change.path)) and change.after
        else f"0 {none}\t{git.prefix}{change.path}\0"
        for change in changes
    )
    with scratch_index() as env:
        git("read-tree", "HEAD", env=env)
        done = git.try_("update-index", "-z", "--index-info", stdin=lines, env=env)
        if done.code:
            raise GitError(done)
        tree = git("write-tree", env=env)
    return git("commit-tree", tree, "-p", git.head(), "-m", title)


def _body(staged: Staged, changes: list[Change], lines: list[str], defaults: dict[str, str]) -> str:
    parts = [f"From {text(staged.old)} to {text(staged.new)}. All interlocks check this pull request like any other."]
    if staged.conflicts:
        listed = _list([code(path) for path in staged.conflicts])
        parts.append(
            "**Not in it**: these files were changed here and in the template. They stay as they are until somebody "
            f"runs `beampermit update` in a clone, which leaves both versions between markers.\n\n{listed}"
        )
    if defaults:
        answered = _list([f"{code(key)}: {code(value) or 'empty'}" for key, value in defaults.items()])
        parts.append(f"New questions, answered by their defaults:\n\n{answered}")
    if staged.notes:
        parts.append(_list([text(note) for note in staged.notes]))
    if lines:
        parts.append(f"What changed:\n\n{_list([text(line.removeprefix('- ')) for line in lines])}")
    parts.append(f"Files:\n\n{_list([f'{change.kind} {code(change.path)}' for change in changes])}")
    return "\n\n".join(parts) + "\n"


def _list(lines: list[str]) -> str:
    more = [f"and {len(lines) - MOST} more"] if len(lines) > MOST else []
    return "\n".join(f"- {line}" for line in (*lines[:MOST], *more))
