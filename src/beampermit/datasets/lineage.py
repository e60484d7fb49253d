"""Where a dataset came from: its parents, the code and the parameters that made it, as the pipeline recorded them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from beampermit.contract.dataset import Dataset
from beampermit.contract.part import InsidePath
from beampermit.datasets.workspace import irregular_files
from beampermit.digest import digest_file
from beampermit.errors import BadInput
from beampermit.reading import first_fault, read_json

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class SplitRecord(BaseModel):
    """One split as it was made: `groups` is how many different values each column of the split's rule has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: InsidePath
    sha256: Digest
    rows: Annotated[int, Field(ge=0)]
    groups: dict[str, int] = {}
    first: datetime | None = None
    last: datetime | None = None


class Lineage(BaseModel):
    """The record: path -> sha256 of parents and code; the parameters; the rule of the split; what came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parents: dict[InsidePath, Digest] = Field(min_length=1)
    code: dict[InsidePath, Digest] = Field(min_length=1)
    parameters: dict[str, Any]
    split: dict[str, Any]
    splits: dict[str, SplitRecord] = Field(min_length=1)


def read_lineage(root: Path, path: str) -> Lineage:
    """Read the record. Raises `BadInput` where it is missing or no such record."""
    _require_plain(root, path)
    content = read_json(root / path)
    try:
        return Lineage.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"no record of a dataset: {first_fault(error)}", file=path, hint="dvc repro dataset") from None


def faults(root: Path, found: Lineage, dataset: Dataset) -> Iterator[str]:
    """What of the record is not true of the work tree, whose data are all here. Raises `BadInput` for odd files."""
    for path in (dataset.raw, dataset.labels):
        if path not in found.parents:
            yield f"it does not name {path}, which the contract makes the splits from"
    for kind, files in (("parent", found.parents), ("code", found.code)):
        for path, digest in files.items():
            yield from _digest_fault(root, path, digest, f"its {kind} {path}")
    rule = dataset.split.model_dump(exclude_none=True)
    recorded = {key: value for key, value in found.split.items() if value is not None}
    if {**recorded, "by": list(recorded.get("by", ()))} != {**rule, "by": list(rule["by"])}:
        yield f"the splits were made by the rule {_rule(recorded)}, the contract says {_rule(rule)}"
    if set(found.splits) != set(dataset.splits):
        yield f"it records the splits {', '.join(found.splits)}, the contract has {', '.join(dataset.splits)}"
    for name in sorted(set(found.splits) & set(dataset.splits)):
        made = found.splits[name]
        if made.path != dataset.splits[name]:
            yield f"split {name} was written to {made.path}, the contract has it at {dataset.splits[name]}"
        else:
            yield from _digest_fault(root, made.path, made.sha256, f"split {name} ({made.path})")


def _digest_fault(root: Path, path: str, digest: str, what: str) -> Iterator[str]:
    _require_plain(root, path)
    file = root / path
    if not file.is_file():
        yield f"{what} is not here"
    elif digest_file(file) != digest:
        yield f"{what} has other bytes than when the dataset was made"


def _require_plain(root: Path, path: str) -> None:
    for odd, what in irregular_files(root / path, root, root / ".dvc/cache"):
        raise BadInput(f"is {what}, not a file", file=odd)


def _rule(rule: dict[str, Any]) -> str:
    return f"by {', '.join(map(str, rule.get('by', ())))}" + (f" and {rule['time']}" if rule.get("time") else "")
