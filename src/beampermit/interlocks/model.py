"""MDL: the saved model is the commit's, runs no code when it is read, and does what the contract says."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.contract import Contract, load_contract
from beampermit.contract.measured import MeasuredMetric, measured_metrics
from beampermit.datasets.dvc_lock import pipeline_locks
from beampermit.digest import digest_file, is_compiled
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed, Problem, counted, several
from beampermit.interlocks.data.work_tree import missing
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import (
    PROJECT_CODE,
    Finding,
    Interlock,
    bad_input_fails,
    each,
    failed,
    located,
    passed,
)
from beampermit.models import SavedModel
from beampermit.models.metrics import format_number
from beampermit.models.mlmodel import FILE_NAME as MLMODEL
from beampermit.models.packaged import PACKAGED_CONTRACT
from beampermit.project import Project
from beampermit.verdicts.verdict import Location

if TYPE_CHECKING:
    from beampermit.models.evaluation import Evaluator

IN_REASON = 3
"""Problems in a reason."""


@provides
def model(project: Project, contract: Contract) -> SavedModel:
    """The saved model in the work tree, read but not loaded."""
    folder = project.path(contract.model.path)
    if not folder.exists():
        raise missing(project, contract.model.path, f"there is no saved model in {contract.model.path}/")
    if not folder.is_dir() or not folder.resolve().is_relative_to(project.root.resolve()):
        raise Failed("the saved model must be a folder inside the project", file=contract.model.path)
    from beampermit.datasets.workspace import plain_folder

    with ExitStack() as stack:
        plain = stack.enter_context(plain_folder(folder, project.root))
        with bad_input_fails():
            model = SavedModel.read(plain, contract.model.path)
        weakref.finalize(model, stack.pop_all().close)
    return model


@dataclass(frozen=True)
class Examined:
    """The saved model as a clean process sees it: its description, its behaviour on all inputs, and its scores."""

    loaded: Any
    scored: Any
    scores: Path
    digest: str = ""
    inputs: Path | None = None
    """The table that was scored."""

    def unchanged_scores(self) -> Path:
        """The table of scores. Raises `Failed` where code that ran after the model has written to it."""
        if self.digest and digest_file(self.scores) != self.digest:
            raise Failed("the scores of the saved model were changed by code that ran afterwards")
        return self.scores


@dataclass(frozen=True)
class Evaluators:
    """What computes metrics: the project's own evaluation, and the base branch's where that may be another one.

    `measured` are the metrics that the checker computes by the base branch's contract, whose gates judge.
    """

    own: Evaluator
    base: Evaluator | None = None
    measured: tuple[MeasuredMetric, ...] = ()

    @property
    def judging(self) -> Evaluator:
        """The one whose metrics the base branch's gates judge."""
        return self.base or replace(self.own, measured=self.measured)

    @property
    def resampling(self) -> Evaluator:
        """The one whose `evaluation.weighted` is used."""
        if self.base and self.base.contract.evaluation.weighted:
            return self.base
        return replace(self.own, measured=self.measured)


@provides
def judged_rows(project: Project, contract: Contract, base_contract: Contract) -> Path:
    """The table that the model is evaluated on: the base branch's `evaluation.inputs`, as it is in the work tree."""
    own = contract.evaluation.inputs
    rows = project.path(base_contract.evaluation.inputs)
    if not rows.is_file():
        rows = project.path(own)  # it was renamed, and PRF001 looks whether the rows are the same
    if not rows.is_file():
        raise missing(project, own)
    return rows


@provides
def examined(contract: Contract, environment: Environment, model: SavedModel, judged_rows: Path) -> Examined:
    """The saved model, loaded in a clean process and run once on all inputs of the evaluation."""
    from beampermit.models.scoring import describe_and_score

    folder = Path(tempfile.mkdtemp(prefix="beampermit-scores-"))
    scores = folder / "scores.parquet"
    try:
        answers = describe_and_score(environment, model.folder, judged_rows, scores, contract.signals)
        examined = Examined(*answers, scores, digest_file(scores), judged_rows)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(examined, shutil.rmtree, folder, ignore_errors=True)
    return examined


