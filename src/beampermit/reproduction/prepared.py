"""A commit made ready to be trained again: its tree, its data pulled, the model it names laid aside for comparison."""

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
from beampermit.datasets.stale_stages import changes
from beampermit.digest import digest_bytes, digest_file
from beampermit.errors import BadInput, Conflict
from beampermit.git import Git
from beampermit.models.manifest import Manifest
from beampermit.models.metrics import read_metrics
from beampermit.progress import Progress
from beampermit.project import Project
from beampermit.reproduction.record import TrainingRecord, read_record
from beampermit.reproduction.retraining import Order, committed_seed, set_seed

NO_HOOKS = ("-c", "core.hooksPath=/dev/null")
"""A hook of the user's is no part of the commit, and may take long."""
ALWAYS_THE_SAME = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in {"NAME": "beampermit", "EMAIL": "beampermit@localhost", "DATE": "2000-01-01T00:00:00Z"}.items()
}


@contextmanager
def workshop(project: Project) -> Iterator[Path]:
    """The folder for reproductions of a project, ours alone until the block ends; leftovers of killed runs are gone.

    Raises `Conflict` while another reproduction of the same project runs.
    """
    from filelock import FileLock, Timeout

    # Not in the project: DVC takes a work tree below an ignored folder for ignored itself.
    name = f"{project.root.name}-{digest_bytes(str(project.root.resolve()).encode())[7:23]}"
    folder = cache_folder() / "reproduce" / name
    folder.mkdir(parents=True, exist_ok=True)
    turn = FileLock(folder / "lock")
    try:
        turn.acquire(timeout=0)
    except Timeout:
        raise Conflict("another reproduction of this project is running", file=folder) from None
    try:
        sweep(project.git, folder)
        yield folder
    finally:
        turn.release()


@contextmanager
def worktree(git: Git, commit: str, folder: Path) -> Iterator[Path]:
    """A work tree of `commit` at `folder`, removed when the block ends, however it ends."""
    _remove(git, folder)
    git(*NO_HOOKS, "worktree", "add", "--quiet", "--detach", "--force", str(folder), commit)
    try:
        yield folder
    finally:
        _remove(git, folder)


def sweep(git: Git, folder: Path) -> None:
    """End what still works below `folder`, and remove every work tree there."""
    below = str(folder.resolve())
    _end_below(below)
    for line in git("worktree", "list", "--porcelain").splitlines():
        path = line.removeprefix("worktree ")
        if path != line and path.startswith(f"{below}/"):
            _remove(git, Path(path))


def commit_of_work_tree(git: Git) -> str:
    """A commit of the files as they stand: HEAD where nothing was changed, else one that no branch holds."""
    head, tree = git.head(), git.work_tree()
    if git("rev-parse", f"{head}^{{tree}}") == tree:
        return head
    return git("commit-tree", tree, "-p", head, "-m", "The work tree as it stands", env=ALWAYS_THE_SAME)


def _end_below(folder: str) -> None:
    """End processes that work in a folder of ours: a run that was killed could not end its trainings."""
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
    """What is run again. Stages by name, in their order; paths in the project."""

    training: tuple[str, ...]
    """Make metrics and weights of data."""
    packaging: tuple[str, ...]
    """Make the saved model of what training left; run only where the weights turn out different."""
    data: tuple[str, ...]
    """What must be pulled first."""
    weights: dict[str, str]
    """File of weights in the saved model -> where training first writes these bytes."""
    outputs: dict[str, str]
    """Outputs of the training stages that DVC keeps -> their hash in `dvc.lock`."""


