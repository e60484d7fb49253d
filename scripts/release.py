"""Make a release: `make release VERSION=1.2.3`. Nothing is pushed: its last lines say how.

Everything is made in a worktree of its own. The branch moves in one step when all is built and checked, the signed tags
follow. What is killed before that step is begun again by the next run, what is killed after it is finished.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from pin import TAG, move, pins
from running import git, run, say, try_git

ROOT = Path(__file__).resolve().parents[1]
UNRELEASED = "## Unreleased"
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
INSTALLED = re.compile(r"(?P<name>\bbeampermit(?:\[[a-z,]+\])?==)\d+\.\d+\.\d+")
"""What a page says to install."""
ANSWERS_WITHIN = 60.0
"""Seconds that origin has to answer, a passphrase typed for it included."""
PLACES = {
    "pyproject.toml": re.compile(r'(?m)^(version = ")[^"]+(")$'),
    "src/beampermit/__init__.py": re.compile(r'(?m)^(__version__ = ")[^"]+(")$'),
    "CITATION.cff": re.compile(r"(?m)^(version: )\S+()$"),
}
"""File -> where it says the version."""
KEY = """git cannot sign, and a release is signed: {said}
  a key of ssh: ssh-keygen -t ed25519 -f ~/.ssh/beampermit-release
  then: git config gpg.format ssh && git config user.signingkey ~/.ssh/beampermit-release.pub
  a key of GPG: gpg --quick-generate-key "$(git config user.email)" ed25519 sign"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("version", help="such as 1.2.3; for --notes and --major also the tag, v1.2.3")
    parser.add_argument("--branch", default="main", help="the branch that is released")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--notes", action="store_true", help="print what the changelog says of a version, and end")
    only.add_argument("--major", action="store_true", help="print the major tag that moves to this version, if any")
    options = parser.parse_args()
    version = options.version.removeprefix("v") if options.notes or options.major else options.version
    if not VERSION.fullmatch(version):
        sys.exit(f"{options.version!r} is not a version: three numbers, such as 1.2.3")
    if options.notes:
        say(notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version))
    elif options.major:
        say(major_tag(version, git(ROOT, "tag", "--list").splitlines()))
    else:
        with _alone():
            release(version, options.branch)


def release(version: str, branch: str) -> None:
    """Make commits, distributions and tags of `version`, or finish what a killed run left of them."""
    refuse_what_is_not_ready(version, branch)
    begun = prepared(version, branch)
    if begun is None:
        refuse_what_cannot_begin(version, branch)
    with _worktree(begun or "HEAD") as work:
        commit = begun or prepare(work, version, datetime.now(UTC).date())
        refuse_other_pins(work, version)
        files = build(work, version)
        if begun is None:
            say(f"{branch} moves to {commit[:12]}")
            git(ROOT, "merge", "--quiet", "--ff-only", commit)
        _keep(files)
    _tag(TAG.format(version=version), f"{commit}^", f"The workflows and actions of Beampermit {version}")
    _tag(f"v{version}", commit, f"Beampermit {version}")
    tags = f"v{version} {TAG.format(version=version)}"
    say(f"\n{version} is made: {', '.join(f'dist/{file.name}' for file in files)}, and the tags {tags}")
    say(f"  publish it: git push --atomic origin {branch} {tags}")
    if git(ROOT, "rev-parse", branch) == commit:
        say(f"  or undo it: git tag --delete {tags} && git reset --keep {commit[:12]}~3")


def refuse_what_is_not_ready(version: str, branch: str) -> None:
    """End where nothing can be released from this checkout as it is."""
    if changed := git(ROOT, "status", "--porcelain").splitlines():
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        sys.exit(f"{changed[0][3:]}{more} is not committed\n  then: git status")
    here = try_git(ROOT, "symbolic-ref", "--short", "HEAD").stdout.strip()
    if here != branch:
        sys.exit(f"releases are made on {branch}, and this is {here or 'not a branch'}\n  then: git switch {branch}")
    refuse_what_origin_has_more(version, branch)
    if _has_tag(f"v{version}"):
        sys.exit(f"the tag v{version} exists, and a version is released once\n  then: git show v{version}")
    signed = try_git(ROOT, "commit-tree", "-S", "-m", "Can this be signed?", "HEAD^{tree}")
    if signed.returncode:
        sys.exit(KEY.format(said=(signed.stderr.strip().splitlines() or ["no reason was given"])[0]))


def refuse_what_origin_has_more(version: str, branch: str) -> None:
    """End where origin has a tag of this version, or commits that are not here. It is asked, and nothing is fetched."""
    head, tags = f"refs/heads/{branch}", (f"v{version}", TAG.format(version=version))
    now = _at_origin(head, *(f"refs/tags/{tag}" for tag in tags))
    if now is None:
        now = {head: try_git(ROOT, "rev-parse", "--verify", "--quiet", f"refs/remotes/origin/{branch}").stdout.strip()}
    if there := [tag for tag in tags if f"refs/tags/{tag}" in now]:
        sys.exit(f"origin has a tag {there[0]}, and a version is released once\n  then: git fetch --tags")
    newest = now.get(head)
    if newest and try_git(ROOT, "merge-base", "--is-ancestor", newest, "HEAD").returncode:
        sys.exit(f"{branch} lacks commits of origin/{branch}, up to {newest[:12]}\n  then: git pull --ff-only")


