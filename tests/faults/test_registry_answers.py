"""Whatever the registry or the remote answers, the exit code soon says whose fault it is, and nothing changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from beampermit.errors import Outside
from beampermit.registry.mlflow import Registry
from support.forked_commands import beampermit
from support.registry_project import MODEL, SECRET, Laboratory

pytestmark = pytest.mark.slow
Serve = Callable[..., str]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503])
def test_a_registry_that_refuses_is_exit_4(serve: Serve, status: int) -> None:
    registry = Registry(serve(status, {"error_code": "X", "message": "token expired"}))
    asked: tuple[Callable[[], object], ...] = (
        lambda: registry.alias(MODEL, "champion"),
        lambda: registry.set_alias(MODEL, "champion", 1),
        lambda: registry.versions(MODEL),
    )
    for ask in asked:
        start = time.monotonic()
        with pytest.raises(Outside) as caught:
            ask()
        assert time.monotonic() - start < 20
        assert SECRET not in str(caught.value)
        assert str(status) in str(caught.value) or "token expired" in str(caught.value)


def test_a_registry_that_is_slow_but_answers_is_waited_for(serve: Serve) -> None:
    registry = Registry(serve(200, {"model_version": {"name": MODEL, "version": "12", "run_id": "r"}}, after=1.0))
    assert registry.alias(MODEL, "champion") == 12
    found = registry.version(MODEL, 12)
    assert found is not None
    assert found.number == 12, "a server gives text, a file a number"


@pytest.mark.parametrize("body", ["a proxy's page", {"model_version": {"version": "many"}}, []])
def test_an_answer_in_an_unknown_format_is_exit_4(serve: Serve, body: object) -> None:
    with pytest.raises(Outside):
        Registry(serve(200, body)).alias(MODEL, "champion")


def test_no_command_prints_a_secret(laboratory: Laboratory, serve: Serve) -> None:
    """No password of registry or remote, and no signing key, in text or JSON, on stdout or stderr."""
    laboratory.promote()
    registry = serve(401, {"error_code": "UNAUTHENTICATED", "message": "bad credentials"})
    key = laboratory.key.read_text().splitlines()[1]
    permit = laboratory.root.parent / "permit.dsse.json"
    permit.write_bytes(laboratory.sign().content)
    remote = f"{serve(403)}/lab.git"
    calls = (
        (None, "promote", "--permit", str(permit)),
        (None, "retire", "--reason", "why", "--json"),
        (None, "reconcile", "--rebuild"),
        (remote, "rollback", "--reason", "why"),
        (remote, "history", "--json"),
    )
    printed = ""
    for origin, *words in calls:
        if origin:
            laboratory.git("remote", "set-url", "origin", origin)
        found = beampermit(
            *words,
            cwd=laboratory.root,
            env={**os.environ, "MLFLOW_TRACKING_URI": registry, "BEAMPERMIT_SIGNING_KEY": laboratory.key.read_text()},
            needs=("mlflow",),
        )
        assert found.returncode in (0, 1, 2, 4), found.stderr
        assert "Traceback" not in found.stderr
        printed += found.stdout + found.stderr
    assert "refused" in printed or "401" in printed or "bad credentials" in printed, "the registry was asked"
    assert "origin does not answer" in printed, "the remote was asked"
    for secret in (SECRET, key):
        assert secret not in printed
