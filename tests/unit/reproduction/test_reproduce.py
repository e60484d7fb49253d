"""Each reason why a retrained model differs from the committed one is planted, and diagnosed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.errors import BadInput, Conflict, Failed
from beampermit.interlocks.reproducibility import REP001, REP002
from beampermit.project import Project
from beampermit.reproduction.diagnosis import Kind
from beampermit.reproduction.reproduce import Reproduction
from beampermit.reproduction.tree import place_of, private_folder
from beampermit.reproduction.weights import Likeness
from beampermit.verdicts.verdict import Outcome
from support.dvc_repositories import leaf, remake, replace
from support.forked_pythons import forked
from support.toy_project import REPRODUCES

pytestmark = pytest.mark.slow

Again = Callable[..., Reproduction]


def test_same_commit_gives_the_same_model_and_leaves_no_trace(trainable: Project, again: Again) -> None:
    cache = sorted((trainable.root / ".dvc/cache").rglob("*"))
    done = again()
    assert done.diagnosis.kind is Kind.IDENTICAL
    assert done.sound
    assert done.compared is not None
    assert [tensor.likeness for tensor in done.compared.tensors] == [Likeness.IDENTICAL] * 2
    assert trainable.git("status", "--porcelain") == ""
    assert len(trainable.git("worktree", "list").splitlines()) == 1
    assert sorted((trainable.root / ".dvc/cache").rglob("*")) == cache


def test_data_come_from_the_remote_where_this_clone_has_none(trainable: Project, again: Again) -> None:
    leaf(trainable.root, trainable.root / ".dvc/cache", "model/weights.safetensors").unlink()
    assert again().diagnosis.kind is Kind.IDENTICAL


PLANTED = {
    "a last bit": ({"SHIFT": "1e-9"}, Kind.WITHIN, "1 of 2 tensors differ, most of all weight by 1e-09"),
    "another processor, near enough": (
        {"CPU": "default", "SHIFT": "1e-4"},
        Kind.WITHIN,
        "weights are not judged: another cpu",
    ),
    "another processor, too far": ({"CPU": "default", "SHIFT": "0.7"}, Kind.ENVIRONMENT, "cpu was AVX2, is default"),
    "stuck": ({"START": "1.2"}, Kind.STUCK, "the retrained loss stays at 1.389 since epoch"),
    "no seed": ({"NOISE": "0.01"}, Kind.UNREPEATABLE, "two trainings here give different weights"),
    "made in another way": ({"SHIFT": "0.7"}, Kind.UNEXPLAINED, "two trainings here give the same weights"),
}


@pytest.mark.parametrize("defect", PLANTED)
def test_difference_is_diagnosed(again: Again, monkeypatch: pytest.MonkeyPatch, defect: str) -> None:
    variables, kind, words = PLANTED[defect]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("beampermit.reproduction.reproduce._predictions", lambda *_: None)
    done = again()
    assert done.diagnosis.kind is kind
    assert words in done.diagnosis.text
    assert done.sound is (kind is Kind.WITHIN)


@pytest.mark.parametrize(
    ("of_branch", "shift", "kind"), [("0.1%", "0.0095", Kind.WITHIN), ("90%", "0.0115", Kind.UNEXPLAINED)]
)
def test_a_percentage_of_the_weights_is_the_base_branchs_and_no_pull_request_moves_it(
    trainable: Project, again: Again, monkeypatch: pytest.MonkeyPatch, of_branch: str, shift: str, kind: Kind
) -> None:
    replace(trainable.root / "contract.yaml", "weight_tolerance: 1.0e-6", "weight_tolerance: 1%")
    trainable.git("commit", "--quiet", "--all", "--message", "A percentage")
    trainable.git("switch", "--quiet", "--create", "branch")
    replace(trainable.root / "contract.yaml", "weight_tolerance: 1%", f"weight_tolerance: {of_branch}")
    monkeypatch.setenv("SHIFT", shift)
    monkeypatch.setattr("beampermit.reproduction.reproduce._predictions", lambda *_: None)
    assert again("main").diagnosis.kind is kind


def test_other_package_is_diagnosed_as_different_environment(
    trainable: Project, again: Again, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(trainable.root / "metrics/training.json", '"numpy": "', '"numpy": "0.')
    monkeypatch.setattr("beampermit.reproduction.preparation.stage_changes", lambda _: [])
    monkeypatch.setattr("beampermit.reproduction.reproduce._predictions", lambda *_: None)
    monkeypatch.setenv("SHIFT", "0.7")
    found = again().diagnosis
    assert found.kind is Kind.ENVIRONMENT
    assert found.because[0].startswith("packages.numpy was 0.")


@pytest.mark.plants("REP001")
def test_changed_row_is_diagnosed_as_different_data(trainable: Project, again: Again) -> None:
    table = trainable.root / "data/dataset/train.parquet"
    text = table.read_text().replace("2", "2.5")
    table.unlink()
    table.write_text(text)
    lock = trainable.root / "dvc.lock"
    before = lock.read_text()
    remake(trainable.root)
    new = next(line for line in lock.read_text().splitlines() if line.endswith(".dir"))
    old = next(line for line in before.splitlines() if line.endswith(".dir"))
    lock.write_text(before.replace(old, new, 1))  # what stage dataset made; stage train still ran on the old one
    done = again()
    assert done.diagnosis.kind is Kind.DATA
    assert done.compared is None
    assert "stage train ran on a data/dataset that differs from the one in dvc.lock" in done.diagnosis.text
    assert "data/dataset/train.parquet does not have the digest in manifest.json" in done.diagnosis.text
    places = REP001().check(trainable.contract, done).locations
    assert {place.file for place in places} == {"dvc.lock"}
    assert [place.reason for place in places] == list(done.diagnosis.because)


@pytest.mark.parametrize(
    ("file", "before", "after", "words"),
    [
        ("train.py", "0.05", "0.04", "train.py"),
        ("params.yaml", "seed: 0", "seed: 3", "train is {'seed': 3}, it ran with {'seed': 0}"),
    ],
)
def test_change_since_training_is_diagnosed_as_different_code(
    trainable: Project, again: Again, file: str, before: str, after: str, words: str
) -> None:
    replace(trainable.root / file, before, after)
    done = again()
    assert done.diagnosis.kind is Kind.CODE
    assert words in done.diagnosis.text


def test_seeds_that_agree_are_within_tolerance_and_their_weights_are_kept_where_asked(
    again: Again, tmp_path: Path
) -> None:
    done = again(seeds=(0, 1, 2), out=tmp_path / "out")
    assert len(list((tmp_path / "out").glob("seed-*/model/weights.safetensors"))) == 3
    assert done.sound
    assert done.spread is not None
    assert list(done.spread.metrics[0].values) == [0, 1, 2]


@pytest.mark.plants("REP002")
def test_seed_that_finds_another_minimum_is_reported(trainable: Project, again: Again) -> None:
    done = again(seeds=(0, 1, 7))
    assert done.diagnosis.kind is Kind.IDENTICAL
    assert done.spread is not None
    assert not done.sound
    assert done.spread.because[0].startswith("seed 7 is stuck in a local minimum: its loss stays at 1.38")
    assert REP001().check(trainable.contract, done).outcome is Outcome.PASSED
    assert done.spread.because[0] in REP002().check(trainable.contract, done).reason


def test_failed_training_says_why_and_keeps_its_log(trainable: Project, again: Again, tmp_path: Path) -> None:
    replace(trainable.root / "train.py", "rows = ", "raise SystemExit('no beam today')\nrows = ")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("beampermit.reproduction.preparation.stage_changes", lambda _: [])
        with pytest.raises(Failed, match="the stages fail when run again"):
            again(out=tmp_path / "left")
    assert "no beam today" in (tmp_path / "left/seed-0/training.log").read_text()


def test_missing_seed_is_an_error_with_the_file(trainable: Project, again: Again) -> None:
    contract = trainable.root / "contract.yaml"
    replace(contract, "reproducibility: {", "reproducibility: {seed_at: 'params.yaml:model.seed', ")
    with pytest.raises(BadInput, match=r"there is no model\.seed") as error:
        again()
    assert error.value.file == "params.yaml"


def test_other_seed_leaves_the_other_parameters_unchanged(trainable: Project) -> None:
    from beampermit.reproduction.retraining import committed_seed, set_seed

    set_seed(trainable.root, "params.yaml:train.seed", 5)
    assert (trainable.root / "params.yaml").read_text() == "train: {seed: 5}  # of the weight\n"
    assert committed_seed(trainable.root, "params.yaml:train.seed") == 5


def test_second_reproduction_at_a_time_is_refused(trainable: Project, again: Again) -> None:
    running = "another reproduction of this project is running"
    with private_folder(trainable, "0" * 40), pytest.raises(Conflict, match=running):
        again()


DRIVER = """
import sys
from pathlib import Path
from beampermit.environments import Environment
from beampermit.processes import ended_by_signals
from beampermit.project import Project
from beampermit.reproduction.reproduce import reproduce
project = Project(Path.cwd())
with ended_by_signals():
    environment = Environment(Path(sys.prefix))
    reproduce(project, project.base_contract, project.git.head(), lambda _: environment, seeds=(0, 1), kept=True)
