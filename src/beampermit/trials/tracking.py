"""Each trial as a run of MLflow, below the run of its study. A thread writes them: no trial waits for MLflow."""

from __future__ import annotations

import hashlib
import logging
import os
import posixpath
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from beampermit.digest import digest_json
from beampermit.errors import BadInput, BeampermitError, Outside
from beampermit.registry.mlflow import BOUNDS, SQLITE, VARIABLE, checked_uri, export
from beampermit.registry.refusals import hint_of, is_denied, reason_of
from beampermit.trials.addresses import without_passwords
from beampermit.trials.records import Bound, State, Study, Trial
from beampermit.trials.runs import own_name

DATABASE = "mlflow.db"
"""In the folder of the studies, where `MLFLOW_TRACKING_URI` is not set."""
PREFIX = "beampermit."
STUDY, NUMBER = f"{PREFIX}study", f"{PREFIX}trial"
PART = 0.25
"""Of the time that the thread may take while trials run, which need the processor more."""
AGAIN = 60.0
"""Seconds from a failure until MLflow is tried again, which may be back."""
PAGE = 1000
MOST_PARAMETERS = 100
"""That MLflow takes at once."""
WRITER = f"{PREFIX}writer"
"""Which call made the run of a study: two have the same where an answer was lost and MLflow's client asked again."""
STATUS = {State.COMPLETE: "FINISHED", State.PRUNED: "KILLED", State.FAILED: "FAILED"}
LONGEST_VALUE = 500
NOT_IN_NAMES = re.compile(r"[^\w. /:-]")
LONGEST_NAME = 200
ARTIFACTS = "_MLFLOW_SERVER_ARTIFACT_ROOT"
"""Where a new database keeps files. MLflow would name `mlruns` in the folder in which the command runs, and writes that
into its SQL as it is: a quotation mark in it ends it."""
BUSY = 300.0
"""Seconds that another run may take to make a new database."""


def tracking_uri(folder: Path) -> str:
    """`MLFLOW_TRACKING_URI`, else a database in the folder of the studies. Raises `BadInput` for what is no address."""
    uri = os.environ.get(VARIABLE, "")
    if not uri:
        path = str(folder.absolute() / DATABASE)
        return SQLITE + path.replace("%", "%25").replace("?", "%3F")
    return checked_uri(uri, VARIABLE, export())


@contextmanager
def alone(uri: str) -> Iterator[None]:
    """Of the runs on this machine, one after the other: two that made the tables of a new database, or the run of the
    study, would be in each other's way. Raises `Outside`."""
    from filelock import FileLock, Timeout

    if not uri.startswith(SQLITE):
        yield
        return
    written = uri.removeprefix(SQLITE)
    file = Path(unquote(written)).absolute()
    lock = f"{file}.lock"
    try:
        with FileLock(lock, timeout=BUSY), _artifacts_beside(file):
            yield
            if unquote(written) != written:  # MLflow makes the folder as it is written as well
                with suppress(OSError):
                    os.removedirs(os.path.dirname(written))  # noqa: PTH120
    except Timeout:
        raise Outside("another process keeps the lock of this database of MLflow", file=lock) from None


@contextmanager
def _artifacts_beside(file: Path) -> Iterator[None]:
    before = os.environ.get(ARTIFACTS)
    os.environ[ARTIFACTS] = before or (file.parent / "mlartifacts").as_uri()
    try:
        yield
    finally:
        if before is None:
            del os.environ[ARTIFACTS]


