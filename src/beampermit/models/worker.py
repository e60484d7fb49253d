"""Loads and scores a saved model, under the PROJECT's interpreter in a process of its own: `python -P worker.py`.

It imports nothing of Beampermit but `worker_arrays.py` beside it. The result goes as JSON to the file `--report`;
stdout and stderr belong to the model's code and are not read. `python -P worker.py serve` forks such a process for each
line of its input.
"""

# pandas and pyarrow are installed in the project's environment only.
# pyright: reportMissingImports=false

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from beampermit.models import worker_arrays as arrays
else:  # with -P, no folder of ours is on the path, where it would hide modules of the project's
    _beside = spec_from_file_location("beampermit_worker_arrays", Path(__file__).with_name("worker_arrays.py"))
    arrays = module_from_spec(_beside)
    _beside.loader.exec_module(arrays)

BATCH_ROWS = 4096
MOST_SINGLE_ROWS, FEWEST_SINGLE_ROWS = 100, 5
ROUNDS = 3
SECONDS_PER_ROUND = 1.0
PR_SET_DUMPABLE = 4


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """The signature, the outputs for the model's own example, and the wrong inputs that it accepts."""
    model = _load(options.model)
    signature = model.metadata.signature
    if signature is None or signature.inputs is None or signature.outputs is None:
        raise arrays.Refused("the saved model has no signature of inputs and outputs")
    example = model.metadata.load_input_example(str(options.model))
    if example is None:
        raise arrays.Refused("the saved model has no input example")
    return {
        "inputs": [arrays.field(field) for field in signature.inputs.inputs],
        "outputs": [arrays.field(field) for field in signature.outputs.inputs],
        "example": {
            name: arrays.value_range(values)
            for name, values in arrays.outputs_of(model.predict(example), options.outputs).items()
        },
        "accepted": [name for name, inputs in arrays.wrong_inputs(example) if _accepts(model, inputs)],
    }


def select(options: argparse.Namespace) -> dict[str, Any]:
    """Write the `--columns` of `--inputs` alone to `--out`: the model's process gets no label. It loads no model."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(options.inputs)
    if missing := sorted(set(options.columns) - set(table.schema_arrow.names)):
        raise arrays.Refused(f"{options.inputs.name} has no column {missing[0]!r}")
    schema = pa.schema([field for field in table.schema_arrow if field.name in options.columns])
    with pq.ParquetWriter(options.out, schema) as writer:
        for batch in table.iter_batches(BATCH_ROWS, columns=options.columns):
            writer.write_batch(batch.select(schema.names).replace_schema_metadata(None))
    return {"rows": table.metadata.num_rows}


def score(options: argparse.Namespace) -> dict[str, Any]:
    """Score every row of `--inputs` to `--out`, then some rows one at a time to `--single`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    model = _load(options.model)
    seconds, sample = _score_all(model, options, MOST_SINGLE_ROWS)
    rows = _score_single_rows(model, sample, options.outputs)
    numbers, rounds, milliseconds = (np.array([row[index] for row in rows]) for index in range(3))
    keys = {"beampermit.row": numbers, "beampermit.round": rounds, "beampermit.milliseconds": milliseconds}
    pq.write_table(pa.table({**keys, **arrays.columns([row[3] for row in rows])}), options.single)
    # The fastest of the rounds: what other processes on this machine slow down is not the model's.
    fastest = [milliseconds[numbers == number].min() for number in np.unique(numbers)]
    return {
        "seconds": seconds,
        "memory": _peak_memory(),
        "single_rows": len(fastest),
        "p50": float(np.percentile(fastest, 50)),
        "p99": float(np.percentile(fastest, 99)),
        "worst": float(milliseconds.max()),
    }


def score_rows(options: argparse.Namespace) -> dict[str, Any]:
    """Score every row of `--inputs` to `--out`."""
    seconds, _ = _score_all(_load(options.model), options, 0)
    return {"seconds": seconds}


