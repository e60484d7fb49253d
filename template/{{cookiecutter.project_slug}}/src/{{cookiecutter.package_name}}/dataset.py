"""Example: replace with yours. Join signals and labels and divide them: no acquisition and no device is in two splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from . import lineage, settings, signals

COLUMNS = [*signals.KEY, "acquired_at", "turns", "faulty", "fault"]


def divide(table: pd.DataFrame, shares: settings.Split) -> dict[str, pd.DataFrame]:
    """Splits by time of acquisition and by device; rows of the one split's time and the other's device are left out.

    Where recorded acquisitions come with simulated ones, the recorded are the test split, all of them.
    """
    recorded = table["origin"] == "files"
    if recorded.any() and not recorded.all():
        return {**divide(table[~recorded], shares), "test": table[recorded]}
    times = table.groupby("acquisition")["acquired_at"].min().sort_values(kind="stable").index
    devices = np.random.default_rng(shares.seed).permutation(sorted(table["device"].unique()))
    of_time = table["acquisition"].map(_names(times, shares))
    of_device = table["device"].map(_names(devices, shares))
    return {name: table[(of_time == name) & (of_device == name)] for name in ("train", "validation", "test")}


def _names(values: np.ndarray | pd.Index, shares: settings.Split) -> dict[str, str]:
    """Value -> name of its split: the first share is train, then validation, then test."""
    first = round(shares.train * len(values))
    second = round((shares.train + shares.validation) * len(values))
    return {
        value: "train" if place < first else "validation" if place < second else "test"
        for place, value in enumerate(values)
    }


def main() -> None:
    """Stage `dataset`."""
    dataset = settings.contract()["dataset"]
    labels = signals.read(Path(dataset["labels"]), [*signals.KEY, "faulty", "fault"])
    table = signals.read(Path(dataset["raw"])).merge(labels, on=signals.KEY, validate="one_to_one")
    shares = settings.params().split
    for name, part in divide(table, shares).items():
        if part["faulty"].nunique() != 2:
            raise SystemExit(f"split {name} has {len(part)} signals, not both faulty and sound ones: ask for more data")
        signals.write(part[COLUMNS], Path(dataset["splits"][name]))
    made = lineage.record(
        parents=[Path(dataset["raw"]), Path(dataset["labels"])],
        code=["dataset", "lineage", "signals", "settings"],
        parameters={"split": shares.model_dump()},
        rule=dataset["split"],
        splits={name: Path(path) for name, path in dataset["splits"].items()},
    )
    lineage.write(made, Path(dataset["lineage"]))


if __name__ == "__main__":
    main()
