"""What changed between two versions of a dataset: sentences, numbers and small histograms."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from beampermit.contract import FILE_NAME, parse_contract
from beampermit.datasets.dvc_lock import bound_outputs
from beampermit.datasets.profile import ColumnRoles, SignalProfile, Span, TableProfile, profile
from beampermit.datasets.pull import way_to_get
from beampermit.datasets.remote import hash_of
from beampermit.datasets.repository import HASH, Output, Repository
from beampermit.datasets.tables import Table, open_tables, quoted, sql_text
from beampermit.digest import digest_bytes
from beampermit.errors import BadInput, Failed, counted
from beampermit.files import replacing
from beampermit.project import Project

WORK_TREE = "."
BARS = "▁▂▃▄▅▆▇█"
SMALL = 0.005
"""Changes of a label's share below this are not reported."""
CLEAR = 0.02
"""Changes of mean and deviation below this share of the deviation are not reported."""


@dataclass(frozen=True)
class Version:
    """A version of a dataset: tables by split, and the roles of their columns if it has a contract."""

    name: str
    tables: dict[str, Table]
    roles: ColumnRoles | None


def load_version(project: Project | None, name: str, *, remote: bool = True) -> Version:
    """The version called `name`: `.` (the work tree), a Parquet file, a folder of them, or a git revision.

    With `remote`, missing data of a revision are fetched from the DVC remote and verified.
    Raises `BadInput` for an unknown name, `Failed` for missing or wrong data, `Outside`.
    """
    if name == WORK_TREE and project is not None:
        splits = project.contract.dataset.splits
        absent = [path for path in splits.values() if not project.path(path).is_file()]
        if absent:
            raise Failed(f"{absent[0]} is missing", hint=way_to_get(project, absent[0]))
        return Version("the work tree", _tables(project.root, splits), ColumnRoles.of(project.contract))
    path = Path(name)
    if path.is_file() or path.is_dir():
        return _files_version(path)
    commit = project.git.resolve(name) if project is not None else None
    if project is None or commit is None:
        raise BadInput(
            f"{name!r} is neither a Parquet file, nor a folder of them, nor a revision of this project",
            hint="run `git fetch` if it is somebody else's revision",
        )
    return _revision_version(project, name, commit, remote)


def _files_version(path: Path) -> Version:
    files = [path] if path.is_file() else sorted(path.glob("*.parquet"))
    if not files:
        raise BadInput("there is no Parquet file in this folder", file=path)
    folder = files[0].parent
    return Version(str(path), _tables(folder, {file.stem: file.name for file in files}), None)


def _tables(root: Path, splits: Mapping[str, str]) -> dict[str, Table]:
    return {table.split: table for table in open_tables(root, splits)}


def _revision_version(project: Project, name: str, commit: str, remote: bool) -> Version:
    text = project.git.read(commit, FILE_NAME)
    if text is None:
        raise BadInput(f"revision {name} has no contract", file=FILE_NAME, hint="name a revision that has one")
    contract = parse_contract(text, f"{name}:{FILE_NAME}")
    repository = Repository.of(project)
    objects = _objects(repository, commit)
    folder = project.own / "versions"
    folder.mkdir(exist_ok=True)
    files: dict[str, str] = {}
    for split, path in contract.dataset.splits.items():
        if path not in objects:
            raise BadInput(f"{path} is not in dvc.lock of revision {name}", file="dvc.lock")
        files[split] = (
            _fetch_object(repository, objects[path], path, folder, remote).relative_to(repository.root).as_posix()
        )
    return Version(name, _tables(repository.root, files), ColumnRoles.of(contract))


def fetch_file(project: Project, commit: str, path: str) -> Path:
    """A file of the data of a commit, from git, DVC's cache or the remote, below the project's folder.

    Raises `BadInput` where the commit does not have it, `Failed` where it is not available, `Outside`.
    """
    folder = project.own / "versions"
    folder.mkdir(exist_ok=True)
    if project.git.try_("cat-file", "-e", f"{commit}:{project.git.prefix}{path}").code == 0:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            there = project.git.export(commit, Path(scratch), path)
            kept = folder / f"{digest_bytes(f'{commit}:{path}'.encode())[7:39]}.parquet"
            return (there / path).replace(kept)
    repository = Repository.of(project)
    objects = _objects(repository, commit)
    if path not in objects:
        raise BadInput(f"{path} is not in dvc.lock of revision {commit[:12]}", file="dvc.lock")
    return _fetch_object(repository, objects[path], path, folder, remote=True)


