"""What monitoring measures of rows, and the limits that a reference gives.

The same file, byte for byte, in Beampermit and in the pipeline of a project: numbers agree because the code does. It
needs numpy alone.

Rows stand in the order of time. Limits come from windows of consecutive rows of the reference, each compared with the
rows outside of it, so that slow variation counts as usual; and they are never below what chance alone makes of
independent rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]
"""Name -> shape (rows, *shape of one row)."""

FORMAT = 1
OF_ARRAY = ("mean", "std", "span", "step")
"""Numbers that are compared of an array."""
BINS = 8
MARGIN = 2.0
"""Ratio of a limit to the worst window of the reference."""
REACHED = 0.75
"""A limit lies no further than this part of the way from the worst window to the largest index there is."""
RARE = 1e-3
"""Share of windows of independent rows in which any number of all is beyond its limit."""
FEWEST, MOST = 20, 1000
"""Rows of a window of the reference, which is otherwise an eighth of it."""
SHARE = 0.1
"""A share may grow by this part of what its worst window leaves."""
COMPONENTS, FOLDS = 20, 4
MOST_VALUES, MOST_COLUMNS = 128, 500
"""Arrays of so many values enter the comparison of all inputs value by value; and so many columns it has at most."""
FARTHEST_VALUE, FARTHEST_ROW = 10.0, 100.0
"""Standard deviations at which a value is cut there, and the distance at which a row is."""
FLAT, SMALLEST = 1e-9, 1e-4
"""Below, a standard deviation relative to the mean is none; and a variance of a component, whose direction then is
chance, counts among what the components leave."""


def flat(values: np.ndarray) -> np.ndarray:
    """As (rows, values of one)."""
    return values.reshape(len(values), int(np.prod(values.shape[1:])))


def numbers(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """What is compared of a signal, shape (rows,) each: a scalar itself; of an array four numbers of each row.

    Not finite where a value of the row is not. Arrays are taken in single precision, as models get them.
    """
    if values.ndim == 1:
        return {name: values.astype(np.float64, copy=False)}
    single = flat(values).astype(np.float32, copy=False)
    with np.errstate(invalid="ignore", over="ignore"):
        return {
            f"{name}.mean": single.mean(axis=1, dtype=np.float64),
            f"{name}.std": single.std(axis=1, dtype=np.float64),
            f"{name}.span": (single.max(axis=1) - single.min(axis=1)).astype(np.float64),
            f"{name}.step": _largest_step(single),
        }


def edges_of(values: np.ndarray) -> np.ndarray:
    """Inner edges of about equally full bins of finite values, between values: one that is frequent has its own bin.

    Beyond a frequent lowest or highest value is an empty bin, so that what is new there is seen.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) == 1:
        tiny = max(abs(float(distinct[0])) * 1e-6, FLAT)
        return np.array([distinct[0] - tiny, distinct[0] + tiny])
    gaps = np.diff(distinct) / 2
    between = np.concatenate([[distinct[0] - gaps[0]], distinct[:-1] + gaps, [distinct[-1] + gaps[-1]]])
    quantiles = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1])
    frequent = np.flatnonzero(counts >= len(values) / BINS)
    return np.unique(between[np.concatenate([np.searchsorted(distinct, quantiles), frequent, frequent + 1])])


