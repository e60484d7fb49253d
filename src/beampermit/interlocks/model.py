"""MDL: the saved model is what the commit says, made of nothing that runs when it is read, and keeps its signature."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.contract import Contract, Signal, load_contract
from beampermit.digest import digest_file
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed, several
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Finding, Interlock, MissingInput, bad_input_fails, failed, passed
from beampermit.models import SavedModel
from beampermit.models.metrics import format_number
from beampermit.models.mlmodel import FILE_NAME as MLMODEL
from beampermit.project import Project

PACKAGED_CONTRACT = "artifacts/contract.yaml"
SHOWN = 10
"""Places that a verdict names."""
TOLD = 3
"""Faults that its reason tells."""


@provides
def model(project: Project, contract: Contract) -> SavedModel:
    """The saved model of the work tree, read but not loaded."""
    folder = project.path(contract.model.path)
    if not folder.exists():
        raise MissingInput(
            f"there is no saved model at {contract.model.path}/",
            hint="run `beampermit data pull`, or `dvc repro` to make it",
        )
    if not folder.is_dir() or not folder.resolve().is_relative_to(project.root.resolve()):
        raise Failed("the saved model is no folder inside the project", file=contract.model.path)
    with bad_input_fails():
        return SavedModel.read(folder, contract.model.path)


@dataclass(frozen=True)
class Examined:
    """The saved model as a clean process saw it: what it is, how it scored the evaluation's inputs, and the scores."""

    loaded: Any
    scored: Any
    scores: Path


@provides
def examined(project: Project, contract: Contract, environment: Environment, model: SavedModel) -> Examined:
    """The saved model, loaded and given all inputs of the evaluation once, for every interlock that judges it."""
    from beampermit.models.scoring import describe_and_score

    inputs = project.path(contract.evaluation.inputs)
    if not inputs.is_file():
        raise MissingInput(f"there are no {contract.evaluation.inputs} to evaluate on", hint="beampermit data pull")
    folder = Path(tempfile.mkdtemp(prefix="beampermit-scores-"))
    scores = folder / "scores.parquet"
    try:
        columns = [signal.name for signal in contract.signals.inputs]
        found = Examined(*describe_and_score(environment, model.folder, inputs, scores, columns), scores)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
    return found


class MDL001(Interlock):
    "The saved model is complete, and its bytes are those in git's manifest"

    def check(self, project: Project, contract: Contract, model: SavedModel) -> Finding:
        """The files are not those that `manifest.json` binds. Run `dvc repro package` and commit `manifest.json` and
        `dvc.lock`; if only your copy is stale, run `beampermit data pull`."""
        from beampermit.models.manifest import Manifest, compare

        name = contract.model.manifest
        try:
            found = Manifest.read(project.path(name), name)
            scores = (contract.evaluation.scores,) if contract.evaluation.scores else ()
            data = (*contract.dataset.splits.values(), *scores)
            difference = compare(found, project.root, contract.model.path, data)
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
            return failed(f"{MLMODEL} names what is not there: {', '.join(lacks)}", f"{model.name}/{MLMODEL}")
        if foreign := _foreign_code(project, model):
            return failed(
                f"code that is no file of this commit: {several(foreign, TOLD)}", *foreign[:SHOWN], foreign=foreign
            )
        return passed(f"{len(found.files)} files with the digests that {name} binds", files=len(found.files))


