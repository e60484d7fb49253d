"""One rehearsal from beginning to end: clone, plan, run, and a result for every job that the files promise."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from beampermit.errors import BadInput
from beampermit.files import write_json, write_text
from beampermit.git import Git
from beampermit.github import event
from beampermit.project import Project
from beampermit.rehearsal import log, rules, runner, source, stage
from beampermit.rehearsal.plan import Expected, Plan, make_plan
from beampermit.rehearsal.record import Rehearsal, RehearsedJob, Result

Kind = Literal["pull-request", "release", "rollback", "registry"]
Watch = Callable[[RehearsedJob], None]
"""Told of a job whenever its state or its step changes."""
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
"""Variables of ours that jobs get as secrets."""
PREFIX = "beampermit-rehearsal-"
TAIL = 12
"""Lines that are shown of a job that failed."""


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
    for a dispatch from there with `inputs`.

    `labels` are further runner labels that this machine stands for; `timeout` is in seconds; `keep` leaves the jobs'
    work trees where they are. Logs and artifacts stay in `.beampermit/rehearsals/<time>`.

    Raises `BadInput` for names and files that are not there, `Tripped` where base and head cannot be merged, `Outside`
    after `timeout`.
    """
    start = time.perf_counter()
    folder = _folder(project)
    _remove_left_over()
    work = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    try:
        clone = _clone(project, kind, work / "clone", base, head)
        own = source.lay_out(work / "beampermit")
        plan = make_plan(clone.root, workflow or FILES[kind], own, source.lay_out_artifacts(work / "artifacts"))
        if EVENTS[kind] not in plan.workflow.events:
            raise BadInput(f"this workflow does not run on {EVENTS[kind]}", file=plan.workflow.file)
        ruleset = rules.ruleset_of(project.git, _ruled_by(clone, kind))
        with rules.standing_in(ruleset, clone.base_branch, folder / "releases") as api:
            call = _call(project, kind, clone, plan, work, folder, labels, api, inputs or {})
            runner.prepare(call)
            jobs, trouble = _follow(plan, call, folder, timeout, watch)
    finally:
        if not keep:
            shutil.rmtree(work, ignore_errors=True)
    found = Rehearsal(
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
    write_text(folder / "rehearsal.json", found.model_dump_json(indent=2) + "\n")
    return found


def _folder(project: Project) -> Path:
    """A new folder for what stays."""
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = project.own / "rehearsals" / name
    (folder / "artifacts").mkdir(parents=True)
    (folder / "jobs").mkdir()
    return folder


def _remove_left_over() -> None:
    """Remove the work trees, and with them the secrets, of rehearsals that were killed."""
    import psutil

    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


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
        payload = event.pull_request(
            repository,
            number=1,
            base=clone.base or "",
            base_branch=clone.base_branch,
            head=clone.head,
            head_branch=clone.head_branch,
        )
    elif EVENTS[kind] == "workflow_dispatch":
        payload = event.dispatch(repository, branch=clone.base_branch, inputs=inputs)
    else:
        payload = event.push(repository, branch=clone.base_branch, before=clone.base, after=clone.commit)
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
        # What moves the champion uses nothing that another run left, so what it installs goes when it ends.
        tools=_shared_tools() if kind == "pull-request" else work / "tools",
        api=api,
    )


def _ruled_by(clone: stage.Clone, kind: Kind) -> str:
    """The commit of the protected branch whose ruleset holds: a pull request does not choose its own."""
    return clone.base if kind == "pull-request" and clone.base else clone.commit


def _follow(
    plan: Plan, call: runner.Call, folder: Path, timeout: float | None, watch: Watch
) -> tuple[tuple[RehearsedJob, ...], str]:
    """Run act, read its log, give every job's end and what else went wrong."""
    states = [_State(job, folder / "jobs" / f"{_file_name(job.name)}.log") for job in plan.jobs]
    stray, code = [], None
    with ExitStack() as stack:
        raw = stack.enter_context((folder / "act.log").open("w", encoding="utf-8", buffering=1))
        for state in states:
            state.stream = stack.enter_context(state.log.open("w", encoding="utf-8", buffering=1))
            watch(state.seen())
        for item in runner.lines(call, timeout=timeout):
            if isinstance(item, int):
                code = item
                continue
            raw.write(item)
            line = log.parse(item)
            state = next((state for state in states if state.is_called(line.job)), None)
            if state is None:
                stray.append(line.text)
            elif state.take(line):
                watch(state.seen())
    by_name: dict[str, RehearsedJob] = {}
    for state in states:
        by_name[state.job.name] = state.end(by_name)
        watch(by_name[state.job.name])
    jobs = tuple(by_name.values())
    broken = code != 0 and all(job.result is Result.SUCCESS for job in jobs)
    unstarted = code != 0 and not any(state.started for state in states)
    said = next((text for text in reversed(stray) if text.strip()), "nothing was said")
    return jobs, f"act ended in {code}: {said}" if broken or unstarted else ""


