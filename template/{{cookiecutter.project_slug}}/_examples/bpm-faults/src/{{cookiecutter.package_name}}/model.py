"""Example: replace with yours. A small network on features, saved as safetensors, which contain no code."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import nn

from .features import Features
from .pipeline.processes import ALONE, Processes
from .pipeline.tables import Arrays, Rows

torch.set_num_threads(1)
NEEDS = ("safetensors", "torch")
"""Packages that a loaded model needs."""
Curve = list[tuple[int, float, float]]
"""Epoch, loss, validation loss."""


class Training(BaseModel):
    """Section `train` of params.yaml; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    features: tuple[str, ...] = Field(min_length=1)
    hidden: int = Field(gt=0, le=4096)
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "mixed"] = "float32"
    """`mixed`: products in bfloat16, weights in float32."""


def network(features: int, hidden: int, seed: int = 0) -> nn.Sequential:
    """A new network, features -> hidden -> hidden -> one logit, with weights from `seed`."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(features, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1)
    )


class Model:
    """Features and network: from turns to a score between 0 (sound) and 1 (faulty)."""

    def __init__(self, features: Features, net: nn.Sequential):
        self.features = features
        self.net = net.eval()

    def __call__(self, inputs: Arrays) -> Arrays:
        """`turns`, shape (rows, turns), mm -> `score`, shape (rows,); NaN for a row with a turn that is not finite."""
        turns = inputs["turns"]
        device = next(self.net.parameters()).device
        finite = np.isfinite(turns).all(axis=1)
        scores = np.full(len(turns), np.nan, dtype=np.float32)
        if finite.any():
            with torch.inference_mode():
                logits = self.net(torch.from_numpy(self.features({"turns": turns[finite]})).to(device))
            scores[finite] = torch.sigmoid(logits)[:, 0].cpu().numpy()
        return {"score": scores}

    def save(self, folder: Path) -> None:
        """Write `weights.safetensors` and `features.json`."""
        self.features.save(folder / "features.json")
        save_file(self.net.state_dict(), folder / "weights.safetensors")

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Model:
        """Load a saved model; the sizes of the layers follow from the weights."""
        state = load_file(folder / "weights.safetensors")
        hidden, features = state["0.weight"].shape
        net = network(features, hidden)
        net.load_state_dict(state)
        return cls(Features.load(folder / "features.json"), net.to(device))


def fit(train: Rows, validation: Rows, params: Training, team: Processes = ALONE) -> tuple[Model, Curve]:
    """The trained model and its loss curve. The same arguments always give the same weights."""
    device = team.device(params.device)
    features = Features.fit(train.inputs, params.features)
    net = network(len(features.names), params.hidden, params.seed).to(device)
    spread = team.spread(net)
    inputs, targets = _tensors(features, train, device)
    held_out = _tensors(features, validation, device)
    optimiser = torch.optim.Adam(net.parameters(), lr=params.learning_rate)
    loss_of = nn.BCEWithLogitsLoss()
    order = torch.Generator().manual_seed(params.seed)
    state = (net, optimiser, order)
    curve: Curve = team.resumed(*state)
    for epoch in range(len(curve) + 1, params.epochs + 1):
        total = 0.0
        for rows in torch.randperm(len(inputs), generator=order).split(params.batch):
            optimiser.zero_grad()
            own, weight = team.share(rows)
            with torch.autocast(device.type, torch.bfloat16, enabled=params.precision == "mixed"):
                logits = spread(inputs[own])[:, 0]
            loss = loss_of(logits.float(), targets[own]) * weight
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows)
        with torch.inference_mode():
            held_out_loss = loss_of(net(held_out[0])[:, 0], held_out[1]).item()
        curve.append((epoch, round(team.mean(total) / len(inputs), 6), round(held_out_loss, 6)))
        team.report(epoch, held_out_loss)
        team.keep(curve, *state)
    return Model(features, net), curve


def _tensors(features: Features, rows: Rows, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    targets = rows.targets["score"].astype(np.float32)
    return torch.from_numpy(features(rows.inputs)).to(device), torch.from_numpy(targets).to(device)
