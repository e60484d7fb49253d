"""The folders of a rehearsal: a clean clone as GitHub would check it out, and a copy of this Beampermit."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import beampermit
from beampermit.datasets.configuration import settings_in
from beampermit.errors import BadInput, Failed
from beampermit.git import LOCAL, OF_ORIGIN, Git, resolve_base
from beampermit.workflows.workflow import own_root

ACTOR = "rehearsal"


@dataclass(frozen=True)
class Clone:
    """The clone at `root`, checked out at `commit`. `base` and `head` are commits."""

    root: Path
    commit: str
    head: str
    base: str | None
    base_branch: str
    head_branch: str


def clone_for_pull_request(git: Git, into: Path, base: str | None, head: str | None) -> Clone:
    """A clone of the merge of `head` into `base`, which is what GitHub checks out for a pull request.

    Raises `BadInput` for an unknown commit, `Failed` for a merge conflict.
    """
    base_name = base or _default_base(git)
    # Nothing that this judges counts, so the base may be a local branch that is not pushed yet.
    base_commit = git.ref(LOCAL + base_name) or resolve_base(git, base_name)
    head_commit = _commit(git, head or "HEAD")
    branch = _branch_of_base(git, base_name)
    clone = _make(git, into, branch, base_commit)
    merged = clone.try_("merge-tree", "--write-tree", "--name-only", base_commit, head_commit)
    if merged.code:
        files = ", ".join(merged.out.split("\n\n")[0].splitlines()[1:]) or merged.tail
        raise Failed(f"{head or 'HEAD'} cannot be merged into {base_name}: {files}", hint=f"git merge {base_name}")
    # The merge has the date of its head, so that the same two commits always give the same merge commit.
    date = git("show", "--no-patch", "--format=%cI", head_commit)
    person = {"NAME": ACTOR, "EMAIL": f"{ACTOR}@localhost", "DATE": date}
    env = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in person.items()}
    tree, message = merged.out.splitlines()[0], f"Merge {head_commit} into {base_commit}"
    commit = clone("commit-tree", tree, "-p", base_commit, "-p", head_commit, "-m", message, env=env)
    clone("checkout", "--quiet", "--detach", commit)
    return Clone(into, commit, head_commit, base_commit, branch, _branch(git, head or "HEAD") or head_commit[:12])


def clone_for_push(git: Git, into: Path, head: str | None) -> Clone:
    """A clone of `head` as if it had just been pushed to the protected branch. Raises `BadInput`."""
    branch = _branch_of_base(git, _default_base(git))
    commit = _commit(git, head or "HEAD")
    clone = _make(git, into, branch, commit)
    clone("checkout", "--quiet", "-B", branch, commit)
    return Clone(into, commit, commit, git.resolve(f"{commit}^"), branch, branch)


def _make(git: Git, root: Path, branch: str, tip: str) -> Git:
    """A repository at `root` that shares the project's objects and remote-tracking refs; origin/`branch` is `tip`."""
    if git("rev-parse", "--is-shallow-repository") == "true":
        raise BadInput("this clone is shallow, and a rehearsal needs the whole history", hint="git fetch --unshallow")
    root.mkdir(parents=True)
    clone = Git(root)
    clone("init", "--quiet", "--initial-branch", branch, "--template=")
    alternates = root / ".git/objects/info/alternates"
    alternates.parent.mkdir(parents=True, exist_ok=True)
    alternates.write_text(git("rev-parse", "--path-format=absolute", "--git-path", "objects") + "\n")
    listed = git("for-each-ref", "--format=%(objectname) %(refname)", "refs/remotes/origin", "refs/tags").splitlines()
    refs = {name: commit for commit, name in (line.split(" ", 1) for line in listed) if not name.endswith("/HEAD")}
    refs[f"refs/remotes/origin/{branch}"] = tip
    clone("update-ref", "--stdin", stdin="".join(f"create {name} {commit}\n" for name, commit in refs.items()))
    url = git.try_("remote", "get-url", "origin")
    if url.code == 0:
        clone("remote", "add", "origin", _absolute(url.out.strip(), git.top.root))
    return clone


