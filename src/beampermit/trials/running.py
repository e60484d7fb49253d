"""Runs a study: optuna is asked and told here, trials are units of work, and the results are kept as they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beampermit.compute.collect import perform_all
from beampermit.compute.executor import Executor
from beampermit.compute.unit import Ended, Unit, read_intermediate, stop_unit
from beampermit.contract.measured import measured_metrics
from beampermit.environments import Environment
from beampermit.errors import Failed, counted
from beampermit.progress import Progress
from beampermit.trials.results import failed_of, kept_of, measured_of
from beampermit.trials.runs import abandoned, alive, own_name
from beampermit.trials.sampling import FEEDBACK, Grid, new_pruner, new_sampler
from beampermit.trials.storage import storage_errors
from beampermit.trials.study import OWN, RUN, Kept, Opened

if TYPE_CHECKING:
    import optuna

BLIND = 32
"""Trials that are asked for without knowing each other's results, where an executor takes any number."""


@dataclass
class Counts:
    """Of the trials of one run."""

    complete: int = 0
    pruned: int = 0
    failed: int = 0
    reused: int = 0
    """Those of them whose result was there."""
    taken_over: int = 0
    last_reason: str = ""
    unmeasured: str = ""
    """Why the checker has no metrics of its own of a trial, where no objective needs them."""

    @property
    def ended(self) -> int:
        return self.complete + self.pruned + self.failed


@dataclass
class _Pending:
    """Trials that wait for one unit; several where they have the same parameters."""

    trials: list[optuna.Trial]
    steps: int = -1
    """The last one that was reported."""
    pruned: str = ""


