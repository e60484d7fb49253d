"""Example: tests of the network that scores monitors' signals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from {{ cookiecutter.package_name }} import features, model


@pytest.fixture
def untrained(turns: np.ndarray) -> model.Model:
    return model.Model(features.Features.fit({"turns": turns}, ("spread", "line")), model.network(2, 4))


def test_scores_are_probabilities_one_per_signal(untrained: model.Model, turns: np.ndarray) -> None:
    scores = untrained({"turns": turns})["score"]
    assert scores.shape == (len(turns),)
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_turn_that_is_not_finite_gives_no_score(bad: float, untrained: model.Model, turns: np.ndarray) -> None:
    signals = turns[:3].copy()
    signals[1, 100] = bad
    assert np.isnan(untrained({"turns": signals})["score"]).tolist() == [False, True, False]


def test_saved_model_gives_the_same_scores(untrained: model.Model, turns: np.ndarray, tmp_path: Path) -> None:
    untrained.save(tmp_path)
    loaded = model.Model.load(tmp_path)
    np.testing.assert_array_equal(loaded({"turns": turns})["score"], untrained({"turns": turns})["score"])


def test_seed_determines_the_weights() -> None:
    first, again, other = (model.network(3, 4, seed)[0].weight.detach().numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
