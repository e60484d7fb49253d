"""`manifest.json`: the sha256 of each file of the saved model and of the dataset, kept in git."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, ValidationError

from beampermit.datasets.workspace import is_plain
from beampermit.digest import digest_file, manifest
from beampermit.errors import BadInput
from beampermit.models.mlmodel import SavedModel
from beampermit.reading import first_fault, parse_json, read_json
from beampermit.record import Digest, Record


class Manifest(Record):
    """Paths relative to the project, each with the digest of its bytes."""

    algorithm: Literal["sha256"]
    files: dict[str, Digest] = Field(min_length=1)

    @classmethod
    def read(cls, path: Path, name: str) -> Manifest:
        """Read a manifest; errors call it `name`. Raises `BadInput`: missing, invalid, or of paths outside."""
        if path.is_symlink():
            raise BadInput("the manifest is a link, not a file", file=name)
        return cls._checked(lambda: read_json(path), name)

    @classmethod
    def parse(cls, text: str, name: str) -> Manifest:
        """`read` of a text, such as a manifest at another commit."""
        return cls._checked(lambda: parse_json(text.encode(), name), name)

    @classmethod
    def _checked(cls, load: Callable[[], Any], name: str) -> Manifest:
        try:
            read = cls.model_validate(load())
        except BadInput as error:
            raise BadInput(error.message, file=name, line=error.line, hint="dvc repro package") from None
        except ValidationError as error:
            raise BadInput(f"not a manifest: {first_fault(error)}", file=name) from None
        for listed in read.files:
            if not _stays_inside(listed):
                raise BadInput(f"{listed!r} is not a path inside the project", file=name)
        return read


@dataclass(frozen=True)
class Difference:
    """Paths that are listed but missing, present but not listed, and whose digest differs."""

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.changed)

    def __str__(self) -> str:
        """`changed: a, b; extra: c`."""
        groups = {"changed": self.changed, "missing": self.missing, "extra": self.extra}
        return "; ".join(f"{word}: {_some(paths)}" for word, paths in groups.items() if paths)


def compare(listed: Manifest, root: Path, model: SavedModel, data: tuple[str, ...]) -> Difference:
    """Compare a manifest with the files of the saved model and the files `data`, below `root`.

    The manifest may list further files of the dataset's folders, which must exist too. Raises `BadInput` for a link or
    a device.
    """
    present = {f"{model.name}/{path}": digest for path, digest in manifest(model.folder).items()}
    for path in (*data, *listed.files):
        if path not in present and is_plain(root / path, root):
            present[path] = digest_file(root / path)
    expected = {*listed.files, *data}
    return Difference(
        missing=tuple(sorted(expected - present.keys())),
        extra=tuple(sorted(present.keys() - listed.files.keys())),
        changed=tuple(sorted(path for path, digest in listed.files.items() if present.get(path, digest) != digest)),
    )


def _stays_inside(listed: str) -> bool:
    path = PurePosixPath(listed)
    if path.is_absolute() or not path.parts or str(path) != listed:
        return False
    return not {"..", ".git", ".dvc"} & {part.lower() for part in path.parts} and not set(listed) & set("\\\0")


def _some(paths: tuple[str, ...]) -> str:
    return ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
