"""What tests of rehearsals say again and again."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from beampermit.environments.environment import VARIABLE
from beampermit.files import write_json
from beampermit.git import Git
from beampermit.project import Project
from beampermit.rehearsal import Rehearsal, act_log, payloads, rehearse, runner, stage
from beampermit.rehearsal.plan import make_plan
from support.forked_commands import executable
from support.github_stand_in import GitHub
from support.shared import made_once, shared_folder

RUNS = itertools.count(1)
HEAD = "name: Pull request\non: pull_request\npermissions: {}\njobs:\n"
"""The beginning of a workflow file, up to its jobs."""


def run(project: Project, **options) -> Rehearsal:
    """Rehearse the pull request."""
    return rehearse(project, "pull-request", timeout=120, **options)


def log_of(found: Rehearsal, job: str) -> str:
    """The log of one job."""
    return Path(next(item.log for item in found.jobs if item.name == job) or "").read_text()


def shared_tools(factory: pytest.TempPathFactory) -> Path:
    """Where rehearsals of these tests keep what they install, those of other workers too."""
    return shared_folder(factory) / "cache/beampermit/tools"


def laid_out_once(factory: pytest.TempPathFactory) -> Path:
    """What actions need of this repository, copied once for all tests: it takes half a second.

    It is for rehearsals that use none of our actions. To plant something, copy it: the hundreds of files behind its
    links, which only the installation of a checker reads, stay where they are.
    """
    made = made_once(shared_folder(factory) / "laid-out", lambda folder: stage.lay_out(folder / "beampermit"))
    return made / "beampermit"


INSTALLS = '"environment": environment'
"""In that file, where a job installs the project's environment."""
EDITS = (
    ('os.environ.get("FRESH") == "true"', "False"),
    ('{"checker": checker,', '{{"checker": lambda: append("GITHUB_PATH", {folder!r}),'),
)
"""Edits of `actions/setup/setup.py`: the checker is a command that is there, and the environment is shared."""


def lend_checker(
    factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    needs: Sequence[str] = (),
    environment: Path | None = None,
) -> None:
    """Give the jobs of every rehearsal this Python's `beampermit`, forked from a process that has imported it.

    To install a checker takes a quarter of a minute, and each of its starts seconds. How jobs install one is proved by
    `test_setup.py`, `test_demo.py` and the rehearsal of a copy in `tests/test_mirror.py`. `needs` is imported once too.
    Jobs find the project's environment at `environment` where one is given, and install one where none is.

    A test that plants something in our workflows calls this first, and edits what `stage.lay_out` gives then.
    """
    tools, prepare, lines = shared_tools(factory), runner.prepare, runner.lines
    whole = laid_out_once(factory)
    folder = factory.mktemp("lent")
    executable(folder, needs)

    def laid_out(into: Path) -> Path:
        ours = Path(shutil.copytree(whole, into, symlinks=True))
        setup = ours / "actions/setup/setup.py"
        text = setup.read_text()
        for old, new in EDITS:
            assert text.count(old) == 1, old
            text = text.replace(old, new.format(folder=str(folder)))
        if environment:
            assert INSTALLS in text
            text = text.replace(INSTALLS, f'"environment": lambda: append("GITHUB_ENV", "{VARIABLE}={environment}")')
        setup.write_text(text)
        return ours

    monkeypatch.setattr(stage, "lay_out", laid_out)
    monkeypatch.setattr(runner, "prepare", lambda call: prepare(replace(call, tools=tools)))
    monkeypatch.setattr(runner, "lines", lambda call, **given: lines(replace(call, tools=tools), **given))


def run_workflow(
    root: Path,
    work: Path,
    workflow: str,
    event_name: str,
    payload: Mapping[str, Any],
    *,
    repository: str,
    api: str,
    secrets: Mapping[str, str],
    variables: Mapping[str, str] | None = None,
) -> list[act_log.Line]:
    """Run a workflow of the repository at `root` for an event, GitHub's API being at `api`; what act wrote."""
    ours = stage.lay_out(work / "beampermit")
    plan = make_plan(root, workflow, ours, stage.lay_out_artifacts(work / "artifacts"))
    write_json(work / "event.json", payload)
    call = runner.Call(
        event_name=event_name,
        workflow=workflow,
        event=work / "event.json",
        clone=root,
        work=work,
        artifacts=work / "kept",
        repository=repository,
        run=f"{os.getpid()}{next(RUNS)}",  # what is left of a run is ended by its number: no two have the same
        repositories=plan.repositories,
        labels=(),
        secrets=secrets,
        variables=variables or {},
        api=api,
        tools=work / "tools",
    )
    runner.prepare(call)
    return [act_log.parse_line(line) for line in runner.lines(call, timeout=500) if isinstance(line, str)]


def dispatch(
    project: Project,
    github: GitHub,
    work: Path,
    workflow: str,
    inputs: Mapping[str, str],
    lay_out: Callable[[Path], None] = lambda _: None,
    variables: Mapping[str, str] | None = None,
) -> list[act_log.Line]:
    """Run a workflow of the project on main, as a person or the monitor dispatches it; what act wrote.

    `lay_out` puts into the checkout what git does not have; `variables` are those of the repository.
    """
    clone = stage.clone_for_push(project.git, work / "clone", None)
    stage.share_local_remotes(project.root, clone, project.git)
    lay_out(clone.root)
    Git(clone.root)("remote", "add", "github", f"https://github.com/{github.repository}")
    payload = payloads.push(github.repository, branch="main", before=None, after=clone.commit)
    return run_workflow(
        clone.root,
        work,
        workflow,
        "workflow_dispatch",
        payload | {"inputs": dict(inputs)},
        repository=github.repository,
        api=github.url,
        secrets={"BEAMPERMIT_PROPOSE_TOKEN": "s3cret", "GITHUB_TOKEN": "s3cret"},
        variables=variables,
    )
