"""Assembles a permit from verdicts, only if every interlock passes for exactly this commit and tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

from beampermit import __version__
from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.contract import Contract
from beampermit.datasets.dvc_lock import LOCK, pipeline_locks
from beampermit.digest import digest_file, digest_json
from beampermit.environments.choice import backend_of, lock_files
from beampermit.errors import BadInput, Failed
from beampermit.git import Git
from beampermit.models.manifest import Manifest
from beampermit.models.metrics import read_project_metrics
from beampermit.permit.sbom import bind_sbom
from beampermit.permit.statement import Statement, validate_statement
from beampermit.project import Project
from beampermit.verdicts.evidence import Gates
from beampermit.verdicts.packages import InterlockPackage
from beampermit.verdicts.verdict import OWN_ID, Verdict, VerdictFile, Where, find_evidence, read_verdicts

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
    *,
    here: Where | None = None,
    later: Iterable[str] = (),
    software: Path | None = None,
    packages: tuple[InterlockPackage, ...] = (),
) -> Statement:
    """The permit for the project's HEAD; `expected` are the ids of all interlocks, `here` is this machine and run.

    `software` is the bill of materials from `env sbom`, whose digest the permit binds. `later` are interlocks that run
    only for a release: they may be skipped here, and a permit without them cannot be promoted. `packages` are those of
    the laboratory that the protected branch names, whose interlocks are among `expected`. Raises `Failed` with
    each interlock that did not pass for exactly this commit and tree, in this run, by the base's contract.
    """
    git, contract = project.git, project.contract
    commit, tree = git.head(), git("rev-parse", "HEAD^{tree}")
    files = tuple(verdict_files)
    here = here or Where.here()
    asked = _Asked(project, commit, tree, here, packages)
    problems = list(_problems(files, set(expected), set(later), asked))
    if problems:
        raise Failed(f"no permit for {commit[:12]}: {'; '.join(problems)}", hint="beampermit check --out FILE")
    _require_no_changes(git)
    written = contract.evaluation.metrics
    metrics = read_project_metrics(project.path(written), written, contract.metrics)
    tracked = git.tracked()
    locks, pipelines = _locks(project, tracked), _pipelines(project, tracked)
    read = [contract.model.manifest, *([written] if metrics else [])]
    _require_as_committed(project, [*read, *locks, *pipelines, CONTRACT])
    listed = Manifest.read(project.path(contract.model.manifest), contract.model.manifest)
    model, dataset = _split(listed.files, contract.model.path)
    body = {
        "subject": [{"name": contract.model.name, "digest": {"sha256": digest_json(model).removeprefix("sha256:")}}],
        "predicate": {
            "commit": commit,
            "tree": tree,
            "environment": _bind(project, locks[0]),
            "variants": [_bind(project, name) for name in locks[1:]],
            "software": bind_sbom(software, project.root, locks) if software else None,
            "pipeline": _bind(project, pipelines[0]),
            "pipelines": [_bind(project, name) for name in pipelines[1:]],
            "contract": _bind(project, CONTRACT),
            "base": project.base,
            "base_contract": project.base_contract_digest,
            "dataset": dataset,
            "model": model,
            "metrics": {**metrics, **_measured(files, contract)},
            "verdicts": _passed(files),
            "checker": __version__,
            "packages": packages,
            "issued": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "run": here.run,
        },
    }
    return validate_statement(body, contract.model.manifest)


@dataclass(frozen=True)
class _Asked:
    """What every verdict of a permit must be about."""

    project: Project
    commit: str
    tree: str
    here: Where
    packages: tuple[InterlockPackage, ...] = ()

    @cached_property
    def base_contract(self) -> str | None:
        return self.project.base_contract_digest

    def why_another(self, file: VerdictFile) -> str | None:
        """Why verdicts of `file` do not count, for a sentence that begins `DOC001 was judged`; None where they do."""
        if file.commit != self.commit:
            return f"at commit {file.commit[:12]}, not {self.commit[:12]}"
        if file.tree != self.tree:
            return "on a work tree with uncommitted changes"
        if file.checker != __version__:
            return f"by beampermit {_plain(file.checker)}, but this is {__version__}"
        return self._why_another_place(file.where) or self._why_another_base(file)

    def why_another_package(self, verdict: Verdict, file: VerdictFile) -> str | None:
        """Why a verdict is not one of the checker, or for a laboratory's interlock, of the package that is locked."""
        if not OWN_ID.fullmatch(verdict.id):
            return f"by {_plain(verdict.by)}, and it is an interlock of beampermit" if verdict.by else None
        labels = [package.label for package in self.packages]
        if verdict.by not in labels:
            return f"by {_plain(verdict.by) or 'no package'}, but the protected branch asks for {', '.join(labels)}"
        if file.packages != self.packages:
            return f"by {_plain(verdict.by)} with other hashes or beside other packages than the protected branch locks"
        return None

    def _why_another_place(self, where: Where) -> str | None:
        """An earlier attempt of the same run counts: GitHub runs again only the jobs that failed."""
        here = self.here
        if where.run != here.run:
            return f"in {_plain(where.run) or 'no workflow run'}, not in {here.run or 'none'}"
        if where.attempt > here.attempt:
            return f"in attempt {where.attempt} of this run, but this is attempt {here.attempt}"
        if not here.run and where.host != here.host:
            return (
                f"on {_plain(where.host)}, not on {here.host}: without a workflow run all verdicts are of one machine"
            )
        return None

    def _why_another_base(self, file: VerdictFile) -> str | None:
        """A base that has moved on since is the same, as long as its contract is."""
        base = self.project.base
        if file.base != base and not (file.base and base and self._contains(base, file.base)):
            was, now = (commit[:12] if commit else "no base" for commit in (file.base, base))
            return f"against {was}, not against {now}: give `check` and `permit assemble` the same --base"
        if file.base_contract != self.base_contract:
            was, now = (digest[:19] if digest else "none" for digest in (file.base_contract, self.base_contract))
            return f"by the contract {was}, but the base's contract is {now}: run all checks again"
        return None

    def _contains(self, newer: str, older: str) -> bool:
        return self.project.git.try_("merge-base", "--is-ancestor", older, newer).code == 0


