"""What a unit may use, and where: options, over the user's own configuration, never the project's."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from beampermit.cache import cache_folder
from beampermit.errors import BadInput, did_you_mean
from beampermit.reading import decode, first_fault, parse_yaml
from beampermit.record import Record

STORAGE = "storage"
"""Key of the same file: the address of a database for studies. It may hold a password, and goes to no worker."""
VARIABLE = "BEAMPERMIT_COMPUTE"
"""The file with the configuration, if it is not `compute.yaml` in the user's folder for configurations."""
WORK = "work"
SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
SIZES = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
TIME = re.compile(r"(\d{1,12}(?:\.\d{1,9})?) ?(s|m|min|h|d|)", re.ASCII)
SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
NAME_IN_CLUSTER = r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$"
CLOCK = re.compile(r"(?:(\d{1,6})-)?(\d{1,9}):(\d\d):(\d\d)", re.ASCII)


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = SIZE.fullmatch(value.strip())
    if not match:
        raise ValueError(f"{value!r} is no amount of memory, such as 4G")
    return round(float(match[1]) * 2 ** SIZES[match[2].upper()])


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if clock := CLOCK.fullmatch(value.strip()):
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    match = TIME.fullmatch(value.strip())
    if not match:
        raise ValueError(f"{value!r} is no time, such as 90m, 2h or 1-12:00:00; a number is seconds")
    return float(match[1]) * SECONDS[match[2]]


class Pods(Record):
    """What Kubernetes has to be told besides, in `kubernetes:` of `compute.yaml`."""

    image: str = Field(default="", pattern=r"^([\w.-]+(:\d+)?/)?[\w./-]*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$")
    """With Python and this version of Beampermit; environments of projects are installed from their locks."""
    claim: str = Field(default="", pattern=NAME_IN_CLUSTER)
    """The PersistentVolumeClaim, writable by many, that holds the folder of work."""
    mount: str = Field(default="", pattern=r"^(/.*)?$")
    """Where the volume is mounted, here as in pods; empty for the folder of work itself."""
    namespace: str = Field(default="", pattern=NAME_IN_CLUSTER)
    apply: bool = Field(default=False, strict=True)
    """Call kubectl to submit, to look and to cancel; else the commands to type are printed."""


class Resources(Record):
    """What each unit gets, and where units run. A field is a key of `compute.yaml`, and most are an option."""

    on: str = "local"
    """Where units run: `local`, `slurm`, `dask://ADDRESS`, `dask-gateway://NAME` or `kubernetes`."""
    cores: int = Field(default=1, strict=True, ge=1, le=4096)
    """Cores of a unit; its libraries get as many threads."""
    gpus: int = Field(default=0, strict=True, ge=0, le=64)
    """GPUs of a unit, on each node. With 0 it sees none."""
    memory: Annotated[int, BeforeValidator(_bytes)] = Field(default=0, strict=True, ge=0)
    """Memory of a unit, in bytes or as `4G`; 0 for what the place gives."""
    time: Annotated[float, BeforeValidator(_seconds)] = Field(default=0.0, strict=True, ge=0)
    """How long a unit may take, in seconds or as `90m`, `2h`, `1-12:00:00`; 0 for what the place gives."""
    partition: str = Field(default="", pattern=r"^[\w.,:-]*$")
    """SLURM's partition, or Kueue's queue."""
    at_once: int = Field(default=0, strict=True, ge=0)
    """Units that run at once, at most; 0 for what the place gives."""
    nodes: int = Field(default=1, strict=True, ge=1, le=4096)
    """Machines of a unit."""
    work: str = ""
    """The folder of work, absolute, which all machines share; empty for the user's cache folder."""
    bundle: str = ""
    """Files of the environment (`beampermit env bundle`), absolute, for machines without a network."""
    kubernetes: Pods = Pods()

    def folder(self) -> Path:
        """The folder of work, made if absent: `work`, else one in the user's cache folder. Raises `BadInput`."""
        if not self.work:
            folder = cache_folder() / WORK
        else:
            folder = Path(self.work).expanduser()
            if not folder.is_absolute():
                raise BadInput(f"the folder of work is {self.work!r}, and an absolute path is needed")
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except (FileExistsError, NotADirectoryError):
            raise BadInput("this is the folder of work, and a file is in the way", file=folder) from None
        except (FileNotFoundError, ValueError):  # in /proc, or with a zero byte in its name
            raise BadInput("this is the folder of work, and no folder can be made there", file=folder) from None
        return folder


def load_resources(options: dict[str, Any]) -> Resources:
    """`options` that are not None, over the user's configuration. Raises `BadInput` with file and line, or option."""
    configured = read_configuration()
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Resources.model_validate({**configured, **given})
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        message = first_fault(error).partition(": ")[2]
        raise BadInput(f"--{name.replace('_', '-')}: {message}") from None


def read_storage() -> str:
    """`storage` of the user's configuration; empty where there is none. Raises `BadInput`."""
    return str(_read().get(STORAGE) or "")


def configuration_file() -> Path:
    from platformdirs import user_config_path

    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else user_config_path("beampermit", appauthor=False) / "compute.yaml"


def read_configuration() -> dict[str, Any]:
    """What the user's configuration says of resources, each key valid; empty where there is no file. Raises `BadInput`
    with file and line."""
    return {key: value for key, value in _read().items() if key != STORAGE}


def _read() -> dict[str, Any]:
    file = configuration_file()
    try:
        text = decode(file.read_bytes(), file)
    except FileNotFoundError:
        if os.environ.get(VARIABLE):
            raise BadInput(f"{VARIABLE} names this file, and it is missing", file=file) from None
        return {}
    except IsADirectoryError:
        raise BadInput("this is a folder, and a file is needed", file=file) from None
    content = parse_yaml(text, file, lines=True)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadInput("a mapping of keys is needed, such as `on: slurm`", file=file, line=1)
    lines: Any = content
    for key in content:
        if key not in (*Resources.model_fields, STORAGE):
            known = did_you_mean(str(key), Resources.model_fields)
            raise BadInput(f"unknown key {str(key)!r}{known}", file=file, line=lines.lc.key(key)[0] + 1)
    values = {str(key): value for key, value in content.items()}
    try:
        Resources.model_validate({key: value for key, value in values.items() if key != STORAGE})
    except ValidationError as error:
        key = error.errors()[0]["loc"][0]
        raise BadInput(first_fault(error), file=file, line=lines.lc.key(key)[0] + 1) from None
    return values
