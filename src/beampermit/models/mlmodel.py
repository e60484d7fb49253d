"""MLflow's `MLmodel` file, which says how a saved model is loaded; nothing is loaded here."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from beampermit.environments.backend import Lock
from beampermit.errors import BadInput, Problem
from beampermit.reading import decode, parse_yaml

if TYPE_CHECKING:
    from packaging.requirements import Requirement

FILE_NAME = "MLmodel"
LARGEST = 4 * 2**20
LOADERS = {
    "mlflow.pyfunc.loaders.code_model": "models from code",
    "mlflow.onnx": "ONNX",
}
"""Allowed loaders: they read code, safetensors or ONNX, never a pickle."""


@dataclass(frozen=True)
class SavedModel:
    """A saved model in `folder`, called `name` in errors and verdicts; `page` is the content of its `MLmodel`."""

    folder: Path
    name: str
    page: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, name: str) -> SavedModel:
        """Read the `MLmodel` of a folder. Raises `BadInput` with file and line."""
        path, file = folder / FILE_NAME, f"{name}/{FILE_NAME}"
        if not path.is_file() or path.is_symlink():
            raise BadInput("the file is missing", file=file, hint="dvc repro package")
        if path.stat().st_size > LARGEST:
            raise BadInput(f"larger than {LARGEST} bytes", file=file)
        page = parse_yaml(path.read_bytes(), file)
        if not isinstance(page, dict) or not isinstance(page.get("flavors"), dict):
            raise BadInput("not an MLmodel file: it has no flavors", file=file, line=1)
        return cls(folder, name, page)

    @property
    def pyfunc(self) -> dict[str, Any]:
        """The `python_function` flavor; empty where there is none."""
        flavor = self.page["flavors"].get("python_function")
        return flavor if isinstance(flavor, dict) else {}

    def pickle_risk(self) -> str:
        """Why loading this model could unpickle something; empty when it cannot."""
        loader = self.pyfunc.get("loader_module")
        if not self.pyfunc:
            return "it has no python_function flavor"
        if loader not in LOADERS:
            return f"it is loaded by {loader}, which may unpickle"
        if loader.endswith("code_model") and not self.pyfunc.get("model_code_path"):
            return "it has no model_code_path, so its python_model would be unpickled"
        if "python_model" in self.pyfunc:
            return f"its python_model {self.pyfunc['python_model']!r} is a pickle"
        return ""

    def parts(self) -> Iterator[tuple[str, str]]:
        """The parts that `MLmodel` lists: (purpose, path inside the folder)."""
        artifacts = self.pyfunc.get("artifacts")
        for key, value in artifacts.items() if isinstance(artifacts, dict) else ():
            yield f"artifact {key!r}", str(value.get("path") if isinstance(value, dict) else value)
        if code := self.pyfunc.get("model_code_path"):
            # MLflow writes the path on the machine that packaged the model, and uses only its last part.
            yield "model code", str(code).replace("\\", "/").rsplit("/", 1)[-1]
        for key in ("code", "data"):
            if path := self.pyfunc.get(key):
                yield key, str(path)
        example = self.page.get("saved_input_example_info")
        if isinstance(example, dict) and example.get("artifact_path"):
            yield "input example", str(example["artifact_path"])

    def missing_parts(self) -> list[str]:
        """`purpose path` of each listed part that is not in the folder."""
        return [f"{purpose} {path}" for purpose, path in self.parts() if not self._has(path)]

    def _has(self, path: str) -> bool:
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path:
            return False
        return (self.folder / parts).exists()


REQUIREMENTS = ("requirements.txt", "constraints.txt", "conda.yaml", "python_env.yaml")
"""Files in which MLflow lists what an environment for the model needs."""
COPIED = "uv.lock"
"""The lock that MLflow copies and prefers, where uv is used."""
BUILDERS = {"pip", "setuptools", "wheel"}
"""What MLflow itself puts into an environment."""
KEYS, NAMES = {"python", "channels", "dependencies", "build_dependencies"}, {"name", "prefix"}
"""The keys of both pages, and those that install nothing."""
CHANNELS = {"conda-forge", "defaults", "nodefaults"}
INCLUDED = re.compile(r"-[rc]\s*(requirements|constraints)\.txt")


def unlocked(model: SavedModel, lock: Lock) -> Iterator[Problem]:
    """What the model's own lists of requirements would install that the lock does not: MLflow serves it with them."""
    packages: dict[str, set[str]] = defaultdict(set)
    for package in chain.from_iterable(variant.packages for variant in lock.all):
        if not package.own:
            packages[package.name].add(package.version)
    environment = model.pyfunc.get("env", {})
    for name in environment.values() if isinstance(environment, dict) else [environment]:
        if name not in REQUIREMENTS:
            yield Problem(f"its environment is described by {name}, not by {' and '.join(REQUIREMENTS[2:])}", FILE_NAME)
    for file in REQUIREMENTS:
        path = model.folder / file
        if path.is_file() and not path.is_symlink():
            try:
                yield from _in_file(file, decode(path.read_bytes(), file), packages, lock)
            except BadInput as error:
                yield Problem(error.message, file, error.line)
    copy = model.folder / COPIED
    if copy.is_file() and (lock.file != COPIED or copy.read_bytes().replace(b"\r\n", b"\n") != lock.text.encode()):
        yield Problem(f"it is not the project's {lock.file}", COPIED)


