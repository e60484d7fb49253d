"""Example: replace with yours. Say of each signal whether it is faulty, who says so, when, and why.

Three voices, the later ones heard over the earlier: a rule that needs no opinion (a flat signal is no beam), the injection
that put the fault there, and people, who write into `labels/reviewed.csv`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from . import settings, signals

REVIEWED = Path("labels/reviewed.csv")
FLAT = 1e-6
"""A signal that moves less than this over all turns, mm, is flat."""


def label(raw: pd.DataFrame, reviewed: pd.DataFrame) -> pd.DataFrame:
    """One row for each signal: key, faulty, fault, labelled_by, labelled_at, why."""
    flat = np.ptp(signals.turns_of(raw), axis=1) < FLAT
    injected = raw["injected"].to_numpy() != "none"
    fault = np.where(injected, raw["injected"], np.where(flat, "flat", "none"))
    by = np.where(injected, "injection", "rule")
    rule = np.where(flat, "the signal never moves", "moves, nothing put in")
    why = np.where(injected, "fault put in on purpose", rule)
    found = raw[signals.KEY].assign(
        fault=fault.astype(str), labelled_by=by, labelled_at=raw["acquired_at"], why=why.astype(str)
    )
    found = _overruled(found, reviewed)
    found.insert(len(signals.KEY), "faulty", found["fault"] != "none")
    return found


def _overruled(found: pd.DataFrame, reviewed: pd.DataFrame) -> pd.DataFrame:
    """What people said replaces what the rules said; an opinion on a signal that is not there is an error."""
    if reviewed.empty:
        return found
    unknown = reviewed.merge(found[signals.KEY], how="left", indicator=True)
    if (unknown["_merge"] != "both").any():
        first = unknown.loc[unknown["_merge"] != "both", signals.KEY].iloc[0].to_dict()
        raise SystemExit(f"{REVIEWED}: there is no signal {first} in the data")
    opinions = reviewed.assign(labelled_at=pd.to_datetime(reviewed["labelled_at"], utc=True))
    table = found.set_index(signals.KEY)
    table.update(opinions.set_index(signals.KEY))
    return table.reset_index()


def main() -> None:
    """Stage `label`."""
    dataset = settings.contract()["dataset"]
    reviewed = pd.read_csv(REVIEWED, dtype=str)
    signals.write(label(signals.read(Path(dataset["raw"])), reviewed), Path(dataset["labels"]))


if __name__ == "__main__":
    main()
