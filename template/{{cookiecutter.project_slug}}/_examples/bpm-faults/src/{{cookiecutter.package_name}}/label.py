"""Example: replace with yours. Label each signal as faulty or sound, with author, time, reason and confidence.

Three sources, later ones taking precedence: a rule (a flat signal is no beam), the injection of faults, and people,
whose labels are in `labels/reviewed.csv` (`beampermit data label` opens a page for it); the latest of a signal counts.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .faults import turns_of
from .pipeline import contract, tables

KEY = ["acquisition", "device", "plane"]
FLAT = 1e-6
"""A signal with a smaller peak-to-peak value, mm, is flat."""
COLUMNS = [*KEY, "faulty", "fault", "source", "labelled_by", "labelled_at", "why", "confidence", "overruled"]


def label(raw: pd.DataFrame, reviewed: pd.DataFrame) -> pd.DataFrame:
    """One row for each signal. `overruled` has the label of the rules where a person disagrees, otherwise it is empty."""
    flat = np.ptp(turns_of(raw), axis=1) < FLAT
    injected = raw["injected"].to_numpy() != "none"
    fault = np.where(injected, raw["injected"], np.where(flat, "flat", "none"))
    source = np.where(injected, "injection", "rule")
    rule = np.where(flat, "signal is flat", "signal is not flat, no fault injected")
    why = np.where(injected, "fault injected", rule)
    labels = raw[KEY].assign(
        fault=fault.astype(str),
        source=source,
        labelled_by=source,
        labelled_at=raw["acquired_at"],
        why=why.astype(str),
        confidence=np.where(injected | flat, 1.0, 0.9),
        overruled="",
    )
    labels = _apply_reviews(labels, reviewed)
    return labels.assign(faulty=labels["fault"] != "none")[COLUMNS]


def _apply_reviews(labels: pd.DataFrame, reviewed: pd.DataFrame) -> pd.DataFrame:
    """Replace labels by the latest one of a person; a review of an unknown signal is an error."""
    if reviewed.empty:
        return labels
    unknown = reviewed.merge(labels[KEY], how="left", indicator=True)
    if (unknown["_merge"] != "both").any():
        first = unknown.loc[unknown["_merge"] != "both", KEY].iloc[0].to_dict()
        raise SystemExit(f"labels by people: the data have no signal {first}")
    reviews = reviewed.assign(
        labelled_at=pd.to_datetime(reviewed["labelled_at"], utc=True, format="ISO8601"),
        confidence=pd.to_numeric(reviewed["confidence"]) if "confidence" in reviewed else 1.0,
        source="expert",
    )
    latest = reviews.sort_values("labelled_at", kind="stable").drop_duplicates(KEY, keep="last")
    table = labels.set_index(KEY)
    before = table["fault"].copy()
    table.update(latest.set_index(KEY))
    table["overruled"] = before.where(before != table["fault"], "")
    return table.reset_index()


def read_reviewed(review: contract.Review | None) -> pd.DataFrame:
    """The labels by people, if the contract has a file of them."""
    if review is None:
        return pd.DataFrame()
    reviewed = pd.read_csv(review.file, dtype=str)
    invalid = reviewed[~reviewed["fault"].isin(review.values)]
    if len(invalid):
        line, fault = invalid.index[0] + 2, invalid["fault"].iloc[0]
        raise SystemExit(f"{review.file}: line {line}: {fault!r} is not one of dataset.review.values")
    return reviewed


def main() -> None:
    """Stage `label`."""
    part = contract.of(contract.ForLabels)
    if part.labels is None:
        raise SystemExit("contract.yaml: there is no dataset.labels to write; remove stage label from dvc.yaml")
    labels = label(tables.read_table(part.raw), read_reviewed(part.review))
    tables.write_table(labels, part.labels)


if __name__ == "__main__":
    main()