def plan(repository: Repository, contract: Contract) -> Plan:
    """The stages between the dataset and the saved model. Raises `BadInput` where no stage makes what is judged."""
    stages = {repository.name(stage): stage for stage in repository.stages}
    makers = {name: _paths(repository, stage.outs) for name, stage in stages.items()}
    needs = {name: _made_by(_paths(repository, stage.deps), makers) - {name} for name, stage in stages.items()}
    try:
        order = tuple(TopologicalSorter(needs).static_order())
    except CycleError:
        raise BadInput("the stages depend on each other in a circle", file="dvc.yaml") from None
    dataset = contract.dataset
    of_data = _with_ancestors(
        _made_by((*dataset.splits.values(), dataset.raw, dataset.labels, contract.evaluation.inputs), makers), needs
    )
    weights = _first_places(repository, contract, [name for name in order if name not in of_data])
    wanted = _makers_of((contract.evaluation.metrics, *weights.values()), makers)
    training = _with_ancestors(wanted, needs) - of_data
    packaging = _with_ancestors(_makers_of((contract.model.path,), makers), needs) - of_data - training
    again = training | packaging
    return Plan(
        training=tuple(name for name in order if name in training),
        packaging=tuple(name for name in order if name in packaging),
        data=tuple(
            output.path
            for output in repository.kept
            if output.stage not in again
            and any(_touch(output.path, path) for name in again for path in _paths(repository, stages[name].deps))
        ),
        weights=weights,
        outputs={output.path: output.oid for output in repository.kept if output.stage in training},
    )


def _paths(repository: Repository, things: Iterable[Any]) -> tuple[str, ...]:
    return tuple(repository.relative(thing.fs_path) for thing in things)