class MDL002(Interlock):
    "The saved model is made only of safetensors, ONNX, JSON, YAML and Python source"

    def check(self, project: Project, model: SavedModel) -> Finding:
        """A file of the saved model may run code when it is read, or is not what its name says. Save weights as
        safetensors or ONNX and the model as models-from-code (see `package.py`), then run `dvc repro package`."""
        from beampermit.models.formats import find_problem

        paths = sorted(path for path in model.folder.rglob("*") if path.is_symlink() or not path.is_dir())
        found = {
            path.relative_to(project.root).as_posix(): words
            for path in paths
            if (words := "is compiled code" if path.suffix == ".pyc" else find_problem(path))
        }
        if unpickles := model.pickle_risk():
            found[f"{model.name}/{MLMODEL}"] = f"would run code that nobody reviewed: {unpickles}"
        if found:
            words = [f"{name} {why}" for name, why in found.items()]
            return failed(several(words, TOLD), *list(found)[:SHOWN], problems=found)
        return passed(f"{len(paths)} files, each of an allowed format by name and by content", files=len(paths))


class MDL003(Interlock):
    "The saved model loads in a clean process and honours the contract's signature"

    requires = frozenset({"ENV005", "MDL001", "MDL002"})
    slow = True

    def check(self, contract: Contract, model: SavedModel, examined: Examined) -> Finding:
        """What the saved model takes and gives is not what `contract.yaml` promises under `signals`. Make the two
        agree, then run `dvc repro package`."""
        page = f"{model.name}/{MLMODEL}"
        loaded, scored = examined.loaded, examined.scored
        problems = [
            *_packaged_contract(contract, model),
            *_inputs(contract.signals.inputs, loaded.inputs),
            *_names(contract.signals.outputs, [field.name for field in loaded.outputs]),
            *(f"it accepts {words} and must refuse it" for words in loaded.accepted),
            *_outputs(contract.signals.outputs, loaded.example, "its own example"),
            *_outputs(contract.signals.outputs, scored.columns, contract.evaluation.inputs),
        ]
        evidence = {
            "inputs": [field.model_dump() for field in loaded.inputs],
            "outputs": {name: span.model_dump() for name, span in scored.columns.items()},
        }
        if problems:
            return failed(several(problems, TOLD), page, problems=problems, **evidence)
        low, high = next((span.low, span.high) for span in scored.columns.values())
        return passed(
            f"{scored.rows} rows of {contract.evaluation.inputs} gave {contract.signals.outputs[0].name} "
            f"from {format_number(low)} to {format_number(high)}; wrong inputs are refused",
            **evidence,
        )


class MDL004(Interlock):
    "A prediction keeps the contract's budget of time and memory"

    requires = frozenset({"ENV005", "MDL001", "MDL002"})
    slow = True

    def check(self, base_contract: Contract, model: SavedModel, examined: Examined) -> Finding:
        """The model takes longer for one row, or more memory, than `budget` in `contract.yaml` on the base branch
        allows. Make it smaller and run `dvc repro`; a larger budget is a change of the contract for its owners to
        approve."""
        budget, scored = base_contract.budget, examined.scored
        allowed = budget.latency * 1000
        evidence = {
            "milliseconds": {"p50": scored.p50, "p99": scored.p99, "worst": scored.worst, "allowed": allowed},
            "memory": {"peak": scored.memory, "allowed": budget.memory},
        }
        if problems := scored.over_budget(budget):
            return failed("; ".join(problems), model.name, **evidence)
        return passed(f"{scored.cost}; {allowed:g} ms and {budget.memory:g} MiB allowed", **evidence)


class MDL005(Interlock):
    "Served, a row gets the score that training gave it: in a batch, alone, and after any other row"

    requires = frozenset({"ENV005", "MDL001", "MDL002"})
    slow = True

    def check(self, project: Project, contract: Contract, base_contract: Contract, examined: Examined) -> Finding:
        """The saved model does not do live what it did in training. Let both use one transform object, fitted in
        training and saved with the model, that looks at one row at a time and keeps nothing; then run `dvc repro`.
        What training gave is `evaluation.scores` of `contract.yaml`: a Parquet file that the pipeline's evaluation
        writes, of the same columns as `{scores}`, and that the manifest lists."""
        from beampermit.models.replay import compare_scores

        recorded = contract.evaluation.scores
        if recorded is None:
            return failed("evaluation.scores names no scores of training to compare with", CONTRACT)
        if not project.path(recorded).is_file():
            raise MissingInput(f"there are no {recorded} to compare with", hint="beampermit data pull")
        found = compare_scores(examined.scores, project.path(recorded), base_contract.evaluation.score_tolerance)
        evidence = found.model_dump(mode="json")
        if found.problem:
            return failed(f"{found.problem}, more than {found.tolerance:g} apart", recorded, **evidence)
        return passed(
            f"{found.rows} rows as in training, {found.single_rows} of them also alone: {found.largest:.2g} apart at most, "
            f"{found.tolerance:g} allowed",
            **evidence,
        )


