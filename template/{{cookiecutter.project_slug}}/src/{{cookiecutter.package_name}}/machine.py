"""What a training ran on: two trainings on the same kind of machine give the same bits, on others they may not."""

from __future__ import annotations

import platform
from importlib.metadata import distributions

import torch


def describe(device: str, processes: int = 1) -> dict[str, object]:
    """Processor, GPU, threads and versions of all packages; no host name, for it goes into git."""
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "processes": processes,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": dict(sorted((found.name.lower(), found.version) for found in distributions())),
    }
