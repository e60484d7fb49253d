"""The table of devices: its columns fill the names of PVs."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from beampermit.contract import FILE_NAME
from beampermit.datasets.requests.inputs import plain_file
from beampermit.errors import BadInput

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
"""What stands in a PV's name for a column."""
MOST_DEVICES = 100_000


@dataclass(frozen=True)
class Devices:
    """The columns that stand in names of PVs, in the table's order, and the values of each different device."""

    columns: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]

    def names(self, pv: str) -> tuple[str, ...]:
        """The names that follow from the pattern `pv`, each once, in the table's order."""
        rows = (dict(zip(self.columns, values, strict=True)) for values in self.values)
        return tuple(dict.fromkeys(_filled(pv, row) for row in rows))


def devices(root: Path, table: str | None, pvs: Iterable[str]) -> Devices:
    """What fills the names `pvs`, from the CSV file `table`. Raises `BadInput` with file and line."""
    stand = {column for pv in pvs for column in PLACEHOLDER.findall(pv)}
    if not stand:
        return Devices((), ((),))
    if table is None:
        raise BadInput(f"{{{min(stand)}}} stands in a PV's name and signals.devices names no table", file=FILE_NAME)
    header, rows = device_table(root, table)
    if missing := sorted(stand - set(header)):
        raise BadInput(f"{{{missing[0]}}} stands in a PV's name and there is no such column", file=table, line=1)
    columns = tuple(column for column in header if column in stand)
    found = {tuple(row[column] for column in columns): number for number, row in rows}
    for values, number in found.items():
        if not all(values) or any(not value.isprintable() for value in values):
            raise BadInput("a value that stands in a PV's name is empty or not printable", file=table, line=number)
    if not found:
        raise BadInput("there are no devices in the table", file=table)
    return Devices(columns, tuple(found))


def device_table(root: Path, path: str) -> tuple[list[str], list[tuple[int, Mapping[str, str]]]]:
    """The columns of the device table and its rows, each with its line. Raises `BadInput` with file and line."""
    file = plain_file(root, path)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    raise BadInput("a row is longer or shorter than the first one", file=path, line=reader.line_num)
                if len(rows) == MOST_DEVICES:
                    raise BadInput(f"more than {MOST_DEVICES} devices", file=path, line=reader.line_num)
                rows.append((reader.line_num, row))
            return list(reader.fieldnames or ()), rows
    except UnicodeDecodeError as error:
        raise BadInput(f"not UTF-8: {error.reason} at byte {error.start}", file=path) from None
    except csv.Error as error:
        raise BadInput(f"not CSV: {error}", file=path) from None


def _filled(pv: str, row: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda found: row[found[1]], pv)
