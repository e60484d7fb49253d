"""What a project says of the template it was made from: `.cruft.json`, and the files as they were rendered."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError

from beampermit.errors import BadInput
from beampermit.reading import first_fault, parse_json, read_json, refuse_newer
from beampermit.record import Digest, Record

ANSWERS, RENDERED = ".cruft.json", ".cruft.render.json"
FORMAT = 1
RESTORE = f"git log -- {RENDERED}"
SHOWN = 60
"""Characters of a name that is refused."""


class Own(Record):
    """Our part of `.cruft.json`, which cruft leaves as it is."""

    format: int
    version: str | None
    commit: str | None
    template: Digest


class _Context(BaseModel):
    cookiecutter: dict[str, Any]


class _File(BaseModel):
    """cruft's own keys; it may have more."""

    model_config = ConfigDict(frozen=True)
    template: str
    commit: str | None
    checkout: str | None = None
    context: _Context
    directory: str | None = None
    skip: list[str] = Field(default_factory=list)
    beampermit: Own | None = None


class _Body(Record):
    lines: list[str] | None = None
    base64: Base64Bytes | None = None
    executable: bool = False

    @property
    def content(self) -> bytes:
        return self.base64 or "\n".join(self.lines or ()).encode()


class _Render(Record):
    format: int
    files: dict[str, _Body]


@dataclass(frozen=True)
class Recorded:
    """`version` and `digest` are empty where only cruft has written, or cruft has updated since."""

    template: str
    commit: str | None
    answers: Mapping[str, str]
    version: str = ""
    digest: str = ""
    since: str = ""
    """The version, or where cruft has updated since, the one before: what changed is told from there on."""

    @property
    def name(self) -> str:
        """As people say it: the version, and the commit where that is known."""
        commit = self.commit[:12] if self.commit else "a commit that is not recorded"
        return f"{self.version} ({commit})" if self.version else commit


def read_record(root: Path) -> Recorded | None:
    """None where the project has none. Raises `BadInput` for one that cannot be read, or is of a later format."""
    file = root / ANSWERS
    return _recorded(read_json(file), file) if file.exists() else None


def parse_record(text: str, file: str) -> Recorded:
    """The same of a text; `file` is its name in errors. Raises `BadInput`."""
    return _recorded(parse_json(text.encode(), file), file)


def _recorded(content: Any, file: Path | str) -> Recorded:
    if not isinstance(content, dict):
        raise BadInput("it is not a JSON object", file=file, hint=f"git log -- {ANSWERS}")
    own = content.get("beampermit")
    refuse_newer(own.get("format") if isinstance(own, dict) else None, FORMAT, file)
    try:
        found = _File.model_validate(content)
    except ValidationError as error:
        raise BadInput(first_fault(error), file=file, hint=f"git log -- {ANSWERS}") from None
    own = found.beampermit
    current = own if own and own.commit == found.commit else None
    answers = {key: str(value) for key, value in found.context.cookiecutter.items() if not key.startswith("_")}
    return Recorded(
        template=found.template,
        commit=found.commit,
        answers=answers,
        version=(current.version or "") if current else "",
        digest=current.template if current else "",
        since=(own.version or "") if own else "",
    )


def with_address(text: str, address: str) -> str:
    """The text of a new record with the address that the project had: a mirror, or a fork."""
    return json.dumps({**json.loads(text), "template": address}, indent=2, ensure_ascii=False) + "\n"


def unpack_render(root: Path, folder: Path) -> bool:
    """Write the recorded render into `folder`; whether there is one. Raises `BadInput` for one that cannot be read.

    It comes out of a repository that others write to: files below the folder alone.
    """
    file = root / RENDERED
    if not file.is_file() or file.is_symlink():
        return False
    for name, body in _files(read_json(file), file).items():
        target = folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body.content)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise BadInput(f"{_short(name)} is a file and a folder", file=file, hint=RESTORE) from None
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise BadInput(f"{_short(name)} is too long for the name of a file", file=file, hint=RESTORE) from None
        target.chmod(0o755 if body.executable else 0o644)
    return True


def refuse_damaged_render(text: str, file: str) -> None:
    """Raise `BadInput` for a recorded render that no update could begin from; `file` is its name in errors."""
    _files(parse_json(text.encode(), file), file)


def _files(content: Any, file: Path | str) -> Mapping[str, _Body]:
    refuse_newer(content.get("format") if isinstance(content, dict) else None, FORMAT, file)
    try:
        found = _Render.model_validate(content)
    except ValidationError as error:
        raise BadInput(first_fault(error), file=file, hint=RESTORE) from None
    for name in found.files:
        if any(_odd(part) for part in name.split("/")):
            raise BadInput(f"{_short(name)} is not a name of a file in a project", file=file, hint=RESTORE)
    return found.files


def _odd(part: str) -> bool:
    own = part.lower().rstrip(" .") in (".git", "git~1")  # as Windows reads it, and git refuses it
    return part in ("", ".", "..") or own or "\\" in part or "\0" in part


def _short(name: str) -> str:
    return ascii(name if len(name) <= SHOWN else f"{name[:SHOWN]}...")
