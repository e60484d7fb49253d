"""Trains again: the project's own stages, run by DVC in clean work trees, several seeds at once, resumable."""

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

from beampermit.datasets.bound import bound
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed
from beampermit.files import replacing, write_json
from beampermit.models.isolation import clean_variables
from beampermit.processes import stop
from beampermit.progress import Progress
from beampermit.reading import naming_yaml_errors, read_json

DONE = "done.json"
LOG = "training.log"
PAUSE = 0.1
STARTED = re.compile(r"^Running stage '([^']+)'", re.MULTILINE)


@dataclass(frozen=True)
class Retrained:
    """What a training left in `folder`: the files asked for, and `outputs`, path -> hash of what DVC keeps."""

    seed: int
    folder: Path
    outputs: dict[str, str]
    seconds: float
    resumed: bool = False


@dataclass(frozen=True)
class Order:
    """One training to be done: stages, in a work tree that stands ready; `keep` are files that it must leave."""

    seed: int
    tree: Path
    stages: Sequence[str]
    keep: Sequence[str]
    results: Path
    release: Callable[[], None] = lambda: None
    """Called when nothing of the tree is needed any more."""


def finished(order: Order) -> Retrained | None:
    """The results of an order that an earlier, interrupted run has finished; None where there are none."""
    file = order.results / DONE
    if not file.is_file():
        return None
    found = read_json(file)
    return Retrained(order.seed, order.results, found["outputs"], found["seconds"], resumed=True)


def train(
    orders: Iterator[Order], environment: Environment, progress: Progress, at_once: int | None = None
) -> list[Retrained]:
    """Fulfil orders, as many at a time as there are cores, one thread each; a tree is made when its turn comes.

    Each training that ends is kept at once, so that a killed run loses none. Raises `Failed` when one fails.
    """
    free = at_once or _cores()
    running: list[_Training] = []
    done: list[Retrained] = []
    with ExitStack() as stack:
        waiting = True
        while waiting or running:
            while waiting and len(running) < free:
                order = next(orders, None)
                if order is None:
                    waiting = False
                elif found := finished(order):
                    done.append(found)
                else:
                    running.append(stack.enter_context(_started(order, environment)))
            progress(", ".join(one.words for one in running))
            ended = [one for one in running if one.child.poll() is not None]
            for one in ended:
                done.append(one.result())
                one.order.release()
            running = [one for one in running if one not in ended]
            if running and not ended:
                time.sleep(PAUSE)
    return sorted(done, key=lambda one: one.seed)


def run_stages(tree: Path, stages: Sequence[str], environment: Environment, logs: Path) -> None:
    """Run stages in a tree that was trained in; `logs` is a folder for what they print. Raises `Failed`."""
    order = Order(seed=0, tree=tree, stages=stages, keep=(), results=logs)
    with _started(order, environment) as running:
        running.child.wait()
        running.must_have_ended_well()


def committed_seed(tree: Path, seed_at: str) -> int:
    """The seed that is written at `file.yaml:key.of.seed` of a tree. Raises `BadInput`."""
    _, holder, key = _seed_holder(tree, seed_at)
    if not isinstance(holder[key], int) or isinstance(holder[key], bool):
        raise BadInput(
            f"{seed_at.partition(':')[2]} is {holder[key]!r}, no whole number", file=seed_at.partition(":")[0]
        )
    return holder[key]


def set_seed(tree: Path, seed_at: str, seed: int) -> None:
    """Write a seed into a tree. Raises `BadInput` where `seed_at` leads nowhere."""
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
        raise BadInput(f"reproducibility.seed_at says {seed_at}, and this file is not there", file=file)
    with naming_yaml_errors(file):
        content: Any = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    *parts, last = keys.split(".")
    holder = content
    for part in parts:
        holder = holder.get(part) if isinstance(holder, dict) else None
    if not isinstance(holder, dict) or last not in holder:
        raise BadInput(f"there is no {keys}, where contract.yaml says that the seed stands", file=file)
    return content, holder, last


class _Training:
    """DVC running the stages of one order."""

    def __init__(self, order: Order, child: subprocess.Popen[str], log: Path):
        self.order, self.child, self.log = order, child, log
        self.began = time.monotonic()

    @property
    def words(self) -> str:
        """Such as `seed 0: train (12 s)`."""
        started = STARTED.findall(self.log.read_text(encoding="utf-8", errors="replace"))
        return (
            f"seed {self.order.seed}: {started[-1] if started else 'starting'} ({time.monotonic() - self.began:.0f} s)"
        )

    def result(self) -> Retrained:
        """Keep what the training left."""
        self.must_have_ended_well()
        order = self.order
        for path in order.keep:
            made = order.tree / path
            if made.is_symlink() or not made.is_file():
                raise Failed(f"seed {order.seed}: training left no {path}", file="dvc.yaml")
            (order.results / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made, order.results / path)
        found = Retrained(order.seed, order.results, _outputs(order.tree), time.monotonic() - self.began)
        write_json(order.results / DONE, {"seconds": found.seconds, "outputs": found.outputs})
        return found

    def must_have_ended_well(self) -> None:
        """Raises `Failed` with what was printed last."""
        if self.child.returncode:
            lines = [line.strip() for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines()]
            said = [line for line in lines if line and not line.startswith("ERROR: failed to reproduce")]
            why = said[-1] if said else f"exit status {self.child.returncode}"
            raise Failed(
                f"seed {self.order.seed}: the stages cannot be run again: {why}", file="dvc.yaml", hint="dvc repro"
            )


@contextmanager
def _started(order: Order, environment: Environment) -> Iterator[_Training]:
    """DVC at work in the tree of an order; with all it started it ends when the block does."""
    order.results.mkdir(parents=True, exist_ok=True)
    log = order.results / LOG
    variables = {**environment.variables(order.tree), **clean_variables(), "DVC_NO_ANALYTICS": "true"}
    # Isolated, so that no file of the project is taken for a part of DVC; the stages find the project's code.
    # Nothing is committed to a cache: the one there is belongs to the user.
    command = [sys.executable, "-I", "-m", "dvc", "repro", "--force", "--single-item", "--no-commit", *order.stages]
    with log.open("a", encoding="utf-8") as stream:
        child = subprocess.Popen(
            command,
            cwd=order.tree,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        yield _Training(order, child, log)
    finally:
        stop(child)


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _outputs(tree: Path) -> dict[str, str]:
    """Path -> hash, as DVC wrote them into the tree's `dvc.lock`."""
    outputs = bound((tree / "dvc.lock").read_text(encoding="utf-8"), "dvc.lock")
    return {path: output.hash for path, output in outputs.items()}
