"""One rehearsal: clone, plan, run act, and a result for every expected job."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from beampermit.cache import cache_folder
from beampermit.errors import BadInput
from beampermit.files import write_json, write_text
from beampermit.git import Git
from beampermit.project import Project
from beampermit.rehearsal import payloads, runner, stage
from beampermit.rehearsal.act_log import Watch, follow
from beampermit.rehearsal.github_stand_in import read_rulesets, serve_github
from beampermit.rehearsal.plan import Plan, make_plan
from beampermit.rehearsal.record import Rehearsal

Kind = Literal["pull-request", "release", "rollback", "registry"]
FILES: Mapping[Kind, str] = {
    "pull-request": ".github/workflows/pull-request.yml",
    "release": ".github/workflows/release.yml",
    "rollback": ".github/workflows/rollback.yml",
    "registry": ".github/workflows/registry.yml",
}
EVENTS: Mapping[Kind, str] = {
    "pull-request": "pull_request",
    "release": "push",
    "rollback": "workflow_dispatch",
    "registry": "workflow_dispatch",
}
SECRETS = ("BEAMPERMIT_SIGNING_KEY", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
"""Variables that jobs get as secrets."""
PREFIX = "beampermit-rehearsal-"


def rehearse(
    project: Project,
    kind: Kind,
    *,
    base: str | None = None,
    head: str | None = None,
    workflow: str | None = None,
    inputs: Mapping[str, str] | None = None,
    labels: tuple[str, ...] = (),
    timeout: float | None = None,
    keep: bool = False,
    watch: Watch = lambda _: None,
) -> Rehearsal:
    """Run the project's workflow for a pull request of `head` into `base`, for a push of `head` to the main branch, or
    for a dispatch there with `inputs`.

    `labels` are further runner labels of this machine; `timeout` is in seconds; `keep` keeps the jobs' work trees. Logs
    and artifacts stay in `.beampermit/rehearsals/<time>`. Raises `BadInput` for unknown commits and missing files,
    `Failed` for a merge conflict, `Outside` after `timeout`.
    """
    start = time.perf_counter()
    folder = _folder(project)
    _remove_leftovers()
    work = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    try:
        clone = _clone(project, kind, work / "clone", base, head)
        own = stage.lay_out(work / "beampermit")
        plan = make_plan(clone.root, workflow or FILES[kind], own, stage.lay_out_artifacts(work / "artifacts"))
        if EVENTS[kind] not in plan.workflow.events:
            raise BadInput(f"this workflow does not run on {EVENTS[kind]}", file=plan.workflow.file)
        rulesets = read_rulesets(project.git.top, _ruled_by(clone, kind))
        with serve_github(rulesets, clone.base_branch, folder / "releases") as api:
            call = _call(project, kind, clone, plan, work, folder, labels, api, inputs or {})
            runner.prepare(call)
            jobs, trouble = follow(plan, call, folder, timeout, watch)
    finally:
        if not keep:
            _remove(work)
    rehearsal = Rehearsal(
        event=kind,
        workflow=plan.workflow.file,
        commit=clone.commit,
        base=clone.base,
        head=clone.head,
        jobs=jobs,
        seconds=round(time.perf_counter() - start, 2),
        folder=str(folder),
        artifacts=str(folder / "artifacts"),
        trouble=trouble,
    )
    write_text(folder / "rehearsal.json", rehearsal.model_dump_json(indent=2) + "\n")
    return rehearsal


def _folder(project: Project) -> Path:
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = project.own / "rehearsals" / name
    (folder / "artifacts").mkdir(parents=True)
    (folder / "jobs").mkdir()
    return folder


def _remove_leftovers() -> None:
    """Remove the work trees, and with them the secrets, of rehearsals that were killed."""
    import psutil

    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            _remove(folder)


def _remove(work: Path) -> None:
    """Remove the secrets, and let a process of its own remove the rest: an environment takes many seconds.

    It goes on after this command has ended, and nobody sees where it fails: what is left is removed by the next one.
    """
    (work / runner.SECRETS_FILE).unlink(missing_ok=True)
    subprocess.run(["sh", "-c", 'rm -rf "$0" > /dev/null 2>&1 &', str(work)], stdin=subprocess.DEVNULL, check=False)


def _clone(project: Project, kind: Kind, into: Path, base: str | None, head: str | None) -> stage.Clone:
    if kind == "pull-request":
        clone = stage.clone_for_pull_request(project.git, into, base, head)
    else:
        clone = stage.clone_for_push(project.git, into, head)
    stage.share_local_remotes(project.root, clone, project.git)
    return clone


def _call(
    project: Project,
    kind: Kind,
    clone: stage.Clone,
    plan: Plan,
    work: Path,
    folder: Path,
    labels: tuple[str, ...],
    api: str,
    inputs: Mapping[str, str],
) -> runner.Call:
    repository = _repository(project)
    Git(clone.root)("remote", "add", "github", f"https://github.com/{repository}")
    if kind == "pull-request":
        payload = payloads.pull_request(
            repository,
            number=1,
            base=clone.base or "",
            base_branch=clone.base_branch,
            head=clone.head,
            head_branch=clone.head_branch,
        )
    elif EVENTS[kind] == "workflow_dispatch":
        payload = payloads.dispatch(repository, branch=clone.base_branch, inputs=inputs)
    else:
        payload = payloads.push(repository, branch=clone.base_branch, before=clone.base, after=clone.commit)
    write_json(folder / "event.json", payload)
    return runner.Call(
        event_name=EVENTS[kind],
        workflow=plan.workflow.file,
        event=folder / "event.json",
        clone=clone.root,
        work=work,
        artifacts=folder / "artifacts",
        repository=repository,
        run=re.sub(r"\D", "", folder.name),
        repositories=plan.repositories,
        labels=labels,
        secrets={name: value for name in SECRETS if (value := _secret(name))},
        variables={"MLFLOW_TRACKING_URI": _tracking_uri(project)},
        # A workflow that moves the champion uses nothing that another run installed.
        tools=_shared_tools() if kind == "pull-request" else work / "tools",
        api=api,
    )


def _ruled_by(clone: stage.Clone, kind: Kind) -> str:
    """The commit whose ruleset applies: that of the protected branch, which a pull request cannot change."""
    return clone.base if kind == "pull-request" and clone.base else clone.commit


def _repository(project: Project) -> str:
    """`owner/name` of the origin, invented where it is not on GitHub."""
    url = project.git.try_("remote", "get-url", "origin").out.strip()
    match = re.search(r"[/:]([\w.-]+)/([\w.-]+?)(?:\.git)?/?$", url) if "://" in url or "@" in url else None
    return f"{match[1]}/{match[2]}" if match else f"rehearsal/{re.sub(r'[^A-Za-z0-9._-]', '-', project.root.name)}"


def _tracking_uri(project: Project) -> str:
    """The user's registry, none if it is not set; jobs run in another folder, so a relative path is made absolute."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    file = re.fullmatch(r"sqlite:///(?!/)(.+)", uri)
    return f"sqlite:///{(project.root / file[1]).resolve()}" if file else uri


def _secret(name: str) -> str:
    """The value of a variable or, where that is a path, the content of the file, as GitHub would store it."""
    value = os.environ.get(name, "")
    path = Path(value) if value and "\n" not in value and len(value) < 4096 else None
    return path.read_text() if path and path.is_file() else value


def _shared_tools() -> Path:
    """What rehearsals of pull requests install is kept, as on a runner of your own."""
    return cache_folder() / "tools"