@dataclass
class _State:
    """One expected job while it runs. A matrix has several runs under one name: the worst counts."""

    job: Expected
    log: Path
    stream: IO[str] | None = None
    started: float | None = None
    ended: float | None = None
    step: str = ""
    results: list[str] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    unmapped: str = ""
    said: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def is_called(self, name: str) -> bool:
        if name == self.job.key:
            return True
        return self.job.matrix and re.fullmatch(re.escape(self.job.key) + r"-\d+", name) is not None

    def take(self, line: log.Line) -> bool:
        """Learn from a line; say whether there is something new to show."""
        if line.unmapped:
            self.unmapped = line.unmapped
            return False
        new = self.started is None
        self.started = self.started or time.perf_counter()
        self.runs.add(line.job)
        if self.stream:
            self.stream.write(f"{line.text}\n")
        if line.output and line.text.strip():
            self.said = [*self.said[-TAIL + 1 :], line.text.strip()]
        if line.error and line.error not in self.errors:
            self.errors.append(line.error)
        if line.step_starts:
            self.step, new = line.text.removeprefix("⭐ Run Main ").splitlines()[0], True
        if line.job_result:
            self.results.append(line.job_result)
            self.ended, new = time.perf_counter(), True
        return new

    def seen(self) -> RehearsedJob:
        """As it stands."""
        done = self.results and len(self.results) >= len(self.runs)
        good = all(result == "success" for result in self.results)
        result = (Result.SUCCESS if good else Result.FAILURE) if done else Result.RUNNING
        return RehearsedJob(
            name=self.job.name,
            result=Result.WAITING if self.started is None else result,
            step="" if done else self.step,
            seconds=round((self.ended or time.perf_counter()) - self.started, 2) if self.started else 0.0,
            log=str(self.log),
        )

    def end(self, others: Mapping[str, RehearsedJob]) -> RehearsedJob:
        """As it ended; a job without a result did not succeed, and the reason says why."""
        last = self.seen()
        if last.result is Result.SUCCESS:
            return last
        if last.result is Result.FAILURE:
            return last.model_copy(update={"reason": f"failed at: {self.step}", "tail": self._tail()})
        if last.result is Result.RUNNING:
            return last.model_copy(
                update={
                    "result": Result.FAILURE,
                    "reason": f"ended without a result at: {self.step}",
                    "tail": self._tail(),
                }
            )
        return last.model_copy(update={"result": Result.SKIPPED, "reason": self._why_skipped(others), "log": None})

    def _tail(self) -> tuple[str, ...]:
        """What the job called errors, and what it said last where it called nothing so."""
        return tuple(self.errors[:TAIL] or self.said)

    def _why_skipped(self, others: Mapping[str, RehearsedJob]) -> str:
        if self.unmapped:
            return f"not run: no runner here carries the label {self.unmapped!r} (--runner {self.unmapped})"
        open_ = [name for name in self.job.needs if name in others and others[name].result is not Result.SUCCESS]
        if open_:
            return f"not run: it needs {', '.join(open_)}"
        if self.job.conditions:
            return f"not run: its condition was not met: {' and '.join(self.job.conditions)}"
        return "not run: act gave it no result"


def _repository(project: Project) -> str:
    """`owner/name` as on GitHub, made up where the origin is elsewhere."""
    url = project.git.try_("remote", "get-url", "origin").out.strip()
    found = re.search(r"[/:]([\w.-]+)/([\w.-]+?)(?:\.git)?/?$", url) if "://" in url or "@" in url else None
    return f"{found[1]}/{found[2]}" if found else f"rehearsal/{re.sub(r'[^A-Za-z0-9._-]', '-', project.root.name)}"


def _tracking_uri(project: Project) -> str:
    """The registry of whoever rehearses: jobs run elsewhere, so a file's name must be whole."""
    named = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    file = re.fullmatch(r"sqlite:///(?!/)(.+)", named)
    return f"sqlite:///{(project.root / file[1]).resolve()}" if file else named


def _secret(name: str) -> str:
    """A variable's value; where it names a file, the file's text, which is what GitHub would hold."""
    value = os.environ.get(name, "")
    path = Path(value) if value and "\n" not in value and len(value) < 4096 else None
    return path.read_text() if path and path.is_file() else value


def _shared_tools() -> Path:
    """Where rehearsals of pull requests keep what they install, as a runner keeps it for the next run."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "beampermit" / "tools"


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)
