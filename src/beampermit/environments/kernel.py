"""The environment of a lock as a kernel of Jupyter: a `kernel.json` where Jupyter looks for one."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from beampermit.environments import kernel_start
from beampermit.environments.backend import Backend, Lock
from beampermit.environments.choice import backend_for
from beampermit.environments.environment import STAMP, Environment, environment_of, stamp_of
from beampermit.errors import BadInput, Conflict
from beampermit.files import write_json, write_text
from beampermit.processes import REPEATABLE
from beampermit.reading import read_json

FILE, START = "kernel.json", "start.py"
PACKAGE = "ipykernel"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
THREADS = {name: value for name, value in REPEATABLE.items() if name.endswith("_NUM_THREADS")}


@dataclass(frozen=True)
class Kernel:
    """One of ours. `stale` says why it is not the environment of the lock; empty where it is."""

    name: str
    folder: Path
    project: str
    environment: str
    stale: str


def kernels_folder(prefix: Path | None = None) -> Path:
    """Where Jupyter looks for kernels: of this user, or of the Jupyter that is installed at `prefix`."""
    if prefix:
        return prefix.absolute() / "share/jupyter/kernels"
    if named := os.environ.get("JUPYTER_DATA_DIR"):
        return Path(named).expanduser().absolute() / "kernels"
    if sys.platform == "darwin":
        return Path.home() / "Library/Jupyter/kernels"
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local/share") / "jupyter/kernels"


def name_of(root: Path) -> str:
    """The name of a project's kernel, after its folder: Jupyter wants small letters."""
    return re.sub(r"[^a-z0-9._-]+", "-", root.absolute().name.lower()).strip("-._") or "project"


def install_kernel(root: Path, name: str, folder: Path) -> Kernel:
    """Write the kernel of the project at `root` into `folder`, in the place of an earlier one of this project.

    Raises `BadInput` where no environment of the lock is installed or it lacks ipykernel, `Conflict` where a kernel of
    this name belongs to something else.
    """
    environment = environment_of(root)
    lock = _installed_lock(root, environment)
    about = {
        "project": str(root.absolute()),
        "environment": str(environment.prefix),
        "lock": lock.file,
        "stamp": STAMP,
    }
    to = _own_folder(folder, name, about["project"])
    spec = {
        "argv": [str(environment.python), f"{{resource_dir}}/{START}", "-f", "{connection_file}"],
        "display_name": f"{name} (locked)",
        "language": "python",
        "env": _variables(environment, root.absolute()),
        "metadata": {"debugger": True, "beampermit": about},
    }
    write_text(to / START, Path(kernel_start.__file__).read_text(encoding="utf-8"))
    write_json(to / FILE, spec)
    return _kernel(to, about)


def remove_kernel(root: Path, name: str, folder: Path) -> Path:
    """Raises `BadInput` where there is none, `Conflict` where it belongs to something else than the project."""
    to = _own_folder(folder, name, str(root.absolute()))
    if not to.exists():
        raise BadInput(f"there is no kernel {name!r} here", file=folder, hint="beampermit env kernel --list")
    shutil.rmtree(to)
    return to


def list_kernels(folder: Path) -> Iterator[Kernel]:
    """Those of Beampermit, of all projects."""
    for file in sorted(folder.glob(f"*/{FILE}")):
        if about := _about(file.parent):
            yield _kernel(file.parent, about)


def as_json(kernel: Kernel) -> dict[str, str]:
    return {name: str(value) for name, value in asdict(kernel).items()}


def _kernel(folder: Path, about: dict[str, str]) -> Kernel:
    gone = "" if Path(about["environment"]).is_dir() else f"the environment {about['environment']} is gone"
    stale = gone or kernel_start.find_stale(about)
    return Kernel(folder.name, folder, about["project"], about["environment"], stale)


def _installed_lock(root: Path, environment: Environment) -> Lock:
    """The lock that the environment was installed from, if it is the project's and has ipykernel."""
    stamp = stamp_of(environment.prefix)
    backend = backend_for(root, variant=stamp.partition(" ")[2])
    lock = backend.read(root)
    if stamp != lock.stamp:
        raise BadInput(
            f"the environment at {environment.prefix} was not installed from this lock",
            file=lock.file,
            hint="beampermit env install",
        )
    if not lock.named(PACKAGE):
        raise BadInput(f"{PACKAGE}, which runs kernels, is not in the lock: {_how_to_add(backend)}", file=lock.file)
    return lock


def _how_to_add(backend: Backend) -> str:
    if backend.name == "uv":
        line = f'add "{PACKAGE}>=7" to the list dev below [dependency-groups] of {backend.specification_file}'
    else:
        line = f"add `- {PACKAGE} >=7` to the dependencies in environment-dev.yml or {backend.specification_file}"
    return f"{line}, then run beampermit env lock and beampermit env install"


def _variables(environment: Environment, root: Path) -> dict[str, str]:
    """What the project's code gets in the pipeline. Jupyter puts in its own PATH and HOME: no value of ours is kept."""
    own = environment.variables(root)
    compiled = Path(own.pop("PYTHONPYCACHEPREFIX"))
    if compiled.is_relative_to(Path.home()):  # of whoever uses the kernel; of another folder, who may is not known
        own["PYTHONPYCACHEPREFIX"] = f"${{HOME}}/{compiled.relative_to(Path.home())}"
    return {**own, "PATH": f"{environment.python.parent}{os.pathsep}${{PATH}}", **THREADS}


def _own_folder(folder: Path, name: str, project: str) -> Path:
    if not NAME.fullmatch(name):
        raise BadInput(
            f"a kernel's name has small letters, digits, dots, hyphens and underscores, and {name!r} does not fit",
            hint="beampermit env kernel --name NAME",
        )
    to = folder / name
    if (to.exists() or to.is_symlink()) and (_about(to) or {}).get("project") != project:
        raise Conflict(
            "there is a kernel of this name that does not belong to this project; nothing was changed",
            file=to,
            hint="beampermit env kernel --name NAME",
        )
    return to


def _about(folder: Path) -> dict[str, str] | None:
    """What we wrote into a kernel; None where it is not one of ours."""
    try:
        content: Any = read_json(folder / FILE, limit=2**20)
        about = content["metadata"]["beampermit"]
        return {key: str(about[key]) for key in ("project", "environment", "lock", "stamp")}
    except (BadInput, OSError, KeyError, TypeError):
        return None
