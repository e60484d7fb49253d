"""Values get into params.yaml where the old ones stand, and nothing else of it changes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from beampermit.errors import BadInput
from beampermit.reading import parse_yaml
from beampermit.trials.params_file import same, with_values

TEXT = """\
# What training reads
split: {seed: 3,   parts: [0.8, 0.1]}   # odd  spacing
train:
    hidden: 16      # cells
    rate: 1e-3
    features:
      - line   # a line
      - noise

      # at the end
    flow: [a,
       b]   # in two lines
    name: "x"
    nothing:   # yet
    note: |
       two
       lines
    last: 'y'
"""
VALUES: dict[str, Any] = {
    "split.seed": 4,
    "train.hidden": 32,
    "train.rate": 3e-05,
    "train.features": ["noise", "on"],
    "train.flow": ["b", "c, d"],
    "train.name": "relu",
    "train.nothing": 1.5,
    "train.note": "short",
}
WRITTEN = """\
# What training reads
split: {seed: 4,   parts: [0.8, 0.1]}   # odd  spacing
train:
    hidden: 32      # cells
    rate: 3.0e-05
    features:
      - noise
      - "on"

      # at the end
    flow: [b, "c, d"]   # in two lines
    name: relu
    nothing: 1.5   # yet
    note: short
    last: 'y'
"""


def test_only_the_values_change_and_comments_and_order_stay() -> None:
    assert with_values(TEXT, VALUES) == WRITTEN
    read = yaml.safe_load(WRITTEN)["train"]
    assert (read["rate"], read["features"]) == (3e-05, ["noise", "on"]), "YAML 1.1, as Python's reader has it, as well"


def test_what_is_equal_is_not_touched() -> None:
    same_values = {"train.features": ["line", "noise"], "split.seed": 3.0, "train.last": "y", "train.rate": 0.001}
    assert with_values(TEXT, same_values) == TEXT
    assert not same(1, True)
    assert not same([1, 0], [True, 0])
    assert with_values("a: 1\n", {"a": True}) == "a: true\n"


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("a: &x 3\nb: *x\n", "a", "params.yaml:1: a cannot be replaced alone: an anchor, an alias or a tag"),
        ("a: &x 3\nb: *x\n", "b", "params.yaml:1: b cannot be replaced alone"),
        ("base: &b {a: 1}\nt: {<<: *b}\n", "t.a", "t.a stands behind an alias"),
        ("a: 1\n", "a.b", "there is no parameter a.b"),
        ("a: 1\n", "b", "there is no parameter b"),
        ("a: [\n", "a", "params.yaml:2: not YAML"),
        ("", "a", "there is no parameter a"),
    ],
)
def test_what_cannot_be_replaced_is_refused(text: str, path: str, said: str) -> None:
    with pytest.raises(BadInput) as found:
        with_values(text, {path: 7})
    assert said in str(found.value)


SCALARS = st.one_of(
    st.booleans(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False), st.none(),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp")), max_size=8),
)  # fmt: skip
PLACES = st.sampled_from(list(VALUES))


@settings(max_examples=30)
@given(st.dictionaries(PLACES, st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=4))
def test_whatever_is_written_is_read_again_and_the_rest_stays(values: dict[str, Any]) -> None:
    made = parse_yaml(with_values(TEXT, values), "params.yaml")
    before = parse_yaml(TEXT, "params.yaml")
    for path in VALUES:
        section, _, key = path.partition(".")
        assert same(made[section][key], values.get(path, before[section][key]))
        made[section][key] = before[section][key]
    assert made == before
