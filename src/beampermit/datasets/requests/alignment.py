"""Samples kept on change, made into rows: each signal's last value, where it is not too old, severe or unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from beampermit.contract import FILE_NAME, conditions
from beampermit.datasets.requests.gaps import Gap, Gaps, merged
from beampermit.datasets.requests.source import Answer, Asked, Wanted
from beampermit.datasets.requests.store import Store, connect, copy
from beampermit.datasets.tables import literal, name, text
from beampermit.errors import Failed
from beampermit.files import replacing
from beampermit.progress import Progress

SEVERITIES = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
AT_ONCE = 4_000_000
"""Cells that are aligned at once: what bounds memory, whatever is asked for."""


def align(asked: Asked, store: Store, progress: Progress) -> Answer:
    """Rows of each device, in order of device and time, as one Parquet file.

    Raises `Failed` where a PV has no samples at all or a gap is longer than the contract allows.
    """
    work = _Alignment(asked, store)
    parts = []
    folder = asked.folder / "parts"
    folder.mkdir(exist_ok=True)
    for number, device in enumerate(asked.devices):
        progress("align", number, len(asked.devices))
        parts += work.device(device, folder, number)
    progress("write", 0, 1)
    table = asked.folder / "table.parquet"
    files = ", ".join(text(literal(str(part))) for part in parts)
    units = {signal.name: signal.unit or "1" for signal in asked.signals}
    with replacing(table) as temporary:
        copy(work.connection, f"SELECT * FROM read_parquet([{files}])", temporary, units)
    work.connection.close()
    for part in parts:
        part.unlink()
    progress("write", 1, 1)
    return Answer(table, dict(work.counts), work.gaps)


class _Alignment:
    """One connection, and what is counted on the way."""

    def __init__(self, asked: Asked, store: Store):
        assert asked.request.gaps is not None  # noqa: S101 - a request of signals has them: the contract says so
        assert asked.request.sampling is not None  # noqa: S101
        self._asked = asked
        self._store = store
        self._gaps = asked.request.gaps
        self._sampling = asked.request.sampling
        self._shared: dict[str, str] = {}
        self._said: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.gaps = Gaps()
        self.connection = connect(asked.folder)

    def device(self, device: tuple[str, ...], folder: Path, number: int) -> Iterator[Path]:
        """The rows of one device, as files in order of time."""
        wanted = self._asked.of(device)
        events = [self._events(one, f"e{index}") for index, one in enumerate(wanted)]
        found: dict[str, list[Gap]] = {one.pv: [] for one in wanted}
        for index, grid in enumerate(self._grids(wanted, events)):
            part = folder / f"{number:06}-{index:06}.parquet"
            self._slice(grid, wanted, events, device, part, found)
            yield part
        for pv in found.keys() - self._said:
            self._judge(list(merged(found[pv])))
        self._said |= found.keys()

    def _events(self, wanted: Wanted, table: str) -> str:
        """A table of when a PV's value changed, or was lost; of a PV that no device has, made once."""
        if wanted.pv in self._shared:
            return self._shared[wanted.pv]
        if not wanted.device:
            table = f"shared{len(self._shared)}"
            self._shared[wanted.pv] = table
        samples = self._store.source(wanted.pv)
        total, inside, repeated, twice, back, outside, lost, severe, odd = self.connection.execute(
            "SELECT count(*), count(*) FILTER (place = 'inside'),"
            " count(*) FILTER (place = 'inside') - count(DISTINCT ns) FILTER (place = 'inside'),"
            " count(*) FILTER (place <> 'outside') > count(DISTINCT ns) FILTER (place <> 'outside'),"
            " count(*) FILTER (back), count(*) FILTER (place = 'outside'), count(lost),"
            f" count(*) FILTER (severity > {self._worst}), count(*) FILTER (NOT {_finite('value', wanted)})"
            f" FROM {samples}"
        ).fetchone()
        if total == outside:
            what = "; what came is of other times" if outside else ""
            raise Failed(
                f"there are no samples of {wanted.pv} in the ranges of dataset.request{what}",
                file=FILE_NAME,
                hint="ask for other ranges, or leave the signal out",
            )
        if wanted.pv not in self._said:
            self.counts.update(
                samples=inside,
                duplicates=repeated,
                backwards=back,
                outside=outside,
                disconnects=lost,
                severe=severe,
                not_finite=odd,
            )
        if wanted.size:
            self._judge_lengths(wanted, samples)
        rows = f"SELECT * FROM {samples} WHERE place <> 'outside'"
        if twice:
            rows += " QUALIFY row_number() OVER (PARTITION BY ns ORDER BY arrived DESC) = 1"
        why = (
            f"CASE WHEN severity > {self._worst} THEN 'severity ' || {_word('severity')}"
            f" WHEN NOT {_finite('value', wanted)} THEN 'not finite' END"
        )
        # Archivers know the second in which a connection was lost: what came in that second was still true.
        marks = (
            "SELECT greatest(lost, coalesce(lag(ns) OVER (ORDER BY ns) + 1, lost)) AS ns, NULL AS value,"
            " CAST(3 AS UTINYINT) AS severity, 'disconnected' AS why, ns AS until, lost FROM came"
        )
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS WITH came AS MATERIALIZED ({rows})"
            f" SELECT ns, value, severity, {why} AS why, place = 'inside' AS inside FROM came UNION ALL"
            f" SELECT ns, value, severity, why, false FROM ({marks}) WHERE lost IS NOT NULL AND ns < until"
        )
        return table

    def _judge_lengths(self, wanted: Wanted, samples: str) -> None:
        found = self.connection.execute(
            f"SELECT len(value), make_timestamptz(ns // 1000)::VARCHAR FROM {samples}"
            f" WHERE severity <= {self._worst} AND len(value) <> {wanted.size} ORDER BY ns LIMIT 1"
        ).fetchone()
        if found:
            length, when = found
            raise Failed(
                f"{wanted.pv} has {length} numbers at {when}; the contract says {wanted.size}",
                file=FILE_NAME,
                hint="change the signal's shape in contract.yaml, or ask for a time when it was so",
            )

    def _grids(self, wanted: tuple[Wanted, ...], events: list[str]) -> Iterator[tuple[str, int]]:
        """SQL of the times of rows (ns), a bounded number at once, and the period between them (0: at events)."""
        most = max(1000, AT_ONCE // max(1, len(wanted)))
        if self._sampling.period is not None:
            period = round(self._sampling.period * 1e9)
            for start, end in self._asked.ranges:
                count = -(-(end - start) // period)
                for first in range(0, count, most):
                    last = min(count, first + most)
                    yield f"SELECT {start} + number * {period} AS ns FROM range({first}, {last}) r(number)", period
            return
        names = [one.signal.name for one in wanted]
        event = events[names.index(str(self._sampling.event))]
        for start, end in self._asked.ranges:
            yield f"SELECT ns FROM {event} WHERE inside AND ns >= {start} AND ns < {end}", 0

    def _slice(
        self,
        grid: tuple[str, int],
        wanted: tuple[Wanted, ...],
        events: list[str],
        device: tuple[str, ...],
        part: Path,
        gaps: dict[str, list[Gap]],
    ) -> None:
        sql, period = grid
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE grid AS SELECT ns FROM ({sql}) ORDER BY ns")
        for index, (one, table) in enumerate(zip(wanted, events, strict=True)):
            self._align(one, table, f"a{index}")
            gaps[one.pv] += self._gaps_in(one.pv, f"a{index}", period)
        joined = "grid " + " ".join(f"POSITIONAL JOIN a{index}" for index in range(len(wanted)))
        present = " AND ".join(f"a{index}.why IS NULL" for index in range(len(wanted)))
        kept = present if self._gaps.rows == "drop" else "true"
        holds = self._conditions(wanted)
        total, whole, rows = self.connection.execute(
            f"SELECT count(*), count(*) FILTER ({kept}), count(*) FILTER ({kept} AND ({holds})) FROM {joined}"
        ).fetchone()
        self.counts.update(dropped=total - whole, filtered=whole - rows)
        of_device = zip(self._asked.columns, device, strict=True)
        columns = [f"{text(value)} AS {name(column)}" for column, value in of_device]
        columns.append(f"make_timestamptz(grid.ns // 1000) AS {name(self._asked.time)}")
        for index, one in enumerate(wanted):
            columns.append(f"a{index}.value AS {name(one.signal.name)}")
            columns.append(f"a{index}.severity AS {name(one.signal.name + '_severity')}")
        select = f"SELECT {', '.join(columns)} FROM {joined} WHERE {kept} AND ({holds}) ORDER BY grid.ns"
        self.connection.execute(f"COPY ({select}) TO {text(str(part))} (FORMAT parquet)")

    def _align(self, wanted: Wanted, events: str, table: str) -> None:
        """For each time of the grid, the last value, or why there is none."""
        age = wanted.signal.max_age or self._gaps.max_age
        kind = "DOUBLE[]" if wanted.size else "DOUBLE"
        why = (
            "CASE WHEN e.ns IS NULL THEN 'nothing before' WHEN e.why IS NOT NULL THEN e.why"
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

    def _judge(self, gaps: list[Gap]) -> None:
        self.gaps.add(gaps)
        longest = max(gaps, key=lambda gap: gap.length, default=None)
        limit = self._gaps.longest
        if longest and limit is not None and longest.length > limit * 1e9:
            raise Failed(
                f"a gap is longer than the {limit:g} s that dataset.request.gaps.longest allows: {longest.words()}",
                file=FILE_NAME,
                hint="leave that time out of dataset.request.ranges",
            )

    def _conditions(self, wanted: tuple[Wanted, ...]) -> str:
        number = {conditions.spelt(one.signal.name): index for index, one in enumerate(wanted)}
        parts = [
            conditions.sql(text_, lambda word: f"a{number[word]}.value", lambda word: f"a{number[word]}.severity")
            for text_ in self._asked.request.conditions
        ]
        return " AND ".join(parts) or "true"

    @property
    def _worst(self) -> int:
        return SEVERITIES.index(self._gaps.worst)


def _finite(value: str, wanted: Wanted) -> str:
    if not wanted.size:
        return f"coalesce(isfinite({value}), false)"
    # NaN is the greatest to a database, and NULL is not counted.
    extremes = f"isfinite(list_min({value})) AND isfinite(list_max({value}))"
    return f"coalesce(list_count({value}) = {wanted.size} AND {extremes}, false)"


def _word(severity: str) -> str:
    cases = " ".join(f"WHEN {number} THEN '{word}'" for number, word in enumerate(SEVERITIES))
    return f"(CASE {severity} {cases} END)"
