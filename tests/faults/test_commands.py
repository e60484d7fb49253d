"""Each verb as an operator types it while registry or remote fail: exit code, message, hint, the state
afterwards, and the same command again when they are back."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from beampermit.interlocks.families import load_interlocks
from support.registry_project import MODEL, SECRET, Laboratory

pytestmark = pytest.mark.slow
Command = Callable[..., Any]
Serve = Callable[..., str]
State = tuple[list[tuple[str, int]], int | None]
TWICE = [("promote", 1), ("promote", 2)]
TOKEN = "an-expired-token-of-ada"
AWAY = r"check MLFLOW_TRACKING_URI and that the registry is running, then run the same command again"
RENEW = "renew MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"


@pytest.fixture
def third(prepared: Callable[..., Laboratory]) -> Laboratory:
    """Two versions promoted, a third prepared with its signed permit."""
    made = prepared("third", lambda lab: lab.change(3), since="twice")
    (made.root / "permit.dsse.json").write_bytes(made.sign(tuple(load_interlocks())).content)
    return made


def _moved_by_hand(laboratory: Laboratory) -> None:
    laboratory.registry.set_alias(MODEL, "champion", 1)


BEFORE: dict[str, Callable[[Laboratory], object]] = {"thaw": Laboratory.freeze, "reconcile": _moved_by_hand}
VERBS: dict[str, tuple[tuple[str, ...], State, State]] = {
    # The words, then ledger and alias while the registry is away, then when it is back and the command is run again.
    "promote": ((), (TWICE, 2), ([*TWICE, ("promote", 3)], 3)),
    "rollback": (("--reason", "why"), (TWICE, 2), ([*TWICE, ("rollback", 1)], 1)),
    "retire": (("--reason", "why"), ([*TWICE, ("retire", 2)], 2), ([*TWICE, ("retire", 2)], None)),
    "freeze": (("--reason", "why"), ([*TWICE, ("freeze", 2)], 2), ([*TWICE, ("freeze", 2)], 2)),
    "thaw": (
        ("--reason", "why"),
        ([*TWICE, ("freeze", 2), ("thaw", 2)], 2),
        ([*TWICE, ("freeze", 2), ("thaw", 2)], 2),
    ),
    "reconcile": ((), (TWICE, 1), (TWICE, 2)),
}


@pytest.fixture
def away(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[str, str, str]]]:
    """Ways in which a registry fails: its URL, part of the message, part of the hint."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    body = {"error_code": "PERMISSION_DENIED", "message": f"not with Bearer {TOKEN}"}
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        yield {
            "down": (f"http://ada:{SECRET}@127.0.0.1:9", "Connection refused", AWAY),
            "hangs": (f"http://ada:{SECRET}@127.0.0.1:{silent.getsockname()[1]}", "timed out", AWAY),
            "too many requests": (serve(429), "429", AWAY),
            "token expired": (serve(401), "401", RENEW),
            "not allowed": (serve(403, body), "PERMISSION_DENIED", RENEW),
        }


FEWER = {"retire": ("hangs",), "freeze": ("too many requests",), "thaw": ("token expired",)}
"""Beside one that is down; their question to the registry is that of `rollback` and `reconcile`."""


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_while_the_registry_fails(
    third: Laboratory, command: Command, away: dict[str, tuple[str, str, str]], verb: str
) -> None:
    words, during, afterwards = VERBS[verb]
    BEFORE.get(verb, lambda _: None)(third)
    for way in ("down", *FEWER[verb]) if verb in FEWER else away:
        uri, reason, fix = away[way]
        found = command(replace(third, uri=uri), verb, *words)
        assert found.code == 4, found
        why, following = found.err.splitlines()
        assert why.startswith("beampermit: ")
        assert reason.lower() in why.lower()
        assert ("the ledger was updated" in why) == (during[0] != TWICE)
        assert following.startswith(f"      next: {'beampermit reconcile' if during[0] != TWICE else fix}")
        assert not {SECRET, TOKEN} & set(found.err.replace(":", " ").replace("@", " ").split())
        assert SECRET not in found.err
        assert TOKEN not in found.err
        assert (third.events(), third.champion()) == during
    found = command(third, verb, *words)
    assert (found.code, found.err) == (0, "")
    assert (third.events(), third.champion()) == afterwards
    assert command(third, "reconcile").out == "the registry matches the ledger\n"


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_while_the_remote_refuses_the_token(
    third: Laboratory, command: Command, serve: Serve, verb: str
) -> None:
    words, _, afterwards = VERBS[verb]
    BEFORE.get(verb, lambda _: None)(third)
    before = (third.events(), third.champion(), third.statuses())
    origin = third.git("remote", "get-url", "origin")
    third.git("remote", "set-url", "origin", f"{serve(401)}/lab.git")
    found = command(third, verb, *words)
    third.git("remote", "set-url", "origin", origin)
    assert found.code == 4
    assert "origin does not answer" in found.err
    assert found.err.endswith("next: git ls-remote origin\n")
    assert SECRET not in found.err
    assert (third.events(), third.champion(), third.statuses()) == before
    assert command(third, verb, *words).code == 0
    assert (third.events(), third.champion()) == afterwards