@provides
def evaluators(
    project: Project, contract: Contract, base_contract: Contract, environment: Environment, judged_rows: Path
) -> Evaluators:
    """What computes metrics of scores: the work tree's commands and code, and the base branch's where they differ."""
    from beampermit.models.evaluation import Evaluator, export_tree, link_outputs, take_signals

    own = Evaluator.of(environment, project.root, contract, judged_rows)
    measured = measured_metrics(base_contract, contract.signals)
    if project.base is None or base_contract != project.base_contract:
        return Evaluators(own, measured=measured)  # of other targets, the base's code knows nothing
    if not _may_evaluate_otherwise(project, base_contract):
        return Evaluators(own, measured=measured)
    origin, evaluation = "by the base branch's evaluation", base_contract.evaluation
    if not (evaluation.command or evaluation.weighted):  # no code of it computes anything
        base = Evaluator(environment, project.root, base_contract, judged_rows, origin, measured)
        return Evaluators(own, base, measured)
    folder = Path(tempfile.mkdtemp(prefix="beampermit-base-")).resolve()
    try:
        tree = export_tree(project.git, project.base, folder)
        take_signals(tree, project.path(CONTRACT))
        link_outputs(tree, project.root)
        base = Evaluator(environment, tree, base_contract, judged_rows, origin, measured)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(base, shutil.rmtree, folder, ignore_errors=True)
    return Evaluators(own, base, measured)


def _may_evaluate_otherwise(project: Project, base_contract: Contract) -> bool:
    """Whether the base branch has evaluated a model, with files that differ from the work tree's."""
    git, base = project.git, str(project.base)
    if project.contract_on_base is None or git.read(base, base_contract.model.manifest) is None:
        return False
    if project.merged and git.head() != base and not git("status", "--porcelain"):
        return False  # it was judged in its pull request; the branch moved on
    evaluation, rules = base_contract.evaluation, base_contract.reproducibility
    results = {base_contract.model.manifest, base_contract.dataset.lineage, base_contract.monitoring.limits}
    results |= {evaluation.metrics, evaluation.plots, rules.record}
    results = {path for path in results if path.endswith(".json")}  # never code
    results |= {*pipeline_locks(git.files_at(base))}
    return any(path not in results for path in git.differing(base))


class MDL001(Interlock):
    "The saved model is complete and matches the manifest in git"

    decided_by = ("commit", "named")

    def check(self, project: Project, contract: Contract, model: SavedModel) -> Finding:
        """If the copy on this machine is old, run `beampermit data pull`. Otherwise run `dvc repro package` and commit
        `manifest.json` and `dvc.lock`. If the model requires other packages than the lock has, because they moved, run
        `dvc repro --force package` in the locked environment."""
        from beampermit.models.manifest import Manifest, compare

        name = contract.model.manifest
        try:
            manifest = Manifest.read(project.path(name), name)
            scores = (contract.evaluation.scores,) if contract.evaluation.scores else ()
            data = (*contract.dataset.splits.values(), *scores)
            difference = compare(manifest, project.root, model, data)
        except BadInput as error:
            return failed(str(error), name)
        if difference:
            return failed(
                str(difference),
                name,
                changed=list(difference.changed),
                missing=list(difference.missing),
                extra=list(difference.extra),
            )
        if lacks := model.missing_parts():
            return failed(f"{MLMODEL} names files that are missing: {', '.join(lacks)}", f"{model.name}/{MLMODEL}")
        if foreign := _foreign_code(project, model):
            reason = f"source code that is not in this commit: {several(foreign, IN_REASON)}"
            return failed(reason, *foreign, foreign=foreign)
        if unlocked := _unlocked(project, model):
            reasons = [f"{problem.file}:{problem.line or 1}: {problem.message}" for problem in unlocked]
            places = located(replace(problem, file=f"{model.name}/{problem.file}") for problem in unlocked)
            return failed(several(reasons, IN_REASON), *places, unlocked=reasons)
        return passed(f"{name} matches {counted(len(manifest.files), 'file')}", files=len(manifest.files))


