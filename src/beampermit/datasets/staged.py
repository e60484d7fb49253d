"""Data and models that are about to be committed, while they can still be taken back without a trace."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from beampermit.datasets.formats import HEAD
from beampermit.datasets.strays import Stray, unfit
from beampermit.errors import BadInput
from beampermit.git import Git, GitError

LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}


def staged(git: Git, names: Sequence[str] = ()) -> Iterator[Stray]:
    """Of the files that the next commit adds or changes, or of `names` as git has them: those that are not for git.

    What is judged are the bytes that git would commit, also where the work tree has moved on meanwhile.
    """
    blobs = _named(git, names) if names else _changed(git)
    if not blobs:
        return
    sizes = _sizes(git, blobs.values())
    moved = set(_words(git("diff-files", "--name-only", "-z")))
    for path, blob in blobs.items():
        head = _head(git, blob) if path in moved else _read(git.root / path)
        if what := unfit(path, head, sizes[blob]):
            yield Stray(path, what)


def _changed(git: Git) -> dict[str, str]:
    """Path -> blob of what differs from the last commit; links and submodules hold no bytes."""
    words = _words(git("diff", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames", "--diff-filter=d"))
    entries = zip((word.split() for word in words[::2]), words[1::2], strict=True)
    return {path: blob for (_, mode, _, blob, _), path in entries if mode.startswith("100")}


def _named(git: Git, names: Sequence[str]) -> dict[str, str]:
    try:
        listed = git("ls-files", "--stage", "-z", "--", *names, env=LITERAL)
    except GitError as error:
        raise BadInput(error.message, hint="name files of this repository; without names, all that is staged") from None
    entries = [line.split("\t", 1) for line in _words(listed)]
    return {path: about.split()[1] for about, path in entries if about.startswith("100")}


def _sizes(git: Git, blobs: Iterable[str]) -> dict[str, int]:
    lines = git("cat-file", "--batch-check", stdin="".join(f"{blob}\n" for blob in blobs)).splitlines()
    return {blob: int(size) for blob, _, size in map(str.split, lines)}


def _read(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(HEAD)


def _head(git: Git, blob: str) -> bytes:
    """The first bytes of a blob; git stops when nobody reads on, so a large one costs nothing."""
    command = ("git", "cat-file", "blob", blob)
    with subprocess.Popen(command, cwd=git.root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        return child.stdout.read(HEAD) if child.stdout else b""


def _words(text: str) -> list[str]:
    return [word for word in text.split("\0") if word]