def test_reconcile_prints_what_it_did_and_what_it_would_do(third: Laboratory, command: Command) -> None:
    def asked(*words: str) -> dict[str, Any]:
        found = command(third, "reconcile", *words, "--json")
        assert found.err == ""
        return {"code": found.code, **json.loads(found.out)}

    assert asked() == {"code": 0, "champion": 2, "changes": []}
    assert asked("--dry-run") == {"code": 0, "champion": 2, "dry_run": True, "changes": [], "abandoned": []}
    assert command(third, "reconcile", "--dry-run").out == "the registry matches the ledger\n"
    _moved_by_hand(third)
    third.registry.tag(MODEL, 1, status="champion")
    lines = ["alias champion moved from version 1 to version 2", "version 1 tagged former"]
    looked = command(third, "reconcile", "--dry-run")
    assert (looked.code, looked.out.splitlines()) == (
        1,
        [
            "the registry does NOT match the ledger; these changes are needed:",
            *(f"  {line}" for line in lines),
            "  next: beampermit reconcile",
        ],
    )
    assert asked("--dry-run") == {"code": 1, "champion": 2, "dry_run": True, "changes": lines, "abandoned": []}
    assert (third.champion(), third.statuses()[1]) == (1, "champion"), "nothing was done"
    assert command(third, "reconcile").out.splitlines() == lines
    assert asked("--dry-run")["changes"] == []


@pytest.mark.parametrize("version", [1, 2])
def test_a_dry_run_verifies_the_champion_and_the_rollback_target(
    third: Laboratory, command: Command, version: int
) -> None:
    run = third.registry.version(MODEL, version).run  # pyright: ignore[reportOptionalMemberAccess]
    stored = next((third.root.parent / "mlartifacts").glob(f"{run}/artifacts/model/weights.safetensors"))
    content = stored.read_bytes()
    stored.write_bytes(b"other")
    found = command(third, "reconcile", "--dry-run")
    assert found.code == 4
    assert f"holds other bytes for bpm-faults version {version} than the permit binds" in found.err
    stored.write_bytes(content)
    assert command(third, "reconcile", "--dry-run").code == 0


def test_reconcile_before_anything_was_promoted(laboratory: Laboratory, command: Command) -> None:
    for words in ((), ("--dry-run",)):
        found = command(laboratory, "reconcile", *words)
        assert (found.code, found.out) == (0, "the registry matches the ledger\n")
    found = command(laboratory, "reconcile", "--dry-run", "--rebuild")
    assert (found.code, "exclude each other" in found.err) == (2, True)


def test_a_dry_run_creates_no_registry(third: Laboratory, command: Command) -> None:
    nowhere = replace(third, uri=f"sqlite:///{third.root / 'mlflow.db'}")
    found = command(nowhere, "reconcile", "--dry-run")
    assert (found.code, "there is no registry at" in found.err) == (4, True)
    assert found.err.endswith("next: export MLFLOW_TRACKING_URI=ADDRESS\n")
    assert not (third.root / "mlflow.db").exists()
