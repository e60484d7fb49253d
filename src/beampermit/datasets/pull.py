"""The safe pull: manifests are checked and bytes verified before anything is written to the work tree."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.datasets.remote import hash_of
from beampermit.datasets.repository import Output, Repository, bad_input_of, is_below, overlap
from beampermit.datasets.verification import absent_manifests, manifest_faults, name_of_remote, object_place
from beampermit.datasets.workspace import irregular_files
from beampermit.errors import BadInput, BeampermitError, Failed, Problem, several
from beampermit.progress import Progress, silent
from beampermit.project import Project

PULL = "beampermit data pull"
AT_ONCE = 16
PUSH = "run `dvc push` on the machine that made them"
REPLACE = (
    "delete that object on the remote, and the `.dir` manifest of its folder, then run `dvc push` on a machine that "
    "has the right bytes: what exists is never pushed again"
)


@dataclass(frozen=True)
class Pulled:
    """Numbers of objects fetched and already present, and the paths that changed in the work tree."""

    fetched: int
    present: int
    changed: tuple[str, ...]


def pull(repository: Repository, targets: Iterable[str] = (), progress: Progress = silent) -> Pulled:
    """Fetch and check out the data that `dvc.lock` and `.dvc` files name, all or those of `targets` (paths or stages).

    Raises `Failed` for missing or wrong data, before the work tree is changed; `Outside` if a remote cannot be reached;
    `BadInput` for unknown targets and if local changes would be lost. Safe to run again.
    """
    outputs = _selected(repository, tuple(targets))
    _check_safe(repository, outputs)
    fetched, present = _fetch(repository, outputs, progress)
    return Pulled(fetched, present, _checkout(repository, outputs))


def pull_into(tree: Path, repository: Repository, targets: Iterable[str]) -> None:
    """Fetch data that `repository` names, and copy them into another checkout of its commit.

    What DVC would read is what it has read there: to read it again takes a third of a second. Raises as `pull` does.
    """
    targets = tuple(targets)
    outputs = _selected(repository, targets)
    if any(os.path.lexists(tree / output.path) for output in outputs):  # git has it too, which DVC refuses or replaces
        pull(Repository(Project(tree), home=repository.home), targets)
        return
    _check_safe(repository, outputs, tree.resolve())
    _fetch(repository, outputs, silent)
    for output in outputs:
        (tree / output.path).parent.mkdir(parents=True, exist_ok=True)
        if output.folder:
            (tree / output.path).mkdir(exist_ok=True)
        for path, oid in repository.files(output).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            _copy(repository.cached(oid, output.hash_name), tree / path)
            if output.executable:
                (tree / path).chmod((tree / path).stat().st_mode | stat.S_IXUSR)


def _copy(source: Path, target: Path) -> None:
    """A copy that shares its blocks with the cache where the file system can, as DVC's."""
    from dvc_objects.fs.system import reflink

    try:
        reflink(str(source), str(target))
    except OSError:
        shutil.copyfile(source, target)


def way_to_get(project: Project, path: str, named_in: str = CONTRACT) -> str:
    """The hint for a file or folder that is missing: a pull only where that can bring it, for it says nothing else."""
    try:
        if Repository.exists(project) and _may_bring(Repository(project), path):
            return PULL
    except BeampermitError:
        return PULL  # which says what is wrong with DVC's files
    if any(is_below(file, path) for file in project.git.tracked()):
        return f"git restore {shlex.quote(path)}"
    return (
        "neither dvc.lock nor a .dvc file has its hash, so a pull cannot bring it: "
        f"correct the path in {named_in}, or run `dvc repro` or `dvc add`"
    )


def absence(project: Project, path: str, reason: str, kind: type[BeampermitError] = BadInput) -> BeampermitError:
    """The error for data that are not on this machine, with what brings them; the remote is asked whether it can.

    It is a `kind` where something brings them, else `Failed`. Raises what a pull would: `BadInput` where no remote is
    configured, `Outside` where it does not answer.
    """
    hint = way_to_get(project, path)
    if hint != PULL:
        return kind(reason, file=path, hint=hint)
    repository = Repository.of(project)
    outputs = [output for output in repository.outputs if overlap(path, output.path)]
    problems = absent_manifests(repository, outputs)
    for output in outputs:
        files = {oid: file for file, oid in repository.files(output).items() if overlap(file, path)}
        wanted = [oid for oid in files if not repository.cached(oid, output.hash_name).is_file()]
        lacks = repository.remote(output.remote).missing(wanted, output.hash_name) if wanted else set()
        problems += [_not_there(repository, output, files[oid], oid) for oid in sorted(lacks)]
    if problems:
        return Failed(several([problem.message for problem in problems]), file=problems[0].file, hint=PUSH)
    return kind(reason, file=path, hint=PULL)


def _not_there(repository: Repository, output: Output, path: str, oid: str) -> Problem:
    remote = repository.remote(output.remote)
    return Problem(f"{path} is not on the remote {name_of_remote(remote)} (object {oid[:8]})", output.file)


