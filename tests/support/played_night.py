"""A night and a day, played in seconds: a service answers, a monitor judges, GitHub runs what it is asked for, people
merge.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from beampermit.datasets.pull import pull
from beampermit.datasets.repository import Repository
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.runner import check, verdict_file
from beampermit.live.log.prediction_log import PredictionLog
from beampermit.live.loop import Loop, Standing
from beampermit.live.process.loaded import LoadedModel, loaded_model
from beampermit.live.promoted import Promoted
from beampermit.live.replay.moments import Moment, Sample
from beampermit.live.replay.replay import replay
from beampermit.live.wiring import wire
from beampermit.monitoring.monitor import Monitor, Round
from beampermit.monitoring.response import Responder
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.registry.promotion import Promotion
from beampermit.retraining import BRANCH
from beampermit.verdicts.monitoring import Trip
from beampermit.verdicts.verdict import VerdictFile
from support.github_stand_in import GitHub
from support.night_project import FIRST, HOUR, MIDNIGHT, RETRAIN, WINDOW, machine, reach, signed, write_truth
from support.promoted_project import Followed
from support.registry_project import MODEL, Laboratory
from support.rehearsals import dispatch
from support.toy_project import HERE

RUNNER_FREE = MIDNIGHT + 8 * WINDOW
"""When the runner that trains has time."""
MERGED_AFTER = WINDOW
"""So long people look at a pull request."""
MORNING = MIDNIGHT + 24 * HOUR
"""When it ends."""
JUDGED = ("DAT", "MDL", "PRF", "OPS")
INPUTS = ("current", "field")


@dataclass
class Models:
    """Processes of promoted models, and what they answered: nights that serve the same model share both."""

    stack: ExitStack
    started: dict[str, LoadedModel] = field(default_factory=dict)
    files: dict[tuple[str, float], Path] = field(default_factory=dict)
    """Of the log, by a model's digest and when the hour begins."""

    def of(self, promoted: Promoted) -> LoadedModel:
        digest = promoted.folder.name
        if digest not in self.started:
            self.started[digest] = self.stack.enter_context(loaded_model(HERE, promoted.folder, promoted.contract))
        return self.started[digest]


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with ExitStack() as stack:
        yield Models(stack)


class Version:
    """What the service does with the version in service: its loop asks the model's process, and its log is written."""

    def __init__(self, promoted: Promoted, models: Models, log: Path):
        self.number, self._log, self._models = promoted.version, log, models
        self._digest, self._wiring = promoted.folder.name, wire(promoted.contract, promoted.root)
        standing = Standing(promoted.version, promoted.statement.digest)
        self._loop = Loop(promoted.contract, self._wiring, models.of(promoted), standing, lambda _: None)

    def answer(self, rows: dict[str, np.ndarray]) -> None:
        """A file of the log: rows of an hour."""
        begins, folder = float(rows["time"][0]), self._log / MODEL / str(self.number)
        if known := self._models.files.get((self._digest, begins)):
            shutil.copy(known, folder)
            return
        before = {*folder.glob("*")}
        log = PredictionLog(self._log, MODEL, self.number, self._wiring, clock=lambda: begins)
        with closing(log):
            for update in replay(self._loop, _moments(rows)):
                log.publish(update)
        (self._models.files[self._digest, begins],) = {*folder.glob("*")} - before


def _moments(rows: dict[str, np.ndarray]) -> Iterator[Moment]:
    for at, *values in zip(*(rows[name].tolist() for name in ("time", *INPUTS)), strict=True):
        yield Moment(at, tuple(Sample(wire, 0, value, at, 0) for wire, value in enumerate(values)))


