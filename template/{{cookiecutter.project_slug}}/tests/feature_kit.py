"""Checks for features that are used in training and in service: they fail where the two could differ.

`agreements` takes features, a function of inputs (name -> shape (rows, ...)) to shape (rows, features), and some inputs;
each check has a name and a function that raises `AssertionError`. `test_features.py` runs all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np

Inputs = dict[str, np.ndarray]
Features = Callable[[Inputs], np.ndarray]
TOLERANCE = 1e-6
"""Rounding: a batch is summed in other blocks than a single row."""


def agreements(features: Features, inputs: Inputs) -> Iterator[tuple[str, Callable[[], None]]]:
    """All checks: name and function."""
    whole = features(inputs)
    rows = len(next(iter(inputs.values())))

    def chosen(index: object) -> Inputs:
        return {name: values[index] for name, values in inputs.items()}

    def same(found: np.ndarray, expected: np.ndarray = whole) -> None:
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)

    def finite() -> None:
        assert np.isfinite(whole).all(), "a feature is not finite"
        assert len(whole) == rows, "rows were lost"

    def one_by_one() -> None:
        same(np.concatenate([features(chosen(slice(row, row + 1))) for row in range(rows)]))

    def in_pieces() -> None:
        pieces = np.array_split(np.arange(rows), 7)
        same(np.concatenate([features(chosen(piece)) for piece in pieces if len(piece)]))

    def in_any_order() -> None:
        order = np.random.default_rng(0).permutation(rows)
        same(features(chosen(order)), whole[order])

    def beside_unusual_rows() -> None:
        more = {name: np.concatenate([v, np.zeros_like(v[:1]), 10 * v[:3]]) for name, v in inputs.items()}
        same(features(more)[:rows])

    def twice() -> None:
        np.testing.assert_array_equal(features(inputs), whole, err_msg="they keep state between calls")

    def without_changing_their_input() -> None:
        read_only = {name: values.copy() for name, values in inputs.items()}
        for values in read_only.values():
            values.setflags(write=False)
        same(features(read_only))

    def from_json() -> None:
        typed = {name: np.array(json.loads(json.dumps(v.tolist())), dtype=v.dtype) for name, v in inputs.items()}
        same(features(typed))

    def in_another_memory_layout() -> None:
        same(features({name: np.asfortranarray(values) for name, values in inputs.items()}))

    for check in (
        *(finite, one_by_one, in_pieces, in_any_order, beside_unusual_rows),
        *(twice, without_changing_their_input, from_json, in_another_memory_layout),
    ):
        yield check.__name__, check


CHECKS = [name for name, _ in agreements(lambda inputs: inputs["x"], {"x": np.zeros((1, 1))})]
