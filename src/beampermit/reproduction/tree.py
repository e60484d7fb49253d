"""Clean trees of a commit in a private folder, which lead to no other checkout of the project."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from beampermit.cache import cache_folder
from beampermit.digest import digest_bytes
from beampermit.errors import Conflict
from beampermit.files import locked
from beampermit.git import Git
from beampermit.project import Project

NO_HOOKS = ("-c", "core.hooksPath=/dev/null")
"""Hooks of the user are not part of the commit."""
FIXED_IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in {"NAME": "beampermit", "EMAIL": "beampermit@localhost", "DATE": "2000-01-01T00:00:00Z"}.items()
}
TREES = "trees"
KEPT = "kept-"
"""Folders that a person may resume; those of checks are never used again."""
CONFIGURED = ("feature", "hydra", "parsing")
"""Sections of `.dvc/config` that change how stages run; others say where data lie."""


def place_of(project: Project) -> Path:
    """Where a project's reproductions lie: never inside the project, whatever the cache folder is."""
    caches = cache_folder().resolve()
    if caches.is_relative_to(project.root.resolve()):
        caches = Path(tempfile.gettempdir()).resolve() / f"beampermit-{os.getuid()}"
    # Outside the project, also because DVC ignores a tree below an ignored folder.
    return caches / "reproduce" / digest_bytes(str(project.root.resolve()).encode())[7:31]


@contextmanager
def private_folder(project: Project, commit: str, *, kept: bool = False, resume: bool = False) -> Iterator[Path]:
    """A folder that only this user can open, new each time, removed at the end of the block.

    With `kept` it outlives an interrupted block, and with `resume` it is the one that an interrupted block left for
    `commit`. Leftovers of killed runs are removed first. Raises `Conflict` while another reproduction of the same
    project runs.
    """
    place = place_of(project)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(place / "lock", Conflict("another reproduction of this project is running", file=place)):
        _end_processes(str(place.resolve()))
        prefix = f"{KEPT}{commit[:16]}-" if kept else "once-"
        folder = _interrupted(place, prefix) if resume else None
        folder = folder or Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        for old in place.iterdir():
            if old.is_dir() and old != folder and (kept or not old.name.startswith(KEPT)):
                shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(folder / TREES, ignore_errors=True)
        done = False
        try:
            yield folder
            done = True
        finally:
            if done or not kept:
                shutil.rmtree(folder, ignore_errors=True)


def _interrupted(place: Path, prefix: str) -> Path | None:
    """The newest folder that an interrupted run of this user left; one that others can open is not believed."""
    left = [
        path
        for path in place.glob(f"{prefix}*")
        if not path.is_symlink()
        and path.is_dir()
        and path.stat().st_uid == os.getuid()
        and not path.stat().st_mode & 0o077
    ]
    return max(left, key=lambda path: path.stat().st_mtime, default=None)


def _end_processes(folder: str) -> None:
    """A run that was killed could not end its trainings."""
    import psutil

    for process in psutil.process_iter(["cwd"]):
        if (process.info["cwd"] or "").startswith(f"{folder}/"):
            with suppress(psutil.Error):
                process.kill()


@contextmanager
def exported(git: Git, commit: str, folder: Path) -> Iterator[Path]:
    """The files of `commit` at `folder`, in a repository of its own that is not a work tree, removed after the block.

    Gives the project's folder there. Its index borrows the objects of `git` until `cut_off` is called. Links that lead
    out of the tree are left out.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        objects = git("rev-parse", "--path-format=absolute", "--git-path", "objects")
        project = git.export(commit, folder)
        project.mkdir(parents=True, exist_ok=True)
        own = Git(folder)
        _initialise(own)
        (folder / ".git/objects/info").mkdir(parents=True, exist_ok=True)
        (folder / ".git/objects/info/alternates").write_text(f"{objects}\n", encoding="utf-8")
        own("read-tree", commit)
        _remove_outward_links(folder)
        yield project
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def cut_off(folder: Path, without: Iterable[str]) -> None:
    """Leave nothing in an exported tree that leads to another checkout, and remove the paths `without`.

    Its repository becomes one of a single commit without a remote; DVC loses remotes, cache and what it noted.
    """
    for path in without:
        _remove(folder / path)
    own = Git(folder).top
    for dvc in {folder / ".dvc", own.root / ".dvc"}:
        for name in ("tmp", "cache", "config.local"):
            _remove(dvc / name)
        _keep_configuration(dvc / "config")
    _remove(own.root / ".git")
    _initialise(own)
    own(*NO_HOOKS, "add", "--all", "--force", ".")
    own(*NO_HOOKS, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "--allow-empty", "--message", "The commit",
        env=FIXED_IDENTITY)  # fmt: skip


def alone(variables: Mapping[str, str], project: Project, prefix: Path) -> dict[str, str]:
    """Variables without those that name the project's folder; of `PATH`, only the entries that do not.

    The environment at `prefix` stays, wherever it was installed.
    """
    roots = {str(project.root), str(project.root.resolve()), str(project.root.absolute())}

    def leads_home(value: str) -> bool:
        return not value.startswith(str(prefix)) and any(root in value for root in roots)

    kept = {name: value for name, value in variables.items() if name == "PATH" or not leads_home(value)}
    entries = variables.get("PATH", os.defpath).split(os.pathsep)
    return {**kept, "PATH": os.pathsep.join(entry for entry in entries if not leads_home(entry))}


def commit_of_work_tree(git: Git) -> str:
    """A commit of the work tree: HEAD where nothing has changed, otherwise one that is on no branch."""
    head, tree = git.head(), git.write_work_tree()
    if git("rev-parse", f"{head}^{{tree}}") == tree:
        return head
    return git("commit-tree", tree, "-p", head, "-m", "Work tree", env=FIXED_IDENTITY)


def _initialise(git: Git) -> None:
    git("init", "--quiet", "--template=", "--initial-branch", "main")


def _keep_configuration(file: Path) -> None:
    from configobj import ConfigObj, ConfigObjError

    if not file.is_file():
        return
    try:
        content = ConfigObj(file.read_text(encoding="utf-8", errors="replace").splitlines()).dict()
    except ConfigObjError:
        content = {}
    kept = {"core": {"analytics": "false", "autostage": "false"}, **{name: content.get(name) for name in CONFIGURED}}
    lines = ConfigObj({name: section for name, section in kept.items() if section}).write() or []
    file.write_text("\n".join(map(str, lines)) + "\n", encoding="utf-8")


def _remove_outward_links(folder: Path) -> None:
    root = folder.resolve()
    for parent, folders, files in os.walk(folder):
        if ".git" in folders and Path(parent) == folder:
            folders.remove(".git")
        for path in (Path(parent, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                path.unlink()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
