"""Loads and asks a saved model. Runs under the PROJECT's interpreter, in a process of its own: `python -P worker.py`.

It imports nothing of Beampermit. What it found goes as JSON to the file `--report`; stdout and stderr belong to the
model's own code, and nobody believes them.
"""

# pandas and pyarrow are the project's, not ours.
# pyright: reportMissingImports=false

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

ROWS_AT_ONCE = 4096
ROWS_ALONE, FEWEST_ALONE = 100, 5
ROUNDS = 3
SECONDS_A_ROUND = 1.0


class Refused(Exception):
    """The model, its example or its data cannot be used; the message says why."""


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """What the model says that it takes and gives, what it gives for its own example, and which nonsense it accepts."""
    model = _load(options.model)
    signature = model.metadata.signature
    if signature is None or signature.inputs is None or signature.outputs is None:
        raise Refused("the saved model states no signature of inputs and outputs")
    example = model.metadata.load_input_example(str(options.model))
    if example is None:
        raise Refused("the saved model brings no input example")
    return {
        "inputs": [_field(field) for field in signature.inputs.inputs],
        "outputs": [_field(field) for field in signature.outputs.inputs],
        "example": {name: _range(values) for name, values in _outputs(model, model.predict(example)).items()},
        "accepted": [words for words, nonsense in _nonsense(example) if _accepts(model, nonsense)],
    }


def score(options: argparse.Namespace) -> dict[str, Any]:
    """Give the model every row of `--inputs` and write what it gives to `--out`; then some alone, to `--alone`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    model = _load(options.model)
    table = pq.ParquetFile(options.inputs)
    missing = sorted(set(options.columns) - set(table.schema_arrow.names))
    if missing:
        raise Refused(f"{options.inputs.name} has no column {missing[0]!r}")
    start = time.perf_counter()
    parts: list[dict[str, np.ndarray]] = []
    sample: dict[int, Any] = {}
    wanted = np.array(_spread(table.metadata.num_rows, ROWS_ALONE))
    first = 0
    for batch in table.iter_batches(ROWS_AT_ONCE, columns=options.columns):
        given = _inputs(model, batch)
        inside = wanted[(wanted >= first) & (wanted < first + batch.num_rows)].tolist()
        sample |= {number: _inputs(model, batch.slice(number - first, 1)) for number in inside}
        first += batch.num_rows
        found = _outputs(model, model.predict(given))
        for name, values in found.items():
            if values.shape != (batch.num_rows,):
                raise Refused(f"{batch.num_rows} rows went in and {name!r} came out with shape {values.shape}")
        parts.append(found)
    seconds = time.perf_counter() - start
    if not parts:
        raise Refused(f"{options.inputs.name} has no row")
    pq.write_table(pa.table(_columns(parts)), options.out)
    rows = _alone(model, sample)
    numbers, rounds, milliseconds = (np.array([row[place] for row in rows]) for place in range(3))
    known = {"beampermit.row": numbers, "beampermit.round": rounds, "beampermit.milliseconds": milliseconds}
    pq.write_table(pa.table({**known, **_columns([row[3] for row in rows])}), options.alone)
    # The best of the rounds: what another process on this machine did at that moment is not the model's.
    best = [milliseconds[numbers == number].min() for number in np.unique(numbers)]
    return {
        "seconds": seconds,
        "memory": _peak(),
        "alone": len(best),
        "p50": float(np.percentile(best, 50)),
        "p99": float(np.percentile(best, 99)),
        "worst": float(milliseconds.max()),
    }


def examine(options: argparse.Namespace) -> dict[str, Any]:
    """Both of the above with one loading."""
    return {"loaded": describe(options), "scored": score(options)}


@cache
def _load(folder: Path) -> Any:
    try:
        import mlflow.pyfunc
    except ImportError as error:
        raise Refused(f"the environment cannot load saved models: {error}") from None
    return mlflow.pyfunc.load_model(str(folder))


def _field(field: Any) -> dict[str, Any]:
    shape = getattr(field, "shape", None)
    kind = getattr(field.type, "name", str(field.type))
    return {"name": field.name, "type": str(kind), "shape": None if shape is None else list(shape)}


def _inputs(model: Any, batch: Any) -> Any:
    """Rows of a table in the form that the model's signature asks for."""
    schema = model.metadata.signature.inputs
    if not schema.is_tensor_spec():
        return batch.to_pandas()
    names = schema.input_names() if schema.has_input_names() else list(batch.schema.names)
    tensors = {
        name: _tensor(batch.column(name), name).reshape(batch.num_rows, *spec.shape[1:]).astype(spec.type)
        for name, spec in zip(names, schema.inputs, strict=True)
    }
    return tensors if schema.has_input_names() else next(iter(tensors.values()))


