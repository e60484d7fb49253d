"""`beampermit serve`: what its options name, and with which code it ends."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from beampermit.cli.main import app
from beampermit.errors import BadInput, BeampermitError
from beampermit.live import serve as serving
from beampermit.live.loop import Standing
from beampermit.live.promoted.promotions import Promotions
from beampermit.live.promoted.served import read_served
from beampermit.live.serve import Options, serve
from beampermit.live.service import Service, StartAgain
from beampermit.live.update import Update
from beampermit.project import Project
from beampermit.registry.event import Event
from support.served import served_in

Serve = Callable[..., Options]


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """The options that a command line makes; nothing is served."""
    made: list[Options] = []
    monkeypatch.setattr("beampermit.live.serve.serve", lambda options, _: made.append(options))
    monkeypatch.setattr("beampermit.live.observation.journal.start_journal", lambda form: None)
    none = SimpleNamespace(end=lambda: None, end_untaken=lambda: None)
    monkeypatch.setattr("beampermit.registry.asking.RegistryProcess", lambda: none)

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


def test_a_process_for_the_registry_is_begun_where_no_model_is_there(options: Serve, tmp_path: Path) -> None:
    words = ("--model", "bpm-faults", "--ledger", "https://git.lab.example/ml.git", "--state", str(tmp_path))
    assert options(*words).wanted.begun is not None
    (tmp_path / "models").mkdir()
    assert options(*words).wanted.begun is not None
    (tmp_path / "models/0123").mkdir()
    assert options(*words).wanted.begun is None


def test_without_a_checkout_model_ledger_and_registry_are_named(options: Serve, tmp_path: Path) -> None:
    words = ("--model", "bpm-faults", "--ledger", "https://git.lab.example/ml.git", "--registry", "https://mlflow")
    made = options(*words, "--state", str(tmp_path), "--shadow", "challenger", "--bundle", "packages.tar")
    assert made.wanted.bundle == Path("packages.tar")
    assert (made.wanted.model, made.wanted.registry, made.wanted.state) == ("bpm-faults", "https://mlflow", tmp_path)
    assert made.challenger


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "bpm-faults"), "--model and --ledger go together"),
        (("--model", "a", "--ledger", "b", "--follow", "soon"), "--follow 'soon' is not a duration"),
        (("--model", "a", "--ledger", "b", "--follow", "0"), "--follow '0' is not a duration"),
        (("--model", "a", "--ledger", "b", "--log-disk", "much"), "--log-disk 'much' is not a size"),
    ],
)
def test_options_that_say_nothing_are_refused(options: Serve, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        options(*words)


@pytest.mark.slow
def test_for_other_output_pvs_the_same_command_starts_again(
    options: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = options("--model", "bpm-faults", "--ledger", str(tmp_path), "--state", str(tmp_path / "state"))
    monkeypatch.undo()
    started: list[Any] = []
    none = f"sha256:{'0' * 64}"
    event = Event(
        event="promote", sequence=4, model="bpm-faults", version=4, digest=none, permit=none, commit="0" * 40,
        expected=3, at="2026-11-23T08:00:00Z", by="Ada Operator",
    )  # fmt: skip

    def run(self: Any) -> None:
        raise StartAgain(SimpleNamespace(version=4, event=event))  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(serving._Assembly, "run", run)
    monkeypatch.setattr(os, "execv", lambda *words: started.append(words))
    serve(made)
    assert started == [(sys.executable, sys.orig_argv)]
    assert read_served(tmp_path / "state") == event, "else the next start would begin with what has other PVs"
    serve(made)  # the state folder was given free


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "there is no such access security file"), ("ASG(DEFAULT) { RULE(1, READ) }", "lets nobody write")],
)
def test_a_wrong_access_file_is_refused_at_the_start_and_not_on_the_day_of_the_first_promotion(
    options: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, said: str
) -> None:
    state, file = tmp_path / "state", tmp_path / "access.acf"
    words = ("--model", "bpm-faults", "--ledger", str(tmp_path), "--state", str(state), "--access", str(file))
    made = options(*words)
    monkeypatch.undo()
    if text:
        file.write_text(text)
    monkeypatch.setattr(serving._Assembly, "run", lambda _: None)  # nothing was ever promoted
    with pytest.raises(BadInput, match=said):
        serve(made)
    assert not state.exists()


@pytest.mark.parametrize(("version", "said"), [(3, ["no key"]), (4, [])])
def test_systemd_hears_of_what_shows_and_not_of_what_runs_beside_it(
    options: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: int, said: list[str]
) -> None:
    made = options("--model", "bpm-faults", "--ledger", str(tmp_path), "--state", str(tmp_path / "state"))
    monkeypatch.undo()
    heard: list[str] = []
    with Promotions(made.wanted) as promotions, ExitStack() as stack:
        assembly = serving._Assembly(made, promotions, stack, lambda *_: None)
        monkeypatch.setattr(assembly._notifier, "say", heard.append)
        assembly._on_standing(Standing(version, "", refused="no ledger yet"))
        assert heard == ["no ledger yet"], "while nothing shows, whatever there is to say"
        heard.clear()
        showing = SimpleNamespace(standing=Standing(3, "sha256:3"))
        monkeypatch.setattr(Service, "loop", showing)
        assembly._on_standing(Standing(version, "", refused="no key"))
    assert heard == said


def test_whoever_ordered_a_version_hears_that_it_could_not_begin(
    options: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = options("--model", "bpm-faults", "--ledger", str(tmp_path), "--state", str(tmp_path / "state"))
    monkeypatch.undo()
    with Promotions(made.wanted) as promotions, ExitStack() as stack:
        assembly = serving._Assembly(made, promotions, stack, lambda *_: None)
        assembly._challenger._version = 5
        assembly._service._failed(5, BadInput("no port"))
        assert assembly._challenger._version == 0
        version, error = assembly._follower._gave_up.get_nowait()
    assert (version, str(error)) == (5, "no port")


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_log_has_what_was_shown_and_what_ran_beside(
    options: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, contract_text: str
) -> None:
    made = options("--model", "bpm-faults", "--ledger", str(tmp_path), "--state", str(tmp_path / "state"))
    monkeypatch.undo()
    served, logged = served_in(tmp_path, contract_text), list[tuple[int, bool]]()

    class Kept:
        lost, problem = 2, "no space left on device"

        def __init__(self, *_: object, shadow: Callable[[], bool], **__: object):
            self._shadow = shadow

        def publish(self, update: Update) -> None:
            logged.append((len(update.values), self._shadow()))

        def close(self) -> None: ...

    monkeypatch.setattr("beampermit.live.log.prediction_log.PredictionLog", Kept)
    answers = [None, served.loop.cycle(served.at).values, {}]
    one: Any = SimpleNamespace(contract=served.loop.contract, version=4)
    with Promotions(made.wanted) as promotions, ExitStack() as stack:
        assembly = serving._Assembly(made, promotions, stack, lambda *_: None)
        publish = assembly._logged(one, served.loop.wiring, tmp_path, lambda _: answers.pop(0), stack)
        for _ in range(3):
            publish(served.loop.cycle(served.at))
        assert (assembly._logs.lost, assembly._log_problem()) == (2, "no space left on device")
    assert logged == [(0, True), (6, False), (0, False)]
    assert (assembly._logs.lost, assembly._log_problem()) == (2, ""), "it is closed"


@pytest.mark.slow
def test_after_the_last_day_of_its_pvs_nothing_is_served_and_who_serves_starts_again(
    options: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = options("--model", "bpm-faults", "--ledger", str(tmp_path), "--state", str(tmp_path / "state"))
    monkeypatch.undo()
    ended = Standing(3, "sha256:3", refused="version 3 was retired", retired=True, ended=True)
    with Promotions(made.wanted) as promotions, ExitStack() as stack:
        assembly = serving._Assembly(made, promotions, stack, lambda *_: None)
        assembly._follower.pvs_ended = True
        assembly._adopt(SimpleNamespace())  # pyright: ignore[reportArgumentType]
        assert assembly._records is None, "no record was made"
        orders: list[str] = []
        monkeypatch.setattr(assembly._service, "end_pvs", lambda: orders.append("end"))
        assembly._on_standing(ended)
        assert orders == [], "it has no PVs, and would start again for ever"
        monkeypatch.setattr(assembly, "_records", SimpleNamespace(clients=tuple))
        assembly._on_standing(replace(ended, ended=False))
        assert orders == [], "until then its PVs say that it is retired"
        assembly._on_standing(ended)
    assert orders == ["end"]


@pytest.mark.slow
def test_a_retirement_counts_though_nobody_can_say_who_is_connected(
    options: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """EPICS writes its report into a temporary folder, and its disk may be full."""
    made = options("--model", "bpm-faults", "--ledger", str(tmp_path), "--state", str(tmp_path / "state"))
    monkeypatch.undo()
    retired = Standing(3, "sha256:3", refused="version 3 was retired", retired=True)

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/x")

    with Promotions(made.wanted) as promotions, ExitStack() as stack:
        assembly = serving._Assembly(made, promotions, stack, lambda *_: None)
        monkeypatch.setattr(assembly, "_records", SimpleNamespace(clients=full))
        told: list[Standing] = []
        monkeypatch.setattr(assembly._service, "stand", told.append)
        assembly._on_standing(retired)
    assert told == [retired]
    assert "version 3 was retired; connected: not known, No space left on device" in caplog.text
