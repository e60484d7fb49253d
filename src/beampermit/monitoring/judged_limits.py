"""What is wrong with a file of limits: against the contract, the reference split, and the file before.

Limits of inputs are computed again from the split. Those of outputs need the model's answers, which a reproduction
makes (REP001); here they may not move while what they come from stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from beampermit.contract import Contract
from beampermit.contract.signals import Signal
from beampermit.datasets.arrays import flattened
from beampermit.datasets.tables import Table, quoted
from beampermit.errors import Failed
from beampermit.monitoring.limits import Amount, Distribution, Limits, ShareLimit, Together
from beampermit.monitoring.reference import (
    FARTHEST_ROW,
    OF_ARRAY,
    columns,
    distances,
    largest,
    limits_of_inputs,
    window_of,
)
from beampermit.monitoring.windows import alarms, expected

ROUNDING = 1e-6
"""Of an edge, relative to the span of all."""
OF_OUTPUTS = ("MON004", "MON007")
SPARSE = 10.0
"""Windows of the reference that span so many times `monitoring.window` hold what is slow there: one of the service has
a moment of it, which is unlike their whole."""
CLOSE = 0.01
"""Two computations of a limit agree within this part of it."""


def of_other_signals(limits: Limits, contract: Contract) -> Iterator[str]:
    """What the contract monitors and the file does not, and the other way round."""
    monitoring = contract.monitoring
    if limits.split != monitoring.reference:
        yield f"split is {limits.split}, monitoring.reference of the contract is {monitoring.reference}"
    for kind, signals, found in (
        ("input", contract.signals.inputs, limits.inputs),
        ("output", contract.signals.outputs, limits.outputs),
    ):
        names = [signal.name for signal in signals]
        yield from (f"{kind} {name} has no limits" for name in names if name not in found)
        yield from (f"{kind} {name} is not in the contract" for name in found if name not in names)
        for signal in (signal for signal in signals if signal.name in found):
            yield from _numbers(signal, found[signal.name].numbers)
    for output in contract.signals.outputs:
        if output.name in limits.outputs and alarms(output) != (None, None) and not limits.outputs[output.name].flagged:
            yield f"output {output.name} has alarm limits in the contract, and no limit of flagged rows"


def of_reference(limits: Limits, contract: Contract, inputs: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Where limits of inputs are not those that the reference split gives."""
    rows = len(next(iter(inputs.values())))
    if (limits.rows, limits.window) != (rows, window_of(rows)):
        own = f"the reference split gives {rows} and {window_of(rows)}"
        yield f"rows and window are {limits.rows} and {limits.window}, {own}"
        return
    signals = (*contract.signals.inputs, *contract.signals.outputs)
    count = sum(len(OF_ARRAY) if signal.shape else 1 for signal in signals)
    spans = {signal.name: expected(signal) for signal in contract.signals.inputs}
    own = limits_of_inputs(inputs, spans, count)
    for name, found in limits.inputs.items():
        for number, distribution in found.numbers.items():
            yield from _distribution(number, distribution, own["inputs"][name]["numbers"][number], rows)
        for what in ("missing", "outside"):
            yield from _amount(f"{name}.{what}", getattr(found, what), own["inputs"][name][what])
    yield from _of_together(limits.together, own["together"], inputs)


def moved(limits: Limits, before: Limits) -> Iterator[str]:
    """Limits of outputs that are looser than before although what they come from is the same.

    Where those of inputs, which are computed again here, have moved as well, another version of the pipeline made both.
    """
    known = {key for key in before.keys if key in limits.keys and _source(before, key) == _source(limits, key)}
    raised = [key for key in limits.keys if key in known and limits.given(key) > before.given(key) * (1 + CLOSE)]
    if all(key.startswith(OF_OUTPUTS) for key in raised):
        for key in raised:
            was = f"on the base branch {before.given(key):g}, of equal answers"
            yield f"{key}: the limit is {limits.given(key):g}, {was}"


def looser(limits: Limits, before: Limits) -> Iterator[str]:
    """Limits that a calibration, or taking one away, makes looser than what counts on the base branch."""
    decided = {**limits.calibrated, **{key: limits.limit(key) for key in before.calibrated if key in limits.keys}}
    for key, limit in decided.items():
        was = before.limit(key) if key in before.keys else limits.given(key)
        if limit > was * (1 + CLOSE):
            yield f"{key} {was:g} → {limit:g}"
    for key in (one for one in decided if one in before.keys and one in limits.calibrated_usual):
        if limits.usual(key) > before.usual(key) * (1 + CLOSE) and limits.limit(key) <= before.limit(key) * (1 + CLOSE):
            yield f"{key} is cleared nearer to its limit: usual {before.usual(key):g} → {limits.usual(key):g}"


def unreachable(limits: Limits) -> Iterator[str]:
    """Calibrated limits that no data can exceed."""
    for key, limit in limits.calibrated.items():
        most = most_measured(limits, key)
        if limit >= most:
            yield f"{key}: the limit {limit:g} is never exceeded; what is measured reaches {most:.4g} at most"


def blind(limits: Limits) -> Iterator[str]:
    """Checks and subjects whose limit no data can exceed, for the reference has windows as bad as can be."""
    for key in limits.keys:
        if key not in limits.calibrated and limits.given(key) >= most_measured(limits, key) * (1 - ROUNDING):
            yield key