"""


def interrupted(project: Project, by: signal.Signals) -> None:
    """Begin a reproduction whose second seed takes long; end it by a signal once the first seed is done."""
    child = forked(DRIVER, cwd=project.root, env={**os.environ, "SLOW": "600"}, needs=REPRODUCES)
    cache = Path(os.environ["XDG_CACHE_HOME"])
    deadline = time.monotonic() + 120
    while not any(cache.glob("beampermit/reproduce/*/*/results/seed-0/done.json")):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(by)
    assert child.wait(60) != 0


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_no_work_tree_and_no_process(trainable: Project, by: signal.Signals) -> None:
    interrupted(trainable, by)
    assert len(trainable.git("worktree", "list").splitlines()) == 1
    assert not any(Path(os.environ["XDG_CACHE_HOME"]).glob("beampermit/reproduce/*/*/trees/*"))
    assert training_in(trainable) == []


def test_run_after_a_kill_cleans_up_and_continues_with_the_remaining_seeds(trainable: Project, again: Again) -> None:
    interrupted(trainable, signal.SIGKILL)
    assert training_in(trainable)
    done = again(seeds=(0, 1), kept=True, resume=True)
    assert done.sound
    assert done.resumed == (0,)
    assert list(Path(os.environ["XDG_CACHE_HOME"]).glob("beampermit/reproduce/*/*")) == [lock_of(trainable)]
    assert len(trainable.git("worktree", "list").splitlines()) == 1
    assert training_in(trainable) == []


def lock_of(project: Project) -> Path:
    return place_of(project) / "lock"


def training_in(project: Project) -> list[str]:
    """Trainings of this test's project that still run, by their working folder."""
    import psutil

    cache = os.environ["XDG_CACHE_HOME"]
    return [
        str(process.info["cwd"])
        for process in psutil.process_iter(["cwd"])
        if (process.info["cwd"] or "").startswith(cache)
    ]