def _absolute(url: str, root: Path) -> str:
    """Relative paths are resolved from the project; other URLs stay unchanged."""
    local = (root / url).resolve()
    return str(local) if local.exists() else url


def _default_base(git: Git) -> str:
    default = git.default_branch()
    for ref in (*([OF_ORIGIN + default] if default else []), f"{OF_ORIGIN}main", f"{LOCAL}main"):
        if git.ref(ref):
            return ref
    raise BadInput("no main branch was found; name the base with --base", file=git.root, hint="git branch -a")


def _commit(git: Git, name: str) -> str:
    commit = git.resolve(name)
    if commit is None:
        raise BadInput(f"{name!r} is not a commit of this repository", file=git.root, hint="git log --oneline --all")
    return commit


def _branch_of_base(git: Git, name: str) -> str:
    """The branch that a base is the tip of; `main` for a commit."""
    for prefix in (OF_ORIGIN, LOCAL, "origin/"):
        name = name.removeprefix(prefix)
    return name if git.ref(OF_ORIGIN + name) or git.ref(LOCAL + name) else "main"


def _branch(git: Git, name: str) -> str | None:
    parsed = git.try_("rev-parse", "--abbrev-ref", "--verify", name)
    short = parsed.out.strip().removeprefix("origin/")
    return short if parsed.code == 0 and short not in ("", "HEAD") else None


def share_local_remotes(project: Path, clone: Clone, git: Git) -> None:
    """Let the clone find DVC remotes that are folders relative to the project."""
    text = git.read(clone.base or clone.commit, ".dvc/config") or git.read(clone.commit, ".dvc/config")
    if not text:
        return
    base = project / ".dvc"
    lines: list[str] = []
    for name, url in settings_in(text, ".dvc/config").items():
        section, _, key = name.rpartition(".")
        relative = key == "url" and "://" not in url and not os.path.isabs(url)  # noqa: PTH117
        if section.strip("'").startswith("remote ") and relative:
            lines += [f"[{section}]", f"    url = {(base / url).resolve()}"]
    if lines:
        local = clone.root / git.prefix / ".dvc"
        local.mkdir(parents=True, exist_ok=True)
        (local / "config.local").write_text("\n".join(lines) + "\n")


PARTS = ("template", "actions", ".github/workflows", "cookiecutter.json", "pyproject.toml", "requirements.lock")
"""What jobs need of this repository besides the package."""


LINKED = ("src", "template")
"""Hundreds of files that only `actions/setup` reads."""


def lay_out(into: Path) -> Path:
    """Copy what actions need of this repository to `into`, and no more: act copies all of it for each step.

    So the largest folders are links, which act copies as such, to a folder beside `into`.
    """
    package, root = Path(beampermit.__file__).parent, own_root()
    ignore = shutil.ignore_patterns("__pycache__", "_source", "_template")
    beside = into.with_name(f"{into.name}-linked")
    for folder in LINKED:
        (beside / folder).mkdir(parents=True)
        into.mkdir(parents=True, exist_ok=True)
        (into / folder).symlink_to(beside / folder)
    shutil.copytree(package, into / "src/beampermit", ignore=ignore)
    for part in PARTS:
        source = root / part if (root / part).exists() else package / "_template" / part
        (into / part).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, into / part, ignore=ignore, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, into / part)
    return into


def lay_out_artifacts(into: Path) -> dict[str, Path]:
    """The folders of the replacements of `upload-artifact` and `download-artifact`, by these names."""
    source = Path(__file__).parent / "artifacts"
    actions: dict[str, Path] = {}
    for verb in ("upload", "download"):
        folder = into / verb
        folder.mkdir(parents=True)
        shutil.copyfile(source / verb / "action.yml", folder / "action.yml")
        shutil.copyfile(source / "store.py", folder / "store.py")
        actions[f"{verb}-artifact"] = folder
    return actions
