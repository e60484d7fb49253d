"""The user's table as one Parquet file, whose columns have names of their own; the user's file is only read."""

# ruff: noqa: S608 - names and paths in SQL are quoted
from __future__ import annotations

import csv
import gzip
import os
import re
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beampermit.datasets.requests.store import read_hdf5, write_blocks
from beampermit.datasets.tables import Table, connect, open_tables, parquet, quoted, sql_path, sql_text
from beampermit.datasets.workspace import irregular_files
from beampermit.errors import BadInput, Failed, counted, did_you_mean
from beampermit.progress import Progress, silent
from beampermit.record import Record

MISSING = ("", "NA", "N/A", "n/a", "nan", "NaN", "null", "NULL")
"""Text of a CSV file that stands for no value."""
INDEX = re.compile(r"__index_level_\d+__|Unnamed: \d+|")
"""How pandas calls an index, and what a column without a name becomes when it is written and read again."""
COMMENT = ("#", "%", "!")
DECIMAL_COMMA = re.compile(r"(^|;)\s*-?\d+,\d+\s*(;|$)", re.MULTILINE)
LONGEST_HEADER = 2**22
LINE = re.compile(r"CSV Error on Line: (\d+)")


class Header(Record):
    """A column as the file has it: its name there, maybe empty, and its unique name in the copy."""

    given: str
    name: str
    unit: str | None = None

    @property
    def nameless(self) -> bool:
        return INDEX.fullmatch(self.given) is not None


def copy_table(file: Path, copy: Path, progress: Progress = silent) -> tuple[Header, ...]:
    """Write the table in `file` as Parquet to `copy`, which is complete or absent; return its columns in order.

    Raises `BadInput` for a file that is not a table: with the line, where a line is wrong.
    """
    reader = READERS.get("".join(file.suffixes[-2:]).lower()) or READERS.get(file.suffix.lower())
    if not os.path.exists(file):  # noqa: PTH110 - of a name that is too long, Path raises
        raise BadInput("there is no such file", file=file)
    for odd, what in irregular_files(file.resolve(), file.resolve().parent):
        raise BadInput(f"is {what}, not a file", file=odd)
    if reader is None:
        known = f"{did_you_mean(file.suffix, READERS)}; it must be one of {', '.join(READERS)}"
        raise BadInput(f"a table with the suffix {file.suffix!r} cannot be read{known}", file=file)
    if file.stat().st_size == 0:
        raise BadInput("the file is empty", file=file)
    progress(f"reading {file.name}")
    try:
        headers = reader(file, copy)
    except Failed as error:
        raise BadInput(error.message, file=file, hint=error.hint) from None
    if not headers:
        raise BadInput("the table has no columns", file=file)
    return headers


def _parquet(file: Path, copy: Path) -> tuple[Header, ...]:
    connection = connect()
    given = _query(connection, f"SELECT name, num_children, type FROM parquet_schema({sql_path(file)})", file)
    table = open_file(file)
    names = _top_level(given)
    headers = _headers(names, {names[place]: unit for place, unit in _units(table, names).items()}, list(table.columns))
    if [header.name for header in headers] == names:
        shutil.copyfile(file, copy)
        copy.chmod(0o644)
        return headers
    _write(connection, parquet(file), list(table.columns), headers, copy, file)
    return headers


def _units(table: Table, names: list[str]) -> dict[int, str]:
    return {place: table.units[name] for place, name in enumerate(names) if name in table.units}


def _top_level(schema: list[Any]) -> list[str]:
    """The names of the columns: the schema is a tree in depth-first order, whose root comes first."""
    names: list[str] = []
    position = 1

    def skip(place: int) -> int:
        after = place + 1
        for _ in range(schema[place][1] or 0):
            after = skip(after)
        return after

    while position < len(schema):
        names.append(schema[position][0])
        position = skip(position)
    return names