def _at_origin(*names: str) -> dict[str, str] | None:
    """Name -> commit, as origin has it now; None where there is no origin, or none that answers, which is said."""
    if try_git(ROOT, "remote", "get-url", "origin").returncode:
        return None
    try:
        done = try_git(ROOT, "ls-remote", "origin", *names, timeout=ANSWERS_WITHIN)
    except subprocess.TimeoutExpired:
        return _unasked(f"no answer within {ANSWERS_WITHIN:.0f} seconds")
    if done.returncode:
        return _unasked((done.stderr.strip().splitlines() or ["git says no reason"])[0])
    rows = (line.partition("\t") for line in done.stdout.splitlines())
    return {name: commit for commit, _, name in rows}


def _unasked(reason: str) -> None:
    sys.stderr.write(f"origin does not answer ({reason}): its commits are those of the last fetch\n")


def refuse_what_cannot_begin(version: str, branch: str) -> None:
    """End where this is no next version, or has nothing to say."""
    now = _version_of(ROOT)
    if _numbers(version) < _numbers(now):
        sys.exit(f"{version} is older than {now}, which is the version of {branch}")
    if _has_tag(tag := TAG.format(version=version)):
        sys.exit(f"the tag {tag} exists, of another release\n  then: git show {tag}")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if f"## {version} - " in changelog:
        sys.exit(f"CHANGELOG.md has a section {version} already, with no tag v{version}\n  then: git log CHANGELOG.md")
    if not _lines_of(changelog, UNRELEASED):
        sys.exit(f"CHANGELOG.md has nothing below {UNRELEASED!r}: say what users notice of {version}")


def prepared(version: str, branch: str) -> str | None:
    """The last commit of a release whose tags are missing: a run was killed before it had made them."""
    for line in git(ROOT, "log", "--first-parent", "--max-count=200", "--format=%H %s", branch).splitlines():
        commit, _, subject = line.partition(" ")
        if subject == _subjects(version)[2]:
            return commit
    return None


def prepare(work: Path, version: str, today: date) -> str:
    """Commit version and changelog, then the pins twice; returns the last commit."""
    write_version(work, version, today)
    first, second, third = _subjects(version)
    actions = _commit(work, first)
    move(actions, TAG.format(version=version), work)
    workflows = _commit(work, second)
    move(workflows, TAG.format(version=version), work)
    return _commit(work, third)


def write_version(root: Path, version: str, today: date) -> None:
    """Write the version wherever it stands, and give the changelog's newest section its heading."""
    for name, place in PLACES.items():
        _edit(root / name, lambda text, place=place: place.sub(rf"\g<1>{version}\g<2>", text, count=1))
        if version not in (root / name).read_text(encoding="utf-8"):
            sys.exit(f"{name} has no line that says the version")
    released = f"date-released: {today}\n"
    _edit(root / "CITATION.cff", lambda text: re.sub(r"(?m)^date-released: .*\n", "", text))
    _edit(root / "CITATION.cff", lambda text: re.sub(r"(?m)^(version: .*\n)", rf"\g<1>{released}", text))
    for page in (root / "README.md", *sorted((root / "docs").rglob("*.md"))):
        _edit(page, lambda text: INSTALLED.sub(rf"\g<name>{version}", text))
    heading = f"{UNRELEASED}\n\n## {version} - {today}"
    _edit(root / "CHANGELOG.md", lambda text: text.replace(UNRELEASED, heading, 1))


def refuse_other_pins(work: Path, version: str) -> None:
    """End unless every pin names the commit before the last, by its tag."""
    expected = (git(work, "rev-parse", "HEAD^"), TAG.format(version=version))
    for file, match in pins(work):
        if (match["commit"], match["version"]) != expected:
            where = f"{file.relative_to(work)}: {match['path']} is pinned to {match['commit'][:12]}"
            sys.exit(f"{where}, and {version} is pinned to {expected[0][:12]}\n  then: git log --oneline -5")