def accepted_name(name: str) -> str:
    """As MLflow takes it for parameters, metrics and tags: with a digest where letters had to go, so that no two names
    become one."""
    if 0 < len(name) <= LONGEST_NAME and not NOT_IN_NAMES.search(name) and _is_plain_path(name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    kept = NOT_IN_NAMES.sub("_", name).replace("/", "_").lstrip(".")[: LONGEST_NAME - 9]
    return f"{kept}-{digest}"


def _is_plain_path(name: str) -> bool:
    """MLflow may keep it as a file."""
    return posixpath.normpath(name) == name and not name.startswith(("/", "..")) and name != "."


class Tracking:
    """Writes trials while they come, and at the end those that are missing, of this run and of earlier ones.

    `ended` are the numbers of the trials of earlier runs, and `read` reads the trials of some numbers. Where MLflow
    fails, the study goes on, and MLflow is tried again while it does. In the end `problem` says what is missing and
    why: the next run writes it.
    """

    def __init__(self, study: Study, uri: str, ended: Iterable[int], read: Callable[[Iterable[int]], list[Trial]]):
        self._study, self._uri, self._told, self._read = study, uri, [*ended], read
        self._numbers: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._rushed = threading.Event()
        self._over = threading.Event()
        self._complete = False
        """No number comes any more."""
        self._refused = ""
        self.problem = ""
        self.written = 0
        self.there: set[int] = set()
        """Trials that MLflow has, to the end."""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def add(self, number: int) -> None:
        """A trial has ended."""
        self._numbers.put(number)

    def finish(self, progress: Callable[[int], None] = lambda _: None) -> None:
        """Wait until all is written; `progress` is told how many trials are."""
        self._rushed.set()
        self._numbers.put(None)
        while self._thread.is_alive():
            self._thread.join(0.2)
            progress(self.written)

    def stop(self) -> None:
        """Write nothing more; what is being written is."""
        self._over.set()
        self._rushed.set()
        self._numbers.put(None)
        self._thread.join(5.0)

    def _serve(self) -> None:
        while (failure := self._failure()) is not None:
            last = self._rushed.is_set()
            self.problem = failure
            if last:
                return
            self._rushed.wait(AGAIN)  # then all trials have ended, and MLflow may be back: it is tried a last time
            if self._over.is_set():
                return
        self.problem = self._refused

    def _failure(self) -> str | None:
        """Why not all is written; None where it is."""
        try:
            self._record()
        except BeampermitError as error:
            return error.message
        except Exception as error:  # MLflow and its stores have many
            reason = without_passwords(reason_of(error), self._uri)
            return f"{reason}; {hint_of(reason, VARIABLE)}" if is_denied(error) else reason
        return None

    def _record(self) -> None:
        runs = _Runs(self._study, self._uri)
        self.there |= runs.numbers
        for trial in self._trials():
            began = time.monotonic()
            if refused := runs.write(trial):
                self._refused = f"trial {trial.number}: {refused}"
                continue
            self.there.add(trial.number)
            self.written += 1
            self._rushed.wait((time.monotonic() - began) * (1 / PART - 1))
        if not self._over.is_set():
            runs.finish()

    def _trials(self) -> Iterator[Trial]:
        """Those that MLflow has not: of earlier runs, of a try that failed, then of this run as they end."""
        waiting = [*self._told]
        while waiting or not self._complete:
            waiting += self._new(wait=not waiting)
            if self._over.is_set():
                return
            new = [number for number in dict.fromkeys(waiting) if number not in self.there]
            waiting = []
            for trial in self._read(new):
                if self._over.is_set():
                    return
                yield trial

    def _new(self, *, wait: bool) -> list[int]:
        """Numbers that came meanwhile."""
        found: list[int] = []
        while not self._complete and (wait or not self._numbers.empty()):
            wait = False
            number = self._numbers.get()
            if number is None:
                self._complete = True
            else:
                found.append(number)
        self._told += found
        return found


class _Runs:
    """The runs of one study in MLflow."""

    def __init__(self, study: Study, uri: str):
        for variable, value in BOUNDS.items():
            os.environ.setdefault(variable, value)
        from mlflow import MlflowClient

        for logger in ("mlflow", "alembic"):
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        self._study = study
        self._digests = _digests(study.bound)
        with alone(uri):
            self._client: Any = MlflowClient(tracking_uri=uri, registry_uri=uri)
            self._experiment = self._find_experiment(study.name.rpartition("-")[0] + "-trials")
            self._parent = self._find_parent()
        begun: dict[int, list[str]] = {}
        self.numbers = set(self._known(begun))
        self._begun = {number: first for number, (first, *_) in begun.items() if number not in self.numbers}
        kept = {*self._begun.values()}
        for run in chain.from_iterable(begun.values()):
            if run not in kept:
                self._remove(run)  # an answer was lost, and it was begun once more

    def write(self, trial: Trial) -> str:
        """What MLflow refuses of it, which the next one may not have; nothing where all is written."""
        from mlflow.exceptions import MlflowException

        try:
            self._write(trial)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            return reason_of(error)
        return ""

    def _write(self, trial: Trial) -> None:
        from mlflow.entities import Metric, Param

        began = _milliseconds(trial.began)
        ended = began + round(1000 * (trial.seconds or 0.0))
        tags = {
            "mlflow.parentRunId": self._parent,
            "mlflow.source.git.commit": self._study.commit,
            STUDY: self._study.name,
            NUMBER: str(trial.number),
            f"{PREFIX}state": trial.state.value,
            f"{PREFIX}machine": trial.machine,
            f"{PREFIX}unit": trial.unit,
            f"{PREFIX}reason": trial.reason[-LONGEST_VALUE:],
            **self._digests,
        }
        run = (
            self._begun.get(trial.number)
            or self._client.create_run(
                self._experiment,
                start_time=began,
                tags={name: value for name, value in tags.items() if value},
                run_name=f"trial {trial.number}",
            ).info.run_id
        )
        metrics = [
            Metric(name, value, ended, round(row[0]))
            for row in trial.curve
            for name, value in zip(("loss", "validation_loss"), row[1:], strict=False)
        ]
        numbers = {**trial.metrics, **trial.values}
        numbers |= {"seconds": trial.seconds} if trial.seconds is not None else {}
        curved = {metric.key for metric in metrics}
        metrics += [
            Metric(accepted_name(name), value, ended, 0) for name, value in numbers.items() if name not in curved
        ]
        params = [Param(accepted_name(name), str(value)[:LONGEST_VALUE]) for name, value in trial.params.items()]
        self._client.log_batch(run, metrics=metrics, params=params[:MOST_PARAMETERS])
        for place in range(MOST_PARAMETERS, len(params), MOST_PARAMETERS):
            self._client.log_batch(run, params=params[place : place + MOST_PARAMETERS])
        self._client.set_terminated(run, STATUS[trial.state], ended)

    def finish(self) -> None:
        self._client.set_terminated(self._parent, "FINISHED")

    def _find_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException as error:
                found = self._client.get_experiment_by_name(name)  # somebody else may have been first
                if found is None and is_denied(error):
                    raise Outside(
                        f"there is no experiment {name}, and this account may make none: an administrator makes it, "
                        f"and gives the account the permission to edit it (docs/mlflow-server.md)"
                    ) from None
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise BadInput(f"the experiment {name} of MLflow is deleted: restore it")
        return str(found.experiment_id)

    def _find_parent(self) -> str:
        """The run of the study; of two that were made at once, the one that began first."""
        study = self._study
        found = self._search_parent()
        if found:
            return str(found[0].info.run_id)
        bound = study.bound
        tags = {
            STUDY: study.name,
            f"{PREFIX}kind": "study",
            WRITER: own_name(),
            "mlflow.source.git.commit": study.commit,
            **self._digests,
            **{accepted_name(f"{PREFIX}data.{path}"): md5 for path, md5 in [*bound.data.items()][:20]},
            f"{PREFIX}objectives": ", ".join(f"{one.direction} {one.name}" for one in study.objectives),
            f"{PREFIX}sampler": study.sampler,
            f"{PREFIX}pruner": study.pruner,
        }
        tags = {name: value for name, value in tags.items() if value}
        self._client.create_run(self._experiment, start_time=_milliseconds(study.began), tags=tags, run_name=study.name)
        first, *others = self._search_parent()
        for other in others:
            if other.data.tags.get(WRITER) == tags[WRITER]:  # two where an answer was lost
                self._remove(other.info.run_id)
        return str(first.info.run_id)

    def _remove(self, run: str) -> None:
        """A run that is there twice. An account that may write often may delete nothing: then it stays, ended."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.delete_run(run)
        except MlflowException as error:
            if not is_denied(error):
                raise
            self._client.set_tag(run, STUDY, "")
            self._client.set_terminated(run, STATUS[State.PRUNED])

    def _search_parent(self) -> Any:
        return self._client.search_runs(
            [self._experiment],
            f"tags.`{STUDY}` = '{self._study.name}' and tags.`{PREFIX}kind` = 'study'",
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        )

    def _known(self, begun: dict[int, list[str]]) -> Iterator[int]:
        """Numbers of the trials that are written to the end; the runs of others get into `begun`."""
        token: str | None = None
        while token is None or token:
            page = self._client.search_runs(
                [self._experiment],
                f"tags.`{STUDY}` = '{self._study.name}'",
                max_results=PAGE,
                page_token=token,
            )
            for run in page:
                number = run.data.tags.get(NUMBER, "")
                if number.isdigit() and run.info.status == "RUNNING":  # the writer was killed
                    begun.setdefault(int(number), []).append(run.info.run_id)
                elif number.isdigit():
                    yield int(number)
            token = page.token or ""


def _digests(bound: Bound) -> dict[str, str]:
    """Of what a study is bound to: the same in all its runs."""
    return {
        f"{PREFIX}{name}": digest for name, digest in {**bound.model_dump(), "data": digest_json(bound.data)}.items()
    }


def _milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000) if moment else round(time.time() * 1000)