def _may_bring(repository: Repository, path: str) -> bool:
    """Whether an output holds the path; one whose manifest was never pulled may, and the remote is not asked."""
    outputs = [output for output in repository.outputs if overlap(path, output.path)]
    return any(
        (output.folder and not repository.cached(output.oid, output.hash_name).is_file())
        or any(is_below(file, path) for file in repository.files(output))
        for output in outputs
    )


def _selected(repository: Repository, targets: tuple[str, ...]) -> list[Output]:
    names = [os.path.normpath(target) for target in targets]
    for target, name in zip(targets, names, strict=True):
        if not any(_matches(output, name) for output in repository.outputs):
            raise BadInput(f"{target!r} is neither a path that DVC tracks nor a stage with outputs", hint="dvc ls .")
    return [output for output in repository.outputs if not names or any(_matches(output, name) for name in names)]


def _matches(output: Output, name: str) -> bool:
    return name in (output.stage, output.path) or output.path.startswith(f"{name}/")


def _check_safe(repository: Repository, outputs: list[Output], root: Path | None = None) -> None:
    """`root`: the checkout that is written to, where it is not that of the repository."""
    root = root or repository.root
    faults = manifest_faults(repository, outputs)
    faults += [
        Problem(f"{path} is {kind}", output.file)
        for output in outputs
        for path, kind in irregular_files(root / output.path, root, repository.cache)
    ]
    _refuse(faults, "beampermit data check")
    _refuse(absent_manifests(repository, outputs), PUSH)


def _refuse(faults: list[Problem], hint: str) -> None:
    if faults:
        reason = several([fault.message for fault in faults])
        raise Failed(f"nothing was checked out: {reason}", file=faults[0].file, hint=hint)


def _fetch(repository: Repository, outputs: list[Output], progress: Progress) -> tuple[int, int]:
    objects: dict[tuple[str, str], tuple[str, Output]] = {}
    for output in outputs:
        for oid, path in repository.objects([output]).items():
            objects.setdefault((oid, output.hash_name), (path, output))
    needed = [item for item in objects.items() if not _is_intact(repository.cached(*item[0]), *item[0])]
    done = len(objects) - len(needed)
    progress("objects", done, len(objects))
    if not needed:
        return 0, done
    for name in {output.remote for _, (_, output) in needed}:
        repository.remote(name)
    repository.cache.mkdir(parents=True, exist_ok=True)
    faults: list[tuple[Problem, str]] = []
    # In the cache, so that a rename moves each object into it whole.
    with (
        tempfile.TemporaryDirectory(prefix="incoming-", dir=repository.cache) as folder,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        for fault in pool.map(lambda item: _fetch_object(repository, Path(folder), *item[0], *item[1]), needed):
            done += 1
            progress("objects", done, len(objects))
            faults += [fault] if fault else []
    for hint in (REPLACE, PUSH):
        _refuse([problem for problem, advice in faults if advice == hint], hint)
    return len(needed), len(objects) - len(needed)


def _fetch_object(
    repository: Repository, folder: Path, oid: str, hash_name: str, path: str, output: Output
) -> tuple[Problem, str] | None:
    """Fetch one object into the cache; return what is wrong with it and what to do, or None."""
    temporary = folder / oid
    remote = repository.remote(output.remote)
    digest = remote.fetch(oid, temporary, hash_name)
    if digest is None:
        return _not_there(repository, output, path, oid), PUSH
    if digest != oid.removesuffix(".dir"):
        place = object_place(oid)
        return Problem(f"{path} on the remote does not match its hash (object {place})", output.file), REPLACE
    cached = repository.cached(oid, hash_name)
    cached.parent.mkdir(parents=True, exist_ok=True)
    temporary.chmod(0o444)
    temporary.replace(cached)
    return None


def _is_intact(file: Path, oid: str, hash_name: str) -> bool:
    return file.is_file() and hash_of(file, hash_name) == oid.removesuffix(".dir")


def _checkout(repository: Repository, outputs: list[Output]) -> tuple[str, ...]:
    if not outputs:
        return ()
    from dvc.exceptions import DvcException
    from dvc.repo import lock_repo

    repo = repository.repo
    # DVC takes each target for a stage first, and reads dvc.yaml and dvc.lock of the current folder again for each.
    with tempfile.TemporaryDirectory() as empty, chdir(empty):
        try:
            with lock_repo(repo):
                # Not what DVC would read now, which nobody has checked.
                repo.index = repository.index
                changes = repo.checkout(targets=[str(repository.root / output.path) for output in outputs])
        except DvcException as error:
            if "unsaved files" not in str(error):
                raise bad_input_of(error, repository.root) from None
            names = ", ".join(repository.relative(line) for line in str(error).splitlines()[1:4])
            raise BadInput(
                f"local changes would be lost: {names}",
                hint="run `dvc commit` to keep the changes, or `dvc checkout --force` to drop them",
            ) from None
        return tuple(
            repository.relative(str(Path(path).absolute()))
            for kind in ("added", "modified", "deleted")
            for path in changes[kind]
        )
