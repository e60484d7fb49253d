"""Units whose worker has a full disk: one that is one, with a file system of some hundred KiB."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.compute import dask
from beampermit.compute.collect import perform_all
from beampermit.compute.executor import open_executor
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Ended, Unit
from support.dask_cluster import APART, dask_cluster
from support.small_disk import run_on_small_disk

pytestmark = pytest.mark.slow
DISK = 400
"""KiB."""
FILLS = """\
import os
if __name__ == "__main__":
    with open("much", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
"""
LOCAL = """\
from beampermit.compute.collect import perform_all
from beampermit.compute.executor import open_executor
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Unit
from beampermit.errors import from_os_error
tree, work = Path(sys.argv[1]), Path(sys.argv[2])
units = [Unit(name, module, {"x": 3}, tree, "1") for name, module in (("sound", "job"), ("fills", "fills"))]
try:
    with open_executor("local", Resources(at_once=1), work) as executor:
        for one in perform_all(iter(units), executor, work):
            print(one.unit.label, one.result, one.reason)
except OSError as error:
    print(from_os_error(error))
"""


def test_a_unit_that_fills_the_disk_here_ends_the_command_and_what_is_done_is_said(tree: Path, tmp_path: Path) -> None:
    (tree / "src/fills.py").write_text(FILLS)
    needs = ("beampermit.compute.collect", "beampermit.compute.local")
    code, out, errors = run_on_small_disk(LOCAL, tmp_path / "small", DISK, tree, tmp_path / "small", needs=needs)
    assert code == 0, errors
    sound, full = out.splitlines()
    assert sound == "sound {'x': 9} "
    assert full.startswith(f"{tmp_path}/small/units/")
    assert full.endswith("no space left on device")


def test_a_unit_that_fills_the_disk_of_a_dask_worker_says_where_and_another_one_is_done_there(
    tree: Path, work: Path, tmp_path: Path, unit_of: Callable[..., Unit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask.Dask, "late", 0.1)
    (tree / "src/fills.py").write_text(FILLS)
    with dask_cluster(tmp_path / "dask") as cluster:
        cluster.worker(preload=APART, disk=DISK)

        def performed(*units: Unit) -> list[Ended]:
            with open_executor(cluster.address, Resources(), work) as executor:
                return list(perform_all(iter(units), executor, work))

        (fills,) = performed(Unit("fills", "fills", {}, tree, "1"))
        (sound,) = performed(unit_of(3))
    assert fills.result is None
    assert fills.reason.startswith("lost 3 times: ")
    assert f"No space left on device on {platform.node()}" in fills.reason
    assert sound.result == {"x": 9}, "what filled the disk is still there"
