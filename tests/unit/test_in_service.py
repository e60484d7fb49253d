"""After a rollback or a retirement, the releases on GitHub show the documents of what serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import beampermit.cli.replace as replacing
from beampermit.cli import promotion
from beampermit.cli.releases import tell_releases
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


@pytest.mark.slow
def test_the_releases_of_a_model_that_was_replaced_say_so(
    ledger: Ledger, client: Client, github: GitHub, event: Callable[..., Event]
) -> None:
    old = append_promotion(ledger, event(sequence=3, model="old-faults", version=1))
    served = _release(github, 1, "old-faults-v1")
    _release(github, 2, f"{MODEL}-v2")
    assert show_in_service(client, ledger, MODEL) == (f"{MODEL}-v2",), "it serves, and its own project says so"
    ledger.append(
        old.model_copy(update={"event": "retire", "sequence": 4, "expected": 1, "reason": "old", "successor": MODEL})
    )
    assert show_in_service(client, ledger, MODEL) == ("old-faults-v1",)
    assert served["body"].startswith(f"**Retired** at {SINCE} by Ada Operator")
    assert f"Use {MODEL}. <!-- in service -->" in served["body"]


def _told(project: Project, capsys: pytest.CaptureFixture[str]) -> str:
    tell_releases(project.root)
    return capsys.readouterr().err


@pytest.mark.slow
def test_whoever_changes_what_serves_tells_the_releases_or_says_what_to_type(
    ledger: Ledger,
    github: GitHub,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_REPOSITORY", "GITHUB_API_URL", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    served = _release(github, 2, f"{MODEL}-v2")
    assert _told(project, capsys) == "", "no GitHub has it"
    for name, value in environment(github, GITHUB_TOKEN="").items():
        monkeypatch.setenv(name, value)
    said = "the releases on GitHub do not say yet what is in service"
    assert _told(project, capsys) == f"{said}\nnext: beampermit publish --in-service\n"
    monkeypatch.setenv("GITHUB_TOKEN", "wrong")
    refused = _told(project, capsys)
    assert refused.startswith(f"{said}: ")
    assert refused.endswith("\nnext: beampermit publish --in-service\n")
    monkeypatch.setenv("GITHUB_TOKEN", "s3cret")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert _told(project, capsys) == ""
    assert "in service" not in served["body"], "in a workflow the next step does it"
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert _told(project, capsys) == ""
    assert served["body"].startswith(f"**In service** since {SINCE}.")


def test_each_command_that_changes_what_serves_does_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[Path] = []

    @contextmanager
    def opened(*_: object) -> Iterator[None]:
        yield None

    for module in (promotion, replacing):
        monkeypatch.setattr(module, "tell_releases", told.append)
        monkeypatch.setattr(module, "print_result", lambda *_: None)
    monkeypatch.setattr(promotion, "_session", opened)
    monkeypatch.setattr(replacing, "promoting", opened)
    for where in ("operations.rollback", "operations.retire", "replacement.replace"):
        monkeypatch.setattr(f"beampermit.registry.{where}", lambda *_, **__: SimpleNamespace(new=True))
    promotion.rollback(reason="drifts", project=tmp_path)
    promotion.retire(reason="gone", project=tmp_path)
    replacing.replace("old-faults", reason="sees more", project=tmp_path)
    assert told == [tmp_path] * 3
