"""Example: replace with yours. Say of each signal whether it is faulty, who says so, when, and why.

Three voices, the later ones heard over the earlier: a rule that needs no opinion (a flat signal is no beam), the injection
that put the fault there, and people, who write into `labels/reviewed.csv` (`beampermit data label` opens a page for it); of several who spoke of one signal, the last counts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from . import settings, signals

REVIEWED = Path("labels/reviewed.csv")
FLAT = 1e-6
"""A signal that moves less than this over all turns, mm, is flat."""


COLUMNS = [*signals.KEY, "faulty", "fault", "source", "labelled_by", "labelled_at", "why", "confidence", "overruled"]


def label(raw: pd.DataFrame, reviewed: pd.DataFrame) -> pd.DataFrame:
    """One row for each signal: key, faulty, fault, and who says so, when, why and how surely.

    `overruled` is what the rules said where a person says otherwise, else empty.
    """
    flat = np.ptp(signals.turns_of(raw), axis=1) < FLAT
    injected = raw["injected"].to_numpy() != "none"
    fault = np.where(injected, raw["injected"], np.where(flat, "flat", "none"))
    source = np.where(injected, "injection", "rule")
    rule = np.where(flat, "the signal never moves", "moves, nothing put in")
    why = np.where(injected, "fault put in on purpose", rule)
    found = raw[signals.KEY].assign(
        fault=fault.astype(str),
        source=source,
        labelled_by=source,
        labelled_at=raw["acquired_at"],
        why=why.astype(str),
        confidence=np.where(injected | flat, 1.0, 0.9),
        overruled="",
    )
    found = _overruled(found, reviewed)
    return found.assign(faulty=found["fault"] != "none")[COLUMNS]


def _overruled(found: pd.DataFrame, reviewed: pd.DataFrame) -> pd.DataFrame:
    """What people said last replaces what the rules said; an opinion on a signal that is not there is an error."""
    if reviewed.empty:
        return found
    unknown = reviewed.merge(found[signals.KEY], how="left", indicator=True)
    if (unknown["_merge"] != "both").any():
        first = unknown.loc[unknown["_merge"] != "both", signals.KEY].iloc[0].to_dict()
        raise SystemExit(f"{REVIEWED}: there is no signal {first} in the data")
    said = reviewed.assign(
        labelled_at=pd.to_datetime(reviewed["labelled_at"], utc=True, format="ISO8601"),
        confidence=pd.to_numeric(reviewed["confidence"]) if "confidence" in reviewed else 1.0,
        source="expert",
    )
    last = said.sort_values("labelled_at", kind="stable").drop_duplicates(signals.KEY, keep="last")
    table = found.set_index(signals.KEY)
    before = table["fault"].copy()
    table.update(last.set_index(signals.KEY))
    table["overruled"] = before.where(before != table["fault"], "")
    return table.reset_index()


def main() -> None:
    """Stage `label`."""
    dataset = settings.contract()["dataset"]
    reviewed = pd.read_csv(REVIEWED, dtype=str)
    odd = reviewed[~reviewed["fault"].isin(dataset["review"]["values"])]
    if len(odd):
        line, said = odd.index[0] + 2, odd["fault"].iloc[0]
        raise SystemExit(f"{REVIEWED}: line {line}: {said!r} is none of dataset.review.values")
    signals.write(label(signals.read(Path(dataset["raw"])), reviewed), Path(dataset["labels"]))


if __name__ == "__main__":
    main()
