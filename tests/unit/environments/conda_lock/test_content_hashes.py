"""A lock of an earlier conda-lock is as fresh as one of today, and no change of the requirements is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.environments.backend import Lock
from beampermit.environments.conda_lock import CondaLock
from beampermit.environments.conda_lock.content_hashes import changed_platforms, repodata_of_lock

ENVIRONMENT = """\
channels: [conda-forge]
platforms: [linux-64, osx-64]
dependencies:
  - python 3.11.*
  - numpy >=2
  - pip
  - pip:
    - orbit-tools==1.2.0
    - lattice>=3
"""
MADE = {
    "2.1.2": (
        "282f7b0e79fd9baa7870eea064a74c4372416447de12f64769bb4fb553813871",
        "4d5e1d0c459dd258279440ae0cf87616d787f5a073fd6ee97b2b172d92b092e1",
    ),
    "2.5.6": (
        "ca059e9136f357cc002d6ac8c6af5b37b0939077a8152ec7e30900139687fb60",
        "4d5e1d0c459dd258279440ae0cf87616d787f5a073fd6ee97b2b172d92b092e1",
    ),
    "2.5.7": (
        "f6d1e968c8fac5c2317bc53c61a861e2f745b9f3b264b8b28dbe1f1da8a81a35",
        "e5a2d4437933766e1bcb9b74d08a6180d722a22bcc88631d23e8738cb3ed45ae",
    ),
    "3.0.1": (
        "a9f80f053ce59429e80369eff347ffae43baae0564ada122a24b440a2d86ec6e",
        "5928603f002fe1761c27d1a274e3cbc4547588df168e1094fe6f257b3b11d3fe",
    ),
    "3.0.4": (
        "0f9b2731a5fbcb038ab6d066b897e4c3c2bf540ff47bc22b677956ae12c9589f",
        "0e85ad136d3d991c9e27ae242ceb3a25a3ca9ad9fcd3c967565a1f26c0aede51",
    ),
}
"""The release of conda-lock -> what it wrote for `ENVIRONMENT`, for linux-64 and osx-64."""
MACHINES = """\
subdirs:
  linux-64: {packages: {__unix: "0", __linux: "5.10", __archspec: "1 x86_64", __glibc: "2.28", __cuda: "11.4"}}
  osx-64: {packages: {__osx: "11.0"}}
"""


def changed(root: Path, release: str) -> list[str]:
    """The platforms for which the lock that a release made is not fresh."""
    hashes = dict(zip(("linux-64", "osx-64"), MADE[release], strict=True))
    lock = Lock("conda-lock.yml", "", "", (), {"metadata": {"content_hash": hashes}})
    required = CondaLock().specification(root).content["required"]
    return changed_platforms(root, required, repodata_of_lock(root, required, lock), lock)


@pytest.mark.slow
@pytest.mark.parametrize("release", MADE)
def test_the_hashes_of_each_conda_lock_since_2_are_those_of_the_same_requirements(release: str, tmp_path: Path) -> None:
    file = tmp_path / "environment.yml"
    file.write_text(ENVIRONMENT)
    assert changed(tmp_path, release) == []
    for before, after in (("==1.2.0", "==1.2.1"), ("==1.2.0", ">=1.2.0"), ("numpy >=2", "numpy >=2,<3")):
        file.write_text(ENVIRONMENT.replace(before, after))
        assert changed(tmp_path, release) == ["linux-64", "osx-64"]


@pytest.mark.slow
def test_what_a_file_says_of_machines_is_never_taken_for_an_earlier_assumption(tmp_path: Path) -> None:
    (tmp_path / "environment.yml").write_text(ENVIRONMENT)
    (tmp_path / "virtual-packages.yml").write_text(MACHINES)
    assert changed(tmp_path, "2.5.6") == ["osx-64"], "the file says for linux-64 what is assumed without one"
    assert changed(tmp_path, "2.1.2") == ["linux-64", "osx-64"], "it was made for an older glibc"
