"""OPS001 counts on a record of the project what changed limits would have raised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from beampermit.documents.rendering import _environment
from beampermit.files import write_json
from beampermit.project import Project
from beampermit.verdicts.evidence import CountedAlarms, LimitChanges
from support.judged_limits import (
    backtested,
    calibrate,
    change,
    changes_of,
    judge,
    merged,
)
from support.monitored import BEGAN, DEVICES, answers, drawn, monitored_contract, monitored_text
from support.monitored_log import write_log


def shown_of(changes: LimitChanges) -> str:
    """The report's section."""
    template = _environment().get_template("report.md.j2")
    report = SimpleNamespace(limits=changes)
    return "".join(template.blocks["limits"](template.new_context({"report": report})))


@pytest.fixture
def recorded(monitored: Project, contract_text: str, git: Callable[..., str], tmp_path: Path) -> Callable[..., Path]:
    """Records six good hours, on the base branch as well."""

    def made(name: str = "data/record.parquet", merge: bool = True) -> Path:
        contract = monitored_contract(contract_text, recorded=name)
        at = BEGAN + 60.0 * np.arange(360)
        inputs = drawn(3 * len(at), 3)
        (monitored.root / "devices.csv").write_text("\n".join(("device", *DEVICES)) + "\n")
        log = write_log(tmp_path / "log", contract, monitored.root, at, inputs | answers(inputs))
        file = monitored.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables(pq.read_table(part) for part in sorted(log.rglob("*.parquet"))), file)
        (monitored.root / "contract.yaml").write_text(monitored_text(contract_text, recorded=name))
        if merge:
            git("add", "--all", "--force")
            merged(git)
        return file

    return made


@pytest.mark.slow
@pytest.mark.attack(
    guard="OPS001",
    tried="writes into the calibration that its limits give no alarm; a record of the base branch says otherwise",
    said="The author's calibration says 0 alarms a week",
)
def test_what_new_limits_raise_is_counted_here_and_not_believed(
    monitored: Project, recorded: Callable[..., Path], said: str
) -> None:
    recorded()
    found = changes_of(backtested(monitored, MON001_current=0.05))
    assert found
    assert found.backtest
    assert found.backtest.after.per_week == 0.0
    assert found.counted
    assert (found.counted.record, found.counted.changed, found.counted.why) == ("data/record.parquet", False, "")
    counted = found.counted.found
    assert counted
    assert counted.before
    assert (counted.since, counted.until) == ("2027-01-15T08:00:00Z", "2027-01-15T14:00:00Z")
    assert counted.before.per_week == 0.0
    assert counted.after.low > 0.7, "the most that the author says"
    assert found.contradicted
    shown = shown_of(found)
    assert "Counted by this check on the record `data/record.parquet`, of 2027-01-15T08:00:00Z to" in shown
    assert said in shown
    assert "author's log" not in shown
    sound = changes_of(backtested(monitored, MON001_current=2.0))
    assert sound
    assert sound.counted
    assert sound.counted.found
    assert sound.counted.found.after.per_week == 0.0
    assert not sound.contradicted
    assert "⚠️ The author" not in shown_of(sound)


@pytest.mark.slow
def test_answers_of_the_old_model_are_no_alarms_of_the_new_one(
    monitored: Project, recorded: Callable[..., Path], git: Callable[..., str]
) -> None:
    """Its reference is its own answers, which are elsewhere."""

    def manifest(digest: str) -> None:
        files = {"model/weights.safetensors": f"sha256:{digest * 64}"}
        write_json(monitored.root / "manifest.json", {"algorithm": "sha256", "files": files})

    manifest("1")
    recorded()

    def reference_moved(content: dict[str, Any]) -> None:
        of = content["outputs"]["score"]["numbers"]["score"]
        of |= {"edges": [edge + 5.0 for edge in of["edges"]], "limit": 0.9 * of["limit"]}

    def counted() -> CountedAlarms:
        found = changes_of(change(monitored, reference_moved))
        assert found
        assert found.counted
        assert found.counted.found, found.counted.why
        return found.counted

    old = counted().found
    assert old
    assert (old.of_inputs, old.after.per_week > 0) == (False, True)
    manifest("2")
    git("add", "manifest.json")
    new = changes_of(judge(monitored))
    assert new
    assert new.counted
    assert new.counted.found
    assert (new.counted.found.of_inputs, new.counted.found.after.per_week) == (True, 0.0)
    assert "Of inputs alone, MON001 to MON003: this pull request has another model" in shown_of(new)


