"""What `--from-lume` makes of the sample in tests/data/lume, with weights that no torch had to convert."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from beampermit.generation.lume import load_lume
from beampermit.generation.lume_mapping import load_mapping
from beampermit.generation.lume_network import network_text
from beampermit.generation.lume_project import WEIGHTS, LumeProject
from beampermit.generation.lume_weights import Imported, Network, Scaling, Scalings

DATA = Path(__file__).parents[1] / "data/lume"
FILES = ("model.pt", "input_transformers_0.pt", "output_transformers_0.pt")
LAYERS = {
    "kind": "Sequential",
    "layers": {
        "0": {"kind": "Linear", "arguments": {"in_features": 4, "out_features": 6, "bias": True}},
        "1": {"kind": "Tanh", "arguments": {}},
        "2": {"kind": "Linear", "arguments": {"in_features": 6, "out_features": 2, "bias": True}},
    },
}


def lume_project(folder: Path, *, config: str = "", mapped: bool = True) -> LumeProject:
    """The sample's model, or that of the text `config` with the same signals; `folder` gets its files."""
    for name in FILES:
        (folder / name).write_bytes(b"")
    file = folder / "model_config.yaml"
    file.write_text(config or (DATA / file.name).read_text(encoding="utf-8"), encoding="utf-8")
    model = load_lume(file)
    mapping = load_mapping(DATA / "pv_mapping.yaml", model) if mapped else None
    before = Scaling(offset=(0.43, 0.0, 58.0, 4.5), coefficient=(0.06, 0.02, 1.0, 2.7))
    after = Scaling(offset=(1.5e-4, 0.5), coefficient=(2.0e-5, 0.4))
    network = Network(
        network=network_text(LAYERS, "model.pt", 4, 2),
        scaling=Scalings(inputs=(before,), outputs=(after,)),
        compared=("network",),
        difference=0.0,
    )
    scaling = {
        "precision": model.precision,
        "inputs": [variable.slug for variable in model.inputs],
        "outputs": [variable.slug for variable in model.outputs],
        "before": [before.model_dump(mode="json")],
        "after": [after.model_dump(mode="json")],
    }
    random = np.random.default_rng(0)
    shapes = {"0.weight": (6, 4), "0.bias": (6,), "2.weight": (2, 6), "2.bias": (2,)}
    weights = save({name: random.normal(size=shape) / 2 for name, shape in shapes.items()})
    return LumeProject(
        model=model,
        mapping=mapping,
        imported=Imported(network=network, spans=((1.0e-4, 2.0e-4), (-0.5, 1.5))),
        files={WEIGHTS: weights, "imported/scaling.json": (json.dumps(scaling, indent=2) + "\n").encode()},
    )