@dataclass
class Run:
    """One run of a study; `told` is called with the number of each trial that ended."""

    opened: Opened
    wanted: int
    """Trials in all, those of earlier runs among them."""
    tree: Path
    work: Path
    environment: Environment
    told: Any = lambda _: None
    at_once: int = 0
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        subject = self.opened.subject
        contract = subject.project.contract
        self.study = self.opened.told
        self.settings = subject.settings
        self.name = own_name()
        self.pending: dict[Path, _Pending] = {}
        self.measured = measured_metrics(contract, contract.signals)
        splits = contract.dataset.splits
        self.rows = self.tree / splits.get("validation", splits["train"])
        self.grid: Grid | None = None
        self.objectives = {objective.name for objective in self.settings.objectives}
        self.slots = 0

    def perform(self, executor: Executor, progress: Progress) -> Counts:
        """Have trials performed until the study has as many as are wanted. Raises as the executor and the storage."""
        self.study.pruner = new_pruner(self.settings.pruner)
        with storage_errors(self.opened.address), alive(self.study, self.name):
            with self._lock():
                trials = self.study.get_trials(deepcopy=False)
                left = [number for number in abandoned(self.study, trials, self.name) if self._take_over(number)]
            if self.settings.sampler.kind == "grid":
                points = (self.settings.space.drawn(trial.params) for trial in trials)
                self.grid = Grid(self.settings, points)
            there = len(trials) - len(left)
            total = max((min(self.wanted, len(self.grid)) if self.grid else self.wanted) - there, 0)
            self.slots = self._most(executor)
            self.counts.taken_over = len(left)
            watch = self._watch if self.settings.pruner.kind != "none" else None
            units = self._units(left)
            ended = perform_all(units, executor, self.work, progress, total=total, what="trials", watch=watch)
            with closing(ended):  # type: ignore[type-var] - it is a generator
                for one in ended:
                    self._tell(one)
        return self.counts

    def _take_over(self, number: int) -> bool:
        with _unless_finished():
            self.study._storage.set_trial_user_attr(number, RUN, self.name)
            return True
        return False

    def _most(self, executor: Executor) -> int:
        if executor.slots or self.settings.sampler.kind not in FEEDBACK:
            return 0
        return self.at_once or BLIND

    def _units(self, left: list[int]) -> Iterator[Unit | None]:
        import optuna

        for number in left:
            if not self.study._storage.get_trial(number).state.is_finished():  # another run took it over as well
                yield from self._unit(optuna.Trial(self.study, number))
        while True:
            if self.slots and len(self.pending) >= self.slots:
                yield None
                continue
            with self._lock():
                if self._is_enough():
                    return
                trial = self.study.ask()
                trial.set_user_attr(RUN, self.name)
            yield from self._unit(trial)

    def _is_enough(self) -> bool:
        storage, number = self.study._storage, self.study._study_id
        return storage.get_n_trials(number) >= self.wanted or (self.grid is not None and not self.grid.left)

    def _unit(self, trial: optuna.Trial) -> Iterator[Unit]:
        """Nothing where another trial waits for the same, or another run has just finished this one."""
        subject = self.opened.subject
        space = self.settings.space
        if self.grid:
            self.study.sampler = self.grid.sampler(trial.number, space.drawn(trial.params))
        else:
            self.study.sampler = new_sampler(self.settings, trial.number)
        chosen: dict[str, Any] | None = None
        with _unless_finished():
            chosen = space.suggest(trial)
        if chosen is None:
            return
        request = {"parameters": chosen, "params": subject.params(chosen), "scores": bool(self.measured)}
        unit = Unit(
            label=f"trial {trial.number}",
            module=subject.module,
            request=request,
            tree=self.tree,
            tree_digest=subject.tree_digest,
            environment=self.environment,
            lock=subject.lock.digest,
            team=not self.settings.module,  # a module of somebody's own may know nothing of torchrun
        )
        folder = unit.folder(self.work)
        if folder in self.pending:
            self.pending[folder].trials.append(trial)
            return
        self.pending[folder] = _Pending([trial])
        yield unit

    def _watch(self, running: Mapping[Path, Unit]) -> None:
        """Report what the trials say on the way, and end those that are not worth going on."""
        for folder in running:
            pending = self.pending.get(folder)
            if pending is None or pending.pruned:
                continue
            for step, value in self._reported(pending, folder):
                if pending.trials[0].should_prune():
                    pending.pruned = (
                        f"{self.settings.pruner.kind}: {value:.6g} at step {step} is not among the better ones"
                    )
                    stop_unit(folder)
                    break

    def _reported(self, pending: _Pending, folder: Path) -> Iterator[tuple[int, float]]:
        """What a trial says on the way and has not been reported, each once it is."""
        for step, value in sorted(read_intermediate(folder).items()):
            if step <= pending.steps or step < 0:
                continue
            with _unless_finished():
                pending.trials[0].report(value, step)
            pending.steps = step
            yield step, value

    def _tell(self, ended: Ended) -> None:
        pending = self.pending.pop(ended.folder)
        kept, values = self._judged(ended)
        if values and self.settings.pruner.kind != "none":  # others are compared with it, up to its last step
            for _ in self._reported(pending, ended.folder):
                pass
        for trial in pending.trials:
            if ended.stopped and pending.pruned:
                told = self._keep(trial, failed_of(ended, pending.pruned), "PRUNED", None)
            elif values:
                told = self._keep(trial, kept, "COMPLETE", values)
            else:
                told = self._keep(trial, kept, "FAIL", None)
            if told:
                self.counts.reused += ended.reused
                self.told(trial.number)

    def _judged(self, ended: Ended) -> tuple[Kept, list[float]]:
        if ended.result is None:
            return failed_of(ended), []
        measured: dict[str, float] = {}
        try:
            measured = measured_of(ended, self.measured, self.rows)
        except Failed as error:
            if self.objectives & {metric.name for metric in self.measured}:
                return failed_of(ended, error.message), []
            self.counts.unmeasured = error.message
        return kept_of(ended, self.settings.objectives, measured)

    def _keep(self, trial: optuna.Trial, kept: Kept, state: str, values: list[float] | None) -> bool:
        """False where another run has finished the trial: it counts there, and is recorded there."""
        from optuna.trial import TrialState

        with _unless_finished():
            trial.set_user_attr(OWN, kept.model_dump(mode="json", exclude_defaults=True))
            self.study.tell(trial, values, state=TrialState[state], skip_if_finished=True)
            self._count(trial.number, kept, state)
            return True
        return False

    def _count(self, number: int, kept: Kept, state: str) -> None:
        if state == "COMPLETE":
            self.counts.complete += 1
        elif state == "PRUNED":
            self.counts.pruned += 1
        else:
            self.counts.failed += 1
            self.counts.last_reason = f"trial {number}: {kept.reason}"

    def _lock(self) -> AbstractContextManager[Any]:
        """Two runs on this machine ask one after the other, so that together they make no trial too many."""
        if self.opened.address:
            return nullcontext()
        from filelock import FileLock

        return FileLock(f"{self.opened.study.storage}.asking")


def _unless_finished() -> suppress:
    """What is said of a trial is lost where another run has finished it.

    In a database nobody locks, so two runs that begin together take over the same trials; and one whose machine slept
    counts as dead, and wakes up.
    """
    from optuna.exceptions import UpdateFinishedTrialError

    return suppress(UpdateFinishedTrialError)


def require_some(run: Run) -> None:
    """Raise `Failed` where no trial of the study is complete and some have failed."""
    from optuna.trial import TrialState

    complete = run.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    if not complete and run.counts.failed:
        reason = run.counts.last_reason
        raise Failed(f"all {counted(run.counts.failed, 'trial')} failed; {reason}")
