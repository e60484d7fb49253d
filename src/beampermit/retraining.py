"""Retrains with the data up to now, and proposes the result as a pull request that the interlocks judge.

Two halves, because the project's code runs in the first: it sees no token that may write, and the second runs none of
that code. Between them is a git bundle with one commit, of which the second half accepts data and results alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from beampermit.contract import FILE_NAME, Contract
from beampermit.contract.load import parse_contract
from beampermit.datasets.dvc_lock import PIPELINE
from beampermit.datasets.repository import Repository
from beampermit.documents.markdown import text
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed, Outside
from beampermit.files import write_text
from beampermit.git import Git
from beampermit.github.branches import base_branch, commit_files, push_branch
from beampermit.github.client import Client
from beampermit.github.pull_requests import open_pull_request
from beampermit.monitoring.response.proposals import RETRAIN
from beampermit.processes import Finished, run
from beampermit.progress import Progress
from beampermit.project import Project
from beampermit.reading import decode

BRANCH, BUNDLE, REF = RETRAIN, "retrained.bundle", "refs/beampermit/retrained"
HOURS = 24.0
"""Of one run of the pipeline, at most."""
END = re.compile(r"\bend:\s*(?P<value>\"[^\"]*\"|'[^']*'|[^\s,}#]+( +\d[^\s,}#]*)?)")
VERSION = re.compile(r"\bversion:\s*(?P<value>\d+)")
SOURCE = re.compile(r"\bsource:\s*[\"']?[\w-]+[\"']?")


@dataclass(frozen=True)
class Retrained:
    """`commit` is None where neither data nor results changed."""

    commit: str | None
    bundle: Path
    until: str
    """The new end of the request; empty where it has no ranges."""


def retrain(project: Project, environment: Environment, out: Path, now: datetime, progress: Progress) -> Retrained:
    """Request up to now, run all stages, push the data, and write the bundle into the folder `out`.

    Raises `Failed` where a stage fails, `Outside` where the remote does.
    """
    git, root = project.git, project.root
    before = _text_of(project)
    until = _extend_request(project, now)
    try:
        if not until:
            _repeat_request(project, environment, progress, before)
        progress("run the pipeline")
        _stages(_dvc(environment, root, "repro"))
    except BaseException:
        write_text(root / FILE_NAME, before)
        raise
    files = [name for name in sorted(allowed_files(project)) if (root / name).is_file()]
    commit = commit_files(git, files, _title(project))
    bundle = out / BUNDLE
    if commit is None:
        return Retrained(None, bundle, until)
    progress("push the data")
    pushed = _dvc(environment, root, "push")
    if pushed.code:
        raise Outside(f"the data cannot be pushed: {pushed.tail}", hint="beampermit env run -- dvc push")
    out.mkdir(parents=True, exist_ok=True)
    git("update-ref", REF, commit)
    git("bundle", "create", "--quiet", str(bundle.absolute()), f"{git.head()}..{REF}")
    return Retrained(commit, bundle, until)


def propose(project: Project, client: Client, bundle: Path, reason: str) -> str:
    """Push the commit of a bundle as the branch `beampermit/retrain`, and open its pull request; the address.

    Raises `BadInput` for a bundle that holds anything but data and results on top of HEAD; `Conflict`, `Outside`.
    """
    git = project.git
    commit = _fetched(git, bundle)
    changed = set(git("diff", "--name-only", "--no-renames", "-z", "HEAD", commit).strip("\0").split("\0"))
    allowed = {project.git.prefix + name for name in allowed_files(project)}
    if strange := sorted(changed - allowed):
        raise BadInput(f"a retraining changes data and results alone, and this one changes {strange[0]!a}", file=bundle)
    _require_same_contract(project, commit)
    push_branch(git, commit, BRANCH)
    body = [
        "The pipeline of the protected branch, run again with the data up to now. All interlocks check this pull "
        "request like any other, and nothing is promoted before people have merged it. Where the data are others, "
        "dataset.request.version is the next one, and the model is evaluated on the earlier test rows as well.",
        f"Why: {text(reason)}" if reason.strip() else "",
    ]
    return open_pull_request(
        client, branch=BRANCH, base=base_branch(git), title=_title(project), body="\n\n".join(filter(None, body))
    )


def allowed_files(project: Project) -> set[str]:
    """What a retraining may change: the request's end and version, DVC's lock, and results that are in git."""
    repository = Repository.of(project)
    stages = [stage for stage in repository.stages if Path(stage.path).name == PIPELINE]
    locks = {repository.relative(str(Path(stage.path).with_suffix(".lock"))) for stage in stages}
    results = {repository.relative(out.fs_path) for stage in stages for out in stage.outs if not out.use_cache}
    return {FILE_NAME, *locks, *results}


def _extend_request(project: Project, now: datetime) -> str:
    """Move the end of the newest range to `now`, in its place in the contract, and raise the version of the request."""
    request = project.contract.dataset.request
    if request is None or not request.ranges:
        return ""
    newest = max(request.ranges, key=lambda span: span.end)
    until = now.astimezone(UTC).replace(microsecond=0)
    if until <= newest.end:
        return newest.end.isoformat()
    before = _text_of(project)
    for match in END.finditer(before):
        changed = f"{before[: match.start('value')]}{until:%Y-%m-%dT%H:%M:%SZ}{before[match.end('value') :]}"
        found = _renewed(project, changed)
        if found and max(found.dataset.request.ranges, key=lambda span: span.end).end == until:
            write_text(project.root / FILE_NAME, _with_next_version(project, changed))
            return until.isoformat()
    raise BadInput("the end of the newest range is not found in dataset.request.ranges", file=FILE_NAME)


def _with_next_version(project: Project, text: str) -> str:
    """The contract `text` with the next version of the request: of other data, other rows are the test's (PRF001)."""
    version = project.contract.dataset.request.version + 1
    for changed in _with_version(text, version):
        found = _renewed(project, changed)
        if found and found.dataset.request.version == version:
            return changed
    raise BadInput("dataset.request.version is not found, and has no place", file=FILE_NAME)