def _objects(repository: Repository, commit: str) -> dict[str, str]:
    """Path -> hash of the files in `dvc.lock` and the `.dvc` files of a revision, and in their folders."""
    git = repository.project.git
    try:
        outputs = bound_outputs(git.files_at(commit), lambda name: git.read(commit, name))
    except BadInput as error:
        raise BadInput(f"{error.file} of {commit[:12]} is not YAML", file=error.file) from None
    objects: dict[str, str] = {}
    for path, output in outputs.items():
        if not HASH.fullmatch(output.hash) or PurePosixPath(path).is_absolute():
            continue
        tracked = Output(path, "", "dvc.lock", output.hash, "md5")
        if not tracked.folder:
            objects[path] = tracked.oid
        elif (manifest := repository.manifest(tracked)) and not manifest.faults:
            objects |= {f"{path}/{name}": digest for name, digest in manifest.files.items()}
    return objects


def _fetch_object(repository: Repository, oid: str, path: str, folder: Path, remote: bool) -> Path:
    """A file with the object's bytes, from the cache, `folder` or the remote; its hash is always verified.

    Of a cache outside the project, which tables are not read from, it is a copy.
    """
    cached = repository.cached(oid)
    for file in (cached, folder / oid):
        if file.is_file() and file.is_relative_to(repository.root) and hash_of(file) == oid:
            return file
    here = cached.is_file() and hash_of(cached) == oid
    if not here and not remote:
        raise Failed(f"{path} (object {oid[:8]}) is not on this machine")
    with replacing(folder / oid) as temporary:
        if here:
            shutil.copyfile(cached, temporary)
            return folder / oid
        digest = repository.remote().fetch(oid, temporary)
        if digest != oid:
            why = "is not on the remote" if digest is None else "on the remote does not match its hash"
            raise Failed(f"{path} {why} (object {oid[:8]})", hint="run `dvc push` on the machine that made it")
    return folder / oid


@dataclass(frozen=True)
class KeptRows:
    """What became of the `rows` of a table in a later one; `first` is the key of a row that is missing or changed."""

    rows: int
    missing: int
    changed: int
    relabelled: int
    added: int
    first: str = ""

    @property
    def all_kept(self) -> bool:
        return not self.missing and not self.changed


def compare_rows(
    root: Path, before: str, after: str, key: Sequence[str], fixed: Sequence[str], relabelled: set[tuple[str, ...]]
) -> KeptRows:
    """Whether each row of `before` is in `after`, both paths below `root`, with the same values in all columns of both.

    Rows of the keys `relabelled` may have other values, but in the columns `fixed`. Raises `Failed` where a table lacks
    a column of the key, or a column that is `fixed` has gone.
    """
    one, other = open_tables(root, {"before": before, "after": after})
    lacks = [name for name in (*key, *fixed) if name in one.columns and name not in other.columns]
    lacks += [name for name in key if name not in one.columns]
    if lacks:
        raise Failed(f"there is no column {lacks[0]}, which tells whether the test rows are the same", file=other.path)
    columns = [name for name in other.columns if name in one.columns and name not in key]
    keys = [f"CAST({quoted(name)} AS VARCHAR) AS key{number}" for number, name in enumerate(key)]
    values = [f"md5(CAST({quoted(name)} AS VARCHAR)) AS value{number}" for number, name in enumerate(columns)]
    selected = ", ".join((*keys, *values))
    moved = {name: f"one.value{number} IS DISTINCT FROM other.value{number}" for number, name in enumerate(columns)}
    in_signals = " OR ".join(test for name, test in moved.items() if name in fixed) or "false"
    anywhere = " OR ".join(moved.values()) or "false"
    same = " AND ".join(f"one.key{number} = other.key{number}" for number in range(len(key)))
    own = f"concat_ws(chr(31), {', '.join(f'one.key{number}' for number in range(len(key)))})"
    labels = ", ".join(sql_text("\x1f".join(row)) for row in sorted(relabelled)) or "NULL"
    missing = "other.key0 IS NULL"
    both = "one.key0 IS NOT NULL AND other.key0 IS NOT NULL"
    by_people = f"({own} IN ({labels})) IS TRUE"
    changed = f"{both} AND (({in_signals}) OR (({anywhere}) AND NOT {by_people}))"
    by_people_only = f"{both} AND NOT ({in_signals}) AND ({anywhere}) AND {by_people}"
    rows, rows_after, missed, moved_rows, corrected, first = other.query(
        f"SELECT (SELECT count(*) FROM {one.source}), (SELECT count(*) FROM {other.source}),"
        f" {', '.join(f'count(*) FILTER (WHERE {test})' for test in (missing, changed, by_people_only))},"
        f" min({own}) FILTER (WHERE ({missing}) OR ({changed}))"
        f" FROM (SELECT {selected} FROM {one.source}) AS one"
        f" LEFT JOIN (SELECT {selected} FROM {other.source}) AS other ON {same}"
    )[0]
    where = ", ".join(f"{name} {value}" for name, value in zip(key, (first or "").split("\x1f"), strict=False))
    # What a key has twice is added as well.
    return KeptRows(rows, missed, moved_rows, corrected, rows_after - (rows - missed), where if first else "")