def _touch(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _made_by(paths: Iterable[str], makers: dict[str, tuple[str, ...]]) -> set[str]:
    wanted = tuple(paths)
    return {name for name, outs in makers.items() if any(_touch(path, out) for path in wanted for out in outs)}


def _makers_of(paths: tuple[str, ...], makers: dict[str, tuple[str, ...]]) -> set[str]:
    for path in paths:
        if not _made_by((path,), makers):
            raise BadInput(f"no stage makes {path}, so it cannot be made again", file="dvc.yaml")
    return _made_by(paths, makers)


def _with_ancestors(names: set[str], needs: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    left = set(names)
    while left:
        name = left.pop()
        found.add(name)
        left |= needs[name] - found
    return found


def _first_places(repository: Repository, contract: Contract, order: list[str]) -> dict[str, str]:
    """Where each file of weights is first written: a stage before packaging often leaves the same bytes."""
    folder = f"{contract.model.path}/"
    leaves = {
        name: {path: oid for output in repository.kept if output.stage == name
               for path, oid in repository.leaves(output).items() if path.endswith(WEIGHTS)}
        for name in order
    }  # fmt: skip
    packaged = {path: oid for found in leaves.values() for path, oid in found.items() if path.startswith(folder)}
    if not packaged:
        raise BadInput(f"dvc.lock names no {WEIGHTS} below {folder}", file="dvc.lock", hint="dvc repro")
    return {
        path: next(place for name in order for place, found in leaves[name].items() if found == oid)
        for path, oid in packaged.items()
    }


TREES = "trees"
ENVIRONMENT = "environment"
"""One that is installed for this reproduction alone."""


@dataclass(frozen=True)
class Prepared:
    """A tree to train in, and what is committed. `results` is kept when a run is killed, for the next one."""

    project: Project
    commit: str
    contract: Contract
    plan: Plan
    tree: Path
    results: Path
    seed: int
    metrics: dict[str, float]
    record: TrainingRecord
    other_data: tuple[str, ...]
    """In words, where the data of this commit are not those that its model was made of."""
    other_code: tuple[str, ...]

    @property
    def model(self) -> Path:
        """The committed model, beside the tree."""
        return self.results / "committed"

    @property
    def own_environment(self) -> Path:
        """Where an environment for this reproduction alone goes."""
        return self.results.parent / ENVIRONMENT

    def keep(self) -> tuple[str, ...]:
        """Files that a training must leave."""
        record = self.contract.reproducibility.record
        made = (record,) if (self.tree / record).is_file() else ()
        return (self.contract.evaluation.metrics, *made, *dict.fromkeys(self.plan.weights.values()))

    def order(self, name: str = "") -> Order:
        """To train with the committed seed, in the tree that stands."""
        folder = self.results / (name or f"seed-{self.seed}")
        return Order(self.seed, self.tree, self.plan.training, self.keep(), folder)

    def orders(self, seeds: tuple[int, ...], stack: ExitStack) -> Iterator[Order]:
        """To train with other seeds, each in a tree of its own that is made when its turn comes."""
        for seed in seeds:
            own = stack.enter_context(ExitStack())
            tree = own.enter_context(
                worktree(self.project.git, self.commit, self.results.parent / TREES / f"seed-{seed}")
            )
            pull(Repository(Project(tree), home=self.project), self.plan.data)
            set_seed(tree, self.contract.reproducibility.seed_at, seed)
            yield Order(seed, tree, self.plan.training, self.keep(), self.results / f"seed-{seed}", own.close)


@contextmanager
def prepared(project: Project, commit: str, progress: Progress) -> Iterator[Prepared]:
    """Make `commit` ready. What an interrupted run has left is removed first; its finished trainings are kept.

    Raises `Failed` for data that are missing or wrong, `Outside` for a remote that does not answer, `BadInput` for a
    project that cannot be trained again, `Conflict` while another reproduction runs.
    """
    with workshop(project) as shop:
        results = shop / commit[:16]
        for old in (path for path in shop.iterdir() if path.is_dir() and path != results):
            shutil.rmtree(old, ignore_errors=True)
        progress(f"checking out {commit[:12]}")
        with worktree(project.git, commit, shop / TREES / "committed") as tree:
            results.mkdir(exist_ok=True)
            yield _prepare(project, commit, tree, results, progress)
        for folder in (results, shop / ENVIRONMENT):
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(project: Project, commit: str, tree: Path, results: Path, progress: Progress) -> Prepared:
    contract = load_contract(tree)
    repository = Repository(Project(tree), home=project)
    found = plan(repository, contract)
    progress("pulling its data and its model")
    pull(repository, (*found.data, contract.model.path))
    other_data = tuple(_other_data(repository, contract, found, tree))
    again = {*found.training, *found.packaging}
    other_code = tuple(
        f"stage {change.stage}: {change.what}"
        for change in changes(repository)
        if change.certain and change.stage in again
    )
    aside = results / "committed"
    shutil.rmtree(aside, ignore_errors=True)
    (tree / contract.model.path).rename(aside)
    return Prepared(
        project=project,
        commit=commit,
        contract=contract,
        plan=found,
        tree=tree,
        results=results,
        seed=committed_seed(tree, contract.reproducibility.seed_at),
        metrics=read_metrics(tree / contract.evaluation.metrics, contract.evaluation.metrics),
        record=read_record(tree / contract.reproducibility.record, contract.reproducibility.record),
        other_data=other_data,
        other_code=other_code,
    )


def _other_data(repository: Repository, contract: Contract, found: Plan, tree: Path) -> Iterator[str]:
    """Where training ran on other data than the commit names: by the locks of the stages, and by the manifest."""
    now = {output.path: output.oid for output in repository.kept}
    again = {*found.training, *found.packaging}
    for stage in repository.stages:
        for dependency in stage.deps if repository.name(stage) in again else ():
            path = repository.relative(dependency.fs_path)
            if path in found.data and dependency.hash_info and dependency.hash_info.value != now[path]:
                yield f"stage {repository.name(stage)} ran on another {path} than dvc.lock names now"
    listed = Manifest.read(tree / contract.model.manifest, contract.model.manifest).files
    for path in contract.dataset.splits.values():
        if path in listed and (tree / path).is_file() and digest_file(tree / path) != listed[path]:
            yield f"{path} is not the one that {contract.model.manifest} binds the model to"
