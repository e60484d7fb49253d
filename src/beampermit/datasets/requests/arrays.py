"""Recordings that are arrays by name (HDF5, SDDS), made into Parquet block by block."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.datasets.tables import name, text
from beampermit.errors import BadInput, Tripped

AT_ONCE = 4_000_000
"""Numbers in memory at once."""


@dataclass(frozen=True)
class Block:
    """Rows from one to another: column -> array of shape (rows,) or (rows, ...), and the units that were stated."""

    columns: dict[str, Any]
    units: dict[str, str]


def as_parquet(connection: Any, blocks: Iterator[Block], folder: Path, path: str) -> dict[str, str]:
    """Write each block as a Parquet file in `folder`, made anew; give the units."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    units: dict[str, str] = {}
    for number, block in enumerate(blocks):
        units |= block.units
        _write(connection, block, folder / f"{number:06}.parquet", path)
    return units


def hdf5(file: Path, path: str, names: frozenset[str]) -> Iterator[Block]:
    """Datasets of an HDF5 file by their names, all of one length. Needs h5py, the extra `hdf5`."""
    try:
        import h5py
    except ImportError:
        raise _not_installed("HDF5", "hdf5", path) from None
    try:
        with h5py.File(file, "r") as opened:
            items = {key: opened.get(key) for key in sorted(names)}
            found = {key: item for key, item in items.items() if isinstance(item, h5py.Dataset)}
            if any(data.is_virtual or data.external for data in found.values()):
                raise BadInput("its arrays lie in other files, which are not looked at", file=path)
            if not found:
                # Names that are there help whoever mistyped one.
                there: list[str] = []
                opened.visititems(lambda key, item: there.append(key) if isinstance(item, h5py.Dataset) else None)
                raise Tripped(f"none of its arrays is asked for; there are {', '.join(there[:8]) or 'none'}", file=path)
            length = _length({key: len(data) if data.shape else 0 for key, data in found.items()}, path)
            units = {key: unit for key, data in found.items() if (unit := _unit(data.attrs))}
            widest = max(math.prod(data.shape[1:]) for data in found.values())
            step = max(1, AT_ONCE // (widest * len(found)))
            for first in range(0, max(length, 1), step):
                yield Block({key: _plain(data[first : first + step], key, path) for key, data in found.items()}, units)
    except (OSError, KeyError, RuntimeError) as error:
        raise Tripped(f"cannot be read: {error}", file=path) from None


def sdds(file: Path, path: str, names: frozenset[str]) -> Iterator[Block]:
    """Columns of an SDDS file by their names, page by page. Needs pysdds, the extra `sdds`."""
    try:
        import pysdds
    except ImportError:
        raise _not_installed("SDDS", "sdds", path) from None
    try:
        opened = pysdds.read(str(file))
    except Exception as error:  # its readers raise whatever a wrong byte leads to
        raise Tripped(f"cannot be read: {type(error).__name__} {error}", file=path) from None
    found = {column.name: column for column in opened.columns if column.name in names}
    if not found:
        there = ", ".join(str(column.name) for column in opened.columns[:8])
        raise Tripped(f"none of its columns is asked for; there are {there or 'none'}", file=path)
    units = {key: column.nm["units"] for key, column in found.items() if column.nm.get("units")}
    for page in range(opened.n_pages):
        columns = {key: _plain(column.data[page], key, path) for key, column in found.items()}
        _length({key: len(data) for key, data in columns.items()}, path)
        yield Block(columns, units)


def _not_installed(what: str, extra: str, path: str) -> BadInput:
    return BadInput(f"{what} needs a library that is not here", file=path, hint=f"pip install 'beampermit[{extra}]'")


def _length(lengths: dict[str, int], path: str) -> int:
    if len(set(lengths.values())) > 1:
        shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise Tripped(
            f"its arrays have not one length: {shortest} has {lengths[shortest]} rows, {longest} {lengths[longest]}",
            file=path,
        )
    return next(iter(lengths.values()))


def _unit(attributes: Any) -> str | None:
    for key in ("unit", "units", "EGU"):
        value = attributes.get(key)
        if value is not None:
            return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return None


def _plain(data: Any, key: str, path: str) -> Any:
    """Numbers as they are, text as Python's. Raises `Tripped` for text that is not UTF-8, and for anything else."""
    import numpy as np

    array = np.asarray(data)
    if array.dtype.kind in "biuf":
        return array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind not in "OSU" or array.ndim != 1:
        raise Tripped(f"{key} is of type {array.dtype}, neither numbers nor text", file=path)
    try:
        words = [value.decode() if isinstance(value, bytes) else str(value) for value in array.tolist()]
    except UnicodeDecodeError:
        raise Tripped(f"{key} holds text that is not UTF-8", file=path) from None
    return np.array(words, dtype=object)


def _write(connection: Any, block: Block, file: Path, path: str) -> None:
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
        selected.append(f"t{number}.value AS {name(key)}")
    try:
        connection.execute(f"COPY (SELECT {', '.join(selected)} FROM {joined}) TO {text(str(file))} (FORMAT parquet)")
    except duckdb.Error as error:
        raise Tripped(f"cannot be read: {str(error).splitlines()[0]}", file=path) from None
    finally:
        for view in registered:
            connection.unregister(view)
