"""A conda channel that tests make and serve on 127.0.0.1, and break where they want to."""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from support.loopback import listening

QUIET: Callable[[str], None] = str.split
"""A watch that does not look."""
TOKEN = "s3cret"
"""With `/t/` and this before it, the channel is a private one."""
PYTHON = "{}.{}".format(*sys.version_info[:2])
LAUNCHER = f"""#!/bin/sh
here=$(dirname "$0")
PYTHONPATH="$here/../lib/python{PYTHON}/site-packages${{PYTHONPATH:+:$PYTHONPATH}}" exec "{sys.executable}" "$@"
"""
"""A real Python is 30 MB that no test may download: the tiny package `python` starts the interpreter of the tests."""


@dataclass
class Channel:
    """Packages below `folder` with a `repodata.json` a platform. `faults` maps parts of paths to what goes wrong."""

    folder: Path
    url: str = ""
    faults: dict[str, Callable[[bytes], tuple[int, bytes]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    login: str = ""
    """The `Authorization` that every request must carry, if any must."""

    def add(
        self,
        name: str,
        version: str = "1.0",
        *,
        build: str = "0",
        subdir: str = "noarch",
        depends: Sequence[str] = (),
        constrains: Sequence[str] = (),
        files: dict[str, str] | None = None,
        python: bool = False,
        entry_points: Sequence[str] = (),
        kind: str = ".conda",
        **more: Any,
    ) -> Path:
        """Pack a package and write its line into the repodata; `python` packs it as `noarch: python`."""
        stem = f"{name}-{version}-{build}"
        index = {
            "name": name,
            "version": version,
            "build": build,
            "build_number": 0,
            "depends": list(depends),
            "constrains": list(constrains),
            "subdir": subdir,
            "timestamp": 1_700_000_000_000,
            "license": "MIT",
            **more,
        }
        if subdir == "noarch":
            index["noarch"] = "python" if python else "generic"
        members = {path: text.encode() for path, text in (files or {f"share/{name}.txt": f"{stem}\n"}).items()}
        link = {"noarch": {"type": "python", "entry_points": list(entry_points)}, "package_metadata_version": 1}
        content = {
            **members,
            "info/index.json": json.dumps(index).encode(),
            "info/paths.json": json.dumps(_paths(members)).encode(),
            "info/files": "\n".join(members).encode(),
            "info/about.json": b"{}",
            **({"info/link.json": json.dumps(link).encode()} if python else {}),
        }
        place = self.folder / subdir
        place.mkdir(parents=True, exist_ok=True)
        path = _pack(place, stem, content, kind)
        self._list(path, index)
        return path

    def remove(self, path: Path) -> None:
        """Take a package out of the repodata, as a channel does with one that was yanked."""
        with _repodata(path.parent) as repodata:
            for packages in ("packages", "packages.conda"):
                repodata[packages].pop(path.name, None)

    def _list(self, path: Path, index: dict[str, Any]) -> None:
        for subdir in {"noarch", "linux-64", "osx-arm64", index["subdir"]}:
            (self.folder / subdir).mkdir(exist_ok=True)
            with _repodata(self.folder / subdir):
                pass
        content = path.read_bytes()
        with _repodata(path.parent) as repodata:
            repodata["packages.conda" if path.name.endswith(".conda") else "packages"][path.name] = {
                **index,
                "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
                "sha256": hashlib.sha256(content).hexdigest(),
                "size": len(content),
            }


@contextmanager
def serving(channel: Channel) -> Iterator[Channel]:
    """Serve the channel on a free port of 127.0.0.1 until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?", 1)[0]
            channel.asked.append(path)
            inside = path.removeprefix(f"/t/{TOKEN}")
            file = channel.folder / inside.removeprefix("/lab/")
            status, body = (200, file.read_bytes()) if inside.startswith("/lab/") and file.is_file() else (404, b"")
            if channel.login and self.headers.get("Authorization") != channel.login:
                status, body = 401, b""
            for part, fault in channel.faults.items():
                if part in path:
                    status, body = fault(body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as port:
        channel.url = f"http://127.0.0.1:{port}/lab"
        yield channel


def laboratory(folder: Path) -> Channel:
    """A small channel with what the tests ask for: two kinds of archive, an entry point, a build chosen by `__cuda`."""
    channel = Channel(folder)
    launchers = {f"bin/{name}": LAUNCHER for name in ("python", "python3", f"python{PYTHON}")}
    channel.add("python", f"{PYTHON}.4", subdir="linux-64", build="h1_0", files=launchers, depends=["zlib >=1.2,<2"])
    channel.add("python", f"{PYTHON}.4", subdir="osx-arm64", build="h1_0", files=launchers, depends=["zlib >=1.2,<2"])
    for subdir in ("linux-64", "osx-arm64"):
        for version in ("1.2", "1.3"):
            channel.add("zlib", version, subdir=subdir, build="h0_1", kind=".tar.bz2")
    for version in ("1.0", "1.1", "2.0"):
        channel.add(
            "orbit",
            version,
            build="pyh_0",
            python=True,
            depends=["python >=3.9", "tune >=1.0"],
            files={
                "site-packages/orbit/__init__.py": "def main():\n    print('orbit', __name__)\n",
                f"site-packages/orbit-{version}.dist-info/METADATA": f"Name: orbit\nVersion: {version}\n",
                f"site-packages/orbit-{version}.dist-info/INSTALLER": "conda\n",
            },
            entry_points=["orbit = orbit:main"],
        )
    for version in ("1.0", "1.5"):
        channel.add("tune", version, kind=".tar.bz2" if version == "1.0" else ".conda")
    channel.add("torch", "2.5", subdir="linux-64", build="cpu_0", depends=["zlib"])
    channel.add("torch", "2.5", subdir="linux-64", build="cuda_1", depends=["zlib", "__cuda >=12"], build_number=200)
    channel.add("torch", "2.5", subdir="osx-arm64", build="cpu_0", depends=["zlib"])
    channel.add("probe", "3.0", depends=["tune"])
    channel.add("old-magnet", "0.1", depends=["tune <1.5"])
    return channel


def _paths(members: dict[str, bytes]) -> dict[str, Any]:
    return {
        "paths_version": 1,
        "paths": [
            {
                "_path": path,
                "path_type": "hardlink",
                "sha256": hashlib.sha256(content).hexdigest(),
                "size_in_bytes": len(content),
            }
            for path, content in members.items()
        ],
    }


def _pack(place: Path, stem: str, content: dict[str, bytes], kind: str) -> Path:
    from conda_package_streaming.create import conda_builder

    path = place / f"{stem}{kind}"
    if kind == ".conda":
        with conda_builder(stem, place, compression_level=1) as archive:
            _fill(archive, content)
        return path
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        _fill(archive, content)
    path.write_bytes(bz2.compress(packed.getvalue()))
    return path


def _fill(archive: tarfile.TarFile, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), 0o755 if name.startswith("bin/") else 0o644
        archive.addfile(member, io.BytesIO(data))


@contextmanager
def _repodata(place: Path) -> Iterator[dict[str, Any]]:
    file = place / "repodata.json"
    found = json.loads(file.read_text()) if file.is_file() else {"packages": {}, "packages.conda": {}}
    found["info"] = {"subdir": place.name}
    yield found
    file.write_text(json.dumps(found))
