"""The contract's platforms: their names in conda, markers and wheels; and the GPUs of this machine."""

from __future__ import annotations

import json
import platform as machine
import re
import sys
from pathlib import Path

from packaging.specifiers import SpecifierSet
from pydantic import ValidationError

from beampermit.environments.backend import Lock
from beampermit.environments.bytecode import bytecode_folder
from beampermit.environments.environment import Environment
from beampermit.errors import Failed, Outside
from beampermit.processes import run
from beampermit.record import Record

SUBDIRS = {
    "linux-x86_64": "linux-64",
    "linux-aarch64": "linux-aarch64",
    "macos-arm64": "osx-arm64",
    "macos-x86_64": "osx-64",
    "windows-x86_64": "win-64",
}
"""The contract's platforms as conda calls them."""
WORLDS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
}
TAGS = {
    "linux-x86_64": r"(many|musl)?linux\w*_x86_64",
    "linux-aarch64": r"(many|musl)?linux\w*_aarch64",
    "macos-arm64": r"macosx_\w+_(arm64|universal2)",
    "macos-x86_64": r"macosx_\w+_(x86_64|universal2|intel)",
    "windows-x86_64": r"win_amd64",
}
"""Platform tags of wheels."""
MINORS = range(9, 30)
LAST_PATCH = 99


def current_platform() -> str:
    """This machine's platform as the contract names it: `linux-x86_64`."""
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, "linux")
    name = machine.machine().lower()
    return f"{system}-{'x86_64' if name == 'amd64' else name}"


def world_of(lock: Lock, platform: str, *, newest: bool = False) -> dict[str, str]:
    """The variables of markers on a platform, for the oldest Python that the lock allows, or the newest."""
    system, _, name = platform.partition("-")
    allowed = SpecifierSet(str(lock.content.get("requires-python", "")))
    minors = [number for number in MINORS if allowed.contains(f"3.{number}.{LAST_PATCH}")] or [MINORS[0]]
    minor = minors[-1 if newest else 0]
    patches = range(LAST_PATCH, -1, -1) if newest else range(LAST_PATCH + 1)
    full = next((f"3.{minor}.{patch}" for patch in patches if allowed.contains(f"3.{minor}.{patch}")), f"3.{minor}.0")
    return {
        **WORLDS[system],
        "platform_machine": {"windows-x86_64": "AMD64"}.get(platform, name),
        "platform_release": "",
        "platform_version": "",
        "implementation_name": "cpython",
        "implementation_version": full,
        "platform_python_implementation": "CPython",
        "python_version": f"3.{minor}",
        "python_full_version": full,
    }


def fits(wheel: str, platform: str) -> bool:
    """Whether a wheel is for the platform, or for any, by its file name."""
    tags = wheel.removesuffix(".whl").rpartition("-")[2].split(".")
    return any(tag == "any" or re.fullmatch(TAGS[platform], tag) for tag in tags)


PATIENCE = 120.0
"""Seconds that `nvidia-smi`, or the import of torch, may take."""
TORCH_SCRIPT = """
import json, torch
properties = [torch.cuda.get_device_properties(place) for place in range(torch.cuda.device_count())]
print(json.dumps({
    "torch": torch.__version__,
    "cuda": torch.version.cuda,
    "devices": [
        {"name": gpu.name, "capability": f"{gpu.major}.{gpu.minor}", "memory": gpu.total_memory / 2**20}
        for gpu in properties
    ],
}))
"""


class Device(Record):
    """One GPU. `capability` is its compute capability, `memory` its total memory in MiB."""

    name: str
    capability: str
    memory: float


class Gpus(Record):
    """The GPUs that torch sees. `cuda` is the version torch was built for, None for a build without CUDA."""

    torch: str
    cuda: str | None
    devices: tuple[Device, ...]


def driver_version() -> str:
    """Version of the machine's NVIDIA driver. Raises `Failed` where no GPU is visible."""
    try:
        finished = run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], cwd=Path("/"), timeout=PATIENCE
        )
    except Outside as error:
        raise Failed(f"no GPU is visible: {error.message}") from None
    version = re.match(r"\d+(\.\d+)*$", finished.out.strip().partition("\n")[0].strip())
    if finished.code or not version:
        raise Failed(f"no GPU is visible: nvidia-smi printed {finished.tail!r}")
    return version[0]


def torch_gpus(environment: Environment, root: Path) -> Gpus:
    """The GPUs that torch of the environment can use. Raises `Failed` where it sees none."""
    # Isolated: a module of the project named torch must not be imported instead.
    finished = environment.run(
        ["-I", "-X", f"pycache_prefix={bytecode_folder()}", "-c", TORCH_SCRIPT],
        project=root,
        own_code=False,
        timeout=PATIENCE,
    )
    if finished.code:
        raise Failed(f"torch of the project's environment cannot list GPUs: {finished.tail}")
    try:
        gpus = Gpus.model_validate(json.loads(finished.out.strip().rpartition("\n")[2]))
    except (ValueError, ValidationError):
        raise Failed(
            f"torch of the project's environment printed an unexpected list of GPUs: {finished.tail}"
        ) from None
    if not gpus.devices:
        why = "is built without CUDA" if gpus.cuda is None else "sees none of the machine's GPUs"
        raise Failed(
            f"torch {gpus.torch} of the project's environment {why}", hint="beampermit env install --variant cuda"
        )
    return gpus
