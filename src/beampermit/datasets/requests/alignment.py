"""Align samples into rows: each signal has its last value, unless that is too old, too severe or not finite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from beampermit.contract import FILE_NAME, conditions
from beampermit.datasets.requests import word_columns
from beampermit.datasets.requests.gaps import Gap, Gaps, merge
from beampermit.datasets.requests.query import Answer, Channel, Query
from beampermit.datasets.requests.store import Store, connect, write_table
from beampermit.datasets.tables import parquet, quoted, sql_text
from beampermit.errors import Failed, counted
from beampermit.files import replacing
from beampermit.progress import Progress

SEVERITIES = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
AT_ONCE = 4_000_000
"""Cells aligned at once, which bounds memory."""


def align(query: Query, store: Store, progress: Progress) -> Answer:
    """Write one Parquet file with the rows of each device, ordered by device and time.

    Raises `Failed` if a PV has no samples or a gap is longer than `gaps.longest`.
    """
    work = _Alignment(query, store)
    parts = []
    folder = query.folder / "parts"
    folder.mkdir(exist_ok=True)
    for number, device in enumerate(query.devices):
        progress("align", number, len(query.devices))
        parts += work.device(device, folder, number)
    progress("write", 0, 1)
    table = query.folder / "table.parquet"
    units = {signal.name: signal.unit or "1" for signal in query.signals}
    with replacing(table) as temporary:
        write_table(work.connection, f"SELECT * FROM {parquet(*parts)}", temporary, units)
    work.connection.close()
    for part in parts:
        part.unlink()
    progress("write", 1, 1)
    return Answer(table, dict(work.counts), work.gaps)


class _Alignment:
    """The database connection, with the counts and gaps of the channels so far."""

    def __init__(self, query: Query, store: Store):
        assert query.request.gaps is not None  # noqa: S101 - the contract requires them of a request with signals
        assert query.request.sampling is not None  # noqa: S101
        self._query = query
        self._store = store
        self._gaps = query.request.gaps
        self._sampling = query.request.sampling
        self._shared: dict[str, str] = {}
        self._counted: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.gaps = Gaps()
        self.connection = connect(query.folder)

    def device(self, device: tuple[str, ...], folder: Path, number: int) -> Iterator[Path]:
        """Write the rows of one device as files in order of time."""
        channels = self._query.channels_of(device)
        events = [self._events(channel, f"e{index}") for index, channel in enumerate(channels)]
        gaps: dict[str, list[Gap]] = {channel.pv: [] for channel in channels}
        for index, grid in enumerate(self._grids(channels, events)):
            part = folder / f"{number:06}-{index:06}.parquet"
            self._slice(grid, channels, events, device, part, gaps)
            yield part
        for pv in gaps.keys() - self._counted:
            self._add_gaps(list(merge(gaps[pv])))
        self._counted |= gaps.keys()

    def _events(self, channel: Channel, table: str) -> str:
        """Make the table of a PV's values and disconnects; for a PV without a device, only once."""
        if channel.pv in self._shared:
            return self._shared[channel.pv]
        if not channel.device:
            table = f"shared{len(self._shared)}"
            self._shared[channel.pv] = table
        samples = self._store.source(channel.pv)
        total, inside, repeated, twice, back, outside, lost, severe, odd = self.connection.execute(
            "SELECT count(*), count(*) FILTER (place = 'inside'),"
            " count(*) FILTER (place = 'inside') - count(DISTINCT ns) FILTER (place = 'inside'),"
            " count(*) FILTER (place <> 'outside') > count(DISTINCT ns) FILTER (place <> 'outside'),"
            " count(*) FILTER (back), count(*) FILTER (place = 'outside'), count(lost),"
            f" count(*) FILTER (severity > {self._worst}), count(*) FILTER (NOT {_usable(channel)})"
            f" FROM {samples}"
        ).fetchone()
        if total == outside:
            other = f"; all {outside} samples returned are of other times" if outside else ""
            raise Failed(
                f"{channel.pv} has no samples in dataset.request.ranges{other}",
                file=FILE_NAME,
                hint="change the ranges, or remove the signal",
            )
        if channel.pv not in self._counted:
            self.counts.update(
                samples=inside,
                duplicates=repeated,
                backwards=back,
                outside=outside,
                disconnects=lost,
                severe=severe,
                **{"unknown_words" if channel.signal.words else "not_finite": odd},
            )
        if channel.size:
            self._check_length(channel, samples)
        rows = f"SELECT * FROM {samples} WHERE place <> 'outside'"
        if twice:
            rows += " QUALIFY row_number() OVER (PARTITION BY ns ORDER BY arrived DESC) = 1"
        why = (
            f"CASE WHEN severity > {self._worst} THEN 'severity ' || {_severity_name('severity')}"
            f" WHEN NOT {_usable(channel)} THEN {_unusable(channel)} END"
        )
        # An archiver records the second of a disconnect: samples within that second are still valid.
        marks = (
            "SELECT greatest(lost, coalesce(lag(ns) OVER (ORDER BY ns) + 1, lost)) AS ns, NULL AS value,"
            " CAST(3 AS UTINYINT) AS severity, 'disconnected' AS why, ns AS until, lost FROM came"
        )
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS WITH came AS MATERIALIZED ({rows})"
            f" SELECT ns, {_number(channel)} AS value, severity, {why} AS why, place = 'inside' AS inside FROM came"
            f" UNION ALL SELECT ns, value, severity, why, false FROM ({marks}) WHERE lost IS NOT NULL AND ns < until"
        )
        return table

    def _check_length(self, channel: Channel, samples: str) -> None:
        mismatch = self.connection.execute(
            f"SELECT len(value), make_timestamptz(ns // 1000)::VARCHAR FROM {samples}"
            f" WHERE severity <= {self._worst} AND len(value) <> {channel.size} ORDER BY ns LIMIT 1"
        ).fetchone()
        if mismatch:
            length, time = mismatch
            raise Failed(
                f"{channel.pv} has {counted(length, 'value')} at {time}; its shape in the contract has {channel.size}",
                file=FILE_NAME,
                hint="change the signal's shape, or request a time when it had this length",
            )

    def _grids(self, channels: tuple[Channel, ...], events: list[str]) -> Iterator[tuple[str, int]]:
        """SQL of the row times (ns), `AT_ONCE` cells at a time, and their period (0: at events)."""
        most = max(1000, AT_ONCE // max(1, len(channels)))
        if self._sampling.period is not None:
            period = round(self._sampling.period * 1e9)
            for start, end in self._query.ranges:
                count = -(-(end - start) // period)
                for first in range(0, count, most):
                    last = min(count, first + most)
                    yield f"SELECT {start} + number * {period} AS ns FROM range({first}, {last}) r(number)", period
            return
        names = [channel.signal.name for channel in channels]
        event = events[names.index(str(self._sampling.event))]
        for start, end in self._query.ranges:
            yield f"SELECT ns FROM {event} WHERE inside AND ns >= {start} AND ns < {end}", 0

    def _slice(
        self,
        grid: tuple[str, int],
        channels: tuple[Channel, ...],
        events: list[str],
        device: tuple[str, ...],
        part: Path,
        gaps: dict[str, list[Gap]],
    ) -> None:
        sql, period = grid
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE grid AS SELECT ns FROM ({sql}) ORDER BY ns")
        for index, (channel, table) in enumerate(zip(channels, events, strict=True)):
            self._align(channel, table, f"a{index}")
            gaps[channel.pv] += self._gaps_in(channel.pv, f"a{index}", period)
        joined = "grid " + " ".join(f"POSITIONAL JOIN a{index}" for index in range(len(channels)))
        present = " AND ".join(f"a{index}.why IS NULL" for index in range(len(channels)))
        kept = present if self._gaps.rows == "drop" else "true"
        conditions_hold = self._conditions(channels)
        total, complete, rows = self.connection.execute(
            f"SELECT count(*), count(*) FILTER ({kept}), count(*) FILTER ({kept} AND ({conditions_hold})) FROM {joined}"
        ).fetchone()
        self.counts.update(dropped=total - complete, filtered=complete - rows)
        device_values = zip(self._query.columns, device, strict=True)
        columns = [f"{sql_text(value)} AS {quoted(column)}" for column, value in device_values]
        columns.append(f"make_timestamptz(grid.ns // 1000) AS {quoted(self._query.time)}")
        for index, channel in enumerate(channels):
            columns.append(f"a{index}.value AS {quoted(channel.signal.name)}")
            columns.append(f"a{index}.severity AS {quoted(channel.signal.name + '_severity')}")
        select = f"SELECT {', '.join(columns)} FROM {joined} WHERE {kept} AND ({conditions_hold}) ORDER BY grid.ns"
        self.connection.execute(f"COPY ({select}) TO {sql_text(str(part))} (FORMAT parquet)")

    def _align(self, channel: Channel, events: str, table: str) -> None:
        """For each time of the grid, the last value, or why it is missing."""
        age = channel.signal.max_age or self._gaps.max_age
        kind = "DOUBLE[]" if channel.size else "DOUBLE"
        why = (
            "CASE WHEN e.ns IS NULL THEN 'no sample before' WHEN e.why IS NOT NULL THEN e.why"
            f" WHEN grid.ns - e.ns > {round(age * 1e9)} THEN 'older than {age:g} s' END"
        )
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT CASE WHEN why IS NULL THEN value END AS value,"
            f" severity, why FROM (SELECT grid.ns, CAST(e.value AS {kind}) AS value, e.severity, {why} AS why"
            f" FROM grid ASOF LEFT JOIN {events} e ON grid.ns >= e.ns) ORDER BY ns"
        )

    def _gaps_in(self, pv: str, table: str, period: int) -> list[Gap]:
        rows = self.connection.execute(
            "SELECT min(ns), max(ns), arg_min(why, ns) FROM"
            " (SELECT ns, why, number - row_number() OVER (ORDER BY number) AS island FROM"
            f" (SELECT ns, why, row_number() OVER (ORDER BY ns) AS number FROM grid POSITIONAL JOIN {table})"
            " WHERE why IS NOT NULL) GROUP BY island ORDER BY 1"
        ).fetchall()
        return [Gap(pv, first, last + period, why) for first, last, why in rows]

    def _add_gaps(self, gaps: list[Gap]) -> None:
        self.gaps.add(gaps)
        longest = max(gaps, key=lambda gap: gap.length, default=None)
        limit = self._gaps.longest
        if longest and limit is not None and longest.length > limit * 1e9:
            raise Failed(
                f"{longest.describe()} is longer than dataset.request.gaps.longest, {limit:g} s",
                file=FILE_NAME,
                hint="exclude that time from dataset.request.ranges",
            )

    def _conditions(self, channels: tuple[Channel, ...]) -> str:
        number = {conditions.spelt(channel.signal.name): index for index, channel in enumerate(channels)}
        parts = [
            conditions.sql(condition, lambda name: f"a{number[name]}.value", lambda name: f"a{number[name]}.severity")
            for condition in self._query.request.conditions
        ]
        return " AND ".join(parts) or "true"

    @property
    def _worst(self) -> int:
        return SEVERITIES.index(self._gaps.worst)


def _number(channel: Channel) -> str:
    return word_columns.numbers("value", channel.signal.words) if channel.signal.words else "value"


def _usable(channel: Channel) -> str:
    return word_columns.known("value", channel.signal.words) if channel.signal.words else _finite("value", channel)


def _unusable(channel: Channel) -> str:
    return word_columns.unknown("value") if channel.signal.words else "'not finite'"


def _finite(value: str, channel: Channel) -> str:
    if not channel.size:
        return f"coalesce(isfinite({value}), false)"
    # NaN is the greatest to a database, and NULL is not counted.
    extremes = f"isfinite(list_min({value})) AND isfinite(list_max({value}))"
    return f"coalesce(list_count({value}) = {channel.size} AND {extremes}, false)"


def _severity_name(severity: str) -> str:
    cases = " ".join(f"WHEN {number} THEN '{word}'" for number, word in enumerate(SEVERITIES))
    return f"(CASE {severity} {cases} END)"
