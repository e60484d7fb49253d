"""Whether the files that stages made again say what the committed ones say: texts line by line, tables by row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.contract.tolerance import RELATIVE, allowed
from beampermit.datasets.remote import hash_of
from beampermit.datasets.tables import connect_to_read, quoted, sql_text
from beampermit.digest import sha256_file
from beampermit.errors import counted

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(?: ?(?:Z|UTC|[-+]\d\d:?\d\d))?|\b\d\d:\d\d:\d\d\b"
)
SHOWN = 60
"""Characters of a line in a message."""
LARGEST_TEXT = 64 * 2**20

Agree = Callable[[float, float], bool]


@dataclass(frozen=True)
class FileRules:
    """When two files of the same name say the same."""

    agree: Agree
    """Whether two numbers of a text are the same."""
    tolerance_of: Callable[[str], float | str] = lambda _: 0.0
    """How far two numbers in a column of a table may differ, or 1e-6 of them; a percentage is of the column's span."""
    times: bool = False
    """Whether a date or a time may differ."""


def compare_files(
    committed: Mapping[str, Path], made: Mapping[str, Path], rules: FileRules, again: Mapping[str, Path] | None = None
) -> dict[str, str]:
    """Path -> what is wrong with it, of files that stages made again and the committed ones, by path in the project.

    `again` are the same files made once more: what differs between the two is not compared. Digests of files that
    say the same count as equal where another file lists them.
    """
    problems = dict.fromkeys(committed.keys() - made.keys(), "no stage writes it any more")
    problems |= dict.fromkeys(made.keys() - committed.keys(), "it is made, and is not committed")
    digests: dict[str, str] = {}
    for path in sorted(committed.keys() & made.keys(), key=lambda path: (not path.endswith(".parquet"), path)):
        before, after = committed[path], made[path]
        if sha256_file(before) == sha256_file(after):
            continue
        problem = _compare_file(before, after, rules, digests, (again or {}).get(path))
        if problem:
            problems[path] = problem
        else:
            digests |= {hash_of(after): hash_of(before), sha256_file(after): sha256_file(before)}
    return problems


def _compare_file(before: Path, after: Path, rules: FileRules, digests: Mapping[str, str], again: Path | None) -> str:
    if before.suffix == ".parquet" and (problem := _compare_tables(before, after, rules.tolerance_of)) is not None:
        return problem
    texts = [_text(path) for path in (before, after)]
    if texts[0] is None or texts[1] is None:
        steady = again is None or sha256_file(again) == sha256_file(after)
        return "it has other bytes" if steady else ""
    for made, kept in digests.items():
        texts[1] = texts[1].replace(made, kept)
    steady_lines = (_text(again) or "").splitlines() if again else None
    return _compare_lines(texts[0].splitlines(), texts[1].splitlines(), steady_lines, rules)


def _text(path: Path) -> str | None:
    if path.stat().st_size > LARGEST_TEXT:
        return None
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _compare_lines(before: list[str], after: list[str], again: list[str] | None, rules: FileRules) -> str:
    if len(before) != len(after):
        return f"it has {counted(len(before), 'line')}, {len(after)} are made"
    for number, (old, new) in enumerate(zip(before, after, strict=True), 1):
        unsteady = again is not None and (len(again) != len(after) or again[number - 1] != new)
        if not unsteady and not _same_line(old, new, rules):
            return f"line {number} is {_shown(old)}, {_shown(new)} is made"
    return ""


def _same_line(old: str, new: str, rules: FileRules) -> bool:
    if old == new:
        return True
    if rules.times:
        old, new = (TIME.sub("(time)", line) for line in (old, new))
    numbers = [NUMBER.findall(line) for line in (old, new)]
    return NUMBER.sub("0", old) == NUMBER.sub("0", new) and all(
        one == other or rules.agree(float(one), float(other)) for one, other in zip(*numbers, strict=True)
    )


def _shown(line: str) -> str:
    line = line.strip()
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}..."


def _compare_tables(before: Path, after: Path, tolerance_of: Callable[[str], float | str]) -> str | None:
    """What differs between two Parquet files, row by row; None where either is none."""
    import duckdb

    with connect_to_read() as connection:
        try:
            old, new = (connection.read_parquet(str(path)) for path in (before, after))
            kinds = [", ".join(map(" ".join, zip(one.columns, map(str, one.types), strict=True))) for one in (old, new)]
            if kinds[0] != kinds[1]:
                return f"it has the columns {kinds[0]}, {kinds[1]} are made"
            rows, new_rows = len(old), len(new)
            if rows != new_rows:
                return f"it has {counted(rows, 'row')}, {new_rows} are made"
            differs = " OR ".join(
                _differs(old, name, str(kind), tolerance_of(name))
                for name, kind in zip(old.columns, old.types, strict=True)
            )
            pair = f"read_parquet({sql_text(str(before))}) a POSITIONAL JOIN read_parquet({sql_text(str(after))}) b"
            count = connection.execute(f"SELECT count(*) FROM {pair} WHERE {differs}").fetchone()[0]  # noqa: S608
        except duckdb.Error:
            return None
    return f"{count} of {rows} rows are others than those that are made" if count else ""


def _differs(table: Any, name: str, kind: str, tolerance: float | str) -> str:
    old, new = f"a.{quoted(name)}", f"b.{quoted(name)}"
    if kind not in ("FLOAT", "DOUBLE"):
        return f"{old} IS DISTINCT FROM {new}"
    column = quoted(name)
    (span,) = table.filter(f"isfinite({column})").aggregate(f"max({column})::DOUBLE - min({column})").fetchall()[0]
    limit = f"greatest({allowed(tolerance, span or 0.0)!r}, {RELATIVE!r} * greatest(abs({old}), abs({new})))"
    near = f"isfinite({old}) AND isfinite({new}) AND abs({old}::DOUBLE - {new}) <= {limit}"
    return f"({old} IS DISTINCT FROM {new} AND NOT coalesce({near}, false))"
