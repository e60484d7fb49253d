"""A prediction log of a service whose samples are put by hand, and how tests look at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from beampermit.live.log import prediction_log
from beampermit.live.log.prediction_log import PredictionLog
from support.served import Served

Logged = Callable[..., PredictionLog]


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logged:
    """A log of what a service publishes from now on, in `tmp_path/log`; it writes when it is closed."""
    monkeypatch.setattr(prediction_log, "EVERY", 3600.0)

    def made(served: Served, **options: Any) -> PredictionLog:
        options = {"version": 3, "clock": lambda: served.at, **options}
        return PredictionLog(tmp_path / "log", "toy-model", wiring=served.loop.wiring, **options)

    return made


def rows(folder: Path, *columns: str) -> list[dict[str, Any]]:
    """The rows of a file, or of all closed files of a folder, in order of time and row; times in s since 1970."""
    files = f"{folder}/**/*.parquet" if folder.is_dir() else folder
    times = '* REPLACE (epoch_us("served.at") / 1e6 AS "served.at", epoch_us("served.time") / 1e6 AS "served.time")'
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT {times} FROM read_parquet('{files}', union_by_name = true)"
            ' ORDER BY "served.at", "served.version", "served.row"'
        )
        names = [name for name, *_ in found.description or ()]
        every = [dict(zip(names, values, strict=True)) for values in found.fetchall()]
    return [{name: row[name] for name in columns} for row in every] if columns else every
