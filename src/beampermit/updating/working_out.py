"""What an update changes: the old render, the project and the new render, merged; nothing is written yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from beampermit.errors import BadInput, BeampermitError, Outside
from beampermit.files import write_text
from beampermit.git import Git, GitError, scratch_index
from beampermit.processes import scratch_folder
from beampermit.updating.answering import complete_answers
from beampermit.updating.line_ends import follow_line_ends
from beampermit.updating.pins import follow_pins
from beampermit.updating.recorded import ANSWERS, RENDERED, RESTORE, Recorded, unpack_render, with_address
from beampermit.updating.rules import leave_out_of_folder, take_pipeline
from beampermit.updating.source import Source, at
from beampermit.updating.staged import Change, Stage, Staged, digest_of
from beampermit.updating.trees import Entry, Files, Merged, add_folder, files_of, merge, write_tree

OURS = (ANSWERS, RENDERED)
"""Written as a whole by each update, and never merged."""
UNKNOWN = (
    "what this project was made from is not known here: new files are added, the pipeline is replaced, and of each "
    "file that differs from the template's, yours stays"
)


@contextmanager
def worked_out(
    git: Git, recorded: Recorded, source: Source, answers: Mapping[str, str], *, asked: bool = False
) -> Iterator[tuple[Staged, Path]]:
    """The update of the project at `git.root`, and a folder with the files that it writes. Objects are git's.

    `asked`: somebody named a revision, so that the template's repository may be fetched.
    """
    root, notes = git.root, list[str]()
    with scratch_folder() as scratch:
        known = _write_base(root, recorded, scratch / "base", notes, asked)
        (scratch / "new").mkdir()
        rendered = source.render(scratch / "new", answers, notes.append)
        write_text(
            rendered / ANSWERS, with_address((rendered / ANSWERS).read_text(encoding="utf-8"), recorded.template)
        )
        if known:
            follow_pins(scratch / "base", root, rendered)
        follow_line_ends(git, scratch / "base", rendered)
        base, new = _add_base(git, scratch / "base"), add_folder(git, rendered)
        before = files_of(git, f"HEAD:{git.prefix}")
        record = {name: new[name] for name in OURS}
        for files in (base, new):
            for name in OURS:
                files.pop(name, None)
        ours = {path: entry for path, entry in before.items() if path not in OURS}
        notes += take_pipeline(root, base, ours, new, answers["package_name"])
        if git.prefix and (moved := leave_out_of_folder(base, ours, new)):
            notes.append(f"the new template has otherwise, and this folder has not: {', '.join(moved)}")
        merged, kept = _merged(git, base, ours, new, source.name, known=known)
        after, stages, more = _settled(merged, ours)
        changed = {path: entry for path, entry in {**after, **record}.items() if before.get(path) != entry}
        removed = [path for path in before if path not in after and path not in OURS]
        _check_out(git, changed, scratch / "files", {path for path in stages if path in after}, merged.labels)
        changes = [
            Change(
                path=path,
                before=digest_of(root / path) if path in before else None,
                after=digest_of(scratch / "files" / path),
            )
            for path in (*changed, *removed)
        ]
        yield (
            Staged(
                old=recorded.name,
                new=source.name,
                changes=tuple(sorted(changes, key=lambda change: change.path)),
                conflicts=tuple(sorted({*stages, *kept})),
                stages=tuple(
                    Stage(path=path, mode=entry.mode, object=entry.object, stage=number)
                    for path, entries in sorted(stages.items())
                    for number, entry in sorted(entries.items())
                ),
                notes=(*notes, *more),
            ),
            scratch / "files",
        )


def _write_base(root: Path, recorded: Recorded, folder: Path, notes: list[str], asked: bool) -> bool:
    """Write the render that the project began with; whether it is known.

    The project keeps it. Where cruft has made or updated the project, it is rendered again from the template's
    repository; where that cannot be reached, an older render still tells edits from what the template wrote.
    """
    folder.mkdir()
    if recorded.digest and unpack_render(root, folder):
        return True
    if recorded.commit:
        try:
            with at(recorded.commit, recorded.template, asked=asked) as source:
                answers, _ = complete_answers(recorded.answers, {}, source, None)
                source.render(folder.parent / "old", answers, lambda _: None).rename(folder)
        except BeampermitError as error:
            notes.append(f"the old template is not at hand: {error.message}")
        else:
            return True
    if unpack_render(root, folder):
        notes.append(f"merged from the render in {RENDERED}, which is older than the recorded commit")
        return True
    notes.append(UNKNOWN)
    return False


def _add_base(git: Git, folder: Path) -> Files:
    """Raises `BadInput` for a render that git takes no files of: it is in a repository that others write to."""
    try:
        return add_folder(git, folder)
    except GitError as error:
        if error.exit_code == Outside.exit_code:
            raise
        reason = error.message.partition(": ")[2]
        raise BadInput(f"git does not take these files: {reason}", file=git.root / RENDERED, hint=RESTORE) from None


def _merged(git: Git, base: Files, ours: Files, new: Files, name: str, *, known: bool) -> tuple[Merged, list[str]]:
    """The merge, and, where no base is known, the files that differ and stay."""
    if known:
        return merge(git, base, ours, new, name), []
    return Merged({**new, **ours}), [path for path in new if path in ours and ours[path] != new[path]]


def _settled(merged: Merged, ours: Files) -> tuple[Files, dict[str, Mapping[int, Entry]], list[str]]:
    """The files, the conflicts that are left, and what is said of those that are none.

    A file that the project has taken away stays away: that was somebody's decision, as a change of it would be. One
    that it never had is new, and a folder is in its way.
    """
    files, stages, notes = dict(merged.files), dict(merged.stages), []
    for path, entries in merged.stages.items():
        if 2 in entries or path in ours or 1 not in entries:
            continue
        del stages[path]
        files.pop(path, None)
        if 3 in entries:
            notes.append(f"{path} is not in this project, and stays away; the new template has another version of it")
    return files, stages, notes


def _check_out(git: Git, files: Files, folder: Path, conflicts: set[str], labels: Mapping[str, str]) -> None:
    """Write `files` into `folder` as git would into the work tree, with words in the markers of conflicts."""
    folder.mkdir()
    with scratch_index() as env:
        top = git.top
        top("read-tree", write_tree(git, files), env=env)
        top("-c", "core.sparseCheckout=false", "checkout-index", "--quiet", "--all", f"--prefix={folder}/", env=env)
    for path in conflicts & files.keys():
        file = folder / path
        if file.is_symlink():
            continue
        content = file.read_bytes()
        for oid, label in labels.items():
            for marker in (b"<<<<<<< ", b">>>>>>> "):
                content = content.replace(marker + oid.encode(), marker + label.encode())
        file.write_bytes(content)
