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
        ("a: &x 3\nb: *x\n", "a", "params.yaml:1: a cannot be replaced alone: what stands at &x is repeated by an"),
        ("a: &x 3\nb: *x\n", "b", "params.yaml:1: b cannot be replaced alone"),
        ("e: &s\n  a: 1\nt: *s\n", "t.a", "params.yaml:1: t.a cannot be replaced alone: what stands at &s is repeated"),
        ("c: 1\nt: &t\n  a: 1\nb: *t\n", "t.a", "params.yaml:2: t.a cannot be replaced alone: what stands at &t"),
        ("c: 1\nt: &t {a: {x: 1}}\nb: {<<: *t}\n", "t.a.x", "params.yaml:2: t.a.x cannot be replaced alone: what stan"),
        ("t:\n  a:\n  - 1\n  - &n 2\nb: *n\n", "t.a", "params.yaml:4: t.a cannot be replaced alone: what stands at &n"),
        ("c: &n 2\nt:\n  a:\n  - 1\n  - *n\n", "t.a", "params.yaml:1: t.a cannot be replaced alone: what stands at &n"),
        ("c: 2\nt: {a, b: 1}\n", "t.a", "params.yaml:2: t.a cannot be replaced where it stands"),
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


def test_another_section_with_the_same_anchor_elsewhere_is_no_hindrance() -> None:
    assert with_values("t: &t {a: 1}\nb: &b {c: 1}\nd: *b\n", {"t.a": 2}) == "t: &t {a: 2}\nb: &b {c: 1}\nd: *b\n"


LISTED = "t:\n  f:   # which\n  - a   # first\n  # of the ring\n  - b   # second\n  - [1, 2]\n  # the end\n  g: 1\n"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (["b", "a"], "  # of the ring\n  - b   # second\n  - a   # first\n"),
        (["b"], "  # of the ring\n  - b   # second\n"),
        (["c", [1, 2], "a", "a"], "  - c\n  - [1, 2]\n  - a   # first\n  - a\n"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_comments_of_a_list_stay_with_their_items(value: list[Any], written: str, newline: str) -> None:
    wanted = f"t:\n  f:   # which\n{written}  # the end\n  g: 1\n".replace("\n", newline)
    assert with_values(LISTED.replace("\n", newline), {"t.f": value}) == wanted


def test_a_list_of_lines_becomes_one_of_none_and_one_of_one_item_becomes_others() -> None:
    assert with_values(LISTED, {"t.f": []}) == "t:\n  f: []   # which\n  # the end\n  g: 1\n"
    assert with_values(LISTED, {"t.f": "b", "t.g": 2}) == "t:\n  f: b   # which\n  # the end\n  g: 2\n"
    assert with_values("f:\n- a # x\n", {"f": ["b"]}) == "f:\n- b\n"
    assert with_values("f:\n- a", {"f": ["b", "c"]}) == "f:\n- b\n- c"
    assert with_values("f:\n-\n- 1\n", {"f": [1, None]}) == "f:\n- 1\n-\n"
    assert with_values("f:\n- a: |\n    x\n    y\n\n- b\n", {"f": ["b", 1]}) == "f:\n\n- b\n- 1\n"


def test_line_ends_and_a_mark_of_byte_order_stay() -> None:
    text = "\ufeffa: 1\r\nb: |\r\n  x\r\n  y\r\nc:\r\n- 1\r\n- 2\r\n"
    assert with_values(text, {"a": 2, "c": [2, 3]}) == text.replace("a: 1", "a: 2").replace("1\r\n- 2", "2\r\n- 3")
    assert with_values(text, {"b": "z", "c": []}) == "\ufeffa: 1\r\nb: z\r\nc: []\r\n"


def test_characters_that_yaml_lacks_are_escaped_and_what_no_file_can_have_is_refused() -> None:
    odd = "a\x7f\x85\x9f\u2028\ufeff\uffff\x00\U0001f600"
    written = with_values("a: 1\n", {"a": odd})
    assert parse_yaml(written, "params.yaml") == yaml.safe_load(written) == {"a": odd}
    for value, said in (("\ud800", "a has half of a character"), ([float("nan")], "a has a number that is not finite")):
        with pytest.raises(BadInput, match=said):
            with_values("a: 1\n", {"a": value})


SCALARS = st.one_of(
    st.booleans(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False), st.none(),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp")), max_size=8),
)  # fmt: skip
PLACES = st.sampled_from(list(VALUES))


@pytest.mark.slow
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