def _foreign_code(project: Project, model: SavedModel) -> list[str]:
    """Python source in the saved model that no reviewer has seen: its bytes are those of no file in git."""
    files = (project.path(path) for path in project.git.tracked() if path.endswith(".py"))
    reviewed = {digest_file(file) for file in files if file.is_file()}
    packaged = sorted(path for path in model.folder.rglob("*.py") if path.is_file())
    return [path.relative_to(project.root).as_posix() for path in packaged if digest_file(path) not in reviewed]


def _packaged_contract(contract: Contract, model: SavedModel) -> Iterable[str]:
    """Whether the contract that travels with the model promises the same signals."""
    try:
        packaged = load_contract(model.folder / PACKAGED_CONTRACT)
    except BadInput as error:
        yield f"it does not carry the contract: {PACKAGED_CONTRACT}: {error.message}"
        return
    for side in ("inputs", "outputs"):
        here = {signal.name: signal for signal in getattr(contract.signals, side)}
        there = {signal.name: signal for signal in getattr(packaged.signals, side)}
        for name in sorted(here.keys() | there.keys()):
            if here.get(name) != there.get(name):
                yield f"the contract packaged with it differs from contract.yaml in signal {name!r}"


def _inputs(signals: tuple[Signal, ...], fields: tuple[Any, ...]) -> Iterable[str]:
    yield from _names(signals, [field.name for field in fields], "input")
    by_name = {field.name: field for field in fields}
    for signal in signals:
        field = by_name.get(signal.name) or (fields[0] if len(fields) == 1 else None)
        if field is None:
            continue
        if not field.is_number:
            yield f"input {signal.name!r} is of type {field.type}, no number"
        if field.shape is not None and field.shape[1:] != signal.shape:
            here, there = list(field.shape[1:]), list(signal.shape)
            yield f"input {signal.name!r} has shape {here} for a row, {there} in the contract"


def _names(signals: tuple[Signal, ...], named: list[str | None], what: str = "output") -> Iterable[str]:
    """Whether the names are the contract's; a single one may be nameless."""
    expected, found = {signal.name for signal in signals}, set(named)
    if len(expected) == 1 and found == {None}:
        return
    for name in sorted(expected - found):
        yield f"{what} {name!r} of the contract is not in its signature, which has {', '.join(map(str, named))}"
    for name in sorted(str(name) for name in found - expected):
        yield f"{what} {name!r} of its signature is not in the contract"


def _outputs(signals: tuple[Signal, ...], spans: dict[str, Any], of: str) -> Iterable[str]:
    """Whether outputs are finite and within the contract's range; a single one is the contract's, however named."""
    for signal in signals:
        span = next(iter(spans.values())) if len(signals) == len(spans) == 1 else spans.get(signal.name)
        if span is None:
            yield f"on {of} it gave no {signal.name!r}"
        elif not span.rows or not span.finite:
            yield f"on {of} it gave {signal.name!r} that is not finite" if span.rows else f"on {of} it gave no row"
        elif span.low < signal.range[0] or span.high > signal.range[1]:
            yield (
                f"on {of} it gave {signal.name!r} from {span.low:.8g} to {span.high:.8g}, "
                f"outside [{signal.range[0]:g}, {signal.range[1]:g}]"
            )
