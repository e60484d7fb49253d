"""After a rollback or a retirement, the releases on GitHub show the documents of what serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beampermit.git import Git
from beampermit.github.client import Client
from beampermit.in_service import show_in_service
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from support.forked_commands import beampermit
from support.github_stand_in import GitHub, environment
from support.registry_project import append_promotion

MODEL = "bpm-faults"
SINCE = "2026-11-23T08:00:00Z"


@pytest.fixture
def client(github: GitHub) -> Client:
    return Client(github.repository, "s3cret", github.url, lambda _: None)


@pytest.fixture
def ledger(project: Project, git: Callable[..., str], tmp_path: Path, event: Callable[..., Event]) -> Ledger:
    """Two versions promoted."""
    git("init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    git("remote", "add", "origin", str(tmp_path / "origin.git"))
    made = Ledger(Git(project.root))
    append_promotion(made, event())
    append_promotion(made, event(sequence=2, version=2, expected=1, commit="2" * 40))
    return made


def _release(github: GitHub, id: int, tag: str, *, draft: bool = False) -> dict[str, Any]:
    github.releases[id] = {
        "id": id, "tag_name": tag, "draft": draft, "html_url": f"https://git.example/{tag}", "upload_url": "x",
        "assets": [], "body": f"the documents of {tag}\n",
    }  # fmt: skip
    return github.releases[id]


@pytest.mark.slow
def test_each_release_says_what_it_is_and_the_one_in_service_is_the_latest(
    ledger: Ledger, client: Client, github: GitHub
) -> None:
    first, second = _release(github, 1, f"{MODEL}-v1"), _release(github, 2, f"{MODEL}-v2")
    others = [
        _release(github, 3, "v1"),
        _release(github, 4, f"{MODEL}-v9"),
        _release(github, 5, f"{MODEL}-v1", draft=True),
    ]
    before = [dict(one) for one in others]
    assert show_in_service(client, ledger, MODEL) == (f"{MODEL}-v1", f"{MODEL}-v2")
    assert first["body"] == (
        f"**Not in service**: [version 2](https://git.example/{MODEL}-v2) is, since {SINCE}. <!-- in service -->\n\n"
        f"the documents of {MODEL}-v1\n"
    )
    assert second["body"].startswith(f"**In service** since {SINCE}. <!-- in service -->\n\nthe documents")
    assert (second["make_latest"], "make_latest" in first) == ("true", False)
    assert show_in_service(client, ledger, MODEL) == (), "nothing is written twice"

    promoted = ledger.state(MODEL).promoted
    ledger.append(promoted[1].model_copy(update={"event": "rollback", "sequence": 3, "expected": 2}))
    assert show_in_service(client, ledger, MODEL) == (f"{MODEL}-v2", f"{MODEL}-v1")
    assert first["body"] == f"**In service** since {SINCE}. <!-- in service -->\n\nthe documents of {MODEL}-v1\n"
    assert first["make_latest"] == "true"

    gone = {"event": "retire", "sequence": 4, "expected": 1, "reason": "<b>drifts</b>", "successor": "orbit-faults"}
    ledger.append(promoted[1].model_copy(update=gone))
    show_in_service(client, ledger, MODEL)
    assert first["body"].startswith(f"**Retired** at {SINCE} by Ada Operator")
    assert "Use orbit-faults. <!-- in service -->\n\nthe documents" in first["body"]
    assert "<b>" not in first["body"]
    assert second["body"].startswith("**Not in service**: no version is.")
    assert others == before, "what is not a release of a promoted version stays as it is"


@pytest.mark.slow
def test_the_command_says_what_it_changed(ledger: Ledger, github: GitHub, project: Project) -> None:
    _release(github, 2, f"{MODEL}-v2")
    for said in (f"changed: {MODEL}-v2\n", "each release says what is in service\n"):
        finished = beampermit("publish", "--in-service", cwd=project.root, env=environment(github))
        assert (finished.returncode, finished.stdout) == (0, said), finished.stderr