def describe_and_score(options: argparse.Namespace) -> dict[str, Any]:
    return {"description": describe(options), "scores": score(options)}


@cache
def _load(folder: Path) -> Any:
    try:
        import mlflow.pyfunc
    except ImportError as error:
        raise arrays.Refused(f"the environment cannot load saved models: {error}") from None
    # Nobody reads its warnings, and to know whether to warn it reads the metadata of every installed package.
    return mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)


def _inputs(model: Any, batch: Any) -> Any:
    """Rows of a table in the form of the model's signature."""
    import pyarrow as pa

    schema = model.metadata.signature.inputs
    if not schema.is_tensor_spec():
        rows = batch.to_pandas()
        # pandas would make arrays of arrays of lists of lists.
        deep = [f.name for f in batch.schema if pa.types.is_nested(getattr(f.type, "value_type", pa.null()))]
        return rows.assign(**{name: list(arrays.tensor(batch.column(name), name)) for name in deep}) if deep else rows
    names = schema.input_names() if schema.has_input_names() else list(batch.schema.names)
    return arrays.as_signed(schema, {name: arrays.tensor(batch.column(name), name) for name in names})


def _as_served(model: Any, row: Any) -> Any:
    """A row in the form in which the service gives it: numbers of double precision, in the types of the signature.

    One with a null or a text stays as it is in the table, for the service would not ask for it.
    """
    import numpy as np

    try:
        given = {name: arrays.tensor(row.column(name), name) for name in row.schema.names}
    except arrays.Refused:
        return _inputs(model, row)
    if any(values.dtype.kind not in "biuf" for values in given.values()):
        return _inputs(model, row)
    return arrays.as_signed(
        model.metadata.signature.inputs, {name: values.astype(np.float64) for name, values in given.items()}
    )


def _accepts(model: Any, inputs: Any) -> bool:
    try:
        model.predict(inputs)
    except Exception:
        return False
    return True


