"""A space gives the values that params.yaml names, and only those."""

from __future__ import annotations

import json

import optuna
import pytest

from beampermit.trials.settings import parameters_of
from beampermit.trials.space import Space

WRITTEN = {
    "train.drop": {"float": [0.1, 0.5], "step": 0.2, "when": {"train.kind": ["deep", "deeper"]}},
    "train.kind": {"choice": ["wide", "deep", [64, 32], True, 1]},
    "train.depth": {"int": [1, 7], "step": 3},
    "train.inputs": {"subset": ["turns", "tune", "bunch"], "at_least": 2},
}


@pytest.fixture
def space() -> Space:
    return Space(parameters_of(WRITTEN))


@pytest.mark.slow
def test_what_is_suggested_can_be_read_again_from_the_storage(space: Space) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(60):
        trial = study.ask()
        chosen = space.suggest(trial)
        stored = study.trials[-1].params
        assert space.drawn(stored) == chosen
        assert all(type(space.drawn(stored)[path]) is type(value) for path, value in chosen.items())
        assert ("train.drop" in chosen) == (chosen["train.kind"] == "deep")
        assert chosen.get("train.drop", 0.1) in (0.1, pytest.approx(0.3), 0.5)
        assert chosen["train.depth"] in (1, 4, 7)
        assert 2 <= len(chosen["train.inputs"]) <= 3
        assert chosen["train.inputs"] == [name for name in ("turns", "tune", "bunch") if name in chosen["train.inputs"]]


def test_a_grid_has_each_point_once(space: Space) -> None:
    points = list(space.points())
    assert len(points) == (4 + 3) * 3 * 4
    assert len({json.dumps(point) for point in points}) == len(points)  # 1 and true are two values
    assert [point["train.drop"] for point in points if "train.drop" in point][:1] == [0.1]
    for point in points:
        stored = {name: value for one in space.parameters if one.path in point
                  for name, value in one.stored(point[one.path]).items()}  # fmt: skip
        assert space.drawn(stored) == point


def test_steps_end_where_the_range_ends() -> None:
    tenths = parameters_of({"x": {"float": [0.0, 1.0], "step": 0.1}})["x"]
    assert tenths.all_values() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    halves = parameters_of({"x": {"float": [0.0, 1.2], "step": 0.5}})["x"]
    assert (halves.top, halves.count) == (1.0, 3)


def test_a_trial_that_was_killed_while_it_was_asked_has_part_of_its_values(space: Space) -> None:
    assert space.drawn({"train.kind": '"deep"', "train.inputs=turns": True}) == {"train.kind": "deep"}
