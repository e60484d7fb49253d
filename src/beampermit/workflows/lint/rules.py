"""The rules, by name: what would let the code of a fork, or a stale cache, reach runners, secrets or releases."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from beampermit.workflows.expansion import StartedJob
from beampermit.workflows.expressions import UNKNOWN, expressions_in, is_plain
from beampermit.workflows.lint.scripts import Following, evaluated, followed, outside_paths
from beampermit.workflows.tree import mapping
from beampermit.workflows.workflow import Step, Workflow

LineDefect = tuple[int, str]
"""Line and message of a defect."""
JobDefect = tuple[StartedJob, int | None, str]
"""The job that has a defect, the line in the job's file (None: the job's own), and the message."""
WorkflowRule = Callable[[Workflow], Iterator[LineDefect]]
JobRule = Callable[[Workflow, Sequence[StartedJob]], Iterator[JobDefect]]
StepRule = Callable[[Step], Iterator[LineDefect]]
ActionRule = Callable[[Sequence[Step]], Iterator[LineDefect]]

FORK_EVENTS = frozenset({"pull_request", "pull_request_review", "pull_request_review_comment"})
"""Events of a fork's pull request whose jobs check out its code."""
PRIVILEGED_EVENTS = frozenset(
    {"pull_request_target", "workflow_run", "issue_comment", "issues", "discussion", "discussion_comment"}
    | {"commit_comment", "fork", "gollum", "watch"}
)
"""Events that anybody can cause, and whose jobs have the repository's secrets."""
DISPATCH = "repository_dispatch"
"""An event that a program with a token causes, for example for a comment, and whose payload names what to test."""
PUBLISHING_PERMISSIONS = frozenset({"contents", "packages", "id-token", "attestations", "deployments", "pages"})
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


_EVALUATED = "runs a text that anybody may write as a program ({}); use it as an argument only"


def evaluated_text(steps: Sequence[Step]) -> Iterator[LineDefect]:
    for step, env, own in followed(steps, {}, {}):
        yield from _evaluated_in(step, step.shell, {**env, **own})


def evaluated_in_jobs(_: Workflow, jobs: Sequence[StartedJob]) -> Iterator[JobDefect]:
    following = Following()
    for started in jobs:
        job = started.job
        for step, env, own in following.steps(started):
            for line, message in _evaluated_in(step, step.shell or job.shell, {**env, **own}):
                yield started, line, message
        if outside_paths(following.at_start(started, job.shell)):
            line = job.lines.get("defaults") or started.workflow.lines.get("defaults")
            yield started, line, _EVALUATED.format(f"shell: {job.shell}")


def _evaluated_in(step: Step, shell: str, env: Mapping[str, str]) -> Iterator[LineDefect]:
    """`env` are the variables of the step, with those of its job and workflow."""
    scripts = {"run" if step.run else "with": step.script, "shell": shell if step.run else ""}
    for key, script in scripts.items():
        if line := evaluated(script, env):
            yield step.line(key), _EVALUATED.format(" ".join(line.split())[:80])


def fork_runner(_: Workflow, jobs: Sequence[StartedJob]) -> Iterator[JobDefect]:
    """Code of a fork runs on GitHub's machines, which are new for each job, or not at all."""
    for started in jobs:
        other = "" if started.job.uses else _other_runner(started, started.job.runs_on)
        if not other or not started.may_run():
            continue
        guard = "add `if: github.event.pull_request.head.repo.full_name == github.repository`"
        if any("${{" in condition and condition != condition.strip() for condition in started.conditions):
            guard = "write its `if:` with `>-`: a line break behind `${{ }}` makes it a text, and so always true"
        yield started, started.job.lines.get("runs-on"), f"runs on {other} for forks as well; {guard}"


HOSTED = re.compile(
    r"ubuntu-slim|(ubuntu|windows|macos)-(latest|\d+(\.\d+)?)(-(arm|intel|large|xlarge|vs\d+))*", re.IGNORECASE
)


