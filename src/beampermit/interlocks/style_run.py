"""pre-commit on a copy of the work tree: what its hooks said, and what they changed of the copy."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from beampermit.cache import cache_folder
from beampermit.changes.base_and_head import BaseAndHead
from beampermit.environments import Environment
from beampermit.errors import Failed, Outside, more
from beampermit.git import Git, GitError
from beampermit.interlocks.pytest_run import TIMEOUT
from beampermit.processes import Finished, end_marked, scratch_folder, signal_name, start, stop
from beampermit.project import Project
from beampermit.record import printable
from beampermit.reproduction.tree import alone, commit_of_work_tree, exported

CONFIG = ".pre-commit-config.yaml"
RUNNER = """\
import os, sys
from pre_commit.main import main
with open(sys.argv.pop(), "rb") as names:
    files = [f"./{os.fsdecode(name)}" for name in names.read().split(b"\\0")]
sys.exit(main([*sys.argv[1:], "--files", *files]))
"""
"""Names come in a file: a command line holds a few thousand."""
MARK = "BEAMPERMIT_STYLE"
"""Variable by which what a hook left running in a session of its own is found."""
LARGEST = 4 * 2**20
"""Bytes of the hooks' output that are read from its beginning, and again from its end."""
LONGEST = 300
"""Characters of a line that are kept."""
MOST_LINES = 1000
"""Of a hook's output."""
ENDED = re.compile(r"(?P<name>.*?)\.{3,}(\(no files to check\))?(?P<how>Passed|Failed|Skipped)")
RUNNING = re.compile(r"(?P<name>.*?)\.{3,}")
ABOUT = re.compile(r"- (hook id|exit code|duration|files were modified by this hook)\b")
UNEXPECTED = 3
"""pre-commit's exit status for what is not the fault of a hook, such as a hook that cannot be fetched."""


@dataclass(frozen=True)
class Hooks:
    """How many hooks ran and how many had no file to look at, the lines of each that failed, and what they changed."""

    ran: int
    skipped: int
    failed: dict[str, tuple[str, ...]]
    changed: tuple[str, ...] = ()
    diff: tuple[str, ...] = ()


def run_hooks(project: Project, environment: Environment, files: Sequence[str]) -> Hooks:
    """On a copy, which hooks may change: a repository whose HEAD is where the branch began.

    Raises `Failed` where a hook ends pre-commit or its repository, `Outside` where one cannot be fetched or hangs.
    """
    git = project.git.top
    commit = commit_of_work_tree(git)
    began = BaseAndHead(project).merge_base or git.head()
    with scratch_folder() as scratch, exported(git, commit, scratch / "tree"):
        copy = Git(scratch / "tree")
        copy("update-ref", "refs/heads/beampermit-style", began)
        copy("symbolic-ref", "HEAD", "refs/heads/beampermit-style")
        before = _diff(copy, commit)
        finished = _pre_commit(scratch, project, environment, files)
        said = _said(finished, project, copy.root, files)
        try:
            after = _diff(copy, commit)
            changed = () if after == before else _changed(copy, commit)
        except GitError:
            raise Failed(
                "a hook removed or damaged .git in the copy that it checks",
                file=at_top(project, CONFIG),
            ) from None
    return said if after == before else Hooks(said.ran, said.skipped, said.failed, changed, after)


def at_top(project: Project, path: str) -> str:
    """The path, from the project, of a file that is given by its path in the repository."""
    prefix = project.git.prefix
    return path.removeprefix(prefix) if path.startswith(prefix) else f"{project.git.way_up}{path}"


def _pre_commit(scratch: Path, project: Project, environment: Environment, files: Sequence[str]) -> Finished:
    """All that it started has ended when it returns. Raises `Outside` where a hook hangs."""
    tree, names, word = scratch / "tree", scratch / "names", secrets.token_hex(16)
    names.write_bytes(b"\0".join(map(os.fsencode, files)))
    command = (environment.python, "-P", "-c", RUNNER, "run", "--color", "never", "--config", CONFIG, names)
    variables = alone(environment.clean_variables(tree / project.git.prefix), project, environment.prefix)
    own = {
        "PRE_COMMIT_HOME": str(cache_folder() / "pre-commit"),
        "NO_COLOR": "1",
        "BEAMPERMIT_ENVIRONMENT": str(environment.prefix),
        MARK: word,
    }
    kept = {"PYTHONPATH": variables["PYTHONPATH"], "PATH": variables["PATH"]}
    env = {**environment.clean_variables(tree), **kept, **own}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = start(command, cwd=tree, env=env, stdout=out, stderr=err)
        late = False
        try:
            child.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            stop(child)
            end_marked(MARK, word)
        finished = Finished(tuple(map(str, command)), child.returncode, _read(out), _read(err))
    if late:
        what = f"the hook {name}" if (name := _running(finished.out)) else "pre-commit"
        raise Outside(f"{what} had not ended after {TIMEOUT:g} s and was stopped", file=at_top(project, CONFIG))
    return finished


