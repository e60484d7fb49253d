"""A request gives the same bytes again, reports what changed, and replaces a table only when that is accepted."""

from __future__ import annotations

import json

import pytest

from beampermit.errors import BadInput, Failed
from beampermit.project import Project
from support.archiver import Archiver, busy
from support.data_requests import Ask, rows
from support.forked_commands import beampermit

pytestmark = pytest.mark.slow


def test_exit_codes_and_json(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    ask_archiver()
    same = beampermit("data", "request", cwd=project.root)
    assert (same.returncode, same.stdout) == (0, "data/raw.parquet: 10 rows, the same bytes as before\n")
    elsewhere = beampermit("data", "request", "--out", "data/other.parquet", "--json", cwd=project.root)
    assert (elsewhere.returncode, json.loads(elsewhere.stdout)["first"]) == (0, True)
    assert (project.root / "data/other.json").is_file()
    assert beampermit("data", "request", "--out", "../other.parquet", cwd=project.root).returncode == 2

    sound.samples["BEAM:CURRENT"][3]["val"] = 1.0
    changed = beampermit("data", "request", cwd=project.root)
    assert (changed.returncode, changed.stdout) == (1, "")
    assert "current changed in 1 row" in changed.stderr
    assert "next: beampermit data request --accept" in changed.stderr
    assert "current changed in 1 row" in beampermit("data", "request", "--accept", cwd=project.root).stdout

    sound.always = busy
    down = beampermit("data", "request", "--json", cwd=project.root)
    assert (down.returncode, json.loads(down.stdout)["exit_code"]) == (4, 4)
    sound.always = None
    del sound.samples["MACHINE:MODE"]
    unknown = beampermit("data", "request", cwd=project.root)
    assert unknown.returncode == 2
    assert "contract.yaml: the archiver does not know the PV 'MACHINE:MODE'" in unknown.stderr


def test_transport_options_do_not_change_the_digest(ask_archiver: Ask, sound: Archiver) -> None:
    first = ask_archiver()
    again = ask_archiver(options={"timeout": 9, "at_once": 1})
    assert (again.changes, again.sidecar["digest"]) == ((), first.sidecar["digest"])


def test_the_same_request_returns_the_same_bytes(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    first = ask_archiver()
    before = {file.name: file.read_bytes() for file in (project.root / "data").iterdir()}
    again = ask_archiver()
    assert before == {file.name: file.read_bytes() for file in (project.root / "data").iterdir()}
    assert (first.first, again.first, again.changes) == (True, False, ())
    assert again.summary == "the same bytes as before"
    (project.root / "data/raw.json").unlink()  # killed after the table and before the sidecar
    ask_archiver()
    assert (project.root / "data/raw.json").read_bytes() == before["raw.json"]


def test_changed_data_fail_with_the_differences(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    ask_archiver()
    before = (project.root / "data/raw.parquet").read_bytes()
    sound.samples["BEAM:CURRENT"][4]["val"] = 42.0
    del sound.samples["BEAM:CURRENT"][0:2]
    with pytest.raises(Failed) as caught:
        ask_archiver()
    assert "1 row removed (first: acquired_at 2026-03-01 07:00:00+00)" in caught.value.message
    assert "current changed in 1 row (first: acquired_at 2026-03-01 07:00:03+00: 103.0 before, 42.0 now)" in str(
        caught.value
    )
    assert (caught.value.exit_code, caught.value.hint) == (1, "beampermit data request --accept")
    assert (project.root / "data/raw.parquet").read_bytes() == before
    asked = sum(sound.asked.values())
    assert len(ask_archiver(accept=True).changes) == 2
    assert sum(sound.asked.values()) == asked, "what is accepted is what was shown"
    assert (42.0,) in rows(project.root, "current")


def test_a_changed_request_needs_a_higher_version(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    ask_archiver()
    with pytest.raises(Failed, match=r"the request itself changed \(sampling\); 5 rows removed"):
        ask_archiver(sampling={"period": "2s"})
    delivered = ask_archiver(sampling={"period": "2s"}, version=2)
    assert (delivered.sidecar["rows"], len(delivered.changes)) == (5, 2)


def test_a_broken_table_is_replaced_only_when_accepted(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    ask_archiver()
    table = project.root / "data/raw.parquet"
    table.write_bytes(table.read_bytes()[:100])
    with pytest.raises(Failed, match="the previous table cannot be read"):
        ask_archiver()
    assert ask_archiver(accept=True).sidecar["rows"] == 10


def test_a_link_is_not_written_through(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    (project.root / "data").mkdir()
    (project.root / "data/raw.parquet").symlink_to("/dev/null")
    with pytest.raises(BadInput, match=r"raw\.parquet: is a link to /dev/null, not a file"):
        ask_archiver()


def test_two_requests_at_once_are_a_conflict(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    from filelock import FileLock

    from beampermit.errors import Conflict

    (project.own / "requests").mkdir()
    with FileLock(project.own / "requests/lock"), pytest.raises(Conflict, match="another `beampermit data request`"):
        ask_archiver()