def _score_all(model: Any, options: argparse.Namespace, singly: int) -> tuple[float, dict[int, Any]]:
    """Score every row of `--inputs` to `--out`: the seconds, and row number -> inputs of at most `singly` rows."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(options.inputs)
    start = time.perf_counter()
    parts: list[dict[str, np.ndarray]] = []
    sample: dict[int, Any] = {}
    chosen = np.array(_spread(table.metadata.num_rows, singly))
    first = 0
    for batch in table.iter_batches(BATCH_ROWS, columns=options.columns):
        inputs = _inputs(model, batch)
        in_batch = chosen[(chosen >= first) & (chosen < first + batch.num_rows)].tolist()
        sample |= {number: _as_served(model, batch.slice(number - first, 1)) for number in in_batch}
        first += batch.num_rows
        outputs = arrays.outputs_of(model.predict(inputs), options.outputs)
        for name, values in outputs.items():
            if values.shape[:1] != (batch.num_rows,):
                raise arrays.Refused(f"{batch.num_rows} rows went in and {name!r} came out with shape {values.shape}")
        parts.append(outputs)
    seconds = time.perf_counter() - start
    if not parts:
        raise arrays.Refused(f"{options.inputs.name} has no rows")
    pq.write_table(pa.table(arrays.columns(parts)), options.out)
    return seconds, sample


def _score_single_rows(
    model: Any, sample: dict[int, Any], expected: dict[str, list[int]]
) -> list[tuple[int, int, float, dict[str, np.ndarray]]]:
    """Row number, round, milliseconds and outputs of rows that are scored one at a time.

    A round takes about one second but has at least five rows; three predictions before the first warm the model up.
    """
    import numpy as np

    numbers = sorted(sample)
    start = time.perf_counter()
    for number in (*numbers, *numbers, *numbers)[:3]:
        model.predict(sample[number])
    affordable = int(SECONDS_PER_ROUND / ((time.perf_counter() - start) / 3))
    chosen = [numbers[index] for index in _spread(len(numbers), max(affordable, FEWEST_SINGLE_ROWS))]
    results: list[tuple[int, int, float, dict[str, np.ndarray]]] = []
    # Each round in another order: state that a row leaves in the model then meets another row.
    orders = (chosen[::-1], chosen, np.random.default_rng(0).permutation(chosen).tolist())
    for turn, order in enumerate(orders[:ROUNDS]):
        for number in order:
            start = time.perf_counter()
            prediction = model.predict(sample[number])
            milliseconds = (time.perf_counter() - start) * 1000
            scores = {name: np.atleast_1d(values) for name, values in arrays.outputs_of(prediction, expected).items()}
            for name, values in scores.items():
                if len(values) != 1:
                    raise arrays.Refused(f"1 row went in and {name!r} came out with shape {values.shape}")
            results.append((number, turn, milliseconds, scores))
    return results


def _spread(total: int, limit: int) -> list[int]:
    """At most `limit` evenly spaced indices below `total`, both ends included."""
    import numpy as np

    return np.unique(np.linspace(0, total - 1, min(total, limit)).round().astype(int)).tolist()


def _peak_memory() -> float:
    """Peak resident memory of this process in MiB."""
    try:
        # On Linux getrusage includes the peak of the process that started this one.
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 2**10
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in (describe, select, score, score_rows, describe_and_score):
        command = verbs.add_parser(verb.__name__)
        command.set_defaults(verb=verb)
        command.add_argument("--report", type=Path, required=True)
        if verb is not select:
            command.add_argument("--model", type=Path, required=True)
            command.add_argument("--outputs", type=json.loads, required=True)
        if verb is not describe:
            command.add_argument("--inputs", type=Path, required=True)
            command.add_argument("--columns", type=lambda text: text.split(","), required=True)
            command.add_argument("--out", type=Path, required=True)
        if verb in (score, describe_and_score):
            command.add_argument("--single", type=Path, required=True)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Write the report, or `{"error": reason}` and exit with status 1."""
    options = _options(arguments)
    try:
        report = options.verb(options)
    except BaseException as error:
        reason = str(error) if isinstance(error, arrays.Refused) else f"{type(error).__name__}: {error}"
        report = {"error": " ".join(reason.split())[:2000]}
    options.report.write_text(json.dumps(report, allow_nan=False))
    return int("error" in report)


def serve(modules: Sequence[str]) -> int:
    """Answer each request on stdin with two lines, the process id of a fork and its exit status.

    A request is a JSON object: `arguments` of `main`, the `folder` to run in, and the files `out` and `err`.
    """
    # No other process of this user reads the memory and the open files of this one and its forks.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    # What is imported may print; no model's process gets the channel of the answers.
    channel = os.dup(1)
    os.dup2(2, 1)
    gc.disable()  # of what is imported nothing goes: looking for it takes a sixth of the time
    for module in ("pandas", "pyarrow.parquet", "mlflow.pyfunc", *modules):
        with suppress(ImportError):  # the model's own process says what is missing
            importlib.import_module(module)
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os.close(channel)
            _run_forked(json.loads(line))
        os.write(channel, f"{child}\n".encode())
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)  # what the model left running in the background
        os.write(channel, f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
    return 0


def _run_forked(request: dict[str, Any]) -> None:
    """Run `main` as in a process that was just started, and end."""
    status = 1
    gc.enable()
    try:
        os.setsid()
        os.chdir(request["folder"])
        sys.argv[1:] = request["arguments"]
        for number, path, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, request["out"], os.O_WRONLY),
            (2, request["err"], os.O_WRONLY),
        ):
            file = os.open(path, flags)
            os.dup2(file, number)
            os.close(file)
        _forget_random_numbers()
        status = main(sys.argv[1:])
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(status)


def _forget_random_numbers() -> None:
    """Other forks must not draw the same numbers: a model that is random would look repeatable. `random` does it."""
    with suppress(ImportError):
        import numpy as np

        np.random.seed()


if __name__ == "__main__":
    sys.exit(serve(sys.argv[2:]) if sys.argv[1:2] == ["serve"] else main(sys.argv[1:]))