class MDL002(Interlock):
    "The saved model has only safe formats and Python source"

    decided_by = ("commit", "named")

    def check(self, model: SavedModel) -> Finding:
        """A file of the saved model can run code when it is read, or is not what its name says. Allowed are, by
        content: safetensors; ONNX without operators of your own; JSON and UBJ of XGBoost; text of LightGBM; numpy
        arrays without objects; JSON, YAML and Python source. Never `pickle`, `joblib`, `torch.save` or `pt2`; instead:

        - torch: `safetensors.torch.save_file(model.state_dict(), file)`, or `torch.onnx.export`
        - XGBoost: `model.save_model("model.ubj")`
        - LightGBM: `booster.save_model("model.txt")`
        - scikit-learn: `skl2onnx.to_onnx(model, rows)`; of a transform, its arrays with `numpy.savez`
        - Keras, TensorFlow: `model.export("model.onnx", format="onnx")`

        Load it in an MLflow model from code (see `package.py`), then run `dvc repro package`."""
        from beampermit.models.formats import find_problems

        paths = sorted(path for path in model.folder.rglob("*") if path.is_symlink() or not path.is_dir())
        compiled = {path for path in paths if is_compiled(path.relative_to(model.folder))}
        found = find_problems([path for path in paths if path not in compiled])
        found |= dict.fromkeys(compiled, "is compiled code; delete it")
        problem_of = {
            f"{model.name}/{path.relative_to(model.folder).as_posix()}": found[path] for path in paths if path in found
        }
        if unpickles := model.pickle_risk():
            problem_of[f"{model.name}/{MLMODEL}"] = f"would run unreviewed code: {unpickles}"
        if problem_of:
            problems = [f"{name} {problem}" for name, problem in problem_of.items()]
            places = [Location(file=name, reason=problem) for name, problem in problem_of.items()]
            return failed(several(problems, IN_REASON), *places, problems=problem_of)
        return passed(f"{counted(len(paths), 'file')}, each of an allowed format by name and content", files=len(paths))


class MDL003(Interlock):
    "Loaded in a clean process, the model matches the contract"

    requires = frozenset({"ENV005", "MDL001", "MDL002"})
    decided_by = PROJECT_CODE

    def check(self, contract: Contract, base_contract: Contract, model: SavedModel, examined: Examined) -> Finding:
        """Inputs or outputs of the saved model differ from `signals` in `contract.yaml`. Change one of the two, then
        run `dvc repro package`. A wider `range` of an output comes first, in a separate pull request: the base branch's
        contract decides."""
        from beampermit.models.signature import answer_problems, signature_problems

        page = f"{model.name}/{MLMODEL}"
        ranges = {output.name: output.range for output in base_contract.signals.outputs}
        outputs = [
            output.model_copy(update={"range": ranges.get(output.name, output.range)})
            for output in contract.signals.outputs
        ]
        loaded, scored = examined.loaded, examined.scored
        problems = [
            *_packaged_contract(contract, model),
            *signature_problems(contract.signals, loaded),
            *answer_problems(outputs, loaded.example, "its own example"),
            *answer_problems(outputs, scored.columns, contract.evaluation.inputs),
        ]
        evidence = {
            "inputs": [field.model_dump() for field in loaded.inputs],
            "outputs": {name: span.model_dump() for name, span in scored.columns.items()},
        }
        if problems:
            return failed(several(problems, IN_REASON), *each(problems, page), problems=problems, **evidence)
        answers = scored.columns[contract.signals.outputs[0].name]
        return passed(
            f"{counted(scored.rows, 'row')} of {contract.evaluation.inputs} gave {contract.signals.outputs[0].name} "
            f"from {format_number(answers.low)} to {format_number(answers.high)}; wrong inputs are refused",
            **evidence,
        )


class MDL004(Interlock):
    "A prediction stays within the latency and memory budget"

    requires = frozenset({"ENV005", "MDL001", "MDL002"})
    decided_by = PROJECT_CODE

    def check(self, base_contract: Contract, model: SavedModel, examined: Examined) -> Finding:
        """One row takes longer, or more memory, than `budget` in the base branch's `contract.yaml` allows. Make the
        model smaller and run `dvc repro`, or raise the budget in a separate pull request."""
        budget, scored = base_contract.budget, examined.scored
        allowed = budget.latency * 1000
        evidence: dict[str, Any] = {
            "milliseconds": {"p50": scored.p50, "p99": scored.p99, "worst": scored.worst, "allowed": allowed},
            "memory": {"peak": scored.memory, "allowed": budget.memory},
        }
        if problems := scored.over_budget(budget):
            return failed("; ".join(problems), model.name, **evidence)
        return passed(f"{scored.cost}; {allowed:g} ms and {budget.memory:g} MiB allowed", **evidence)


