"""Samples of PVs as they came, one Parquet file a piece: whole or absent, so that a killed request goes on."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from beampermit.datasets.requests import arrays
from beampermit.datasets.requests.writing import connect
from beampermit.datasets.tables import literal, text
from beampermit.files import replacing


class Store:
    """The pieces in one folder. A piece is the samples of a PV from one moment to another, with these columns:

    `ns` when (nanoseconds since 1970), `value` (a number or a list of them), `severity` (EPICS; 3 where none of 0 to 3
    came), `arrived` (its number in the answer), `back` (older than the one before it there), `lost` (when the
    connection before it was lost, or NULL), `place` (`inside` the piece, the last one `before` it, or `outside`).
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._index: dict[str, list[Path]] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def piece(self, pv: str, start: int) -> Path:
        """Where the samples of a PV from `start` are kept."""
        return self.folder / f"{_file_name(pv)}-{start}.parquet"

    def pieces(self, pv: str) -> list[Path]:
        """Those of a PV, in order of time."""
        if self._index is None:
            # Listed once: a month of a thousand PVs is thirty thousand pieces.
            self._index = {}
            for file in self.folder.glob("*.parquet"):
                self._index.setdefault(file.stem.partition("-")[0], []).append(file)
        found = self._index.get(_file_name(pv), [])
        return sorted(found, key=lambda file: int(file.stem.partition("-")[2]))

    def put(
        self, connection: Any, samples: str, pv: str, span: tuple[int, int], *, first: bool, whole: bool = False
    ) -> None:
        """Keep the samples that the SQL `samples` gives (ns, value, severity, arrived, lost) for the span of a PV.

        `first`: the piece is the first of its range, so the sample before it says what held at its start. `whole`: the
        samples are all that there are, so most are of other times by right.
        """
        start, end = span
        last = f"(SELECT max(ns) FROM came WHERE ns < {start})"
        before = f"ns = {last}" if first else "false"
        placed = f"CASE WHEN ns >= {start} AND ns < {end} THEN 'inside' WHEN {before} THEN 'before' ELSE 'outside' END"
        # Archivers give the sample before a piece, and that at its end, with the next one as well: they count once.
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
                f"COPY ({sql}) TO {text(str(temporary))} (FORMAT parquet, COMPRESSION lz4)"
            )  # kept for one request: soon written counts
        self._index = None

    def keep(
        self, pv: str, span: tuple[int, int], ns: Any, values: Any, severity: Any = None, *, first: bool = True
    ) -> None:
        """Keep samples from arrays: `ns` and `severity` of shape (n,), `values` of shape (n,) or (n, length)."""
        import numpy as np

        severity = np.zeros(len(ns), np.int32) if severity is None else np.asarray(severity)
        block = arrays.Block({"ns": np.asarray(ns), "value": np.asarray(values, float), "severity": severity}, {})
        scratch = self.folder / f"{_file_name(pv)}.arrays"
        connection = connect(self.folder)
        try:
            arrays.as_parquet(connection, iter([block]), scratch, pv)
            files = text(literal(str(scratch / "000000.parquet")))
            samples = (
                f"SELECT *, row_number() OVER () AS arrived, CAST(NULL AS BIGINT) AS lost FROM read_parquet({files})"
            )
            self.put(connection, samples, pv, span, first=first)
        finally:
            connection.close()
            shutil.rmtree(scratch, ignore_errors=True)

    def source(self, pv: str) -> str:
        """What stands after FROM for all samples of a PV."""
        files = ", ".join(text(literal(str(file))) for file in self.pieces(pv))
        return f"read_parquet([{files}])"


def _file_name(pv: str) -> str:
    return hashlib.sha256(pv.encode()).hexdigest()[:32]
