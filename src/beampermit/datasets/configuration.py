"""`.dvc/config`: which one is believed, and what a pull request changed in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput
from beampermit.project import Project

FILE = ".dvc/config"
SHOWN = {"url", "remote", "type", "dir", "verify", "no_scm"}
"""Keys whose values may be printed; others may hold secrets."""


def believed(project: Project) -> str | None:
    """The text of the base branch's `.dvc/config`, empty if it had none; None where there is no base to ask.

    A pull request brings its own `.dvc/config`, and must not choose where the data that judge it come from.
    """
    if project.base is None:
        return None
    return project.git.read(project.base, FILE) or ""


def differences(project: Project) -> list[str]:
    """What the work tree's `.dvc/config` says otherwise than the base branch's, in words. Raises `BadInput`."""
    before = believed(project)
    if before is None:
        return []
    file = project.root / FILE
    old = _flat(before, f"base:{FILE}")
    new = _flat(file.read_text(encoding="utf-8", errors="replace") if file.is_file() else "", FILE)
    return [_words(key, old.get(key), new.get(key)) for key in sorted(old | new) if old.get(key) != new.get(key)]


def make(dvc_dir: Path, text: str | None) -> Any:
    """A `dvc.config.Config` whose repository level is `text`; the work tree's file where `text` is None.

    The machine's own levels (system, user, `config.local`) are read as DVC reads them.
    """
    from dvc.config import Config

    class Believed(Config):
        def load_file(self, path: Any, fs: Any = None) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
            if text is not None and path == self.files["repo"]:
                return Config.load_file(path, fs=_Memory(text))
            return Config.load_file(path, fs=fs)

    return Believed(str(dvc_dir))


class _Memory:
    """As much of a file system as `Config.load_file` asks for."""

    def __init__(self, text: str):
        self._text = text

    def open(self, _path: str) -> Any:
        import io

        return io.StringIO(self._text)


def _flat(text: str, name: str) -> dict[str, str]:
    from configobj import ConfigObj, ConfigObjError

    try:
        sections = ConfigObj(text.splitlines()).dict()
    except ConfigObjError as error:
        raise BadInput(f"not a DVC configuration: {error}", file=name) from None
    return {
        f"{section}.{key}": str(value)
        for section, keys in sections.items()
        for key, value in (keys.items() if isinstance(keys, dict) else ())
    }


def _words(key: str, old: str | None, new: str | None) -> str:
    section, _, name = key.rpartition(".")
    place = f"{section.strip()}: {name}".replace("'", "").replace('"', "")
    if name not in SHOWN:
        return f"{place} {'is added' if old is None else 'is removed' if new is None else 'is changed'}"
    return f"{place} {_shown(old)} -> {_shown(new)}"


def _shown(value: str | None) -> str:
    return "(none)" if value is None else without_secrets(value)


def without_secrets(url: str) -> str:
    """A URL without the name and password it may carry."""
    return re.sub(r"//[^/@]*@", "//", url)
