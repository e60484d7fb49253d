"""ENV003: each machine that the contract names has an environment, with conda locks and with uv's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from beampermit.environments.backend import Lock
from beampermit.environments.conda_lock import lockfile as conda
from beampermit.environments.coverage import uncovered
from beampermit.environments.uv import lockfile as uv
from beampermit.interlocks.environment import ENV003
from beampermit.project import Project
from support.conda_locks import CONDA, PACKAGE

UV = """\
version = 1
requires-python = "==3.11.*"
[[package]]
name = "faults"
version = "1"
source = {{ virtual = "." }}
dependencies = [{{ name = "torch" }}, {{ name = "pywin", marker = "sys_platform == 'win32'" }}]
{extra}
[[package]]
name = "torch"
version = "2.5"
source = {{ registry = "https://index.example" }}
wheels = [{{ url = "https://index.example/torch-2.5-cp311-cp311-{tag}.whl", hash = "sha256:{sha}" }}]
[[package]]
name = "pywin"
version = "3"
source = {{ registry = "https://index.example" }}
wheels = [{{ url = "https://index.example/pywin-3-cp311-cp311-win_amd64.whl", hash = "sha256:{sha}" }}]
"""


def locked(*platforms: str, needs: str = "", variant: str = "") -> Lock:
    packages = "".join(PACKAGE.format(platform=platform, needs=needs) for platform in platforms)
    name = f"{variant}.conda-lock.yml" if variant else "conda-lock.yml"
    return conda.parse(CONDA.format(platforms=", ".join(platforms), packages=packages), name)


def with_uv(tag: str, extra: str = "") -> Lock:
    return uv.parse(UV.format(tag=tag, extra=extra, sha="a" * 64))


def said(lock: Lock, platforms: tuple[str, ...], accelerators: tuple[str, ...] = ("cpu",)) -> list[str]:
    return [problem.message for problem in uncovered(lock, platforms, accelerators)]


def test_a_conda_lock_covers_what_it_has_a_solution_for() -> None:
    assert said(locked("linux-64", "osx-arm64"), ("linux-x86_64", "macos-arm64")) == []
    assert said(locked("linux-64"), ("linux-x86_64", "macos-arm64")) == [
        "the lock has no solution for macos-arm64 (osx-arm64)"
    ]


def test_a_platform_that_is_named_and_has_no_packages_is_not_covered() -> None:
    lock = locked("linux-64")
    named = replace(lock, content={"metadata": {**lock.content["metadata"], "platforms": ["linux-64", "win-64"]}})
    assert said(named, ("windows-x86_64",)) == ["the lock has no solution for windows-x86_64 (win-64)"]


def test_cuda_is_a_lock_of_its_own_that_covers_the_platforms_too() -> None:
    cpu, both = locked("linux-64"), ("cpu", "cuda")
    assert said(cpu, ("linux-x86_64",), both) == ["there is no lock for cuda: list __cuda in cuda.virtual-packages.yml"]
    cuda = locked("linux-64", needs="__cuda: '>=12'", variant="cuda")
    assert said(replace(cpu, others=(cuda,)), ("linux-x86_64",), both) == []
    other = replace(cpu, others=(locked("osx-arm64", variant="cuda"),))
    assert said(other, ("linux-x86_64",), both) == ["the lock has no solution for linux-x86_64 (linux-64)"]


def test_a_cpu_lock_needs_no_gpu() -> None:
    assert said(locked("linux-64", needs="__cuda: '>=11'"), ("linux-x86_64",)) == [
        "torch 2.5 0 needs a GPU: write a virtual-packages.yml without __cuda"
    ]


@pytest.mark.parametrize(
    ("tag", "platform"),
    [
        ("manylinux_2_28_x86_64", "linux-x86_64"),
        ("manylinux2014_aarch64", "linux-aarch64"),
        ("macosx_11_0_arm64", "macos-arm64"),
        ("macosx_10_9_universal2", "macos-x86_64"),
        ("win_amd64", "windows-x86_64"),
    ],
)
def test_a_wheel_covers_its_platform_alone(tag: str, platform: str) -> None:
    assert said(with_uv(tag), (platform,)) == []
    other = "linux-x86_64" if platform != "linux-x86_64" else "macos-arm64"
    assert said(with_uv(tag), (other,)) == [f"torch 2.5 has no file for {other}"]


def test_with_uv_cuda_is_an_extra() -> None:
    both = ("cpu", "cuda")
    extra = '[package.optional-dependencies]\ncuda = [{ name = "torch" }]\n'
    tag, platform = "manylinux_2_28_x86_64", ("linux-x86_64",)
    assert said(with_uv(tag), platform, both) == ["the lock has no extra `cuda` for machines with a GPU"]
    assert said(with_uv(tag, extra), platform, both) == []


@pytest.mark.slow
@pytest.mark.plants("ENV003")
def test_env003_asks_for_what_the_contract_names(project: Project) -> None:
    contract = project.root / "contract.yaml"
    text = contract.read_text()
    lock, alone, both = with_uv("manylinux_2_28_x86_64"), "linux-x86_64", "linux-x86_64, macos-arm64"
    for platforms, reason in (
        (alone, "linux-x86_64 with cpu: 1 package, of unknown size, no CUDA"),
        (both, "torch 2.5 has no file for macos-arm64"),
    ):
        contract.write_text(text.replace("  backend: uv\n", f"  backend: uv\n  platforms: [{platforms}]\n"))
        assert ENV003().check(Project(project.root), lock).reason == reason


def test_an_unknown_platform_is_named() -> None:
    assert "'vax' is not a platform" in said(with_uv("any"), ("vax",))[0]