def span_of_windows(table: Table, contract: Contract, rows: int) -> float | None:
    """s that `rows` consecutive rows of the reference split span, the median; None where it has no times."""
    column = contract.dataset.split.time
    if column is None or column not in table.columns or not table.is_time(column):
        return None
    (found,) = table.arrays(f"SELECT CAST({table.microseconds(column)} AS DOUBLE) / 1e6 FROM {table.source}")
    times = np.ma.filled(found, np.nan)
    spans = [float(np.ptp(times[start : start + rows])) for start in range(0, len(times) - rows + 1, rows)]
    known = [span for span in spans if np.isfinite(span)]
    return float(np.median(known)) if known else None


def read_reference(table: Table, contract: Contract) -> dict[str, np.ndarray]:
    """The inputs of the reference split, as the pipeline reads them. Raises `Failed`."""
    ((rows,),) = table.query(f"SELECT count(*) FROM {table.source}")
    if not rows:
        raise Failed("the reference split has no rows", file=table.path)
    return {signal.name: _input(table, signal, rows) for signal in contract.signals.inputs}


def _input(table: Table, signal: Signal, rows: int) -> np.ndarray:
    name = signal.name
    if name not in table.columns and signal.value is not None:
        return np.full((rows, *signal.shape), signal.value)
    depth = table.dimensions(name) if name in table.columns else None
    if depth is None or bool(depth) != bool(signal.shape):
        raise Failed(f"{name} is not a column of {'arrays' if signal.shape else 'numbers'}", file=table.path)
    if not signal.shape:
        (values,) = table.arrays(f"SELECT CAST({quoted(name)} AS DOUBLE) FROM {table.source}")
        return np.ma.filled(values, np.nan)
    lists = f"CAST({flattened(quoted(name), depth)} AS FLOAT[])"
    (values,) = table.arrays(f"SELECT unnest({lists}) FROM {table.source}")
    if len(values) != rows * int(np.prod(signal.shape)):
        raise Failed(f"{name} does not have the shape {list(signal.shape)} in each row", file=table.path)
    return np.ma.filled(values, np.nan).reshape(rows, *signal.shape)


def _numbers(signal: Signal, found: Mapping[str, Distribution | None]) -> Iterator[str]:
    names = [f"{signal.name}.{what}" for what in OF_ARRAY] if signal.shape else [signal.name]
    yield from (f"{name} has no limit" for name in names if name not in found)
    yield from (f"{name} is not monitored" for name in found if name not in names)
    yield from (f"{name} has no finite value in the reference" for name in names if name in found and not found[name])


def _distribution(name: str, found: Distribution | None, own: Mapping[str, Any] | None, rows: int) -> Iterator[str]:
    if found is None or own is None:
        if found is not own:
            yield f"{name} is not that of the reference split"
        return
    edges = np.asarray(own["edges"])
    span = max(float(np.ptp(edges)), float(np.abs(edges).max()) * ROUNDING, ROUNDING**2)
    if len(found.edges) != len(edges) or np.abs(edges - found.edges).max() > ROUNDING * span:
        yield f"{name}: the edges are not those of the reference split"
    elif np.abs(np.asarray(own["shares"]) - found.shares).max() > 1.5 / rows:
        yield f"{name}: the shares are not those of the reference split"
    elif not _close(found.limit, own["limit"]):
        yield f"{name}: the limit is {found.limit:g}, the reference split gives {own['limit']:g}"


def _amount(name: str, found: ShareLimit | Amount, own: Mapping[str, float]) -> Iterator[str]:
    for key in ("usual", "limit"):
        if not _close(getattr(found, key), own[key]):
            yield f"{name}: {key} is {getattr(found, key):g}, the reference split gives {own[key]:g}"
            return


def _of_together(
    found: Together | None, own: Mapping[str, Any] | None, inputs: Mapping[str, np.ndarray]
) -> Iterator[str]:
    if found is None or own is None:
        if found is not own:
            yield "together: the reference split gives another one"
        return
    matrix = np.concatenate(columns(inputs), axis=1).astype(np.float64)
    if len(found.centre) != matrix.shape[1]:
        yield f"together: it has {len(found.centre)} columns, the inputs have {matrix.shape[1]}"
        return
    with np.errstate(all="ignore"):
        here, there = distances(matrix, own), distances(matrix, found.model_dump())
    if not np.allclose(here, there, rtol=CLOSE, atol=1e-3):
        yield "together: the components are not those of the reference split"
        return
    yield from _amount("together", found, own)


def _close(found: float, own: float) -> bool:
    return abs(found - own) <= CLOSE * abs(own) + 1e-9


def _source(limits: Limits, key: str) -> Any:
    """What a limit comes from, but for the limit itself."""
    found = limits.parts[key]
    return limits.rows, found.model_dump(exclude={"limit"})


def most_measured(limits: Limits, key: str) -> float:
    """The largest that a window can have."""
    found = limits.parts[key]
    if isinstance(found, ShareLimit):
        return 1.0
    if isinstance(found, Together):
        return FARTHEST_ROW
    if isinstance(found, Amount):
        return float("inf")
    return largest(np.asarray(found.shares), limits.window)
