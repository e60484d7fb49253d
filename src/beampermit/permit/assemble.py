"""Assembles a permit from verdicts, only if every interlock passes for exactly this commit and tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from beampermit import __version__
from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.digest import digest_file, digest_json
from beampermit.environments.choice import backend_of, lock_files
from beampermit.errors import BadInput, Failed
from beampermit.git import Git
from beampermit.models.manifest import Manifest
from beampermit.models.metrics import read_metrics
from beampermit.permit.sbom import bind_sbom
from beampermit.permit.statement import Statement, validate_statement
from beampermit.project import Project
from beampermit.verdicts.verdict import Verdict, VerdictFile, read_verdicts

MOST_FILES = 256


def read_verdict_files(folder: Path) -> tuple[VerdictFile, ...]:
    """All verdict files below `folder`. Raises `BadInput` for a file that is invalid or a link."""
    if not folder.is_dir():
        raise BadInput("there is no folder of verdicts", file=folder, hint="beampermit check --out FILE")
    files = sorted(folder.rglob("*.json"))
    if len(files) > MOST_FILES:
        raise BadInput(f"{len(files)} verdict files are more than the {MOST_FILES} allowed", file=folder)
    for file in files:
        if file.is_symlink():
            raise BadInput("a verdict file must be a regular file, and this is a link", file=file)
    return tuple(read_verdicts(file) for file in files)


def assemble(
    project: Project,
    verdict_files: Iterable[VerdictFile],
    expected: Iterable[str],
    run: str = "",
    *,
    later: Iterable[str] = (),
    software: Path | None = None,
) -> Statement:
    """The permit for the project's HEAD; `expected` are the ids of all interlocks, `run` the workflow run.

    `software` is the bill of materials from `env sbom`, whose digest the permit binds. `later` are interlocks that run
    only for a release: they may be skipped here, and a permit without them cannot be promoted. Raises `Failed` with
    each interlock that did not pass for exactly this commit and tree.
    """
    git, contract = project.git, project.contract
    commit, tree = git.head(), git("rev-parse", "HEAD^{tree}")
    files = tuple(verdict_files)
    problems = list(_problems(files, set(expected), set(later), commit, tree))
    if problems:
        raise Failed(f"no permit for {commit[:12]}: {'; '.join(problems)}", hint="beampermit check --out FILE")
    _require_no_changes(git)
    listed = Manifest.read(project.path(contract.model.manifest), contract.model.manifest)
    locks = _locks(project)
    model, dataset = _split(listed.files, contract.model.path)
    body = {
        "subject": [{"name": contract.model.name, "digest": {"sha256": digest_json(model).removeprefix("sha256:")}}],
        "predicate": {
            "commit": commit,
            "tree": tree,
            "environment": _bind(project, locks[0]),
            "variants": [_bind(project, name) for name in locks[1:]],
            "software": bind_sbom(software, project.root, locks) if software else None,
            "pipeline": _bind(project, "dvc.lock"),
            "contract": _bind(project, CONTRACT),
            "dataset": dataset,
            "model": model,
            "metrics": read_metrics(project.path(contract.evaluation.metrics), contract.evaluation.metrics),
            "verdicts": _passed(files),
            "checker": __version__,
            "issued": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "run": run,
        },
    }
    return validate_statement(body, contract.model.manifest)


def _problems(
    files: tuple[VerdictFile, ...], expected: set[str], later: set[str], commit: str, tree: str
) -> Iterator[str]:
    """One line for each reason to refuse the permit."""
    verdicts = [(verdict, file) for file in files for verdict in file.verdicts]
    for id in sorted(expected | {verdict.id for verdict, _ in verdicts}):
        of_this = [(verdict, file) for verdict, file in verdicts if verdict.id == id]
        if id not in expected:
            yield f"{id} is not an interlock of this beampermit"
        elif id in later and of_this and all(verdict.until for verdict, _ in of_this):
            continue
        elif not of_this:
            yield f"{id} has no verdict"
        elif len(of_this) > 1:
            yield f"{id} has {len(of_this)} verdicts: {', '.join(verdict.outcome for verdict, _ in of_this)}"
        else:
            yield from _problems_of(*of_this[0], commit, tree)


def _problems_of(verdict: Verdict, file: VerdictFile, commit: str, tree: str) -> Iterator[str]:
    if file.commit != commit:
        yield f"{verdict.id} was judged at commit {file.commit[:12]}, not {commit[:12]}"
    elif file.tree != tree:
        yield f"{verdict.id} was judged on a work tree with uncommitted changes"
    elif file.checker != __version__:
        yield f"{verdict.id} was judged by beampermit {_plain(file.checker)}, but this is {__version__}"
    elif not verdict.passed:
        yield f"{verdict.id} {verdict.outcome}: {_plain(verdict.reason)}"
    elif verdict.reused:
        yield f"{verdict.id} is reused from an earlier run: run beampermit check --fresh --out FILE"


def _plain(text: str) -> str:
    """One printable line: verdicts come from artifacts, so their text is not trusted."""
    line = " ".join(text.split())[:300]
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _passed(files: tuple[VerdictFile, ...]) -> list[dict[str, Any]]:
    verdicts = [
        {
            "id": verdict.id,
            "outcome": verdict.outcome,
            "reason": _plain(verdict.reason),
            "where": file.where.model_dump(mode="json"),
        }
        for file in files
        for verdict in file.verdicts
        if verdict.passed
    ]
    return sorted(verdicts, key=lambda verdict: str(verdict["id"]))


def _require_no_changes(git: Git) -> None:
    """The files that the permit binds are read from the work tree, so it must equal the commit."""
    changed = git("status", "--porcelain", "--untracked-files=no")
    if changed:
        first = changed.split("\n")[0][3:]
        raise Failed(
            "this file has uncommitted changes, and a permit binds a commit", file=first, hint=f"git diff -- {first}"
        )


def _split(files: dict[str, str], folder: str) -> tuple[dict[str, str], dict[str, str]]:
    """The manifest's digests of the model, by path in its folder, and of everything else."""
    prefix = f"{folder}/"
    model = {path.removeprefix(prefix): digest for path, digest in files.items() if path.startswith(prefix)}
    return model, {path: digest for path, digest in files.items() if not path.startswith(prefix)}


def _locks(project: Project) -> tuple[str, ...]:
    """The lock, and the locks of accelerator variants that are in the commit."""
    backend = backend_of(project.root)
    _, *variants = lock_files({backend.lock_file, *project.git.tracked()}, backend)
    return (backend.lock_file, *variants)


def _bind(project: Project, file: str) -> dict[str, str]:
    if not project.path(file).is_file():
        raise BadInput("this file is missing, and a permit must bind it", file=file)
    return {"file": file, "digest": digest_file(project.path(file))}
