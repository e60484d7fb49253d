"""PRF002: the challenger against the champion, both evaluated on the same rows, with intervals."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.contract import FILE_NAME, Contract, Metric
from beampermit.digest import digest_folder
from beampermit.environments import Environment
from beampermit.errors import Failed
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.interlocks.model import Examined
from beampermit.models import SavedModel
from beampermit.models.groups import dependent_columns, read_columns
from beampermit.models.metrics import format_number
from beampermit.models.resampling import TAIL, draw_counts, interval
from beampermit.project import Project
from beampermit.verdicts.evidence import Champion, Comparison, Interval

if TYPE_CHECKING:
    import numpy as np

    from beampermit.registry.event import Event

SAME = 1e-9
"""Relative difference that two evaluations of the same rows may have."""


@provides
def champion(project: Project, base_contract: Contract) -> Event | None:
    """The ledger's event of the version in service; None where nothing is promoted."""
    from beampermit.registry.ledger import Ledger

    ledger = Ledger(project.git)
    ledger.fetch()
    return ledger.champion(base_contract.model.name)


class PRF002(Interlock):
    "The model is not worse than the champion on the same data"

    requires = frozenset({"ENV005", "MDL002"})
    slow = True

    def check(
        self,
        project: Project,
        contract: Contract,
        base_contract: Contract,
        environment: Environment,
        model: SavedModel,
        champion: Event | None,
        evaluated: dict[str, float],
        examined: Examined,
    ) -> Finding:
        """The model in service is better on these data, or may be better by more than `champion_margin`: see the
        interval in the reason. Improve this model and run `dvc repro`, or evaluate on more test rows, which narrows the
        interval. Or keep the champion and close this pull request."""
        if champion is None:
            return passed("nothing has been promoted yet", Comparison(champion=None, challenger=evaluated))
        if digest_folder(model.folder) == champion.digest:
            same = Champion(version=champion.version, digest=champion.digest, metrics=evaluated)
            return passed(
                f"this model is the champion, version {champion.version}",
                Comparison(champion=same, challenger=evaluated),
            )
        metrics, differences = _side_by_side(
            project, contract, base_contract, environment, champion, evaluated, examined.scores
        )
        pairs = [
            Pair(metric, evaluated.get(metric.name), metrics.get(metric.name), differences.get(metric.name))
            for metric in base_contract.metrics
        ]
        evidence = Comparison(
            champion=Champion(version=champion.version, digest=champion.digest, metrics=metrics),
            challenger=evaluated,
            confidence=1 - 2 * TAIL,
            better_by=differences,
        )
        if problems := [
            problem for pair in pairs if (problem := pair.worse(champion.version, with_interval=bool(differences)))
        ]:
            return failed("; ".join(problems), contract.evaluation.metrics, evidence=evidence)
        note = "" if differences else "; no intervals, because evaluation.weighted is not set"
        metrics_compared = ", ".join(pair.text for pair in pairs)
        return passed(f"not worse than version {champion.version}: {metrics_compared}{note}", evidence)


@dataclass(frozen=True)
class Pair:
    """One metric of both models, and how much better the challenger is."""

    metric: Metric
    value: float | None
    champion: float | None
    better: Interval | None

    @property
    def text(self) -> str:
        """Such as `auc 0.993 against 0.991 (better by -0.001 to 0.005)`."""
        if self.value is None or self.champion is None:
            return f"{self.metric.name} is missing"
        value, champion = format_number(self.value, self.champion), format_number(self.champion, self.value)
        text = f"{self.metric.name} {value} against {champion}"
        return f"{text} ({_format_interval(self.better)})" if self.better else text

    def worse(self, version: int, *, with_interval: bool) -> str:
        """Why the challenger is worse, or may be, by more than the margin; empty if it is not."""
        metric = self.metric
        if self.value is None or self.champion is None:
            return f"evaluation does not give {metric.name}"
        value = f"{metric.name} is {format_number(self.value, self.champion)}"
        champion = f"the champion's {format_number(self.champion, self.value)} (version {version})"
        if not metric.not_worse(self.value, self.champion):
            return f"{value}, worse than {champion} by more than {metric.champion_margin:g}"
        if with_interval and self.better is None:
            return f"{metric.name} is undefined in too many resamples of the rows, so it cannot be compared"
        if self.better is not None and self.better.low < -metric.champion_margin:
            return (
                f"{value} against {champion}, and may be worse by {-self.better.low:.2g}, "
                f"{metric.champion_margin:g} allowed: {_format_interval(self.better)}"
            )
        return ""


def _format_interval(better: Interval) -> str:
    return f"better by {better.low:.2g} to {better.high:.2g}"


def _side_by_side(
    project: Project,
    contract: Contract,
    base_contract: Contract,
    environment: Environment,
    champion: Event,
    evaluated: dict[str, float],
    scores: Path,
) -> tuple[dict[str, float], dict[str, Interval | None]]:
    """The champion's metrics on the challenger's rows, and how much better the challenger is in each gated metric.

    Without intervals where neither contract sets `evaluation.weighted`.
    """
    from beampermit.models import evaluation, scoring
    from beampermit.registry.mlflow import registry_uri
    from beampermit.registry.models import fetch_model

    command = base_contract.evaluation.weighted or contract.evaluation.weighted
    folder = fetch_model(champion, project.own / "champion", registry_uri(project.root))
    inputs = [signal.name for signal in contract.signals.inputs]
    try:
        with tempfile.TemporaryDirectory(prefix="beampermit-champion-") as scratch:
            champion_scores = Path(scratch, "scores.parquet")
            scoring.score(environment, folder, project.path(contract.evaluation.inputs), champion_scores, inputs)
            if not command:
                return evaluation.evaluate(environment, project.root, contract, champion_scores), {}
            tables = (champion_scores, scores)
            old, new = _evaluate_resamples(project, contract, base_contract, environment, command, tables)
    except Failed as error:
        raise Failed(f"the champion, version {champion.version}, cannot be evaluated on these data: {error}") from None
    _must_agree(new, evaluated)
    metrics = {name: float(values[0]) for name, values in old.items() if math.isfinite(values[0])}
    return metrics, {
        metric.name: interval(metric.direction * (new[metric.name] - old[metric.name]))
        for metric in base_contract.metrics
        if metric.name in old and metric.name in new
    }


def _evaluate_resamples(
    project: Project,
    contract: Contract,
    base_contract: Contract,
    environment: Environment,
    command: Sequence[str],
    tables: Sequence[Path],
) -> list[dict[str, np.ndarray]]:
    """The metrics of each table of scores on the same resamples of the rows, so that the comparison is paired."""
    from beampermit.models import evaluation

    inputs = contract.evaluation.inputs
    drawn = draw_counts(read_columns(project.path(inputs), dependent_columns(project.path(inputs), base_contract)))
    with ThreadPoolExecutor(len(tables)) as pool:
        return list(
            pool.map(
                lambda table: evaluation.evaluate_weighted(environment, project.root, inputs, command, table, drawn),
                tables,
            )
        )


def _must_agree(resampled: dict[str, np.ndarray], evaluated: dict[str, float]) -> None:
    """Raises `Failed` where the intervals would be those of other metrics than the ones that are judged."""
    for name, value in evaluated.items():
        weighted = float(resampled[name][0]) if name in resampled else math.nan
        if not math.isclose(weighted, value, rel_tol=SAME, abs_tol=SAME):
            raise Failed(
                f"evaluation.weighted gives {name} {weighted:.6g} with each row counted once, "
                f"evaluation.command gives {value:.6g}",
                file=FILE_NAME,
            )
