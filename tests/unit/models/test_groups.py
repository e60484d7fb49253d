"""Resamples keep dependent rows together, and intervals cover the true difference."""

from __future__ import annotations

import numpy as np
import pytest

from beampermit.models.groups import draw_counts, interval

ROWS = np.arange(12)


def test_each_row_counts_once_at_first_and_a_seed_repeats_the_draw() -> None:
    drawn = draw_counts([ROWS], times=50)
    assert drawn.shape == (51, 12)
    assert (drawn[0] == 1).all()
    assert (drawn.sum(axis=1) == 12).all()
    assert (drawn == draw_counts([ROWS], times=50)).all()
    assert (drawn != draw_counts([ROWS], times=50, seed=1)).any()


def test_rows_of_a_group_are_drawn_together() -> None:
    group = ROWS // 4
    drawn = draw_counts([group], times=50)
    for name in range(3):
        rows = drawn[:, group == name]
        assert (rows == rows[:, :1]).all()


def test_crossing_columns_are_drawn_independently() -> None:
    shot, device = (column.ravel() for column in np.meshgrid(range(3), range(4), indexing="ij"))
    drawn = draw_counts([shot, device], times=20)[1:].reshape(20, 3, 4)
    for table in drawn:
        assert np.linalg.matrix_rank(table) <= 1  # a product of one number for the row and one for the column


@pytest.mark.slow
def test_repeated_rows_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(3)
    one_each = rng.normal(0.0, 1.0, 40)
    repeated = np.repeat(one_each, 25)
    honest = interval(means(repeated, draw_counts([np.repeat(np.arange(40), 25)])))
    naive = interval(means(repeated, draw_counts([np.arange(1000)])))
    single = interval(means(one_each, draw_counts([np.arange(40)])))
    assert honest is not None
    assert naive is not None
    assert single is not None
    assert honest.high - honest.low == pytest.approx(single.high - single.low, rel=0.15)
    assert naive.high - naive.low < (honest.high - honest.low) / 3


@pytest.mark.slow
def test_nine_of_ten_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        found = interval(means(rng.normal(1.0, 1.0, 60), draw_counts([np.arange(60)], times=300)))
        assert found is not None
        held += found.low <= 1.0 <= found.high
    assert 0.85 < held / 400 < 0.94


def test_metric_undefined_in_many_resamples_has_no_interval() -> None:
    values = np.linspace(0, 1, 101)
    assert interval(np.where(np.arange(101) % 20 == 7, np.nan, values)) is not None
    assert interval(np.where(np.arange(101) % 5 == 3, np.nan, values)) is None
    assert interval(np.append(np.nan, values)) is None


def means(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    return (drawn * values).sum(axis=1) / drawn.sum(axis=1)
