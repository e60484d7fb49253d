"""DVC is forked from one process that has imported it; each run has its own variables, and ends as a new one would."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from beampermit.reproduction.dvc_process import dvc
from support.planted_processes import runs, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="elsewhere DVC is started anew")]

SERVER = "$(cut -d ' ' -f 4 /proc/$PPID/stat)"
"""Said by a stage: the process that its DVC was forked from."""
ANALYTICS = {"DVC_NO_ANALYTICS": "true", "PATH": os.defpath}


def run(folder: Path, command: str, **variables: str) -> tuple[int, str]:
    """The exit status of DVC with a stage of this command, and its log."""
    (folder / ".dvc").mkdir(parents=True, exist_ok=True)
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    (folder / "dvc.yaml").write_text(f"stages:\n  one:\n    cmd: |\n      {command}\n")
    log = folder / "log"
    given = {**ANALYTICS, "DVC_SITE_CACHE_DIR": str(folder / "site"), **variables}
    with log.open("w") as stream, dvc(["repro", "--force"], folder=folder, variables=given, log=stream) as child:
        code = child.wait()
    assert child.poll() == child.returncode == code
    return code, log.read_text()


def test_runs_have_one_parent_and_each_its_own_variables_and_folder(tmp_path: Path) -> None:
    told = [tmp_path / name / "told" for name in ("first", "second")]
    for file, name in zip(told, ("BEAM", "TARGET"), strict=True):
        assert run(file.parent, f"(echo {SERVER}; pwd; env) > told", **{name: "on"})[0] == 0
    first, second = (file.read_text().splitlines() for file in told)
    assert first[0] == second[0]
    assert int(first[0]) != os.getpid()
    assert [first[1], second[1]] == [str(file.parent) for file in told]
    names = {line.split("=")[0] for line in second[2:]} - {*ANALYTICS, "TARGET", "DVC_SITE_CACHE_DIR"}
    assert "BEAM=on" in first
    assert "TARGET=on" in second
    assert names <= {"DVC_ROOT", "DVC_STAGE", "PWD", "OLDPWD", "SHLVL", "_"}, "DVC and the shell add these"


def test_a_stage_that_fails_ends_as_it_does_where_dvc_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forked = run(tmp_path / "project", "echo no beam today; exit 3")
    monkeypatch.setattr("beampermit.reproduction.dvc_process.sys.platform", "another")
    assert run(tmp_path / "project", "echo no beam today; exit 3") == forked
    assert forked[0] == 255
    assert "\nno beam today\n" in forked[1]


def test_a_stage_that_ends_the_process_that_forks_is_run_to_its_end_and_so_is_the_next(tmp_path: Path) -> None:
    killed = run(tmp_path / "first", f"kill -9 {SERVER} && echo more")
    assert killed[0] == 0
    assert "\nmore\n" in killed[1]
    assert run(tmp_path / "second", "echo more")[0] == 0


def test_without_the_process_that_forks_dvc_is_started_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beampermit.reproduction.dvc_process.SERVER", tmp_path / "gone.py")
    code, log = run(tmp_path / "project", f"echo {SERVER}", LANG="another process")
    assert code == 0
    assert f"\n{os.getpid()}\n" in log


def test_what_dvc_and_its_stages_left_running_ends_with_the_block(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    (tmp_path / "dvc.yaml").write_text("stages: {one: {cmd: sh -c 'echo $$ > pid; mv pid told; exec sleep 600'}}\n")
    told = tmp_path / "told"
    variables = {**ANALYTICS, "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    with (
        (tmp_path / "log").open("w") as log,
        dvc(["repro"], folder=tmp_path, variables=variables, log=log) as child,
    ):
        while not told.exists():
            assert child.poll() is None
            time.sleep(0.05)
    assert child.returncode == -9
    wait_for(lambda: not runs(int(told.read_text())))
