"""Commands that are killed while their units run on a real Dask scheduler: started again, they repeat nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from beampermit.compute.unit import CLAIM, read_ended
from beampermit.project import Project
from support.dask_cluster import APART, Cluster, dask_cluster
from support.dated_project import dated, let_one_fold_end
from support.forked_pythons import COMMAND, Forked, forked
from support.searched_project import searched, searched_once
from support.units_of_work import lines_of, wait_for

__all__ = ["dated", "searched", "searched_once"]
pytestmark = pytest.mark.slow

VALIDATES = ("beampermit.trials.cross_validation", "pyarrow.parquet", "distributed")
"""What takes `beampermit validate --on dask://ADDRESS` long to import."""


@pytest.fixture(params=["", APART], ids=["shared", "apart"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """With one worker of two threads, which sees our folder of work or has copies."""
    with dask_cluster(tmp_path / "dask") as cluster:
        cluster.worker(threads=2, preload=request.param)
        yield cluster


def test_what_a_killed_command_began_on_dask_is_taken_over(cluster: Cluster, dated: Project, tmp_path: Path) -> None:
    """What is done is not done again, and what runs in the worker is waited for."""
    place, work = let_one_fold_end(dated, tmp_path), tmp_path / "work"

    def validate() -> Forked:
        words = ["validate", "--folds", "3", "--on", cluster.address, "--json", "--project", dated.root, "--work", work]
        return forked(COMMAND, *words, cwd=tmp_path, needs=VALIDATES)

    first = validate()
    wait_for(lambda: len([*lines_of(place / "begun")]) == 3 and any(map(read_ended, work.glob("units/*"))))
    first.kill()
    assert first.wait() == -9
    before = owners(work)
    second = validate()
    wait_for(lambda: second.poll() is not None or len([one for one in owners(work) if one not in before]) == 2)
    (place / "go").touch()
    code, out, errors = second.finish()
    assert code == 0, errors
    assert sorted(fold["reused"] for fold in json.loads(out)["folds"]) == [False, False, True]
    begun = [*lines_of(place / "begun")]
    assert len(begun) == len(set(begun)) == 3, "each began once"


def owners(work: Path) -> list[str]:
    """Of the units that are claimed."""
    found = list[str]()
    for folder in work.glob("units/*"):
        with suppress(OSError):  # given back, or taken over just now
            found.append((folder / CLAIM).readlink().name)
    return found