def _with_version(text: str, version: int) -> Iterator[str]:
    """With the number at each place where it may stand, or may be put in: where there is none, it is 1."""
    for match in VERSION.finditer(text):
        yield f"{text[: match.start('value')]}{version}{text[match.end('value') :]}"
    for match in SOURCE.finditer(text):
        before, source = text[: match.start()], text[match.start() :]
        line = before.rpartition("\n")[2]
        yield f"{before}version: {version}, {source}"
        yield f"{before}version: {version}\n{' ' * len(line)}{source}"


def _text_of(project: Project) -> str:
    return decode((project.root / FILE_NAME).read_bytes(), FILE_NAME)


def _renewed(project: Project, text: str) -> Contract | None:
    """The contract `text`, if it is that of the project but for the end of its newest range and the next version."""
    try:
        found = parse_contract(text)
    except BadInput:
        return None
    raised = found.dataset.request.version - project.contract.dataset.request.version
    return found if raised in (0, 1) and _without_renewal(found) == _without_renewal(project.contract) else None


def _without_renewal(contract: Contract) -> object:
    body = contract.model_dump(mode="json")
    request = body["dataset"]["request"]
    request["version"] = 0
    if request["ranges"]:
        max(request["ranges"], key=lambda span: span["end"])["end"] = ""
    return body


def _repeat_request(project: Project, environment: Environment, progress: Progress, text: str) -> None:
    """A request without ranges is answered anew by the stage that writes `dataset.raw`.

    Where the data are others than before, it is the next version of the request of the contract `text`.
    """
    repository, raw = Repository.of(project), project.contract.dataset.raw
    before = _object_of(repository, raw)
    for stage in repository.stages:
        if Path(stage.path).name == PIPELINE and any(repository.relative(out.fs_path) == raw for out in stage.outs):
            progress("request the data")
            address = f"{repository.relative(stage.path)}:{repository.name(stage)}"
            _stages(_dvc(environment, project.root, "repro", "--force", "--single-item", address))
    if _object_of(Repository.of(project), raw) != before:
        write_text(project.root / FILE_NAME, _with_next_version(project, text))


def _object_of(repository: Repository, path: str) -> str:
    """The hash that DVC has of a file; empty where it has none."""
    return next((output.oid for output in repository.outputs if output.path == path), "")


def _require_same_contract(project: Project, commit: str) -> None:
    committed = project.git.read(commit, FILE_NAME)
    if committed is None or _renewed(project, committed) is None:
        raise BadInput("a retraining changes no other key of the contract than the end and version of its request")


def _fetched(git: Git, bundle: Path) -> str:
    """The commit of the bundle, whose only parent is HEAD. Raises `BadInput`."""
    if not bundle.is_file():
        raise BadInput("there is no bundle of a retraining", file=bundle, hint="beampermit retrain --out FOLDER")
    fetched = git.try_("fetch", "--quiet", "--no-tags", str(bundle.absolute()), REF)
    commit = git.resolve("FETCH_HEAD") if fetched.code == 0 else None
    if commit is None:
        raise BadInput(f"this is no bundle of a retraining: {fetched.tail}", file=bundle)
    if git("rev-list", "--parents", "-1", commit).split()[1:] != [git.head()]:
        raise BadInput("the bundle is not one commit on top of the commit that is checked out", file=bundle)
    return commit


def _dvc(environment: Environment, root: Path, *arguments: str) -> Finished:
    """By the checker's own DVC, which pulls the data too: an environment need not have one. Stages find the project's
    Python first on their path; `-I`: a module in the project's folder must not shadow that of the checker.
    """
    dvc = [sys.executable, "-I", "-m", "dvc"]
    return run([*dvc, *arguments], cwd=root, env=environment.variables(root), timeout=HOURS * 3600)


def _stages(finished: Finished) -> None:
    if finished.code:
        raise Failed(f"the pipeline failed: {_reason(finished.tail)}", file="dvc.yaml", hint="dvc repro")


def _reason(line: str) -> str:
    return line.removeprefix("ERROR: ")


def _title(project: Project) -> str:
    return f"Retrain {project.contract.model.name} with the data up to now"