def write_kept_rows(root: Path, before: str, after: str, key: Sequence[str], out: Path) -> None:
    """Write the rows of `after` whose key `before` has, in their order. Raises `Failed`."""
    one, other = open_tables(root, {"before": before, "after": after})
    # Each column has its table in front: a table may have a column of any name.
    same = " AND ".join(f"CAST(one.{quoted(name)} AS VARCHAR) = CAST(other.{quoted(name)} AS VARCHAR)" for name in key)
    columns = ", ".join(f"other.{quoted(name)}" for name in other.columns)
    other.query(
        f"COPY (SELECT {columns} FROM {other.numbered} AS other SEMI JOIN {one.source} AS one ON {same}"
        f" ORDER BY other.file_row_number) TO {sql_text(str(out))} (FORMAT parquet)"
    )


@dataclass(frozen=True)
class RowChanges:
    """Rows by their key: only in the second version, only in the first, in both but with other values (by column)."""

    added: int
    removed: int
    changed: int
    columns: dict[str, int]


@dataclass(frozen=True)
class SplitDifference:
    """One split in two versions; None if a version does not have it."""

    split: str
    before: TableProfile | None
    after: TableProfile | None
    rows: RowChanges | None
    changes: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not self.changes

    def as_json(self) -> dict[str, Any]:
        return {
            "split": self.split,
            "changes": list(self.changes),
            "rows": vars(self.rows) if self.rows else None,
            "before": self.before.as_json() if self.before else None,
            "after": self.after.as_json() if self.after else None,
        }


def compare_versions(one: Version, other: Version) -> tuple[SplitDifference, ...]:
    """Compare two versions split by split, with the column roles of the second's contract, else the first's.

    Two single files are compared whatever their names. Raises `Failed`.
    """
    roles = other.roles or one.roles or ColumnRoles.guess([*one.tables.values(), *other.tables.values()])
    pairs: dict[str, tuple[Table | None, Table | None]] = {
        split: (one.tables.get(split), other.tables.get(split)) for split in {**one.tables, **other.tables}
    }
    if len(one.tables) == len(other.tables) == 1:
        (before,), (after,) = one.tables.values(), other.tables.values()
        pairs = {after.split: (before, after)}
    return tuple(_difference(split, before, after, roles) for split, (before, after) in pairs.items())


def bars(counts: tuple[int, ...]) -> str:
    """A histogram in block characters."""
    most = max(counts, default=0)
    if not most:
        return ""
    return "".join(BARS[min(len(BARS) - 1, round(count / most * (len(BARS) - 1)))] for count in counts)


def _difference(split: str, before: Table | None, after: Table | None, roles: ColumnRoles) -> SplitDifference:
    if before is None or after is None:
        only = profile(after or before, roles) if (after or before) else None  # type: ignore[arg-type]
        changes = (f"added, {counted(only.rows, 'row')}" if before is None else "removed",) if only else ()
        return SplitDifference(split, None if before is None else only, None if after is None else only, None, changes)
    old, new = profile(before, roles), profile(after, roles)
    spans = _spans(old, new)
    if any(old.signals[signal].span != span or new.signals[signal].span != span for signal, span in spans.items()):
        old, new = profile(before, roles, spans), profile(after, roles, spans)
    rows = _row_changes(before, after, roles)
    return SplitDifference(split, old, new, rows, tuple(_describe(old, new, rows, roles)))


def _spans(old: TableProfile, new: TableProfile) -> dict[str, Span]:
    """One span for both histograms."""
    both = {name: (old.signals[name].span, new.signals[name].span) for name in old.signals.keys() & new.signals.keys()}
    return {name: (min(a[0], b[0]), max(a[1], b[1])) for name, (a, b) in both.items() if a and b}


