"""ENV003: what a machine without a GPU installs holds no CUDA, with uv and with conda."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from beampermit.environments.backend import Artifact, Edge, Lock, Package
from beampermit.environments.conda_lock import lockfile as conda
from beampermit.environments.coverage import uncovered
from beampermit.environments.cuda import holds_cuda
from beampermit.environments.inventory import describe, describe_all, inventory
from beampermit.environments.uv import lockfile as uv
from beampermit.interlocks.environment import ENV003
from beampermit.project import Project
from support.conda_locks import CONDA

LINUX = ("linux-x86_64",)
OWN = """\
version = 1
requires-python = "==3.11.*"
[[package]]
name = "faults"
version = "1"
source = {{ virtual = "." }}
dependencies = [{needs}]
{extras}
"""
ENTRY = """\
[[package]]
name = "{name}"
version = "{version}"
source = {{ registry = "https://index.example" }}
dependencies = [{needs}]
wheels = [{{ url = "https://index.example/{file}", hash = "sha256:{sha}"{size} }}]
"""
PYTORCH = {
    "torch 2.13.0": "cuda-toolkit nvidia-nccl-cu13",
    "cuda-toolkit 13.0": "nvidia-cublas",
    "nvidia-cublas 13.1": "",
}
PURE = ("cuda-toolkit", "nvidia-ml-py", "cuda-pathfinder", "lightning")


def listed(names: str) -> str:
    return ", ".join(f'{{ name = "{name}" }}' for name in names.split())


def with_uv(packages: dict[str, str], needs: str = "torch", extras: str = "", sizes: str = ", size = 2000000") -> Lock:
    text = OWN.format(needs=listed(needs), extras=extras)
    for package, edges in packages.items():
        name, version = package.split()
        tag = "py3-none-any" if name in PURE else "cp311-cp311-manylinux_2_28_x86_64"
        file = f"{name.replace('-', '_')}-{version}-{tag}.whl"
        size = "" if "+" in version else sizes
        text += ENTRY.format(name=name, version=version, needs=listed(edges), file=file, sha="a" * 64, size=size)
    return uv.parse(text)


def with_conda(variant: str = "", **builds: str) -> Lock:
    """A lock of packages by name, each `build` or `noarch build`."""
    packages = ""
    for name, given in builds.items():
        subdir, _, build = given.rpartition(" ")
        url = f"https://conda.example/lab/{subdir or 'linux-64'}/{name.replace('_', '-')}-1-{build}.conda"
        packages += (
            f"- {{name: {name.replace('_', '-')}, version: '1', manager: conda, platform: linux-64, dependencies: {{}},"
            f" url: '{url}', hash: {{md5: x, sha256: x}}, category: main, optional: false}}\n"
        )
    name = f"{variant}.conda-lock.yml" if variant else "conda-lock.yml"
    return conda.parse(CONDA.format(platforms="linux-64", packages=packages), name)


def said(lock: Lock, accelerators: tuple[str, ...] = ("cpu",)) -> list[str]:
    return [problem.message for problem in uncovered(lock, LINUX, accelerators)]


@pytest.mark.plants("ENV003")
def test_a_lock_of_plain_torch_fails_where_the_contract_says_cpu_and_names_who_brings_cuda(project: Project) -> None:
    lock = with_uv({**PYTORCH, "nvidia-nccl-cu13 2.29": ""})
    finding = ENV003().check(Project(project.root), lock)
    assert finding.outcome == "failed"
    assert finding.reason == (
        "the lock gives linux-x86_64 with cpu 2 CUDA packages, which torch 2.13.0 needs: "
        "nvidia-cublas 13.1, nvidia-nccl-cu13 2.29"
    )
    assert [place.line for place in finding.locations] == [lock.named("torch")[0].line]
    assert said(lock, ("cuda",)) == [], "a model for GPUs alone needs them"
    sound = ENV003().check(Project(project.root), with_uv({"torch 2.13.0+cpu": ""}))
    assert (sound.outcome, sound.reason) == ("passed", "linux-x86_64 with cpu: 1 package, of unknown size, no CUDA")


@pytest.mark.plants("ENV003")
def test_a_pull_request_that_takes_cpu_out_of_the_contract_is_judged_by_the_base(project: Project) -> None:
    lock = with_uv({**PYTORCH, "nvidia-nccl-cu13 2.29": ""})
    file = project.root / "contract.yaml"
    text = file.read_text()
    project.git("add", "--all")
    project.git("commit", "--quiet", "--allow-empty", "--message", "Before")
    file.write_text(text.replace("  backend: uv\n", "  backend: uv\n  accelerators: [cuda]\n"))
    assert "16" not in (reason := ENV003().check(Project(project.root, "HEAD"), lock).reason)
    assert reason.startswith("the lock gives linux-x86_64 with cpu 2 CUDA packages")


def test_the_build_itself_is_named_where_its_version_says_cuda() -> None:
    lock = with_uv(
        {"torch 2.13.0+cu130": "nvidia-cublas", "nvidia-cublas 13.1": "", "lightning 2.5": "torch"}, "lightning"
    )
    assert said(lock) == [
        "the lock gives linux-x86_64 with cpu 2 CUDA packages: torch 2.13.0+cu130, nvidia-cublas 13.1"
    ]


def test_a_cuda_variant_beside_one_for_cpus_is_sound_and_a_cpu_variant_with_cuda_is_not() -> None:
    source = '{{ name = "torch", version = "{}", source = {{ registry = "https://index.example" }} }}'
    packages = {"torch 2.13.0+cpu": "", "torch 2.13.0+cu130": "nvidia-cublas", "nvidia-cublas 13.1": ""}
    for cpu, cuda, problems in (("+cpu", "+cu130", 0), ("+cu130", "+cu130", 1)):
        extras = "[package.optional-dependencies]\n" + "".join(
            f"{name} = [{source.format(f'2.13.0{build}')}]\n" for name, build in (("cpu", cpu), ("cuda", cuda))
        )
        lock = with_uv(packages, "", extras)
        assert len(said(lock, ("cpu", "cuda"))) == problems
    held = {one.variant: (one.packages, one.cuda) for one in inventory(lock, Path(), LINUX)}
    assert held == {"cpu": (2, 2), "cuda": (2, 2)}


@pytest.mark.parametrize(
    ("name", "version", "file", "holds"),
    [
        ("nvidia-cublas", "13.1", "nvidia_cublas-13.1-py3-none-manylinux_2_27_x86_64.whl", True),
        ("nvidia-cudnn-cu13", "9", "nvidia_cudnn_cu13-9-py3-none-manylinux_2_27_x86_64.whl", True),
        ("cupy-cuda13x", "14", "cupy_cuda13x-14-cp311-cp311-manylinux2014_x86_64.whl", True),
        ("onnxruntime-gpu", "1.24", "onnxruntime_gpu-1.24-cp311-cp311-manylinux_2_27_x86_64.whl", True),
        ("jax-cuda13-plugin", "0.9", "jax_cuda13_plugin-0.9-cp311-cp311-manylinux_2_27_x86_64.whl", True),
        ("flash-attn", "2.8+cu130torch2.13", "flash_attn-2.8+cu130torch2.13-cp311-cp311-linux_x86_64.whl", True),
        ("torch", "2.13.0+cu130", "torch-2.13.0+cu130-cp311-cp311-manylinux_2_28_x86_64.whl", True),
        ("nvidia-ml-py", "13.580", "nvidia_ml_py-13.580-py3-none-any.whl", False),
        ("nvidia-ml-py3", "7.352", "nvidia-ml-py3-7.352.tar.gz", False),
        ("cuda-pathfinder", "1.3", "cuda_pathfinder-1.3-py3-none-any.whl", False),
        ("torch", "2.13.0+cpu", "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", False),
        ("torch", "2.13.0", "torch-2.13.0-cp311-none-macosx_11_0_arm64.whl", False),
        ("lab", "1.0+custom.1", "lab-1.0+custom.1-cp311-cp311-linux_x86_64.whl", False),
        ("lab", "1.0+cudos", "lab-1.0+cudos-cp311-cp311-linux_x86_64.whl", False),
        ("barracuda", "1", "barracuda-1-cp311-cp311-linux_x86_64.whl", False),
        ("wgpu", "0.30", "wgpu-0.30-py3-none-manylinux_2_28_x86_64.whl", False),
        ("accudated", "1", "accudated-1-cp311-cp311-linux_x86_64.whl", False),
    ],
)
def test_a_wheel_holds_cuda_by_its_version_or_by_its_name_and_compiled_files(
    name: str, version: str, file: str, holds: bool
) -> None:
    artifact = Artifact(file, f"https://index.example/{file}", "a" * 64)
    assert holds_cuda(Package(name, version, "https://index.example", "", (artifact,))) is holds


def test_conda_builds_of_cuda_fail_for_cpu_and_pass_in_a_variant_of_their_own() -> None:
    cpu = with_conda(pytorch="cpu_generic_py311_h0_0", cuda_version="noarch hd8ed1ab_3", nvidia_ml_py="noarch pyhd8_0")
    cuda = {"pytorch": "cuda129_generic_py311_200", "cuda_cudart": "h5888daf_0", "libmagma": "h7b_4"}
    assert said(cpu) == []
    assert said(replace(cpu, others=(with_conda("cuda", **cuda),)), ("cpu", "cuda")) == []
    assert said(with_conda(**cuda)) == ["the lock gives linux-64 with cpu 2 CUDA packages: pytorch 1, cuda-cudart 1"]
    assert said(with_conda(**cuda), ("cuda",)) == []


@pytest.mark.parametrize(
    ("build", "holds"),
    [
        ("cuda129_generic_200", True),
        ("py3.11_cuda12.1_cudnn8.9.2_0", True),
        ("h1_10_cuda", True),
        ("cpu_mkl_py311_h0_100", False),
        ("nocuda_py311_0", False),
        ("no_cuda_0", False),
        ("cudaNone_py311_0", False),
        ("nompi_h1_0", False),
    ],
)
def test_a_conda_build_says_whether_it_is_for_cuda(build: str, holds: bool) -> None:
    assert [holds_cuda(one) for one in with_conda(arrow=build).packages] == [holds]


def test_what_a_lock_installs_is_one_line_for_each_machine(tmp_path: Path) -> None:
    lock = with_uv({**PYTORCH, "nvidia-nccl-cu13 2.29": ""})
    assert describe_all(inventory(lock, tmp_path, LINUX)) == "4 packages, 8.0 MB to download, 2 of them CUDA"
    assert describe_all(inventory(lock, tmp_path, (*LINUX, "macos-arm64"))).startswith("linux-x86_64: 4 packages, 8.0")
    beside = with_uv({"torch 2.13.0+cpu": "lightning", "lightning 1": ""})
    assert describe_all(inventory(beside, tmp_path, LINUX)) == (
        "2 packages, 2.0 MB to download besides torch 2.13.0+cpu of unknown size, no CUDA"
    )
    assert describe_all(inventory(with_uv({}, ""), tmp_path, LINUX)) == "0 packages, of unknown size, no CUDA"


def test_a_size_that_no_file_has_counts_as_unknown(tmp_path: Path) -> None:
    for size in ("-1", "true", str(2**62), "1.5", '"9"'):
        lock = with_uv({"torch 2.13.0": ""}, sizes=f", size = {size}")
        assert inventory(lock, tmp_path, LINUX)[0].unsized == ("torch 2.13.0",)


def test_a_wheel_of_a_local_folder_is_measured(tmp_path: Path) -> None:
    lock = with_uv({"torch 2.13.0": ""}, sizes="")
    (package,) = lock.named("torch")
    local = replace(package.artifacts[0], local=True, address=f"wheels/{package.artifacts[0].file_name}")
    measured = replace(lock, packages=(lock.packages[0], replace(package, artifacts=(local,))))
    assert inventory(measured, tmp_path, LINUX)[0].unsized == ("torch 2.13.0",)
    (tmp_path / "wheels").mkdir()
    (tmp_path / local.address).write_bytes(b"x" * 1_234_567)
    assert describe(inventory(measured, tmp_path, LINUX)[0]) == "1 package, 1.2 MB to download, no CUDA"


def test_needs_of_packages_that_need_each_other_end() -> None:
    lock = with_uv(
        {"torch 2.13.0": "cuda-toolkit", "cuda-toolkit 13.0": "torch nvidia-cublas", "nvidia-cublas 13.1": ""}
    )
    assert "which torch 2.13.0 needs" in said(lock)[0]
    assert Edge("torch") in lock.named("cuda-toolkit")[0].needs
