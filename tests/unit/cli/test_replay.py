"""`beampermit replay`: recorded rows through a model in its own process, and what is said of the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.errors import BadInput, Failed
from beampermit.live.process import starting
from beampermit.project import Project
from support.archiver import Archiver, sample
from support.planted_models import THIS_ENVIRONMENT
from support.planted_processes import ALARMS, SIGNALS, SPEAKS
from support.prediction_logs import rows

pytestmark = pytest.mark.slow


@pytest.fixture
def replay(project: Project, contract_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replay four seconds of turns of 1, 2, 33 and 4 mm; the process does `asked` before it answers."""
    page = yaml.safe_load(contract_text)
    signals = {"inputs": [{**SIGNALS["inputs"][0], "stale_after": "2s"}], "outputs": SIGNALS["outputs"]}
    operations = {**page["operations"], "alarms": ALARMS}
    page |= {"signals": signals, "operations": operations, "serving": {"timeout": 0.05}}
    page["fallback"] = {"on_invalid": "invalid"}
    (project.root / "contract.yaml").write_text(json.dumps(page, default=str))
    (project.root / "model").mkdir()
    with duckdb.connect() as connection:
        values = ", ".join(f"(make_timestamptz({n * 10**6}), [{n}, {n}, {n}]::DOUBLE[])" for n in (1, 2, 33, 34))
        values = values.replace("[34, 34, 34]", "[4, 4, 4]")
        connection.execute(f"COPY (SELECT * FROM (VALUES {values}) t(acquired_at, turns)) TO '{tmp_path}/rows.parquet'")
    monkeypatch.setattr("beampermit.environments.environment.environment_of", lambda *_: THIS_ENVIRONMENT)

    def run(*words: str, asked: str = "pass") -> Any:
        script = tmp_path / "worker.py"
        script.write_text(SPEAKS.replace("BEFORE", "").replace("ASKED", asked))
        monkeypatch.setattr(starting, "WORKER", script)
        options = ["--project", str(project.root), "--out", str(tmp_path / "out.parquet")]
        return CliRunner().invoke(app, ["replay", *(words or [str(tmp_path / "rows.parquet")]), *options])

    return run


@pytest.mark.parametrize("asked", ["pass", "turns[0, 0] == 1 and time.sleep(0.2)"], ids=["at once", "late once"])
def test_the_table_is_what_operators_would_have_seen(replay: Any, tmp_path: Path, asked: str) -> None:
    """However long the model takes for an answer here."""
    done = replay(asked=asked)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1:] == [
        "values shown: 3 NO_ALARM, 2 INVALID",
        "       1  BPM:TBT is older than 2 s",
        "       1  BPM:TBT is 33, outside its range [-10, 10]",
    ]
    shown = rows(tmp_path / "out.parquet", "served.at", "score.shown", "score.severity", "served.version")
    assert [(round(row["served.at"], 1), row["score.severity"]) for row in shown] == [
        (1, 0), (2, 0), (4.2, 3), (33, 3), (34, 0)
    ]  # fmt: skip
    assert [row["score.shown"] for row in shown if row["score.severity"] == 0] == [1, 2, 4]


def test_json_counts_what_was_shown(replay: Any, tmp_path: Path) -> None:
    raises = 'channel.send("raised", number, text="ValueError: no beam"); continue'
    body = json.loads(replay(str(tmp_path / "rows.parquet"), "--json", asked=raises).stdout)
    assert body["shown"] == {"INVALID": 4}
    assert body["reasons"]["the model raised ValueError: no beam"] >= 1


def test_a_model_that_ends_on_the_way_ends_the_replay_and_what_was_written_before_stays(
    replay: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    out.write_bytes(b"of an earlier replay")
    done = replay(asked="turns[0, 0] == 2 and os._exit(3)")
    assert isinstance(done.exception, Failed)
    assert str(done.exception) == "the model's process ended: exit status 3"
    assert out.read_bytes() == b"of an earlier replay"
    assert [*tmp_path.glob("*.parquet*")] == [out, tmp_path / "rows.parquet"]


def test_an_archiver_is_replayed_by_its_address(replay: Any, tmp_path: Path) -> None:
    archiver = Archiver()
    archiver.add("BPM:TBT", [sample(float(n), [float(n)] * 3) for n in (1, 2, 3)], "mm")
    with archiver.serve():
        chosen = ["--archiver", archiver.url, "--since", "1970-01-01T00:00:01Z", "--until", "1970-01-01T00:00:10Z"]
        done = replay(*chosen)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1] == "values shown: 3 NO_ALARM, 1 INVALID"
    shown = rows(tmp_path / "out.parquet", "served.at", "score.shown", "score.severity")
    assert [(round(row["served.at"], 2), row["score.severity"]) for row in shown] == [(1, 0), (2, 0), (3, 0), (5.2, 3)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--json"], "name one: a table, the folder of a log, --request or --archiver URL"),
        (["rows.parquet", "--request"], "name one: a table"),
        (["--request", "--archiver", "http://127.0.0.1:1"], "name one: a table"),
        (["--request", "--since", "2h"], "samples are chosen by --since and --until, both or none"),
        (["--request", "--version", "3"], "samples are chosen by --since and --until"),
        (["--request"], "dataset.request names no signals"),
    ],
)
def test_options_that_do_not_fit_are_refused(replay: Any, words: list[str], said: str) -> None:
    done = replay(*words)
    assert isinstance(done.exception, BadInput)
    assert said in str(done.exception)


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (("nothing.parquet",), BadInput, "there is no such table"),
        (("rows.parquet", "--time", "noon"), BadInput, "there is no column 'noon'"),
        ((".",), BadInput, "there is no prediction log in this folder"),
    ],
)
def test_what_is_not_there_is_said(
    replay: Any, tmp_path: Path, words: tuple[str, ...], kind: type[Exception], said: str
) -> None:
    done = replay(str(tmp_path / words[0]), *words[1:])
    assert isinstance(done.exception, kind)
    assert said in str(done.exception)
    assert not (tmp_path / "out.parquet").exists()


def test_a_model_that_cannot_be_loaded_fails(replay: Any) -> None:
    done = replay(asked="no Python")
    assert isinstance(done.exception, Failed)
    assert "the model's process ended while it was loaded" in str(done.exception)
