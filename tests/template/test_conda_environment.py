"""The template's environment.yml has a solution where a channel offers what it names, as conda-forge packs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from beampermit.environments.addresses import addresses
from beampermit.environments.conda_lock import CondaLock
from beampermit.environments.recording import record_indexes
from beampermit.errors import Failed
from beampermit.generation import generate
from beampermit.interlocks import runner
from beampermit.interlocks.families import select_interlocks
from beampermit.project import Project
from support.conda_channel import QUIET, Channel, serving

pytestmark = pytest.mark.slow

OFFERED = {
    "dvc": "3.67.1",
    "mlflow-skinny": "3.11.1",
    "numpy": "2.5.5",
    "pandas": "3.0.3",
    "pre-commit": "4.6.0",
    "pyarrow": "25.0.0",
    "pydantic": "2.13.4",
    "pytest": "9.1.1",
    "pyyaml": "6.0.3",
    "ruff": "0.16.2",
    "safetensors": "0.7.0",
}
"""Names and versions as the recipes of conda-forge have them; `pytorch` and Python come in several builds."""


@pytest.fixture
def channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    channel = Channel(tmp_path / "lab")
    for name, version in OFFERED.items():
        channel.add(name, version, depends=["python >=3.10"])
    for minor in (10, 11, 14):
        channel.add(
            "python", f"3.{minor}.9", subdir="linux-64", build=f"0_cp3{minor}", depends=["__glibc >=2.17,<3.0.a0"]
        )
    channel.add("cuda-version", "12.9", constrains=["__cuda >=12"])
    channel.add("cuda-version", "13.0", constrains=["__cuda >=13"])
    channel.add("pytorch", "2.13.0", subdir="linux-64", build="cpu_generic_0", depends=["python"])
    for cuda in ("12.9", "13.0"):
        needs = ["python", "__cuda", f"cuda-version >={cuda},<{cuda.partition('.')[0]}.99"]
        build = f"cuda{cuda.replace('.', '')}_generic_200"
        channel.add("pytorch", "2.13.0", subdir="linux-64", build=build, depends=needs, build_number=200)
    with serving(channel):
        yield channel


def project_of(channel: Channel, folder: Path, **answers: str) -> Project:
    root = generate(folder, {"environment": "conda-lock", **answers})
    # A mirror is one edit: the other file has no channels of its own.
    file = root / "environment.yml"
    text = file.read_text()
    assert "channels: [conda-forge]" in text
    file.write_text(text.replace("[conda-forge]", f"[{channel.url}]"))
    return Project(root)


@pytest.mark.parametrize("python", ["3.11", "3.14"])
def test_each_variant_is_solved_and_every_interlock_of_the_lock_passes(
    channel: Channel, tmp_path: Path, python: str
) -> None:
    project = project_of(channel, tmp_path / "made", accelerator="cuda", python_version=python)
    lock = CondaLock().lock(project.root, progress=QUIET)
    record_indexes(project.root, tuple(address for one in lock.all for address in addresses(one)))
    found = {one.variant: {package.name: package for package in one.packages} for one in lock.all}
    assert set(OFFERED) <= set(found[""])
    assert found[""]["python"].version == f"{python}.9"
    assert found[""]["pytorch"].build == "cpu_generic_0"
    assert found["cuda"]["pytorch"].build == "cuda129_generic_200", "machines of CUDA 12 do not run what is for 13"
    verdicts = runner.check(project, select_interlocks(["ENV001", "ENV002", "ENV003", "ENV004"]))
    assert {one.id: (str(one.outcome), one.reason) for one in verdicts if not one.passed} == {}


def test_without_gpus_a_build_without_cuda_is_asked_for_whatever_the_solver_may_assume(
    channel: Channel, tmp_path: Path
) -> None:
    # An older build for CUDA that does not say that it needs a GPU, of a newer version than any for CPUs.
    channel.add("pytorch", "2.14.0", subdir="linux-64", build="cuda118_generic_200", depends=["python"])
    project = project_of(channel, tmp_path / "made")
    lock = CondaLock().lock(project.root, progress=QUIET)
    assert [(one.version, one.build) for one in lock.named("pytorch")] == [("2.13.0", "cpu_generic_0")]
    assert CondaLock().stale(CondaLock().specification(project.root), lock) == ()


def test_a_package_that_the_channel_has_only_in_an_older_version_is_named(channel: Channel, tmp_path: Path) -> None:
    channel.remove(channel.folder / "noarch/safetensors-0.7.0-0.conda")
    channel.add("safetensors", "0.5.2", depends=["python"])
    project = project_of(channel, tmp_path / "made")
    with pytest.raises(Failed, match=r"No candidates were found for safetensors >=0\.6"):
        CondaLock().lock(project.root, progress=QUIET)
