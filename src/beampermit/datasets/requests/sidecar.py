"""What stands beside the table: what was asked, of whom, and what was found. The same request writes the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from beampermit.datasets.requests.asked import Asked
from beampermit.datasets.requests.source import Answer
from beampermit.datasets.requests.writing import connect
from beampermit.datasets.tables import literal, name, text
from beampermit.digest import digest_file
from beampermit.errors import BadInput
from beampermit.reading import read_json


def describe(asked: Asked, answer: Answer) -> dict[str, Any]:
    """The sidecar of an answer."""
    rows, first, last = _extent(asked, answer.table)
    return {
        "beampermit": 1,
        "source": asked.request.source if asked.signals else f"{asked.request.source}, by the project's own function",
        "origin": answer.origin,
        "version": asked.request.version,
        "digest": asked.digest,
        "request": asked.request.model_dump(mode="json", exclude_defaults=True),
        "sha256": digest_file(answer.table),
        "rows": rows,
        "first": first,
        "last": last,
        "devices": len(asked.devices) if asked.columns else None,
        "signals": {
            signal.name: {
                "pv": signal.pv,
                "unit": signal.unit,
                "range": list(signal.range) if signal.range else None,
                "shape": list(signal.shape),
            }
            for signal in asked.signals
        },
        "counts": answer.counts,
        "gaps": answer.gaps.as_json(),
    }


def kept(file: Path) -> dict[str, Any] | None:
    """The sidecar that is there; None where there is none, or it is not ours."""
    if not file.is_file():
        return None
    try:
        content = read_json(file)
    except BadInput:
        return None
    return content if isinstance(content, dict) and "digest" in content else None


def as_text(content: dict[str, Any]) -> str:
    """As it is written."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _extent(asked: Asked, table: Path) -> tuple[int, str | None, str | None]:
    source = f"read_parquet({text(literal(str(table)))})"
    connection = connect(asked.folder)
    try:
        columns = {column for column, *_ in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
        if asked.time not in columns:
            (rows,) = connection.execute(f"SELECT count(*) FROM {source}").fetchone()
            return rows, None, None
        time = f"strftime(CAST({{}}({name(asked.time)}) AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%fZ')"
        return connection.execute(
            f"SELECT count(*), {time.format('min')}, {time.format('max')} FROM {source}"
        ).fetchone()
    finally:
        connection.close()
