"""Prepare a commit for training again: what is to be run, clean trees for it, and the committed results."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from beampermit.contract import Contract, load_contract
from beampermit.datasets.pull import pull, pull_into
from beampermit.datasets.remote import hash_of
from beampermit.datasets.repository import Repository, is_below, overlap
from beampermit.datasets.stale_stages import stage_changes
from beampermit.digest import digest_file, digest_folder
from beampermit.errors import Failed
from beampermit.models.manifest import Manifest
from beampermit.models.metrics import read_project_metrics
from beampermit.models.weight_files import find_weights
from beampermit.progress import Progress
from beampermit.project import Project
from beampermit.reproduction.plan import Plan, make_plan, no_longer_made
from beampermit.reproduction.retraining import (
    Retrained,
    Training,
    TrainingRecord,
    committed_seed,
    copy_output,
    files_below,
    read_record,
    set_seed,
)
from beampermit.reproduction.tree import TREES, cut_off, exported, private_folder

ENVIRONMENT = "environment"
"""Folder of an environment that is installed for one reproduction."""
EVALUATED = "evaluated.json"
EVALUATION_LOG = "evaluation.log"


@dataclass(frozen=True)
class Prepared:
    """A tree to train in, and what the commit has. `results` outlives a run of a person that is interrupted."""

    project: Project
    commit: str
    contract: Contract
    plan: Plan
    repository: Repository
    """The commit's data, as DVC read of them before anything ran."""
    tree: Path
    """Where the training with the committed seed runs."""
    results: Path
    seed: int
    metrics: dict[str, float]
    record: TrainingRecord
    files: dict[str, str]
    """Path -> md5 of each committed file that a stage is to make again."""
    data_changes: tuple[str, ...]
    """How the data of this commit differ from those its model was trained on."""
    code_changes: tuple[str, ...]

    @property
    def own_environment(self) -> Path:
        return self.results.parent / ENVIRONMENT

    def committed_files(self, outputs: Sequence[str]) -> dict[str, str]:
        """Path -> md5 of the committed files in `outputs`, without the record of the training and the manifest."""
        apart = (self.contract.reproducibility.record, self.contract.model.manifest)
        return {path: value for path, value in self.files.items() if path not in apart and _within(path, outputs)}

    def training(self) -> Training:
        """The training with the committed seed, in the prepared tree."""
        return self._training(self.seed, self.tree, f"seed-{self.seed}")

    def trainings(self, seeds: tuple[int, ...], stack: ExitStack) -> Iterator[Training]:
        """Trainings with other seeds, each in a tree of its own that is made when it starts."""
        for seed in seeds:
            own = stack.enter_context(ExitStack())
            without = (*self.plan.withheld, *self.plan.trained, *self.plan.made_later)
            tree = own.enter_context(self._ready(f"seed-{seed}", self.plan.inputs, without, seed=seed))
            yield self._training(seed, tree, f"seed-{seed}", own)

    def training_on_all(self, stack: ExitStack) -> Training:
        """The training with the committed seed where the rows that judge the model are there too."""
        plan = self.plan
        tree = stack.enter_context(
            self._ready("again", (*plan.inputs, *plan.judging), (*plan.trained, *plan.made_later))
        )
        return Training(self.seed, tree, plan.training, plan.trained, self.results / "again", self.project)

    def evaluations(self, trained: Iterable[Retrained], stack: ExitStack) -> Iterator[Training]:
        """The stages after each training: all of them for the committed seed, those of the metrics for others."""
        for done in trained:
            stages = self.plan.later if done.seed == self.seed else self.plan.measuring
            if not stages:
                continue
            own = stack.enter_context(ExitStack())
            name = f"after-{done.seed}"
            without = (*self.plan.trained, *self.plan.made_later)
            pulled = self.plan.later_inputs
            tree = own.enter_context(self._ready(name, pulled, without, given=done.folder, seed=done.seed))
            yield self._evaluation(done.seed, tree, stages, f"seed-{done.seed}", own)

    def evaluation_of_committed(self, name: str, stack: ExitStack) -> Training:
        """The stages after training, from what training wrote as it is committed."""
        own = stack.enter_context(ExitStack())
        pulled = (*self.plan.later_inputs, *self.plan.trained_tracked)
        tree = own.enter_context(self._ready(name, pulled, self.plan.made_later))
        return self._evaluation(self.seed, tree, self.plan.later, name, own)

    def dataset(self, stack: ExitStack) -> Training:
        """The stages that make the splits from the raw data."""
        plan = self.plan
        without = (*plan.dataset_outputs, *plan.trained, *plan.made_later)
        tree = stack.enter_context(self._ready("dataset", plan.sources, without))
        keep = plan.dataset_outputs
        return Training(self.seed, tree, plan.dataset, keep, self.results / "dataset", self.project, log="dataset.log")

    @contextmanager
    def committed(self, pulled: Iterable[str]) -> Iterator[Path]:
        """The committed files, with the outputs `pulled`, to compare with; nothing runs there."""
        with exported(self.project.git, self.commit, self.results.parent / TREES / "compared") as tree:
            pull_into(tree, self.repository, dict.fromkeys(pulled))
            yield tree

    def _training(self, seed: int, tree: Path, name: str, own: ExitStack | None = None) -> Training:
        return Training(
            seed=seed,
            tree=tree,
            stages=self.plan.training,
            keep=(*self.plan.trained, *self._record_outside(tree)),
            results=self.results / name,
            home=self.project,
            withheld=self.plan.judging_files,
            release=own.close if own else lambda: None,
        )

    def _record_outside(self, tree: Path) -> tuple[str, ...]:
        """The record, where training writes it and no stage has it as an output."""
        record = self.contract.reproducibility.record
        return (record,) if (tree / record).is_file() and not _within(record, self.plan.trained) else ()

    def _evaluation(self, seed: int, tree: Path, stages: Sequence[str], name: str, own: ExitStack) -> Training:
        return Training(
            seed=seed,
            tree=tree,
            stages=stages,
            keep=self.plan.outputs_of(stages),
            results=self.results / name,
            home=self.project,
            release=own.close,
            done=EVALUATED,
            log=EVALUATION_LOG,
        )

    @contextmanager
    def _ready(
        self,
        name: str,
        pulled: Sequence[str],
        without: Sequence[str],
        given: Path | None = None,
        seed: int | None = None,
    ) -> Iterator[Path]:
        """A tree with the data `pulled`, cut off, and then with what a training wrote into the folder `given`."""
        with exported(self.project.git, self.commit, self.results.parent / TREES / name) as tree:
            if pulled:
                pull_into(tree, self.repository, pulled)
            cut_off(tree, without)
            for path in self.plan.trained if given else ():
                copy_output((given or tree) / path, tree / path)
            if seed is not None:
                set_seed(tree, self.contract.reproducibility.seed_at, seed)
            yield tree


