"""Run the project's training stages with DVC in clean work trees, several seeds at a time, resumable."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.datasets.dvc_lock import locked_outputs
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed
from beampermit.files import replacing, write_json
from beampermit.models.isolation import clean_variables
from beampermit.processes import stop
from beampermit.progress import Progress
from beampermit.reading import naming_yaml_errors, read_json

DONE = "done.json"
LOG = "training.log"
POLL_SECONDS = 0.1
STARTED = re.compile(r"^Running stage '([^']+)'", re.MULTILINE)


@dataclass(frozen=True)
class Retrained:
    """The results of a training: its files in `folder`, and `outputs`, path -> hash of the outputs that DVC tracks."""

    seed: int
    folder: Path
    outputs: dict[str, str]
    seconds: float
    resumed: bool = False


@dataclass(frozen=True)
class Training:
    """Stages to run in a prepared work tree; `keep` are the files that they must write."""

    seed: int
    tree: Path
    stages: Sequence[str]
    keep: Sequence[str]
    results: Path
    release: Callable[[], None] = lambda: None
    """Called when the tree is no longer needed."""


def load_finished(training: Training) -> Retrained | None:
    """The results of a training that an earlier, interrupted run finished; None where there are none."""
    file = training.results / DONE
    if not file.is_file():
        return None
    done = read_json(file)
    return Retrained(training.seed, training.results, done["outputs"], done["seconds"], resumed=True)


def train(
    trainings: Iterator[Training], environment: Environment, progress: Progress, at_once: int | None = None
) -> list[Retrained]:
    """Run trainings of one thread each, as many at a time as there are cores.

    Results are stored when a training ends, so that a killed run loses none. Raises `Failed` when one fails.
    """
    free = at_once or _cores()
    running: list[_Running] = []
    done: list[Retrained] = []
    with ExitStack() as stack:
        waiting = True
        while waiting or running:
            while waiting and len(running) < free:
                training = next(trainings, None)
                if training is None:
                    waiting = False
                elif finished := load_finished(training):
                    done.append(finished)
                else:
                    running.append(stack.enter_context(_started(training, environment)))
            progress(", ".join(process.text for process in running))
            ended = [process for process in running if process.child.poll() is not None]
            for process in ended:
                done.append(process.store_results())
                process.training.release()
            running = [process for process in running if process not in ended]
            if running and not ended:
                time.sleep(POLL_SECONDS)
    return sorted(done, key=lambda retrained: retrained.seed)


def run_stages(tree: Path, stages: Sequence[str], environment: Environment, logs: Path) -> None:
    """Run further stages in a tree after training; their output goes to the folder `logs`. Raises `Failed`."""
    training = Training(seed=0, tree=tree, stages=stages, keep=(), results=logs)
    with _started(training, environment) as running:
        running.child.wait()
        running.check_exit_status()


def committed_seed(tree: Path, seed_at: str) -> int:
    """The seed at `file.yaml:key.of.seed` in a tree. Raises `BadInput`."""
    _, holder, key = _seed_holder(tree, seed_at)
    if not isinstance(holder[key], int) or isinstance(holder[key], bool):
        raise BadInput(
            f"{seed_at.partition(':')[2]} is {holder[key]!r}, not an integer", file=seed_at.partition(":")[0]
        )
    return holder[key]


def set_seed(tree: Path, seed_at: str, seed: int) -> None:
    """Write a seed into a tree. Raises `BadInput` where `seed_at` does not exist."""
    from ruamel.yaml import YAML

    content, holder, key = _seed_holder(tree, seed_at)
    if holder[key] == seed:
        return
    holder[key] = seed
    with replacing(tree / seed_at.partition(":")[0]) as temporary:
        YAML(typ="rt").dump(content, temporary)


def _seed_holder(tree: Path, seed_at: str) -> tuple[Any, Any, str]:
    from ruamel.yaml import YAML

    file, _, keys = seed_at.partition(":")
    path = tree / file
    if path.is_symlink() or not path.is_file() or not path.resolve().is_relative_to(tree.resolve()):
        raise BadInput(f"reproducibility.seed_at is {seed_at}, and there is no such file", file=file)
    with naming_yaml_errors(file):
        content: Any = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    *parts, last = keys.split(".")
    holder = content
    for part in parts:
        holder = holder.get(part) if isinstance(holder, dict) else None
    if not isinstance(holder, dict) or last not in holder:
        raise BadInput(f"there is no {keys}, which reproducibility.seed_at in contract.yaml names", file=file)
    return content, holder, last


class _Running:
    """DVC running the stages of one training."""

    def __init__(self, training: Training, child: subprocess.Popen[str], log: Path):
        self.training, self.child, self.log = training, child, log
        self.began = time.monotonic()

    @property
    def text(self) -> str:
        """`seed 0: train (12 s)`."""
        stages = STARTED.findall(self.log.read_text(encoding="utf-8", errors="replace"))
        stage = stages[-1] if stages else "starting"
        return f"seed {self.training.seed}: {stage} ({time.monotonic() - self.began:.0f} s)"

    def store_results(self) -> Retrained:
        self.check_exit_status()
        training = self.training
        for path in training.keep:
            file = training.tree / path
            if file.is_symlink() or not file.is_file():
                raise Failed(f"seed {training.seed}: training did not write {path}", file="dvc.yaml")
            (training.results / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, training.results / path)
        done = Retrained(training.seed, training.results, _outputs(training.tree), time.monotonic() - self.began)
        write_json(training.results / DONE, {"seconds": done.seconds, "outputs": done.outputs})
        return done

    def check_exit_status(self) -> None:
        """Raises `Failed` with the last line of output."""
        if self.child.returncode:
            lines = [line.strip() for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines()]
            output = [line for line in lines if line and not line.startswith("ERROR: failed to reproduce")]
            reason = output[-1] if output else f"exit status {self.child.returncode}"
            raise Failed(
                f"seed {self.training.seed}: the stages fail when run again: {reason}",
                file="dvc.yaml",
                hint="dvc repro",
            )


@contextmanager
def _started(training: Training, environment: Environment) -> Iterator[_Running]:
    """DVC and all its child processes end with the block."""
    training.results.mkdir(parents=True, exist_ok=True)
    log = training.results / LOG
    variables = {**environment.variables(training.tree), **clean_variables(), "DVC_NO_ANALYTICS": "true"}
    # Isolated (-I), so that no file of the project shadows a module of DVC.
    # --no-commit, because the cache belongs to the user.
    command = [sys.executable, "-I", "-m", "dvc", "repro", "--force", "--single-item", "--no-commit", *training.stages]
    with log.open("a", encoding="utf-8") as stream:
        child = subprocess.Popen(
            command,
            cwd=training.tree,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        yield _Running(training, child, log)
    finally:
        stop(child)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _outputs(tree: Path) -> dict[str, str]:
    """Path -> hash in the tree's `dvc.lock`."""
    outputs = locked_outputs((tree / "dvc.lock").read_text(encoding="utf-8"), "dvc.lock")
    return {path: output.hash for path, output in outputs.items()}
