"""Prepare a commit for training again: a clean work tree, its data, and its model, set aside for comparison."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from beampermit.cache import cache_folder
from beampermit.contract import Contract, load_contract
from beampermit.datasets.pull import pull
from beampermit.datasets.repository import Repository
from beampermit.datasets.stale_stages import stage_changes
from beampermit.digest import digest_bytes, digest_file
from beampermit.errors import BadInput, Conflict
from beampermit.git import Git
from beampermit.models.manifest import Manifest
from beampermit.models.metrics import read_metrics
from beampermit.progress import Progress
from beampermit.project import Project
from beampermit.reproduction.record import TrainingRecord, read_record
from beampermit.reproduction.retraining import Training, committed_seed, set_seed

NO_HOOKS = ("-c", "core.hooksPath=/dev/null")
"""Hooks of the user are not part of the commit."""
FIXED_IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in {"NAME": "beampermit", "EMAIL": "beampermit@localhost", "DATE": "2000-01-01T00:00:00Z"}.items()
}


@contextmanager
def locked_folder(project: Project) -> Iterator[Path]:
    """The folder for reproductions of a project, locked until the block ends, without leftovers of killed runs.

    Raises `Conflict` while another reproduction of the same project runs.
    """
    from filelock import FileLock, Timeout

    # Outside the project: DVC ignores a work tree below an ignored folder.
    name = f"{project.root.name}-{digest_bytes(str(project.root.resolve()).encode())[7:23]}"
    folder = cache_folder() / "reproduce" / name
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Conflict("another reproduction of this project is running", file=folder) from None
    try:
        remove_leftovers(project.git, folder)
        yield folder
    finally:
        lock.release()


@contextmanager
def worktree(git: Git, commit: str, folder: Path) -> Iterator[Path]:
    """A work tree of `commit` at `folder`, removed at the end of the block."""
    _remove(git, folder)
    git(*NO_HOOKS, "worktree", "add", "--quiet", "--detach", "--force", str(folder), commit)
    try:
        yield folder
    finally:
        _remove(git, folder)


def remove_leftovers(git: Git, folder: Path) -> None:
    """End the processes that still run below `folder`, and remove every work tree there."""
    root = str(folder.resolve())
    _end_processes(root)
    for line in git("worktree", "list", "--porcelain").splitlines():
        path = line.removeprefix("worktree ")
        if path != line and path.startswith(f"{root}/"):
            _remove(git, Path(path))


def commit_of_work_tree(git: Git) -> str:
    """A commit of the work tree: HEAD where nothing has changed, otherwise one that is on no branch."""
    head, tree = git.head(), git.work_tree()
    if git("rev-parse", f"{head}^{{tree}}") == tree:
        return head
    return git("commit-tree", tree, "-p", head, "-m", "Work tree", env=FIXED_IDENTITY)


def _end_processes(folder: str) -> None:
    """A run that was killed could not end its trainings."""
    import psutil

    for process in psutil.process_iter(["cwd"]):
        if (process.info["cwd"] or "").startswith(f"{folder}/"):
            with suppress(psutil.Error):
                process.kill()


def _remove(git: Git, folder: Path) -> None:
    git.try_("worktree", "remove", "--force", "--force", str(folder))
    shutil.rmtree(folder, ignore_errors=True)
    git("worktree", "prune")


WEIGHTS = ".safetensors"


@dataclass(frozen=True)
class Plan:
    """The stages to run again, in order; paths are relative to the project."""

    training: tuple[str, ...]
    """Stages that make metrics and weights from the data."""
    packaging: tuple[str, ...]
    """Stages that make the saved model from the weights; run only where the weights differ."""
    data: tuple[str, ...]
    """Paths to pull first."""
    weights: dict[str, str]
    """Weights file in the saved model -> file where training first writes the same bytes."""
    outputs: dict[str, str]
    """Tracked outputs of the training stages -> their hash in `dvc.lock`."""


def make_plan(repository: Repository, contract: Contract) -> Plan:
    """The stages between the dataset and the saved model. Raises `BadInput` where no stage makes metrics or model."""
    stages = {repository.name(stage): stage for stage in repository.stages}
    outputs = {name: _paths(repository, stage.outs) for name, stage in stages.items()}
    needs = {name: _made_by(_paths(repository, stage.deps), outputs) - {name} for name, stage in stages.items()}
    try:
        order = tuple(TopologicalSorter(needs).static_order())
    except CycleError:
        raise BadInput("the stages depend on each other in a circle", file="dvc.yaml") from None
    dataset = contract.dataset
    data_stages = _with_ancestors(
        _made_by((*dataset.splits.values(), dataset.raw, dataset.labels, contract.evaluation.inputs), outputs), needs
    )
    weights = _find_weights(repository, contract, [name for name in order if name not in data_stages])
    required = _stages_of((contract.evaluation.metrics, *weights.values()), outputs)
    training = _with_ancestors(required, needs) - data_stages
    packaging = _with_ancestors(_stages_of((contract.model.path,), outputs), needs) - data_stages - training
    rerun = training | packaging
    return Plan(
        training=tuple(name for name in order if name in training),
        packaging=tuple(name for name in order if name in packaging),
        data=tuple(
            output.path
            for output in repository.outputs
            if output.stage not in rerun
            and any(_overlap(output.path, path) for name in rerun for path in _paths(repository, stages[name].deps))
        ),
        weights=weights,
        outputs={output.path: output.oid for output in repository.outputs if output.stage in training},
    )


def _paths(repository: Repository, things: Iterable[Any]) -> tuple[str, ...]:
    return tuple(repository.relative(thing.fs_path) for thing in things)


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _made_by(paths: Iterable[str], outputs: dict[str, tuple[str, ...]]) -> set[str]:
    """The stages that make any of `paths`."""
    paths = tuple(paths)
    return {name for name, outs in outputs.items() if any(_overlap(path, out) for path in paths for out in outs)}


def _stages_of(paths: tuple[str, ...], outputs: dict[str, tuple[str, ...]]) -> set[str]:
    for path in paths:
        if not _made_by((path,), outputs):
            raise BadInput(f"no stage has {path} as an output, so it cannot be reproduced", file="dvc.yaml")
    return _made_by(paths, outputs)


def _with_ancestors(names: set[str], needs: dict[str, set[str]]) -> set[str]:
    result: set[str] = set()
    pending = set(names)
    while pending:
        name = pending.pop()
        result.add(name)
        pending |= needs[name] - result
    return result


def _find_weights(repository: Repository, contract: Contract, order: list[str]) -> dict[str, str]:
    """Where each weights file is first written: a stage before packaging often writes the same bytes."""
    folder = f"{contract.model.path}/"
    leaves = {
        name: {path: oid for output in repository.outputs if output.stage == name
               for path, oid in repository.files(output).items() if path.endswith(WEIGHTS)}
        for name in order
    }  # fmt: skip
    packaged = {path: oid for files in leaves.values() for path, oid in files.items() if path.startswith(folder)}
    if not packaged:
        raise BadInput(f"dvc.lock lists no {WEIGHTS} file below {folder}", file="dvc.lock", hint="dvc repro")
    return {
        path: next(file for name in order for file, made in leaves[name].items() if made == oid)
        for path, oid in packaged.items()
    }


TREES = "trees"
ENVIRONMENT = "environment"
"""Folder of an environment that is installed for one reproduction."""


@dataclass(frozen=True)
class Prepared:
    """A work tree to train in, and the committed results. `results` outlives a run that is killed, for the next one."""

    project: Project
    commit: str
    contract: Contract
    plan: Plan
    tree: Path
    results: Path
    seed: int
    metrics: dict[str, float]
    record: TrainingRecord
    data_changes: tuple[str, ...]
    """How the data of this commit differ from those its model was trained on."""
    code_changes: tuple[str, ...]

    @property
    def model(self) -> Path:
        return self.results / "committed"

    @property
    def own_environment(self) -> Path:
        return self.results.parent / ENVIRONMENT

    def keep(self) -> tuple[str, ...]:
        """Files that a training must write."""
        record = self.contract.reproducibility.record
        records = (record,) if (self.tree / record).is_file() else ()
        return (self.contract.evaluation.metrics, *records, *dict.fromkeys(self.plan.weights.values()))

    def training(self, name: str = "") -> Training:
        """The training with the committed seed, in the prepared tree."""
        folder = self.results / (name or f"seed-{self.seed}")
        return Training(self.seed, self.tree, self.plan.training, self.keep(), folder)

    def trainings(self, seeds: tuple[int, ...], stack: ExitStack) -> Iterator[Training]:
        """Trainings with other seeds, each in a work tree of its own that is made when it starts."""
        for seed in seeds:
            own = stack.enter_context(ExitStack())
            tree = own.enter_context(
                worktree(self.project.git, self.commit, self.results.parent / TREES / f"seed-{seed}")
            )
            pull(Repository(Project(tree), home=self.project), self.plan.data)
            set_seed(tree, self.contract.reproducibility.seed_at, seed)
            yield Training(seed, tree, self.plan.training, self.keep(), self.results / f"seed-{seed}", own.close)


@contextmanager
def prepare(project: Project, commit: str, progress: Progress) -> Iterator[Prepared]:
    """Prepare `commit`. Leftovers of an interrupted run are removed first; its finished trainings are kept.

    Raises `Failed` for data that are missing or wrong, `Outside` for a remote that does not answer, `BadInput` for a
    project that cannot be trained again, `Conflict` while another reproduction runs.
    """
    with locked_folder(project) as root:
        results = root / commit[:16]
        for old in (path for path in root.iterdir() if path.is_dir() and path != results):
            shutil.rmtree(old, ignore_errors=True)
        progress(f"checking out {commit[:12]}")
        with worktree(project.git, commit, root / TREES / "committed") as tree:
            results.mkdir(exist_ok=True)
            yield _prepare(project, commit, tree, results, progress)
        for folder in (results, root / ENVIRONMENT):
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(project: Project, commit: str, tree: Path, results: Path, progress: Progress) -> Prepared:
    contract = load_contract(tree)
    repository = Repository(Project(tree), home=project)
    plan = make_plan(repository, contract)
    progress("pulling its data and its model")
    pull(repository, (*plan.data, contract.model.path))
    data_changes = tuple(_data_changes(repository, contract, plan, tree))
    rerun = {*plan.training, *plan.packaging}
    code_changes = tuple(
        f"stage {change.stage}: {change.what}"
        for change in stage_changes(repository)
        if change.certain and change.stage in rerun
    )
    committed = results / "committed"
    shutil.rmtree(committed, ignore_errors=True)
    (tree / contract.model.path).rename(committed)
    return Prepared(
        project=project,
        commit=commit,
        contract=contract,
        plan=plan,
        tree=tree,
        results=results,
        seed=committed_seed(tree, contract.reproducibility.seed_at),
        metrics=read_metrics(tree / contract.evaluation.metrics, contract.evaluation.metrics),
        record=read_record(tree / contract.reproducibility.record, contract.reproducibility.record),
        data_changes=data_changes,
        code_changes=code_changes,
    )


def _data_changes(repository: Repository, contract: Contract, plan: Plan, tree: Path) -> Iterator[str]:
    """Compare dvc.lock's dependencies of the stages, and the manifest, with the data of the commit."""
    current = {output.path: output.oid for output in repository.outputs}
    rerun = {*plan.training, *plan.packaging}
    for stage in repository.stages:
        for dependency in stage.deps if repository.name(stage) in rerun else ():
            path = repository.relative(dependency.fs_path)
            if path in plan.data and dependency.hash_info and dependency.hash_info.value != current[path]:
                yield f"stage {repository.name(stage)} ran on a {path} that differs from the one in dvc.lock"
    listed = Manifest.read(tree / contract.model.manifest, contract.model.manifest).files
    for path in contract.dataset.splits.values():
        if path in listed and (tree / path).is_file() and digest_file(tree / path) != listed[path]:
            yield f"{path} does not have the digest in {contract.model.manifest}"
