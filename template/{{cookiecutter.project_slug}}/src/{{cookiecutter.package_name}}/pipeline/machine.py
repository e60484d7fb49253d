"""The machine of a training: only on the same kind of machine does a repetition give the same bits."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import distributions


def describe(device: str, processes: int = 1) -> dict[str, object]:
    """Processor, GPU, threads and package versions; without the host name, because the record is in git."""
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        **_torch(device),
        "processes": processes,
        "python": platform.python_version(),
        "packages": dict(sorted((package.name.lower(), package.version) for package in distributions())),
    }


def _torch(device: str) -> dict[str, object]:
    """What decides about the last digits of torch, where the model uses it."""
    if "torch" not in sys.modules:
        return {"device": device}
    import torch

    return {
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "threads": torch.get_num_threads(),
    }
