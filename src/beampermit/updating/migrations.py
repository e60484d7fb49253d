"""Older formats of what a project records, brought up to the current one, a step at a time.

Format 0 is not a record at all: a project that was generated before there was one. Its answers stand in its files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from beampermit.contract import load_contract
from beampermit.datasets.configuration import FILE as CONFIGURATION
from beampermit.datasets.configuration import settings_in
from beampermit.environments.choice import backend_of
from beampermit.environments.conda_lock import CondaLock
from beampermit.errors import BadInput
from beampermit.project import Project
from beampermit.template import PACKAGE, PROJECT, template_folder
from beampermit.updating.recorded import ANSWERS, FORMAT, Recorded, read_record

PIPELINE = "src/*/pipeline"
PIN = re.compile(
    r"uses:\s*['\"]?(?P<repository>[\w.-]+/[\w.-]+)/\.github/workflows/ml-[\w-]+\.yml@(?P<commit>[0-9a-f]{40})"
)
BASE_IMAGE = re.compile(r"^FROM (?P<image>\S+@sha256:[0-9a-f]{64})", re.MULTILINE)
OWNERS = re.compile(r"^\*[ \t]+(?P<owners>[^#\n]+)", re.MULTILINE)
GPU = re.compile(r"gpu-labels: '\[(?P<labels>[^\]']*)\]'")
REQUIRES = re.compile(
    r"requires-python = \"==(?P<version>3\.\d+)\.\*\"|^\s*- python (?P<conda>3\.\d+)\.\*", re.MULTILINE
)


def current_record(root: Path) -> Recorded:
    """The record of a project in today's format. Raises `BadInput` for a project that was never generated."""
    found: Recorded | None = read_record(root)
    number = FORMAT if found else 0
    while number < FORMAT:
        found = STEPS[number](root)
        number += 1
    assert found is not None  # noqa: S101 - of the current format, or made by a step
    return found


def _from_files(root: Path) -> Recorded:
    """Format 0 to 1: the answers that the project's files give; the others are asked."""
    folders = sorted(root.glob(PIPELINE))
    if not folders:
        init, project = "beampermit init --dry-run", Project(root)
        raise BadInput(
            f"this project has no {ANSWERS} and no pipeline of Beampermit's: it was not generated, so there is no "
            "template to merge. What `beampermit init` adds, it adds again where it is missing",
            file=root,
            hint=init if project.has_contract else project.where_contracts_are(init),
        )
    answers = {key: value for key, value in _answers(root, folders[0].parent.name) if value}
    pin = PIN.search(_workflows(root))
    beampermit_repository = answers.setdefault("beampermit_repository", "beampermit/beampermit")
    address = f"https://github.com/{beampermit_repository}"
    return Recorded(template=address, commit=pin["commit"] if pin else None, answers=answers)


def _answers(root: Path, package: str) -> Iterator[tuple[str, str]]:
    contract = load_contract(root)
    model, operations = contract.model, contract.operations
    yield "project_slug", model.name
    yield "package_name", package
    yield "summary", model.summary
    for who, owner in zip(("maintainer", "deputy"), model.owners, strict=False):
        yield f"{who}_name", owner.name
        yield f"{who}_email", owner.email
    yield "code_owners", _first(OWNERS, _text(root / "CODEOWNERS"), "owners").strip()
    yield "on_call", operations.on_call
    yield "logbook", operations.logbook
    yield "environment", "conda-lock" if isinstance(backend_of(root), CondaLock) else "uv"
    accelerators = contract.environment.accelerators
    yield "accelerator", "cuda" if "cuda" in accelerators else "cpu"
    workflows = _workflows(root)
    yield "beampermit_repository", _first(PIN, workflows, "repository")
    yield "gpu_runner", _first(GPU, workflows, "labels").replace('"', "").replace(" ", "")
    yield "container_image", _first(BASE_IMAGE, _text(root / "Containerfile"), "image")
    configured = settings_in(_text(root / CONFIGURATION), CONFIGURATION)
    url = next((value for key, value in configured.items() if key.endswith(".url")), "")
    yield "dvc_remote", url.removeprefix("../") if url.startswith("../") else url
    requirements = _text(root / "environment.yml") + _text(root / "pyproject.toml")
    required = REQUIRES.search(requirements)
    yield "python_version", (required["version"] or required["conda"]) if required else ""
    yield "example", _example(root, package)
    yield "library", next((name for name in ("xgboost", "scikit-learn", "torch") if name in requirements), "")


def _example(root: Path, package: str) -> str:
    """The example most of whose files the project has; none where it has less than half of any."""
    shares = {}
    for folder in sorted((template_folder() / PROJECT / "_examples").iterdir()):
        files = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
        files = [name.replace(PACKAGE, package) for name in files if not name.startswith("_libraries")]
        if not folder.name.startswith("_") and files:
            shares[folder.name] = sum((root / name).is_file() for name in files) / len(files)
    best = max(shares, key=lambda name: shares[name], default="")
    return best if best and shares[best] > 0.5 else ""


def _workflows(root: Path) -> str:
    return "".join(_text(file) for file in sorted((root / ".github/workflows").glob("*.yml")))


def _first(pattern: re.Pattern[str], text: str, group: str) -> str:
    found = pattern.search(text)
    return found[group] if found else ""


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


STEPS: dict[int, Callable[[Path], Recorded]] = {0: _from_files}
"""Format -> what makes the record of the next one."""
