"""Example: tests of the labels of monitors' signals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }} import label

NOBODY = pd.DataFrame(columns=[*label.KEY, "fault", "labelled_by", "labelled_at", "why"], dtype=str)


def opinion(table: pd.DataFrame, fault: str, device: str | None = None) -> pd.DataFrame:
    key = table[label.KEY].iloc[[0]].astype(str)
    said = {"fault": fault, "labelled_by": "Ada", "labelled_at": "2024-02-01T10:00:00Z", "why": "seen in the tunnel"}
    return key.assign(**said, **({"device": device} if device else {})).reset_index(drop=True)


def test_every_signal_has_a_label_with_author_and_time(table: pd.DataFrame) -> None:
    found = label.label(table, NOBODY)
    pd.testing.assert_frame_equal(found[label.KEY], table[label.KEY])
    assert found.notna().all(axis=None)
    assert (found["faulty"] == (table["injected"] != "none")).all()


def test_flat_signal_is_faulty_without_an_injected_fault(table: pd.DataFrame) -> None:
    sound = table[table["injected"] == "none"].head(1).assign(turns=[np.full(250, 3.0, np.float32)])
    assert label.label(sound, NOBODY)["fault"].tolist() == ["flat"]


def test_label_of_a_person_takes_precedence(table: pd.DataFrame) -> None:
    found = label.label(table, opinion(table, "crossed"))
    assert found.loc[0, ["fault", "labelled_by", "faulty"]].tolist() == ["crossed", "Ada", True]
    assert len(found) == len(table)


def test_latest_label_counts_and_the_overruled_one_is_recorded(table: pd.DataFrame) -> None:
    first, second = opinion(table, "stuck"), opinion(table, "other")
    said = pd.concat([second.assign(labelled_at="2024-02-02T10:00:00+01:00", labelled_by="Bo"), first])
    found = label.label(table, said)
    assert found.loc[0, ["fault", "labelled_by", "source", "confidence"]].tolist() == ["other", "Bo", "expert", 1.0]
    assert found.loc[0, "overruled"] == label.label(table, NOBODY).loc[0, "fault"]
    assert (found.loc[1:, "overruled"] == "").all()


def test_label_of_an_unknown_signal_is_an_error(table: pd.DataFrame) -> None:
    with pytest.raises(SystemExit, match=r"no signal .*'device': 'BPM-99'"):
        label.label(table, opinion(table, "stuck", device="BPM-99"))
