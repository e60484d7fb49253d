"""Fetch the data that the contract requests: `data/raw.parquet`, and `data/raw.json` with request and result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import settings, signals
from .faults import inject
from .simulator import simulate

ACQUISITIONS = Path("acquisitions")
"""Folder of recorded acquisitions, a dependency of this stage."""


def from_simulator(devices: list[str], **options: Any) -> pd.DataFrame:
    """Simulated acquisitions."""
    return simulate(devices, **options).assign(origin="simulator")


def from_files(
    devices: list[str], *, path: str, faults: float = 0.0, seed: int = 0, train_on: dict[str, Any] | None = None
) -> pd.DataFrame:
    """Recorded acquisitions; `acquisitions/README.md` describes the table.

    `faults`: fraction of signals to inject a fault into, for signals without labels.
    `train_on`: options of the simulator for training and validation; all recorded signals are then the test split.
    """
    file = Path(path)
    if ACQUISITIONS.resolve() not in file.resolve().parents:
        raise SystemExit(f"contract.yaml: dataset.request.options.path: {path} is not below {ACQUISITIONS}/")
    table = signals.read(file, signals.COLUMNS)
    recorded = inject(table, faults, np.random.default_rng(seed)).assign(origin="files")
    if train_on is None:
        return recorded
    return pd.concat([from_simulator(devices, **train_on), recorded], ignore_index=True)


SOURCES: dict[str, Callable[..., pd.DataFrame]] = {"simulator": from_simulator, "files": from_files}


def main() -> None:
    """Stage `request`."""
    contract = settings.contract()
    request, raw = contract["dataset"]["request"], Path(contract["dataset"]["raw"])
    if request["source"] not in SOURCES:
        sources = ", ".join(SOURCES)
        raise SystemExit(f"contract.yaml: dataset.request.source: {request['source']!r} is not one of {sources}")
    devices = pd.read_csv(contract["signals"]["devices"])["device"].drop_duplicates().tolist()
    table = SOURCES[request["source"]](devices, **request.get("options", {}))
    signals.write(table, raw)
    result = {
        "request": request,
        "rows": len(table),
        "acquisitions": int(table["acquisition"].nunique()),
        "devices": int(table["device"].nunique()),
        "first": table["acquired_at"].min().isoformat(),
        "last": table["acquired_at"].max().isoformat(),
        "signals": {
            signal["name"]: {key: signal.get(key) for key in ("pv", "unit", "range", "shape")}
            for signal in contract["signals"]["inputs"]
            if signal["name"] in table.columns
        },
        "sha256": hashlib.sha256(raw.read_bytes()).hexdigest(),
    }
    raw.with_suffix(".json").write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
