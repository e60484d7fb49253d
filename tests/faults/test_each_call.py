"""The reply to any one call to the registry is lost after the call was carried out: exit code 4, no champion that the
ledger does not know, and the next run finishes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import Outside
from beampermit.registry.mlflow import Registry
from support.registry_project import MODEL, Laboratory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Act = Callable[[Laboratory], object]
Lose = Callable[[int, tuple[str, ...]], tuple[Callable[[], bool], list[str]]]
WRITES = ("set_", "create_", "delete_", "log_")


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Lose:
    """Lose the reply to one call: `lose(3, ("set_",))` to the third from now whose name starts with `set_`.

    What it returns says whether there was such a call, and lists the calls that write.
    """
    left: list[Any] = [0, ()]
    written: list[str] = []

    class Client:
        """MLflow's client behind a proxy that answers 502 to one call, which the server has carried out."""

        def __init__(self, client: Any):
            self._client = client

        def __getattr__(self, name: str) -> Any:
            def ask(*given: Any, **named: Any) -> Any:
                found = getattr(self._client, name)(*given, **named)
                written.extend([name] if name.startswith(WRITES) else [])
                left[0] -= name.startswith(left[1])
                if left[0] == 0 and name.startswith(left[1]):
                    from mlflow.exceptions import MlflowException  # three seconds: not while tests are collected

                    raise MlflowException("API request failed with error code 502 != 200. Response body: 'Bad Gateway'")
                return found

            return ask

    start = Registry.__init__

    def behind(self: Registry, uri: str) -> None:
        start(self, uri)
        setattr(self, "_client", Client(self._client))  # noqa: B010 - the other type is what this is about

    monkeypatch.setattr(Registry, "__init__", behind)

    def set_to(number: int, names: tuple[str, ...]) -> tuple[Callable[[], bool], list[str]]:
        left[:] = number, names
        written.clear()
        return lambda: left[0] <= 0, written

    return set_to


def _there_and_back(act: Act) -> Act:
    """Done and undone once, so that the ledger has seen it before."""

    def done(laboratory: Laboratory) -> None:
        act(laboratory)
        laboratory.rollback(to=2, retired=True, reason="it was the sensor")

    return done


VERBS: dict[str, tuple[Act, Act, str | None, tuple[str, ...]]] = {
    # What makes it ready, the verb, the event that is then the last, once, and the calls that count.
    "reconcile": (Laboratory.change_the_registry, Laboratory.reconcile, None, ("",)),
    "promote": (lambda lab: lab.change(3), Laboratory.promote, "promote", WRITES),
    "rollback": (_there_and_back(Laboratory.rollback), Laboratory.rollback, "rollback", ("",)),
    # It asks as `rollback` does.
    "retire": (_there_and_back(Laboratory.retire), Laboratory.retire, "retire", WRITES),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_lost_reply(prepared: Callable[..., Laboratory], lose: Lose, verb: str, tmp_path: Path) -> None:
    ready, act, kind, counted = VERBS[verb]
    calls, removed, lost, seen = 0, 0, True, set()
    lab, before = None, ()
    while lost:
        calls += 1
        # Each in a copy: what earlier calls left would be tried again and again.
        lab = lab or prepared(f"ready to {verb}", ready, since="twice", into=tmp_path / str(calls))
        before = before or lab.events()
        was_lost, written = lose(calls, counted)
        error = None
        try:
            act(lab)
        except Outside as outside:
            error = outside
        events = lab.events()
        lost, state = was_lost(), (*written, *events)
        lose(0, ())
        if error:
            assert lost
            assert error.exit_code == 4
            assert "502" in error.message
            assert ("the ledger was updated" in error.message) == (events != before)
        elif lost:
            # Whether the registry is the ledger's is not asked of one that is down.
            assert verb == "rollback"
        if error and state in seen:
            # A reply to a question was lost: all is as after the call that wrote last, which was lost before.
            lab = lab if not written and events == before else None
            continue
        seen.add(state)
        assert lab.champion() in {*lab.ledger.state(MODEL).promoted, None}, "a champion that nobody promoted"
        if error:
            if verb == "promote":
                # Permits and events have the time in seconds: signed again in the same one, both would have one run,
                # and the event could not be told from one before that run.
                time.sleep(1 - time.time() % 1)
            act(lab)
            events = lab.events()
        assert events[: len(before)] == before
        assert [one[0] for one in events[len(before) :]] == ([kind] if kind else [])
        assert lab.champion() == lab.ledger.state(MODEL).champion_version
        done = lab.reconcile()
        assert all(
            line.startswith("run ") and line.endswith(", of which no version was made, is removed") for line in done
        )
        removed += len(done)
        assert not done or lab.reconcile() == ()
        lab = None
    assert calls > 4, "each verb tags and moves"
    assert (removed > 0) == (verb == "promote"), "a permit that is signed again has a run of its own"
