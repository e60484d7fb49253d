"""Copy this repository for another owner, name or host: `make mirror OWNER=lab HOST=git.lab.example TO=FOLDER`.

What names this repository is rewritten, in reusable workflows and actions too, and pinned twice to the copy's own
commits; a project generated from the copy is rehearsed. Run again, the copy gets what is new, on top of what it has.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifacts_v3 import refuse_other_inputs, run_on_enterprise_server, unsupported
from pin import files, missing, move, pins
from running import git, run, say, try_git

ROOT = Path(__file__).resolve().parents[1]
HOME = "https://github.com/beampermit/beampermit"
HUB, OURS = HOME.removeprefix("https://").split("/", 1)
ANSWER = r"(?=\{+[\w .\[']*beampermit_repository)"
"""What follows the host where template and code have the project's answer in place of our name."""
NAMES = {
    "owner": re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?"),
    "name": re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}(?<!\.git)"),
    "host": re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?"),
}
USE = re.compile(r"^\s*(?:- )?uses:\s*['\"]?(?P<repository>[\w.-]+/[\w.-]+)", re.MULTILINE)
PERMIT = "ml / permit"
"""The job of a pull request that downloads the verdicts of all others."""


@dataclass(frozen=True)
class Place:
    """Where the copy is on GitHub, or on a server of it."""

    owner: str
    name: str
    host: str

    @property
    def repository(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def url(self) -> str:
        return f"https://{self.host}/{self.repository}"

    def rewritten(self, text: str) -> str:
        """A text that names this place in place of ours."""
        text = re.sub(rf"https://{HUB}/{ANSWER}", f"https://{self.host}/", text)
        text = text.replace(HOME, self.url)
        short = f"gh:{self.repository}" if self.host == "github.com" else self.url
        text = text.replace(f"gh:{OURS}", short)
        if OURS not in text:  # as in most files, in which a look behind each letter takes long
            return text
        return re.sub(rf"(?<![\w./-]){OURS}(?![\w-])", self.repository, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--owner", required=True, help="organization or person that has the copy")
    parser.add_argument("--name", default="beampermit", help="its name there")
    parser.add_argument("--host", default=HUB, help="its server, such as git.lab.example")
    parser.add_argument(
        "--to", required=True, type=Path, help="folder of the copy: a new one, or that of an earlier run"
    )
    parser.add_argument("--enterprise-server", action="store_true", help="use the artifact actions that it runs")
    parser.add_argument("--no-rehearsal", action="store_true", help="rehearse nothing")
    options = parser.parse_args()
    for name, form in NAMES.items():
        if not form.fullmatch(getattr(options, name)):
            sys.exit(
                f"{getattr(options, name)!r} is no {name} of a repository; of https://HOST/OWNER/NAME give each alone"
            )
    if options.to.resolve() == Path.cwd():  # also where nothing is named
        sys.exit(f"TO={shlex.quote(str(options.to))} is this folder: name that of the copy, such as TO=../copy")
    place = Place(options.owner, options.name, options.host)
    commit = mirror(place, options.to.resolve(), enterprise_server=options.enterprise_server)
    if not options.no_rehearsal:
        say("a project that is generated from it is rehearsed: a minute or two")
        rehearse(place, options.to.resolve())
    say(f"\n{options.to} at {commit[:12]} is {place.url}; projects of it call that repository alone")
    say(f"  push it: git -C {shlex.quote(str(options.to))} push {place.url}.git main {_tags_of(options.to)}".rstrip())
    say("  what it needs besides: beampermit mirror list")


def mirror(place: Place, to: Path, *, enterprise_server: bool) -> str:
    """Make the copy at `to`, or give it what is new; returns its newest commit. Its branch moves at the end."""
    upstream = git(ROOT, "rev-parse", "HEAD")
    if git(ROOT, "status", "--porcelain"):
        sys.stderr.write(f"what is not committed here is not copied; the copy is of {upstream[:12]}\n")
    before = _begin(place, to)
    identify(to)
    git(to, "fetch", "--quiet", "--no-tags", str(ROOT), upstream)
    git(to, "checkout", "--quiet", "--force", "--detach", upstream)
    rewrite(to, place)
    if enterprise_server:
        for file in files(to):
            if action := unsupported(_read(file)):
                file.unlink()
                say(f"{file.relative_to(to)} is not in the copy: Enterprise Server does not run {action}")
            else:
                _edit(file, run_on_enterprise_server)
    parents = [word for parent in (before, upstream) if parent for word in ("-p", parent)]
    version = _version_of(upstream)
    label = f"workflows-{version}" if version else "main"
    git(to, "add", "--all")
    message = f"Beampermit {version or upstream[:12]} as {place.url}"
    git(to, "checkout", "--quiet", "--detach", git(to, "commit-tree", "-m", message, *parents, git(to, "write-tree")))
    for what in ("Workflows use the copy's own actions", "New projects call the copy's own workflows"):
        move(git(to, "rev-parse", "HEAD"), label, to, place.repository)
        git(to, "commit", "--quiet", "--all", "--no-verify", "--message", what)
    refuse_what_is_not_of_the_copy(to, place, enterprise_server=enterprise_server)
    git(to, "checkout", "--quiet", "-B", "main")
    if version:
        git(to, "tag", "--force", label, "HEAD^")
        git(to, "tag", "--force", version, "HEAD")
    return git(to, "rev-parse", "HEAD")


def identify(to: Path) -> None:
    """Let the copy's commits be of whom git knows there, else of whom it knows in this clone; end if it is nobody."""
    if _unknown(to):
        for key in ("user.name", "user.email"):
            if value := try_git(ROOT, "config", key).stdout.strip("\n"):
                git(to, "config", key, value)
    if said := _unknown(to):
        hint = "git config user.name NAME && git config user.email ADDRESS"
        sys.exit(f"git knows nobody whose commits the copy's are: {said}\n  then: {hint}")


def _unknown(root: Path) -> str:
    """What git says where it does not know who commits."""
    asked = [try_git(root, "var", name) for name in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT")]
    said = next((done.stderr.strip().splitlines() for done in asked if done.returncode), None)
    return "" if said is None else said[-1].removeprefix("fatal: ") if said else "no reason was given"


def rewrite(root: Path, place: Place) -> None:
    """Name the place of the copy in every text that names ours."""
    for name in git(root, "ls-files", "-z").split("\0"):
        file = root / name
        if not file.is_file() or file.is_symlink():
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if (new := place.rewritten(text)) != text:
            file.write_text(new, encoding="utf-8", newline="")


def refuse_what_is_not_of_the_copy(root: Path, place: Place, *, enterprise_server: bool) -> None:
    """End where anything in the copy still calls us, or what is not in the copy."""
    left = try_git(
        root, "grep", "-n", "-I", "-E", rf"(^|[^[:alnum:]_./-]){OURS}([^[:alnum:]_-]|$)|https://{HUB}/{OURS}"
    )
    if place.repository != OURS and left.stdout:
        sys.exit(f"the copy still names {OURS}: {left.stdout.splitlines()[0]}")
    for file in files(root):
        text = file.read_text(encoding="utf-8")
        for use in USE.finditer(text):
            if use["repository"].lower() == OURS and place.repository != OURS:
                line = text.count("\n", 0, use.start("repository")) + 1
                sys.exit(f"{file.relative_to(root)}:{line} still uses {use['repository']}; write it as {OURS}")
        if enterprise_server:
            refuse_other_inputs(text, str(file.relative_to(root)))
    pinned = git(root, "rev-parse", "HEAD^")
    named = {match["commit"] for _, match in pins(root, place.repository)}
    if named != {pinned} or missing(pinned, root, place.repository):
        sys.exit(f"the copy's pins name {', '.join(sorted(named)) or 'nothing'} in place of its own commit {pinned}")


def rehearse(place: Place, to: Path) -> None:
    """Generate a project with the copy's own code, and run its pull request with the copy's workflows under act.

    The project has no lock and no data, so no permit is made. Looked at is that the verdicts of all jobs say so.
    """
    environment = {**os.environ, "PYTHONPATH": str(to / "src")}
    beampermit = [sys.executable, "-m", "beampermit.cli.main"]
    work = Path(tempfile.mkdtemp(prefix="beampermit-mirror-"))
    new = ("new", "--no-input", "--no-lock", "--answer", "project_slug=mirrored", "--answer", "environment=uv")
    run([*beampermit, *new], work, environment)
    project = work / "mirrored"
    uses = [use for file in (project / ".github").rglob("*.yml") for use in USE.finditer(_read(file))]
    if {use["repository"] for use in uses} != {place.repository}:
        sys.exit(f"a new project calls {', '.join(sorted({use['repository'] for use in uses} - {place.repository}))}")
    identity = ("-c", "user.name=mirror", "-c", "user.email=mirror@localhost")
    git(project, "add", "--all")
    git(project, *identity, "commit", "--quiet", "--allow-empty", "--message", "A new project")
    git(project, "switch", "--quiet", "--create", "topic")
    git(project, *identity, "commit", "--quiet", "--allow-empty", "--message", "A change")
    command = [*beampermit, "rehearse", "pull-request", "--json"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    try:
        jobs = {job["name"]: job for job in json.loads(done.stdout)["jobs"]}
    except (json.JSONDecodeError, KeyError):
        sys.exit(f"the rehearsal ended without a result:\n{done.stderr.strip()}")
    refuse_a_rehearsal(jobs)
    shutil.rmtree(work)


def refuse_a_rehearsal(jobs: dict[str, dict[str, Any]]) -> None:
    """End unless every job ran, and the permit was judged by the verdicts of all of them."""
    for name, job in jobs.items():
        if not job["log"]:
            sys.exit(f"the rehearsal did not run {name}: {job['reason']}")
    permit = jobs[PERMIT]
    said = _read(Path(permit["log"]))
    if "no permit for" not in said or "has no verdict" in said:
        sys.exit(f"the job permit did not get the verdicts of the others: {permit['reason']}\n  log: {permit['log']}")


def _begin(place: Place, to: Path) -> str:
    """A repository at `to`; the newest commit of an earlier run, or an empty text."""
    if not to.exists() or not any(to.iterdir()):
        to.mkdir(parents=True, exist_ok=True)
        git(to, "init", "--quiet", "--initial-branch", "main", "--template=")
        git(to, "config", "beampermit.mirror", place.url)
    made_as = try_git(to, "config", "--local", "beampermit.mirror").stdout.strip()
    if made_as != place.url:
        sys.exit(f"{to} is {f'the copy for {made_as}' if made_as else 'no copy of an earlier run'}: name a new folder")
    if try_git(to, "rev-parse", "--verify", "--quiet", "main").returncode:
        return ""
    # A run that was killed left its half-done files on no branch; those of the branch are someone's.
    if try_git(to, "symbolic-ref", "--quiet", "HEAD").returncode == 0 and git(to, "status", "--porcelain"):
        sys.exit(f"{to} has changes that are not committed\n  then: git -C {shlex.quote(str(to))} status")
    return git(to, "rev-parse", "main")


def _version_of(commit: str) -> str:
    """The tag of this commit, where it is a release."""
    tags = git(ROOT, "tag", "--points-at", commit).splitlines()
    return next((tag for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag)), "")


def _tags_of(to: Path) -> str:
    return " ".join(git(to, "tag", "--points-at", "HEAD").split() + git(to, "tag", "--points-at", "HEAD^").split())


def _edit(file: Path, change: Callable[[str, str], str]) -> None:
    text = _read(file)
    if (new := change(text, file.name)) != text:
        file.write_text(new, encoding="utf-8", newline="")


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


if __name__ == "__main__":
    main()
