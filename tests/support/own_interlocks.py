"""Packages of a laboratory's own interlocks on an index of 127.0.0.1, and projects that lock them."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

from beampermit.interlocks.own.installation import folder_of, stamp
from beampermit.interlocks.own.lock import FILE, OwnLock
from beampermit.project import Project
from support.package_index import Index

PASSES = '''
from beampermit.interlocks.api import OwnInterlock, passed

class {id}(OwnInterlock):
    "Passes"

    def check(self):
        """Nothing to do."""
        {body}
'''


def add_package(
    index: Index, name: str, bodies: Mapping[str, str], version: str = "1.0", *, source: str = "", **points: str
) -> str:
    """Serve a package with an interlock for each id, whose check has that body; returns its line of a lock.

    With `source` its module is that instead; `points` are further entry points.
    """
    module = name.replace("-", "_")
    text = source or "".join(PASSES.format(id=id, body=body) for id, body in bodies.items())
    named = {**{id: f"{module}:{id}" for id in bodies}, **points}
    entries = "[beampermit.interlocks]\n" + "".join(f"{id} = {value}\n" for id, value in named.items())
    files = {f"{module}/__init__.py": text, f"{module}-{version}.dist-info/entry_points.txt": entries}
    return locked(index.add(name, version, files=files))


def locked(wheel: Path) -> str:
    """A line of a lock for this wheel."""
    name, version, *_ = wheel.name.split("-")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{name.replace('_', '-')}=={version} \\\n    --hash=sha256:{digest}\n"


def lock(project: Project, index: Index, *lines: str) -> Project:
    """Commit a lock with these lines."""
    file = project.root / FILE
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join((f"--index-url {index.url}\n", *lines)))
    for words in (("add", FILE), ("commit", "--quiet", "--message", "Interlocks of our own")):
        subprocess.run(["git", *words], cwd=project.root, check=True, capture_output=True)
    return Project(project.root)


def unpack(found: OwnLock, index: Index) -> None:
    """Lay out what `install` would, where a test is not about it: tens of times as fast."""
    folder = folder_of(found)
    for package in found.packages:
        (wheel,) = (index.folder / "files").glob(f"{package.name.replace('-', '_')}-{package.version}-*.whl")
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(folder)
    stamp(folder)
