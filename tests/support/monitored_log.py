"""Prediction logs with rows as a test wants them: hours of them are written at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from beampermit.contract import Contract
from beampermit.live.log.columns import Columns
from beampermit.live.log.prediction_log import PERIOD
from beampermit.live.log.stream import BYTES_OF_A_GROUP, ROWS_OF_A_GROUP
from beampermit.live.wiring import wire

Arrays = Mapping[str, np.ndarray]


def write_log(
    folder: Path, contract: Contract, root: Path, at: np.ndarray, signals: Arrays, version: int = 1, **columns: Any
) -> Path:
    """Rows of one version in `folder`, which is returned: a row of each device at each time `at`, s since 1970.

    `signals` are inputs and outputs by name, shape (rows, *shape), devices running fastest; `columns` replace those
    that say that all was well, with `__` for the dot of a name. Files and their groups of rows are as in service.
    """
    import pyarrow.parquet as pq

    wiring = wire(contract, root)
    schema = Columns(wiring, version).schema
    times = np.repeat(at, len(wiring.rows))
    table = _table(schema, contract, wiring.rows, times, signals, version, columns)
    group = max(1, min(ROWS_OF_A_GROUP, BYTES_OF_A_GROUP * len(times) // max(table.nbytes, 1)))
    hours = (times // PERIOD).astype(int)
    for hour in np.unique(hours):
        first = datetime.fromtimestamp(times[hours == hour][0], UTC)
        file = folder / contract.model.name / str(version) / f"{first:%Y-%m-%dT%H%M%S.%fZ}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.filter(hours == hour), file, compression="zstd", row_group_size=group)
    return folder


def _table(
    schema: Any,
    contract: Contract,
    rows: Any,
    times: np.ndarray,
    signals: Arrays,
    version: int,
    columns: Mapping[str, Any],
) -> Any:
    import pyarrow as pa

    count = len(times)
    micro = (times * 1e6).astype(np.int64)
    values: dict[str, Any] = {
        "served.at": micro,
        "served.time": micro,
        "served.row": [rows[number % len(rows)] for number in range(count)],
        "served.version": np.full(count, version),
        "served.permit": ["sha256:p"] * count,
        "served.shadow": np.zeros(count, bool),
        "served.asked": np.ones(count, bool),
        "served.worst": np.zeros(count, np.uint8),
        "served.latency": np.full(count, 0.002),
        "served.cycle": np.arange(count) // len(rows),
        "served.dropped": np.zeros(count, int),
        "served.lost": np.zeros(count, int),
        **{name: array if array.ndim == 1 else list(array) for name, array in signals.items()},
    }
    for output in contract.signals.outputs:
        name = output.name
        values |= {
            f"{name}.shown": values[name],
            f"{name}.severity": np.zeros(count, np.uint8),
            f"{name}.status": ["NO_ALARM"] * count,
            f"{name}.message": [""] * count,
            f"{name}.origin": ["model"] * count,
        }
    values |= {name.replace("__", "."): value for name, value in columns.items()}
    made = []
    for field in schema:
        value = values.get(field.name, [None] * count)
        made.append(
            pa.array(value, field.type) if not pa.types.is_timestamp(field.type) else pa.array(value).cast(field.type)
        )
    return pa.table(made, schema=schema)