def counts_of(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How many finite values are in each bin."""
    finite = np.isfinite(values)
    values = values if finite.all() else values[finite]
    below = [np.count_nonzero(values < edge) for edge in edges]  # faster than sorting into a few bins
    return np.diff(np.array([0, *below, len(values)]))


def shares_of(counts: np.ndarray, window: int) -> np.ndarray:
    """To each bin is added what half a row is in a window, and half a row at least, so that none is empty.

    The same part of few rows and of many: rows that all lie in one bin are as far away, however many they are.
    """
    filled = counts + 0.5 * max(1.0, counts.sum() / window)
    return filled / filled.sum()


def stability(shares: np.ndarray, counts: np.ndarray, window: int) -> float:
    """Population stability index of counts relative to the reference's shares; 0 for equal shares.

    `window` is that of the limits.
    """
    found = shares_of(counts, window)
    return float(((found - shares) * np.log(found / shares)).sum())


def largest(shares: np.ndarray, window: int, rows: int | None = None) -> float:
    """The largest index there is: all rows of a window, or so many of them, in one bin."""
    return max(stability(shares, one * (window if rows is None else rows), window) for one in np.eye(len(shares)))


def beyond(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Whether any value of a row is below `low` or above `high`, shape (rows,); NaN is neither."""
    return _any_of_row((values < low) | (values > high))


def flagged(values: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    """Whether any value of a row is at an alarm limit or beyond, shape (rows,); without a limit, none is."""
    lowest, highest = -np.inf if low is None else low, np.inf if high is None else high
    return _any_of_row((values <= lowest) | (values >= highest))


def missing(values: np.ndarray) -> np.ndarray:
    """Whether any value of a row is not finite, shape (rows,)."""
    return _any_of_row(~np.isfinite(values))


def _any_of_row(marked: np.ndarray) -> np.ndarray:
    """Shape (rows,), from (rows, *shape of one row)."""
    return marked if marked.ndim == 1 else np.any(flat(marked), axis=1)


def window_of(rows: int) -> int:
    """Rows of a window in which a reference of so many rows is compared with itself."""
    return min(rows, max(FEWEST, min(MOST, rows // 8)))


def limits(
    inputs: Arrays,
    outputs: Arrays,
    *,
    expected: Mapping[str, tuple[float, float]],
    alarms: Mapping[str, tuple[float | None, float | None]],
    truth: Arrays,
) -> dict[str, Any]:
    """The content of the file of limits, from the rows of the reference; `split` is added by who knows its name.

    `expected` is the span of each input outside of which its rows are counted, `alarms` the inner alarm limits of each
    output that has one, `truth` the targets of outputs that are numbers.
    """
    rows = len(next(iter((*inputs.values(), *outputs.values()))))
    window = window_of(rows)
    of_outputs = {name: numbers(name, values) for name, values in outputs.items()}
    count = sum(1 if values.ndim == 1 else len(OF_ARRAY) for values in (*inputs.values(), *outputs.values()))
    rare = RARE / max(count, 1)
    return {
        "format": FORMAT,
        "rows": rows,
        "window": window,
        **limits_of_inputs(inputs, expected, count),
        "outputs": {
            name: {
                "numbers": _distributions(of_outputs[name], window, rare),
                "flagged": _share(flagged(values, *alarms[name]), window) if name in alarms else None,
                "error": _amount(errors(values, truth[name]), window) if name in truth else None,
            }
            for name, values in outputs.items()
        },
    }


def limits_of_inputs(inputs: Arrays, expected: Mapping[str, tuple[float, float]], count: int) -> dict[str, Any]:
    """`inputs` and `together` of the file; `count` numbers of inputs and outputs are compared in all."""
    window, rare = window_of(len(next(iter(inputs.values())))), RARE / max(count, 1)
    of_each = {
        name: {
            "numbers": _distributions(numbers(name, values), window, rare),
            "missing": _share(missing(values), window),
            "outside": _share(beyond(values, *expected[name]), window),
        }
        for name, values in inputs.items()
    }
    return {"inputs": of_each, "together": _together(inputs, window)}


def limit_in(limit: float, usual: float, window: int, rows: int, power: float, most: float = float("inf")) -> float:
    """The limit in a window of fewer rows than it was made for: chance is larger there.

    It stays within reach of `most`, the largest that such a window can have.
    """
    if rows >= window:
        return limit
    wide = usual + (limit - usual) * (window / max(rows, 1)) ** power
    near = min(limit, usual + REACHED * (most - usual))
    reached = near + REACHED * (most - near)
    return min(wide, max(reached, limit) if limit < most else reached)


def errors(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean distance of a row's prediction from its truth, shape (rows,)."""
    return flat(np.abs(values - truth)).mean(axis=1)


def columns(inputs: Arrays) -> list[np.ndarray]:
    """What is compared of all inputs together, (rows, n) each: scalars, small arrays, and numbers of large ones."""
    found, left = [], MOST_COLUMNS
    for name, values in inputs.items():
        block = flat(values)
        if values.ndim > 1 and block.shape[1] > min(MOST_VALUES, left):
            block = np.stack([*numbers(name, values).values()], axis=1)
        if block.shape[1] <= left:
            found.append(block)
            left -= block.shape[1]
    return found


def fit(matrix: np.ndarray) -> dict[str, Any] | None:
    """Centre, scale and main components of rows with finite values, shape (rows, columns); None for too few rows."""
    if len(matrix) < FEWEST:
        return None
    centre, scale = matrix.mean(axis=0), matrix.std(axis=0)
    scale = np.where(scale > FLAT * np.maximum(np.abs(centre), 1), scale, 0.0)
    standard = standardised(matrix, centre, scale)
    variances, vectors = (found[..., ::-1] for found in np.linalg.eigh(standard.T @ standard / len(standard)))
    kept = min(COMPONENTS, len(matrix) // 10, np.count_nonzero(variances > SMALLEST))
    if not kept:
        return None
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(variances))])  # the same on each machine
    left = np.count_nonzero(scale) - kept
    rest = max(float(variances[kept:].sum()), SMALLEST * left)
    return {
        "centre": _short(centre, 12),
        "scale": _short(scale, 12),
        "components": [_short(vector, 6) for vector in (vectors * signs).T[:kept]],
        "variances": _short(variances[:kept], 6),
        "rest": _short(rest, 6),
    }


def standardised(matrix: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Of mean 0 and standard deviation 1 in the reference; 0 in columns that do not vary there."""
    found = matrix - centre
    found *= np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    return np.clip(found, -FARTHEST_VALUE, FARTHEST_VALUE, out=found)


def distances(matrix: np.ndarray, fitted: Mapping[str, Any]) -> np.ndarray:
    """Squared Mahalanobis distance of each row, about 1 in the reference; what the components leave counts as one more.

    Rows with a value that is not finite are left out.
    """
    finite = np.isfinite(matrix).all(axis=1)
    matrix = matrix if finite.all() else matrix[finite]
    standard = standardised(matrix, np.asarray(fitted["centre"]), np.asarray(fitted["scale"]))
    along = standard @ np.asarray(fitted["components"]).T
    squares = (along**2 / np.asarray(fitted["variances"])).sum(axis=1)
    degrees = along.shape[1]
    if fitted["rest"]:
        left = np.einsum("ij,ij->i", standard, standard) - np.einsum("ij,ij->i", along, along)
        squares, degrees = squares + np.maximum(left, 0) / fitted["rest"], degrees + 1
    return np.minimum(squares / degrees, FARTHEST_ROW)


def _together(inputs: Arrays, window: int) -> dict[str, Any] | None:
    found = columns(inputs)
    if not found:
        return None
    matrix = np.concatenate(found, axis=1).astype(np.float64)
    matrix = matrix[np.isfinite(matrix).all(axis=1)]
    if (fitted := fit(matrix)) is None:
        return None
    parts = np.array_split(np.arange(len(matrix)), FOLDS)
    others = [fit(np.delete(matrix, part, axis=0)) or fitted for part in parts]  # rows are new to what judges them
    far = np.concatenate([distances(matrix[part], other) for part, other in zip(parts, others, strict=True)])
    return fitted | _amount(far, window, FARTHEST_ROW)


def _distributions(found: Arrays, window: int, rare: float) -> dict[str, Any]:
    return {name: _distribution(values[np.isfinite(values)], window, rare) for name, values in found.items()}


def _distribution(values: np.ndarray, window: int, rare: float) -> dict[str, Any] | None:
    """None where there is no finite value: nothing to compare with."""
    if not len(values):
        return None
    edges = np.unique(_short(edges_of(values), 12))
    total = counts_of(edges, values)
    size, found = min(window, len(values)), []
    for part in _windows(len(values), window):
        counts = counts_of(edges, values[part])
        rest = total - counts
        found.append(stability(shares_of(rest if rest.sum() >= size else total, window), counts, window))
    shares, worst = shares_of(total, window), max(found)
    chance = _chi_square(int(np.count_nonzero(total)) - 1, rare) * (1 / size + 1 / len(values))
    reached = worst + REACHED * max(largest(shares, window) - worst, 0.0)
    return {
        "edges": edges.tolist(),
        "shares": _short(shares, 9),
        "usual": _short(float(np.median(found)), 6),
        "limit": _short(min(max(MARGIN * worst, chance), reached), 6),
    }


def _share(found: np.ndarray, window: int) -> dict[str, float]:
    worst = max(float(found[part].mean()) for part in _windows(len(found), window))
    return {"usual": _short(float(found.mean()), 9), "limit": _short(worst + SHARE * (1 - worst), 9)}


def _amount(values: np.ndarray, window: int, most: float = float("inf")) -> dict[str, float]:
    """Of the mean in a window of something that is never negative, and never above `most`."""
    values = values[np.isfinite(values)]
    usual = float(values.mean()) if len(values) else 0.0
    worst = max((float(values[part].mean()) for part in _windows(len(values), window)), default=usual)
    chance = NormalDist().inv_cdf(1 - RARE) * float(values.std()) / np.sqrt(window) if len(values) else 0.0
    above = max(worst - usual, chance, abs(usual) * 1e-3, FLAT)
    reached = worst + REACHED * (most - worst)
    return {"usual": _short(usual, 6), "limit": _short(min(usual + MARGIN * above, reached), 6)}


def _windows(rows: int, window: int) -> Iterator[slice]:
    """Windows of consecutive rows, each half over the one before; the whole where it is shorter than one."""
    for start in range(0, max(rows - window, 0) + 1, max(window // 2, 1)):
        yield slice(start, start + window)


def _largest_step(values: np.ndarray) -> np.ndarray:
    if values.shape[1] == 1:
        return np.zeros(len(values))
    return np.abs(np.diff(values, axis=1)).max(axis=1).astype(np.float64)


def _chi_square(degrees: int, rare: float) -> float:
    """The value that is exceeded with probability `rare` (Wilson and Hilferty)."""
    degrees = max(degrees, 1)
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + NormalDist().inv_cdf(1 - rare) * spread**0.5) ** 3


def _short(value: Any, digits: int) -> Any:
    """Rounded to so many digits: two machines write the same."""
    if np.ndim(value):
        return [float(f"{number:.{digits}g}") for number in value]
    return float(f"{float(value):.{digits}g}")