@pytest.mark.slow
def test_a_record_that_the_pull_request_brings_is_told(monitored: Project, recorded: Callable[..., Path]) -> None:
    recorded(merge=False)
    found = changes_of(backtested(monitored, MON001_current=0.05))
    assert found
    assert found.counted
    assert (found.counted.found, found.counted.why) == (None, "neither git nor DVC tracks it")
    said = shown_of(found)
    assert "Nothing was counted on the record `data/record.parquet`: `neither git nor DVC tracks it`" in said
    assert "By the author's calibration, not computed here: as `beampermit backtest` on the author's log said" in said
    monitored.git("add", "--force", "data/record.parquet")
    brought = changes_of(judge(monitored))
    assert brought
    assert brought.counted
    assert brought.counted.found
    assert brought.counted.changed
    assert "⚠️ This pull request changes that record, or brings it." in shown_of(brought)


@pytest.mark.slow
def test_a_record_that_dvc_tracks_is_compared_by_its_hash(
    monitored: Project, recorded: Callable[..., Path], git: Callable[..., str]
) -> None:
    recorded(merge=False)

    def tracked(hash: str) -> CountedAlarms:
        out = {"md5": hash, "size": 9, "hash": "md5", "path": "record.parquet"}
        (monitored.root / "data/record.parquet.dvc").write_text(yaml.safe_dump({"outs": [out]}))
        found = changes_of(judge(monitored))
        assert found
        assert found.counted
        assert found.counted.found
        return found.counted

    calibrate(monitored, MON001_current=0.05)
    assert tracked("1" * 32).changed
    git("add", "contract.yaml", "devices.csv", "data/record.parquet.dvc")
    git("commit", "--quiet", "--message", "A record")
    git("branch", "--force", "main")
    assert not tracked("1" * 32).changed
    assert tracked("2" * 32).changed


@pytest.mark.slow
def test_a_record_that_is_none_leaves_the_author_s_word(monitored: Project, recorded: Callable[..., Path]) -> None:
    file = recorded()
    file.write_text("no table")
    found = changes_of(backtested(monitored, MON001_current=0.05))
    assert found
    assert found.counted
    assert found.counted.found is None
    assert "this table cannot be read" in found.counted.why
    file.unlink()
    found = changes_of(judge(monitored))
    assert found
    assert found.counted
    assert "there is no such prediction log or table" in found.counted.why


@pytest.mark.slow
def test_whatever_a_record_is_this_check_ends_with_a_verdict(monitored: Project, recorded: Callable[..., Path]) -> None:
    file = recorded()
    backtested(monitored, MON001_current=0.05)
    sound = pq.read_table(file)

    def why() -> str:
        found = changes_of(judge(monitored))
        assert found
        assert found.counted
        assert found.counted.found is None
        assert found.counted.changed
        return found.counted.why

    place = sound.column_names.index("served.row")
    pq.write_table(sound.set_column(place, "served.row", pa.array(range(len(sound)))), file)
    assert "nothing of it can be judged: " in why()
    content = file.read_bytes()
    file.write_bytes(content[:4] + bytes(len(content) // 2) + content[4 + len(content) // 2 :])
    assert "this table cannot be read: " in why()
    file.unlink()
    file.mkdir()
    pq.write_table(sound, file / "2026-13-99T000000.000000Z.parquet")
    monitored.git("add", "--force", "data")
    assert "the name of this file of a prediction log is no time" in why()
    (monitored.root / "data/other.dvc").write_text("[")
    assert "data/other.dvc" in why()
