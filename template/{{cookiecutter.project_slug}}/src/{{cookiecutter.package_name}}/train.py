"""Train the model (`models/trained/`), and record loss curve and machine in `metrics/training.json`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from . import machine, settings, signals
from .model import FaultModel, network
from .processes import ALONE, Processes, together
from .transforms import Transform

TRAINED = Path("models/trained")
CURVE = Path("metrics/training.json")
Data = tuple[np.ndarray, np.ndarray]
Curve = list[tuple[int, float, float]]


def load(split: str) -> Data:
    """Turns, shape (rows, 250), mm, and whether each row is faulty."""
    table = signals.read(Path(settings.contract()["dataset"]["splits"][split]), ["turns", "faulty"])
    return signals.turns_of(table), table["faulty"].to_numpy(dtype=np.float32)


def fit(train: Data, validation: Data, params: settings.Params, team: Processes = ALONE) -> tuple[FaultModel, Curve]:
    """The trained model, and (epoch, loss, validation loss). The same arguments always give the same weights."""
    device = team.device(params.train.device)
    transform = Transform.fit(train[0], params.transforms.features)
    net = network(len(transform.names), params.train.hidden, params.train.seed).to(device)
    spread = team.spread(net)
    inputs, targets = _tensors(transform, train, device)
    held_out = _tensors(transform, validation, device)
    optimiser = torch.optim.Adam(net.parameters(), lr=params.train.learning_rate)
    loss_of = nn.BCEWithLogitsLoss()
    order = torch.Generator().manual_seed(params.train.seed)
    curve: Curve = []
    for epoch in range(1, params.train.epochs + 1):
        total = 0.0
        for rows in torch.randperm(len(inputs), generator=order).split(params.train.batch):
            optimiser.zero_grad()
            own, weight = team.share(rows)
            with torch.autocast(device.type, torch.bfloat16, enabled=params.train.precision == "mixed"):
                logits = spread(inputs[own])[:, 0]
            loss = loss_of(logits.float(), targets[own]) * weight
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows)
        with torch.inference_mode():
            held_out_loss = loss_of(net(held_out[0])[:, 0], held_out[1]).item()
        curve.append((epoch, round(team.mean(total) / len(inputs), 6), round(held_out_loss, 6)))
    return FaultModel(transform, net), curve


def _tensors(transform: Transform, data: Data, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(transform(data[0])).to(device), torch.from_numpy(data[1]).to(device)


def main() -> None:
    """Stage `train`."""
    params = settings.params()
    with together(params.train.device) as team:
        model, curve = fit(load("train"), load("validation"), params, team)
    if team.rank:
        return  # the first process writes
    model.save(TRAINED)
    CURVE.parent.mkdir(exist_ok=True)
    record = {"training": curve, "machine": machine.describe(params.train.device, team.count)}
    CURVE.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
