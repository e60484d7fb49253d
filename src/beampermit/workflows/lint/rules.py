"""The rules, by name: what would let the code of a fork, or a stale cache, reach runners, secrets or releases."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from beampermit.workflows.expansion import StartedJob
from beampermit.workflows.expressions import MatrixValues, expressions_in, resolve
from beampermit.workflows.lint.conditions import FORK_EVENTS, PULL_REQUEST, is_guarded
from beampermit.workflows.lint.scripts import evaluated
from beampermit.workflows.tree import mapping
from beampermit.workflows.workflow import Step, Workflow

LineDefect = tuple[int, str]
"""Line and message of a defect."""
JobDefect = tuple[StartedJob, int | None, str]
"""The job that has a defect, the line in the job's file (None: the job's own), and the message."""
WorkflowRule = Callable[[Workflow], Iterator[LineDefect]]
JobRule = Callable[[Workflow, Sequence[StartedJob]], Iterator[JobDefect]]
StepRule = Callable[[Step], Iterator[LineDefect]]

PRIVILEGED_EVENTS = frozenset({"pull_request_target", "workflow_run", "issue_comment", "issues", "discussion_comment"})
"""Events that anybody can cause, and whose jobs have the repository's secrets."""
PUBLISHING_PERMISSIONS = ("contents", "packages", "id-token", "attestations", "deployments", "pages")
"""Permissions to write that make a workflow a release."""


def is_only_called(entry: Workflow) -> bool:
    """Whether only other workflows start it."""
    return set(entry.events) == {"workflow_call"}


def runs_fork_code(entry: Workflow) -> bool:
    """Whether a fork's pull request starts it; assumed of a workflow that is only called."""
    return bool(FORK_EVENTS & entry.events.keys()) or is_only_called(entry)


def pull_request_target(workflow: Workflow) -> Iterator[LineDefect]:
    if "pull_request_target" in workflow.events:
        line = workflow.lines.get("on.pull_request_target", workflow.lines.get("on", 1))
        yield line, "pull_request_target gives a fork's pull request the secrets; use pull_request, then workflow_run"


def write_all(workflow: Workflow) -> Iterator[LineDefect]:
    fix = "write `permissions: {}` at the top, and in each job the permissions it needs"
    if workflow.permissions == "write-all":
        yield workflow.lines["permissions"], f"permissions: write-all; {fix}"
    for job in workflow.jobs.values():
        if job.permissions == "write-all":
            yield job.lines["permissions"], f"job {job.name!r} has permissions: write-all; {fix}"


def script_expression(step: Step) -> Iterator[LineDefect]:
    message = 'an expression inside {} becomes part of the program; pass it in `env:` and write "$NAME"'
    if "${{" in step.run:
        yield step.line("run"), message.format("`run:`")
    if "${{" in step.shell:
        yield step.line("shell"), message.format("`shell:`")
    if step.action == "actions/github-script" and "${{" in str(step.given.get("script", "")):
        yield step.line("with"), message.format("`script:`")


def evaluated_text(step: Step, env: Mapping[str, Any] | None = None) -> Iterator[LineDefect]:
    """`env` are the variables of the step, with those of its job and workflow."""
    message = "runs a text that anybody may write as a program ({}); use it as an argument only"
    scripts = {"run": step.run}
    if step.action == "actions/github-script":
        scripts["with"] = str(step.given.get("script", ""))
    for key, script in scripts.items():
        if line := evaluated(script, step.env if env is None else env):
            yield step.line(key), message.format(" ".join(line.split())[:80])


def evaluated_in_jobs(workflow: Workflow) -> Iterator[LineDefect]:
    for job in workflow.jobs.values():
        for step in job.steps:
            yield from evaluated_text(step, {**workflow.env, **job.env, **step.env})


def fork_runner(entry: Workflow, jobs: Sequence[StartedJob]) -> Iterator[JobDefect]:
    """Code of a fork runs on GitHub's machines, which are new for each job, or not at all."""
    if not runs_fork_code(entry):
        return
    events = FORK_EVENTS & entry.events.keys() or PULL_REQUEST
    for started in jobs:
        if started.job.uses or _is_hosted(entry, started) or is_guarded(started, events):
            continue
        labels = started.job.runs_on
        computed = isinstance(labels, str) and "${{" in labels
        runner = f"a self-chosen runner ({labels})" if computed else repr(labels)
        guard = "add `if: github.event.pull_request.head.repo.full_name == github.repository`"
        yield started, started.job.lines.get("runs-on"), f"runs on {runner} for forks as well; {guard}"


