from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.compute import local
from beampermit.compute.executor import open_executor
from beampermit.compute.local import Local, gpus_here, slots_of
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Unit, prepare, read_result
from beampermit.errors import BadInput

GIB = 2**30


@pytest.mark.parametrize(
    ("asked", "cores", "gpus", "slots"),
    [
        ({}, 4, 0, 4),
        ({"cores": 2}, 5, 0, 2),
        ({"cores": 4}, 4, 0, 1),
        ({"gpus": 1}, 8, 3, 3),
        ({"gpus": 2, "cores": 4}, 7, 4, 1),
        ({"gpus": 2}, 8, 5, 2),
        ({"memory": 5 * GIB}, 8, 0, 3),
        ({"memory": 16 * GIB}, 8, 0, 1),
        ({"at_once": 2}, 8, 0, 2),
        ({"at_once": 9}, 8, 0, 8),
    ],
)
def test_units_at_once(
    asked: dict[str, int], cores: int, gpus: int, slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "memory_here", lambda: 16 * GIB)
    assert slots_of(Resources.model_validate(asked), cores, gpus) == slots


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"cores": 5}, "a unit needs 5 cores (--cores), this machine has 4"),
        ({"gpus": 2}, "a unit needs 2 GPUs (--gpus), this machine has 1"),
        ({"memory": 16 * GIB + 1}, "a unit needs 16384 MiB (--memory), this machine has 16384 MiB"),
        ({"nodes": 2}, "--on local is one machine, and --nodes is 2"),
    ],
)
def test_what_this_machine_has_not(asked: dict[str, int], reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "memory_here", lambda: 16 * GIB)
    with pytest.raises(BadInput) as caught:
        slots_of(Resources.model_validate(asked), 4, 1)
    assert str(caught.value) == reason


def test_gpus_are_those_that_we_may_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-abc,")
    assert gpus_here() == ("3", "GPU-abc")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: H200 (UUID: a)'\necho '  MIG 1g: x'\necho 'GPU 1: H200 (UUID: b)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpus_here() == ("0", "1")
    program.write_text("#!/bin/sh\nexit 9\n")
    assert gpus_here() == ()
    monkeypatch.setenv("PATH", "")
    assert gpus_here() == ()


@pytest.mark.slow
def test_each_slot_has_its_threads_and_gpus(
    unit_of: Callable[..., Unit], work: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    monkeypatch.setattr(local, "cores_here", lambda: 6)
    (tmp_path / "held").touch()
    units = [unit_of(x, who=True, hold=str(tmp_path / "held")) for x in (1, 2)]
    folders = [unit.folder(work) for unit in units]
    for unit, folder in zip(units, folders, strict=True):
        prepare(unit, folder)
    with open_executor("local", Resources(cores=3, gpus=2), work) as executor:
        assert executor.slots == 2
        executor.submit(folders)
        assert executor.ended(0) == {}
        (tmp_path / "held").unlink()
        ended: dict[Path, str] = {}
        while len(ended) < 2:
            ended |= executor.ended(60)
    assert ended == dict.fromkeys(folders, "")
    seen = [result["variables"] for folder in folders if (result := read_result(folder))]
    assert {one["CUDA_VISIBLE_DEVICES"] for one in seen} == {"4,5", "6,7"}
    assert {one["MKL_NUM_THREADS"] for one in seen} == {"3"}


@pytest.mark.slow
def test_without_gpus_a_unit_sees_none(
    unit_of: Callable[..., Unit], work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    unit = unit_of(1, who=True)
    folder = unit.folder(work)
    prepare(unit, folder)
    with Local(Resources(at_once=1)) as executor:
        executor.submit([folder])
        assert executor.ended(60) == {folder: ""}
    result = read_result(folder)
    assert result
    assert result["variables"]["CUDA_VISIBLE_DEVICES"] == ""


def test_an_executor_that_does_not_exist(work: Path) -> None:
    there = "local, slurm, dask://ADDRESS, dask-gateway://NAME, kubernetes"
    with pytest.raises(BadInput, match=f"--on is 'slrum', and there is {there}; did"):
        open_executor("slrum", Resources(), work)
