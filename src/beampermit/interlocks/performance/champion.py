"""PRF002: the challenger against the champion, both evaluated on the same rows, with intervals."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.contract import FILE_NAME, Contract, Metric
from beampermit.contract.measured import measured_metrics
from beampermit.digest import digest_folder
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import PROJECT_CODE, Finding, Interlock, failed, passed
from beampermit.interlocks.model import Evaluators, Examined
from beampermit.interlocks.performance.base_rows import ON_BASE_ROWS, BaseRows, OnBaseRows
from beampermit.interlocks.performance.gates import NAMES, unevaluated
from beampermit.interlocks.performance.in_service import InService, comparable, find_in_service
from beampermit.interlocks.performance.incomparable import (
    ALONE,
    NOTHING_TO_COMPARE,
    REMOVED,
    Exemption,
    declaration_problem,
)
from beampermit.models import SavedModel
from beampermit.models.groups import TAIL, dependent_columns, draw_counts, interval, read_columns
from beampermit.models.metrics import format_number
from beampermit.models.packaged import PACKAGED_CONTRACT
from beampermit.project import Project
from beampermit.verdicts.evidence import Champion, Comparison, Interval

if TYPE_CHECKING:
    import numpy as np

    from beampermit.models.evaluation import Evaluator
    from beampermit.registry.event import Event
    from beampermit.registry.ledger import Ledger


@provides
def ledger(project: Project) -> Ledger:
    """The ledger on origin, as it is now."""
    from beampermit.registry.ledger import Ledger

    ledger = Ledger(project.git)
    ledger.fetch()
    return ledger


@provides
def champion(ledger: Ledger, base_contract: Contract) -> Event | None:
    """The ledger's event of the version in service; None where nothing is promoted."""
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
        ledger: Ledger,
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
        compared on the earlier rows too. The champion is asked for its own inputs in the environment of its own lock;
        an input that it needs stays in the test rows until a version without it is in service."""
        if problem := declaration_problem(project, contract, champion, ledger):
            return failed(problem, FILE_NAME, fix=ALONE)
        if champion is None:
            return passed("nothing has been promoted yet", Comparison(champion=None, challenger=judged))
        if digest_folder(model.folder) == champion.digest:
            same = Champion(version=champion.version, digest=champion.digest, metrics=judged)
            return passed(
                f"this model is the champion, version {champion.version}",
                Comparison(champion=same, challenger=judged),
            )
        exemption = Exemption.of(project, contract, base_contract, champion, ledger)
        try:
            in_service = find_in_service(project, champion, ledger, environment)
        except Failed as error:
            raise Failed(f"the champion, version {champion.version}, cannot be asked: {error}") from None
        names, lacking = comparable(base_contract, in_service.contract)
        names = exemption.without_code(base_contract, in_service.contract, names)
        note = exemption.note(names, lacking)
        if not names or (exemption.needed(names) and exemption.removed):
            return _not_compared(exemption, names, note, judged)
        metrics_compared = [metric for metric in base_contract.metrics if metric.name in names]
        comparing = _Comparing(project, contract, base_contract, in_service, evaluators, tuple(metrics_compared))
        metrics, differences, earlier = comparing.side_by_side(judged, examined, base_rows.table)
        pairs = [
            Pair(metric, judged.get(metric.name), metrics.get(metric.name), differences.get(metric.name))
            for metric in metrics_compared
        ]
        evidence = Comparison(
            champion=Champion(version=champion.version, digest=champion.digest, metrics=metrics),
            challenger=judged,
            confidence=1 - 2 * TAIL,
            better_by=differences,
            incomparable=exemption.evidence(names),
        )
        problems = [
            problem
            for pair in pairs
            if (problem := pair.worse(champion.version, with_interval=pair.metric.name in differences))
        ]
        note += _without_intervals(metrics_compared, evaluators.resampling)
        if on_base_rows:
            on_earlier = [
                Pair(metric, on_base_rows.metrics.get(metric.name), earlier.get(metric.name), None)
                for metric in metrics_compared
            ]
            if base_rows.binding:
                worse = (pair.worse(champion.version, with_interval=False) for pair in on_earlier)
                problems += [f"{ON_BASE_ROWS}{problem}" for problem in worse if problem]
            note += f"; {on_base_rows.problem or ON_BASE_ROWS + ', '.join(pair.text for pair in on_earlier)}"
        if problems:
            reason = "; ".join(problems) + (note if on_base_rows else "")
            by_project = (metric for metric in metrics_compared if metric.measure is None)
            fix = NAMES if unevaluated(by_project, judged) else ""
            return failed(reason, contract.evaluation.metrics, fix=fix, evidence=evidence)
        shown = ", ".join(pair.text for pair in pairs)
        return passed(f"not worse than version {champion.version}: {shown}{note}", evidence)


def _not_compared(exemption: Exemption, names: tuple[str, ...], note: str, judged: dict[str, float]) -> Finding:
    """Where the metrics `names`, or none, could be compared, and that is not enough or nobody's fault."""
    if exemption.needed(names) and exemption.removed:
        return failed(REMOVED, FILE_NAME, fix=f"Leave `incomparable` in `{FILE_NAME}`: it expires by itself.")
    if exemption.reason:
        evidence = Comparison(champion=None, challenger=judged, incomparable=exemption.evidence(names))
        return passed(f"not compared with version {exemption.version}{note}", evidence)
    reason = f"no metric can be compared with the champion, version {exemption.version}{note}"
    return failed(reason, FILE_NAME, fix=NOTHING_TO_COMPARE)


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
    in_service: InService
    evaluators: Evaluators
    metrics: tuple[Metric, ...]
    """Those that can be compared."""

    def side_by_side(
        self, judged: dict[str, float], examined: Examined, earlier: Path | None
    ) -> tuple[dict[str, float], dict[str, Interval | None], dict[str, float]]:
        """The champion's metrics on the challenger's rows, how much better the challenger is in each gated metric, and
        the champion's metrics on the `earlier` rows.

        Without the intervals of metrics that nothing computes for weighted rows.
        """
        names = {metric.name for metric in self.metrics}
        judging, resampling = self.evaluators.judging, self.evaluators.resampling
        try:
            with tempfile.TemporaryDirectory(prefix="beampermit-champion-") as scratch, self._trees() as trees:
                scores = Path(scratch, "scores.parquet")
                self.in_service.score(self.project, judging.inputs, self.contract, scores)
                of_champion = self._of_champion(judging, trees)
                on_earlier = self._on_earlier(earlier, of_champion, Path(scratch))
                if not any(resampling.resamples(name) for name in names):
                    return of_champion.evaluate(scores), {}, on_earlier
                tables = (scores, examined.unchanged_scores())
                old, new = self._resampled((self._of_champion(resampling, trees), resampling), tables)
                metrics = {name: float(values[0]) for name, values in old.items() if math.isfinite(values[0])}
                if not all(resampling.resamples(name) for name in judged):
                    metrics = of_champion.evaluate(scores)
        except Failed as error:
            raise Failed(
                f"the champion, version {self.in_service.event.version}, cannot be evaluated on these data: {error}",
                hint=error.hint,
            ) from None
        if resampling.contract.evaluation.weighted:
            _must_agree(new, judged, self.base_contract)
        differences = {
            metric.name: interval(metric.direction * (new[metric.name] - old[metric.name]))
            for metric in self.metrics
            if metric.name in old and metric.name in new
        }
        return metrics, differences, on_earlier

    @contextmanager
    def _trees(self) -> Iterator[dict[Path, Path]]:
        """For the folder of each evaluation, one whose contract has the champion's signals, such as its alarm limits.

        Empty where those are the challenger's, or no code of the project computes a metric.
        """
        from beampermit.models.evaluation import export_tree, link_outputs, take_signals
        from beampermit.reproduction.tree import commit_of_work_tree

        own, base = self.evaluators.own, self.evaluators.base
        same = self.in_service.contract.signals == self.contract.signals
        if same or all(metric.measure for metric in self.metrics):
            yield {}
            return
        with tempfile.TemporaryDirectory(prefix="beampermit-champion-") as scratch, self.project.apart() as apart:
            commits = {own.root: commit_of_work_tree(apart.git)}
            commits |= {base.root: str(self.project.base)} if base and base.root != own.root else {}
            trees: dict[Path, Path] = {}
            for number, (root, commit) in enumerate(commits.items()):
                folder = Path(scratch).resolve() / str(number)
                folder.mkdir()
                trees[root] = export_tree(apart.git, commit, folder)
                take_signals(trees[root], self.in_service.folder / PACKAGED_CONTRACT)
                link_outputs(trees[root], self.project.root)
            yield trees

    def _of_champion(self, evaluator: Evaluator, trees: dict[Path, Path]) -> Evaluator:
        """The same evaluation, of the outputs and with the alarm limits of the champion."""
        names = {metric.name for metric in self.metrics}
        measured = measured_metrics(self.base_contract, self.in_service.contract.signals)
        contract = evaluator.contract
        if all(metric.measure for metric in self.metrics):  # no code of the project has to read its answers
            without = contract.evaluation.model_copy(update={"command": (), "weighted": ()})
            contract = contract.model_copy(update={"evaluation": without})
        return replace(
            evaluator,
            root=trees.get(evaluator.root, evaluator.root),
            contract=contract,
            measured=tuple(metric for metric in measured if metric.name in names),
        )

    def _on_earlier(self, table: Path | None, evaluator: Evaluator, scratch: Path) -> dict[str, float]:
        """Empty where the champion cannot be evaluated on them: whether that matters, `BaseRows.binding` says."""
        if table is None:
            return {}
        try:
            scores = scratch / "earlier.parquet"
            self.in_service.score(self.project, table, self.project.base_contract, scores)
            return evaluator.evaluate(scores, table)
        except (BadInput, Failed):
            return {}

    def _resampled(self, evaluators: Sequence[Evaluator], tables: Sequence[Path]) -> list[dict[str, np.ndarray]]:
        """The metrics of each table of scores on the same resamples of the rows, so that the comparison is paired."""
        inputs = evaluators[0].inputs
        columns = dependent_columns(inputs, self.base_contract)
        drawn = draw_counts(read_columns(inputs, columns))
        with ThreadPoolExecutor(len(tables)) as pool:
            return list(pool.map(lambda one, table: one.evaluate_weighted(table, drawn), evaluators, tables))


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