@contextmanager
def prepare(
    project: Project,
    base_contract: Contract,
    commit: str,
    progress: Progress,
    *,
    digest: str = "",
    kept: bool = False,
    resume: bool = False,
) -> Iterator[Prepared]:
    """Prepare `commit` in a folder of its own; `kept` and `resume` as for `private_folder`.

    `digest` is the expected digest of the committed model, if known. Raises `Failed` for another model and for data
    that are missing or wrong, `Outside` for a remote that does not answer, `BadInput` for a project that cannot be
    trained again, `Conflict` while another reproduction runs.
    """
    with private_folder(project, commit, kept=kept, resume=resume) as root:
        progress(f"checking out {commit[:12]}")
        with exported(project.git, commit, root / TREES / "committed") as tree:
            results = root / "results"
            results.mkdir(exist_ok=True)
            yield _prepare(project, base_contract, commit, tree, results, digest, progress)


def _prepare(
    project: Project, base_contract: Contract, commit: str, tree: Path, results: Path, digest: str, progress: Progress
) -> Prepared:
    contract = load_contract(tree)
    repository = Repository(Project(tree), home=project)
    if any(overlap(output.path, contract.model.path) for output in repository.outputs):
        progress("pulling its model")
        pull(repository, (contract.model.path,))
    weights = [path.relative_to(tree).as_posix() for path in find_weights(tree / contract.model.path)]
    plan = make_plan(repository, contract, base_contract, weights)
    if gone := no_longer_made(repository, project, base_contract.dataset, plan.rerun):
        raise Failed(gone[0], file="dvc.yaml", hint="let a stage make it, as on the base branch")
    progress("pulling its data")
    pull(repository, (*plan.data, contract.model.path))
    model = tree / contract.model.path
    if digest and digest_folder(model) != digest:
        raise Failed(
            f"the model of commit {commit[:12]} is not the one in service, which has digest {digest[:19]}",
            file="dvc.lock",
            hint="beampermit history",
        )
    code_changes = tuple(
        f"stage {change.stage}: {change.what}"
        for change in stage_changes(repository)
        if change.certain and change.stage in plan.rerun
    )
    prepared = Prepared(
        project=project,
        commit=commit,
        contract=contract,
        plan=plan,
        repository=repository,
        tree=tree,
        results=results,
        seed=committed_seed(tree, contract.reproducibility.seed_at),
        metrics=read_project_metrics(
            tree / contract.evaluation.metrics, contract.evaluation.metrics, base_contract.metrics
        ),
        record=read_record(tree / contract.reproducibility.record, contract.reproducibility.record),
        files=_committed_files(repository, plan, tree),
        data_changes=tuple(_data_changes(repository, contract, plan, tree)),
        code_changes=code_changes,
    )
    unused = (path for path in plan.data if path not in plan.inputs)
    cut_off(tree, (*unused, *plan.withheld, *plan.trained, *plan.made_later))
    shutil.rmtree(model, ignore_errors=True)
    return prepared


def _committed_files(repository: Repository, plan: Plan, tree: Path) -> dict[str, str]:
    tracked = {path: oid for output in repository.outputs for path, oid in repository.files(output).items()}
    made = (*plan.dataset_outputs, *plan.trained, *plan.made_later)
    stored = {output.path for output in repository.outputs}
    in_git = files_below(tree, [path for path in made if path not in stored])
    return {
        **{path: oid for path, oid in tracked.items() if _within(path, made)},
        **{path: hash_of(file) for path, file in in_git.items()},
    }


def _within(path: str, folders: Iterable[str]) -> bool:
    return any(is_below(path, folder) for folder in folders)


def _data_changes(repository: Repository, contract: Contract, plan: Plan, tree: Path) -> Iterator[str]:
    """Compare dvc.lock's dependencies of the stages, and the manifest, with the data of the commit."""
    current = {output.path: output.oid for output in repository.outputs}
    for stage in repository.stages:
        for dependency in stage.deps if repository.name(stage) in plan.rerun else ():
            path = repository.relative(dependency.fs_path)
            if path in plan.data and dependency.hash_info and dependency.hash_info.value != current[path]:
                yield f"stage {repository.name(stage)} ran on a {path} that differs from the one in dvc.lock"
    listed = Manifest.read(tree / contract.model.manifest, contract.model.manifest).files
    for path in contract.dataset.splits.values():
        if path in listed and (tree / path).is_file() and digest_file(tree / path) != listed[path]:
            yield f"{path} does not have the digest in {contract.model.manifest}"
