"""What a replay showed, as a Parquet table like the prediction log's, and in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import nan
from pathlib import Path

from beampermit.files import replacing
from beampermit.live.log.columns import Columns
from beampermit.live.log.entries import Entries, Entry
from beampermit.live.severity import Severity
from beampermit.live.update import Update
from beampermit.live.wiring import Wiring

AT_ONCE = 10_000
"""Rows of a row group."""


@dataclass
class Summary:
    """Counts of a replay; `reasons` are those of outputs that became INVALID."""

    cycles: int = 0
    asked: int = 0
    """Rows that the model was asked."""
    shown: Counter[Severity] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    strange: int = 0
    """Rows of devices that the device table does not have."""

    def count(self, update: Update) -> None:
        self.cycles += 1
        self.asked += len(update.rows.names) if update.rows else 0
        for value in update.values.values():
            self.shown[value.severity] += 1
            if value.severity == Severity.INVALID:
                self.reasons[value.message] += 1


def write_results(updates: Iterable[Update], wiring: Wiring, version: int, out: Path) -> Summary:
    """Write `out` with the columns of a prediction log, without the times that the model took: equal for equal runs."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns, summary = Columns(wiring, version), Summary()
    with replacing(out) as temporary, pq.ParquetWriter(temporary, columns.schema, compression="zstd") as writer:
        for entries in _groups(updates, Entries(wiring), summary):
            writer.write_table(pa.Table.from_batches([columns.batch(entries)]))
    return summary


def _groups(updates: Iterable[Update], entries: Entries, summary: Summary) -> Iterator[list[Entry]]:
    group, rows = [], 0
    for update in updates:
        summary.count(update)
        entry = entries.of(replace(update, latency=nan), shadow=False, lost=0)
        if entry is None:
            continue
        group.append(entry)
        rows += len(entry.numbers)
        if rows >= AT_ONCE:
            yield group
            group, rows = [], 0
    if group:
        yield group
