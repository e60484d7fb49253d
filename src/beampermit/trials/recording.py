"""Which trials a run writes to MLflow: its own, and those that earlier runs left. Of two runs none writes another's."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from beampermit.errors import BadInput
from beampermit.files import write_json
from beampermit.progress import Progress
from beampermit.reading import read_json
from beampermit.registry.mlflow import public_address
from beampermit.trials.runs import RECORDING, alive, living
from beampermit.trials.storage import folder_of, storage_errors
from beampermit.trials.study import Opened, read_trials
from beampermit.trials.tracking import Tracking

RECORDED = "recorded.json"
"""In the folder of the studies: how many trials of each study MLflow has, so that nothing has to be asked."""
LOCK = "mlflow.lock"
"""In the same folder: held for a moment, while a run says that it records and looks at who else does."""


class Recording:
    """The runs in MLflow, begun when there is one to write. `run` is the name of the run that this is for."""

    def __init__(self, opened: Opened, uri: str, run: str):
        self._opened, self._uri, self._run = opened, uri, run
        self._folder = folder_of(opened.subject.project)
        self._tracking: Tracking | None = None
        self._sign = ExitStack()
        self._left: list[int] = []
        if uri:
            with storage_errors(opened.address):
                self._left = self._left_by_others()
        if self._left and self._known().get(opened.study.name) != [public_address(uri), len(self._left)]:
            self._begin()

    def add(self, number: int) -> None:
        if self._uri and not self._tracking:
            self._begin()
        if self._tracking:
            self._tracking.add(number)

    def stop(self) -> None:
        if self._tracking:
            self._tracking.stop()
        self._sign.close()

    def finish(self, progress: Progress) -> str:
        """Write all that is missing; what went wrong, or nothing."""
        with self._sign:
            if not self._tracking:
                return ""
            try:
                self._tracking.finish(lambda count: progress(f"writing runs to MLflow: {count}"))
            except BaseException:
                self._tracking.stop()
                raise
            if not self._tracking.problem:
                with storage_errors(self._opened.address):
                    count = len(self._finished() & self._tracking.there)
                known = {**self._known(), self._opened.study.name: [public_address(self._uri), count]}
                write_json(self._folder / RECORDED, known)
            return self._tracking.problem

    def _left_by_others(self) -> list[int]:
        """Trials that ended, and whose run writes none any more; nothing where another run records, which has seen to
        them. From here on this run records."""
        from filelock import FileLock

        study = self._opened.told
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / LOCK):  # of two that begin at once, one sees the other
            others = living(study, self._run, RECORDING)
            self._sign.enter_context(alive(study, self._run, RECORDING))
        return [] if others else sorted(self._finished())

    def _finished(self) -> set[int]:
        trials = self._opened.told.get_trials(deepcopy=False)
        return {trial.number for trial in trials if trial.state.is_finished()}

    def _begin(self) -> None:
        opened = self._opened
        self._tracking = Tracking(opened.study, self._uri, self._left, lambda numbers: read_trials(opened, numbers))

    def _known(self) -> dict[str, Any]:
        try:
            known = read_json(self._folder / RECORDED)
        except BadInput:
            return {}
        return known if isinstance(known, dict) else {}