def _csv(file: Path, copy: Path) -> tuple[Header, ...]:
    connection = connect()
    missing = ", ".join(map(sql_text, MISSING))
    options = f"header = true, nullstr = [{missing}]" + (", delim = ';'" if _has_decimal_commas(file) else "")
    (delimiter, quote, skipped), *_ = _query(
        connection, f"SELECT Delimiter, Quote, SkipRows FROM sniff_csv({sql_path(file)}, {options})", file
    )
    above, given, first = _first_lines(file, delimiter, quote, skipped)
    if odd := [number for number, line in enumerate(above, 1) if line.strip() and not line.startswith(COMMENT)]:
        raise BadInput(
            f"the first {len(above)} lines do not have the columns of the rest",
            file=file,
            line=odd[0],
            hint="leave out what is not a row of the table, or put # in front of it",
        )
    if len(given) == 1 and (parted := next((mark for mark in ",;\t" if mark in given[0]), "")):
        raise _uneven(file, parted)
    if delimiter == ";" and DECIMAL_COMMA.search(first):
        options += ", decimal_separator = ','"
    if given and all(_is_number(name) for name in given):
        raise BadInput("the first line has numbers, not the names of the columns", file=file, line=skipped + 1)
    error: Exception | None = None
    for sample in ("", ", sample_size = -1"):  # types from all rows only where those from the first do not fit
        source = f"read_csv({sql_path(file)}, {options}{sample})"
        columns = [name for name, *_ in _query(connection, f"DESCRIBE SELECT * FROM {source}", file)]
        headers = _headers(given if len(given) == len(columns) else columns, {}, columns)
        try:
            _write(connection, source, columns, headers, copy, file)
        except BadInput as caught:
            error = caught
            continue
        return headers
    raise error or BadInput("cannot be read", file=file)


def _has_decimal_commas(file: Path) -> bool:
    """Whether the names of the columns are parted by semicolons, and the first row has numbers such as `1,5`.

    Between as many commas as there may be columns, duckdb would part the numbers.
    """
    with _open_text(file) as stream:
        try:
            lines = iter(lambda: stream.readline(LONGEST_HEADER), "")
            names = next((line for line in lines if line.strip() and not line.startswith(COMMENT)), "")
            first = stream.readline(LONGEST_HEADER)
        except (OSError, EOFError, zlib.error):
            return False  # duckdb says what is wrong
    return ";" in names and "," not in names and DECIMAL_COMMA.search(first) is not None


def _first_lines(file: Path, delimiter: str, quote: str, skipped: int) -> tuple[list[str], list[str], str]:
    """What stands above the table, the names of its columns, which duckdb may change, and its first row."""
    with _open_text(file) as stream:
        above = [stream.readline(LONGEST_HEADER) for _ in range(skipped)]
        dialect: dict[str, Any] = {"delimiter": delimiter} if len(delimiter) == 1 else {}
        dialect |= {"quotechar": quote} if len(quote) == 1 and quote != "\0" else {}
        names = _parted(stream.readline(LONGEST_HEADER), dialect, file, skipped + 1)
        return above, [name.strip() for name in names], stream.readline(LONGEST_HEADER)


def _parted(line: str, dialect: dict[str, Any], file: Path, number: int) -> list[str]:
    try:
        return next(csv.reader([line], **dialect), [])
    except csv.Error as error:  # such as a name of more than 131,072 characters
        raise BadInput(f"cannot be read: {error}", file=file, line=number) from None


def _uneven(file: Path, delimiter: str) -> BadInput:
    """The error for a table whose lines have different numbers of values, with the first of them that is odd."""
    with _open_text(file) as stream:
        lines = csv.reader(stream, delimiter=delimiter)
        columns = len(next(lines))
        for values in lines:
            if values and len(values) != columns:
                what = f"this line has {counted(len(values), 'value')}, and there are {columns} columns"
                return BadInput(what, file=file, line=lines.line_num)
    return BadInput("the lines do not all have the same number of values", file=file)


def _open_text(file: Path) -> Any:
    opened: Any = gzip.open if file.suffix == ".gz" else open
    return opened(file, "rt", encoding="utf-8-sig", errors="replace", newline="")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _hdf5(file: Path, copy: Path) -> tuple[Header, ...]:
    names = _datasets(file)
    connection = connect()
    with tempfile.TemporaryDirectory(dir=copy.parent, prefix=".blocks-") as scratch:
        blocks = read_hdf5(file, file.name, frozenset(names))
        units = write_blocks(connection, blocks, Path(scratch) / "blocks", file.name)
        source = parquet(*sorted((Path(scratch) / "blocks").glob("*.parquet")))
        columns = [name for name, *_ in _query(connection, f"DESCRIBE SELECT * FROM {source}", file)]
        ordered = [name for name in names if name in columns]
        headers = _headers([name.rpartition("/")[2] for name in ordered], {}, ordered)
        headers = tuple(
            header.model_copy(update={"unit": units.get(name)}) for header, name in zip(headers, ordered, strict=True)
        )
        _write(connection, source, ordered, headers, copy, file)
    return headers


