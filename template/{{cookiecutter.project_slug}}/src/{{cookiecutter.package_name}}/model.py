"""Example: replace with yours. A small network on features, saved as safetensors, which contain no code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from .transforms import Transform

torch.set_num_threads(1)


def network(features: int, hidden: int, seed: int = 0) -> nn.Sequential:
    """A new network, features -> hidden -> hidden -> one logit, with weights from `seed`."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(features, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1)
    )


class FaultModel:
    """Transform and network: from turns to a score between 0 (sound) and 1 (faulty)."""

    def __init__(self, transform: Transform, net: nn.Sequential):
        self.transform = transform
        self.net = net.eval()

    def __call__(self, turns: np.ndarray) -> np.ndarray:
        """Scores of `turns`, shape (rows, 250), mm -> (rows,); NaN for a row with a turn that is not finite."""
        device = next(self.net.parameters()).device
        finite = np.isfinite(turns).all(axis=1)
        scores = np.full(len(turns), np.nan, dtype=np.float32)
        if finite.any():
            with torch.inference_mode():
                logits = self.net(torch.from_numpy(self.transform(turns[finite])).to(device))
            scores[finite] = torch.sigmoid(logits)[:, 0].cpu().numpy()
        return scores

    def save(self, folder: Path) -> None:
        """Write `weights.safetensors` and `transform.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.transform.save(folder / "transform.json")
        save_file(self.net.state_dict(), folder / "weights.safetensors")

    @classmethod
    def load(cls, weights: Path, transform: Path, device: str = "cpu") -> FaultModel:
        """Load a saved model; the sizes of the layers follow from the weights."""
        state = load_file(weights)
        hidden, features = state["0.weight"].shape
        net = network(features, hidden)
        net.load_state_dict(state)
        return cls(Transform.load(transform), net.to(device))
