"""The GPUs of this machine: as its driver knows them, and as torch in a project's environment sees them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import ValidationError

from beampermit.environments.environment import Environment
from beampermit.errors import Outside, Tripped
from beampermit.processes import run
from beampermit.verdict import Record

PATIENCE = 120.0
"""Seconds that the driver, or the import of torch, may take."""
ASK = """
import json, torch
seen = [torch.cuda.get_device_properties(place) for place in range(torch.cuda.device_count())]
print(json.dumps({
    "torch": torch.__version__,
    "cuda": torch.version.cuda,
    "devices": [
        {"name": one.name, "capability": f"{one.major}.{one.minor}", "memory": one.total_memory / 2**20} for one in seen
    ],
}))
"""


class Device(Record):
    """One GPU. `capability` is its compute capability, `memory` what it has in all, in MiB."""

    name: str
    capability: str
    memory: float


class Gpus(Record):
    """What torch sees. `cuda` is the version that torch was built for, None for a build without it."""

    torch: str
    cuda: str | None
    devices: tuple[Device, ...]


def driver() -> str:
    """Version of the machine's NVIDIA driver. Raises `Tripped` where no GPU is visible."""
    try:
        finished = run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], cwd=Path("/"), timeout=PATIENCE
        )
    except Outside as error:
        raise Tripped(f"no GPU is visible: {error.message}") from None
    found = re.match(r"\d+(\.\d+)*$", finished.out.strip().partition("\n")[0].strip())
    if finished.code or not found:
        raise Tripped(f"no GPU is visible: nvidia-smi says {finished.tail!r}")
    return found[0]


def seen_by_torch(environment: Environment, root: Path) -> Gpus:
    """The GPUs that torch of the environment can use. Raises `Tripped` where it sees none."""
    # Isolated: neither the project's folder nor its source can stand before torch itself.
    finished = environment.run(["-I", "-c", ASK], project=root, own_code=False, timeout=PATIENCE)
    if finished.code:
        raise Tripped(f"torch of the project's environment cannot be asked for GPUs: {finished.tail}")
    try:
        found = Gpus.model_validate(json.loads(finished.out.strip().rpartition("\n")[2]))
    except (ValueError, ValidationError):
        raise Tripped(f"torch of the project's environment names its GPUs oddly: {finished.tail}") from None
    if not found.devices:
        why = "is built without CUDA" if found.cuda is None else "sees none of the machine's GPUs"
        raise Tripped(
            f"torch {found.torch} of the project's environment {why}", hint="beampermit env install --variant cuda"
        )
    return found