_HOSTED = re.compile(r"(ubuntu|windows|macos)-(latest|\d+(\.\d+)?)(-(arm|intel|large|xlarge|slim|vs\d+))*")


def _is_hosted(entry: Workflow, started: StartedJob) -> bool:
    inputs = started.inputs
    if is_only_called(entry):
        # Its callers are unknown: an input that is empty here is one that they set.
        inputs = {name: value for name, value in inputs.items() if value not in (None, "", "[]", "null")}
    return _are_hosted(started.job.runs_on, inputs, started.job.matrix)


def _are_hosted(runs_on: Any, inputs: Mapping[str, Any], matrix: Mapping[str, Any] | None) -> bool:
    labels = resolve(runs_on, inputs, matrix)
    if isinstance(labels, MatrixValues):
        return bool(labels.values) and all(_are_hosted(value, inputs, matrix) for value in labels.values)
    if isinstance(labels, list):
        return len(labels) == 1 and _are_hosted(labels[0], inputs, matrix)
    return isinstance(labels, str) and _HOSTED.fullmatch(labels) is not None


def inherited_secrets(_: Workflow, jobs: Sequence[StartedJob]) -> Iterator[JobDefect]:
    message = "passes on every secret of the repository; list the ones it needs by name"
    for started in jobs:
        job = started.job
        if job.secrets and not isinstance(job.secrets, Mapping):
            yield started, job.lines["secrets"], message
        for key, holder in (("env", job.env), ("with", job.given), ("secrets", mapping(job.secrets))):
            if _names_all_secrets(holder):
                yield started, job.lines.get(key), message
        for step in job.steps:
            for key, holder in (("env", step.env), ("with", step.given)):
                if _names_all_secrets(holder):
                    yield started, step.line(key), message


_SECRETS = re.compile(r"(?<![\w.-])secrets(?![\w-])(?!\.GITHUB_TOKEN(?![\w-]))", re.IGNORECASE)
_ALL_SECRETS = re.compile(r"(?<![\w.-])secrets(?![\w.\[-])|(?<![\w.-])secrets\.\*", re.IGNORECASE)


def _names_all_secrets(holder: Mapping[str, Any]) -> bool:
    return any(_ALL_SECRETS.search(code) for value in holder.values() for code in expressions_in(value))


def exposed_secrets(entry: Workflow, jobs: Sequence[StartedJob]) -> Iterator[JobDefect]:
    """Code of a pull request runs in some step, so only the `env:` of another step may hold a secret."""
    if not runs_fork_code(entry):
        return
    message = "shows {} to each of its steps, the pull request's code included; move it to the `env:` of the step"
    for started in jobs:
        for holder in (started.workflow, started.job):
            secrets = [name for name, value in holder.env.items() if any(map(_SECRETS.search, expressions_in(value)))]
            if secrets:
                yield started, holder.lines.get("env"), message.format(", ".join(secrets))


def untrusted_checkout(entry: Workflow, jobs: Sequence[StartedJob]) -> Iterator[JobDefect]:
    """A job with secrets checks out no pull request."""
    for event in sorted(PRIVILEGED_EVENTS & entry.events.keys())[:1]:
        for started in jobs:
            for step in started.job.steps:
                if revision := _untrusted_revision(step):
                    message = f"checks out {revision} on {event}, next to the repository's secrets; read an artifact"
                    yield started, step.line(), f"{message} instead"


_SAFE = re.compile(r"\$\{\{\s*(github\.(sha|ref|repository|event\.repository\.default_branch))\s*\}\}")
_PULL_REQUEST = re.compile(r"\bgh\s+pr\s+checkout\b|\brefs/pull/|\bpull/.*/(head|merge)\b")
_GIT = re.compile(r"\bgit\b.*\b(checkout|switch|fetch|pull|clone|worktree)\b")
_HEAD = re.compile(r"head_(sha|branch|ref|commit|repository)|pull_request\.head|workflow_run\.pull_requests")


def _untrusted_revision(step: Step) -> str:
    """What a step checks out of a pull request; empty where it does not."""
    if step.action == "actions/checkout":
        for key in ("ref", "repository"):
            value = str(step.given.get(key, ""))
            if "refs/pull/" in value or ("${{" in value and not _SAFE.fullmatch(value.strip())):
                return f"{key} {value}"
        return ""
    script = "\n".join([step.run, *map(str, step.env.values())])
    is_head = _PULL_REQUEST.search(step.run) or (_GIT.search(step.run) and _HEAD.search(script))
    return "the head of a pull request" if is_head else ""


