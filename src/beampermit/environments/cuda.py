"""Which packages of a lock hold CUDA, told without fetching them: by name, version, build and kind of file."""

from __future__ import annotations

import re
from collections.abc import Iterable

from beampermit.environments.backend import Artifact, Package
from beampermit.errors import counted, more

NAME = re.compile(r"(^|-)(nvidia|cuda(toolkit|\d\dx?)?|pycuda|cudnn|nccl|cu\d\dx?)(-|$)|-gpu$")
"""Such as `nvidia-cublas`, `cuda-cudart`, `cupy-cuda13x`, `cudf-cu12` and `onnxruntime-gpu`."""
LOCAL = re.compile(r"(^|[^a-z])cu\d\d|^cuda")
"""At the end of a version: `2.13.0+cu130`."""
BUILD = re.compile(r"(?<!no)(?<!no_)cuda(?!_?none)", re.IGNORECASE)
"""In a build of conda: `cuda129_generic_200`, not `nocuda_0`."""
SHOWN = 3


def holds_cuda(package: Package) -> bool:
    """Whether a package brings CUDA's libraries, or code that was compiled for them.

    Pure Python holds none, whatever its name: `nvidia-ml-py` asks the driver, and conda's `cuda-version` is a number.
    """
    return _is_build(package) or (_is_named_so(package) and any(map(_is_compiled, package.artifacts)))


def describe_cuda(packages: Iterable[Package], among: Iterable[Package]) -> str:
    """Such as `16 CUDA packages, which torch 2.13.0 needs: nvidia-cublas 13.1 (and 15 more)`."""
    cuda = sorted(packages, key=lambda package: (_is_named_so(package), package.name))
    askers = _askers(cuda, among)
    why = f", which {' and '.join(map(str, askers))} need{'s' * (len(askers) == 1)}" if askers else ""
    shown = ", ".join(map(str, cuda[:SHOWN]))
    return f"{counted(len(cuda), 'CUDA package')}{why}: {shown}{more(len(cuda) - SHOWN)}"


def to_exchange(packages: Iterable[Package], among: Iterable[Package]) -> Package:
    """Of packages with CUDA, at least one, that which has a build without, or else what needs the first."""
    cuda = sorted(packages, key=_is_named_so)
    return next(iter([*filter(_is_build, cuda), *_askers(cuda, among), *cuda]))


def _askers(cuda: Iterable[Package], among: Iterable[Package]) -> list[Package]:
    """The packages not of CUDA that need some of it."""
    names, builds = ({one.name for one in cuda if _is_named_so(one) is named} for named in (True, False))
    others = [package for package in among if package.name not in names | builds and not package.own]
    # What is called after CUDA and holds none, such as the list `cuda-toolkit`, leads on to what asks for it.
    while passing := {one.name for one in others if _is_named_so(one) and _needs(one, names)} - names:
        names |= passing
    return [one for one in others if one.name not in names and _needs(one, names)]


def _is_build(package: Package) -> bool:
    return LOCAL.search(package.version.partition("+")[2]) is not None or BUILD.search(package.build) is not None


def _is_named_so(package: Package) -> bool:
    return NAME.search(package.name.replace("_", "-")) is not None


def _is_compiled(artifact: Artifact) -> bool:
    """Whether a file is for one platform. Sources count as pure: none of CUDA's libraries comes as such."""
    if artifact.file_name.endswith(".whl"):
        return not artifact.file_name.endswith("-any.whl")
    return artifact.file_name.endswith((".conda", ".tar.bz2")) and "/noarch/" not in artifact.address


def _needs(package: Package, names: set[str]) -> bool:
    edges = [*package.needs, *(edge for part in package.optional.values() for edge in part)]
    return any(edge.name in names for edge in edges)
