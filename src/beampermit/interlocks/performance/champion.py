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
from beampermit.interlocks.interlock import PROJECT_CODE, Finding, Interlock, failed, passed
from beampermit.interlocks.model import Evaluators, Examined
from beampermit.interlocks.performance.base_rows import ON_BASE_ROWS, BaseRows, OnBaseRows, metrics_on
from beampermit.interlocks.performance.gates import NAMES, unevaluated
from beampermit.models import SavedModel
from beampermit.models.groups import TAIL, dependent_columns, draw_counts, interval, read_columns
from beampermit.models.metrics import format_number
from beampermit.project import Project
from beampermit.verdicts.evidence import Champion, Comparison, Interval

if TYPE_CHECKING:
    import numpy as np

    from beampermit.models.evaluation import Evaluator
    from beampermit.registry.event import Event


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
    decided_by = (*PROJECT_CODE, "ledger")

    def check(
        self,
        project: Project,
        contract: Contract,
        base_contract: Contract,
        environment: Environment,
        model: SavedModel,
        champion: Event | None,
        judged: dict[str, float],
        examined: Examined,
        evaluators: Evaluators,
        base_rows: BaseRows,
        on_base_rows: OnBaseRows | None,
    ) -> Finding:
        """The model in service is better on these data, or may be better by more than `champion_margin`: see the
        interval in the reason. Improve this model and run `dvc repro`, or evaluate on more test rows, which narrows the
        interval. Or keep the champion and close this pull request. Where a pull request adds test rows, both models are
        compared on the earlier rows too."""
        if champion is None:
            return passed("nothing has been promoted yet", Comparison(champion=None, challenger=judged))
        if digest_folder(model.folder) == champion.digest:
            same = Champion(version=champion.version, digest=champion.digest, metrics=judged)
            return passed(
                f"this model is the champion, version {champion.version}",
                Comparison(champion=same, challenger=judged),
            )
        comparing = _Comparing(project, contract, base_contract, environment, evaluators)
        metrics, differences, earlier = comparing.side_by_side(champion, judged, examined, base_rows.table)
        pairs = [
            Pair(metric, judged.get(metric.name), metrics.get(metric.name), differences.get(metric.name))
            for metric in base_contract.metrics
        ]
        evidence = Comparison(
            champion=Champion(version=champion.version, digest=champion.digest, metrics=metrics),
            challenger=judged,
            confidence=1 - 2 * TAIL,
            better_by=differences,
        )
        problems = [
            problem
            for pair in pairs
            if (problem := pair.worse(champion.version, with_interval=pair.metric.name in differences))
        ]
        note = _without_intervals(base_contract.metrics, evaluators.resampling)
        if on_base_rows:
            on_earlier = [
                Pair(metric, on_base_rows.metrics.get(metric.name), earlier.get(metric.name), None)
                for metric in base_contract.metrics
            ]
            if base_rows.binding:
                worse = (pair.worse(champion.version, with_interval=False) for pair in on_earlier)
                problems += [f"{ON_BASE_ROWS}{problem}" for problem in worse if problem]
            note += f"; {on_base_rows.problem or ON_BASE_ROWS + ', '.join(pair.text for pair in on_earlier)}"
        if problems:
            reason = "; ".join(problems) + (note if on_base_rows else "")
            by_project = (metric for metric in base_contract.metrics if metric.measure is None)
            fix = NAMES if unevaluated(by_project, judged) else ""
            return failed(reason, contract.evaluation.metrics, fix=fix, evidence=evidence)
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


def _without_intervals(metrics: Sequence[Metric], resampling: Evaluator) -> str:
    without = [metric.name for metric in metrics if not resampling.resamples(metric.name)]
    if not without:
        return ""
    what = f"no interval of {', '.join(without)}" if len(without) < len(metrics) else "no intervals"
    return f"; {what}, because evaluation.weighted is not set"


def _format_interval(better: Interval) -> str:
    return f"better by {better.low:.2g} to {better.high:.2g}"


@dataclass(frozen=True)
class _Comparing:
    project: Project
    contract: Contract
    base_contract: Contract
    environment: Environment
    evaluators: Evaluators

    def side_by_side(
        self, champion: Event, judged: dict[str, float], examined: Examined, earlier: Path | None
    ) -> tuple[dict[str, float], dict[str, Interval | None], dict[str, float]]:
        """The champion's metrics on the challenger's rows, how much better the challenger is in each gated metric, and
        the champion's metrics on the `earlier` rows.

        Without the intervals of metrics that nothing computes for weighted rows.
        """
        from beampermit.models import scoring
        from beampermit.registry.mlflow import registry_uri
        from beampermit.registry.models import fetch_model

        folder = fetch_model(champion, self.project.own / "champion", registry_uri(champion.address))
        try:
            with tempfile.TemporaryDirectory(prefix="beampermit-champion-") as scratch:
                scores = Path(scratch, "scores.parquet")
                rows, signals = self.evaluators.judging.inputs, self.contract.signals
                scoring.score(self.environment, folder, rows, scores, signals)
                on_earlier = self._on_earlier(earlier, folder)
                resampling = self.evaluators.resampling
                if not any(resampling.resamples(metric.name) for metric in self.base_contract.metrics):
                    return self.evaluators.judging.evaluate(scores), {}, on_earlier
                old, new = self._resampled((scores, examined.unchanged_scores()))
                metrics = {name: float(values[0]) for name, values in old.items() if math.isfinite(values[0])}
                if not all(resampling.resamples(name) for name in judged):
                    metrics = self.evaluators.judging.evaluate(scores)
        except Failed as error:
            raise Failed(
                f"the champion, version {champion.version}, cannot be evaluated on these data: {error}"
            ) from None
        if resampling.contract.evaluation.weighted:
            _must_agree(new, judged, self.base_contract)
        differences = {
            metric.name: interval(metric.direction * (new[metric.name] - old[metric.name]))
            for metric in self.base_contract.metrics
            if metric.name in old and metric.name in new
        }
        return metrics, differences, on_earlier

    def _on_earlier(self, table: Path | None, model: Path) -> dict[str, float]:
        """Empty where the champion cannot be evaluated on them: whether that matters, `BaseRows.binding` says."""
        try:
            return metrics_on(table, self.contract, self.environment, model, self.evaluators) if table else {}
        except Failed:
            return {}

    def _resampled(self, tables: Sequence[Path]) -> list[dict[str, np.ndarray]]:
        """The metrics of each table of scores on the same resamples of the rows, so that the comparison is paired."""
        evaluator = self.evaluators.resampling
        columns = dependent_columns(evaluator.inputs, self.base_contract)
        drawn = draw_counts(read_columns(evaluator.inputs, columns))
        with ThreadPoolExecutor(len(tables)) as pool:
            return list(pool.map(lambda table: evaluator.evaluate_weighted(table, drawn), tables))


def _must_agree(resampled: dict[str, np.ndarray], judged: dict[str, float], rules: Contract) -> None:
    """Raises `Failed` where the intervals would be those of other metrics than the ones that are judged."""
    for name, value in judged.items():
        weighted = float(resampled[name][0]) if name in resampled else math.nan
        if not rules.evaluation.agree(weighted, value):
            raise Failed(
                f"evaluation.weighted gives {name} {weighted:.6g} with each row counted once, "
                f"evaluation.command gives {value:.6g}",
                file=FILE_NAME,
            )
