"""Samples of PVs as received, one Parquet file per piece, complete or absent, so that a killed request can resume."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.datasets import tables
from beampermit.datasets.requests import word_columns
from beampermit.datasets.tables import parquet, quoted, sql_text
from beampermit.errors import BadInput, Failed, counted
from beampermit.files import replacing

AT_ONCE = 4_000_000
"""Numbers in memory at once."""


@dataclass(frozen=True)
class Block:
    """Some rows: column -> array of shape (rows,) or (rows, ...), and the columns' units."""

    columns: dict[str, Any]
    units: dict[str, str]


def write_blocks(connection: Any, blocks: Iterator[Block], folder: Path, path: str) -> dict[str, str]:
    """Write each block as a Parquet file in `folder`, which is emptied first; return the units."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    units: dict[str, str] = {}
    for number, block in enumerate(blocks):
        units |= block.units
        _write_block(connection, block, folder / f"{number:06}.parquet", path)
    return units


def read_hdf5(file: Path, path: str, names: frozenset[str]) -> Iterator[Block]:
    """The datasets `names` of an HDF5 file, all of one length. Needs h5py, the extra `hdf5`."""
    try:
        import h5py
    except ImportError:
        raise _not_installed("HDF5", "hdf5", path) from None
    try:
        with h5py.File(file, "r") as opened:
            items = {key: opened.get(key) for key in sorted(names)}
            arrays = {key: item for key, item in items.items() if isinstance(item, h5py.Dataset) and item.shape}
            if any(data.is_virtual or data.external for data in arrays.values()):
                raise BadInput("virtual and external HDF5 datasets are not supported", file=path)
            if not arrays:
                present: list[str] = []
                opened.visititems(lambda key, item: present.append(key) if isinstance(item, h5py.Dataset) else None)
                raise Failed(
                    f"it has no dataset of a requested signal; it has {', '.join(present[:8]) or 'none'}", file=path
                )
            length = _common_length({key: len(data) for key, data in arrays.items()}, path)
            units = {key: unit for key, data in arrays.items() if (unit := _stated_unit(data.attrs, key, path))}
            widest = max(math.prod(data.shape[1:]) for data in arrays.values())
            step = max(1, AT_ONCE // (widest * len(arrays)))
            for first in range(0, max(length, 1), step):
                rows = {key: _plain_array(data[first : first + step], key, path) for key, data in arrays.items()}
                yield Block(rows, units)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise Failed(f"cannot be read: {error}", file=path) from None


def read_sdds(file: Path, path: str, names: frozenset[str]) -> Iterator[Block]:
    """The columns `names` of an SDDS file, page by page; its arrays where it has no columns, as the LHC's files.

    Needs pysdds, the extra `sdds`.
    """
    try:
        import pysdds
    except ImportError:
        raise _not_installed("SDDS", "sdds", path) from None
    try:
        with _standard_types(file) as standard:
            opened = pysdds.read(str(standard))
    except Exception as error:  # pysdds raises many kinds of exceptions for damaged files
        raise Failed(f"cannot be read: {type(error).__name__} {error}", file=path) from None
    columns = {column.name: column for column in (opened.columns or opened.arrays) if column.name in names}
    if not columns:
        present = ", ".join(str(column.name) for column in (opened.columns or opened.arrays)[:8])
        raise Failed(f"it has no column of a requested signal; it has {present or 'none'}", file=path)
    units = {key: column.nm["units"] for key, column in columns.items() if column.nm.get("units")}
    for page in range(opened.n_pages):
        rows = {key: _plain_array(column.data[page], key, path) for key, column in columns.items()}
        _common_length({key: len(data) for key, data in rows.items()}, path)
        yield Block(rows, units)


@contextmanager
def _standard_types(file: Path) -> Iterator[Path]:
    """An SDDS file with the standard's names of types in its header: the LHC's say `llong` where it says `long64`."""
    content = file.read_bytes()
    header, mark, rest = content.partition(b"&data")
    standard = re.sub(rb"\btype\s*=\s*(u?)llong\b", rb"type=\1long64", header)
    if standard == header:
        yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / file.name
        copy.write_bytes(standard + mark + rest)
        yield copy


def _not_installed(kind: str, extra: str, path: str) -> BadInput:
    return BadInput(
        f"the library that reads {kind} is not installed", file=path, hint=f"pip install 'beampermit[{extra}]'"
    )


def _common_length(lengths: dict[str, int], path: str) -> int:
    if len(set(lengths.values())) > 1:
        shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise Failed(
            f"its arrays differ in length: {shortest} has {counted(lengths[shortest], 'row')}, {longest} has "
            f"{lengths[longest]}",
            file=path,
        )
    return next(iter(lengths.values()))


def _stated_unit(attributes: Any, column: str, path: str) -> str | None:
    """The unit in an attribute, also as an array of one; none in an attribute that is empty. Raises `Failed`."""
    import numpy as np

    for key in ("unit", "units", "EGU"):
        value = attributes.get(key)
        if value is None or getattr(value, "shape", ()) is None:  # h5py.Empty
            continue
        parts = [part for part in np.asarray(value, dtype=object).reshape(-1).tolist() if part is not None]
        texts = {part.decode(errors="replace") if isinstance(part, bytes) else str(part) for part in parts}
        if len(texts) > 1:
            raise Failed(f"{column} states the units {', '.join(sorted(texts))}; one is needed", file=path)
        if texts:
            return texts.pop()
    return None


def _plain_array(data: Any, key: str, path: str) -> Any:
    """Numbers in native byte order, or text as `str`. Raises `Failed` for other types and text that is not UTF-8."""
    import numpy as np

    array = np.asarray(data)
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return array.astype(np.float64)  # half and extended precision, which no table has
    if array.dtype.kind in "biuf":
        return array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind not in "OSU" or array.ndim != 1:
        raise Failed(f"{key} has type {array.dtype}, neither numbers nor text", file=path)
    try:
        texts = [value.decode() if isinstance(value, bytes) else str(value) for value in array.tolist()]
    except UnicodeDecodeError:
        raise Failed(f"{key} holds text that is not UTF-8", file=path) from None
    return np.array(texts, dtype=object)


def _write_block(connection: Any, block: Block, file: Path, path: str) -> None:
    import duckdb
    import numpy as np

    selected, joined, registered = [], "", []
    for number, (key, data) in enumerate(block.columns.items()):
        width = math.prod(data.shape[1:])
        view = f"array{number}"
        connection.register(view, {"value": data.reshape(-1) if data.size else np.zeros(0)})
        registered.append(view)
        rows = view
        if data.ndim > 1:
            numbered = f"SELECT value, row_number() OVER () - 1 AS place FROM {view}"
            rows = (
                f"(SELECT list(CAST(value AS DOUBLE) ORDER BY place) AS value FROM ({numbered})"
                f" GROUP BY place // {width} ORDER BY place // {width})"
            )
        joined += (" POSITIONAL JOIN " if joined else "") + f"{rows} AS t{number}"
        selected.append(f"t{number}.value AS {quoted(key)}")
    try:
        connection.execute(
            f"COPY (SELECT {', '.join(selected)} FROM {joined}) TO {sql_text(str(file))} (FORMAT parquet)"
        )
    except duckdb.Error as error:
        raise Failed(f"cannot be read: {str(error).splitlines()[0]}", file=path) from None
    finally:
        for view in registered:
            connection.unregister(view)


MEMORY = "1GB"
"""Memory of the database; beyond it, it writes to the folder of the request."""


def connect(folder: Path) -> Any:
    """An in-memory database that spills to `folder` and works in UTC."""
    connection = tables.connect(
        memory_limit=MEMORY, temp_directory=str(folder / "spill"), preserve_insertion_order=True
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def write_table(connection: Any, sql: str, file: Path, units: Mapping[str, str]) -> None:
    """Write the rows of `sql` in order, by one thread, with the columns' units as metadata, which DAT004 reads."""
    stated = json.dumps(units, ensure_ascii=False, sort_keys=True)
    connection.execute("SET threads = 1")
    connection.execute(
        f"COPY ({sql}) TO {sql_text(str(file))}"
        f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880, KV_METADATA {{units: {sql_text(stated)}}})"
    )
    connection.execute("RESET threads")


