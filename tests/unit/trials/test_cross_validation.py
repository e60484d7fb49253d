"""`beampermit validate`: each fold is fitted without its held-out rows, nor the test split, and measured on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.compute.resources import Resources
from beampermit.errors import BadInput, Failed
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.trials import cross_validation
from beampermit.trials.cross_validation import CrossValidation, cross_validate
from beampermit.trials.folds import Fold
from support.dated_project import ROWS, TRIAL, dated, write_rows
from support.dvc_repositories import remake, replace

pytestmark = pytest.mark.slow

__all__ = ["dated"]


@pytest.fixture
def validated(dated: Project, tmp_path: Path) -> Callable[..., CrossValidation]:
    def run(count: int, by: str | None = None) -> CrossValidation:
        place = Resources(work=str(tmp_path / "work"), at_once=2)
        return cross_validate(Project(dated.root), count, by, place, silent)  # pyright: ignore[reportArgumentType]

    return run


def fold_files(work: Path) -> dict[int, tuple[list[int], list[int]]]:
    """Of the trees of folds, by their number of held-out rows: the first number of each row on both sides."""
    found = {}
    for folder in (work / "trees").iterdir():
        sides = [pq.read_table(folder / f"data/dataset/{name}.parquet") for name in ("train", "validation")]
        turns = [[int(one[0]) for one in side["turns"].to_pylist()] for side in sides]
        found[min(turns[1])] = (turns[0], turns[1])
    return found


def test_folds_of_time_are_fitted_on_what_came_before(
    dated: Project, validated: Callable[..., CrossValidation], tmp_path: Path
) -> None:
    done = validated(3)
    assert (done.by, done.rows, done.never_held_out) == ("acquired_at", ROWS, 60)
    assert [(fold.fitted, fold.held_out) for fold in done.folds] == [(60, 60), (120, 60), (180, 60)]
    files = fold_files(tmp_path / "work")
    assert files[120] == ([*range(120)], [*range(120, 180)]), "the rows themselves, in their order"
    assert [*done.metrics] == ["auc", "false_alarm_rate", "other"]
    each = [fold.metrics["auc"] for fold in done.folds]
    spread = done.metrics["auc"]
    assert (spread.mean, spread.low, spread.high) == pytest.approx((np.mean(each), min(each), max(each)))
    assert spread.deviation == pytest.approx(np.std(each, ddof=1))
    # The same again: nothing is fitted.
    again = validated(3)
    assert [fold.reused for fold in again.folds] == [True] * 3
    assert again.metrics == done.metrics
    # Other parameters: all is.
    replace(dated.root / "params.yaml", "x: 1.0", "x: 1.5")
    assert [fold.reused for fold in validated(3).folds] == [False] * 3


def test_folds_of_groups_hold_out_every_row_once(validated: Callable[..., CrossValidation], tmp_path: Path) -> None:
    done = validated(4, "group")
    assert (done.by, done.never_held_out) == ("acquisition", 0)
    assert [(fold.fitted, fold.held_out) for fold in done.folds] == [(180, 60)] * 4
    held_out = [turns for first, (_, turns) in fold_files(tmp_path / "work").items() if first != 160]
    assert sorted(turn for turns in held_out for turn in turns) == [*range(ROWS)]


def test_a_group_in_two_folds_is_refused_on_the_files_too(
    validated: Callable[..., CrossValidation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the folds themselves wrong, the rules that judge splits would see it."""

    def leaking(groups: dict[str, np.ndarray], count: int) -> list[Fold]:
        first = np.arange(ROWS) < 50
        return [Fold(number, ~first, first) for number in range(1, count + 1)]

    monkeypatch.setattr(cross_validation, "by_group", leaking)
    with pytest.raises(Failed, match="fold 1: 1 value of acquisition are fitted on and held out"):
        validated(2, "group")
    monkeypatch.setattr(cross_validation, "require_apart", lambda *_: None)
    with pytest.raises(Failed, match="fold 1: train and validation share 1 value of acquisition, such as 2"):
        validated(2, "group")


def test_folds_in_the_wrong_order_of_time_are_refused(
    dated: Project, validated: Callable[..., CrossValidation], monkeypatch: pytest.MonkeyPatch
) -> None:
    def reversed_in_time(times: np.ndarray, groups: dict[str, np.ndarray], count: int) -> list[Fold]:
        return [Fold(number, times >= 120, times < 60) for number in range(1, count + 1)]

    monkeypatch.setattr(cross_validation, "by_time", reversed_in_time)
    with pytest.raises(Failed, match="fold 1: 60 rows held out, not later than all that is fitted on"):
        validated(2, "time")


