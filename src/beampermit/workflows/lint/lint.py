"""Every rule over every workflow and action of a repository, and over the workflows that those call."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beampermit.workflows.lint.guards import is_guarded
from beampermit.workflows.lint.reach import (
    FORK_EVENTS,
    PRIVILEGED,
    Defect,
    Reached,
    Walk,
    forks_start,
    is_hosted,
    only_called,
    resolve,
)
from beampermit.workflows.workflow import FOLDER, Step, Workflow, read_action, read_workflow


def file_rule(workflow: Workflow) -> Iterator[Defect]:
    """What one file says by itself: events and rights that no job needs."""
    if "pull_request_target" in workflow.events:
        line = workflow.lines.get("on.pull_request_target", workflow.lines.get("on", 1))
        words = "pull_request_target gives a fork's pull request the secrets; use pull_request, then workflow_run"
        yield Defect(workflow.file, line, "pull-request-target", words)
    if workflow.permissions == "write-all":
        yield Defect(workflow.file, workflow.lines["permissions"], "write-all", f"permissions: write-all; {_LEAST}")
    for job in workflow.jobs.values():
        if job.permissions == "write-all":
            words = f"job {job.name!r} has permissions: write-all; {_LEAST}"
            yield Defect(workflow.file, job.lines["permissions"], "write-all", words)


_LEAST = "write `permissions: {}` on top, and in each job what it needs"


def forks_rule(entry: Workflow, jobs: Sequence[Reached]) -> Iterator[Defect]:
    """A fork's code runs on machines that are thrown away, or not at all."""
    if not forks_start(entry):
        return
    for reached in jobs:
        if reached.job.uses or _is_hosted(entry, reached) or is_guarded(reached):
            continue
        line = reached.job.lines.get("runs-on")
        yield reached.defect("fork-runner", f"runs on {_runner(reached)} for forks as well; {_GUARD}", line)


_GUARD = "add `if: github.event.pull_request.head.repo.full_name == github.repository`"


def _is_hosted(entry: Workflow, reached: Reached) -> bool:
    inputs = reached.inputs
    if only_called(entry):
        # Who calls it is not known: an input that is empty here is one that callers give.
        inputs = {name: value for name, value in inputs.items() if value not in (None, "", "[]", "null")}
    return is_hosted(reached.job.runs_on, inputs, reached.job.matrix)


def _runner(reached: Reached) -> str:
    labels = reached.job.runs_on
    return f"a runner of its own choice ({labels})" if isinstance(labels, str) and "${{" in labels else f"{labels!r}"


Given = Mapping[str, Any]
PUBLISHES = ("contents", "packages", "id-token", "attestations", "deployments", "pages")
"""Rights to write that make a workflow a release."""
OURS = "actions/setup"


def _off(value: Any) -> bool:
    return str(value).lower() in ("", "false", "none", "no", "0")


def _unless(key: str) -> Callable[[Given], bool]:
    """Caches unless it is told not to."""
    return lambda given: not _off(given.get(key, "true"))


def _if(*keys: str) -> Callable[[Given], bool]:
    """Caches if it is told to."""
    return lambda given: any(not _off(given.get(key, "false")) for key in keys)


CACHES: Mapping[str, Callable[[Given], bool]] = {
    "actions/cache": lambda _: True,
    "actions/cache/restore": lambda _: True,
    "actions/setup-dotnet": _if("cache"),
    "actions/setup-go": _unless("cache"),
    "actions/setup-java": _if("cache"),
    "actions/setup-node": _if("cache"),
    "actions/setup-python": _if("cache"),
    "astral-sh/setup-uv": _unless("enable-cache"),
    "docker/build-push-action": _if("cache-from"),
    "gradle/actions/setup-gradle": lambda given: _off(given.get("cache-disabled", "false")),
    "mamba-org/setup-micromamba": _if("cache-environment", "cache-downloads"),
    "pre-commit/action": lambda _: True,
    "prefix-dev/setup-pixi": _unless("cache"),
    "ruby/setup-ruby": _if("bundler-cache"),
    "swatinem/rust-cache": lambda _: True,
}
"""Actions that restore a cache of the repository, and when they do."""


def caches_rule(entry: Workflow, jobs: Sequence[Reached]) -> Iterator[Defect]:
    """A workflow that publishes or deploys restores no cache in any of its jobs."""
    if not is_release(entry, jobs):
        return
    for reached in jobs:
        for step in reached.job.steps:
            name = step.uses.partition("@")[0]
            if CACHES.get(name.lower(), lambda _: False)(_resolved(step, reached)):
                words = f"restores a cache in a release ({name}); what is released is made from nothing that lay about"
                yield reached.defect("release-cache", words, step.line("uses"))
            elif _is_ours(name) and str(_resolved(step, reached).get("fresh", "false")).lower() != "true":
                words = "uses what other runs installed in a release; give the set-up, or its caller, `fresh: true`"
                yield reached.defect("release-cache", words, step.line("uses"))


def is_release(entry: Workflow, jobs: Sequence[Reached]) -> bool:
    """Whether it runs apart from pull requests, and publishes: by event, by environment, or by a right to write."""
    if FORK_EVENTS & entry.events.keys():
        return False
    pushed = entry.events.get("push")
    tagged = isinstance(pushed, Mapping) and "tags" in pushed
    return "release" in entry.events or tagged or any(_publishes(reached) for reached in jobs)


def _publishes(reached: Reached) -> bool:
    rights = reached.job.permissions if reached.job.permissions is not None else reached.workflow.permissions
    writes = isinstance(rights, Mapping) and any(rights.get(name) == "write" for name in PUBLISHES)
    return writes or rights == "write-all" or bool(reached.job.environment)


