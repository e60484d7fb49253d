"""Example: replace with yours. Join signals and labels and split them: no acquisition or device is in two splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from . import lineage, settings, signals

COLUMNS = [*signals.KEY, "acquired_at", "turns", "faulty", "fault"]


def divide(table: pd.DataFrame, shares: settings.Split) -> dict[str, pd.DataFrame]:
    """Split by time of acquisition and by device; rows whose time and device belong to different splits are left out.

    If there are recorded and simulated acquisitions, the recorded ones are the test split.
    """
    recorded = table["origin"] == "files"
    if recorded.any() and not recorded.all():
        return {**divide(table[~recorded], shares), "test": table[recorded]}
    times = table.groupby("acquisition")["acquired_at"].min().sort_values(kind="stable").index
    devices = np.random.default_rng(shares.seed).permutation(sorted(table["device"].unique()))
    by_time = table["acquisition"].map(_split_of(times, shares))
    by_device = table["device"].map(_split_of(devices, shares))
    return {name: table[(by_time == name) & (by_device == name)] for name in ("train", "validation", "test")}


def _split_of(values: np.ndarray | pd.Index, shares: settings.Split) -> dict[str, str]:
    """Value -> name of its split: first train, then validation, then test."""
    first = round(shares.train * len(values))
    second = round((shares.train + shares.validation) * len(values))
    return {
        value: "train" if index < first else "validation" if index < second else "test"
        for index, value in enumerate(values)
    }


def main() -> None:
    """Stage `dataset`."""
    dataset = settings.contract()["dataset"]
    labels = signals.read(Path(dataset["labels"]), [*signals.KEY, "faulty", "fault"])
    table = signals.read(Path(dataset["raw"])).merge(labels, on=signals.KEY, validate="one_to_one")
    shares = settings.params().split
    for name, part in divide(table, shares).items():
        if part["faulty"].nunique() != 2:
            raise SystemExit(f"split {name} has {len(part)} signals, all faulty or all sound; request more data")
        signals.write(part[COLUMNS], Path(dataset["splits"][name]))
    record = lineage.record(
        parents=[Path(dataset["raw"]), Path(dataset["labels"])],
        code=["dataset", "lineage", "signals", "settings"],
        parameters={"split": shares.model_dump()},
        rule=dataset["split"],
        splits={name: Path(path) for name, path in dataset["splits"].items()},
    )
    lineage.write(record, Path(dataset["lineage"]))


if __name__ == "__main__":
    main()
