"""Example: replace with yours. A small network on scaled inputs, saved as safetensors, which contain no code."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import nn

from .features import Features, Outputs
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
    classes: tuple[tuple[str, ...], ...] = ()
    """Outputs that are probabilities: each list is one of yes or no, or several classes of which one is right."""
    categories: dict[str, int] = {}
    """Inputs that choose from so many values, by their places."""
    logarithm: tuple[str, ...] = ()
    """Positive outputs of which the logarithm is learned, so that relative errors count."""
    hidden: int = Field(gt=0, le=4096)
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "mixed"] = "float32"
    """`mixed`: products in bfloat16, weights in float32."""


def network(features: int, hidden: int, outputs: int, seed: int = 0) -> nn.Sequential:
    """A new network, features -> hidden -> hidden -> outputs, with weights from `seed`."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(features, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, outputs)
    )


class Model:
    """Features, network and scaling of the outputs."""

    def __init__(self, features: Features, outputs: Outputs, net: nn.Sequential):
        self.features = features
        self.outputs = outputs
        self.net = net.eval()

    def __call__(self, inputs: Arrays) -> Arrays:
        """Outputs by their names, shape (rows,), from inputs of the same shape; NaN where an input is not finite."""
        usable = self.features.usable(inputs)
        values = np.full((len(usable), len(self.outputs.names)), np.nan, np.float32)
        if usable.any():
            features = self.features({name: column[usable] for name, column in inputs.items()})
            with torch.inference_mode():
                values[usable] = self.net(torch.from_numpy(features).to(_device(self.net))).cpu().numpy()
        return self.outputs.answers(values, logits=True)

    def save(self, folder: Path) -> None:
        """Write `weights.safetensors`, `features.json` and `outputs.json`."""
        self.features.save(folder / "features.json")
        self.outputs.save(folder / "outputs.json")
        save_file(self.net.state_dict(), folder / "weights.safetensors")

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Model:
        """Load a saved model; the sizes of the layers follow from the weights."""
        state = load_file(folder / "weights.safetensors")
        hidden, features = state["0.weight"].shape
        net = network(features, hidden, len(state["4.bias"]))
        net.load_state_dict(state)
        return cls(Features.load(folder / "features.json"), Outputs.load(folder / "outputs.json"), net.to(device))


def fit(train: Rows, validation: Rows, params: Training, team: Processes = ALONE) -> tuple[Model, Curve]:
    """The trained model and its loss curve. The same arguments always give the same weights."""
    device = team.device(params.device)
    features = Features.fit(train.inputs, params.categories)
    outputs = Outputs.fit(train.targets, params.classes, params.logarithm)
    net = network(features.count, params.hidden, len(outputs.names), params.seed).to(device)
    spread = team.spread(net)
    inputs, targets = _tensors(features, outputs, train, device)
    held_out = _tensors(features, outputs, validation, device)
    optimiser = torch.optim.AdamW(net.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, params.epochs)
    order = torch.Generator().manual_seed(params.seed)
    state = (net, optimiser, slower, order)
    curve: Curve = team.resumed(*state)
    for epoch in range(len(curve) + 1, params.epochs + 1):
        total = 0.0
        for rows in torch.randperm(len(inputs), generator=order).split(params.batch):
            optimiser.zero_grad()
            own, weight = team.share(rows)
            with torch.autocast(device.type, torch.bfloat16, enabled=params.precision == "mixed"):
                values = spread(inputs[own])
            loss = _loss(values.float(), targets[own], outputs) * weight
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows)
        slower.step()
        with torch.inference_mode():
            held_out_loss = _loss(net(held_out[0]), held_out[1], outputs).item()
        curve.append((epoch, round(team.mean(total) / len(inputs), 6), round(held_out_loss, 6)))
        team.report(epoch, held_out_loss)
        team.keep(curve, *state)
    return Model(features, outputs, net), curve


def _loss(values: torch.Tensor, targets: torch.Tensor, outputs: Outputs) -> torch.Tensor:
    """Squared error of quantities, cross-entropy of classes; the mean over both."""
    losses = [nn.functional.mse_loss(values[:, place], targets[:, place]) for place in outputs.quantities]
    for group in map(list, outputs.groups):
        binary = len(group) == 1
        loss_of = nn.functional.binary_cross_entropy_with_logits if binary else nn.functional.cross_entropy
        losses.append(loss_of(values[:, group], targets[:, group]))
    return torch.stack(losses).mean()


def _device(net: nn.Sequential) -> torch.device:
    return next(net.parameters()).device


def _tensors(
    features: Features, outputs: Outputs, rows: Rows, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    found = features(rows.inputs), outputs.learned(rows.targets)
    return torch.from_numpy(found[0]).to(device), torch.from_numpy(found[1]).to(device)
