"""Samples of truth PVs in Parquet files, one after another, each whole or absent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from beampermit.files import replacing
from beampermit.live.promoted.words import plain
from beampermit.monitoring.log_arrays import stacked
from beampermit.monitoring.truth_pvs import Samples

if TYPE_CHECKING:
    import pyarrow as pa

NAME = re.compile(r"\d{12}\.parquet")
MOST_FILES, SMALL = 60, 4 * 2**20
"""So many files below so many bytes are made one."""
MOST_BYTES = 2**30
"""Of all files; the oldest are deleted."""


class SampleFiles:
    """Written by one process. `pv`, `time` in s since 1970, `value` as a list, in the order in which they arrived.

    A file that a disk has damaged is left out, and stands in `damaged` with the reason, until it is as old as those
    that are deleted.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self.damaged: dict[Path, str] = {}

    def write(self, pvs: Sequence[str], times: Sequence[float], values: Sequence[np.ndarray]) -> None:
        import pyarrow as pa

        ends = np.cumsum([0, *map(len, values)], dtype=np.int32)
        lists = pa.ListArray.from_arrays(pa.array(ends), pa.array(np.concatenate(values)))
        self._put(pa.table({"pv": pa.array(pvs), "time": pa.array(times, pa.float64()), "value": lists}))

    def read(self, since: float, sizes: Mapping[str, int]) -> dict[str, Samples]:
        """Of each PV that has any, from `since` on; `sizes` is how many numbers a value has."""
        import pyarrow as pa
        import pyarrow.compute as pc

        tables = self._tables(self._files(), since)
        if not tables:
            return {}
        whole, found = pa.concat_tables(tables), dict[str, Samples]()
        for pv, size in sizes.items():
            own = whole.filter(pc.field("pv") == pv).combine_chunks()
            if len(own):
                found[pv] = Samples(own["time"].to_numpy(), stacked(own["value"].chunk(0), size))
        return found

    def tidy(self, since: float) -> None:
        """Make one of many small files, without what is older; delete what is old altogether."""
        import pyarrow as pa

        small = [file for file in self._files() if file.stat().st_size < SMALL]
        if len(small) > MOST_FILES:
            self._put(pa.concat_tables(self._tables(small, since)))
            for file in small:
                if file not in self.damaged:
                    file.unlink()
        files = self._files()
        left = sum(file.stat().st_size for file in files)
        for file in files:
            if left > MOST_BYTES or self._newest(file) < since:
                left -= file.stat().st_size
                self.damaged.pop(file, None)
                file.unlink()

    def _files(self) -> list[Path]:
        """Oldest first."""
        found = self._folder.iterdir() if self._folder.is_dir() else ()
        return sorted(file for file in found if NAME.fullmatch(file.name))

    def _put(self, table: pa.Table) -> None:
        import pyarrow.parquet as pq

        files = self._files()
        number = int(files[-1].stem) + 1 if files else 0
        with replacing(self._folder / f"{number:012}.parquet") as temporary:
            pq.write_table(table, temporary)

    def _tables(self, files: Sequence[Path], since: float) -> list[pa.Table]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        found = []
        for file in files:
            try:
                table = pq.read_table(file, filters=[("time", ">=", since)])
                found.append(table.select(["pv", "time", "value"]))
            except (pa.ArrowException, OSError, KeyError) as error:
                self.damaged[file] = plain(error)
        return found

    def _newest(self, file: Path) -> float:
        """The time of its newest sample, s since 1970; of a damaged file, that of the file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            about = pq.read_metadata(file)
            groups = [about.row_group(number).column(1).statistics for number in range(about.num_row_groups)]
            return max((one.max for one in groups), default=-np.inf)
        except (pa.ArrowException, OSError, AttributeError):
            return file.stat().st_mtime