def _tensor(column: Any, name: str) -> np.ndarray:
    """A column of numbers or of equally long lists as an array; the first axis counts rows."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = len(column)
    while pa.types.is_nested(column.type) and not column.null_count:
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        if len(lengths) > 1:
            raise Refused(f"rows of {name!r} hold {' or '.join(str(length) for length in sorted(lengths))} values")
        column = column.flatten()
    if column.null_count:
        raise Refused(f"{name!r} holds nulls")
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(rows, -1)


def _outputs(model: Any, given: Any) -> dict[str, np.ndarray]:
    """What a model gave, as one array of float64 for each output."""
    import numpy as np
    import pandas as pd

    names = [field.name for field in model.metadata.signature.outputs.inputs]
    if isinstance(given, pd.DataFrame | dict):
        found = {str(name): np.asarray(given[name]) for name in given}
    else:
        found = {names[0] or "score": np.asarray(given)}
    try:
        return {name: _flat(values.astype(np.float64)) for name, values in found.items()}
    except (TypeError, ValueError) as error:
        raise Refused(f"an output is no number: {error}") from None


def _flat(values: np.ndarray) -> np.ndarray:
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _range(values: np.ndarray) -> dict[str, Any]:
    import numpy as np

    finite = values[np.isfinite(values)]
    return {
        "rows": len(values) if values.ndim else 0,
        "finite": bool(finite.size == values.size and values.size),
        "low": float(finite.min()) if finite.size else None,
        "high": float(finite.max()) if finite.size else None,
    }


def _nonsense(example: Any) -> Iterator[tuple[str, Any]]:
    """Inputs that a model must refuse: each of its own example's made one longer, or left out."""
    import numpy as np
    import pandas as pd

    if isinstance(example, pd.DataFrame):
        for name in example.columns:
            yield f"rows without {name!r}", example.drop(columns=name)
            if isinstance(example[name].iloc[0], list | np.ndarray):
                yield (
                    f"rows of {name!r} one value longer",
                    example.assign(**{name: [[*v, v[-1]] for v in example[name]]}),
                )
    elif isinstance(example, dict):
        for name, values in example.items():
            longer = _longer(np.asarray(values))
            yield f"{name!r} of shape {longer.shape}", {**example, name: longer}
            yield f"rows without {name!r}", {key: value for key, value in example.items() if key != name}
    else:
        longer = _longer(np.asarray(example))
        yield f"an input of shape {longer.shape}", longer


def _longer(values: np.ndarray) -> np.ndarray:
    """An array with its last axis repeated once at the end; rows without an axis of their own get one of two."""
    import numpy as np

    if values.ndim < 2:
        return np.stack([values, values], axis=-1)
    return np.concatenate([values, values[..., -1:]], axis=-1)


def _accepts(model: Any, nonsense: Any) -> bool:
    try:
        model.predict(nonsense)
    except Exception:
        return False
    return True


def _columns(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The outputs of several calls, one after the other; a single one is called `score`."""
    import numpy as np

    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {"score": next(iter(columns.values()))} if len(columns) == 1 else columns


def _alone(model: Any, sample: dict[int, Any]) -> list[tuple[int, int, float, dict[str, np.ndarray]]]:
    """Rows one at a time, in rounds, each in another order: number, round, milliseconds, what the model gave.

    A second a round, after three rows that do not count; five rows at least, however slow the model is.
    """
    import numpy as np

    numbers = sorted(sample)
    start = time.perf_counter()
    for number in (*numbers, *numbers, *numbers)[:3]:
        model.predict(sample[number])
    fit = int(SECONDS_A_ROUND / ((time.perf_counter() - start) / 3))
    kept = [numbers[place] for place in _spread(len(numbers), max(fit, FEWEST_ALONE))]
    found: list[tuple[int, int, float, dict[str, np.ndarray]]] = []
    for turn in range(ROUNDS):
        # Backwards, forwards, mixed: what a row leaves behind in the model reaches another row each time.
        order = (kept[::-1], kept, np.random.default_rng(0).permutation(kept).tolist())[turn]
        for number in order:
            start = time.perf_counter()
            given = model.predict(sample[number])
            milliseconds = (time.perf_counter() - start) * 1000
            scores = {name: np.atleast_1d(values) for name, values in _outputs(model, given).items()}
            for name, values in scores.items():
                if values.shape != (1,):
                    raise Refused(f"1 row went in and {name!r} came out with shape {values.shape}")
            found.append((number, turn, milliseconds, scores))
    return found


def _spread(many: int, few: int) -> list[int]:
    """At most `few` places from 0 to `many` - 1, evenly apart, both ends among them."""
    import numpy as np

    return np.unique(np.linspace(0, many - 1, min(many, few)).round().astype(int)).tolist()


def _peak() -> float:
    """The most memory that this process had resident, MiB."""
    try:
        # On Linux getrusage counts the process that started this one as well.
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 2**10
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in (describe, score, examine):
        words = verbs.add_parser(verb.__name__)
        words.set_defaults(verb=verb)
        words.add_argument("--model", type=Path, required=True)
        words.add_argument("--report", type=Path, required=True)
        if verb is not describe:
            words.add_argument("--inputs", type=Path, required=True)
            words.add_argument("--columns", type=lambda text: text.split(","), required=True)
            words.add_argument("--out", type=Path, required=True)
            words.add_argument("--alone", type=Path, required=True)
    return parser.parse_args()


def main() -> int:
    """Write the report: what was found, or `{"error": why}` with exit status 1."""
    options = _options()
    try:
        found = options.verb(options)
    except BaseException as error:
        words = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
        found = {"error": " ".join(words.split())[:2000]}
    options.report.write_text(json.dumps(found, allow_nan=False))
    return int("error" in found)


if __name__ == "__main__":
    sys.exit(main())
