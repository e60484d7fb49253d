"""Trainings as units of work: the same results as by DVC here, each in a tree of its own, whoever performs them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from beampermit.compute.executor import open_executor
from beampermit.compute.local import Local
from beampermit.compute.resources import Resources
from beampermit.compute.slurm import Slurm
from beampermit.compute.unit import UNIT
from beampermit.errors import Failed, Outside
from beampermit.project import Project
from beampermit.reproduction.diagnosis import Kind
from beampermit.reproduction.elsewhere import trainer_on
from beampermit.reproduction.reproduce import Reproduction
from beampermit.reproduction.retraining import Trainer
from support.dvc_repositories import remake, replace
from support.forked_pythons import forked
from support.toy_project import REPRODUCES

pytestmark = pytest.mark.slow

Again = Callable[..., Reproduction]


class Counting(Local):
    """Knows what was submitted, in order."""

    def __init__(self, resources: Resources):
        super().__init__(resources)
        self.folders = list[Path]()
        self.labels = list[str]()

    def submit(self, folders: Sequence[Path]) -> None:
        self.folders += folders
        self.labels += [json.loads((folder / UNIT).read_text())["label"] for folder in folders]
        super().submit(folders)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Trainer]:
    with open_executor("local", Resources(at_once=2), tmp_path / "work") as executor:
        yield trainer_on(executor, tmp_path / "work")


def test_units_give_what_dvc_gives_and_leave_nothing(
    trainable: Project, again: Again, elsewhere: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = again(seeds=(0, 1, 7), out=tmp_path / "here")
    # What DVC is not asked for, it is not needed for.
    monkeypatch.setattr("beampermit.reproduction.retraining._started", None)
    monkeypatch.setattr("beampermit.reproduction.reproduce._changed_dataset", lambda *_: None)
    there = again(seeds=(0, 1, 7), out=tmp_path / "there", train=elsewhere)
    assert there.diagnosis.kind is here.diagnosis.kind is Kind.IDENTICAL
    assert there.model_dump(exclude={"seconds"}) == here.model_dump(exclude={"seconds"})
    sides = [sorted((tmp_path / side).glob("[se]*-*/**/*")) for side in ("here", "there")]
    assert len(sides[0]) > 20
    assert [path.relative_to(tmp_path / "here") for path in sides[0]] == [
        path.relative_to(tmp_path / "there") for path in sides[1]
    ]
    for seed in (0, 1, 7):
        own = [(tmp_path / side / f"seed-{seed}/model/weights.safetensors").read_bytes() for side in ("here", "there")]
        assert own[0] == own[1]
        assert (tmp_path / f"there/seed-{seed}/training.log").read_text().splitlines()[:2] == [
            "Running stage 'train':",
            "> python train.py",
        ]
    assert [*(tmp_path / "work/units").iterdir()] == [*(tmp_path / "work/trees").iterdir()] == []


def test_a_seed_that_fails_is_named_with_what_it_said(
    trainable: Project, again: Again, elsewhere: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(trainable.root / "train.py", "rows = ", "if seed == 3: raise SystemExit('no beam today')\nrows = ")
    monkeypatch.setattr("beampermit.reproduction.preparation.stage_changes", lambda _: [])
    with pytest.raises(Failed, match=r"dvc.yaml: seed 3: the stages fail when run again without .*: no beam today"):
        again(seeds=(3, 4), out=tmp_path / "left", train=elsewhere)
    assert "no beam today" in (tmp_path / "left/seed-3/training.log").read_text()


def test_rows_that_judge_the_model_are_not_there(trainable: Project, again: Again, elsewhere: Trainer) -> None:
    replace(trainable.root / "train.py", "rows = ", "Path('data/dataset/test.parquet').read_bytes()\nrows = ")
    remake(trainable.root)
    with pytest.raises(Failed, match=r"training reads data/dataset/test.parquet, on which the model is judged"):
        again(train=elsewhere)


def test_a_link_is_no_result(
    trainable: Project, again: Again, elsewhere: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beampermit.reproduction.preparation.stage_changes", lambda _: [])
    (secret := tmp_path / "secret.json").write_text("{}")
    script = trainable.root / "train.py"
    file = "Path('metrics/training.json')"
    script.write_text(f"{script.read_text()}{file}.unlink()\n{file}.symlink_to({str(secret)!r})\n")
    with pytest.raises(Failed, match=r"seed 0: training did not write metrics/training\.json"):
        again(train=elsewhere)


def test_files_that_stay_on_another_machine_are_said(
    again: Again, elsewhere: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that does not share the folder of work gives back its result and its log alone."""
    monkeypatch.setattr("beampermit.reproduction.elsewhere.KEPT", "elsewhere")
    with pytest.raises(Outside, match=r"seed 0 was trained on .*, and its files are not here") as raised:
        again(train=elsewhere)
    assert raised.value.hint == "give a folder that all machines share, with --work"


