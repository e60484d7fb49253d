"""The git command."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from beampermit.errors import BadInput, BeampermitError
from beampermit.processes import Finished, run, scratch_folder

AS_COMMITTED = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": f"{os.devnull}/none"}
"""What git reads is what the hash stands for: `git replace` and grafts of one clone show other files and parents."""
QUIET = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8", "GIT_OPTIONAL_LOCKS": "0", **AS_COMMITTED}
OF_ORIGIN, LOCAL, TAGS = "refs/remotes/origin/", "refs/heads/", "refs/tags/"
FULL_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SHORT_HASH = re.compile(r"[0-9a-f]{4,63}")
STEPS = re.compile(r"(?P<start>.+?)(?P<steps>(?:[~^]\d*)*)", re.DOTALL)
"""A revision such as `main~2`: where it starts, and the steps back from there."""
OBJECTS = "GIT_OBJECT_DIRECTORY"
REFUSED = re.compile(r"read-only file system|permission denied$|insufficient permission", re.IGNORECASE)
FULL = re.compile(r"no space left|disk quota", re.IGNORECASE)
"""What git says where the file system is at fault, and not the repository."""
SUBMODULE = "160000"
"""Mode of a commit of another repository."""


def version_in(text: str) -> tuple[int, int] | None:
    """2 and 38 in what `git version` prints."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


@contextmanager
def scratch_index() -> Iterator[dict[str, str]]:
    """Variables with which git has an index of its own, empty until something is read into it; gone after the block."""
    with scratch_folder() as folder:
        yield {"GIT_INDEX_FILE": str(folder / "index")}


class GitError(BeampermitError):
    """git failed; `finished` has its output. Exit code 4 where the file system let it not write or read."""

    def __init__(self, finished: Finished):
        lines = [line.strip() for line in finished.err.splitlines() if line.strip()] or [finished.tail]
        here = [line for line in lines if not line.startswith("remote:")]
        full, refused = (next(filter(pattern.search, here), "") for pattern in (FULL, REFUSED))
        super().__init__(f"git {finished.command[1]}: {full or refused or '; '.join(lines)}")
        self.finished = finished
        if full or refused:
            self.exit_code = 4
            self.hint = "df -h ." if full else "run it as a user who may read and write this folder, or in a clone"


def reason_of(result: Finished) -> str:
    """The line of git's output that says why: the remote's own message, where there is one."""
    lines = [line.strip() for line in result.err.splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith(("remote:", "fatal:", "!"))]
    return (reasons or lines or [result.tail])[0]


