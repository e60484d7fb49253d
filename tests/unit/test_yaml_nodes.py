"""libyaml is asked only where ruamel's own reader gives the same values in the same lines."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from ruamel.yaml import YAML

from beampermit.yaml_nodes import DEEPEST, load_quickly
from support.paths import ROOT

READ = {
    "values": "a: yes\nb: 0o7\nc: 010\nd: 1_000\ne: 1e3\nf: 12:30:45\ng: ~\nh: on\ni: .inf\nj: '1'\nl:\n",
    "times": "day: 2026-01-02\nat: 2026-01-02T03:04:05Z\nzone: 2026-01-02 03:04:05+02:00\n",
    "texts": "a: |\n  x\n\n  y\nb: >-\n  x\n  y\nc: one\n  two\nd: |2+\n   x\n\n# said\ne: it''s # said\n",
    "collections": "- {a: 1, b: [x, y], c:d}\n-\n  - z\n- []\n- a:\n  - b\n",
    "odd keys": "2: a\ntrue: b\nnull: c\n? d\n: e\nhttp://x: f\n",
    "not ASCII": "größe: é\n'ω😀': {ß😀: 1, \"ä\": [ö, {😀: ü, y: z}]}\nx: # é\n  - é: |\n      ü\n    b: c\n",
    "deep": "\n".join("  " * depth + "a:" for depth in range(DEEPEST - 1)),
}
NOT_READ = {
    "tab": "a: 1\t# ruamel refuses it, libyaml does not",
    "directive": "%YAML 1.1\n---\na: yes",
    "anchor": "a: &one 1\nb: &one 2",
    "alias": "a: &one [1]\nb: *one",
    "merge": "<<: {a: 1}",
    "tag": "a: !!set {b, c}",
    "line separator": "a: \u2028b",
    "mark of byte order": "\ufeffa: 1",
    "carriage return": "a: 1\r\nb: 2",
    "empty item": "-\n\n- a",
    "pair": '["a":1]',
    "pair of a list": "[[x]:1]",
    "pair of a mapping": "[{x: y}:1]",
    "pair without a value": 'k: ["a":]',
    "pair with a sign": '[? "a":1]',
    "comment without a space": "k: |#c\n  x",
    "comment behind signs": "k: >-2#c\n   x",
    "spaces alone": "a: |+\n \n    \n",
    "one value": "|-\n#? ] ---\n #]",
    "two documents": "a: 1\n---\nb: 2",
    "key twice": "a: 1\na: 2",
    "not YAML": "a: [1, 2",
    "nothing": "",
    "too deep": "a: " + "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
    "deep enough to end a process": "a: " + "[" * 200_000 + "]" * 200_000,
}


def quickly(text: str, kind: Any) -> tuple[Any, bool]:
    return load_quickly(YAML(typ=kind, pure=True), text)


def shape(node: Any) -> object:
    """Kinds, values and places, at which texts are edited; ruamel has none of its own for an empty value."""
    places = getattr(node, "lc", None)
    own = (places.line, places.col) if places else ()
    if isinstance(node, Mapping):
        at = [(places.key(key), node[key] is None or places.value(key)) for key in node] if places else []
        return type(node), own, at, [(shape(key), shape(value)) for key, value in node.items()]
    if isinstance(node, list):
        return type(node), own, [places.item(one) for one in range(len(node))] if places else [], [*map(shape, node)]
    return type(node), repr(node)


@pytest.mark.parametrize("kind", ["safe", "rt"])
@pytest.mark.parametrize("name", READ)
def test_values_and_lines_are_those_of_ruamel(name: str, kind: Any) -> None:
    found, read = quickly(READ[name], kind)
    assert read
    assert shape(found) == shape(YAML(typ=kind, pure=True).load(READ[name]))


@pytest.mark.parametrize("name", NOT_READ)
def test_what_may_be_read_otherwise_is_left_to_ruamel(name: str) -> None:
    assert quickly(NOT_READ[name], "rt") == (None, False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of ruamel, for an anchor that is given twice
def test_pieces_of_real_files_with_signs_put_in_are_read_alike() -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    files = ["tests/data/contract.yaml", ".github/workflows/ml-pull-request.yml", "deploy/mlflow/compose.yaml"]
    lines = [line for file in files for line in (ROOT / file).read_text().splitlines()]
    signs = [
        *":-#,[]{}'\"|>?!&*%@`~1.=< ",
        "\n  ",
        "\n- ",
        ": ",
        " #",
        "|\n",
        ">-\n",
        "\n\n",
        "null",
        "0o7",
        "2026-01-02",
        "\n[",
        "]:",
        "|#",
        "é😀",
    ]
    count = 0
    for _ in range(600):
        start = chance.randrange(len(lines))
        text = "\n".join(lines[start : start + chance.randint(1, 8)])
        for _ in range(chance.randint(0, 3)):
            at = chance.randint(0, len(text))
            text = text[:at] + chance.choice(signs) + text[at:]
        found, read = quickly(text, "rt")
        if read:
            count += 1
            assert shape(found) == shape(YAML(typ="rt", pure=True).load(text)), text
    assert count > 100
