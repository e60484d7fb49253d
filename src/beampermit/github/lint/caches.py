"""Caches in releases: what another run left, nobody reviewed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from beampermit.github.lint.reach import FORK_EVENTS, Defect, Reached
from beampermit.github.lint.values import resolve
from beampermit.github.workflow import Step, Workflow

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


def rule(entry: Workflow, jobs: Sequence[Reached]) -> Iterator[Defect]:
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