class Git:
    """git in the folder `root` of a work tree, which may be a folder of a larger repository.

    Paths go in and come out relative to `root`, and lists leave out what is not below it; commits and trees are those
    of the whole repository. Objects are written into the folder `objects`, if one is given.
    """

    def __init__(self, root: Path, objects: Path | None = None):
        self.root = root
        self._objects = objects
        self._variables = {**QUIET, **({OBJECTS: str(objects)} if objects else {})}

    @cached_property
    def prefix(self) -> str:
        """Path of `root` in its repository, such as `models/faults/`; empty at the top."""
        return self.try_("rev-parse", "--show-prefix").out.removesuffix("\n")

    @property
    def way_up(self) -> str:
        """The path of the top, from `root`: such as `../../`; empty at the top."""
        return "../" * self.prefix.count("/")

    @cached_property
    def top(self) -> Git:
        """git at the top of the repository, where GitHub looks for `.github` and CODEOWNERS."""
        depth = self.prefix.count("/")
        return Git(self.root.resolve().parents[depth - 1], self._objects) if depth else self

    def elsewhere(self, root: Path) -> Git:
        """git in another folder, which writes objects where this one does."""
        return Git(root, self._objects)

    @contextmanager
    def apart(self) -> Iterator[Git]:
        """The same git, which writes objects into a scratch folder, so that judging leaves the repository as it is."""
        own = self("rev-parse", "--path-format=absolute", "--git-path", "objects")
        with tempfile.TemporaryDirectory(prefix="beampermit-") as folder:
            (Path(folder) / "info").mkdir()
            (Path(folder) / "info/alternates").write_bytes(os.fsencode(f"{own}\n"))
            yield Git(self.root, Path(folder))

    def try_(
        self,
        *arguments: str,
        stdin: str | None = None,
        env: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> Finished:
        """Run git, whatever its exit status. Raises `Outside` after `timeout` seconds.

        Lists (`-z`) and what `rev-parse` says have names of files as they are: none that a check looks at must differ.
        """
        variables = {**self._variables, **(env or {})}
        paths = "-z" in arguments or arguments[0] == "rev-parse"
        return run(["git", *arguments], cwd=self.root, env=variables, stdin=stdin, timeout=timeout, paths=paths)

    def __call__(self, *arguments: str, stdin: str | None = None, env: dict[str, str] | None = None) -> str:
        """Run git; its output without the last newline. Raises `GitError`."""
        finished = self.try_(*arguments, stdin=stdin, env=env)
        if finished.code:
            raise GitError(finished)
        return finished.out.removesuffix("\n")

    def resolve(self, revision: str) -> str | None:
        """The commit of a revision; None if there is none. A name that begins with `refs/` is meant literally.

        Git prefers a tag to a branch of the same name: what judges is found with `ref` or `resolve_base`.
        """
        if revision.startswith("refs/"):
            return self.ref(revision)
        finished = self.try_("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        return finished.out.strip() if finished.code == 0 else None

    def ref(self, name: str) -> str | None:
        """The commit of exactly this ref, such as `refs/heads/main`; None if there is none.

        `rev-parse` would go on to a tag called `refs/heads/main`.
        """
        return self.refs(name).get(name)

    def refs(self, *names: str) -> dict[str, str]:
        """The commits of exactly these refs, in this order, without those that are not there."""
        listed = self.try_("for-each-ref", "--format=%(refname) %(objectname) %(*objectname)", *names)
        commits = {
            ref: peeled or commit for ref, commit, peeled in (line.split(" ") for line in listed.out.splitlines())
        }
        return {name: commits[name] for name in names if name in commits}

    def default_branch(self) -> str | None:
        """The default branch of origin, as this clone knows it; None where it does not.

        Only a symbolic ref tells: fetching a branch that is called `HEAD` makes an ordinary one.
        """
        head = self.try_("symbolic-ref", "--quiet", f"{OF_ORIGIN}HEAD").out.strip()
        return head.removeprefix(OF_ORIGIN) if head.startswith(OF_ORIGIN) else None

    def remote_tip(self, remote: str, branch: str, *, timeout: float | None = None) -> tuple[Finished, str]:
        """The answer of `remote`, and the commit of its branch; empty where it does not answer, or has no such branch.

        Git also lists branches whose names end in the asked one, such as `a/refs/heads/main`.
        """
        answer = self.try_("ls-remote", remote, f"{LOCAL}{branch}", timeout=timeout)
        tips = {ref: commit for commit, _, ref in (line.partition("\t") for line in answer.out.splitlines())}
        return answer, tips.get(f"{LOCAL}{branch}", "") if answer.code == 0 else ""

    def head(self) -> str:
        """The commit of HEAD. Raises `BadInput` if there is none yet."""
        commit = self.resolve("HEAD")
        if commit is None:
            raise BadInput(
                "this repository has no commit yet",
                file=self.root,
                hint="git add -A && git commit -m 'First commit'",
            )
        return commit

    def read(self, revision: str, path: str) -> str | None:
        """A file's text at a revision; None if the revision does not have it."""
        finished = self.try_("show", "--no-textconv", f"{revision}:{self.prefix}{path}")
        return finished.out if finished.code == 0 else None

    def tracked(self) -> list[str]:
        """Tracked paths, relative to the root."""
        return self._listed("ls-files", "-z")

    def files_at(self, revision: str) -> list[str]:
        """Paths of all files of a revision, relative to the root."""
        return self._listed("ls-tree", "-r", "--name-only", "-z", revision)

    def differing(self, revision: str) -> list[str]:
        """Paths that the work tree has otherwise than a revision, with new files that git does not ignore."""
        return [*self._listed("diff", "--name-only", "-z", "--no-renames", "--relative", revision), *self._new()]

    def _new(self, env: dict[str, str] | None = None) -> list[str]:
        """New files, and with a slash at its end each repository in this one: git never looks into it."""
        return self._listed("ls-files", "--others", "--exclude-standard", "-z", env=env)

    def _listed(self, *arguments: str, env: dict[str, str] | None = None) -> list[str]:
        return [path for path in self(*arguments, env=env).split("\0") if path]

    def work_files(self) -> dict[str, str]:
        """Path -> mode of the files that `work_tree` holds: tracked and new ones, without ignored ones.

        The mode of a new file is empty. Where a merge left several versions, it is the last one's. A repository in this
        one is a submodule, whether git tracks it or not.
        """
        staged = (entry.partition("\t") for entry in self._listed("ls-files", "--stage", "-z"))
        new = {path.removesuffix("/"): SUBMODULE if path.endswith("/") else "" for path in self._new()}
        return {**new, **{path: about.split()[0] for about, _, path in staged}}

    def export(self, revision: str, folder: Path, *paths: str) -> Path:
        """Write the files of a revision below `folder`, without hooks and sparse checkout: all of the repository, or
        those at `paths`. Returns what `root` is there."""
        git = self if paths else self.top
        with scratch_index() as env:
            git("-c", "core.sparseCheckout=false", "read-tree", revision, env=env)
            chosen = ("--", *paths) if paths else ("--all",)
            git("checkout-index", "--quiet", f"--prefix={folder}/", *chosen, env=env)
        return folder / self.prefix

    def work_tree(self) -> str:
        """The tree id of the whole work tree: tracked and new files, without ignored ones and without repositories in
        it. The tree itself is not kept."""
        with self.apart() as git:
            return git.write_work_tree()

    def write_work_tree(self) -> str:
        """As `work_tree`; the tree and its files become objects."""
        git = self.top
        with scratch_index() as env:
            if git.resolve("HEAD"):
                git("read-tree", "HEAD", env=env)
            inner = [path for path in git._new(env) if path.endswith("/")]
            git("add", "--all", "--", ".", *(f":(exclude,literal){path}" for path in inner), env=env)
            return git("write-tree", env=env)


def find_top(start: Path) -> Path:
    """The top of the work tree that `start` is in. Raises `BadInput`."""
    if not start.is_dir():
        parent = next(folder for folder in start.absolute().parents if folder.is_dir())
        raise BadInput("there is no such folder", file=start, hint=f"ls {parent}")
    finished = run(["git", "rev-parse", "--show-toplevel"], cwd=start, env=QUIET, paths=True)
    if finished.code == 0:
        return Path(finished.out.removesuffix("\n"))
    if owned := re.search(r"dubious ownership in repository at '(.*)'", finished.err):
        raise BadInput(
            "another user owns this repository, so git does not read it",
            file=start,
            hint=f"git config --global --add safe.directory {shlex.quote(owned[1])}",
        )
    if "not a git repository (or any" in finished.err:
        raise BadInput("this folder is not in a git repository", file=start, hint="git init")
    raise BadInput(f"git cannot read this repository: {finished.tail.removeprefix('fatal: ')}", file=start)


def resolve_base(git: Git, name: str, *, local: bool = True) -> str:
    """The commit of a base that is given by name: a branch of origin, or a full hash.

    `local` also allows what only a person at this clone means: a local branch where origin has none of this name, HEAD,
    and a hash that is cut short; each with steps back, such as `main~2`. Raises `BadInput`, also for a tag, and for a
    name that could mean another commit as well.
    """
    match = STEPS.fullmatch(name)
    start, steps = (match["start"], match["steps"]) if match and local else (name, "")
    commit = _resolve_start(git, start, local)
    if commit and steps:
        commit = git.resolve(f"{commit}{steps}")
    if commit is None:
        raise BadInput(f"the base revision {name!r} is not in this clone", hint="git fetch origin")
    return commit


def _resolve_start(git: Git, name: str, local: bool) -> str | None:
    if FULL_HASH.fullmatch(name):
        return name if git.resolve(name) == name else None
    if name == "HEAD":
        return git.resolve(name) if local else None
    if name in ("origin/HEAD", f"{OF_ORIGIN}HEAD"):
        branch = git.default_branch()
        return git.ref(OF_ORIGIN + branch) if branch else None
    meanings = git.refs(*_meanings(name))
    allowed = (OF_ORIGIN, LOCAL) if local else (OF_ORIGIN,)
    chosen = next((ref for ref in meanings if ref.startswith(allowed)), None)
    if chosen is None:
        return _explain_no_branch(git, name, meanings, local)
    # A local branch that lags behind origin's is no second meaning.
    others = [
        ref
        for ref in meanings
        if meanings[ref] != meanings[chosen] and (chosen, ref) != (OF_ORIGIN + name, LOCAL + name)
    ]
    if others:
        raise BadInput(
            f"the base {name!r} is ambiguous: {' and '.join((chosen, *others))} are different commits",
            hint=f"give the full name of the branch: --base {chosen}",
        )
    return meanings[chosen]


def _meanings(name: str) -> Iterator[str]:
    """The refs that a name can stand for, best first."""
    if name.startswith("refs/"):
        yield name
        return
    yield OF_ORIGIN + name.removeprefix("origin/")
    yield from (OF_ORIGIN + name, LOCAL + name, TAGS + name)


def _explain_no_branch(git: Git, name: str, meanings: Iterable[str], local: bool) -> str | None:
    """The commit of a hash that is cut short. Raises `BadInput` for a tag, and for a branch that is only here."""
    for ref in meanings:
        raise BadInput(
            f"the base {name!r} is {ref}, and a base is a branch of origin or the full hash of a commit",
            hint=f"git rev-parse '{ref}^{{commit}}'",
        )
    if not (local and SHORT_HASH.fullmatch(name)):
        return None
    objects = git.try_("rev-parse", f"--disambiguate={name}").out.split()
    commits = [commit for commit in objects if git.resolve(commit) == commit]
    if len(commits) > 1:
        raise BadInput(f"the base {name!r} is ambiguous: {' and '.join(commits)}", hint="give the full hash")
    return commits[0] if commits else None