def test_a_fold_that_fails_is_named_and_the_others_are_kept(
    dated: Project, validated: Callable[..., CrossValidation]
) -> None:
    text = TRIAL.replace('Path("data/fails").exists()', "held_out > 2700 and not os.environ.get('START')")
    sizes = [fold.metrics["auc"] * 1e5 for fold in validated(3).folds]
    largest = sizes.index(max(sizes)) + 1
    (dated.root / "src/toy/trial.py").write_text(text.replace("2700", f"{max(sizes) - 0.5}"))
    with pytest.raises(Failed, match=rf"fold {largest}: it ended with exit status 1\nthe beam was lost"):
        validated(3)


def test_one_value_of_the_target_is_said(dated: Project, validated: Callable[..., CrossValidation]) -> None:
    write_rows(dated, (np.arange(ROWS) % 3 == 0) & (np.arange(ROWS) < 180))
    assert validated(3).notes == ("fold 3: faulty has one value in all 60 rows that are held out",)
    write_rows(dated, np.arange(ROWS) >= 100)
    with pytest.raises(BadInput, match="fold 1: faulty has one value in all 60 rows that the model is fitted on"):
        validated(3)


def test_what_cannot_be_validated_is_said(dated: Project, validated: Callable[..., CrossValidation]) -> None:
    with pytest.raises(BadInput, match="acquisition has 12 values, and 13 folds need as many"):
        validated(13, "group")
    for count in (1, 101):
        with pytest.raises(BadInput, match=f"--folds is {count}, and 2 to 100 are possible"):
            validated(count)
    contract = dated.root / "contract.yaml"
    replace(contract, "by: [acquisition], time: acquired_at", "by: [acquisition]")
    with pytest.raises(BadInput, match=r"dataset\.split has no time, so folds are by group"):
        validated(2, "time")
    assert validated(2).by == "acquisition"
    (dated.root / "data/dataset/train.parquet").unlink()
    (dated.root / "data/dataset/train.parquet").write_text("1\n")
    remake(dated.root)
    with pytest.raises(Failed, match=r"data/dataset/train\.parquet: this is no table of rows"):
        validated(2)
    replace(contract, "    validation: data/dataset/validation.parquet\n", "")
    replace(contract, "reference: validation", "reference: train")
    with pytest.raises(BadInput, match=r"dataset\.splits has no split validation"):
        validated(2)


def test_the_command_prints_folds_mean_and_spread(dated: Project, tmp_path: Path) -> None:
    words = ["validate", "--folds", "3", "--project", str(dated.root), "--work", str(tmp_path / "work")]
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 0, ran.output
    lines = ran.stdout.splitlines()
    assert lines[:2] == [
        "3 folds of 240 rows of train and validation, by acquired_at",
        "  60 rows are in no fold's held-out part: 60 first in time",
    ]
    assert lines[2].startswith("auc: 0.0")
    assert " ± " in lines[2]
    assert lines[3].startswith("  1: 0.0")
    ran = CliRunner().invoke(app, [*words, "--json"])
    said = json.loads(ran.stdout)
    assert [fold["reused"] for fold in said["folds"]] == [True] * 3
    assert said["metrics"]["false_alarm_rate"] == {
        "mean": 0.01,
        "deviation": 0.0,
        "low": 0.01,
        "high": 0.01,
        "folds": 3,
    }


def test_a_project_of_the_template_is_validated_as_it_is(trained_project: Project, tmp_path: Path) -> None:
    """Its contract has crossing groups and a time; the checker's metrics and the project's own are there."""
    place = Resources(work=str(tmp_path / "work"))
    done = cross_validate(trained_project, 2, None, place, silent)
    measured = {metric.name for metric in trained_project.contract.metrics if metric.measure}
    assert measured <= done.metrics.keys()
    assert all(spread.folds == 2 for spread in done.metrics.values())
    assert all(fold.fitted and fold.held_out for fold in done.folds)
    assert done.folds[1].fitted > done.folds[0].fitted, "more time, of as many monitors"
    assert trained_project.git("status", "--porcelain") == ""
