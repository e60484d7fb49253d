"""The result of a reproduction as text, for a terminal and for the summary of a workflow run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beampermit.documents.markdown import block
from beampermit.errors import BeampermitError, counted
from beampermit.reproduction.comparison import Comparison
from beampermit.reproduction.reproduce import Reproduction
from beampermit.reproduction.weights import Likeness, Tensor

MOST = 8


def text(done: Reproduction) -> str:
    """Several lines: the verdict, metric by metric, tensor by tensor, machine, seeds."""
    return "\n".join(_lines(done))


def headline(done: Reproduction) -> str:
    """For the summary of a run."""
    return "✅ The same model" if done.sound else "❌ Not the same model"


def summarise(headline: str, text: str) -> None:
    """Append to the summary of a GitHub job; outside of one do nothing."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if file:
        with Path(file).open("a", encoding="utf-8") as stream:
            stream.write(f"### {headline}\n\n{block(text)}\n\n")


@contextmanager
def summarised() -> Iterator[None]:
    """Write errors of the block into the summary: missing data or packages, a training that fails."""
    try:
        yield
    except BeampermitError as error:
        summarise("❌ Reproduction failed", f"{error}\nnext: {error.hint}" if error.hint else str(error))
        raise


def _lines(done: Reproduction) -> Iterator[str]:
    yield f"{done.commit[:12]} trained again with seed {done.seed}: {done.diagnosis.kind}"
    yield from (f"  {line}" for line in done.diagnosis.because)
    if done.compared:
        yield from _compared(done.compared)
    if done.remade:
        yield f"  {counted(len(done.remade), 'file')} made again and compared"
    yield from (f"  {note}" for note in done.notes)
    if done.spread:
        yield f"seeds {', '.join(map(str, next(iter(done.spread.metrics)).values))}:"
        for metric in done.spread.metrics:
            yield f"  {'✓' if metric.within else '✗'} {metric.text}, {metric.allowed} allowed"
        yield from (f"  {line}" for line in done.spread.because)
    if done.resumed:
        yield f"seeds {', '.join(map(str, done.resumed))} were trained by an interrupted run"


def _compared(comparison: Comparison) -> Iterator[str]:
    yield from (f"  {'✓' if pair.within else '✗'} {pair.text}" for pair in comparison.metrics)
    for likeness in Likeness:
        tensors = [tensor for tensor in comparison.tensors if tensor.likeness is likeness]
        if tensors:
            yield f"  {len(tensors)} of {len(comparison.tensors)} tensors {likeness}{_named(tensors, likeness)}"
    for name, (was, now) in list((comparison.machine or {}).items())[:MOST]:
        yield f"  {name} was {was}, is {now}"


def _named(tensors: list[Tensor], likeness: Likeness) -> str:
    if likeness is Likeness.IDENTICAL:
        return ""
    more = f" and {len(tensors) - MOST} more" if len(tensors) > MOST else ""
    return f": {', '.join(tensor.text for tensor in tensors[:MOST])}{more}"
