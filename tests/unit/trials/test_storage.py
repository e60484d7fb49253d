"""Where studies are kept: a journal that survives a kill, or a database whose password nobody reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from beampermit.errors import BadInput, Outside
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.trials import runs
from beampermit.trials.addresses import public, said_by_driver
from beampermit.trials.records import State
from beampermit.trials.session import run_study
from beampermit.trials.storage import JOURNAL, address_of, folder_of, opened
from beampermit.trials.study import open_study, read_study
from support.forked_pythons import COMMAND, forked
from support.postgresql import PASSWORD, Server, running_server
from support.searched_project import RUNS_TRIALS, let_trials_meet, resources


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One for the tests of this file, each of which has a database of its own."""
    with running_server() as found:
        yield found


def database_of(server: Server, name: str) -> str:
    """The address of a new database."""
    from psycopg import connect

    with connect(server.address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return f"{server.address.rpartition('/')[0]}/{name}"


@pytest.mark.slow
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


@pytest.mark.slow
def test_what_a_trial_found_is_on_the_disk_and_the_disk_waits_for_nothing_before(
    searched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = open_study(Project(searched.root)).told
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    trials = [told.ask() for _ in range(3)]
    for trial in trials:
        trial.set_user_attr("run", "a")
        trial.suggest_float("x", 0, 1)
    trials[0].report(0.5, 1)
    assert synced == []
    told.tell(trials[0], 0.5)
    told.tell(trials[1], state=TrialState.FAIL)
    told.tell(trials[2], state=TrialState.PRUNED)
    assert len(synced) == 3
    told.set_user_attr("beampermit", {})
    assert len(synced) == 4


@pytest.mark.slow
def test_a_journal_that_is_damaged_is_named(searched: Project) -> None:
    open_study(Project(searched.root))
    journal = folder_of(searched) / JOURNAL
    first, *others = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([first, b"\x00\x00\n", *others]))
    with pytest.raises(BadInput, match="this journal of studies is damaged") as caught:
        open_study(Project(searched.root))
    assert caught.value.file == str(journal)
    for line, said in (
        (b'{"op_code": 99}', "it has a line that this version of optuna does not know"),
        (b'{"op_code": 99, "worker_id": "a"}', "it has a line that this version of optuna does not know"),
        (b"[]", "damaged"),
        (b"7", "damaged"),
    ):
        journal.write_bytes(b"".join([first, *others, line, b"\n"]))
        for read in (open_study, read_study):
            with pytest.raises(BadInput, match=said) as caught:
                read(Project(searched.root))
            assert caught.value.file == str(journal)


@pytest.mark.slow
def test_a_folder_in_place_of_the_journal_is_named_and_so_is_a_file_in_place_of_its_folder(searched: Project) -> None:
    journal = folder_of(searched) / JOURNAL
    journal.mkdir(parents=True)
    for read in (open_study, read_study):
        with pytest.raises(BadInput, match="is a file, and this is a folder") as caught:
            read(Project(searched.root))
        assert caught.value.file == str(journal)
    journal.rmdir()
    journal.parent.rmdir()
    journal.parent.write_text("")
    with pytest.raises(BadInput, match="a file is in the way") as caught:
        open_study(Project(searched.root))
    assert caught.value.file == str(journal.parent)
    with pytest.raises(BadInput, match="no study yet"):
        read_study(Project(searched.root))


SECRET = "se/c ret?1"  # as SQLAlchemy takes it, not encoded
ADDRESSES = {
    f"postgresql://ada:{PASSWORD}@db.lab.example/trials": "postgresql+psycopg://db.lab.example/trials",
    f"postgresql+psycopg://db.lab.example/trials?password={PASSWORD}": "postgresql+psycopg://db.lab.example/trials",
    f"mysql+pymysql://ada:p%40{PASSWORD}@db/trials": "mysql+pymysql://db/trials",
    f"postgresql://ada:{SECRET}@[::1]:65535/trials": "postgresql+psycopg://[::1]:65535/trials",
    "sqlite:////data/of ada/trials.db": "sqlite:////data/of ada/trials.db",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_shown_without_its_login(address: str) -> None:
    assert public(address_of(address)) == ADDRESSES[address]


NONE = {
    "https://ada:secret@db/trials": "it begins with none of postgresql, ",
    "ada:secret@db/trials": "it begins with none of postgresql, ",
    "postgresql://ada:secret": "its port is no number",
    "postgresql://ada:secret@127.0.0.1:notaport/trials": "its port is no number",
    "postgresql://ada:secret@db:65536/trials": "a port is a number up to 65535",
    "postgresql://secret:1234": "a database stands behind it",
    "postgresql://ada:pa@secret@db/trials": "it has an @ behind the login; in a user or a password, @ is written %40",
    "postgresql://ada/secret@db/trials": "it has an @ behind the login",
    "sqlite://ada:secret@x.db": "three slashes",
    "sqlite://": "it is in memory and gone with the command",
    "sqlite:///:memory:": "it is in memory",
    "sqlite:///file:secret?mode=memory&uri=true": "it is in memory",
}


@pytest.mark.parametrize("address", NONE)
def test_what_is_no_database_is_refused_and_nothing_of_it_is_said(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEAMPERMIT_COMPUTE", str(tmp_path / "compute.yaml"))
    (tmp_path / "compute.yaml").write_text(f"storage: {address!r}\n")
    require_refused(f"`storage` in {tmp_path}/compute.yaml", None, NONE[address])
    monkeypatch.setenv("BEAMPERMIT_STORAGE", address)
    require_refused("BEAMPERMIT_STORAGE", None, NONE[address])
    require_refused("--storage", address, NONE[address])


def require_refused(origin: str, storage: str | None, why: str) -> None:
    with pytest.raises(BadInput) as caught:
        address_of(storage)
    assert caught.value.message.startswith(f"{origin} is not the address of a database: ")
    assert why in caught.value.message
    said = f"{caught.value} {caught.value.hint}".replace(origin, "")
    assert not any(word in said for word in ("secret", "ada", "1234"))


WRITTEN = ("se/c ret?1", "se%2Fc%20ret%3F1", "se%2Fc+ret%3F1", "se/c%20ret%3F1", "'ada:se/c ret?1@h'")


@pytest.mark.parametrize("written", WRITTEN)
def test_a_password_is_not_in_what_a_driver_says_however_it_writes_it(written: str) -> None:
    for address in (f"postgresql://ada:{SECRET}@h/db", "postgresql://ada:se%2Fc%20ret%3F1@h/db"):
        assert "***" in said_by_driver(RuntimeError(f"no login {written}"), address)
        for before in (0, 280, 285, 290):  # where the message is cut
            said = said_by_driver(RuntimeError("x" * before + f"  no login {written}"), address)
            assert not any(part in said for part in ("se/", "se%", "ret"))
    assert said_by_driver(ValueError("no host"), "mssql://h/db?odbc_connect=UID%3Dada%3BPWD%3Dsecret") == "no host"
    odbc = said_by_driver(ValueError("no login PWD secret"), "mssql://h/db?odbc_connect=UID%3Dada%3BPWD%3Dsecret")
    assert odbc == "no login PWD ***"
    short = said_by_driver(ValueError("connection refused"), "postgresql://ada:e@h/db")
    assert short == "what it says has letters of the password and is not shown"


def test_the_option_comes_before_the_environment_and_that_before_the_configuration(
    searched: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert address_of(None) == ""
    (tmp_path / "compute.yaml").write_text("storage: sqlite:///configured.db\n")
    assert address_of(None) == "sqlite:///configured.db"
    monkeypatch.setenv("BEAMPERMIT_STORAGE", "sqlite:///environment.db")
    assert address_of(None) == "sqlite:///environment.db"
    assert address_of("sqlite:///given.db") == "sqlite:///given.db"


@pytest.mark.slow
def test_a_database_that_does_not_answer_is_outside_and_its_password_is_not_said(searched: Project) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(Outside) as caught:
        opened(searched, f"postgresql://ada:{PASSWORD}@127.0.0.1:1/trials?connect_timeout=2")
    assert "127.0.0.1:1/trials" in caught.value.message
    assert PASSWORD not in caught.value.message


def test_a_driver_that_is_missing_is_named(searched: Project) -> None:
    with pytest.raises(BadInput, match=r"the driver of mysql.* is not installed: MySQLdb") as caught:
        opened(searched, "mysql://ada@127.0.0.1/trials")
    assert caught.value.hint == "pip install mysqlclient"


def test_an_option_that_a_driver_does_not_take_is_named(searched: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"studies.db: invalid literal for int\(\) with base 10: '\*\*\*'"):
        opened(searched, f"sqlite:///{tmp_path}/studies.db?cached_statements=hunter22")


@pytest.mark.slow
@pytest.mark.parametrize("database", [False, True])
def test_a_run_is_dead_where_its_process_or_its_signs_are_however_far_clocks_are_off(
    searched: Project, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, *, database: bool
) -> None:
    address = database_of(request.getfixturevalue("server"), "clocks") if database else None
    told = open_study(Project(searched.root), storage=address).told
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    sign = runs._sign(0.0)
    signs = {
        "ours": sign,
        "of a process that ended": {**sign, "process": ended.pid},
        "of another with its number": {**sign, "began": 1.0},
        "over": None,
    }
    clock, clocks = time.time, {"right": 0.0, "half an hour ahead": 1800.0, "half an hour behind": -1800.0}
    for name, ahead in clocks.items():
        monkeypatch.setattr(time, "time", lambda ahead=ahead: clock() + ahead)
        monkeypatch.setattr(runs, "_host", lambda: "other")
        with runs.alive(told, name):
            seen = told.user_attrs[f"run.{name}"]
        signs[f"elsewhere, {name}"] = {**seen, "seen": seen["seen"] - runs.LOST + 30}
        signs[f"elsewhere, {name}, long ago"] = {**seen, "seen": seen["seen"] - runs.LOST - 1}
        monkeypatch.undo()
    found = {}
    for name, one in signs.items():
        told.set_user_attr(f"run.{name}", one)
        trial = told.ask()
        trial.set_user_attr("run", name)
        found[trial._trial_id] = name
    told.ask()  # somebody alive may be in the middle of asking
    for ahead in clocks.values():
        monkeypatch.setattr(time, "time", lambda ahead=ahead: clock() + ahead)
        dead = runs.abandoned(told, told.get_trials(), "mine")
        assert [found[number] for number in dead] == [
            "of a process that ended", "of another with its number", "over",
            *(f"elsewhere, {name}, long ago" for name in clocks),
        ]  # fmt: skip


RUN = ("trials", "run", "--no-mlflow")


@pytest.mark.slow
def test_two_runs_share_a_real_database_and_nothing_shows_its_password(
    searched: Project, tmp_path: Path, server: Server
) -> None:
    postgresql = database_of(server, "shared")
    place = let_trials_meet(searched, tmp_path)
    variables = {**os.environ, "BEAMPERMIT_STORAGE": postgresql}
    words = (*RUN, "--json", "--trials", 8, "--at-once", 1, "--work", tmp_path / "work")
    running = [forked(COMMAND, *words, cwd=searched.root, env=variables, needs=RUNS_TRIALS) for _ in range(2)]
    ended = [run.finish() for run in running]
    answers = [(said, errors) for _, said, errors in ended]
    assert [code for code, _, _ in ended] == [0, 0], answers
    study = read_study(searched, storage=postgresql)
    assert len(study.trials) in (8, 9)  # two may ask for the last one at the same moment
    assert {trial.state for trial in study.trials} == {State.COMPLETE}
    shares = [json.loads(said)["run"] for said, _ in answers]
    assert min(share["complete"] for share in shares) > 0, "both help"
    assert len([*place.iterdir()]) == len(study.trials), "none is done twice"
    assert study.storage.startswith("postgresql+psycopg://127.0.0.1:")
    assert all(json.loads(answer)["storage"] == study.storage for answer, _ in answers)
    written = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    said = "".join(map("".join, answers)) + "".join(path.read_text(errors="replace") for path in written)
    assert PASSWORD not in said
    wrong = postgresql.replace(PASSWORD, "wr0ng-pass")
    with pytest.raises(Outside, match="password authentication failed") as caught:
        run_study(Project(searched.root), 9, resources(tmp_path), silent, storage=wrong, mlflow=False)
    assert "wr0ng-pass" not in caught.value.message


@pytest.mark.slow
def test_a_study_goes_on_after_its_database_was_killed_and_repeats_no_trial(
    searched: Project, tmp_path: Path, server: Server
) -> None:
    address, trials = database_of(server, "killed"), 16
    words = (*RUN, "--trials", trials, "--at-once", 2, "--work", tmp_path / "work")
    variables = {**os.environ, "BEAMPERMIT_STORAGE": address}
    first = forked(COMMAND, *words, cwd=searched.root, env=variables, needs=RUNS_TRIALS)
    while len(list((tmp_path / "work").glob("units/*/ended.json"))) < 4:
        time.sleep(0.02)
    server.kill()
    code, _, said = first.finish()
    assert code == Outside.exit_code
    assert "postgresql+psycopg://127.0.0.1:" in said
    assert PASSWORD not in said
    assert "Traceback" not in said

    server.start()
    done = {file: file.stat().st_mtime_ns for file in (tmp_path / "work").glob("units/*/result.json")}
    assert len(done) < trials, "it was killed in the middle"
    session = run_study(searched, trials, resources(tmp_path), silent, storage=address, mlflow=False)
    assert len(session.study.of_state(State.COMPLETE)) == trials
    assert {file: file.stat().st_mtime_ns for file in done} == done, "no trial was done twice"
