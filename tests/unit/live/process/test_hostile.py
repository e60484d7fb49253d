"""A process in place of the model's that hangs, dies, lies or leaks: the reason is said, and another one answers."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest

from beampermit.environments import Environment
from beampermit.errors import Failed
from beampermit.live.process import model_process, policy
from beampermit.live.process.policy import too_much_memory
from support.attacks import attack_case
from support.planted_processes import Plant, loop_of, runs, shown, wait_for
from support.truth import ALLOWANCE, Situation, truth_case

AGAIN = "; its process is started again"
HEADER = """header = json.dumps(["answer", [["score", [2**27]]], ""]).encode()"""
TELLS = "open(options['--model'] + '/pid', 'w').write(str(os.getpid()))"
"""The process writes its number into the model's folder."""
SHORT = {"serving": {"timeout": "0.3s"}}
NOTHING_HELD = {"fallback": {"on_invalid": "invalid"}}
ENDED = "the model's process ended: "


@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "reason"),
    [
        truth_case("hangs", "time.sleep(60)", "the model did not answer within 0.3 s", measured=True),
        truth_case("killed", "os.kill(os.getpid(), 9)", f"{ENDED}killed by SIGKILL", measured=True),
        truth_case("killed", "os._exit(7)", f"{ENDED}exit status 7", measured=True),
        truth_case(
            "killed",
            r"print('no\x1b[31m beam', flush=True); os._exit(7)",
            f"{ENDED}exit status 7, after it printed: no⟨U+001B⟩[31m beam",
            measured=True,
        ),
        truth_case("killed", "connection.close(); time.sleep(60)", f"{ENDED}it closed its channel", measured=True),
    ],
)
def test_a_process_that_fails_is_started_again_and_says_why(
    plant: Plant, truth: Situation, does: str, reason: str
) -> None:
    hangs = "0.3" in reason  # a loaded machine may take as long for an answer
    asked = plant(does, sections=NOTHING_HELD | (SHORT if hangs else {}))
    asked.until_ready()
    loop = loop_of(asked)
    assert hangs or shown(loop).origin == "model"
    began = time.monotonic()
    value = shown(loop, 1.0)
    assert time.monotonic() - began < (0.3 if hangs else 0.0) + ALLOWANCE
    assert truth.holds(value)
    assert value.message == reason + AGAIN
    asked.until_ready(2)
    assert asked.process.restarts == 1
    assert hangs or shown(loop).origin == "model"


@pytest.mark.slow
@pytest.mark.parametrize(
    "does",
    [
        attack_case(
            "connection.sendall(b'x' * 64)",
            guard="serve",
            tried="the model writes garbage into the channel of its answers",
            said="sent message 8680820740569200760 instead of 4",
            id="garbage",
        ),
        attack_case(
            "connection.sendall(frames.HEAD.pack(number, 2**32 - 1))",
            guard="serve",
            tried="the model announces an answer of 4 GiB to fill the memory of the service",
            said="sent a header of 4294967295 bytes",
            id="a long header",
        ),
        attack_case(
            f"{HEADER}; connection.sendall(frames.HEAD.pack(number, len(header)) + header)",
            guard="serve",
            tried="the model gives an answer of 1 GiB where two numbers are asked for",
            said="sent 134217728 numbers, and 65540 are the most that was waited for",
            id="a large answer",
        ),
        attack_case(
            "channel.send('answer', number - 1, arrays={'score': turns.mean(axis=1)})",
            guard="serve",
            tried="the model answers twice, so that each later answer is that to the question before",
            said="sent message 3 instead of 4",
            id="an answer too many",
        ),
        attack_case(
            "[connection.sendall(b'\\0') or time.sleep(0.05) for _ in range(600)]",
            guard="serve",
            tried="the model sends its answer one byte at a time, to keep the service waiting",
            said="the model did not answer within 0.3 s",
            id="a slow answer",
        ),
    ],
)
def test_what_is_no_answer_ends_the_process(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, does: str, said: str
) -> None:
    monkeypatch.setattr(policy, "FIRST_WAIT", 600.0)
    asked = plant(does, sections=SHORT if "0.3" in said else None)
    asked.until_ready()
    assert said in asked.reason()
    assert asked.reason(0.0).endswith(AGAIN), "nothing of it is asked again"