@dataclass
class Night:
    """`play` is one window after the other: the service answers, the monitor judges, and what it asked for is done.

    `retrain.yml` runs as it was dispatched once a machine is free, and the interlocks judge its pull request; people
    merge and release what they let pass.
    """

    lab: Laboratory
    service: Followed
    github: GitHub
    monitor: Monitor
    responder: Responder
    models: Models
    wrong_truth: tuple[float, float] = (0.0, 0.0)
    """From when to when the loss monitor has its sign reversed."""
    families: tuple[str, ...] = JUDGED
    """Of the interlocks that the pull request is judged by."""
    at: float = MIDNIGHT
    rows: list[dict[str, np.ndarray]] = field(default_factory=lambda: [machine(FIRST, MIDNIGHT)])
    rounds: list[Round] = field(default_factory=list)
    judged: VerdictFile | None = None
    """Of the pull request."""
    opened: float = 0.0
    """When the pull request was."""
    version: Version = field(init=False)
    """In service."""
    first: str = field(init=False)
    """The commit of the protected branch when the night began."""

    def play(self) -> None:
        self.first = self.lab.project.git.head()
        self._serve()
        while self.at < MORNING:
            for begins in np.arange(self.at, self.at + WINDOW, HOUR):
                self._answer(float(begins))
            self.at += WINDOW
            self.rounds.append(self.monitor.judge())
            self.responder.work()
            if self.github.dispatched and self.judged is None and self.at >= RUNNER_FREE:
                self._retrain()
            elif self.judged and not self._merged and self.at >= self.opened + MERGED_AFTER:
                self._release()
            self._serve()

    def levels(self, at: float) -> dict[str, str]:
        """What is in alarm after the window that ends then."""
        (done,) = [one for one in self.rounds if one.result.at == at]
        return {one.key: one.level for one in done.result.standings if one.level != "NO_ALARM"}

    @property
    def trips(self) -> list[Trip]:
        return [trip for done in self.rounds for trip in done.trips]

    @property
    def failed(self) -> dict[str, str]:
        """Interlocks that the pull request did not pass, and what they say."""
        assert self.judged
        return {one.id: one.reason for one in self.judged.verdicts if not one.passed}

    def pull_request(self) -> Project:
        """The pull request as a job checks it out, with its data."""
        base = Project(self._clone).git("rev-parse", "origin/main")
        project = Project(self._clone, base=base)
        pull(Repository.of(project))
        return project

    def _serve(self) -> None:
        """Follow the ledger: another champion is what answers from now on."""
        self.service.look(after=WINDOW)
        promoted = self.service.follower.current
        assert promoted
        if not self.rounds or promoted.version != self.version.number:
            self.version = Version(promoted, self.models, self.lab.root.parent / "log")

    def _answer(self, since: float) -> None:
        rows = machine(since, since + HOUR)
        self.version.answer(rows)
        begin, end = self.wrong_truth
        sign = np.where((rows["time"] >= begin) & (rows["time"] < end), -1.0, 1.0)
        self.rows.append({**rows, "loss": sign * rows["loss"]})
        write_truth(self.lab, *self.rows)

    def _retrain(self) -> None:
        """The workflow that was dispatched, and the checks of its pull request in a clone of its own."""
        (order,) = self.github.dispatched
        work, site = self.lab.root.parent / "runner", self.lab.root.parent
        lines = dispatch(self.lab.project, self.github, work, RETRAIN, order["inputs"], lambda root: reach(root, site))
        said = "\n".join(line.text for line in lines)
        assert [line.job_result for line in lines if line.job_result] == ["success", "success"], said
        assert "s3cret" not in said
        for run in self.github.runs.values():
            run["status"] = "completed"
        self.opened = self.at
        self.lab.git("clone", "--quiet", "--branch", BRANCH, str(site / "origin.git"), str(self._clone))
        project = self.pull_request()
        self.judged = verdict_file(project, check(project, select_interlocks(self.families)))

    def _release(self) -> None:
        """People merge what every interlock let pass, and release it."""
        assert self.judged
        if self.failed:
            return
        pull_request = self.pull_request()
        permit = signed(self.lab, pull_request, self.judged)
        self.lab.git("fetch", "--quiet", "origin")
        self.lab.git("push", "--quiet", "origin", f"{pull_request.git.head()}:refs/heads/main")
        self.github.pulls[1]["state"] = "closed"
        Promotion(pull_request, self.lab.ledger, self.lab.registry, permit, lambda _: None, silent).run()
        self.lab.git("pull", "--quiet", "--ff-only", "origin", "main")

    @property
    def _merged(self) -> bool:
        return self.github.pulls[1]["state"] == "closed"

    @property
    def _clone(self) -> Path:
        return self.lab.root.parent / "pull-request"
