"""Runs in MLflow of which no version was made: reconcile names them, and removes those that no promotion can use."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import pytest

from beampermit.errors import Outside
from beampermit.progress import silent
from beampermit.registry.mlflow import Registry, Run
from beampermit.registry.reconcile import find_abandoned, find_differences
from support.registry_project import MODEL, Laboratory

pytestmark = pytest.mark.slow

HOURS = 3600 * 1000


@pytest.fixture
def once(prepared: Callable[..., Laboratory]) -> Laboratory:
    """A version promoted."""
    return prepared("once")


@pytest.fixture
def client(once: Laboratory) -> Any:
    return once.registry._client


def left(client: Any, ago: int = 2 * HOURS, permit: str = f"sha256:{'d' * 64}") -> str:
    """The id of a run that a promotion left `ago` milliseconds before now."""
    experiment = client.get_experiment_by_name(MODEL).experiment_id
    begin = int(time.time() * 1000) - ago
    return client.create_run(experiment, start_time=begin, tags={"beampermit.permit": permit}).info.run_id


def stages(client: Any, *runs: str) -> list[str]:
    return [client.get_run(run).info.lifecycle_stage for run in runs]


def test_runs_that_promotions_left_are_named_and_removed(once: Laboratory, client: Any) -> None:
    runs = [left(client), left(client, permit=once.last().permit)]
    by_hand = client.create_run(client.get_experiment_by_name(MODEL).experiment_id, start_time=1).info.run_id
    elsewhere = left(client)
    once.registry.create_version("copy", elsewhere)
    there = once.registry.versions(MODEL)[0].run
    told = tuple(
        f"run {run} of permit {permit}, of which no version was made, is removed"
        for run, permit in zip(runs, (f"sha256:{'d' * 12}", once.last().permit[:19]), strict=True)
    )
    assert find_differences(once.ledger, once.registry, MODEL, silent) == ()
    assert set(find_abandoned(once.ledger, once.registry, MODEL, silent)) == set(told)
    assert stages(client, *runs) == ["active"] * 2, "a dry run changes nothing"
    assert set(once.reconcile()) == set(told)
    assert stages(client, *runs, by_hand, elsewhere, there) == ["deleted"] * 2 + ["active"] * 3
    assert once.reconcile() == ()


def test_a_run_that_a_promotion_may_be_using_is_named_and_left(once: Laboratory, client: Any) -> None:
    run = left(client, ago=-60_000)
    assert find_abandoned(once.ledger, once.registry, MODEL, silent) == ()
    permit = f"sha256:{'d' * 12}"
    expected = f"run {run} of permit {permit} has no version yet: left for now, as a promotion may be using it"
    assert once.reconcile() == (expected,)
    assert stages(client, run) == ["active"]


@pytest.mark.parametrize("reason", ["with error code 403 != 200: 'Permission denied'", "with error code 500"])
def test_a_run_stays_where_the_account_may_delete_none_and_another_failure_is_one(
    once: Laboratory, client: Any, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    run = left(client)

    def refuse(registry: Registry, given: Run) -> bool:
        raise Outside(f"the registry {registry.name} failed to remove run {given.id}: {reason}")

    monkeypatch.setattr(Registry, "remove_run", refuse)
    if "403" not in reason:
        with pytest.raises(Outside, match="error code 500"):
            once.reconcile()
        return
    (line,) = once.reconcile()
    assert line.startswith(f"run {run} of permit sha256:dddddddddddd, of which no version was made, stays: ")
    assert line.endswith(" lets this account delete no runs")


@pytest.mark.parametrize("first", ["version", "removal"])
def test_a_run_of_which_a_version_is_made_at_that_moment_stays(once: Laboratory, client: Any, first: str) -> None:
    run = left(client)
    (found,) = once.registry.runs_without_version(MODEL)
    if first == "version":  # between the search and the removal
        once.registry.create_version(MODEL, run)
        assert not once.registry.remove_run(found)
    else:
        assert once.registry.remove_run(found)
        once.registry.create_version(MODEL, run)
    assert stages(client, run) == ["active"]


def test_a_full_disk_is_one_line_without_a_traceback(once: Laboratory, capfd: pytest.CaptureFixture[str]) -> None:
    registry, before = once.registry, resource.getrlimit(resource.RLIMIT_FSIZE)
    assert registry.tags(MODEL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))  # the database is larger, so nothing fits any more
    try:
        with pytest.raises(Outside, match=r"failed to tag bpm-faults: .*disk I/O error") as error:
            registry.set_tags(MODEL, state="x")
        with pytest.raises(Outside, match=r"failed to store the model: \(sqlite3.OperationalError\) disk I/O error"):
            registry.store(MODEL, once.root / "model", "sha256:1", {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.hint == "df -h"
    assert "Traceback" not in capfd.readouterr().err
