"""Trainings as units of work, on any executor: each in a tree of its own, its stages run in order without DVC."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from beampermit.compute.collect import perform_all
from beampermit.compute.executor import Executor
from beampermit.compute.unit import LOG, Ended, Unit
from beampermit.datasets.repository import Repository
from beampermit.digest import digest_json
from beampermit.environments import Environment
from beampermit.environments.choice import backend_of
from beampermit.environments.environment import stamp_of
from beampermit.errors import Failed, Outside
from beampermit.files import new_folder
from beampermit.git import Git
from beampermit.progress import Progress
from beampermit.project import Project
from beampermit.reproduction import stage_runner
from beampermit.reproduction.retraining import Retrained, Trainer, Training, failure, load_finished, stored

MODULE = "beampermit_stages"
TREES, WHOLE, KEPT = "trees", "whole", "kept"


def trainer_on(executor: Executor, work: Path) -> Trainer:
    """Trains on an executor, with the folder of work that its machines share."""

    def train(trainings: Iterator[Training], environment: Environment, progress: Progress) -> list[Retrained]:
        return _Trainings(trainings, environment, work).perform(executor, progress)

    return train


class _Trainings:
    def __init__(self, trainings: Iterator[Training], environment: Environment, work: Path):
        self._trainings, self._environment, self._work = trainings, environment, work
        self._running: dict[str, tuple[Training, Path]] = {}
        self._done: list[Retrained] = []
        self._trees: list[Path] = []

    def perform(self, executor: Executor, progress: Progress) -> list[Retrained]:
        """Raises `Failed` with the seed whose training fails. What ended before is stored all the same."""
        try:
            with closing(perform_all(self._units(), executor, self._work, progress, what="trainings")) as each:
                for ended in each:
                    self._store(ended)
        finally:
            for tree in self._trees:
                shutil.rmtree(tree, ignore_errors=True)
        return sorted(self._done, key=lambda retrained: retrained.seed)

    def _units(self) -> Iterator[Unit]:
        for training in self._trainings:
            if finished := load_finished(training):
                self._done.append(finished)
                continue
            unit = self._unit(training)
            self._running[unit.digest] = training, unit.folder(self._work)
            yield unit

    def _unit(self, training: Training) -> Unit:
        # A reproduction that is done again trains again: the private folder of this one is part of the unit. With
        # --resume it is the folder of the run that was interrupted, so that its units are taken over.
        name = f"{training.results.parents[1].name}-{training.results.name}-{training.done.partition('.')[0]}"
        tree = self._work / TREES / name
        self._trees.append(tree)
        top = Git(training.tree).top.root
        # One that we did not install has no stamp, and has to be there on each machine.
        locked = bool(stamp_of(self._environment.prefix))
        _lay_out(tree, top, training.tree if locked else None)
        roots = {str(training.home.root), str(training.home.root.resolve()), str(training.home.root.absolute())}
        request = {
            "stages": [*_stages(training, top)],
            "project": training.tree.resolve().relative_to(top.resolve()).as_posix(),
            "root": _root(training, top),
            "keep": [*training.keep],
            "home": sorted(roots),
        }
        return Unit(
            label=f"seed {training.seed}: {', '.join(training.stages)}",
            module=MODULE,
            request=request,
            tree=tree,
            tree_digest=digest_json({"training": name, "home": sorted(roots)}),
            environment=self._environment,
            lock=backend_of(training.tree).read(training.tree).digest if locked else "",
        )

    def _store(self, ended: Ended) -> None:
        training, folder = self._running[ended.unit.digest]
        training.results.mkdir(parents=True, exist_ok=True)
        log = folder / LOG
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() and not log.is_symlink() else ""
        (training.results / training.log).write_text(text, encoding="utf-8")
        if ended.result is None:
            lines = text.splitlines() if text.strip() else ended.reason.splitlines()
            raise failure(training, lines, ended.reason.partition("\n")[0])
        if ended.result.get("stages") != [*training.stages]:
            raise Failed(f"seed {training.seed}: the result is of other stages", file=folder, hint=f"rm -r {folder}")
        if not (folder / KEPT).is_dir():
            reason = f"seed {training.seed} was trained on {ended.machine}, and its files are not here"
            raise Outside(reason, file=folder, hint="give a folder that all machines share, with --work")
        self._done.append(stored(training, folder / KEPT, ended.seconds))
        training.release()
        shutil.rmtree(folder, ignore_errors=True)


def _lay_out(tree: Path, top: Path, locked: Path | None) -> None:
    """The runner, the whole repository of the training, and the lock of the project `locked`.

    What an interrupted run laid out stays: its jobs may be reading it.
    """
    if tree.is_dir():
        return
    tree.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(tree) as folder:
        (folder / "src").mkdir()
        shutil.copyfile(Path(str(stage_runner.__file__)), folder / "src" / f"{MODULE}.py")
        shutil.copytree(top, folder / WHOLE, symlinks=True)
        if locked:
            _copy_lock(locked, folder)


def _copy_lock(project: Path, tree: Path) -> None:
    """A worker reads it at the top of the tree."""
    for name in backend_of(project).read(project).needed:
        if (project / name).is_file():
            shutil.copyfile(project / name, tree / name)


def _stages(training: Training, top: Path) -> Iterator[dict[str, Any]]:
    """The commands of the stages, as DVC resolves them."""
    repository = Repository(Project(training.tree))
    known = {repository.name(stage): stage for stage in repository.stages}
    for name in training.stages:
        stage = known[name]
        lines = stage.cmd if isinstance(stage.cmd, list) else str(stage.cmd).splitlines()
        folder = Path(stage.wdir).resolve().relative_to(top.resolve()).as_posix()
        yield {"name": name, "commands": [str(line) for line in lines], "folder": folder}


def _root(training: Training, top: Path) -> str:
    root = Path(Repository(Project(training.tree)).repo.root_dir)
    return root.resolve().relative_to(top.resolve()).as_posix()