def _datasets(file: Path) -> list[str]:
    """The arrays of a file with one table: those of one length, in one group. Raises `BadInput`."""
    try:
        import h5py
    except ImportError:
        raise BadInput(
            "the library that reads HDF5 is not installed", file=file, hint="pip install 'beampermit[hdf5]'"
        ) from None
    lengths: dict[str, int] = {}
    compound: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape:
            lengths[name] = item.shape[0]
            if item.dtype.names:
                compound.append(name)

    try:
        with h5py.File(file, "r") as opened:
            by_pandas = any("pandas_type" in group.attrs for group in opened.values() if group is not None)
            opened.visititems(visit)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise BadInput(f"cannot be read: {error}", file=file) from None
    if by_pandas or compound:
        raise BadInput(
            "the file holds a table as pandas or PyTables write it, and not one array for each column",
            file=file,
            hint="write it as Parquet: pandas.read_hdf(FILE).to_parquet('table.parquet')",
        )
    if not lengths:
        raise BadInput("the file has no arrays", file=file)
    (length, _), *others = Counter(lengths.values()).most_common()
    if others:
        odd = next(name for name, rows in lengths.items() if rows != length)
        raise BadInput(
            f"its arrays differ in length, so they are no table: {odd} has {lengths[odd]} rows, others have {length}",
            file=file,
        )
    return list(lengths)


def _headers(given: list[str], units: dict[str, str], columns: list[str]) -> tuple[Header, ...]:
    """The columns with unique names: the first of several keeps its name, and one without a name gets its place.

    To SQL, `X` and `x` are one name.
    """
    taken = {name.casefold() for name in given}
    headers: list[Header] = []
    seen: set[str] = set()
    for place, name in enumerate(given if len(given) == len(columns) else columns, 1):
        unique = name or f"column {place}"
        number = 1
        while unique.casefold() in seen or (unique != name and unique.casefold() in taken):
            number += 1
            unique = f"{name or f'column {place}'} ({number})"
        seen.add(unique.casefold())
        headers.append(Header(given=name, name=unique, unit=units.get(name)))
    return tuple(headers)


def _write(
    connection: Any, source: str, columns: list[str], headers: tuple[Header, ...], copy: Path, file: Path
) -> None:
    """Write `columns` of `source` under the names of `headers`, a type that Parquet lacks as text."""
    select = ", ".join(
        f"{quoted(column)} AS {quoted(header.name)}" for column, header in zip(columns, headers, strict=True)
    )
    part = copy.with_name(f".{copy.name}.part")
    try:
        _query(
            connection,
            f"COPY (SELECT {select} FROM {source}) TO {sql_text(str(part))} (FORMAT parquet, COMPRESSION zstd)",
            file,
        )
        part.replace(copy)
    finally:
        part.unlink(missing_ok=True)


def open_file(file: Path) -> Table:
    """A Parquet file to be queried."""
    folder = file.resolve().parent
    (table,) = open_tables(folder, {file.name: file.name})
    return table


def _query(connection: Any, sql: str, file: Path) -> list[Any]:
    import duckdb

    try:
        return connection.execute(sql).fetchall()
    except duckdb.Error as error:
        reason = str(error).replace(str(file), file.name)
        line = LINE.search(reason)
        lines = [each.strip() for each in reason.splitlines() if each.strip()]
        what = lines[1] if line and len(lines) > 1 else lines[0]
        encoding = "utf-8 encoded" in reason.lower()
        hint = f"iconv -f latin1 -t utf-8 {file.name} > utf8.csv" if encoding else ""
        raise BadInput(f"cannot be read: {what}", file=file, line=int(line[1]) if line else None, hint=hint) from None


READERS: dict[str, Callable[[Path, Path], tuple[Header, ...]]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".csv.gz": _csv,
    ".tsv": _csv,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
}
