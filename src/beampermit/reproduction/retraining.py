"""Run the project's stages with DVC in clean trees, several seeds at a time, and read what training recorded."""

from __future__ import annotations

import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from beampermit.datasets.remote import hash_of
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed
from beampermit.files import replacing, write_json
from beampermit.processes import REPEATABLE
from beampermit.progress import Progress
from beampermit.project import Project
from beampermit.reading import naming_yaml_errors, read_json
from beampermit.reproduction.dvc_process import Running, dvc
from beampermit.reproduction.tree import alone

DONE = "done.json"
LOG = "training.log"
POLL_SECONDS = 0.1
STARTED = re.compile(r"^Running stage '([^']+)'", re.MULTILINE)


@dataclass(frozen=True)
class Retrained:
    """The results of a training: its files in `folder`, and `outputs`, path -> md5 of each file that it wrote."""

    seed: int
    folder: Path
    outputs: dict[str, str]
    seconds: float
    resumed: bool = False


@dataclass(frozen=True)
class Training:
    """Stages to run in a tree that was cut off; `keep` are the files and folders that they must write."""

    seed: int
    tree: Path
    stages: Sequence[str]
    keep: Sequence[str]
    results: Path
    home: Project
    """The project, which the stages are told nothing of."""
    withheld: Sequence[str] = ()
    """Paths that are not in the tree, because the model is judged on them."""
    release: Callable[[], None] = lambda: None
    """Called when the tree is no longer needed."""
    done: str = DONE
    log: str = LOG


class Trainer(Protocol):
    """Runs trainings, as `train` does here."""

    def __call__(
        self, trainings: Iterator[Training], environment: Environment, progress: Progress, /
    ) -> list[Retrained]: ...


def load_finished(training: Training) -> Retrained | None:
    """The results of a training that an earlier, interrupted run finished; None where there are none."""
    file = training.results / training.done
    if not file.is_file():
        return None
    done = read_json(file)
    return Retrained(training.seed, training.results, done["outputs"], done["seconds"], resumed=True)


def train(
    trainings: Iterator[Training], environment: Environment, progress: Progress, at_once: int | None = None
) -> list[Retrained]:
    """Run trainings of one thread each, as many at a time as there are cores.

    Results are stored when a training ends, so that an interrupted run loses none. Raises `Failed` when one fails.
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


def run_stages(training: Training, environment: Environment) -> None:
    """Run stages, of which nothing is kept; their output goes to the folder `training.results`. Raises `Failed`."""
    with _started(training, environment) as running:
        running.child.wait()
        running.check_exit_status()


def copy_output(source: Path, target: Path) -> None:
    """Copy a file or folder that a stage wrote, without links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, target)


def files_below(root: Path, paths: Iterable[str]) -> dict[str, Path]:
    """Path relative to `root` -> the file, of each of `paths` that is a file, and of those in its folders."""
    found: dict[str, Path] = {}
    for path in paths:
        place = root / path
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        found |= {file.relative_to(root).as_posix(): file for file in files if file.is_file() and not _ignored(file)}
    return found


def _ignored(file: Path) -> bool:
    """Byte code that a stage left behind is not an output."""
    return "__pycache__" in file.parts


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

    def __init__(self, training: Training, child: Running, log: Path):
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
        return stored(self.training, self.training.tree, time.monotonic() - self.began)

    def check_exit_status(self) -> None:
        """Raises `Failed` with the last line of output."""
        if self.child.returncode:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            raise failure(self.training, lines, f"exit status {self.child.returncode}")


def stored(training: Training, tree: Path, seconds: float) -> Retrained:
    """Keep what a training wrote into `tree`. Raises `Failed` where it wrote less than it had to, or links."""
    for path in training.keep:
        if _is_link(tree, path) or not (tree / path).exists():
            raise Failed(f"seed {training.seed}: training did not write {path}", file="dvc.yaml")
        copy_output(tree / path, training.results / path)
    outputs = {path: hash_of(file) for path, file in files_below(training.results, training.keep).items()}
    done = Retrained(training.seed, training.results, outputs, seconds)
    write_json(training.results / training.done, {"seconds": done.seconds, "outputs": done.outputs})
    return done


