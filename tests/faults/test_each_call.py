"""The reply to any one call to the registry is lost after the call was carried out: exit code 4, no champion that the
ledger does not know, and the next run finishes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from beampermit.errors import Outside
from beampermit.registry.mlflow import Registry
from support.registry_project import MODEL, Laboratory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Act = Callable[[Laboratory], object]
Lose = Callable[[int, tuple[str, ...]], Callable[[], bool]]
WRITES = ("set_", "create_", "delete_", "log_")


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Lose:
    """Lose the reply to one call: `lose(3, ("set_",))` to the third from now whose name starts with `set_`.

    What it returns says whether there was such a call.
    """
    left: list[Any] = [0, ()]

    class Client:
        """MLflow's client behind a proxy that answers 502 to one call, which the server has carried out."""

        def __init__(self, client: Any):
            self._client = client

        def __getattr__(self, name: str) -> Any:
            def ask(*given: Any, **named: Any) -> Any:
                found = getattr(self._client, name)(*given, **named)
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

    def set_to(number: int, names: tuple[str, ...]) -> Callable[[], bool]:
        left[:] = number, names
        return lambda: left[0] <= 0

    return set_to


@pytest.fixture
def second(prepared: Callable[..., Laboratory]) -> Laboratory:
    """A laboratory with two versions promoted."""
    return prepared("twice", Laboratory.promote, lambda made: made.change(2), Laboratory.promote)


def _next_model(laboratory: Laboratory) -> None:
    laboratory.change(len(laboratory.events()) + 1)


def _bring_back(laboratory: Laboratory) -> None:
    laboratory.rollback(to=2, retired=True, reason="it was the sensor")


VERBS: dict[str, tuple[Act, Act, str | None, tuple[str, ...]]] = {
    # What makes it ready, the verb, the event that is then the last, once, and the calls that count.
    "reconcile": (Laboratory.change_the_registry, Laboratory.reconcile, None, ("",)),
    "promote": (_next_model, Laboratory.promote, "promote", WRITES),
    "rollback": (_bring_back, Laboratory.rollback, "rollback", ("",)),
    "retire": (_bring_back, Laboratory.retire, "retire", ("",)),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_lost_reply(second: Laboratory, lose: Lose, verb: str) -> None:
    ready, act, kind, counted = VERBS[verb]
    calls = removed = 0
    while True:
        calls += 1
        ready(second)
        before = second.events()
        lost = lose(calls, counted)
        error = None
        try:
            act(second)
        except Outside as outside:
            error = outside
        if not lost():
            break
        lose(0, ())
        if error is None:
            # Whether the registry is the ledger's is not asked of one that is down.
            assert verb in {"retire", "rollback"}
        else:
            assert error.exit_code == 4
            assert "502" in error.message
            assert ("the ledger was updated" in error.message) == (second.events() != before)
        assert second.champion() in {*second.ledger.state(MODEL).promoted, None}, "a champion that nobody promoted"
        if error is not None:
            # Ledger and permits have the time in seconds; tried again in the same one, both would have one run.
            time.sleep(1 - time.time() % 1)
            act(second)
        events = second.events()
        assert events[: len(before)] == before
        assert [one[0] for one in events[len(before) :]] == ([kind] if kind else [])
        assert second.champion() == second.ledger.state(MODEL).champion_version
        done = second.reconcile()
        assert all(
            line.startswith("run ") and line.endswith(", of which no version was made, is removed") for line in done
        )
        removed += len(done)
        assert not done or second.reconcile() == ()
    assert calls > 5, "each verb reads, tags and moves"
    assert (removed > 0) == (verb == "promote"), "a permit that is signed again has a run of its own"
