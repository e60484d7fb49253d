"""Checks for any transform that is used in training and in service: they fail where the two could differ.

`agreements` takes a transform, from rows of shape (n, ...) to features of shape (n, features), and some rows; each check
has a name and a function that raises `AssertionError`. `test_transforms.py` runs all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np

Transform = Callable[[np.ndarray], np.ndarray]
TOLERANCE = 1e-6
"""Rounding: a batch is summed in other blocks than a single signal."""


def agreements(transform: Transform, rows: np.ndarray) -> Iterator[tuple[str, Callable[[], None]]]:
    """All checks: name and function."""
    whole = transform(rows)

    def same(found: np.ndarray, expected: np.ndarray = whole) -> None:
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)

    def finite() -> None:
        assert np.isfinite(whole).all(), "a feature is not finite"
        assert len(whole) == len(rows), "rows were lost"

    def one_by_one() -> None:
        same(np.concatenate([transform(rows[index : index + 1]) for index in range(len(rows))]))

    def in_pieces() -> None:
        same(np.concatenate([transform(piece) for piece in np.array_split(rows, 7) if len(piece)]))

    def in_any_order() -> None:
        order = np.random.default_rng(0).permutation(len(rows))
        same(transform(rows[order]), whole[order])

    def beside_unusual_rows() -> None:
        unusual = np.concatenate([rows, np.zeros_like(rows[:1]), 10 * rows[:3]])
        same(transform(unusual)[: len(rows)])

    def twice() -> None:
        np.testing.assert_array_equal(transform(rows), whole, err_msg="it keeps state between calls")

    def without_changing_its_input() -> None:
        read_only = rows.copy()
        read_only.setflags(write=False)
        same(transform(read_only))

    def from_json() -> None:
        same(transform(np.array(json.loads(json.dumps(rows.tolist())), dtype=rows.dtype)))

    def in_another_memory_layout() -> None:
        same(transform(np.asfortranarray(rows)))

    for check in (
        *(finite, one_by_one, in_pieces, in_any_order, beside_unusual_rows),
        *(twice, without_changing_its_input, from_json, in_another_memory_layout),
    ):
        yield check.__name__, check


CHECKS = [name for name, _ in agreements(lambda rows: rows, np.zeros((1, 1)))]