def build(work: Path, version: str) -> list[Path]:
    """Build sdist, and wheel from it; checked, in `dist` of the worktree."""
    say("building sdist and wheel")
    run([_uv(), "build", "--quiet", "--out-dir", str(work / "dist"), str(work)], cwd=work)
    wheel = work / f"dist/beampermit-{version}-py3-none-any.whl"
    sdist = work / f"dist/beampermit-{version}.tar.gz"
    refuse_a_wheel_that_lacks_files(wheel, git(work, "ls-files", "-z").split("\0"))
    site = work / "dist/site"
    run([_uv(), "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)], cwd=work)
    code = "import beampermit.cli.main as main; print(main.__file__); main.run()"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    said = run([sys.executable, "-c", code, "--version"], cwd=site, env=environment).splitlines()
    if not said[0].startswith(str(site)) or said[1:] != [f"beampermit {version}"]:
        sys.exit(f"the wheel, installed, says {' '.join(said)!r} in place of its version {version}")
    return [wheel, sdist]


def refuse_a_wheel_that_lacks_files(wheel: Path, tracked: list[str]) -> None:
    """End unless the wheel has the package, the template, and actions and workflows with their locks."""
    from beampermit.rehearsal.stage import PARTS  # noqa: PLC0415 - the workflow prints notes with Python alone

    with zipfile.ZipFile(wheel) as opened:
        held = set(opened.namelist())
    parts = tuple(f"{part}/" if "." not in Path(part).name else part for part in PARTS)
    needed = [name for name in tracked if name.startswith(("src/beampermit/", *parts, ".github/workflows/"))]
    if lacks := [name for name in needed if _place(name) not in held]:
        sys.exit(f"the wheel lacks {lacks[0]} and {len(lacks) - 1} more\n  then: look at tool.hatch in pyproject.toml")


def notes(changelog: str, version: str) -> str:
    """What the changelog says of a version, for its page on GitHub."""
    heading = next((line for line in changelog.splitlines() if line.startswith(f"## {version} - ")), None)
    if heading is None:
        sys.exit(f"CHANGELOG.md has no section {version}")
    return "\n".join(_lines_of(changelog, heading, all_of_it=True)).strip()


def major_tag(version: str, tags: list[str]) -> str:
    """`v1` where this is the newest version 1; empty for a correction of an older one."""
    major = _numbers(version)[0]
    known = [_numbers(tag[1:]) for tag in tags if tag.startswith("v") and VERSION.fullmatch(tag[1:])]
    return f"v{major}" if _numbers(version) >= max((one for one in known if one[0] == major), default=()) else ""


def _lines_of(changelog: str, heading: str, *, all_of_it: bool = False) -> list[str]:
    """The lines of a section; headings and empty ones alone say nothing."""
    _, found, rest = f"\n{changelog}".partition(f"\n{heading}\n")
    lines = re.split(r"(?m)^## ", rest, maxsplit=1)[0].splitlines() if found else []
    said = [line for line in lines if line.strip() and not line.startswith("#")]
    return lines if said and all_of_it else said


def _subjects(version: str) -> tuple[str, str, str]:
    base = f"Version {version}"
    return base, f"{base}: its workflows use its actions", f"{base}: new projects call its workflows"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def _version_of(root: Path) -> str:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def _place(name: str) -> str:
    """Where the wheel has a file of the repository."""
    if name.startswith("src/"):
        return name.removeprefix("src/")
    return f"beampermit/{'_template' if name.startswith(('template/', 'cookiecutter.json')) else '_source'}/{name}"


def _commit(work: Path, subject: str) -> str:
    git(work, "commit", "--quiet", "--all", "--no-verify", "--message", subject)
    return git(work, "rev-parse", "HEAD")


def _tag(name: str, commit: str, message: str) -> None:
    if _has_tag(name) and git(ROOT, "rev-parse", f"{name}^{{commit}}") == git(ROOT, "rev-parse", commit):
        return
    git(ROOT, "tag", "--sign", "--message", message, name, commit)


def _has_tag(name: str) -> bool:
    return try_git(ROOT, "rev-parse", "--verify", "--quiet", f"refs/tags/{name}").returncode == 0


def _keep(files: list[Path]) -> None:
    """Move what was built to `dist/`."""
    out = ROOT / "dist"
    out.mkdir(exist_ok=True)
    for file in files:
        partial = out / f".{file.name}.partial"
        shutil.copyfile(file, partial)
        partial.replace(out / file.name)


@contextmanager
def _worktree(commit: str) -> Iterator[Path]:
    """A worktree at `commit`, apart from the checkout; what a killed run left of one is removed first."""
    work = Path(git(ROOT, "rev-parse", "--path-format=absolute", "--git-common-dir")) / "release"
    _remove(work)
    git(ROOT, "worktree", "add", "--quiet", "--detach", str(work), commit)
    try:
        yield work
    finally:
        _remove(work)


def _remove(work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    git(ROOT, "worktree", "prune")


@contextmanager
def _alone() -> Iterator[None]:
    """Two releases at once would have one worktree."""
    common = Path(git(ROOT, "rev-parse", "--path-format=absolute", "--git-common-dir"))
    with (common / "release.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit("another release is being made in this checkout: wait until it ends")
        yield


def _edit(file: Path, change: Callable[[str], str]) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(change(text), encoding="utf-8")


def _uv() -> str:
    import uv  # noqa: PLC0415 - as above

    return uv.find_uv_bin()


if __name__ == "__main__":
    main()
