"""Planted models for PRF002 and PRF003: what two models get wrong, row by row, and an evaluation that judges them."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from beampermit.contract.measured import measured_metrics
from beampermit.datasets.tables import connect_to_read
from beampermit.environments import Environment
from beampermit.interlocks.interlock import Finding
from beampermit.interlocks.model import Evaluators, Examined
from beampermit.interlocks.performance import PRF002, PRF003
from beampermit.interlocks.performance import champion as champion_module
from beampermit.interlocks.performance.base_rows import BaseRows, OnBaseRows
from beampermit.interlocks.performance.in_service import InService
from beampermit.models import SavedModel
from beampermit.models.evaluation import Evaluator
from beampermit.models.packaged import OwnContract
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from support.forked_commands import environment_of_forks
from support.permits import statement

EVALUATE = """\
import json, sys
import duckdb, numpy as np

def column(file, name):
    return duckdb.read_parquet(file).select(name).fetchnumpy()[name]

inputs, scores, out, *counts = sys.argv[1:]
faulty, flagged = column(inputs, "faulty"), column(scores, "score") >= 0.5
each = np.load(counts[0]) if counts else np.ones((1, len(faulty)))

def share(of, among):
    whole = (each * among).sum(axis=1)
    return [a / b if b else None for a, b in zip((each * (of & among)).sum(axis=1), whole)]

found = {"auc": share(flagged == faulty, np.ones(len(faulty), bool)), "false_alarm_rate": share(flagged, ~faulty)}
json.dump(found if counts else {name: values[0] for name, values in found.items()}, open(out, "w"))
"""
SHOTS, DEVICES, PLANES = 20, 10, 2
ROWS = SHOTS * DEVICES * PLANES
DIGEST = "sha256:" + "0" * 64
SAME_ROWS = BaseRows()
THIS_ENVIRONMENT = Environment(Path(sys.prefix))


@dataclass
class Arena:
    """Two models by what they get wrong: masks over the rows, shape (ROWS,)."""

    project: Project
    faulty: np.ndarray
    monkeypatch: pytest.MonkeyPatch

    def scores(self, name: str, wrong: np.ndarray) -> Path:
        file = self.project.root / f"{name}.parquet"
        found = np.where(self.faulty ^ wrong, 0.9, 0.1)
        write_table(file, score=found)
        return file

    def evaluated(self, wrong: np.ndarray) -> dict[str, float]:
        flagged = self.faulty ^ wrong
        return {"auc": float((~wrong).mean()), "false_alarm_rate": float(flagged[~self.faulty].mean())}

    def against(
        self,
        champion: np.ndarray,
        challenger: np.ndarray,
        evaluated: dict[str, float] | None = None,
        base_rows: BaseRows = SAME_ROWS,
        on_base_rows: OnBaseRows | None = None,
    ) -> Finding:
        """PRF002 on two models that are wrong on these rows."""
        scores, project = self.scores("champion", champion), Project(self.project.root, base="main")
        own = OwnContract(signals=project.base_contract.signals, dataset=project.base_contract.dataset)
        environment = environment_of_forks()
        in_service = InService(EVENT, statement(), self.project.root, own, environment)
        self.monkeypatch.setattr(f"{champion_module.__name__}.find_in_service", lambda *_: in_service)
        self.monkeypatch.setattr(InService, "score", lambda *arguments: shutil.copy(scores, arguments[-1]))
        folder = self.project.root / "model"
        folder.mkdir(exist_ok=True)
        model, examined = SavedModel(folder, "model", {}), Examined(None, None, self.scores("challenger", challenger))
        return PRF002().check(
            project, project.contract, project.base_contract, environment, model, Ledger(project.git), EVENT,
            evaluated or self.evaluated(challenger), examined, self.evaluators(project), base_rows, on_base_rows,
        )  # fmt: skip

    def evaluators(self, project: Project) -> Evaluators:
        """The work tree's commands, and those of the base branch where the branch has changed something."""
        rows, root = project.path(project.base_contract.evaluation.inputs), project.root
        environment = environment_of_forks()
        own = Evaluator.of(environment, root, project.contract, rows)
        changed = project.base is not None and project.contract != project.base_contract
        measured = measured_metrics(project.base_contract, project.contract.signals)
        base = Evaluator(environment, root, project.base_contract, rows, measured=measured) if changed else None
        return Evaluators(own, base, measured)

    def grouped(self, wrong: np.ndarray) -> Finding:
        """PRF003 on a model that is wrong on these rows."""
        project = Project(self.project.root)
        examined = Examined(None, None, self.scores("challenger", wrong))
        return PRF003().check(project, project.contract, project.base_contract, examined, self.evaluators(project))


EVENT = Event(
    event="promote", sequence=1, model="bpm-faults", version=3, digest=DIGEST, permit=DIGEST, commit="0" * 40,
    expected=None, at="2026-11-23T08:00:00Z", by="Ada Operator",
)  # fmt: skip
SHOT, DEVICE, PLANE = (axis.ravel() for axis in np.meshgrid(*map(range, (SHOTS, DEVICES, PLANES)), indexing="ij"))
NONE = np.zeros(ROWS, bool)
SOME = (SHOT * 7 + DEVICE * 3 + PLANE) % 23 == 0


def write_table(file: Path, **columns: np.ndarray) -> None:
    kinds = {"f": "DOUBLE", "b": "BOOLEAN", "i": "BIGINT", "U": "VARCHAR"}
    # A row at a time takes ten times as long.
    lists = ", ".join(
        f"unnest(?::{kinds[column.dtype.kind]}{'[]' * column.ndim}) AS {name}" for name, column in columns.items()
    )
    with connect_to_read() as connection:  # a database of its own takes longer than what is written
        connection.execute(
            f"CREATE TEMP TABLE found AS SELECT {lists}", [column.tolist() for column in columns.values()]
        )
        connection.execute(f"COPY found TO '{file}' (FORMAT parquet)")