def test_an_interrupted_run_goes_on_with_the_seeds_that_are_left(
    again: Again, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from beampermit.reproduction import elsewhere as module

    place, own = Resources(at_once=1), module.stored

    def first_alone(training, *rest):
        if training.seed == 1:
            raise KeyboardInterrupt
        return own(training, *rest)

    with monkeypatch.context() as patched, Local(place) as executor:
        patched.setattr(module, "stored", first_alone)
        with pytest.raises(KeyboardInterrupt):
            again(seeds=(0, 1), kept=True, train=trainer_on(executor, tmp_path / "work"))
    with Local(place) as executor:
        done = again(seeds=(0, 1), kept=True, resume=True, train=trainer_on(executor, tmp_path / "work"))
    assert done.sound
    assert 0 in done.resumed


KILLED = """\
import os, signal, sys
from pathlib import Path

from beampermit.compute.executor import open_executor
from beampermit.compute.resources import Resources
from beampermit.project import Project
from beampermit.reproduction import elsewhere, preparation
from beampermit.reproduction.reproduce import reproduce
from beampermit.reproduction.tree import commit_of_work_tree
from support.toy_project import HERE

root, on, begun, *seeds = sys.argv[1:]
work = Path(begun).parent / "work"


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def progress(*_):
    if os.path.exists(begun) and os.path.getsize(begun) == 2:
        die()


own = elsewhere.stored
if on == "local":
    elsewhere.stored = lambda training, *rest: (die if training.seed else own)(training, *rest)
preparation.stage_changes = lambda _: []
project, resources = Project(Path(root)), Resources(on=on, at_once=1 if on == "local" else 0, work=str(work))
with open_executor(on, resources, work) as executor:
    reproduce(project, project.base_contract, commit_of_work_tree(project.git), lambda _: HERE, kept=True,
              seeds=tuple(map(int, seeds)), train=elsewhere.trainer_on(executor, work), progress=progress)
"""
"""Dies where the results of the second seed would be stored, or where two trainings have begun."""


def killed(project: Project, on: str, begun: Path, *seeds: int) -> None:
    (begun.parent / "work").mkdir()
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    code, _, errors = forked(KILLED, project.root, on, begun, *seeds, env=variables, needs=REPRODUCES).finish()
    assert code == -signal.SIGKILL, errors


def test_a_run_that_was_killed_goes_on_with_what_is_missing(trainable: Project, again: Again, tmp_path: Path) -> None:
    """A unit that ended, and whose results nobody took, is taken over."""
    place = Resources(at_once=1)
    killed(trainable, "local", tmp_path / "begun", 0, 1, 7)
    with (executor := Counting(place)):
        done = again(seeds=(0, 1, 7), kept=True, resume=True, train=trainer_on(executor, tmp_path / "work"))
    assert executor.labels == ["seed 7: train"]
    assert 0 in done.resumed
    assert done.spread
    assert [*done.spread.metrics[0].values] == [0, 1, 7]
    # After a run that ended there is nothing to go on with.
    with (executor := Counting(place)):
        again(seeds=(0, 1, 7), kept=True, resume=True, train=trainer_on(executor, tmp_path / "work"))
    assert executor.labels == ["seed 0: train", "seed 1: train", "seed 7: train"]


@pytest.mark.usefixtures("slurm")
def test_jobs_of_a_run_that_was_killed_are_taken_over(
    trainable: Project, again: Again, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They train on what the killed run laid out, while the next one lays out the same."""
    monkeypatch.setattr("beampermit.reproduction.preparation.stage_changes", lambda _: [])
    go, begun = tmp_path / "go", tmp_path / "begun"
    wait = f"Path({str(begun)!r}).open('a').write('x')\nwhile not Path({str(go)!r}).exists(): time.sleep(0.05)\nseed = "
    replace(trainable.root / "train.py", "seed = ", wait)
    killed(trainable, "slurm", begun, 0, 1)
    trees = [*(tmp_path / "work/trees").iterdir()]
    for tree in trees:
        (tree / "the same").touch()
    own = Slurm.submit

    def taken_over(executor: Slurm, folders: Sequence[Path]) -> None:
        assert [tree for tree in trees if not (tree / "the same").exists()] == []
        own(executor, folders)
        go.touch()

    monkeypatch.setattr(Slurm, "submit", taken_over)
    monkeypatch.setattr(Slurm, "_submit", lambda *_: pytest.fail("submitted again"))
    resources = Resources(on="slurm", work=str(tmp_path / "work"))
    with open_executor(resources.on, resources, resources.folder()) as executor:
        train = trainer_on(executor, resources.folder())
        done = again(seeds=(0, 1), kept=True, resume=True, train=train)
    assert len(trees) == 2
    assert done.diagnosis.kind is Kind.IDENTICAL
    assert begun.read_text() == "xx"


def test_another_run_trains_again_and_is_told_nothing_of_the_project(
    trainable: Project, again: Again, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result of an earlier reproduction is no proof that the model can be made again."""
    home = trainable.root.resolve()
    monkeypatch.setenv("START", str(home))  # a variable that the contract lets through
    monkeypatch.setenv("PATH", f"{home}/bin{os.pathsep}{os.environ['PATH']}")
    seen = f"if {str(home)[1:]!r} in str(os.environ): raise SystemExit('told')\nseed = "
    replace(trainable.root / "train.py", "seed = ", seen)
    monkeypatch.setattr("beampermit.reproduction.preparation.stage_changes", lambda _: [])
    with (executor := Counting(Resources(at_once=1))):
        for _ in range(2):
            assert again(train=trainer_on(executor, tmp_path / "work")).diagnosis.kind is Kind.IDENTICAL
    assert len(executor.folders) == len({*executor.folders}) == 2


@pytest.mark.usefixtures("slurm")
def test_seeds_are_trained_on_slurm(again: Again, tmp_path: Path) -> None:
    """By stages that each start where SLURM put them."""
    resources = Resources(on="slurm", time=300, work=str(tmp_path / "work"))
    with open_executor(resources.on, resources, resources.folder()) as executor:
        done = again(seeds=(0, 1), out=tmp_path / "out", train=trainer_on(executor, resources.folder()))
    assert done.diagnosis.kind is Kind.IDENTICAL
    assert done.spread is not None
    assert [*done.spread.metrics[0].values] == [0, 1]
    assert len({*(tmp_path / "out").glob("seed-*/model/weights.safetensors")}) == 2


def test_here_dvc_trains_unless_more_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from functools import partial

    from beampermit.cli.reproduce import _trainer

    monkeypatch.setattr("beampermit.compute.local.cores_here", lambda: 2)
    place = Resources(work=str(tmp_path / "work"))
    with _trainer(Resources(at_once=3)) as train:
        assert isinstance(train, partial)
        assert train.keywords == {"at_once": 3}
    for wanted in ({"cores": 2}, {"time": 60.0}, {"memory": 2**20}):
        with _trainer(place.model_copy(update=wanted)) as train:
            assert not isinstance(train, partial)
