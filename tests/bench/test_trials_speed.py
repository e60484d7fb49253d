"""What a trial costs besides its training, against optuna's own loop in as many processes, and against joblib."""

from __future__ import annotations

import multiprocessing
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from beampermit.compute.resources import Resources
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.trials.session import run_study
from beampermit.trials.settings import FILE
from support.dvc_repositories import replace
from support.searched_project import searched, searched_once

if TYPE_CHECKING:
    import optuna

__all__ = ["searched", "searched_once"]
AT_ONCE = 2
RATIO = "aim below 1.15 at 1 s"


def bare_study(journal: Path, seed: int) -> optuna.Study:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)
    return optuna.create_study(storage=storage, study_name="bare", sampler=sampler, load_if_exists=True)


def bare_loop(journal: Path, number: int, seconds: float, seed: int) -> None:
    """As somebody would write it who needs none of the rest."""

    def objective(trial: optuna.Trial) -> float:
        x, depth = trial.suggest_float("x", -5.0, 5.0), trial.suggest_int("depth", 1, 8)
        time.sleep(seconds)
        return float((x - 3) ** 2 + (depth - 4) ** 2)

    bare_study(journal, seed).optimize(objective, n_trials=number)


@pytest.mark.bench
@pytest.mark.parametrize(("number", "does", "seconds"), [(1000, "short", 0.05), (20, "long", 1.0)])
def test_trials(
    searched: Project, tmp_path: Path, say: Callable[[str], None], number: int, does: str, seconds: float
) -> None:
    import joblib

    replace(searched.root / FILE, "does: nothing", f"does: {does}")
    replace(searched.root / FILE, "sampler: random", "sampler: tpe")
    bare_study(tmp_path / "bare.log", 0)
    arguments = [(tmp_path / "bare.log", number // AT_ONCE, seconds, seed) for seed in range(AT_ONCE)]
    with multiprocessing.get_context("spawn").Pool(AT_ONCE) as pool:
        pool.starmap(bare_loop, [(tmp_path / "warm.log", 1, 0.0, seed) for seed in range(AT_ONCE)], chunksize=1)
        bare = _timed(lambda: pool.starmap(bare_loop, arguments, chunksize=1))
    with joblib.Parallel(n_jobs=AT_ONCE, batch_size=1) as parallel:  # pyright: ignore[reportArgumentType] - an int is as good
        parallel(joblib.delayed(bare_loop)(tmp_path / "warm2.log", 1, 0.0, seed) for seed in range(AT_ONCE))
        bare_study(tmp_path / "joblib.log", 0)
        own = [(tmp_path / "joblib.log", *rest) for _, *rest in arguments]
        by_joblib = _timed(lambda: parallel(joblib.delayed(bare_loop)(*one) for one in own))
    resources = Resources(work=str(tmp_path / "work"), at_once=AT_ONCE)

    def run(trials: int) -> None:
        run_study(Project(searched.root), trials, resources, silent, mlflow=False)

    run(AT_ONCE)
    fixed = _timed(lambda: run(AT_ONCE))
    before = os.times()
    ours = _timed(lambda: run(number + AT_ONCE)) - fixed
    after = os.times()
    cpu = (after.user + after.system - before.user - before.system) / number * 1000
    say(
        f"{number} trials of {seconds:g} s, {AT_ONCE} at once: {ours:.1f} s and {fixed:.1f} s to begin, "
        f"optuna's own loop {bare:.1f} s = {ours / bare:.2f} ({RATIO}), joblib {by_joblib:.1f} s"
    )
    more = (ours - bare) * AT_ONCE / number * 1000
    say(f"  {more:.1f} ms more a trial (aim 20); {cpu:.1f} ms of CPU a trial where they are asked for")
    done = _timed(lambda: run(number + AT_ONCE))
    say(f"  a run of {number} trials that are done: {done:.1f} s")


def _timed(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began