def _problems(files: tuple[VerdictFile, ...], expected: set[str], later: set[str], asked: _Asked) -> Iterator[str]:
    """One line for each reason to refuse the permit."""
    verdicts = [(verdict, file) for file in files for verdict in file.verdicts]
    for id in sorted(expected | {verdict.id for verdict, _ in verdicts}):
        of_this = [(verdict, file) for verdict, file in verdicts if verdict.id == id]
        if id not in expected:
            yield f"{id} is not an interlock of this beampermit"
        elif not of_this:
            yield f"{id} has no verdict"
        elif len(of_this) > 1:
            yield f"{id} has {len(of_this)} verdicts: {', '.join(verdict.outcome for verdict, _ in of_this)}"
        elif why := asked.why_another(of_this[0][1]) or asked.why_another_package(*of_this[0]):
            yield f"{id} was judged {why}"
        elif not (id in later and of_this[0][0].until):
            yield from _problems_of(of_this[0][0])


def _problems_of(verdict: Verdict) -> Iterator[str]:
    if not verdict.passed:
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
            "by": verdict.by,
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
            "this file has uncommitted changes, and a permit binds a commit",
            file=first,
            hint=f"git diff -- {':/' if git.prefix else ''}{first}",
        )


def _require_as_committed(project: Project, files: Sequence[str]) -> None:
    """`git status` passes over files that the index says to pass over, and those that attributes write otherwise."""
    there = [file for file in files if project.path(file).is_file()]  # who reads it says that it is missing
    # Of the first that the commit does not have, git prints the question, and then nothing more.
    held = project.git.try_("rev-parse", *(f"HEAD:./{file}" for file in there)).out.split("\n")
    found = project.git.try_("hash-object", "--no-filters", "--", *there).out.split("\n")
    for file, own, committed in zip_longest(there, found, held):
        if own != committed:
            raise Failed(
                "this file is not byte by byte that of the commit, which a permit binds",
                file=file,
                hint=f"git checkout-index --force --ignore-skip-worktree-bits {file}",
            )


def _measured(files: Iterable[VerdictFile], contract: Contract) -> dict[str, float]:
    """The metrics that the checker computed, from the verdict of PRF001. Raises `Failed` where one is not there."""
    names = [metric.name for metric in contract.metrics if metric.measure]
    gates = find_evidence((verdict for file in files for verdict in file.verdicts), Gates) or Gates()
    if lacks := [name for name in names if name not in gates.measured]:
        raise Failed(f"the verdict of PRF001 has no value of {lacks[0]}", hint="beampermit check --out FILE")
    return {name: gates.measured[name] for name in names}


def _split(files: dict[str, str], folder: str) -> tuple[dict[str, str], dict[str, str]]:
    """The manifest's digests of the model, by path in its folder, and of everything else."""
    prefix = f"{folder}/"
    model = {path.removeprefix(prefix): digest for path, digest in files.items() if path.startswith(prefix)}
    return model, {path: digest for path, digest in files.items() if not path.startswith(prefix)}


def _locks(project: Project, tracked: Sequence[str]) -> tuple[str, ...]:
    """The lock, and the locks of accelerator variants that are in the commit."""
    backend = backend_of(project.root)
    _, *variants = lock_files({backend.lock_file, *tracked}, backend)
    return (backend.lock_file, *variants)


def _pipelines(project: Project, tracked: Sequence[str]) -> tuple[str, ...]:
    """The dvc.lock of each pipeline, at least one; DAT001 asks for those that are missing."""
    locks = pipeline_locks(tracked)
    return tuple(lock for lock in locks if project.path(lock).is_file()) or (LOCK,)


def _bind(project: Project, file: str) -> dict[str, str]:
    if not project.path(file).is_file():
        raise BadInput("this file is missing, and a permit must bind it", file=file)
    return {"file": file, "digest": digest_file(project.path(file))}
