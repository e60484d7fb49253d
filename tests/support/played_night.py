"""A night, played in seconds: a service answers, a monitor judges, GitHub runs what it is asked for, people merge."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from beampermit.datasets.pull import pull
from beampermit.datasets.repository import Repository
from beampermit.github.client import Client
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.runner import check, verdict_file
from beampermit.monitoring.monitor import Monitor, Round
from beampermit.monitoring.response import Responder
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.registry.promotion import Promotion
from beampermit.retraining import BRANCH, BUNDLE, propose, retrain
from beampermit.verdicts.monitoring import Trip
from beampermit.verdicts.verdict import VerdictFile
from support.github_stand_in import GitHub
from support.night_project import FIRST, HOUR, MIDNIGHT, answered, log, machine, signed, write_truth
from support.promoted_project import Followed
from support.registry_project import Laboratory
from support.toy_project import HERE

RUNNER_FREE = MIDNIGHT + 8 * HOUR
"""When the runner that trains has time."""
MERGED_AFTER = HOUR
"""So long people look at a pull request."""
MORNING = RUNNER_FREE + 4 * HOUR
"""When it ends."""
JUDGED = ("DAT", "MDL", "PRF", "OPS")


@dataclass
class Night:
    """`play` is one hour after the other: the service answers, the monitor judges, and what it asked for is done.

    GitHub's runners do what was dispatched once a machine is free, and the interlocks judge the pull request; people
    merge and release what they let pass.
    """

    lab: Laboratory
    service: Followed
    github: GitHub
    monitor: Monitor
    responder: Responder
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
    served: list[tuple[float, int]] = field(default_factory=list)
    """Since when which version is in service."""

    def play(self) -> None:
        self._serve()
        while self.at < MORNING:
            self.at += HOUR
            self._answer(self.at - HOUR)
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
        self.service.look(after=HOUR)
        if not self.served or self.served[-1][1] != self.service.version:
            self.served.append((self.at, self.service.version))

    def _answer(self, since: float) -> None:
        rows, current = machine(since, self.at), self.service.follower.current
        assert current
        log(self.lab, rows, answered(current.folder, rows), current.version)
        begin, end = self.wrong_truth
        sign = np.where((rows["time"] >= begin) & (rows["time"] < end), -1.0, 1.0)
        self.rows.append({**rows, "loss": sign * rows["loss"]})
        write_truth(self.lab, *self.rows)

    def _retrain(self) -> None:
        """The two jobs of retrain.yml, and the checks of the pull request in a clone of its own."""
        out, now = self.lab.root.parent / "retrained", datetime.fromtimestamp(self.at, UTC)
        assert retrain(self.lab.project, HERE, out, now, silent).commit
        self.lab.git("checkout", "--quiet", "--", ".")
        client = Client(self.github.repository, "s3cret", self.github.url)
        (order,) = self.github.dispatched
        propose(self.lab.project, client, out / BUNDLE, order["inputs"]["reason"])
        for run in self.github.runs.values():
            run["status"] = "completed"
        self.opened = self.at
        self.lab.git("clone", "--quiet", "--branch", BRANCH, str(self.lab.root.parent / "origin.git"), str(self._clone))
        project = self.pull_request()
        self.judged = verdict_file(project, check(project, select_interlocks(self.families)))

    def _release(self) -> None:
        """People merge what every interlock let pass, and release it."""
        assert self.judged
        if self.failed:
            return
        pull_request = self.pull_request()
        permit = signed(self.lab, pull_request, self.judged)
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
