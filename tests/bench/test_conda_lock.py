"""A conda lock of 400 packages for three platforms, and an environment of 60,000 files."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beampermit.environments.conda_lock import CondaLock, channels, specification
from beampermit.environments.conda_lock.solve import Wanted
from beampermit.environments.conda_lock.write import text_of
from beampermit.errors import Problem
from beampermit.files import write_text
from support.conda_channel import QUIET, Channel, serving

pytestmark = pytest.mark.bench
Say = Callable[[str], None]
Timed = Callable[..., float]
PLATFORMS = ("linux-64", "osx-arm64", "win-64")
PACKAGES, FILES, EACH = 400, 60_000, 150
CHANNEL = "https://conda.example/lab"
OURS = [sys.executable, "-m", "beampermit.cli.main", "env"]
THEIRS = [sys.executable, "-m", "conda_lock"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose lock has 400 packages a platform, each needing up to six others, as conda-forge's do."""
    root = tmp_path_factory.mktemp("large")
    top = "".join(f"  - p{number}\n" for number in range(0, PACKAGES, 10))
    text = f"channels: [{CHANNEL}]\nplatforms: [{', '.join(PLATFORMS)}]\ndependencies:\n{top}"
    write_text(root / "environment.yml", text)
    asked = specification.read(root)
    records = {platform: [_record(number, platform) for number in range(PACKAGES)] for platform in PLATFORMS}
    wanted = Wanted("", specification.virtual_repodata(root, ""), None)
    write_text(root / "conda-lock.yml", text_of(asked, wanted, records, (), QUIET))
    return root


def _record(number: int, platform: str) -> dict[str, object]:
    needs = [(number * step + 1) % PACKAGES for step in range(1, 7)] + [(number + 1) % PACKAGES]
    name = f"p{number}-1.{number}-h{number:07x}_0.conda"
    return {
        "name": f"p{number}",
        "version": f"1.{number}",
        "depends": sorted({f"p{other} >=1.{other // 2},<2.0a0" for other in needs if other != number}),
        "url": f"{CHANNEL}/{platform}/{name}",
        "md5": hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256((platform + name).encode()).hexdigest(),
    }


