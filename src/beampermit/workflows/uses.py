"""Each `uses:` and container image of a workflow or action file, with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Any

from beampermit.workflows.tree import line_of, read_tree

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_IMAGE_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_WORKFLOW = re.compile(r"\./\.github/workflows/[^/@]+\.ya?ml")


@dataclass(frozen=True)
class Use:
    """One `uses:` or container image. `text` is the reference as written; `called` marks the one of a job.

    `$/path` is GitHub's name for the repository and commit of the file that it stands in. `./path` is the same for a
    job, but the checkout for a step.
    """

    text: str
    file: str
    line: int
    image: bool = False
    called: bool = field(default=False, compare=False)

    @property
    def is_local(self) -> bool:
        return self.text.startswith(("./", "$/"))

    @property
    def repository(self) -> str:
        """`owner/name`; empty for a local path or an image."""
        if self.image or self.is_local or self.text.startswith("docker://"):
            return ""
        return "/".join(self._target.split("/")[:2])

    @property
    def path(self) -> str:
        """The path inside the repository: the file of a reusable workflow, the folder of an action."""
        if self.is_local:
            return normpath(self.text[2:])
        return "/".join(self._target.split("/")[2:])

    @property
    def revision(self) -> str:
        return self.text.partition("@")[2]

    @property
    def defect(self) -> str:
        """Why the code it names can change without a commit in this repository; empty where it cannot."""
        if self.image or self.text.startswith("docker://"):
            return "" if _IMAGE_DIGEST.fullmatch(self.text) else "the image is not pinned by its digest, `@sha256:...`"
        if self.text.startswith((".", "$/")):
            return self._local_defect
        if not self.revision:
            return "no commit is given"
        if _COMMIT.fullmatch(self.revision):
            return ""
        kind = "a short commit" if re.fullmatch(r"[0-9a-f]{7,39}", self.revision) else "a tag or branch"
        return f"{self.revision!r} is {kind}, which can be moved to other code"

    @property
    def _local_defect(self) -> str:
        if self.text.startswith("$/"):
            return "GitHub refuses `@` here; a path that starts with `$/` is of this commit" if self.revision else ""
        if self.called and _WORKFLOW.fullmatch(self.text):
            return ""
        path = self.path if self.is_local else "path"
        fix = f"write $/{path}, which is of this commit, or owner/repository/path@commit"
        return f"a local path runs whatever the checkout contains; {fix}"

    @property
    def _target(self) -> str:
        return self.text.partition("@")[0]


def find_uses(text: str, file: str) -> tuple[Use, ...]:
    """All of a workflow or action file, in the order of lines. Raises `BadInput` with file and line."""
    tree = read_tree(text, file)
    return tuple(sorted(_uses(tree, file), key=lambda use: use.line))


def _uses(tree: Mapping[Any, Any], file: str) -> Iterator[Use]:
    jobs = tree.get("jobs")
    for job in jobs.values() if isinstance(jobs, Mapping) else ():
        if isinstance(job, Mapping):
            yield from _of_job(job, file)
    runs = tree.get("runs")
    if isinstance(runs, Mapping):
        yield from _of_steps(runs.get("steps"), file)
        if str(runs.get("image", "")).startswith("docker://"):
            yield Use(str(runs["image"]), file, line_of(runs, "image"), image=True)


def _of_job(job: Mapping[Any, Any], file: str) -> Iterator[Use]:
    if "uses" in job:
        yield Use(str(job["uses"]), file, line_of(job, "uses"), called=True)
    yield from _of_steps(job.get("steps"), file)
    services = job.get("services")
    bodies = list(services.values()) if isinstance(services, Mapping) else []
    for holder in bodies:
        if isinstance(holder, Mapping) and "image" in holder:
            yield Use(str(holder["image"]), file, line_of(holder, "image"), image=True)
    container = job.get("container")
    if isinstance(container, str):
        yield Use(container, file, line_of(job, "container"), image=True)
    elif isinstance(container, Mapping) and "image" in container:
        yield Use(str(container["image"]), file, line_of(container, "image"), image=True)


def _of_steps(steps: Any, file: str) -> Iterator[Use]:
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        return
    for step in steps:
        if isinstance(step, Mapping) and "uses" in step:
            yield Use(str(step["uses"]), file, line_of(step, "uses"))