def _other_runner(started: StartedJob, runs_on: Any) -> str:
    """What is not one of GitHub's machines; empty where all are."""
    if isinstance(runs_on, Mapping) and set(runs_on) == {"labels"}:
        runs_on = runs_on["labels"]
    only = runs_on[0] if isinstance(runs_on, list) and len(runs_on) == 1 else runs_on
    if not (isinstance(only, str) and "${{" in only):
        return "" if isinstance(only, str) and HOSTED.fullmatch(only) else repr(runs_on)
    for value in started.values(only):
        label = value[0] if isinstance(value, list) and len(value) == 1 else value
        if not (isinstance(label, str) and HOSTED.fullmatch(label)):
            which = f", here {value!r}" if is_plain(value) else ""
            return f"a self-chosen runner ({' '.join(only.split())}{which})"
    return ""


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
    events = sorted(PRIVILEGED_EVENTS & entry.events.keys())[:1] or [DISPATCH] * (DISPATCH in entry.events)
    for event in events:
        following = Following()
        for started in jobs:
            if event == DISPATCH and not _has_token(started):
                continue
            beside = "a token" if event == DISPATCH else "the repository's secrets"
            for step, env, own in following.steps(started):
                if revision := _untrusted_revision(started, step, env, own):
                    message = f"checks out {revision} on {event}, next to {beside}; read an artifact"
                    yield started, step.line(), f"{message} instead"


def _has_token(started: StartedJob) -> bool:
    """Whether a job can write to the repository, or has a secret."""
    permissions = started.job.permissions if started.job.permissions is not None else started.workflow.permissions
    only_reads = permissions == "read-all" or (isinstance(permissions, Mapping) and "write" not in permissions.values())
    job = started.job
    holders = [started.workflow.env, job.env, *(part for step in job.steps for part in (step.env, step.given))]
    texts = [value for holder in holders for value in holder.values()] + [step.run for step in job.steps]
    return not only_reads or bool(job.environment) or any(_SECRETS.search(x) for t in texts for x in expressions_in(t))


_PULL_REQUEST = re.compile(r"\bgh\s+pr\s+checkout\b|\brefs/pull/|\bpull/.*/(head|merge)\b")
_CONTINUED = re.compile(r"[\\`]\n")
_NAME = re.compile(r"\benv[.:]\w+|\w+", re.IGNORECASE)
_GIT = re.compile(r"\bgit\b.*\b(checkout|switch|fetch|pull|clone|worktree)\b")
_HEAD = re.compile(
    r"head_(sha|branch|ref|commit|repository)|pull_request\.head|workflow_run\.pull_requests"
    r"|client_payload\.(?![\w.-]*\bbase[._])[\w.-]*(sha|ref|head|branch|commit)"
)


def _untrusted_revision(started: StartedJob, step: Step, env: Mapping[str, str], own: Mapping[str, str]) -> str:
    """What a step checks out of a pull request; empty where it does not."""
    if step.action == "actions/checkout":
        for key in ("ref", "repository"):
            value = str(step.given.get(key, ""))
            values = started.values(value)
            if UNKNOWN in values or any("refs/pull/" in str(one) for one in (value, *values)):
                return f"{key} {value}"
        return ""
    run = _CONTINUED.sub(" ", step.run)
    if not _GIT.search(run):
        return "the head of a pull request" if _PULL_REQUEST.search(run) else ""
    texts = [run, *_variables(step, env, own)]
    texts += [code.lower() for text in texts for code in expressions_in(text)]
    is_head = any(_PULL_REQUEST.search(text) or _HEAD.search(text) for text in texts)
    return "the head of a pull request" if is_head else ""


def _variables(step: Step, env: Mapping[str, str], own: Mapping[str, str]) -> list[str]:
    """The values of a step's own variables, and those of its job that it or one of these values names."""
    further: dict[str, list[str]] = {}
    for name, value in env.items():
        for written in (name, f"env.{name}".lower()):  # `env.NAME` and `$env:NAME` are the same in any case
            further.setdefault(written, []).append(value)
    texts = [step.run, *own.values()]
    for text in texts:  # which grows
        for found in _NAME.findall("\n".join([text, *expressions_in(text)])):
            name = found.replace(":", ".").lower() if found[3:4] in (".", ":") else found
            texts += further.pop(name, ())
    return texts[1:]


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


def _unless_on(key: str) -> Callable[[Inputs], bool]:
    return lambda inputs: str(inputs.get(key)).lower() not in ("true", "yes", "on", "1")


def _if_on(*keys: str) -> Callable[[Inputs], bool]:
    return lambda inputs: any(not _is_off(inputs.get(key, "false")) for key in keys)