def failure(training: Training, log: Sequence[str], otherwise: str) -> Failed:
    """What to raise for a training that failed, of the lines of its log; `otherwise` where there is none."""
    lines = [line.strip() for line in log]
    output = [line for line in lines if line and not line.startswith("ERROR: failed to reproduce")]
    reason = output[-1] if output else otherwise
    withheld = training.withheld
    if missed := next((path for path in withheld for line in lines if _names(line, path)), None):
        return Failed(
            f"training reads {missed}, on which the model is judged; without it, it fails: {reason}",
            file="dvc.yaml",
            hint="let training read its own splits alone, and a later stage evaluate",
        )
    without = f" without {', '.join(withheld)}, on which the model is judged" if withheld else ""
    return Failed(
        f"seed {training.seed}: the stages fail when run again{without}: {reason}", file="dvc.yaml", hint="dvc repro"
    )


@contextmanager
def _started(training: Training, environment: Environment) -> Iterator[_Running]:
    """DVC and all its child processes end with the block."""
    training.results.mkdir(parents=True, exist_ok=True)
    log = training.results / training.log
    private = training.results.parent
    variables = {
        **alone(environment.clean_variables(training.tree), training.home, environment.prefix),
        **REPEATABLE,
        "DVC_NO_ANALYTICS": "true",
        # Neither what other runs noted of files, nor a cache or a remote that the user has.
        "DVC_SITE_CACHE_DIR": str(private / "site"),
        "DVC_GLOBAL_CONFIG_DIR": str(private / "no-configuration"),
        "DVC_SYSTEM_CONFIG_DIR": str(private / "no-configuration"),
    }
    # --no-commit, because the cache belongs to the user.
    words = ["repro", "--force", "--single-item", "--no-commit", *training.stages]
    with (
        log.open("a", encoding="utf-8") as stream,
        dvc(words, folder=training.tree, variables=variables, log=stream) as child,
    ):
        yield _Running(training, child, log)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _is_link(tree: Path, path: str) -> bool:
    """Whether an output, or a part of it, is a link, which may lead to bytes that no stage wrote."""
    place = tree / path
    parts = (place, *(place.rglob("*") if place.is_dir() and not place.is_symlink() else ()))
    return not place.resolve().is_relative_to(tree.resolve()) or any(part.is_symlink() for part in parts)


def _names(line: str, path: str) -> bool:
    """Whether a line of output names a path, or the last two parts of it."""
    return path in line or PurePosixPath(path).name in re.split(r"[\s'\"/:(),\[\]]+", line)


MOST_ROWS = 100_000
LONGEST_VALUE = 200


@dataclass(frozen=True)
class TrainingRecord:
    """`loss` by epoch; `machine`: flat names and text, such as `threads` and `packages.numpy`. Empty where unknown."""

    loss: tuple[float, ...] = ()
    machine: dict[str, str] = field(default_factory=dict)


def read_record(path: Path, name: str) -> TrainingRecord:
    """Read `{"training": [[epoch, loss, ...], ...], "machine": {...}}`; an empty record where there is no file.

    Raises `BadInput` for any other content; errors call the file `name`.
    """
    if not path.is_file():
        return TrainingRecord()
    try:
        return _record(read_json(path), name)
    except BadInput as error:
        raise BadInput(error.message, file=name, line=error.line) from None


def _record(content: Any, name: str) -> TrainingRecord:
    if not isinstance(content, dict):
        raise BadInput("the training record is not a JSON object", file=name)
    rows, machine = content.get("training", []), content.get("machine", {})
    if not isinstance(rows, list) or len(rows) > MOST_ROWS or not all(_is_row(row) for row in rows):
        raise BadInput("training is not a list of [epoch, loss, ...] of finite numbers", file=name)
    if not isinstance(machine, dict):
        raise BadInput("machine is not a JSON object", file=name)
    return TrainingRecord(tuple(float(row[1]) for row in rows), dict(_flatten(machine)))


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and len(row) > 1 and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in row
    )  # fmt: skip


def _flatten(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    items: list[tuple[str, str]] = []
    for key, value in list(tree.items())[:MOST_ROWS]:
        if isinstance(value, dict) and not prefix:
            items += _flatten(value, f"{key}.")
        else:
            items.append((f"{prefix}{key}", str(value)[:LONGEST_VALUE]))
    return items
