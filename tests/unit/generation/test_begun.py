"""The folder in which a project is made: left by a run that was killed, in use by another, or of someone else."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from beampermit.generation.begun import IN_USE, PREFIX, begun_in

MAKER = """
import sys
from pathlib import Path
from beampermit.generation.begun import begun_in
with begun_in(Path(sys.argv[1])) as folder:
    (folder / "project").mkdir()
    print(folder, flush=True)
    input()
"""


@pytest.mark.slow
def test_what_a_killed_run_left_goes_with_the_next_and_what_is_in_use_stays(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAKER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as maker:
        assert maker.stdout is not None
        left = Path(maker.stdout.readline().rstrip())
        with begun_in(tmp_path) as own:
            assert (left / "project").is_dir(), "another run is at work there"
            assert own.parent == tmp_path
        maker.send_signal(signal.SIGKILL)
        maker.wait()
        assert left.is_dir()
        with begun_in(tmp_path) as own:
            assert [*tmp_path.iterdir()] == [own]
    assert [*tmp_path.iterdir()] == []


def test_what_another_made_under_such_a_name_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / IN_USE).touch()
    (tmp_path / f"{PREFIX}linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"{PREFIX}before").mkdir()  # at work between the folder and its lock, or of an earlier version
    (tmp_path / f"{PREFIX}file").touch()
    before = {path.name for path in tmp_path.rglob("*")}
    with begun_in(tmp_path):
        pass
    assert {path.name for path in tmp_path.rglob("*")} == before


def test_a_file_system_without_locks_makes_a_project_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with begun_in(tmp_path) as one, begun_in(tmp_path) as other:
        assert (one.is_dir(), other.is_dir()) == (True, True)
