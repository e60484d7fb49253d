"""Samples of an archiver or of recordings are replayed as they came, with silence, disconnects and severities."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from beampermit.errors import BadInput, Conflict, Outside
from beampermit.live.loop import Loop, Standing
from beampermit.live.replay.replay import replay
from beampermit.live.replay.results import write_results
from beampermit.live.replay.samples import Wanted, fetch_samples
from beampermit.live.wiring import wire
from beampermit.progress import silent
from beampermit.project import Project
from support.archiver import Archiver, busy, sample
from support.prediction_logs import rows as rows_of
from support.served import SIGNALS, Doubling

AT = 1_780_000_000.0
VALVE = {"name": "valve", "pv": "VALVE", "words": ["OUT", "IN"]}
INPUTS = [*SIGNALS["inputs"], VALVE]
pytestmark = pytest.mark.slow


@pytest.fixture
def archiver() -> Iterator[Archiver]:
    """Three days of nothing but ten seconds at their start, and one at their end."""
    with Archiver().serve() as found:
        for device in ("B1", "B2", "B3"):
            turns = [sample(AT - 1, [1.0, 2.0, 3.0]), *(sample(AT + n, [n, n, n]) for n in range(1, 4))]
            found.add(f"{device}:TBT", turns, "mm")
        found.samples["B2:TBT"][2]["severity"] = 3
        found.add("RING:CURRENT", [sample(AT - 5, 300.0), sample(AT + 5, 300.0)], "mA")
        found.add("VALVE", [sample(AT - 5, "IN"), sample(AT + 2.5, "STUCK"), sample(AT + 3.5, "OUT")])
        yield found


@pytest.fixture
def asking(project: Project, contract_text: str) -> Callable[..., Project]:
    def made(wanted: Any = None, inputs: Any = None, **sections: Any) -> Project:
        page = yaml.safe_load(contract_text)
        page |= {"signals": {**SIGNALS, "inputs": inputs or INPUTS}, "fallback": {"on_invalid": "invalid"}, **sections}
        if wanted:
            page["dataset"]["request"] = wanted
        (project.root / "contract.yaml").write_text(json.dumps(page, default=str))
        (project.root / "devices.csv").write_text("device\nB1\nB2\nB3\n")
        return Project(project.root)

    return made


def span(seconds: float = 10.0) -> dict[str, Any]:
    return {"since": datetime.fromtimestamp(AT, UTC), "until": datetime.fromtimestamp(AT + seconds, UTC)}


def played(project: Project, wanted: Wanted, out: Path) -> list[tuple[float, str, Any, str]]:
    """When, row, what was shown of the score, and why nothing was."""
    wiring = wire(project.contract, project.root)
    loop = Loop(project.contract, wiring, Doubling(), Standing(0, ""), lambda _: None)
    with fetch_samples(project, wiring, wanted, silent) as fetched:
        fetched.require()
        write_results(replay(loop, fetched.moments()), wiring, 0, out)
    names = ("served.at", "served.row", "score.shown", "score.severity", "score.message")
    return [
        (round(at - AT, 3), row, None if severity == 3 else shown, message)
        for at, row, shown, severity, message in (tuple(row.values()) for row in rows_of(out, *names))
    ]


def test_an_archiver_is_replayed_sample_by_sample(
    asking: Callable[..., Project], archiver: Archiver, tmp_path: Path
) -> None:
    project, wanted = asking(), Wanted(archiver.url, **span())
    shown = played(project, wanted, tmp_path / "one.parquet")
    stuck = "VALVE has the word 'STUCK', which is none of OUT, IN"
    assert [one for one in shown if one[1] == "B2"] == [
        (0.0, "B2", 4.0, ""),  # what held at the start
        (1.01, "B2", 2.0, ""),
        (2.01, "B2", None, "B2:TBT has severity INVALID"),
        (3.01, "B2", None, stuck),
        (3.51, "B2", 6.0, ""),
        (5.01, "B2", 6.0, ""),  # the current was sent again
        (8.2, "B2", None, "B2:TBT is older than 5 s"),
    ]
    assert [one[2:] for one in shown if one[:2] == (2.51, "B1")] == [(None, stuck)]
    assert not list((project.own / "replays").glob("*/samples"))


def test_two_runs_and_any_pieces_give_the_same_bytes(
    asking: Callable[..., Project], archiver: Archiver, tmp_path: Path
) -> None:
    for number, piece in enumerate(("1d", "1d", "4s")):
        played(asking(request_of(archiver, piece=piece)), Wanted(), tmp_path / f"{number}.parquet")
    assert len({(tmp_path / f"{number}.parquet").read_bytes() for number in range(3)}) == 1


def test_a_disconnect_is_seen_when_it_was_and_not_when_it_was_told(
    asking: Callable[..., Project], archiver: Archiver, tmp_path: Path
) -> None:
    archiver.samples["B1:TBT"] += [sample(AT + 8, [4.0, 4.0, 4.0], cnxlostepsecs=f"{AT + 4:.0f}")]
    shown = played(asking(request_of(archiver, piece="2s")), Wanted(), tmp_path / "out.parquet")
    assert [one for one in shown if one[1] == "B1" and one[0] > 4] == [
        (5.01, "B1", None, "B1:TBT is disconnected"),  # of the second 4, all may have been good
        (8.01, "B1", 8.0, ""),
    ]


def test_recordings_are_replayed_by_event(asking: Callable[..., Project], tmp_path: Path) -> None:
    signals = [{"name": "valve", "states": ["IN", "OUT"]}, "turns"]
    wanted = {"source": "files", "options": {"paths": ["r.parquet"]}, "signals": signals, **REST}
    project = asking(wanted, serving={"event": "current"})
    rows = ", ".join(
        f"({second}, '{device}', [{second}, {second}, {second}]::DOUBLE[], {301 + second}, {second % 2}, {severity})"
        for second, severity in ((0, 0), (1, 1), (2, 3), (3, 0))
        for device in ("B1", "B2", "B3")
    )
    at = f"make_timestamptz(CAST(({AT} + second) * 1000000 AS BIGINT)) AS acquired_at"
    names = "second, device, turns, current, valve, turns_severity"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY (SELECT {at}, * FROM (VALUES {rows}) t({names})) TO '{project.root}/r.parquet'")
    shown = played(project, Wanted(), tmp_path / "out.parquet")
    assert [one for one in shown if one[1] == "B1"] == [
        (0.0, "B1", 0.0, ""),
        (1.0, "B1", 2.0, "B1:TBT has severity MINOR"),
        (2.0, "B1", None, "B1:TBT has severity INVALID"),
        (3.0, "B1", 6.0, ""),
        (8.2, "B1", None, "B1:TBT is older than 5 s"),
    ]
    assert [row["valve"] for row in rows_of(tmp_path / "out.parquet", "valve")[:12:3]] == [1.0, 0.0, None, 0.0]


def test_an_archiver_that_fails_leaves_no_half_table_and_what_was_fetched(
    asking: Callable[..., Project], archiver: Archiver, tmp_path: Path
) -> None:
    project, out = asking(request_of(archiver, tries=1, at_once=1)), tmp_path / "out.parquet"
    archiver.faults = [lambda _: False, busy]
    with pytest.raises(Outside, match="does not return"):
        played(project, Wanted(), out)
    assert not out.exists()
    assert len(list((project.own / "replays").glob("*/samples/*.parquet"))) == 1
    asked = archiver.asked.total()
    played(project, Wanted(), out)
    assert archiver.asked.total() - asked == 4  # of five PVs
    del archiver.samples["VALVE"]
    with pytest.raises(BadInput, match="the archiver does not know the PV 'VALVE'"):
        played(project, Wanted(), out)


@pytest.mark.parametrize(
    ("sections", "wanted", "said"),
    [
        ({}, Wanted(), "dataset.request names no signals: its source simulator gives rows, not samples"),
        ({}, Wanted("http://127.0.0.1:1"), "say from when to when"),
        ({}, Wanted("http://127.0.0.1:1", *reversed(span().values())), r"ranges\.0: the range is reversed: 2026-"),
        ({"serving": {"snapshot": "SHOT"}}, Wanted("http://127.0.0.1:1", **span()), "serving.snapshot makes rows"),
        ({}, Wanted("http://127.0.0.1:1", datetime.now(UTC), datetime(2099, 1, 1, tzinfo=UTC)), "is in the future"),
        ({}, Wanted("http://me:secret@127.0.0.1", **span()), "must not contain a password"),
    ],
)
def test_what_cannot_be_replayed(
    asking: Callable[..., Project], tmp_path: Path, sections: Any, wanted: Wanted, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        played(asking(**sections), wanted, tmp_path / "out.parquet")


def test_one_replay_of_a_project_fetches_at_a_time(asking: Callable[..., Project], archiver: Archiver) -> None:
    project = asking()
    wiring = wire(project.contract, project.root)
    with (
        fetch_samples(project, wiring, Wanted(archiver.url, **span()), silent),
        pytest.raises(Conflict, match="another `beampermit replay`"),
        fetch_samples(project, wiring, Wanted(archiver.url, **span()), silent),
    ):
        pass


REST: dict[str, Any] = {
    "ranges": [{"start": moment.isoformat(), "end": end.isoformat()} for moment, end in [tuple(span().values())]],
    "sampling": {"period": "1s"},
    "gaps": {"max_age": "1h"},
}


def request_of(archiver: Archiver, **options: Any) -> dict[str, Any]:
    return {
        "source": "archiver",
        "options": {"url": archiver.url, "backoff": 0.01, "timeout": 0.3, **options},
        "signals": ["turns"],
        **REST,
    }
