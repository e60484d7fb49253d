"""The clean clone that a rehearsal runs in: what GitHub's checkout would have, and nothing from the work tree."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import beampermit
from beampermit.errors import BadInput, Failed
from beampermit.git import Git
from beampermit.workflows.own import own_root

ACTOR = "rehearsal"


@dataclass(frozen=True)
class Clone:
    """The clone at `root`, checked out at `commit`. `base` and `head` are what was named, as commits."""

    root: Path
    commit: str
    head: str
    base: str | None
    base_branch: str
    head_branch: str


def clone_for_pull_request(git: Git, into: Path, base: str | None, head: str | None) -> Clone:
    """A clone of the merge of `head` into `base`, which is what GitHub checks out for a pull request.

    Raises `BadInput` for a name that is no commit, `Failed` where the two cannot be merged.
    """
    base_name = base or _default_base(git)
    base_commit, head_commit = _commit(git, base_name), _commit(git, head or "HEAD")
    branch = base_name.removeprefix("origin/") if base_name.startswith("origin/") else _branch(git, base_name) or "main"
    made = _make(git, into, branch, base_commit)
    merged = made.try_("merge-tree", "--write-tree", "--name-only", base_commit, head_commit)
    if merged.code:
        files = ", ".join(merged.out.split("\n\n")[0].splitlines()[1:]) or merged.tail
        raise Failed(f"{head or 'HEAD'} cannot be merged into {base_name}: {files}", hint=f"git merge {base_name}")
    # The merge is dated as its head is: the same two commits give the same merge, whenever they are rehearsed.
    date = git("show", "--no-patch", "--format=%cI", head_commit)
    person = {"NAME": ACTOR, "EMAIL": f"{ACTOR}@localhost", "DATE": date}
    env = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in person.items()}
    tree, message = merged.out.splitlines()[0], f"Merge {head_commit} into {base_commit}"
    commit = made("commit-tree", tree, "-p", base_commit, "-p", head_commit, "-m", message, env=env)
    made("checkout", "--quiet", "--detach", commit)
    return Clone(into, commit, head_commit, base_commit, branch, _branch(git, head or "HEAD") or head_commit[:12])


def clone_for_push(git: Git, into: Path, head: str | None) -> Clone:
    """A clone of `head` as if it had just been pushed to the protected branch. Raises `BadInput`."""
    branch = _default_base(git).removeprefix("origin/")
    commit = _commit(git, head or "HEAD")
    made = _make(git, into, branch, commit)
    made("checkout", "--quiet", "-B", branch, commit)
    return Clone(into, commit, commit, git.resolve(f"{commit}^"), branch, branch)


def _make(git: Git, root: Path, branch: str, tip: str) -> Git:
    """A repository at `root` that borrows the project's objects, with the refs that its origin had when last fetched;
    origin's `branch` is at `tip`.
    """
    if git("rev-parse", "--is-shallow-repository") == "true":
        raise BadInput("this clone is shallow; a rehearsal needs its history", hint="git fetch --unshallow")
    root.mkdir(parents=True)
    made = Git(root)
    made("init", "--quiet", "--initial-branch", branch, "--template=")
    borrowed = root / ".git/objects/info/alternates"
    borrowed.parent.mkdir(parents=True, exist_ok=True)
    borrowed.write_text(git("rev-parse", "--path-format=absolute", "--git-path", "objects") + "\n")
    known = git("for-each-ref", "--format=%(objectname) %(refname)", "refs/remotes/origin", "refs/tags").splitlines()
    refs = {name: commit for commit, name in (line.split(" ", 1) for line in known) if not name.endswith("/HEAD")}
    refs[f"refs/remotes/origin/{branch}"] = tip
    made("update-ref", "--stdin", stdin="".join(f"create {name} {commit}\n" for name, commit in refs.items()))
    url = git.try_("remote", "get-url", "origin")
    if url.code == 0:
        made("remote", "add", "origin", _absolute(url.out.strip(), git.root))
    return made


def _absolute(url: str, root: Path) -> str:
    """A path as seen from the project, any other URL as it is."""
    local = (root / url).resolve()
    return str(local) if local.exists() else url


def _default_base(git: Git) -> str:
    head = git.try_("symbolic-ref", "--short", "refs/remotes/origin/HEAD")
    names = [head.out.strip()] if head.code == 0 else []
    for name in (*names, "origin/main", "main"):
        if git.resolve(name):
            return name
    raise BadInput("there is no main branch to compare with; name one with --base", file=git.root, hint="git branch -a")


def _commit(git: Git, name: str) -> str:
    found = git.resolve(name)
    if found is None:
        raise BadInput(f"{name!r} is no commit of this repository", file=git.root, hint="git log --oneline --all")
    return found


def _branch(git: Git, name: str) -> str | None:
    found = git.try_("rev-parse", "--abbrev-ref", "--verify", name)
    short = found.out.strip().removeprefix("origin/")
    return short if found.code == 0 and short not in ("", "HEAD") else None


def share_local_remotes(project: Path, clone: Clone, git: Git) -> None:
    """Let the clone find DVC remotes that are folders named relative to the project, as on the machine they are."""
    text = git.read(clone.base or clone.commit, ".dvc/config") or git.read(clone.commit, ".dvc/config")
    if not text:
        return
    from configobj import ConfigObj

    here = project / ".dvc"
    lines: list[str] = []
    for section, keys in ConfigObj(text.splitlines()).items():
        url = keys.get("url") if isinstance(keys, dict) else None
        if section.strip("'").startswith("remote ") and url and "://" not in url and not os.path.isabs(url):  # noqa: PTH117
            lines += [f"[{section}]", f"    url = {(here / url).resolve()}"]
    if lines:
        (clone.root / ".dvc").mkdir(exist_ok=True)
        (clone.root / ".dvc/config.local").write_text("\n".join(lines) + "\n")


PARTS = ("template", "actions", ".github/workflows", "cookiecutter.json", "pyproject.toml", "requirements.lock")
"""What a job needs of this repository besides the package itself."""


def lay_out(into: Path) -> Path:
    """Copy what actions need of the repository to `into`, and no more: act copies it whole for each step."""
    package, root = Path(beampermit.__file__).parent, own_root()
    ignore = shutil.ignore_patterns("__pycache__", "_source", "_template")
    shutil.copytree(package, into / "src/beampermit", ignore=ignore)
    for part in PARTS:
        held = root / part if (root / part).exists() else package / "_template" / part
        (into / part).parent.mkdir(parents=True, exist_ok=True)
        if held.is_dir():
            shutil.copytree(held, into / part, ignore=ignore)
        else:
            shutil.copyfile(held, into / part)
    return into


def lay_out_artifacts(into: Path) -> dict[str, Path]:
    """The stand-ins of `upload-artifact` and `download-artifact`, by that name, each a folder that act can run."""
    ours = Path(__file__).parent / "artifacts"
    found: dict[str, Path] = {}
    for verb in ("upload", "download"):
        folder = into / verb
        folder.mkdir(parents=True)
        shutil.copyfile(ours / verb / "action.yml", folder / "action.yml")
        shutil.copyfile(ours / "store.py", folder / "store.py")
        found[f"{verb}-artifact"] = folder
    return found