CACHES: Mapping[str, Callable[[Inputs], bool]] = {
    "actions-rust-lang/setup-rust-toolchain": _unless_off("cache"),
    "actions/setup-go": _unless_off("cache"),
    "astral-sh/setup-uv": _unless_off("enable-cache"),
    "baptiste0928/cargo-install": lambda _: True,
    "docker/build-push-action": _if_on("cache-from"),
    "docker/setup-buildx-action": lambda inputs: "version" in inputs and _unless_off("cache-binary")(inputs),
    "golangci/golangci-lint-action": _unless_on("skip-cache"),
    "gradle/actions/setup-gradle": _unless_on("cache-disabled"),
    "jdx/mise-action": _unless_off("cache"),
    "lukka/get-cmake": _unless_off("usecloudcache"),
    "mlugg/setup-zig": _unless_off("use-cache"),
    "oven-sh/setup-bun": _unless_on("no-cache"),
    "pre-commit/action": lambda _: True,
    "prefix-dev/setup-pixi": _unless_off("cache"),
    "pyo3/maturin-action": _if_on("sccache"),
    "r-lib/actions/setup-r-dependencies": _unless_off("cache"),
}
"""Actions that restore a cache of the repository, tools that they install included, and the inputs with which they do.

Any other does if its name says so, or with one of the `CACHE_INPUTS`.
"""
CACHE_INPUTS = ("cache", "enable-cache", "use-cache", "bundler-cache", "cache-environment", "cache-downloads")
_NAMED_CACHE = re.compile(r"(?<!proxy-)cache(?!.*/save$)")


def _restores_cache(action: str, inputs: Inputs) -> bool:
    if action in CACHES:
        return CACHES[action](inputs)
    by_name = _NAMED_CACHE.search(action) and _unless_on("lookup-only")(inputs)
    return bool(by_name) or _if_on(*CACHE_INPUTS)(inputs)


_SETUP = re.compile(r"[^/]+/beampermit/actions/setup")


def release_cache(entry: Workflow, jobs: Sequence[StartedJob]) -> Iterator[JobDefect]:
    """A workflow that publishes or deploys restores no cache in any of its jobs."""
    if not _is_release(entry, jobs):
        return
    for started in jobs:
        for step in started.job.steps:
            if any(_restores_cache(step.action, inputs) for inputs in _inputs_of(started, step)):
                message = f"restores a cache in a release ({step.action}); other runs could change what is released"
                yield started, step.line("uses"), message
            elif _SETUP.fullmatch(step.action) and any(
                str(inputs.get("fresh", "false")).lower() != "true" for inputs in _inputs_of(started, step)
            ):
                message = "uses what other runs installed in a release; give the set-up, or its caller, `fresh: true`"
                yield started, step.line("uses"), message


def _inputs_of(started: StartedJob, step: Step) -> Iterator[Inputs]:
    """The inputs of a step, with each value that one of them may have."""
    values = {key: started.values(value) for key, value in step.given.items()}
    for number in range(max(map(len, values.values()), default=1)):
        yield {key: several[min(number, len(several) - 1)] for key, several in values.items()}


def _is_release(entry: Workflow, jobs: Sequence[StartedJob]) -> bool:
    """Whether it publishes, by its event, an environment or a permission, and no pull request starts it."""
    if FORK_EVENTS & entry.events.keys():
        return False
    push = entry.events.get("push")
    on_tags = isinstance(push, Mapping) and "tags" in push
    return "release" in entry.events or on_tags or any(_publishes(started, entry) for started in jobs)


def _publishes(started: StartedJob, entry: Workflow) -> bool:
    permissions = started.job.permissions if started.job.permissions is not None else started.workflow.permissions
    if permissions == "write-all" or started.job.environment:
        return True
    written = {name for name, right in mapping(permissions).items() if right == "write"} & PUBLISHING_PERMISSIONS
    if written == {"contents"} and "schedule" in entry.events:
        return any(
            _RELEASES.search(f"{step.action}\n{step.run}\n{step.given.get('script')}") for step in started.job.steps
        )
    return bool(written)


_RELEASES = re.compile(
    r"(?<!--)(?<!os-)(?<!lsb_)releas(?!e/|es/(download|latest))|publish|\btwine\b|\bgit\s+tag\b|--(follow-)?tags\b"
    r"|refs/tags|gh-(pages|deploy)",
    re.IGNORECASE,
)
"""What makes a release of a scheduled job, which otherwise commits what it brought up to date."""


WORKFLOW_RULES: Mapping[str, WorkflowRule] = {
    "pull-request-target": pull_request_target,
    "write-all": write_all,
}
STEP_RULES: Mapping[str, StepRule] = {"script-expression": script_expression}
ACTION_RULES: Mapping[str, ActionRule] = {"evaluated-text": evaluated_text}
FORK_RULES: Mapping[str, JobRule] = {"fork-runner": fork_runner}
"""Rules for the jobs that a fork's pull request starts, with what is known of it."""
JOB_RULES: Mapping[str, JobRule] = {
    "inherited-secrets": inherited_secrets,
    "exposed-secrets": exposed_secrets,
    "untrusted-checkout": untrusted_checkout,
    "evaluated-text": evaluated_in_jobs,
    "kept-credentials": kept_credentials,
    "release-cache": release_cache,
}
