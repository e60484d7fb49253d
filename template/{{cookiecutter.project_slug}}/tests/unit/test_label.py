from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }} import label, signals

NOBODY = pd.DataFrame(columns=[*signals.KEY, "fault", "labelled_by", "labelled_at", "why"], dtype=str)


def opinion(table: pd.DataFrame, fault: str, device: str | None = None) -> pd.DataFrame:
    key = table[signals.KEY].iloc[[0]].astype(str)
    said = {"fault": fault, "labelled_by": "Ada", "labelled_at": "2024-02-01T10:00:00Z", "why": "seen in the tunnel"}
    return key.assign(**said, **({"device": device} if device else {})).reset_index(drop=True)


def test_every_signal_has_a_label_with_who_and_when(table: pd.DataFrame) -> None:
    found = label.label(table, NOBODY)
    pd.testing.assert_frame_equal(found[signals.KEY], table[signals.KEY])
    assert found.notna().all(axis=None)
    assert (found["faulty"] == (table["injected"] != "none")).all()


def test_a_flat_signal_is_faulty_though_nobody_put_a_fault_in(table: pd.DataFrame) -> None:
    sound = table[table["injected"] == "none"].head(1).assign(turns=[np.full(250, 3.0, np.float32)])
    assert label.label(sound, NOBODY)["fault"].tolist() == ["flat"]


def test_what_a_person_says_is_heard_over_the_rules(table: pd.DataFrame) -> None:
    found = label.label(table, opinion(table, "crossed"))
    assert found.loc[0, ["fault", "labelled_by", "faulty"]].tolist() == ["crossed", "Ada", True]
    assert len(found) == len(table)


def test_the_last_word_counts_and_what_it_overruled_is_told(table: pd.DataFrame) -> None:
    first, second = opinion(table, "stuck"), opinion(table, "other")
    said = pd.concat([second.assign(labelled_at="2024-02-02T10:00:00+01:00", labelled_by="Bo"), first])
    found = label.label(table, said)
    assert found.loc[0, ["fault", "labelled_by", "source", "confidence"]].tolist() == ["other", "Bo", "expert", 1.0]
    assert found.loc[0, "overruled"] == label.label(table, NOBODY).loc[0, "fault"]
    assert (found.loc[1:, "overruled"] == "").all()


def test_an_opinion_on_a_signal_that_is_not_there_is_an_error(table: pd.DataFrame) -> None:
    with pytest.raises(SystemExit, match=r"no signal .*'device': 'BPM.99'"):
        label.label(table, opinion(table, "stuck", device="BPM.99"))