class MDL005(Interlock):
    "A row is scored as in training, in a batch or alone"

    requires = frozenset({"ENV005", "MDL001", "MDL002"})
    decided_by = PROJECT_CODE

    def check(self, project: Project, contract: Contract, base_contract: Contract, examined: Examined) -> Finding:
        """The saved model scores a row differently from training, or depending on the rows before it. Use one transform
        object for both: fitted in training, saved with the model, without state between rows. Then run `dvc repro`.
        `evaluation.scores` in `contract.yaml` names the scores of training, a Parquet file that evaluation writes with
        the columns of `{scores}`, and that the manifest lists. A row that `beampermit serve` would ask the model for
        has an answer that it would show: of the output's shape, finite, and within its `range`."""
        from beampermit.models.replay import compare_scores

        recorded = contract.evaluation.scores
        if recorded is None:
            return failed("evaluation.scores is not set, so there are no scores of training to compare with", CONTRACT)
        if not project.path(recorded).is_file():
            raise missing(project, recorded)
        outputs = base_contract.signals.outputs
        comparison = compare_scores(examined.unchanged_scores(), project.path(recorded), outputs)
        evidence = comparison.model_dump(mode="json")
        if comparison.problem:
            return failed(comparison.problem, recorded, **evidence)
        problem, refusals = _in_service(contract, examined)
        if problem:
            return failed(problem, contract.evaluation.inputs, **evidence)
        worst = comparison.worst
        return passed(
            f"{counted(comparison.rows, 'row')} as in training, {comparison.single_rows} also alone: "
            f"at most {worst.size:.2g} apart in {worst.output}, {worst.allowed} allowed{refusals}",
            **evidence,
        )


def _in_service(contract: Contract, examined: Examined) -> tuple[str, str]:
    """The first row whose answer the service would not show, and for how many rows it would not ask the model."""
    from beampermit.live.recorded import RecordedRows
    from beampermit.models.score_table import read_scores

    if examined.inputs is None:
        return "", ""
    rows, scores = RecordedRows(contract, examined.inputs), read_scores(examined.scores)
    judged = rows.judge()
    problem = rows.not_shown(judged, scores) or rows.differently_served(judged, scores)
    refusals = f"; a service would not ask for {judged.refused} of them, such as {judged.refusal}"
    return problem, refusals if judged.refused else ""


def _foreign_code(project: Project, model: SavedModel) -> list[str]:
    """Python source in the saved model whose bytes are not those of any file in git, so that nobody reviewed it."""
    git = project.git.top
    files = (git.root / path for path in git.tracked() if path.endswith(".py"))
    reviewed = {digest_file(file) for file in files if file.is_file()}
    packaged = sorted(path for path in model.folder.rglob("*.py") if path.is_file())
    foreign = (path.relative_to(model.folder) for path in packaged if digest_file(path) not in reviewed)
    return [f"{model.name}/{path.as_posix()}" for path in foreign]


def _unlocked(project: Project, model: SavedModel) -> list[Problem]:
    """What the model's own requirements name that the lock does not have; ENV001 judges whether there is a lock."""
    from beampermit.environments.choice import backend_of
    from beampermit.models.mlmodel import unlocked

    try:
        lock = backend_of(project.root).read(project.root)
    except BadInput:
        return []
    return list(unlocked(model, lock))


def _packaged_contract(contract: Contract, model: SavedModel) -> Iterable[str]:
    """Differences between the signals of the contract that is packaged with the model and those of the project."""
    try:
        packaged = load_contract(model.folder / PACKAGED_CONTRACT)
    except BadInput as error:
        yield f"the contract packaged with it cannot be read: {PACKAGED_CONTRACT}: {error.message}"
        return
    for side in ("inputs", "outputs"):
        own = {signal.name: signal for signal in getattr(contract.signals, side)}
        in_model = {signal.name: signal for signal in getattr(packaged.signals, side)}
        for name in sorted(own.keys() | in_model.keys()):
            if own.get(name) != in_model.get(name):
                yield f"the contract packaged with it differs from contract.yaml in signal {name!r}"
