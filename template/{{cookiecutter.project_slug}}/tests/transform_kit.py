"""A kit for any transform that is used in training and live: each check breaks where the two could differ.

Give `agreements` a transform, called with rows of shape (n, ...) and giving (n, features), and some rows; each check is a name
and a function that raises `AssertionError`. `test_transforms.py` runs them all; a transform of your own needs no more than that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np

Transform = Callable[[np.ndarray], np.ndarray]
TOLERANCE = 1e-6
"""What the order of additions may change: a batch is summed in other blocks than a signal alone."""


def agreements(transform: Transform, rows: np.ndarray) -> Iterator[tuple[str, Callable[[], None]]]:
    """Every check by its name."""
    whole = transform(rows)

    def same(found: np.ndarray, expected: np.ndarray = whole) -> None:
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)

    def finite() -> None:
        assert np.isfinite(whole).all(), "a feature is not finite"
        assert len(whole) == len(rows), "rows were lost"

    def one_by_one() -> None:
        same(np.concatenate([transform(rows[place : place + 1]) for place in range(len(rows))]))

    def in_pieces() -> None:
        same(np.concatenate([transform(piece) for piece in np.array_split(rows, 7) if len(piece)]))

    def in_any_order() -> None:
        order = np.random.default_rng(0).permutation(len(rows))
        same(transform(rows[order]), whole[order])

    def beside_strangers() -> None:
        strange = np.concatenate([rows, np.zeros_like(rows[:1]), 10 * rows[:3]])
        same(transform(strange)[: len(rows)])

    def twice() -> None:
        np.testing.assert_array_equal(transform(rows), whole, err_msg="it remembers what it saw")

    def without_a_trace() -> None:
        given = rows.copy()
        given.setflags(write=False)
        same(transform(given))

    def as_it_comes_over_the_wire() -> None:
        same(transform(np.array(json.loads(json.dumps(rows.tolist())), dtype=rows.dtype)))

    def laid_out_otherwise() -> None:
        same(transform(np.asfortranarray(rows)))

    for check in (
        *(finite, one_by_one, in_pieces, in_any_order, beside_strangers),
        *(twice, without_a_trace, as_it_comes_over_the_wire, laid_out_otherwise),
    ):
        yield check.__name__, check


CHECKS = [name for name, _ in agreements(lambda rows: rows, np.zeros((1, 1)))]
