"""Commands that are killed while their units run on a real Dask scheduler: started again, they repeat nothing."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from beampermit.compute.unit import RUNNING, read_ended
from beampermit.project import Project
from support.dask_cluster import dask_cluster
from support.dated_project import VALIDATES, dated, let_one_fold_end
from support.forked_pythons import COMMAND, Forked, forked
from support.searched_project import searched, searched_once
from support.units_of_work import lines_of, wait_for

__all__ = ["dated", "searched", "searched_once"]
pytestmark = pytest.mark.slow

NEEDED = (*VALIDATES, "distributed")


def test_what_a_killed_command_began_on_dask_is_taken_over(dated: Project, tmp_path: Path) -> None:
    """What is done is not done again, and what runs in the worker is waited for."""
    import psutil

    place, work = let_one_fold_end(dated, tmp_path), tmp_path / "work"
    with dask_cluster(tmp_path / "dask") as cluster:
        worker = psutil.Process(cluster.worker(threads=6).pid)  # room for more than there is

        def validate() -> Forked:
            words = ["validate", "--folds", "3", "--on", cluster.address, "--json", "--project", dated.root]
            return forked(COMMAND, *words, "--work", work, cwd=tmp_path, needs=NEEDED)

        def attempts() -> int:
            return [Path(file.path).name for file in worker.open_files()].count(RUNNING)

        first = validate()
        wait_for(lambda: len([*lines_of(place / "begun")]) == 3)
        wait_for(lambda: any(map(read_ended, work.glob("units/*"))) and attempts() == 2)
        first.kill()
        assert first.wait() == -signal.SIGKILL
        second = validate()
        wait_for(lambda: attempts() == 4 or second.poll() is not None)
        (place / "go").touch()
        code, out, errors = second.finish()
    assert code == 0, errors
    assert sorted(fold["reused"] for fold in json.loads(out)["folds"]) == [False, False, True]
    begun = [*lines_of(place / "begun")]
    assert len(begun) == len(set(begun)) == 3, "each began once"