@pytest.mark.slow
def test_a_process_that_dies_while_nobody_asks_is_there_again_before_anybody_does(plant: Plant) -> None:
    asked = plant(before=TELLS)
    asked.until_ready()
    os.kill(int((asked.folder / "pid").read_text()), signal.SIGKILL)
    asked.until_ready(2)
    assert asked.answers()


STARTS = {
    "it ends": ("sys.exit(3)", "the model's process ended while it was loaded: exit status 3"),
    "it takes too long": ("time.sleep(60)", "the model cannot be loaded: it takes too long"),
    "it cannot": (
        "channel.send('raised', 0, text='OSError: no\\nweights')",
        "the model cannot be loaded: OSError: no weights",
    ),
    "its first answers take too long": (
        "channel.send('ready', 0, text=json.dumps(signature)); time.sleep(60)",
        "the model cannot be loaded: it takes too long",
    ),
    "it sends lists without an end": (
        "channel.send('ready', 0, text='[' * 100_000)",
        "the model's process sent a signature that cannot be read",
    ),
    "it sends something else": ("channel.send('ready', 0, text='{}')", "sent a signature that cannot be read"),
    "it takes something else": (
        "signature['inputs'][0]['shape'] = [-1, 4]",
        "the model is not that of its contract: input 'turns' has shape [4] per row, [3] in the contract",
    ),
    "it gives something else": (
        "signature['outputs'][0]['name'] = 'orbit'",
        "the model is not that of its contract: output 'score' of the contract is not in the model's signature",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("defect", STARTS)
def test_a_process_that_cannot_be_asked_says_why(plant: Plant, monkeypatch: pytest.MonkeyPatch, defect: str) -> None:
    does, reason = STARTS[defect]
    if "too long" in reason:
        monkeypatch.setattr(model_process, "LOADING", 1.0)
    said = plant(before=does).reason_for_not_starting()
    assert reason in said
    assert said.endswith(AGAIN)


@pytest.mark.slow
@pytest.mark.truth("bytes change")
def test_what_must_not_be_loaded_is_not_started_until_it_may(plant: Plant, truth: Situation, tmp_path: Path) -> None:
    faults = [Failed("this file differs from the one that the permit binds", file="model.bin")]

    def verify() -> None:
        if faults:
            raise faults[0]

    asked = plant(before=TELLS, verify=verify, sections=NOTHING_HELD)
    said = asked.reason_for_not_starting()
    assert said == (
        f"the model's process cannot be started: model.bin: this file differs from the one that the permit binds{AGAIN}"
    )
    loop = loop_of(asked)
    assert truth.holds(shown(loop))
    assert shown(loop).message == said
    assert not (tmp_path / "pid").exists()
    faults.clear()
    asked.until_ready()
    assert shown(loop).origin == "model"


@pytest.mark.slow
def test_a_folder_for_temporary_files_that_comes_back_is_waited_for(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first start; and one that a cleaner took away is made anew."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    asked = plant()
    said = asked.reason_for_not_starting()
    assert said.startswith("the model's process cannot be started: ")
    assert f"{tmp_path}/gone" in said
    assert said.endswith(AGAIN)
    (tmp_path / "gone").mkdir()
    asked.until_ready()
    shutil.rmtree(tmp_path / "gone")
    (tmp_path / "gone").mkdir()
    asked.process.restart()
    asked.until_ready(fires=2)
    assert asked.answers()
    asked.process.close()
    assert list((tmp_path / "gone").iterdir()) == []


SLOW = "receive = channel.receive; channel.receive = lambda: (time.sleep(0.5), receive())[1]"


@pytest.mark.slow
def test_first_answers_may_take_longer_than_those_of_the_service(plant: Plant) -> None:
    asked = plant(before=SLOW, sections={"serving": {"timeout": "0.2s"}})
    asked.until_ready()
    assert asked.process.restarts == 0
    assert asked.reason(0.0) == f"the model did not answer within 0.2 s{AGAIN}"


def test_an_environment_that_is_not_there_is_said(plant: Plant, tmp_path: Path) -> None:
    said = plant(inside=Environment(tmp_path / "none")).reason_for_not_starting()
    assert said == (
        f"the model's process cannot be started: the program '{tmp_path}/none/bin/python' is not on this machine{AGAIN}"
    )


LEAKS = "held = globals().setdefault('held', []); held.append(b'x' * (160 * 2**20))"


@pytest.mark.slow
@pytest.mark.truth("leaks")
@pytest.mark.parametrize(("budget", "replaced"), [(60, True), (200, False)])
def test_a_process_that_leaks_is_replaced_and_no_answer_is_missing(
    plant: Plant,
    truth: Situation,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    budget: int,
    replaced: bool,
) -> None:
    looks = []

    def look(*sizes: float) -> str:
        looks.append(sizes)
        return too_much_memory(*sizes)

    monkeypatch.setattr(model_process, "too_much_memory", look)
    asked = plant(LEAKS, sections=NOTHING_HELD | {"budget": {"latency": "50ms", "memory": budget}})
    asked.until_ready()
    loop = loop_of(asked)
    assert shown(loop, 1.0).value == 1.0
    seen = len(looks)
    wait_for(lambda: truth.holds(shown(loop)) and (len(asked.fires) == 2 if replaced else len(looks) > seen + 1))
    assert asked.process.restarts == replaced
    assert (f"more than twice budget.memory, {2 * budget} MiB" in caplog.text) == replaced


FORKS = "child = os.fork() or time.sleep(600); open(options['--model'] + '/pid', 'w').write(str(child))"
"""It writes the number of a process that it starts into the model's folder."""


@pytest.mark.slow
def test_a_restart_loses_no_answer_and_leaves_nothing_of_the_former_process(plant: Plant) -> None:
    asked = plant(before=FORKS)
    asked.until_ready()
    first = (asked.folder / "pid").read_text()
    asked.process.restart()
    wait_for(lambda: asked.answers() and len(asked.fires) == 2)
    assert (asked.folder / "pid").read_text() != first
    wait_for(lambda: not runs(int(first)))
    assert asked.process.restarts == 1


@pytest.mark.slow
def test_what_a_process_started_ends_with_the_service(plant: Plant) -> None:
    asked = plant(before=FORKS)
    asked.until_ready()
    left = int((asked.folder / "pid").read_text())
    assert runs(left)
    asked.process.close()
    wait_for(lambda: not runs(left))
    assert asked.reason()


@pytest.mark.slow
@pytest.mark.parametrize(("look", "timeout"), [(0.05, 60), (600.0, 3)])
def test_what_a_process_started_ends_with_a_process_that_ends_by_itself(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, look: float, timeout: int
) -> None:
    """What it started holds the channel open: its end is seen by a look at it, or when its time is up."""
    monkeypatch.setattr(model_process, "LOOK", look)
    asked = plant(f"{FORKS}; os._exit(3)", sections={"serving": {"timeout": timeout}})
    asked.until_ready()
    assert asked.reason() == f"the model's process ended: exit status 3{AGAIN}"
    left = int((asked.folder / "pid").read_text())
    wait_for(lambda: not runs(left))


@pytest.mark.slow
def test_closing_does_not_wait_for_a_model_that_is_being_loaded(plant: Plant) -> None:
    asked = plant(before=f"{TELLS}; time.sleep(600)")
    wait_for(lambda: (asked.folder / "pid").exists() and (asked.folder / "pid").read_text())
    asked.process.close()
    assert not runs(int((asked.folder / "pid").read_text()))


@pytest.mark.slow
def test_a_process_that_hangs_is_ended_at_once_also_while_another_is_loaded(plant: Plant) -> None:
    second_sleeps = f"os.path.exists(options['--model'] + '/pid') and time.sleep(600); {TELLS}"
    asked = plant("time.sleep(600)", before=second_sleeps, sections=SHORT)
    asked.until_ready()
    first = int((asked.folder / "pid").read_text())
    asked.process.restart()
    wait_for(lambda: asked.process.restarts == 1)
    assert asked.reason() == f"the model did not answer within 0.3 s{AGAIN}"
    wait_for(lambda: not runs(first))
    assert len(asked.fires) == 1
