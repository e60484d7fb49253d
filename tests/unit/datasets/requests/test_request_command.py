"""`beampermit data request` as scripts see it: exit codes, JSON, one line on stderr."""

from __future__ import annotations

import json
import subprocess
import sys

from beampermit.project import Project
from support.archiver import Archiver, busy
from support.data_requests import Ask


def beampermit(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "beampermit.cli.main", "data", "request", *arguments]
    return subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)


def test_exit_codes_and_json(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    ask_archiver()
    same = beampermit(project)
    assert (same.returncode, same.stdout) == (0, "data/raw.parquet: 10 rows, the same bytes as before\n")
    elsewhere = beampermit(project, "--out", "data/other.parquet", "--json")
    assert (elsewhere.returncode, json.loads(elsewhere.stdout)["first"]) == (0, True)
    assert (project.root / "data/other.json").is_file()
    assert beampermit(project, "--out", "../other.parquet").returncode == 2

    sound.samples["BEAM:CURRENT"][3]["val"] = 1.0
    changed = beampermit(project)
    assert (changed.returncode, changed.stdout) == (1, "")
    assert "current changed in 1 rows" in changed.stderr
    assert "next: beampermit data request --accept" in changed.stderr
    assert "current changed in 1 rows" in beampermit(project, "--accept").stdout

    sound.always = busy
    down = beampermit(project, "--json")
    assert (down.returncode, json.loads(down.stdout)["exit_code"]) == (4, 4)
    sound.always = None
    del sound.samples["MACHINE:MODE"]
    unknown = beampermit(project)
    assert unknown.returncode == 2
    assert "contract.yaml: the archiver does not know the PV 'MACHINE:MODE'" in unknown.stderr


def test_how_it_is_asked_is_not_what_is_asked(ask_archiver: Ask, sound: Archiver) -> None:
    first = ask_archiver()
    again = ask_archiver(options={"timeout": 9, "at_once": 1})
    assert (again.changes, again.sidecar["digest"]) == ((), first.sidecar["digest"])
