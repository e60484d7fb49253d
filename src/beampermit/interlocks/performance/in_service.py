"""The champion as it is in service: asked for its own inputs, in the environment of its own lock."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.contract import Contract
from beampermit.contract.measured import answering, output_of
from beampermit.contract.signals import Signal
from beampermit.digest import digest_file
from beampermit.environments import Environment
from beampermit.environments.environment import stamp_of
from beampermit.errors import BadInput, Failed
from beampermit.models.groups import column_names
from beampermit.models.packaged import OwnContract, read_own_contract
from beampermit.progress import silent
from beampermit.project import Project

if TYPE_CHECKING:
    from beampermit.permit.statement import Statement
    from beampermit.registry.event import Event
    from beampermit.registry.ledger import Ledger


@dataclass(frozen=True)
class InService:
    """The champion's saved model in `folder`, the contract that is packaged with it, and the environment of its lock.

    `permit` binds the rows that it was judged on.
    """

    event: Event
    permit: Statement
    folder: Path
    contract: OwnContract
    environment: Environment

    def score(self, project: Project, rows: Path, asked: Contract, out: Path) -> None:
        """Its scores of each of `rows`, in order. Inputs that this table lacks are those of its own test rows.

        So are those that it has otherwise: by `asked`, their contract, in another unit or shape. Raises `Failed`
        where it fails, or the rows are not there.
        """
        from beampermit.models import scoring

        with tempfile.TemporaryDirectory(prefix="beampermit-champion-") as scratch:
            completed = self._completed(project, rows, asked, Path(scratch, "rows.parquet"))
            scoring.score_rows(self.environment, self.folder, completed, out, self.contract.signals)

    def _completed(self, project: Project, rows: Path, asked: Contract, out: Path) -> Path:
        from beampermit.datasets.completing import complete_rows

        inputs = [signal.name for signal in self.contract.signals.inputs]
        columns = column_names(rows)
        kinds = {signal.name: (signal.unit, signal.shape) for signal in asked.signals.inputs}
        other = {
            signal.name
            for signal in self.contract.signals.inputs
            if kinds.get(signal.name) not in (None, (signal.unit, signal.shape))
        }
        lacking = [name for name in inputs if name not in columns or name in other]
        if not lacking:
            return rows
        shared = [name for name in inputs if name not in lacking]
        targets = sorted(self.contract.targets)  # equal targets give the metrics of its own rows
        key, version = self.contract.dataset.key, self.contract.dataset.request.version
        doubtful = targets if asked.dataset.request.version > version else []  # else PRF001 holds targets to the base's
        try:
            complete_rows(rows, self._own_rows(project), key, inputs, lacking, shared or targets, doubtful, out)
        except (BadInput, Failed) as error:
            how, until = (
                "not a column of",
                f"leave {', '.join(lacking)} in the test rows until a version without is in service",
            )
            if lacking[0] in columns:
                how, until = (
                    "in another unit or shape in",
                    f"keep it as it is, and give the new {lacking[0]} another name",
                )
            raise Failed(
                f"its input {lacking[0]} is {how} {rows.name}, and is not in its own test rows: {error.message}",
                hint=until,
            ) from None
        return out

    def _own_rows(self, project: Project) -> Path:
        """The test rows that it was judged on, which its permit binds."""
        from beampermit.datasets.differences import fetch_file
        from beampermit.registry.models import require_commit

        path = self.contract.dataset.splits["test"]
        require_commit(project, self.event)
        file = fetch_file(project, self.event.commit, path)
        if digest_file(file) != self.permit.predicate.dataset.get(path):
            raise Failed(f"{path} of {self.event.commit[:12]} is not the file that its permit binds")
        return file


def find_in_service(project: Project, champion: Event, ledger: Ledger, environment: Environment) -> InService:
    """The champion, fetched from the registry; `environment` is the project's, which was built from its lock.

    Raises `Failed` where the champion does not say what its inputs are; `Outside` where the registry, its commit, or a
    package of its environment is not available.
    """
    from beampermit.registry.mlflow import registry_uri
    from beampermit.registry.models import fetch_model

    permit = ledger.believe(champion)
    folder = fetch_model(champion, project.own / "champion", registry_uri(champion.address))
    own = environment_of_champion(project, champion, permit, environment)
    return InService(champion, permit, folder, read_own_contract(folder), own)


def environment_of_champion(
    project: Project, champion: Event, permit: Statement, environment: Environment
) -> Environment:
    """That of the champion's lock, installed where it is another one than the project's `environment` is built from."""
    from beampermit.registry.models import require_commit
    from beampermit.reproduction.environments import reused_environment
    from beampermit.reproduction.tree import exported

    locks = (permit.predicate.environment, *permit.predicate.variants)
    if all(project.path(lock.file).is_file() and digest_file(project.path(lock.file)) == lock.digest for lock in locks):
        return environment
    require_commit(project, champion)
    with (
        tempfile.TemporaryDirectory(prefix="beampermit-champion-") as scratch,
        exported(project.git, champion.commit, Path(scratch, "commit")) as tree,
    ):
        try:
            variant = stamp_of(environment.prefix).partition(" ")[2]
            own = reused_environment(project.root, tree, silent, variant)
        except BadInput:
            own = reused_environment(project.root, tree, silent)  # its lock may have had no such variant
    return replace(environment, prefix=own.prefix)


def comparable(rules: Contract, own: OwnContract) -> tuple[tuple[str, ...], dict[str, str]]:
    """Metrics of `rules` that a model with the contract `own` can have, and why it cannot have the others."""
    alone = len(rules.signals.outputs) == 1
    lacking: dict[str, str] = {}
    for metric in rules.metrics:
        if metric.measure and (why := _no_answer(output_of(metric, rules.signals), own, alone=alone)):
            lacking[metric.name] = why
    return tuple(metric.name for metric in rules.metrics if metric.name not in lacking), lacking


def _no_answer(output: Signal, own: OwnContract, *, alone: bool) -> str:
    """Why no output of a model can be compared with the target of `output`; empty where one can."""
    answers = answering(output, own.signals)
    if answers is None and alone and len(own.signals.outputs) == 1:
        answers = own.signals.outputs[0]
    if answers is None:
        return f"it has no output for {output.target}"
    if answers.target not in (None, output.target):
        return f"its {answers.name} is for {answers.target}, not {output.target}"
    return ""
