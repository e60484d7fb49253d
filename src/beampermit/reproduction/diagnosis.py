"""Why a model made again is, or is not, the one that is committed: one word, and the evidence that tells."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from beampermit.errors import several
from beampermit.record import Record
from beampermit.reproduction.comparison import Compared, since, stuck
from beampermit.reproduction.record import TrainingRecord
from beampermit.reproduction.weights import Likeness, worst

SHOWN = 3


class Kind(StrEnum):
    """What came of it. Only the first two are as they should be."""

    IDENTICAL = "identical"
    WITHIN = "a little different, within tolerance"
    STUCK = "very different: training stuck in a local minimum"
    DATA = "different data"
    CODE = "different code or parameters"
    ENVIRONMENT = "different environment"
    UNREPEATABLE = "very different: training does not repeat itself"
    UNEXPLAINED = "very different, and training here repeats itself"

    @property
    def sound(self) -> bool:
        """Whether the model counts as reproduced."""
        return self in (Kind.IDENTICAL, Kind.WITHIN)


class Diagnosis(Record):
    """The kind, and one line for each piece of evidence."""

    kind: Kind
    because: tuple[str, ...]

    @property
    def words(self) -> str:
        """One line."""
        return f"{self.kind}: {several(self.because, SHOWN)}"


def diagnose(
    found: Compared, committed: TrainingRecord, retrained: TrainingRecord, repeats: Callable[[], bool]
) -> Diagnosis:
    """Name the difference. `repeats` trains once more: whether it then gives the same weights as the retraining did.

    It is asked only where nothing cheaper explains a difference.
    """
    if found.identical:
        return Diagnosis(kind=Kind.IDENTICAL, because=(f"{len(found.tensors)} tensors and every gated metric",))
    if found.within:
        return Diagnosis(kind=Kind.WITHIN, because=_differences(found))
    if plateau := _plateau(committed, retrained):
        return Diagnosis(kind=Kind.STUCK, because=(plateau, *_differences(found)))
    if found.machine:
        machine = tuple(f"{name} was {was}, is {now}" for name, (was, now) in found.machine.items())
        return Diagnosis(kind=Kind.ENVIRONMENT, because=(*machine[:SHOWN], *_differences(found)))
    if repeats():
        words = "the same weights twice here, so what is committed was made otherwise"
        return Diagnosis(kind=Kind.UNEXPLAINED, because=(words, *_differences(found)))
    words = "trained twice here, with different weights each time: look for a seed that is not set"
    return Diagnosis(kind=Kind.UNREPEATABLE, because=(words, *_differences(found)))


def _plateau(committed: TrainingRecord, retrained: TrainingRecord) -> str:
    if not committed.loss or not retrained.loss:
        return ""
    sides = {"retrained": (retrained.loss, committed.loss), "committed": (committed.loss, retrained.loss)}
    for name, (loss, other) in sides.items():
        if stuck(loss, min(other)):
            there = "committed" if name == "retrained" else "retrained"
            stands = f"the {name} loss stands at {loss[-1]:.4g} since epoch {since(loss)}"
            return f"{stands}, the {there} one came to {min(other):.4g}"
    return ""


def _differences(found: Compared) -> tuple[str, ...]:
    """What differs, most telling first."""
    metrics = [pair.words for pair in found.metrics if pair.committed != pair.retrained]
    lines = metrics or ["the gated metrics are the same"]
    if (tensor := worst(found.tensors)) is not None:
        different = sum(one.likeness is not Likeness.IDENTICAL for one in found.tensors)
        lines.append(f"{different} of {len(found.tensors)} tensors differ, most {tensor.words}")
    if found.predictions is not None and found.predictions.largest:
        lines.append(f"predictions on {found.predictions.rows} rows differ by {found.predictions.largest:.3g} at most")
    if found.unscored:
        lines.append(f"predictions were not compared: {found.unscored}")
    if found.within and not found.weights_within:
        other = ", ".join(found.machine or {}) or "a machine that left no record"
        lines.append(f"weights are shown and not judged: {other}")
    return tuple(lines)
