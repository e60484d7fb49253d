"""`beampermit serve`: what its options name, and with which code it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beampermit.cli.main import app
from beampermit.errors import BadInput, BeampermitError, Conflict
from beampermit.live import serve as serving
from beampermit.live.serve import Options, serve
from beampermit.live.service import StartAgain
from beampermit.live.wiring import Wiring, wire
from beampermit.project import Project
from support.served import DEVICES, served_contract

Serve = Callable[..., Options]


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """The options that a command line makes; nothing is served."""
    made: list[Options] = []
    monkeypatch.setattr("beampermit.live.serve.serve", lambda options, _: made.append(options))
    monkeypatch.setattr("beampermit.live.observation.journal.start_journal", lambda form: None)

    def run(*words: str) -> Options:
        app(["serve", *words], standalone_mode=False)
        return made[-1]

    return run


def test_a_project_serves_its_own_model_and_keeps_its_state_beside_it(options: Serve, project: Project) -> None:
    project.git("remote", "add", "origin", "https://git.lab.example/ml.git")
    made = options("--project", str(project.root), "--follow", "1min", "--log", "log", "--log-disk", "500MB")
    assert made.wanted.model == project.contract.model.name
    assert made.wanted.repository.address == "https://git.lab.example/ml.git"
    assert made.wanted.state == project.root / ".beampermit/serve"
    assert (made.follow, made.log_disk) == (60.0, 500_000_000)
    assert made.log == Path("log").absolute()


def test_without_a_checkout_model_ledger_and_registry_are_named(options: Serve, tmp_path: Path) -> None:
    words = ("--model", "bpm-faults", "--ledger", "https://git.lab.example/ml.git", "--registry", "https://mlflow")
    made = options(*words, "--state", str(tmp_path), "--shadow", "challenger")
    assert (made.wanted.model, made.wanted.registry, made.wanted.state) == ("bpm-faults", "https://mlflow", tmp_path)
    assert made.challenger


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "bpm-faults"), "--model and --ledger go together"),
        (("--model", "a", "--ledger", "b", "--follow", "soon"), "--follow 'soon' is no duration"),
        (("--model", "a", "--ledger", "b", "--follow", "0"), "--follow '0' is no duration"),
        (("--model", "a", "--ledger", "b", "--log-disk", "much"), "--log-disk 'much' is no size"),
    ],
)
def test_options_that_say_nothing_are_refused(options: Serve, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        options(*words)


@pytest.fixture
def wiring(tmp_path: Path, contract_text: str) -> Wiring:
    (tmp_path / "devices.csv").write_text("device\n" + "\n".join(DEVICES) + "\n")
    return wire(served_contract(contract_text), tmp_path)


@pytest.mark.parametrize(
    ("there", "said"),
    [(["B2:FAULT"], "somebody serves B2:FAULT already"), (["B1:FAULT", "B2:FAULT"], "already, and 1 more")],
)
def test_a_pv_that_lives_already_is_not_served_a_second_time(
    wiring: Wiring, monkeypatch: pytest.MonkeyPatch, there: list[str], said: str
) -> None:
    monkeypatch.setattr("beampermit.live.epics.living.living", lambda pvs, timeout: [pv for pv in pvs if pv in there])
    with pytest.raises(Conflict, match=said):
        serving._require_free(frozenset(wiring.output_pvs))


def test_nothing_living_is_no_conflict(wiring: Wiring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beampermit.live.epics.living.living", lambda pvs, timeout: [])
    serving._require_free(frozenset(wiring.output_pvs))


def test_for_other_output_pvs_the_same_command_starts_again(
    options: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = options("--model", "bpm-faults", "--ledger", str(tmp_path), "--state", str(tmp_path / "state"))
    monkeypatch.undo()
    started: list[Any] = []

    def run(self: Any) -> None:
        raise StartAgain("version 4 has other output PVs")

    monkeypatch.setattr(serving._Assembly, "run", run)
    monkeypatch.setattr(os, "execv", lambda *words: started.append(words))
    serve(made)
    assert started == [(sys.executable, sys.orig_argv)]
    serve(made)  # the state folder was given free


def test_two_services_do_not_share_a_state_folder(
    options: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = options("--model", "bpm-faults", "--ledger", str(tmp_path), "--state", str(tmp_path / "state"))
    monkeypatch.undo()
    refused: list[BeampermitError] = []

    def run(self: Any) -> None:
        with pytest.raises(BadInput, match="another service uses this state folder") as raised:
            serve(made)
        refused.append(raised.value)

    monkeypatch.setattr(serving._Assembly, "run", run)
    serve(made)
    assert refused
