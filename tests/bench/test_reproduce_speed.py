"""What `beampermit reproduce` adds to the training itself."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from beampermit.environments.environment import environment_of
from beampermit.project import Project
from beampermit.reproduction.reproduce import reproduce

pytestmark = pytest.mark.bench
REPRODUCE = [sys.executable, "-m", "beampermit.cli.main", "reproduce", "--json"]


def test_reproduce_against_plain_retraining(
    trained_copy: Project, timed: Callable[..., float], say: Callable[[str], None], tmp_path: Path
) -> None:
    """Plain: the same stages, typed in the project itself; then with every seed, one after the other."""
    root = trained_copy.root
    environment = environment_of(root)
    plain_copy = tmp_path / "plain"
    shutil.copytree(root, plain_copy)
    retrain = [environment.python, "-m", "dvc", "repro", "--force", "--single-item", "--no-commit", "train", "evaluate"]
    plain = timed(retrain, plain_copy, 2, env=environment.variables(plain_copy))
    seeds = len(trained_copy.contract.reproducibility.seeds)
    reused = timed([*REPRODUCE, "--reuse"], root, 2)
    fresh = timed(REPRODUCE, root)
    every = timed([*REPRODUCE, "--reuse", "--seeds", "all"], root)
    say(f"plain retraining: {plain:.1f} s")
    say(f"reproduce, environment reused: {reused:.1f} s, ratio {reused / plain:.2f}")
    say(f"reproduce, environment installed from the lock: {fresh:.1f} s, ratio {fresh / plain:.2f}")
    say(f"reproduce with {seeds} seeds: {every:.1f} s, against {seeds} plain: {every / plain / seeds:.2f}")


def test_the_stages_of_the_dataset_run_again(
    trained_copy: Project, timed: Callable[..., float], say: Callable[[str], None], tmp_path: Path
) -> None:
    """Plain: the same stages, typed in a copy; then each step of a reproduction, of which they are one."""
    root, environment = trained_copy.root, environment_of(trained_copy.root)
    copy = shutil.copytree(root, tmp_path / "plain")
    stages = [environment.python, "-m", "dvc", "repro", "--force", "--single-item", "--no-commit", "label", "dataset"]
    say(f"stages of the dataset, plain: {timed(stages, copy, env=environment.variables(copy)):.1f} s")
    steps: list[tuple[str, float]] = []

    def note(step: str, _done: int = 0, _total: int = 0, /) -> None:
        name = step.partition(" (")[0]
        if not steps or steps[-1][0] != name:
            steps.append((name, time.perf_counter()))

    reproduce(trained_copy, trained_copy.contract, trained_copy.git.head(), lambda _: environment, progress=note)
    note("done")
    for (name, began), (_, ended) in pairwise(steps):
        say(f"    {name}: {ended - began:.1f} s")
