"""The machine of a training: only on the same kind of machine does a repetition give the same bits."""

from __future__ import annotations

import platform
from importlib.metadata import distributions

import torch


def describe(device: str, processes: int = 1) -> dict[str, object]:
    """Processor, GPU, threads and package versions; without the host name, because the record is in git."""
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "processes": processes,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": dict(sorted((package.name.lower(), package.version) for package in distributions())),
    }
