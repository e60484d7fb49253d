"""The lineage record of a dataset, as the pipeline writes it: parents, code, parameters, the rule of the split."""

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
from beampermit.record import Digest


class SplitRecord(BaseModel):
    """One split; `groups`: the number of distinct values in each column of `dataset.split.by`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: InsidePath
    sha256: Digest
    rows: Annotated[int, Field(ge=0)]
    groups: dict[str, int] = {}
    first: datetime | None = None
    last: datetime | None = None


class Lineage(BaseModel):
    """`parents` and `code`: path -> sha256; `split`: the rule; `splits`: the resulting tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parents: dict[InsidePath, Digest] = Field(min_length=1)
    code: dict[InsidePath, Digest] = Field(min_length=1)
    parameters: dict[str, Any]
    split: dict[str, Any]
    splits: dict[str, SplitRecord] = Field(min_length=1)


def read_lineage(root: Path, path: str) -> Lineage:
    """Read the record. Raises `BadInput` if it is missing or invalid."""
    _require_plain(root, path)
    content = read_json(root / path)
    try:
        return Lineage.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"not a lineage record: {first_fault(error)}", file=path, hint="dvc repro dataset") from None


def faults(root: Path, record: Lineage, dataset: Dataset) -> Iterator[str]:
    """Where the record differs from contract and work tree, which has all data. Raises `BadInput` for links, pipes."""
    for path in filter(None, (dataset.raw, dataset.labels)):
        if path not in record.parents:
            yield f"it does not list {path}, which the contract's splits are made from"
    for kind, files in (("parent", record.parents), ("code", record.code)):
        for path, digest in files.items():
            yield from _digest_fault(root, path, digest, f"its {kind} {path}")
    rule = dataset.split.model_dump(exclude_none=True)
    recorded = {key: value for key, value in record.split.items() if value is not None}
    if {**recorded, "by": list(recorded.get("by", ()))} != {**rule, "by": list(rule["by"])}:
        yield f"the splits are made {_rule(recorded)}, the contract says {_rule(rule)}"
    if set(record.splits) != set(dataset.splits):
        yield f"it lists the splits {', '.join(record.splits)}, the contract has {', '.join(dataset.splits)}"
    for name in sorted(set(record.splits) & set(dataset.splits)):
        split = record.splits[name]
        if split.path != dataset.splits[name]:
            yield f"split {name} is {split.path}, the contract says {dataset.splits[name]}"
        else:
            yield from _digest_fault(root, split.path, split.sha256, f"split {name} ({split.path})")


def _digest_fault(root: Path, path: str, digest: str, what: str) -> Iterator[str]:
    _require_plain(root, path)
    file = root / path
    if not file.is_file():
        yield f"{what} is missing"
    elif digest_file(file) != digest:
        yield f"{what} has changed since the dataset was made"


def _require_plain(root: Path, path: str) -> None:
    for file, kind in irregular_files(root / path, root):
        raise BadInput(f"is {kind}, not a file", file=file)


def _rule(rule: dict[str, Any]) -> str:
    return f"by {', '.join(map(str, rule.get('by', ())))}" + (f" and {rule['time']}" if rule.get("time") else "")
