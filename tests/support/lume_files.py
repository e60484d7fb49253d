"""Makes files as LUME has them, and hostile ones, with torch; writes what the worker says to each to `said.json`.

`python -I lume_files.py WORKER FOLDER`, by the Python of an environment with torch.
"""

# torch is in the environment of a project only.
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import os
import pickle
import sys
import types
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

FOLDER = Path(sys.argv[2])
DOUBLE = torch.float64


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, (f"touch {FOLDER / 'ran'}",)


class Own(nn.Module):
    pass


class AffineInputTransform(nn.Module):
    """As the library of transformers has it: what counts is the pickle."""

    def __init__(self, coefficient: list[float], offset: list[float], **attributes: Any):
        super().__init__()
        self.register_buffer("_coefficient", torch.tensor([coefficient], dtype=DOUBLE))
        self.register_buffer("_offset", torch.tensor([offset], dtype=DOUBLE))
        for name, value in attributes.items():
            setattr(self, name, value)


def save_transformers() -> None:
    module = "botorch.models.transforms.input"
    AffineInputTransform.__module__ = module
    packages = ("botorch", "botorch.models", "botorch.models.transforms", module)
    sys.modules |= {name: types.ModuleType(name) for name in packages}
    sys.modules[module].AffineInputTransform = AffineInputTransform
    four, two = [0.1, 0.02, 1.0, 5.0], [2.0, 4.0]
    torch.save(AffineInputTransform(four, [0.4, 0.0, 58.0, 2.0]), FOLDER / "input_transformers_0.pt")
    torch.save(AffineInputTransform(two, [0.5, -0.5], reverse=True), FOLDER / "output_transformers_0.pt")
    torch.save(AffineInputTransform([1.0] * 3, [0.0] * 3), FOLDER / "transformer-of-three.pt")
    torch.save(AffineInputTransform([1.0, 0.0, 1.0, 1.0], [0.0] * 4), FOLDER / "transformer-of-zero.pt")
    torch.save(nn.Linear(4, 4), FOLDER / "transformer-linear.pt")
    hostile = AffineInputTransform(four, four, note=Hostile())
    torch.save(hostile, FOLDER / "hostile-transformer.pt")
    for name in packages:
        del sys.modules[name]


def save_networks() -> None:
    torch.manual_seed(1)
    layers = [nn.Linear(4, 8), nn.ELU(alpha=0.7), nn.Dropout(0.2), nn.Sequential(nn.Linear(8, 2, bias=False))]
    net = nn.Sequential(*layers).to(DOUBLE)
    torch.save(net, FOLDER / "model.pt")
    torch.save(net.state_dict(), FOLDER / "state.pt")
    torch.save({**net.state_dict(), "more": Hostile()}, FOLDER / "hostile.pt")
    (FOLDER / "hostile-plain.pt").write_bytes(pickle.dumps(Hostile()))
    (FOLDER / "text.pt").write_text("weights")
    torch.save(Own(), FOLDER / "module-of-own.pt")
    torch.jit.save(torch.jit.script(net), FOLDER / "script.pt")
    torch.save(3.0, FOLDER / "number.pt")
    torch.save({**net.state_dict(), "epoch": 3}, FOLDER / "names.pt")
    torch.save({}, FOLDER / "empty.pt")
    hooked = nn.Linear(4, 2)
    hooked._forward_hooks[0] = torch.Size
    torch.save(hooked, FOLDER / "hooked.pt")
    infinite = nn.Linear(4, 2)
    nn.init.constant_(infinite.weight, float("inf"))
    torch.save(infinite, FOLDER / "infinite.pt")
    torch.save(nn.Linear(5, 2), FOLDER / "five-inputs.pt")
    torch.save(nn.Linear(4, 3), FOLDER / "three-outputs.pt")
    odd = nn.Sequential(nn.Linear(4, 2), nn.ELU())
    odd[1].alpha = {"a": 1}
    torch.save(odd, FOLDER / "record.pt")


def say(worker: Any, name: str, network: str | None = None) -> str | None:
    """Why the worker does not convert a file; None where it does."""
    is_transformer = "transformer" in name
    request = {
        "model": str(FOLDER / ("model.pt" if is_transformer else name)),
        "input_transformers": [str(FOLDER / name)] if is_transformer else [],
        "output_transformers": [],
        "inputs": 4,
        "outputs": 2,
        "precision": "double",
        "network": network,
    }
    try:
        worker.convert(request, FOLDER)
    except worker.Refused as refused:
        return str(refused)
    return None


def main() -> None:
    spec = spec_from_file_location("lume_worker", sys.argv[1])
    worker = module_from_spec(spec)
    spec.loader.exec_module(worker)
    save_transformers()
    save_networks()
    np.save(FOLDER / "samples.npy", np.random.default_rng(0).random((10, 4)))
    said = {
        path.name: say(worker, path.name) for path in sorted(FOLDER.glob("*.pt")) if "transformers_0" not in path.name
    }
    text = worker.layers.network_text(
        {"kind": "Linear", "arguments": {"in_features": 4, "out_features": 2, "bias": True}}, "model.pt", 4, 2
    )
    layers = "nn.Linear(4, 8), nn.ELU(0.7), nn.Dropout(), nn.Sequential(nn.Linear(8, 2, bias=False))"
    own = f"from torch import nn\n\n\ndef network():\n    return nn.Sequential({layers})\n"
    said["state.pt with network.py"] = say(worker, "state.pt", own)
    said["state.pt with another network.py"] = say(worker, "state.pt", text)
    said["state.pt with broken network.py"] = say(worker, "state.pt", own.partition("\n")[2])
    (FOLDER / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main()