class Store:
    """The pieces in one folder. A piece holds the samples of a PV in one span of time, with these columns:

    `ns` (nanoseconds since 1970), `value` (a number, a list of numbers, or a text where the signal has words),
    `severity` (EPICS; 3 if the source gave none of 0 to 3), `arrived` (number in the answer), `back` (older than the
    sample before it in the answer), `lost` (when the connection before it was lost, or NULL), `place` (`inside` the
    piece, the last one `before` it, or `outside`).
    """

    def __init__(self, folder: Path, states: Mapping[str, Sequence[str]] | None = None):
        """`states` are those of `Query`: PVs that are not in it have numbers."""
        self.folder, self._states = folder, states or {}
        self._index: dict[str, list[Path]] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def piece(self, pv: str, start: int) -> Path:
        """The file with the samples of a PV from `start`."""
        return self.folder / f"{_file_name(pv)}-{start}.parquet"

    def pieces(self, pv: str) -> list[Path]:
        """The files of a PV, in order of time."""
        if self._index is None:
            # Listed once: a month of a thousand PVs is thirty thousand pieces.
            self._index = {}
            for file in self.folder.glob("*.parquet"):
                self._index.setdefault(file.stem.partition("-")[0], []).append(file)
        return sorted(self._index.get(_file_name(pv), []), key=lambda file: int(file.stem.partition("-")[2]))

    def put(
        self, connection: Any, samples: str, pv: str, span: tuple[int, int], *, first: bool, whole: bool = False
    ) -> None:
        """Store the samples that the SQL `samples` selects (ns, value, severity, arrived, lost) for a span of a PV.

        `first`: the piece begins a range, so the sample before it is the value at its start. `whole`: `samples` are all
        samples of the PV, so those outside of the span are not counted as of other times.
        """
        start, end = span
        last = f"(SELECT max(ns) FROM came WHERE ns < {start})"
        before = f"ns = {last}" if first else "false"
        placed = f"CASE WHEN ns >= {start} AND ns < {end} THEN 'inside' WHEN {before} THEN 'before' ELSE 'outside' END"
        # An archiver returns the sample before a piece, and one at its end, with the next piece too: count them once.
        own = f"ns <> {end}" + ("" if first else f" AND ns IS DISTINCT FROM {last}")
        if whole:
            own = f"ns < {end} AND ns >= coalesce({last}, {start})"
        sql = (
            f"WITH came AS MATERIALIZED ({samples}) SELECT ns, value,"
            " CAST(CASE WHEN severity BETWEEN 0 AND 3 THEN severity ELSE 3 END AS UTINYINT) AS severity,"
            " arrived, coalesce(ns < lag(ns) OVER (ORDER BY arrived), false) AS back, lost,"
            f" {placed} AS place FROM came WHERE {own}"
        )
        with replacing(self.piece(pv, start)) as temporary:
            connection.execute(
                f"COPY ({sql}) TO {sql_text(str(temporary))} (FORMAT parquet, COMPRESSION lz4)"
            )  # lz4: the file lives for one request, so write speed matters more than size
        self._index = None

    def keep(
        self, pv: str, span: tuple[int, int], ns: Any, values: Any, severity: Any = None, *, first: bool = True
    ) -> None:
        """Store samples from arrays: `ns` and `severity` of shape (n,), `values` of shape (n,) or (n, length).

        Of a signal with words, the values are texts, or the numbers of its `states`. Raises `Failed` for any others.
        """
        import numpy as np

        severity = np.zeros(len(ns), np.int32) if severity is None else np.asarray(severity)
        states = self._states.get(pv)
        found = _numbers(pv, values) if states is None else _texts(pv, values, states)
        value = "value" if states is None else word_columns.labels("value", states)
        block = Block({"ns": np.asarray(ns), "value": found, "severity": severity}, {})
        scratch = self.folder / f"{_file_name(pv)}.arrays"
        connection = connect(self.folder)
        try:
            write_blocks(connection, iter([block]), scratch, pv)
            source = parquet(scratch / "000000.parquet")
            samples = (
                f"SELECT * REPLACE ({value} AS value), row_number() OVER () AS arrived, CAST(NULL AS BIGINT) AS lost"
                f" FROM {source}"
            )
            self.put(connection, samples, pv, span, first=first)
        finally:
            connection.close()
            shutil.rmtree(scratch, ignore_errors=True)

    def source(self, pv: str) -> str:
        """The FROM clause of all samples of a PV."""
        return parquet(*self.pieces(pv))


def _numbers(pv: str, values: Any) -> Any:
    """An array of floats; a text that is a number is one."""
    import numpy as np

    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise Failed(f"the values of {pv} are no numbers: {error}") from None


def _texts(pv: str, values: Any, states: Sequence[str]) -> Any:
    """An array of texts, some of which may be numbers of states."""
    import numpy as np

    array = np.asarray(values)
    plain = [_text(value) for value in array.tolist()]
    odd = next((value for value in plain if not isinstance(value, str | None)), None)
    if not isinstance(odd, int | float | None) or isinstance(odd, bool):
        raise Failed(f"the values of {pv} are {type(odd).__name__}, not words")
    if odd is not None and not states:
        raise word_columns.numbers_without_states(f"the values of {pv} are numbers")
    return np.array([value if value is None else str(value) for value in plain], dtype=object)


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _file_name(pv: str) -> str:
    return hashlib.sha256(pv.encode()).hexdigest()[:32]
