"""Example: replace with yours. An autoencoder: what it cannot reconstruct, it has not seen. Saved as safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import nn

from .features import INPUT, Features
from .pipeline.processes import ALONE, Processes
from .pipeline.tables import Arrays, Rows

torch.set_num_threads(1)
NEEDS = ("safetensors", "torch")
"""Packages that a loaded model needs."""
RECONSTRUCTION, SCORE = "reconstruction", "score"
LARGEST = 100.0
"""Scores are clipped here."""
Curve = list[tuple[int, float, float]]
"""Epoch, loss, validation loss."""


class Training(BaseModel):
    """Section `train` of params.yaml; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    hidden: int = Field(gt=0, le=4096)
    bottleneck: int = Field(gt=0, le=64)
    """Numbers that a reading is reconstructed from: about as many as there are independent causes of losses."""
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "mixed"] = "float32"
    """`mixed`: products in bfloat16, weights in float32."""


def network(monitors: int, hidden: int, bottleneck: int, seed: int = 0) -> nn.Sequential:
    """A new network, monitors -> hidden -> bottleneck -> hidden -> monitors, with weights from `seed`."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(monitors, hidden), nn.Tanh(), nn.Linear(hidden, bottleneck),
        nn.Linear(bottleneck, hidden), nn.Tanh(), nn.Linear(hidden, monitors),
    )  # fmt: skip


class Model:
    """Features and network: from readings to their reconstruction, and a score of how far the two are apart."""

    def __init__(self, features: Features, net: nn.Sequential, usual: np.ndarray):
        """`usual`: rms of what is not reconstructed at each monitor, in features, shape (monitors,)."""
        self.features = features
        self.net = net.eval()
        self.usual = usual

    def __call__(self, inputs: Arrays) -> Arrays:
        """Of `losses` (rows, monitors), mGy/s: `reconstruction` in the same shape and unit, and `score` (rows,).

        The score is the largest difference at a monitor, in units of the usual one. NaN for a row with a reading that
        is not finite.
        """
        finite = np.isfinite(inputs[INPUT]).all(axis=1)
        reconstruction = np.full(inputs[INPUT].shape, np.nan, np.float32)
        score = np.full(len(finite), np.nan, np.float32)
        if finite.any():
            features = self.features({INPUT: inputs[INPUT][finite]})
            found = _reconstruct(self.net, features)
            reconstruction[finite] = self.features.readings(found)
            score[finite] = (np.abs(features - found) / self.usual).max(axis=1).clip(0, LARGEST)
        return {RECONSTRUCTION: reconstruction, SCORE: score}

    def save(self, folder: Path) -> None:
        """Write `weights.safetensors`, `features.json` and `usual.json`."""
        self.features.save(folder / "features.json")
        (folder / "usual.json").write_text(json.dumps(self.usual.tolist()) + "\n", encoding="utf-8")
        save_file(self.net.state_dict(), folder / "weights.safetensors")

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Model:
        """Load what `save` wrote; the sizes of the layers follow from the weights."""
        state = load_file(folder / "weights.safetensors")
        hidden, monitors = state["0.weight"].shape
        net = network(monitors, hidden, len(state["2.weight"]))
        net.load_state_dict(state)
        usual = np.array(json.loads((folder / "usual.json").read_text(encoding="utf-8")), np.float32)
        return cls(Features.load(folder / "features.json"), net.to(device), usual)


def fit(train: Rows, validation: Rows, params: Training, team: Processes = ALONE) -> tuple[Model, Curve]:
    """The trained model and its loss curve. The same arguments always give the same weights.

    Raises `SystemExit` where a loss of the training or validation split was provoked: it would count as usual.
    """
    for name, rows in (("train", train), ("validation", validation)):
        provoked = int(np.count_nonzero(rows.targets[SCORE]))
        if provoked:
            raise SystemExit(f"split {name} has {provoked} provoked losses, which belong into test: params.yaml: split")
    device = team.device(params.device)
    features = Features.fit(train.inputs)
    inputs, held_out = (torch.from_numpy(features(rows.inputs)).to(device) for rows in (train, validation))
    net = network(inputs.shape[1], params.hidden, params.bottleneck, params.seed).to(device)
    spread = team.spread(net)
    optimiser = torch.optim.Adam(net.parameters(), lr=params.learning_rate)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, params.epochs)
    loss_of = nn.MSELoss()
    order = torch.Generator().manual_seed(params.seed)
    state = (net, optimiser, slower, order)
    curve: Curve = team.resumed(*state)
    for epoch in range(len(curve) + 1, params.epochs + 1):
        total = 0.0
        for rows in torch.randperm(len(inputs), generator=order).split(params.batch):
            optimiser.zero_grad()
            own, weight = team.share(rows)
            with torch.autocast(device.type, torch.bfloat16, enabled=params.precision == "mixed"):
                found = spread(inputs[own])
            loss = loss_of(found.float(), inputs[own]) * weight
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows)
        slower.step()
        with torch.inference_mode():
            held_out_loss = loss_of(net(held_out), held_out).item()
        curve.append((epoch, round(team.mean(total) / len(inputs), 6), round(held_out_loss, 6)))
        team.report(epoch, held_out_loss)
        team.keep(curve, *state)
    unseen = held_out.cpu().numpy()
    usual = np.sqrt(((unseen - _reconstruct(net, unseen)) ** 2).mean(axis=0))
    return Model(features, net, np.maximum(usual, 1e-3).astype(np.float32)), curve


def _reconstruct(net: nn.Sequential, features: np.ndarray) -> np.ndarray:
    """What the network makes of features, shape (rows, monitors), in the same shape."""
    device = next(net.parameters()).device
    with torch.inference_mode():
        return net(torch.from_numpy(features).to(device)).cpu().numpy()
