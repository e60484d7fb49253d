"""The file of limits is typed: what could not judge, or would judge nothing, is refused with its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import BadInput
from beampermit.files import write_json
from beampermit.monitoring.limits import limits_of_bytes, parse_limits, read_limits
from support.monitored import content_of, drawn, monitored_contract


@pytest.fixture
def content(contract_text: str) -> dict[str, Any]:
    return content_of(drawn(300), monitored_contract(contract_text))


@pytest.mark.slow
def test_what_is_written_is_read(content: dict[str, Any], contract_text: str, tmp_path: Path) -> None:
    contract = monitored_contract(contract_text)
    write_json(tmp_path / contract.monitoring.limits, content)
    limits = read_limits(tmp_path, contract)
    assert json.loads(limits.model_dump_json()) == content
    assert limits == limits_of_bytes(json.dumps(content).encode(), None, contract)
    assert limits.limit("MON001 current") == content["inputs"]["current"]["numbers"]["current"]["limit"]
    assert limits.limit("MON003 turns.missing") == 0.1
    assert limits.limit("MON007 score") == content["outputs"]["score"]["error"]["limit"]
    with pytest.raises(KeyError):
        limits.limit("MON004 orbit.flagged")


def _number(of: dict[str, Any]) -> dict[str, Any]:
    return of["inputs"]["current"]["numbers"]["current"]


DEFECTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another format": (lambda of: of.update(format=2), "format: Input should be 1"),
    "an unknown key": (lambda of: of.update(mood="good"), "mood: Extra inputs are not permitted"),
    "a calibration within": (lambda of: of.update(calibrated={}), "calibrated: this key is not of a file of limits"),
    "a whole one": (lambda of: of.update(calibration=None), "calibration: this key is not of a file of limits"),
    "no limit": (lambda of: _number(of).update(limit=0), "current.limit: Input should be greater than 0"),
    "a negative limit": (lambda of: _number(of).update(limit=-1.0), "current.limit: Input should be greater than 0"),
    "an infinite limit": (lambda of: _number(of).update(limit=1e999), "current.limit: Input should be a finite number"),
    "a limit of NaN": (lambda of: _number(of).update(limit=float("nan")), "current.limit: Input should be"),
    "a share above 1": (
        lambda of: of["inputs"]["turns"]["missing"].update(limit=1.1),
        "turns.missing.limit: Input should be less than or equal to 1",
    ),
    "edges that do not rise": (lambda of: _number(of)["edges"].reverse(), "current: edges do not rise"),
    "no edges": (lambda of: _number(of).update(edges=[], shares=[1.0]), "current.edges: Tuple should have at least 1"),
    "shares of other bins": (lambda of: _number(of)["shares"].pop(), "shares are not one for each bin, with the sum 1"),
    "a share of nothing": (
        lambda of: _number(of)["shares"].__setitem__(0, 0.0),
        "current.shares.0: Input should be greater than 0",
    ),
    "columns of something else": (
        lambda of: of["together"]["centre"].pop(),
        "together: centre, scale and components do not have the same columns",
    ),
    "no variance": (
        lambda of: of["together"]["variances"].pop(),
        "together: there is not one variance for each component",
    ),
    "a window of no rows": (lambda of: of.update(window=0), "window: Input should be greater than 0"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_file_that_cannot_judge_is_refused(content: dict[str, Any], defect: str) -> None:
    change, said = DEFECTS[defect]
    planted = copy.deepcopy(content)
    change(planted)
    with pytest.raises(BadInput) as caught:
        parse_limits(planted, "metrics/limits.json", "dvc repro evaluate")
    assert said in str(caught.value)
    assert (caught.value.file, caught.value.hint) == ("metrics/limits.json", "dvc repro evaluate")


def calibration(**changes: Any) -> dict[str, Any]:
    usual = {"format": 1, "since": "2026-10-01T00:00:00Z", "until": "2026-11-01T00:00:00Z", "windows": 4000}
    return {**usual, "alarms_per_week": 0.2, "limits": {"MON001 current": 0.7}, **changes}


@pytest.mark.slow
def test_a_calibration_replaces_the_limits_that_it_names(
    content: dict[str, Any], contract_text: str, tmp_path: Path
) -> None:
    contract = monitored_contract(contract_text)
    write_json(tmp_path / "metrics/limits.json", content)
    before = read_limits(tmp_path, contract)
    write_json(tmp_path / "calibration.json", calibration())
    limits = read_limits(tmp_path, contract)
    assert limits.limit("MON001 current") == 0.7
    others = [key for key in limits.keys if key != "MON001 current"]
    assert [limits.limit(key) for key in others] == [before.limit(key) for key in others]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"limits": {"MON001 voltage": 1.0}},
            "'MON001 voltage' is no check and subject",
        ),
        ({"limits": {"MON001 current": 0.0}}, "limits.MON001 current: Input should be greater than 0"),
        ({"usual": {"MON001 current": 0.71}}, "usual: MON001 current is 0.71, and not below a limit of it here"),
        ({"usual": {"MON002": 0.1}}, "usual: MON002 is 0.1, and not below a limit of it here"),
        ({"usual": {"MON001 current": -0.1}}, "usual.MON001 current: Input should be greater than or equal to 0"),
        ({"alarms_per_week": -1.0}, "alarms_per_week: Input should be greater than or equal to 0"),
        ({"mood": 1}, "mood: Extra inputs are not permitted"),
    ],
)
def test_a_calibration_of_something_else_is_refused(
    content: dict[str, Any], contract_text: str, changes: Any, said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        limits_of_bytes(
            json.dumps(content).encode(),
            json.dumps(calibration(**changes)).encode(),
            monitored_contract(contract_text),
        )
    assert said in str(caught.value)
    assert caught.value.file == "calibration.json"


def test_a_missing_file_says_what_makes_it(contract_text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the file is missing"):
        read_limits(tmp_path, monitored_contract(contract_text))