def _row_changes(before: Table, after: Table, roles: ColumnRoles) -> RowChanges | None:
    if not roles.key or not all(column in table.columns for table in (before, after) for column in roles.key):
        return None
    both = [column for column in after.columns if column in before.columns and column not in roles.key]
    keys = ", ".join(f"CAST({quoted(column)} AS VARCHAR) AS key{n}" for n, column in enumerate(roles.key))
    hashes = "".join(f", hash(CAST({quoted(column)} AS VARCHAR)) AS value{n}" for n, column in enumerate(both))
    same = " AND ".join(f"one.key{n} = other.key{n}" for n in range(len(roles.key)))
    moved = [f"one.value{n} IS DISTINCT FROM other.value{n}" for n in range(len(both))]
    here = "one.key0 IS NOT NULL AND other.key0 IS NOT NULL"
    counts = "".join(f", count(*) FILTER (WHERE {here} AND {test})" for test in moved)
    removed, added, changed, *each = after.query(
        f"SELECT count(*) FILTER (WHERE other.key0 IS NULL), count(*) FILTER (WHERE one.key0 IS NULL),"
        f" count(*) FILTER (WHERE {here} AND ({' OR '.join(moved) or 'false'})){counts}"
        f" FROM (SELECT {keys}{hashes} FROM {before.source}) AS one"
        f" FULL JOIN (SELECT {keys}{hashes} FROM {after.source}) AS other ON {same}"
    )[0]
    return RowChanges(
        added, removed, changed, {column: count for column, count in zip(both, each, strict=True) if count}
    )


def _describe(old: TableProfile, new: TableProfile, rows: RowChanges | None, roles: ColumnRoles) -> Iterator[str]:
    if old.rows != new.rows:
        yield f"rows: {old.rows} → {new.rows}"
    if rows and (rows.added or rows.removed):
        yield f"{counted(rows.added, 'row')} added, {rows.removed} removed"
    if rows and rows.changed:
        yield f"{counted(rows.changed, 'row')} changed ({', '.join(f'{c} in {n}' for c, n in rows.columns.items())})"
    yield from _column_changes(old, new)
    for column, count in new.groups.items():
        if old.groups.get(column, count) != count:
            yield f"distinct values of {column}: {old.groups[column]} → {count}"
    for target in [name for name in new.balance if name in old.balance]:
        for value in sorted({*old.balance[target], *new.balance[target]}):
            was, now = (side.balance[target].get(value, 0) / (side.rows or 1) for side in (old, new))
            if abs(was - now) >= SMALL:
                yield f"{target} {value}: {was:.1%} → {now:.1%}"
    if old.times and new.times and (old.times.first, old.times.last) != (new.times.first, new.times.last):
        yield f"times: {old.times.first} to {old.times.last} → {new.times.first} to {new.times.last}"
    if old.times and new.times and old.times.gaps != new.times.gaps:
        yield f"gaps in time: {old.times.gaps} → {new.times.gaps}"
    for signal in new.signals.keys() & old.signals.keys():
        yield from _signal_changes(signal, old.signals[signal], new.signals[signal], roles.units.get(signal, ""))


def _column_changes(old: TableProfile, new: TableProfile) -> Iterator[str]:
    for column in {**old.columns, **new.columns}:
        if column not in old.columns:
            yield f"column {column} added"
        elif column not in new.columns:
            yield f"column {column} removed"
        elif old.columns[column] != new.columns[column]:
            yield f"type of column {column}: {old.columns[column]} → {new.columns[column]}"


def _signal_changes(name: str, old: SignalProfile, new: SignalProfile, unit: str) -> Iterator[str]:
    after = f" {unit}" if unit not in ("", "1") else ""
    if old.missing != new.missing:
        yield f"{name}: {old.missing} → {new.missing} values missing or not finite"
    if old.mean is None or new.mean is None or old.deviation is None or new.deviation is None:
        return
    spread = max(old.deviation, new.deviation) or 1.0
    if abs(old.mean - new.mean) > CLEAR * spread:
        yield f"{name}: mean {old.mean:.4g} → {new.mean:.4g}{after}"
    if abs(old.deviation - new.deviation) > CLEAR * spread:
        yield f"{name}: standard deviation {old.deviation:.4g} → {new.deviation:.4g}{after}"
    if (old.lowest, old.highest) != (new.lowest, new.highest):
        yield f"{name}: range {old.lowest:.4g} to {old.highest:.4g} → {new.lowest:.4g} to {new.highest:.4g}{after}"
