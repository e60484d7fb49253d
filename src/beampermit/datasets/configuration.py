"""`.dvc/config`: the base branch's is used, and a pull request's changes to it are reported."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput
from beampermit.git import Git
from beampermit.project import Project

FILE = ".dvc/config"
SHOWN = {"url", "remote", "type", "dir", "verify", "no_scm"}
"""Keys whose values are printed; others may contain secrets."""


def dvc_home(project: Project) -> Git:
    """git in the folder whose `.dvc` DVC uses for a project: the nearest one, up to the top of the repository.

    It is the project's own where there is none.
    """
    folder, depth = project.root.resolve(), project.git.prefix.count("/")
    around = next((place for place in (folder, *folder.parents[:depth]) if (place / ".dvc").is_dir()), folder)
    return project.git if around == folder else Git(around)


def file_of(project: Project) -> str:
    """The path of the configuration, from the project."""
    return os.path.relpath(dvc_home(project).root.resolve() / FILE, project.root.resolve())


def base_config(project: Project) -> str | None:
    """The text of the base branch's `.dvc/config`, empty if it has none; None without a base branch.

    A pull request must not choose where the data that it is judged by come from.
    """
    if project.base is None:
        return None
    return dvc_home(project).read(project.base, FILE) or ""


def data_cache(project: Project) -> Path:
    """DVC's cache on this machine, by the base branch's configuration and the machine's own. Raises `BadInput`.

    It stands where the DVC repository itself need not be opened, which takes a second.
    """
    from dvc.exceptions import DvcException

    own = dvc_home(project).root / ".dvc"
    try:
        folder = make_config(own, base_config(project))["cache"].get("dir")
    except (DvcException, OSError) as error:
        raise BadInput(f"not a DVC configuration: {str(error).splitlines()[0]}", file=FILE) from None
    return Path(folder or own / "cache")


def differences(project: Project) -> list[str]:
    """Descriptions of the changes from the base branch's `.dvc/config` to the work tree's. Raises `BadInput`."""
    before = base_config(project)
    if before is None:
        return []
    file = dvc_home(project).root / FILE
    old = settings_in(before, f"base:{FILE}")
    new = settings_in(file.read_text(encoding="utf-8", errors="replace") if file.is_file() else "", FILE)
    return [_describe(key, old.get(key), new.get(key)) for key in sorted(old | new) if old.get(key) != new.get(key)]


def make_config(dvc_dir: Path, text: str | None) -> Any:
    """A `dvc.config.Config` whose repository level is `text`, or the work tree's file if `text` is None.

    The levels of the machine (system, user, `config.local`) are read as usual.
    """
    from dvc.config import Config

    class BaseConfig(Config):
        def load_file(self, path: Any, fs: Any = None) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
            if text is not None and path == self.files["repo"]:
                return Config.load_file(path, fs=_TextFile(text))
            return Config.load_file(path, fs=fs)

    return BaseConfig(str(dvc_dir))


class _TextFile:
    """The part of a file system that `Config.load_file` uses."""

    def __init__(self, text: str):
        self._text = text

    def open(self, _path: str) -> Any:
        import io

        return io.StringIO(self._text)


def settings_in(text: str, name: str) -> dict[str, str]:
    """Section and key -> value, as DVC reads them; `name` is the file in errors. Raises `BadInput`."""
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


def _describe(key: str, old: str | None, new: str | None) -> str:
    section, _, name = key.rpartition(".")
    place = f"{section.strip()}: {name}".replace("'", "").replace('"', "")
    if name not in SHOWN:
        return f"{place} {'is added' if old is None else 'is removed' if new is None else 'is changed'}"
    return f"{place} {_shown(old)} -> {_shown(new)}"


def _shown(value: str | None) -> str:
    return "(none)" if value is None else without_secrets(value)


LOGIN = re.compile(r"//(?:[^/@:]*:(?!\d*/).*@|[^/]*@)", re.DOTALL)
"""To the last `@`: passwords may hold `@` and `/`. What looks like a port, and a path behind a mere name, are none."""


def without_secrets(url: str) -> str:
    """A URL without user name and password."""
    return LOGIN.sub("//", url)