def _read(file: IO[bytes]) -> str:
    """The text, without its middle where it is long."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    content = file.read(LARGEST)
    if size > 2 * LARGEST:
        file.seek(size - LARGEST)
        content += b"\n"
    return (content + file.read(LARGEST)).decode(errors="replace")


def _running(out: str) -> str:
    """The hook whose line has no end."""
    last = out.rpartition("\n")[2]
    return found["name"] if (found := RUNNING.fullmatch(last)) else ""


def _said(finished: Finished, project: Project, tree: Path, files: Sequence[str]) -> Hooks:
    """Raises `Failed` and `Outside` where pre-commit itself gave up."""
    config = at_top(project, CONFIG)
    if finished.code < 0:
        during = f" while the hook {name} ran" if (name := _running(finished.out)) else ""
        ended = f"pre-commit was ended by {signal_name(-finished.code)}{during}"
        raise Failed(f"{ended}: a hook did it, or the machine had no memory left", file=config)
    if finished.code and re.search(r"No module named '?pre_commit\b", finished.err):
        raise Failed(
            "tests.style is required, and pre-commit is not in the locked environment",
            file="pyproject.toml",
            hint="add it to the group dev, then run `beampermit env lock`",
        )
    hooks = _hooks(finished, f"{tree}/")
    if finished.code and "error has occurred: " in finished.out and (finished.code == UNEXPECTED or not hooks.ran):
        said = _cause(f"{finished.out}\n{finished.err}")
        if "surrogates not allowed" in said and (odd := [path for path in files if path != printable(path)]):
            raise Failed(
                f"the name is not UTF-8, and pre-commit gives no such file to a hook{more(len(odd) - 1)}",
                file=printable(at_top(project, odd[0])),
                hint="git mv -- OLD NEW",
            )
        if finished.code == UNEXPECTED or "CalledProcessError" in said:
            raise Outside(f"pre-commit could not run its hooks: {said}", file=config)
        raise Failed(f"pre-commit refuses its configuration: {said}", file=config)
    return hooks


def _cause(output: str) -> str:
    """What pre-commit says after `An error has occurred:`, in one line."""
    _, _, said = output.partition("error has occurred: ")
    lines = [line.strip().removeprefix("=====> ").removeprefix("==> ") for line in said.splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("Check the log at", "return code", "stdout", "(none)"))]
    return " ".join(kept)[:LONGEST] or "it gave no reason"


def _hooks(finished: Finished, tree: str) -> Hooks:
    """A hook that passes may print what it likes, such as `0 Failed`: without an exit status none has failed."""
    counts, ids = Counter[str](), dict[str, list[str]]()
    current: list[str] | None = None
    for line in finished.out.split("\n"):
        if (ended := ENDED.fullmatch(line)) and (finished.code or ended["how"] != "Failed"):
            counts[ended["how"]] += 1
            current = ids.setdefault(ended["name"], []) if ended["how"] == "Failed" else None
        elif current is not None and len(current) < MOST_LINES and line.strip() and not ABOUT.match(line):
            current.append(line.strip().replace(tree, "")[:LONGEST])
    if finished.code and not ids:
        ids["pre-commit"] = [finished.tail[:LONGEST]]
    failed = {name: tuple(lines) for name, lines in ids.items()}
    return Hooks(counts["Passed"] + counts["Failed"], counts["Skipped"], failed)


DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames")


def _diff(copy: Git, commit: str) -> tuple[str, ...]:
    """The difference of the copy from what was laid out, as lines, whatever a hook has staged or committed."""
    return tuple(copy(*DIFF, commit).splitlines())


def _changed(copy: Git, commit: str) -> tuple[str, ...]:
    return tuple(filter(None, copy(*DIFF, "--name-only", "-z", commit).split("\0")))


PLACE = re.compile(r"(?P<file>\S.*?):(?P<line>[1-9]\d{0,6})(?::\d+)?(?:$|:? +(?P<why>\S.*)?)")
"""`bad.py:1:1: F401 unused`, and `--> bad.py:1:1` below a line that says why, as ruff and rustc have it."""


def places(lines: Sequence[str], known: frozenset[str], prefix: str) -> Iterator[tuple[str, int, str]]:
    """Path in the repository, line and reason of what a hook's output says of files that are there.

    A path may have blanks, and words may stand before it: the longest that is a file counts.
    """
    before = ""
    for line in lines:
        if (found := PLACE.match(line)) and (path := _known(found["file"], known, prefix)):
            yield path, int(found["line"]), found["why"] or before
        before = line


def _known(text: str, known: frozenset[str], prefix: str) -> str:
    starts = [0, *(found.end() for found in re.finditer(r"\s", text))]
    named = (text[start:].removeprefix("./") for start in starts)
    return next((path for name in named for path in (name, f"{prefix}{name}") if path in known), "")
