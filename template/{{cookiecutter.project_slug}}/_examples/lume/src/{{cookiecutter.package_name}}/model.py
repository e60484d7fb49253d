"""The imported network, served as it is, or trained further; saved as safetensors, which contain no code."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import nn

from .features import Features
from .network import network
from .pipeline.processes import ALONE, Processes
from .pipeline.tables import Arrays, Rows

torch.set_num_threads(1)
NEEDS = ("safetensors", "torch")
"""Packages that a loaded model needs."""
IMPORTED = Path("imported")
"""The imported network's weights and scaling, as a saved model has them."""
Curve = list[tuple[int, float, float]]
"""Epoch, loss, validation loss."""


class Training(BaseModel):
    """Section `train` of params.yaml; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    start: Literal["imported", "new"] = "imported"
    """The weights that training starts from."""
    epochs: int = Field(default=0, ge=0)
    """0: the weights stay as they are."""
    batch: int = Field(default=64, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    device: Literal["cpu", "cuda"] = "cpu"


class Model:
    """Scaling and network: from scalars to scalars."""

    def __init__(self, features: Features, net: nn.Module):
        self.features = features
        self.net = net.eval()

    def __call__(self, inputs: Arrays) -> Arrays:
        """Inputs by name, shape (rows,) each -> outputs by name, shape (rows,); NaN for a row that is not finite."""
        values = self.features(inputs)
        finite = np.isfinite(values).all(axis=1)
        answers = np.full((len(values), len(self.features.scaling.outputs)), np.nan, self.features.dtype)
        if finite.any():
            device = next(self.net.parameters()).device
            with torch.inference_mode():
                given = self.net(torch.from_numpy(values[finite]).to(device))
            answers[finite] = given.reshape(int(finite.sum()), -1).cpu().numpy()
        return self.features.answers(answers)

    def save(self, folder: Path) -> None:
        """Write `weights.safetensors` and `scaling.json`."""
        self.features.save(folder / "scaling.json")
        weights = {name: tensor.contiguous() for name, tensor in self.net.state_dict().items()}
        save_file(weights, folder / "weights.safetensors")

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Model:
        """Load a saved model."""
        features = Features.load(folder / "scaling.json")
        net = _new(features)
        net.load_state_dict(load_file(folder / "weights.safetensors"))
        return cls(features, net.to(device))


def fit(train: Rows, validation: Rows, params: Training, team: Processes = ALONE) -> tuple[Model, Curve]:
    """The trained model and its loss curve. The same arguments always give the same weights."""
    torch.manual_seed(params.seed)
    model = Model.load(IMPORTED) if params.start == "imported" else _from_scratch()
    device = team.device(params.device)
    net = model.net.to(device)
    spread = team.spread(net)
    inputs, targets = _tensors(model.features, train, device)
    held_out = _tensors(model.features, validation, device)
    optimiser = torch.optim.Adam(net.parameters(), lr=params.learning_rate)
    loss_of = nn.MSELoss()
    order = torch.Generator().manual_seed(params.seed)
    state = (net, optimiser, order)
    curve: Curve = team.resumed(*state)
    for epoch in range(len(curve) + 1, params.epochs + 1):
        net.train()
        total = 0.0
        for rows in torch.randperm(len(inputs), generator=order).split(params.batch):
            optimiser.zero_grad()
            own, weight = team.share(rows)
            loss = loss_of(spread(inputs[own]).reshape(targets[own].shape), targets[own]) * weight
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows)
        net.eval()
        with torch.inference_mode():
            held_out_loss = loss_of(net(held_out[0]).reshape(held_out[1].shape), held_out[1]).item()
        curve.append((epoch, round(team.mean(total) / len(inputs), 6), round(held_out_loss, 6)))
        team.report(epoch, held_out_loss)
        team.keep(curve, *state)
    return Model(model.features, net), curve


def _from_scratch() -> Model:
    features = Features.load(IMPORTED / "scaling.json")
    return Model(features, _new(features))


def _new(features: Features) -> nn.Module:
    return network().to(torch.float64 if features.scaling.precision == "double" else torch.float32)


def _tensors(features: Features, rows: Rows, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, targets = features(rows.inputs), features.targets(rows.targets)
    return torch.from_numpy(inputs).to(device), torch.from_numpy(targets).to(device)
