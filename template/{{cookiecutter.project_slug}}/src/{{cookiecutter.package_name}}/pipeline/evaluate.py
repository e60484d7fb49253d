"""Stage `evaluate`: the trained model's scores, metrics, plots and monitoring limits; and metrics of given scores, such
as the champion's.

`python -m <package>.pipeline.evaluate --inputs test.parquet --scores scores.parquet --out metrics.json`
With `--counts counts.npy`, shape (times, rows), row weights: name -> a number for each time.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import metrics
from . import contract, limits, tables
from .contract import TRAINED

if TYPE_CHECKING:
    from ..model import Model


def weighted(outputs: tables.Arrays, rows: tables.Rows, counts: np.ndarray) -> dict[str, list[float | None]]:
    """The metrics for each row of `counts`, shape (times, rows); None where a metric is undefined."""
    values: dict[str, list[float | None]] = {}
    for time, count in enumerate(counts):
        chosen = np.repeat(np.arange(len(rows)), count)
        own = {name: array[chosen] for name, array in outputs.items()}
        for name, value in (metrics.metrics(own, rows.take(chosen)) if len(chosen) else {}).items():
            found = values.setdefault(name, [None] * len(counts))
            found[time] = float(value) if math.isfinite(value) else None
    return values


def require_answers(outputs: tables.Arrays, part: contract.ForEvaluation, rows: int, origin: str) -> None:
    """Exit with a message unless each output has its shape and finite values."""
    for output in part.outputs:
        values = outputs.get(output.name)
        if values is None:
            raise SystemExit(f"{origin}: there is no output {output.name!r}, which contract.yaml names")
        if values.shape != (rows, *output.shape):
            raise SystemExit(f"{origin}: {output.name} has shape {values.shape}, not {(rows, *output.shape)}")
        if not np.isfinite(values).all():
            raise SystemExit(f"{origin}: {output.name} is not finite in {_rows_without(values)} of {rows} rows")


def main() -> None:
    """Compute metrics of the trained model or, with `--scores`, of these scores."""
    part = contract.of(contract.ForEvaluation)
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--inputs", type=Path, default=Path(part.rows))
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--counts", type=Path)
    parser.add_argument("--out", type=Path, default=Path(part.metrics))
    options = parser.parse_args()
    given = options.scores is not None
    rows = tables.read_rows(options.inputs, part.inputs, part.outputs)
    model = None if given else _trained()
    outputs = model(rows.inputs) if model else tables.read_arrays(options.scores, part.outputs)
    require_answers(outputs, part, len(rows), str(options.scores) if given else "model.py")
    if options.counts is not None:
        _write(options.out, weighted(outputs, rows, np.load(options.counts)))
        return
    _write(options.out, metrics.metrics(outputs, rows))
    if model is None:
        return
    limits.write(model)
    tables.write_arrays({name: values.astype(np.float64) for name, values in outputs.items()}, part.scores)
    curve = json.loads(Path(part.record).read_text(encoding="utf-8"))["training"]
    _write(Path(part.plots), {**metrics.plots(outputs, rows), **({"training": curve} if curve else {})})


def _trained() -> Model:
    from ..model import Model

    return Model.load(TRAINED)


def _rows_without(values: np.ndarray) -> int:
    return int((~np.isfinite(values.reshape(len(values), -1))).any(axis=1).sum())


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError:
        odd = [name for name, value in content.items() if isinstance(value, float) and not math.isfinite(value)]
        raise SystemExit(f"metrics.py: {', '.join(odd) or path.name} has numbers that are not finite") from None
    path.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
