"""Why a retrained model is, or is not, the committed one: the kind of difference, and the evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from beampermit.errors import counted, several
from beampermit.record import Record
from beampermit.reproduction.comparison import Comparison, is_stuck, plateau_start
from beampermit.reproduction.retraining import TrainingRecord
from beampermit.reproduction.weights import Likeness, most_different

SHOWN = 3


class Repeated(StrEnum):
    """What a second training gave, which could read the rows that judge the model."""

    SAME = "same"
    COMMITTED = "committed"
    """The committed model, which the first training, without those rows, did not give."""
    OTHER = "other"


class Kind(StrEnum):
    """Only the first two count as reproduced."""

    IDENTICAL = "identical"
    WITHIN = "slightly different, within tolerance"
    STUCK = "very different: training stuck in a local minimum"
    DATA = "different data"
    CODE = "different code or parameters"
    ENVIRONMENT = "different environment"
    UNREPEATABLE = "very different: training is not repeatable"
    UNEXPLAINED = "very different, although training is repeatable here"
    JUDGING = "training reads the rows that judge it"
    RESULTS = "different results"

    @property
    def sound(self) -> bool:
        return self in (Kind.IDENTICAL, Kind.WITHIN)


class Diagnosis(Record):
    """The kind, and one line for each piece of evidence."""

    kind: Kind
    because: tuple[str, ...]
    file: str = ""
    """Where it shows."""

    @property
    def text(self) -> str:
        return f"{self.kind}: {several(self.because, SHOWN)}"


def diagnose(
    comparison: Comparison,
    committed: TrainingRecord,
    retrained: TrainingRecord,
    repeat: Callable[[], Repeated],
    problems: Mapping[str, str],
) -> Diagnosis:
    """Explain the difference. `repeat` trains once more; it is called only where nothing cheaper explains it.

    `problems` are the other files that stages make, path -> how they differ from the committed ones.
    """
    if comparison.within and problems:
        because = tuple(f"{path}: {problem}" for path, problem in sorted(problems.items()))
        return Diagnosis(kind=Kind.RESULTS, because=because, file=min(problems))
    if comparison.identical:
        return Diagnosis(kind=Kind.IDENTICAL, because=(_identical(comparison),))
    if comparison.within:
        return Diagnosis(kind=Kind.WITHIN, because=_differences(comparison))
    return _explain(comparison, committed, retrained, repeat)


def _explain(
    comparison: Comparison, committed: TrainingRecord, retrained: TrainingRecord, repeat: Callable[[], Repeated]
) -> Diagnosis:
    if plateau := _plateau(committed, retrained):
        return Diagnosis(kind=Kind.STUCK, because=(plateau, *_differences(comparison)))
    if comparison.machine:
        machine = tuple(f"{name} was {was}, is {now}" for name, (was, now) in comparison.machine.items())
        return Diagnosis(kind=Kind.ENVIRONMENT, because=(*machine[:SHOWN], *_differences(comparison)))
    second = repeat()
    if second is Repeated.COMMITTED:
        reason = "training gives the committed model only where the rows are there that it is judged on"
        return Diagnosis(kind=Kind.JUDGING, because=(reason, *_differences(comparison)))
    if second is Repeated.SAME:
        reason = "two trainings here give the same weights, so the committed model was made in another way"
        return Diagnosis(kind=Kind.UNEXPLAINED, because=(reason, *_differences(comparison)))
    reason = "two trainings here give different weights: look for a seed that is not set"
    return Diagnosis(kind=Kind.UNREPEATABLE, because=(reason, *_differences(comparison)))


def _identical(comparison: Comparison) -> str:
    if comparison.tensors:
        return f"{counted(len(comparison.tensors), 'tensor')} and every gated metric"
    rows = comparison.predictions.rows if comparison.predictions else 0
    return f"the predictions on {rows} rows and every gated metric"


def _plateau(committed: TrainingRecord, retrained: TrainingRecord) -> str:
    if not committed.loss or not retrained.loss:
        return ""
    sides = {"retrained": (retrained.loss, committed.loss), "committed": (committed.loss, retrained.loss)}
    for name, (loss, other) in sides.items():
        if is_stuck(loss, min(other)):
            other_name = "committed" if name == "retrained" else "retrained"
            plateau = f"the {name} loss stays at {loss[-1]:.4g} since epoch {plateau_start(loss)}"
            return f"{plateau}, the {other_name} one reached {min(other):.4g}"
    return ""


def _differences(comparison: Comparison) -> tuple[str, ...]:
    metrics = [pair.text for pair in comparison.metrics if pair.committed != pair.retrained]
    lines = metrics or ["the gated metrics are the same"]
    if (worst := most_different(comparison.tensors)) is not None:
        different = sum(tensor.likeness is not Likeness.IDENTICAL for tensor in comparison.tensors)
        lines.append(f"{different} of {len(comparison.tensors)} tensors differ, most of all {worst.text}")
    predictions = comparison.predictions
    if predictions is not None and predictions.largest:
        limit = "" if predictions.within else f", {predictions.allowed} allowed"
        what = f"predictions of {predictions.output} on {predictions.rows} rows"
        lines.append(f"{what} differ by at most {predictions.largest:.3g}{limit}")
    if comparison.unscored:
        lines.append(f"predictions were not compared: {comparison.unscored}")
    if comparison.within and not comparison.weights_within:
        reason = f"another {', '.join(comparison.machine)}" if comparison.machine else "a machine without a record"
        lines.append(f"weights are not judged: {reason}")
    return tuple(lines)