def kept_credentials(entry: Workflow, jobs: Sequence[StartedJob]) -> Iterator[JobDefect]:
    if not (runs_fork_code(entry) or PRIVILEGED_EVENTS & entry.events.keys()):
        return
    for started in jobs:
        for step in started.job.steps:
            persists = str(step.given.get("persist-credentials", "true")).lower() != "false"
            if step.action == "actions/checkout" and persists:
                message = "leaves its token in .git/config; give the checkout `persist-credentials: false`"
                yield started, step.line("uses"), message


Inputs = Mapping[str, Any]


def _is_off(value: Any) -> bool:
    return str(value).lower() in ("", "false", "none", "no", "0")


def _unless_off(key: str) -> Callable[[Inputs], bool]:
    return lambda inputs: not _is_off(inputs.get(key, "true"))


def _if_on(*keys: str) -> Callable[[Inputs], bool]:
    return lambda inputs: any(not _is_off(inputs.get(key, "false")) for key in keys)


def _always(_: Inputs) -> bool:
    return True


CACHES: Mapping[str, Callable[[Inputs], bool]] = {
    "actions/cache": _always,
    "actions/cache/restore": _always,
    "actions/setup-dotnet": _if_on("cache"),
    "actions/setup-go": _unless_off("cache"),
    "actions/setup-java": _if_on("cache"),
    "actions/setup-node": _if_on("cache"),
    "actions/setup-python": _if_on("cache"),
    "astral-sh/setup-uv": _unless_off("enable-cache"),
    "docker/build-push-action": _if_on("cache-from"),
    "gradle/actions/setup-gradle": lambda inputs: not _if_on("cache-disabled")(inputs),
    "mamba-org/setup-micromamba": _if_on("cache-environment", "cache-downloads"),
    "pre-commit/action": _always,
    "prefix-dev/setup-pixi": _unless_off("cache"),
    "ruby/setup-ruby": _if_on("bundler-cache"),
    "swatinem/rust-cache": _always,
}
"""Actions that restore a cache of the repository, and the inputs with which they do."""
_SETUP = re.compile(r"[^/]+/beampermit/actions/setup")


def release_cache(entry: Workflow, jobs: Sequence[StartedJob]) -> Iterator[JobDefect]:
    """A workflow that publishes or deploys restores no cache in any of its jobs."""
    if not _is_release(entry, jobs):
        return
    for started in jobs:
        for step in started.job.steps:
            action = step.action
            inputs = {key: resolve(value, started.inputs, started.job.matrix) for key, value in step.given.items()}
            if action in CACHES and CACHES[action](inputs):
                message = f"restores a cache in a release ({action}); other runs could change what is released"
                yield started, step.line("uses"), message
            elif _SETUP.fullmatch(action) and str(inputs.get("fresh", "false")).lower() != "true":
                message = "uses what other runs installed in a release; give the set-up, or its caller, `fresh: true`"
                yield started, step.line("uses"), message


def _is_release(entry: Workflow, jobs: Sequence[StartedJob]) -> bool:
    """Whether it publishes, by its event, an environment or a permission, and no pull request starts it."""
    if FORK_EVENTS & entry.events.keys():
        return False
    push = entry.events.get("push")
    on_tags = isinstance(push, Mapping) and "tags" in push
    return "release" in entry.events or on_tags or any(_publishes(started) for started in jobs)


def _publishes(started: StartedJob) -> bool:
    permissions = started.job.permissions if started.job.permissions is not None else started.workflow.permissions
    writes = isinstance(permissions, Mapping) and any(
        permissions.get(name) == "write" for name in PUBLISHING_PERMISSIONS
    )
    return writes or permissions == "write-all" or bool(started.job.environment)


WORKFLOW_RULES: Mapping[str, WorkflowRule] = {
    "pull-request-target": pull_request_target,
    "write-all": write_all,
    "evaluated-text": evaluated_in_jobs,
}
STEP_RULES: Mapping[str, StepRule] = {"script-expression": script_expression, "evaluated-text": evaluated_text}
JOB_RULES: Mapping[str, JobRule] = {
    "fork-runner": fork_runner,
    "inherited-secrets": inherited_secrets,
    "exposed-secrets": exposed_secrets,
    "untrusted-checkout": untrusted_checkout,
    "kept-credentials": kept_credentials,
    "release-cache": release_cache,
}
