"""Stage `request`: fetch the data that the contract asks for, and describe them in a JSON file beside the table."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from ..source import acquire
from . import contract, tables


def main() -> None:
    """Stage `request`."""
    part = contract.of(contract.ForRequest)
    raw = Path(part.raw)
    try:
        table = acquire(part.request["source"], part.request.get("options") or {})
    except ValidationError as error:
        raise SystemExit(f"contract.yaml: dataset.request.options.{contract.explained(error)}") from None
    except ValueError as error:
        raise SystemExit(f"contract.yaml: dataset.request: {error}") from None
    if table.empty:
        raise SystemExit("contract.yaml: dataset.request: no row answers it")
    tables.write_table(table, raw)
    sidecar = json.dumps(_describe(part, table, raw), indent=2, ensure_ascii=False)
    raw.with_suffix(".json").write_text(f"{sidecar}\n", encoding="utf-8")


def _describe(part: contract.ForRequest, table: pd.DataFrame, raw: Path) -> dict[str, Any]:
    described: dict[str, Any] = {"request": part.request, "rows": len(table)}
    described["groups"] = {name: int(table[name].nunique()) for name in part.key if name in table.columns}
    if part.time and part.time in table.columns:
        first, last = tables.ends(table[part.time])
        described |= {"first": first, "last": last}
    described["signals"] = {
        signal.name: signal.model_dump(mode="json", include={"pv", "unit", "range", "shape"})
        for signal in part.inputs
        if signal.name in table.columns
    }
    return {**described, "sha256": hashlib.sha256(raw.read_bytes()).hexdigest()}


if __name__ == "__main__":
    main()
