"""The device table: its columns fill placeholders in PV names."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from beampermit.contract import FILE_NAME
from beampermit.datasets.workspace import plain_file
from beampermit.errors import BadInput

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
"""A column of the device table in a PV name."""
MOST_DEVICES = 100_000


@dataclass(frozen=True)
class Devices:
    """The columns that appear in PV names, in the table's order, and their distinct values."""

    columns: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]

    def names(self, pv: str) -> tuple[str, ...]:
        """The PV names that the pattern `pv` expands to, each once, in the table's order."""
        rows = (dict(zip(self.columns, values, strict=True)) for values in self.values)
        return tuple(dict.fromkeys(_expand(pv, row) for row in rows))


def load_devices(root: Path, table: str | None, pvs: Iterable[str]) -> Devices:
    """The devices of the CSV file `table` that the patterns `pvs` need. Raises `BadInput` with file and line."""
    placeholders = {column for pv in pvs for column in PLACEHOLDER.findall(pv)}
    if not placeholders:
        return Devices((), ((),))
    if table is None:
        raise BadInput(f"{{{min(placeholders)}}} is in a PV name, but signals.devices names no table", file=FILE_NAME)
    header, rows = read_device_table(root, table)
    if missing := sorted(placeholders - set(header)):
        raise BadInput(f"{{{missing[0]}}} is in a PV name, but the device table has no such column", file=table, line=1)
    columns = tuple(column for column in header if column in placeholders)
    devices = {tuple(row[column] for column in columns): number for number, row in rows}
    for values, number in devices.items():
        if not all(values) or any(not value.isprintable() for value in values):
            raise BadInput("a value used in a PV name is empty or not printable", file=table, line=number)
    if not devices:
        raise BadInput("the device table has no rows", file=table)
    return Devices(columns, tuple(devices))


def read_device_table(root: Path, path: str) -> tuple[list[str], list[tuple[int, Mapping[str, str]]]]:
    """The columns of the device table, and its rows with their lines. Raises `BadInput` with file and line."""
    file = plain_file(root, path)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    raise BadInput("this row has more or fewer fields than the header", file=path, line=reader.line_num)
                if len(rows) == MOST_DEVICES:
                    raise BadInput(f"there are more than {MOST_DEVICES} devices", file=path, line=reader.line_num)
                rows.append((reader.line_num, row))
            return list(reader.fieldnames or ()), rows
    except UnicodeDecodeError as error:
        raise BadInput(f"not UTF-8: {error.reason} at byte {error.start}", file=path) from None
    except csv.Error as error:
        raise BadInput(f"not CSV: {error}", file=path) from None


def _expand(pv: str, row: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: row[match[1]], pv)