def _resolved(step: Step, reached: Reached) -> Given:
    return {key: resolve(value, reached.inputs, reached.job.matrix) for key, value in step.given.items()}


def _is_ours(name: str) -> bool:
    _, repository, *path = name.split("/") if "/" in name else ("", "")
    return repository == "beampermit" and "/".join(path) == OURS


_SAFE = re.compile(r"\$\{\{\s*(github\.(sha|ref|repository|event\.repository\.default_branch))\s*\}\}")
_FETCHED = re.compile(r"\bgh\s+pr\s+checkout\b|\brefs/pull/|\bpull/.*/(head|merge)\b")
_GIT = re.compile(r"\bgit\b.*\b(checkout|switch|fetch|pull|clone|worktree)\b")
_HEAD = re.compile(r"head_(sha|branch|ref|commit|repository)|pull_request\.head|workflow_run\.pull_requests")


def checkouts_rule(entry: Workflow, jobs: Sequence[Reached]) -> Iterator[Defect]:
    """Jobs with secrets check out no pull request; jobs with a pull request keep no token."""
    privileged = sorted(PRIVILEGED & entry.events.keys())
    for reached in jobs:
        for step in reached.job.steps:
            if privileged and (why := _untrusted(step)):
                words = (
                    f"checks out {why} on {privileged[0]}, beside the repository's secrets; read an artifact instead"
                )
                yield reached.defect("untrusted-checkout", words, step.line())
            if (privileged or forks_start(entry)) and _keeps_token(step):
                words = "leaves its token in .git/config; give the checkout `persist-credentials: false`"
                yield reached.defect("kept-credentials", words, step.line("uses"))


def _untrusted(step: Step) -> str:
    """What of a pull request a step checks out; nothing where it does not."""
    if step.uses.startswith("actions/checkout@"):
        for key in ("ref", "repository"):
            value = str(step.given.get(key, ""))
            if "refs/pull/" in value or ("${{" in value and not _SAFE.fullmatch(value.strip())):
                return f"{key} {value}"
        return ""
    said = "\n".join([step.run, *map(str, step.env.values())])
    if _FETCHED.search(step.run) or (_GIT.search(step.run) and _HEAD.search(said)):
        return "the head of a pull request"
    return ""


def _keeps_token(step: Step) -> bool:
    kept = str(step.given.get("persist-credentials", "true")).lower()
    return step.uses.startswith("actions/checkout@") and kept != "false"


_SECRET = re.compile(r"\$\{\{.*?\bsecrets\s*(\.\s*(?!GITHUB_TOKEN\b)|\[)", re.DOTALL | re.IGNORECASE)


def secrets_rule(entry: Workflow, jobs: Sequence[Reached]) -> Iterator[Defect]:
    """No secret is inherited; in what pull requests start, none stands where code of a pull request can read it."""
    for reached in jobs:
        if reached.job.secrets == "inherit":
            line = reached.job.lines["secrets"]
            words = "hands on every secret of the repository; name under `secrets:` those that are needed"
            yield reached.defect("inherited-secrets", words, line)
        if forks_start(entry):
            yield from _exposed(reached)


def _exposed(reached: Reached) -> Iterator[Defect]:
    words = "shows {} to each of its steps, code of the pull request among them; move it to the `env:` of the step"
    for env, line in (
        (reached.workflow.env, reached.workflow.lines.get("env")),
        (reached.job.env, reached.job.lines.get("env")),
    ):
        named = _secrets(env)
        if named:
            yield reached.defect("exposed-secrets", words.format(", ".join(named)), line)


def _secrets(env: Mapping[str, Any]) -> list[str]:
    return [name for name, value in env.items() if _SECRET.search(str(value))]


_WORDS = 'an expression inside {} becomes part of the program; hand it over in `env:` and write "$NAME"'
SCRIPTED = "actions/github-script@"


def rule(file: str, steps: Sequence[Step]) -> Iterator[Defect]:
    """No `${{ }}` stands in a `run:`, nor in the script of actions/github-script."""
    for step in steps:
        if "${{" in step.run:
            yield Defect(file, step.line("run"), "script-expression", _WORDS.format("`run:`"))
        if step.uses.startswith(SCRIPTED) and "${{" in str(step.given.get("script", "")):
            yield Defect(file, step.line("with"), "script-expression", _WORDS.format("`script:`"))


RULES = (forks_rule, secrets_rule, checkouts_rule, caches_rule)


@dataclass(frozen=True)
class Linted:
    """What was found, and which called workflows are not at hand and so were not looked into."""

    defects: tuple[Defect, ...]
    elsewhere: tuple[str, ...]


def lint(texts: Mapping[str, str], own: Mapping[str, str] | None = None) -> Linted:
    """Judge the workflows and actions in `texts` (path -> text). `own` are the reusable workflows of this Beampermit.

    Raises `BadInput` with file and line for a file that cannot be read.
    """
    workflows = {file: read_workflow(text, file) for file, text in texts.items() if file.startswith(f"{FOLDER}/")}
    actions = {file: read_action(text, file) for file, text in texts.items() if file not in workflows}
    walk = Walk(workflows, {file: read_workflow(text, file) for file, text in (own or {}).items()})
    found = set(_everywhere(workflows, actions))
    for entry in workflows.values():
        jobs = walk.jobs(entry)
        found.update(defect for rule in RULES for defect in rule(entry, jobs))
    return Linted(tuple(sorted(found)), tuple(sorted(walk.elsewhere)))


def _everywhere(workflows: Mapping[str, Workflow], actions: Mapping[str, tuple[Step, ...]]) -> Iterator[Defect]:
    for file, workflow in workflows.items():
        yield from file_rule(workflow)
        for job in workflow.jobs.values():
            yield from rule(file, job.steps)
    for file, steps in actions.items():
        yield from rule(file, steps)