def _in_file(file: str, text: str, packages: dict[str, set[str]], lock: Lock) -> Iterator[Problem]:
    read = _listed if file.endswith(".txt") else _in_page
    for line, kind, requirement in read(text, file):
        if why := _differs(kind, requirement, packages, lock):
            yield Problem(why, file, line)


def _listed(text: str, _: str) -> Iterator[tuple[int, str, str]]:
    """Line, kind and text of each line of a `requirements.txt`, without comments and hashes.

    Lines that go on are not joined: readers differ in how, so each must be sound by itself.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if requirement := re.sub(r"(^|\s)#.*|(^|\s)--hash=\S+|\\$", "", line).strip():
            yield number, "dependencies", requirement


def _in_page(text: str, name: str) -> Iterator[tuple[int, str, str]]:
    """Line, kind and text of each requirement of a `conda.yaml` or `python_env.yaml`, and of each other key."""
    page = parse_yaml(text, name)
    lines = text.splitlines()
    for kind, value in page.items() if isinstance(page, dict) else ():
        if kind in NAMES:
            continue
        for one in _flat(value if kind in KEYS else str(kind)):
            line = next((number for number, line in enumerate(lines, 1) if one in line), 1)
            yield line, kind, f"python={one}" if kind == "python" else one


def _flat(value: Any) -> Iterator[str]:
    """All texts and numbers in lists, and in the lists of their tables such as `pip:`."""
    if isinstance(value, (list, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _flat(one)
    elif value is not None:
        yield str(value).strip()


def _differs(kind: str, text: str, packages: dict[str, set[str]], lock: Lock) -> str:
    """Why a line could install something that is not locked; empty where it cannot."""
    if kind not in KEYS:
        return f"the key {text} is none that MLflow writes: it may change what is installed"
    if kind == "channels":
        known = CHANNELS | set(lock.sources)
        return "" if text in known else f"the channel {text} is not one of the lock's"
    return "" if INCLUDED.fullmatch(text) else _other_package(kind, text, packages, lock)


def _other_package(kind: str, text: str, packages: dict[str, set[str]], lock: Lock) -> str:
    """The same for a requirement."""
    from packaging.utils import canonicalize_name

    required = _parsed(text)
    if required is None:
        return f"{text!r} is not the name and version of a package"
    name = canonicalize_name(required.name)
    if name == "python":
        return _other_python(required, packages, lock)
    if name == "pip" or (kind == "build_dependencies" and name in BUILDERS):
        return ""
    if foreign := sorted(required.extras - _extras(name, lock)):
        return f"{text} asks for the extra {foreign[0]}, which is not in {lock.file}"
    versions = next((packages[one] for one in _names(name, lock) if one in packages), None)
    return _other_version(text, required, versions, lock)


def _extras(name: str, lock: Lock) -> set[str]:
    """The extras of a package that are locked with it."""
    return {extra for variant in lock.all for package in variant.named(name) for extra in package.optional}


def _parsed(text: str) -> Requirement | None:
    """A requirement as pip or conda (`name=version=build`) writes it; None for anything else, such as a URL."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        parsed = Requirement(re.sub(r"^([\w.-]+)=([\w.+!]+)(=\S+)?$", r"\1==\2", text))
    except InvalidRequirement:
        return None
    return None if parsed.url else parsed


def _other_version(text: str, required: Requirement, versions: set[str] | None, lock: Lock) -> str:
    if versions is None:
        return f"{text} is not in {lock.file}"
    exact = len(required.specifier) == 1 and re.fullmatch(r"===?[^*]+", str(required.specifier))
    if exact and any(_same(required, version) for version in versions):
        return ""
    return f"{text} is required, and {lock.file} has {required.name} {' and '.join(sorted(versions))}"


def _other_python(python: Requirement, packages: dict[str, set[str]], lock: Lock) -> str:
    from packaging.specifiers import SpecifierSet

    version = next((one.version for one in python.specifier), "")
    locked, allowed = packages.get("python", set()), str(lock.content.get("requires-python", ""))
    if locked:
        fits = any(f"{one}.".startswith(f"{version}.") for one in locked)
    else:
        fits = SpecifierSet(allowed).contains(version, prereleases=True)
    return "" if fits else f"Python {version} is required, and {lock.file} is for {' and '.join(locked) or allowed}"


def _same(required: Requirement, version: str) -> bool:
    """Whether a version is the required one; conda leaves out what follows a `+`."""
    from packaging.version import InvalidVersion, Version

    try:
        return required.specifier.contains(version, prereleases=True) or any(
            Version(one.version).public == Version(version).public and not Version(version).local
            for one in required.specifier
        )
    except InvalidVersion:
        return any(one.version == version for one in required.specifier)


def _names(name: str, lock: Lock) -> tuple[str, ...]:
    """The names that a package of an index may have in the lock; channels of conda name some otherwise."""
    if not any(package.platform for package in lock.packages):
        return (name,)
    short = name.removesuffix("-python")
    return (name, f"py{name}", f"{name}-python", f"python-{name}", f"py-{name}", f"py-{short}", short)
