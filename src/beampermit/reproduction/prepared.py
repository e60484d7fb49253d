"""A commit made ready to be trained again: its tree, its data pulled, the model it names laid aside for comparison."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from beampermit.contract import Contract, load_contract
from beampermit.datasets.lineage import changes
from beampermit.datasets.pull import pull
from beampermit.datasets.repository import Repository
from beampermit.digest import digest_file
from beampermit.metrics import read_metrics
from beampermit.project import Project
from beampermit.reproduction.plan import Plan, plan
from beampermit.reproduction.record import TrainingRecord, read_record
from beampermit.reproduction.retraining import Order, Watcher, committed_seed, set_seed
from beampermit.reproduction.worktree import workshop, worktree
from beampermit.saved_model.manifest import Manifest

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
def prepared(project: Project, commit: str, watch: Watcher) -> Iterator[Prepared]:
    """Make `commit` ready. What an interrupted run has left is removed first; its finished trainings are kept.

    Raises `Tripped` for data that are missing or wrong, `Outside` for a remote that does not answer, `BadInput` for a
    project that cannot be trained again, `Conflict` while another reproduction runs.
    """
    with workshop(project) as shop:
        results = shop / commit[:16]
        for old in (path for path in shop.iterdir() if path.is_dir() and path != results):
            shutil.rmtree(old, ignore_errors=True)
        watch(f"checking out {commit[:12]}")
        with worktree(project.git, commit, shop / TREES / "committed") as tree:
            results.mkdir(exist_ok=True)
            yield _prepare(project, commit, tree, results, watch)
        for folder in (results, shop / ENVIRONMENT):
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(project: Project, commit: str, tree: Path, results: Path, watch: Watcher) -> Prepared:
    contract = load_contract(tree)
    repository = Repository(Project(tree), home=project)
    found = plan(repository, contract)
    watch("pulling its data and its model")
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