def test_check_against_conda_lock(root: Path, timed: Timed, say: Say, tmp_path: Path) -> None:
    command = [*THEIRS, "lock", "--check-input-hash", "--conda", dummy_conda(tmp_path)]
    theirs = timed(command, root, 3)
    ours = timed([*OURS, "check", "--json"], root, 3)
    say(f"conda-lock lock --check-input-hash: {theirs:.2f} s; beampermit env check: {ours:.2f} s = {ours / theirs:.2f}")
    text = (root / "conda-lock.yml").read_text()
    try:
        write_text(
            root / "conda-lock.yml", re.sub(r"sha256: [0-9a-f]{64}\n  cat", f"sha256: {'a' * 64}\n  cat", text, count=1)
        )
        assert subprocess.run(command, cwd=root, capture_output=True, check=False).returncode == 0
        backend = CondaLock()
        found: tuple[Problem, ...] = backend.stale(backend.specification(root), backend.read(root))
        say(f"    an edited hash: conda-lock says nothing, beampermit says: {found[0].message}")
    finally:
        write_text(root / "conda-lock.yml", text)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project that asks a channel on this machine for 60 packages of 50 files, each needing the next."""
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CONDA_PKGS_DIRS", str(tmp_path / "packages"))
    channel = Channel(tmp_path / "lab")
    for number in range(60):
        files = {f"share/p{number}/{file}.txt": f"{number} {file}\n" * 200 for file in range(50)}
        needs = [f"p{number + 1} >=1"] if number < 59 else []
        for version in ("1.0", "1.1"):
            channel.add(f"p{number}", version, subdir=PLATFORMS[0], depends=needs, files=files)
    with serving(channel):
        project = tmp_path / "project"
        project.mkdir()
        text = f"channels: [{channel.url}]\nplatforms: [{PLATFORMS[0]}]\ndependencies: [p0]\n"
        write_text(project / "environment.yml", text)
        yield project


@pytest.mark.skipif(sys.platform != "linux", reason="the channel has packages for Linux")
def test_lock_and_install_against_conda_lock(served: Path, timed: Timed, say: Say, tmp_path: Path) -> None:
    """With a conda on the path it solves and links for conda-lock; without one conda-lock finds the lock fresh."""
    conda = shutil.which("conda")
    ours = timed([*OURS, "lock"], served)
    if conda is None:
        again = timed([*OURS, "lock"], served, 3)
        check = [*THEIRS, "lock", "--check-input-hash", "--conda", dummy_conda(tmp_path)]
        say(f"lock from nothing: beampermit {ours:.2f} s; there is no conda that could solve for conda-lock")
        theirs = timed(check, served, 3)
        say(f"lock, nothing to move: conda-lock, looking at the hash alone, {theirs:.2f} s, beampermit {again:.2f} s")
        theirs = timed([*THEIRS, "render", "--platform", PLATFORMS[0]], served, 3)
        ours = timed([*OURS, "install", "--prefix", tmp_path / "ours"], served)
        say(f"install: conda-lock, rendering what conda would install, {theirs:.2f} s, beampermit {ours:.2f} s")
        return
    theirs = timed([*THEIRS, "lock", "--conda", conda, "--lockfile", tmp_path / "conda-lock.yml"], served)
    say(f"lock from nothing: conda-lock with conda {theirs:.2f} s, beampermit {ours:.2f} s = {ours / theirs:.2f}")
    theirs = timed([*THEIRS, "install", "--conda", conda, "--prefix", tmp_path / "theirs"], served)
    ours = timed([*OURS, "install", "--prefix", tmp_path / "ours"], served)
    say(f"install from nothing: conda-lock with conda {theirs:.2f} s, beampermit, every file compared, {ours:.2f} s")


def dummy_conda(folder: Path) -> Path:
    """A conda that says its version and can do nothing."""
    conda = folder / "conda"
    conda.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "conda 24.1.0" && exit 0\nexit 9\n')
    conda.chmod(0o755)
    return conda


@pytest.fixture(scope="module")
def prefix(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """60,000 files of 4 KiB in 400 packages, with their records."""
    prefix = tmp_path_factory.mktemp("prefix")
    (prefix / "conda-meta").mkdir()
    for package in CondaLock().read(root).packages:
        if package.platform == channels.current_subdir():
            _link(prefix, package.name, package.version, package.build, package.artifacts[0].sha256 or "")
    return prefix


def _link(prefix: Path, name: str, version: str, build: str, sha256: str) -> None:
    folder = prefix / "lib" / name
    folder.mkdir(parents=True)
    paths = []
    for number in range(EACH):
        content = f"{name} {number}\n".encode() * 300
        (folder / f"{number}.py").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        paths.append({"_path": f"lib/{name}/{number}.py", "path_type": "hardlink", "sha256": digest})
    record = {"name": name, "version": version, "build": build, "sha256": sha256, "paths_data": {"paths": paths}}
    (prefix / "conda-meta" / f"{name}.json").write_text(json.dumps(record))


def test_verify_against_plain_sha256(root: Path, prefix: Path, say: Say) -> None:
    backend = CondaLock()
    lock = backend.read(root)
    start = time.perf_counter()
    assert backend.installed(lock, prefix) == ()
    ours = time.perf_counter() - start
    start = time.perf_counter()
    for path in (prefix / "lib").rglob("*.py"):
        with path.open("rb") as stream:
            hashlib.file_digest(stream, "sha256").hexdigest()
    plain = time.perf_counter() - start
    say(f"verify: {FILES / ours:,.0f} files/s; plain sha256 of the same files: {FILES / plain:,.0f} files/s")
