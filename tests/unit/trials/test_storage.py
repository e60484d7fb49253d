"""Where studies are kept: a journal that survives a kill, or a database whose password nobody reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from beampermit.errors import BadInput, Outside
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.trials import runs
from beampermit.trials.records import State
from beampermit.trials.session import run_study
from beampermit.trials.storage import JOURNAL, address_of, folder_of, opened, public
from beampermit.trials.study import open_study, read_study
from support.postgresql import PASSWORD, postgresql
from support.searched_project import resources

__all__ = ["postgresql"]


def test_half_a_line_that_a_killed_writer_left_is_removed_and_no_other(searched: Project) -> None:
    first = open_study(Project(searched.root))
    journal = folder_of(searched) / JOURNAL
    whole = journal.read_bytes()
    for torn in (b'{"op_code":4', b"x" * 200_000):
        journal.write_bytes(whole + torn)
        first.told.set_user_attr("beside", 1)  # a run that goes on
        assert journal.read_bytes().startswith(whole + b'{"op_code":')
        journal.write_bytes(whole + torn)
        assert open_study(Project(searched.root)).study == first.study
        assert journal.read_bytes() == whole


def test_a_journal_that_is_damaged_is_named(searched: Project) -> None:
    open_study(Project(searched.root))
    journal = folder_of(searched) / JOURNAL
    first, *others = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([first, b"\x00\x00\n", *others]))
    with pytest.raises(BadInput, match="this journal of studies is damaged") as caught:
        open_study(Project(searched.root))
    assert caught.value.file == str(journal)


ADDRESSES = {
    f"postgresql://ada:{PASSWORD}@db.lab.example/trials": "postgresql+psycopg://ada@db.lab.example/trials",
    f"postgresql+psycopg://db.lab.example/trials?password={PASSWORD}": "postgresql+psycopg://db.lab.example/trials",
    f"mysql+pymysql://ada:p%40{PASSWORD}@db/trials": "mysql+pymysql://ada@db/trials",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_shown_without_its_password(address: str) -> None:
    assert public(address_of(address)) == ADDRESSES[address]


def test_what_is_no_database_is_refused_without_its_password() -> None:
    with pytest.raises(BadInput, match="is not the address of a database") as caught:
        address_of(f"https://ada:{PASSWORD}@db.lab.example/trials")
    assert PASSWORD not in f"{caught.value} {caught.value.hint}"


def test_the_option_comes_before_the_environment_and_that_before_the_configuration(
    searched: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert address_of(None) == ""
    (tmp_path / "compute.yaml").write_text("storage: sqlite:///configured.db\n")
    assert address_of(None) == "sqlite:///configured.db"
    monkeypatch.setenv("BEAMPERMIT_STORAGE", "sqlite:///environment.db")
    assert address_of(None) == "sqlite:///environment.db"
    assert address_of("sqlite:///given.db") == "sqlite:///given.db"


def test_a_database_that_does_not_answer_is_outside_and_its_password_is_not_said(searched: Project) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(Outside) as caught:
        opened(searched, f"postgresql://ada:{PASSWORD}@127.0.0.1:1/trials?connect_timeout=2")
    assert "127.0.0.1:1/trials" in caught.value.message
    assert PASSWORD not in caught.value.message


def test_a_driver_that_is_missing_is_named(searched: Project) -> None:
    with pytest.raises(BadInput, match=r"the driver of mysql.* is not installed: MySQLdb"):
        opened(searched, "mysql://ada@127.0.0.1/trials")


def test_a_run_is_dead_where_its_process_or_its_signs_are(searched: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    told = open_study(Project(searched.root)).told
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    signs = {
        "ours": runs._sign(),
        "of a process that ended": {**runs._sign(), "process": ended.pid},
        "of another with its number": {**runs._sign(), "began": 1.0},
        "elsewhere, a moment ago": {**runs._sign(), "host": "other", "seen": runs.time.time() - runs.LOST + 30},
        "elsewhere, long ago": {**runs._sign(), "host": "other", "seen": runs.time.time() - runs.LOST - 1},
        "over": None,
    }
    found = {}
    for name, sign in signs.items():
        told.set_user_attr(f"run.{name}", sign)
        trial = told.ask()
        trial.set_user_attr("run", name)
        found[trial._trial_id] = name
    told.ask()  # somebody alive may be in the middle of asking
    dead = runs.abandoned(told, told.get_trials(), "mine")
    assert [found[number] for number in dead] == [
        "of a process that ended", "of another with its number", "elsewhere, long ago", "over",
    ]  # fmt: skip


def test_two_runs_share_a_real_database_and_nothing_shows_its_password(
    searched: Project, tmp_path: Path, postgresql: str
) -> None:
    variables = {**os.environ, "BEAMPERMIT_STORAGE": postgresql}
    command = [sys.executable, "-m", "beampermit", "trials", "run", "--no-mlflow", "--json", "--trials", "8"]
    command += ["--at-once", "1", "--work", str(tmp_path / "work")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, cwd=searched.root, env=variables, **pipes) for _ in range(2)]
    answers = [run.communicate(timeout=240) for run in running]
    assert [run.returncode for run in running] == [0, 0], answers
    study = read_study(searched, storage=postgresql)
    assert len(study.trials) in (8, 9)  # two may ask for the last one at the same moment
    assert {trial.state for trial in study.trials} == {State.COMPLETE}
    assert study.storage.startswith("postgresql+psycopg://ada@127.0.0.1:")
    assert all(json.loads(answer)["storage"] == study.storage for answer, _ in answers)
    written = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    said = "".join(map("".join, answers)) + "".join(path.read_text(errors="replace") for path in written)
    assert PASSWORD not in said
    wrong = postgresql.replace(PASSWORD, "wr0ng-pass")
    with pytest.raises(Outside, match="password authentication failed") as caught:
        run_study(Project(searched.root), 9, resources(tmp_path), silent, storage=wrong, mlflow=False)
    assert "wr0ng-pass" not in caught.value.message
