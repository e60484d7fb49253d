"""What was served becomes the next dataset: inputs by their names, rows by device and time, as they were asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from beampermit.datasets.requests.request import RequestResult, request
from beampermit.errors import BadInput, Failed
from beampermit.live.log.prediction_log import PredictionLog
from beampermit.monitoring.response.candidates import store_candidate
from beampermit.project import Project
from beampermit.verdicts.monitoring import Window
from support.data_requests import rows
from support.prediction_logs import Logged
from support.responses import trip
from support.served import SIGNALS, Serve, Served

pytestmark = pytest.mark.slow

PAST = 1_780_000_000.0
"""A request's ranges have ended."""
TURNS, CURRENT, _ = SIGNALS["inputs"]
SCORE = {"name": "score", "pv": "{device}:FAULT", "unit": "1"}
Ask = Callable[..., RequestResult]


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@pytest.fixture
def log(serving: Served, logged: Logged) -> PredictionLog:
    """Ten seconds, of which the first five are closed."""
    serving.at = PAST
    log = logged(serving)
    for second in range(10):
        serving.at = PAST + second
        serving.current(300.0 + second, severity=second == 3)
        serving.put([float(second)] * 3, age=0.25)
        if second == 4:
            serving.put([float("nan")] * 3, device="B2")
            log._until = 0.0  # the next write begins a file
        log.publish(serving.cycle())
        log._write()
        log._settle()
    return log


@pytest.fixture
def ask(project: Project, log: PredictionLog, tmp_path: Path, contract_text: str) -> Ask:
    """Ask for eight of the ten seconds, or for what keywords say."""

    def run(options: Any = None, inputs: Any = None, **changes: Any) -> RequestResult:
        contract = yaml.safe_load(contract_text)
        contract["signals"] = {**SIGNALS, "inputs": inputs or SIGNALS["inputs"]}
        contract["dataset"]["request"] = {
            "source": "predictions",
            "options": {"path": str(tmp_path / "log/toy-model"), **(options or {})},
            "signals": [*(signal["name"] for signal in inputs or (TURNS, CURRENT)), SCORE],
            "ranges": [{"start": iso(PAST + 1), "end": iso(PAST + 9)}],
            "sampling": {"event": "turns"},
            "gaps": {"max_age": "0.5s"},
            **changes,
        }
        (project.root / "contract.yaml").write_text(json.dumps(contract, default=str))
        (project.root / "devices.csv").write_text("device,bpm\nB1,1\nB2,2\nB3,3\n")
        return request(Project(project.root), lambda *_: None)  # pyright: ignore[reportArgumentType]

    return run


def test_rows_are_those_that_the_model_was_asked(ask: Ask, project: Project) -> None:
    said = ask().sidecar
    assert said["source"] == "predictions"
    assert said["origin"] == {"rows": 23, "versions": [3]}
    assert said["counts"]["duplicates"] == 0
    columns = f"device, epoch_us(acquired_at) / 1e6 - {PAST}, turns, current, score, turns_severity"
    table = rows(project.root, columns, "WHERE device <> 'B3' ORDER BY device, acquired_at")
    assert table[:2] == [("B1", 1, [1.0] * 3, 301.0, 2.0, 0), ("B1", 2, [2.0] * 3, 302.0, 4.0, 0)]
    assert table[2] == ("B1", 3, [3.0] * 3, 303.0, 6.0, 1)
    assert [second for device, second, *_ in table if device == "B2"] == [1, 2, 3, 5, 6, 7, 8]


def test_the_same_request_gives_the_same_bytes_after_the_files_were_closed(ask: Ask, log: PredictionLog) -> None:
    first = ask()
    log.close()
    again = ask()
    assert (again.changes, again.sidecar["sha256"]) == ((), first.sidecar["sha256"])


def test_severities_worse_than_wanted_are_no_data(ask: Ask, project: Project) -> None:
    ask(gaps={"max_age": "0.5s", "worst": "NO_ALARM"})
    seconds = rows(project.root, f"epoch_us(acquired_at) / 1e6 - {PAST}", "WHERE device = 'B1' ORDER BY 1")
    assert [second for (second,) in seconds] == [1, 2, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([{**TURNS, "unit": "um"}, CURRENT], "turns was served in mm, the contract says um"),
        ([{**TURNS, "pv": "{bpm}:TBT"}, CURRENT], "the prediction log has no column 'bpm'; it has device, turns"),
        ([TURNS, {**CURRENT, "shape": [2]}], "current has type DOUBLE in the prediction log, not lists of numbers"),
        ([TURNS, CURRENT, {**CURRENT, "name": "currents", "pv": "X"}], "no column 'currents'; did you mean 'current'"),
    ],
)
def test_what_the_log_does_not_have_is_said(ask: Ask, inputs: Any, words: str) -> None:
    with pytest.raises(Failed, match=words):
        ask(inputs=inputs)


def test_words_of_the_log_are_those_of_the_contract(ask: Ask, project: Project, serve: Serve, logged: Logged) -> None:
    valve = {"name": "valve", "pv": "{device}:VALVE", "words": ["OUT", "IN"]}
    served = serve(signals={**SIGNALS, "inputs": [*SIGNALS["inputs"], valve]})
    log = logged(served, version=4)
    for second, word in ((2, "IN"), (3, "OUT"), (4, "STUCK")):
        served.at = PAST + second
        served.current()
        served.put()
        for device in range(3):
            served.sample(3, device, word)
        log.publish(served.cycle())
    log.close()
    ask({"versions": [4]}, inputs=[valve], signals=["valve"], sampling={"event": "valve"})
    assert [value for (value,) in rows(project.root, "valve", "WHERE device = 'B2'")] == [1.0, 0.0]
    (project.root / "data/raw.parquet").unlink()
    other = {**valve, "words": ["IN", "OUT"]}
    with pytest.raises(Failed, match="valve was served in 0 = 'OUT', 1 = 'IN', the contract says 0 = 'IN', 1 = 'OUT'"):
        ask({"versions": [4]}, inputs=[other], signals=["valve"], sampling={"event": "valve"})


def test_versions_that_were_not_served_have_no_samples(ask: Ask) -> None:
    with pytest.raises(Failed, match=r"has no samples in dataset\.request\.ranges"):
        ask({"versions": [7]})


def test_a_folder_without_a_log_is_bad_input(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"options\.path: there is no such folder with a prediction log: .*nowhere"):
        ask({"path": "nowhere"})


def test_a_candidate_of_an_alarm_becomes_the_next_dataset(
    ask: Ask, log: PredictionLog, project: Project, tmp_path: Path
) -> None:
    log.close()
    window = Window(since=PAST, until=PAST + 20, rows=30, version=3)
    candidate = store_candidate(
        tmp_path / "state", tmp_path / "log/toy-model", trip().model_copy(update={"window": window})
    )
    whole = ask().sidecar
    (project.root / "data/raw.parquet").unlink()
    assert ask({"path": str(candidate)}).sidecar["sha256"] == whole["sha256"]
