"""The text of `network.py`: the layers as they were saved, as a person and a formatter would write them."""

from __future__ import annotations

import ast
import sys
from typing import Any

import pytest

from beampermit.generation.lume_network import LAYERS, network_text
from beampermit.processes import run

LINEAR = {"kind": "Linear", "arguments": {"in_features": 16, "out_features": 5, "bias": False}}
ELU = {"kind": "ELU", "arguments": {"alpha": 0.7}}
GELU = {"kind": "GELU", "arguments": {"approximate": "tanh"}}
NORM = {
    "kind": "LayerNorm",
    "arguments": {"normalized_shape": [5], "eps": 1e-05, "elementwise_affine": True, "bias": True},
}
NUMBERED = {"kind": "Sequential", "layers": {"0": LINEAR, "1": ELU, "2": {"kind": "Sequential", "layers": {"0": NORM}}}}
NAMED = {"kind": "Sequential", "layers": {"first": LINEAR, "act": GELU}}
GAP = {"kind": "Sequential", "layers": {"0": LINEAR, "2": NUMBERED}}
EMPTY = {"kind": "Sequential", "layers": {}}


@pytest.mark.parametrize(
    "layers", [LINEAR, NUMBERED, NAMED, GAP, EMPTY], ids=["one", "numbered", "named", "gap", "empty"]
)
def test_the_text_is_python_that_a_formatter_leaves_alone(layers: dict[str, Any], tmp_path: Any) -> None:
    text = network_text(layers, "model.pt", 16, 5)
    ast.parse(text)
    (tmp_path / "network.py").write_text(text)
    command = (sys.executable, "-m", "ruff", "format", "--diff", "--line-length", "120", "network.py")
    finished = run(command, cwd=tmp_path)
    assert finished.code == 0, finished.out


def test_arguments_and_names_are_those_that_were_saved() -> None:
    assert "nn.Linear(16, 5, bias=False)" in network_text(LINEAR, "model.pt", 16, 5)
    assert "nn.LayerNorm((5,), eps=1e-05, elementwise_affine=True, bias=True)" in network_text(NUMBERED, "m", 16, 5)
    named = network_text(NAMED, "model.pt", 16, 5)
    assert "from collections import OrderedDict" in named
    assert '("act", nn.GELU(approximate="tanh")),' in named
    assert '("2",nn.Sequential(nn.Linear' in "".join(network_text(GAP, "model.pt", 16, 5).split())


@pytest.mark.attack(
    guard="`beampermit new --from-lume`",
    tried="weights in a file whose name ends the docstring of network.py and goes on with code",
    said="from ____import_os____.pt",
)
def test_a_files_name_is_no_code(said: str) -> None:
    text = network_text(LINEAR, '"""\nimport os\n""".pt', 16, 5)
    assert said in text
    assert [type(part).__name__ for part in ast.parse(text).body] == ["Expr", "ImportFrom", "ImportFrom", "FunctionDef"]


def test_every_layer_is_a_class_that_is_known_by_its_full_name() -> None:
    assert all(name.startswith("torch.nn.modules.") for name in LAYERS)
    assert len({name.rpartition(".")[2] for name in LAYERS}) == len(LAYERS), "the last part alone must tell"
