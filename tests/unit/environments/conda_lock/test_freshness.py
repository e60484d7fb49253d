"""`env check`: each way to tamper with a conda lock is seen without a solver and without the network."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.environments.addresses import untrusted
from beampermit.environments.backend import Lock
from beampermit.environments.conda_lock import CondaLock
from beampermit.environments.conda_lock.channels import addresses
from beampermit.environments.conda_lock.conda_lock_api import conda_lock_module
from beampermit.errors import BadInput, Problem
from support.conda_channel import QUIET, Channel

Judge = Callable[..., subprocess.CompletedProcess[str]]
SHA = "a" * 64


def problems(backend: CondaLock, root: Path) -> list[Problem]:
    """What ENV002 and ENV004 say of it."""
    lock = backend.read(root)
    stale = backend.stale(backend.specification(root), lock)
    return [*stale, *(problem for one in lock.all for problem in untrusted(one, None))]


def edit(file: Path, pattern: str, replacement: str) -> None:
    text = file.read_text()
    edited = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE | re.DOTALL)
    assert edited != text, f"{pattern} is not in {file.name}"
    file.write_text(edited)


def test_a_fresh_lock_is_a_solution(backend: CondaLock, locked: Path, channel: Channel) -> None:
    channel.asked.clear()
    assert problems(backend, locked) == []
    assert channel.asked == [], "the network was used"


def test_a_lock_written_by_conda_lock_bears_no_seal_and_is_a_solution(backend: CondaLock, locked: Path) -> None:
    edit(locked / "conda-lock.yml", r"  custom_metadata:\n(    beampermit-.*?\n)+(?=package)", "")
    assert "beampermit" not in (locked / "conda-lock.yml").read_text()
    assert problems(backend, locked) == []


TAMPERED = {
    "version": (r"(name: tune\n  version: )'1.5'", r"\1'1.6'", "tune 1.6: the file tune-1.5-0.conda is of tune 1.5"),
    "version and file": (
        r"(name: zlib\n  version: )'1.3'(.*?)zlib-1.3-h0_1",
        r"\1'9.3'\2zlib-9.3-h0_1",
        r"python \S+ needs zlib >=1.2,<2 and 9.3 is locked for linux-64",
    ),
    "version of a requirement": (
        r"(name: orbit\n  version: )'2.0'(.*?)orbit-2.0-",
        r"\1'0.5'\2orbit-0.5-",
        "orbit >=1.0 is required and 0.5 is locked for linux-64",
    ),
    "sha256": (
        r"sha256: [0-9a-f]{64}\n  category",
        f"sha256: {SHA}\n  category",
        "the packages for linux-64 were edited",
    ),
    "md5, all that a render carries": (
        r"md5: [0-9a-f]{32}",
        "md5: " + "b" * 32,
        "the packages for linux-64 were edited",
    ),
    "no sha256": (r"    sha256: [0-9a-f]{64}\n  category", "  category", "has no sha256"),
    "the hash of another package": (
        r"(name: tune.*?sha256: )[0-9a-f]{64}(.*?name: zlib.*?sha256: )([0-9a-f]{64})",
        r"\g<1>\3\2\3",
        "has the sha256 of",
    ),
    "a foreign URL": (
        r"http://127.0.0.1:\d+/lab/noarch/tune",
        "http://evil.example/lab/noarch/tune",
        "tune 1.5 would come from http://evil.example/lab, which is not in `channels:`",
    ),
    "another channel of the same host": (
        r"/lab/noarch/tune",
        "/other/noarch/tune",
        "other, which is not in `channels:`",
    ),
    "a file of another platform": (
        r"/lab/linux-64/torch",
        "/lab/osx-arm64/torch",
        "torch 2.5 is locked for linux-64 and its file is for osx-arm64",
    ),
    "a package removed": (
        r"- name: tune\n.*?(?=- name)",
        "",
        "orbit 2.0 needs tune, which is not locked for linux-64",
    ),
    "a requirement removed": (
        r"- name: torch\n.*?(?=- name)",
        "",
        "torch is required and not locked for linux-64",
    ),
    "a package added": (
        r"(package:\n)(- name: orbit)(.*?)(?=- name)",
        r"\1- name: orbit-extra\3\2\3",
        "is locked for linux-64 and nothing needs it",
    ),
    "a package that is called as a virtual one": (
        r"(package:\n)(- name: orbit)(.*?dependencies:\n)(.*?)(?=- name)",
        r"\1- name: __rocm\3\4\2\3    __rocm: ''\n\4",
        "orbit 2.0 needs __rocm, which is not locked for linux-64",
    ),
    "a virtual package with a file": (
        r"(package:\n)(- name: orbit)(.*?)(?=- name)",
        r"\1- name: __orbit\3\2\3",
        "is locked for linux-64 and nothing needs it",
    ),
    "a need removed": (r"    tune: '>=1.0'\n", "", "the packages for linux-64 were edited"),
    "a category": (
        r"(name: tune.*?)category: main\n  optional: false",
        r"\1category: dev\n  optional: true",
        "tune 1.5 is needed for 'main' on linux-64 and locked only for 'dev'",
    ),
    "pip": (
        r"(name: tune\n  version: '1.5'\n  manager: )conda",
        r"\1pip",
        "tune 1.5 is locked for linux-64 and nothing needs it",
    ),
    "the channels it names": (
        r"- url: http://127",
        "- url: http://128",
        "the lock was made with the channels http://128",
    ),
    "the platforms it names": (
        r"  - linux-64\n  - osx-arm64\n  sources",
        "  - osx-arm64\n  sources",
        "the lock has no solution for linux-64; it is for osx-arm64",
    ),
    "its sources": (
        r"  - dev-environment.yml\n",
        "",
        "the environment files are environment.yml, dev-environment.yml",
    ),
    "its content hash": (
        r"    linux-64: [0-9a-f]{64}",
        f"    linux-64: {SHA}",
        "was changed after the lock for linux-64",
    ),
    "its seal": (
        r"(beampermit-linux-64: sha256:)[0-9a-f]{64}",
        rf"\g<1>{SHA}",
        "the packages for linux-64 were edited",
    ),
}


@pytest.mark.parametrize("defect", TAMPERED)
@pytest.mark.parametrize("file", ["conda-lock.yml", "cuda.conda-lock.yml"])
def test_tampering_is_seen_and_has_a_line(backend: CondaLock, locked: Path, defect: str, file: str) -> None:
    pattern, replacement, message = TAMPERED[defect]
    edit(locked / file, pattern, replacement)
    found = problems(backend, locked)
    assert any(re.search(message, problem.message) for problem in found), [problem.message for problem in found]
    assert {problem.file for problem in found} <= {file, "environment.yml"}
    assert any(problem.line for problem in found) or "removed" in defect


UNREADABLE = {
    "conflict markers": (lambda text: text.replace("package:\n", "package:\n<<<<<<< ours\n"), "merge-conflict markers"),
    "an alias bomb": (
        lambda text: 'a: &a ["x"]\nb: &b [*a, *a]\nc: &c [*b, *b]\n' + text,
        "aliases are not supported",
    ),
    "a package twice": (
        lambda text: text + text[text.rindex("- name:") :],
        "zlib 1.3 is locked twice for osx-arm64",
    ),
    "a package from two files": (
        lambda text: (
            text + text[text.rindex("- name:") :].replace("category: main", "category: dev").replace("1.3", "1.2")
        ),
        "zlib is locked for osx-arm64 as 1.3 and 1.2",
    ),
    "a key twice": (
        lambda text: text.replace("  manager: conda", "  manager: conda\n  manager: pip", 1),
        "given twice",
    ),
    "no URL": (lambda text: re.sub(r"  url: \S+\n", "", text, count=1), "'url' is missing"),
    "a version that YAML takes for a number": (lambda text: text.replace("'1.5'", "1.5", 1), "version of tune is 1.5"),
    "a future format": (lambda text: text.replace("version: 1\n", "version: 2\n", 1), "lock format 2 is not supported"),
    "no lock at all": (lambda _: "hello", "lock format None is not supported"),
    "half of it": (lambda text: text[: len(text) // 2] + "'", "not|is missing"),
    "a tab": (lambda text: text.replace("  version", "\tversion", 1), "not YAML"),
}


@pytest.mark.parametrize("defect", UNREADABLE)
def test_a_lock_that_cannot_be_read_says_where(backend: CondaLock, locked: Path, defect: str) -> None:
    change, message = UNREADABLE[defect]
    file = locked / "conda-lock.yml"
    file.write_text(change(file.read_text()))
    with pytest.raises(BadInput, match=message) as caught:
        backend.read(locked)
    assert caught.value.hint == "beampermit env lock"
    assert caught.value.file == "conda-lock.yml"


def test_line_ends_of_windows_change_nothing(backend: CondaLock, locked: Path) -> None:
    digest = backend.read(locked).digest
    for path in locked.glob("*.yml"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert problems(backend, locked) == []
    assert backend.read(locked).digest == digest


CHANGED = {
    "a new package": ("- torch", "- torch\n  - tune >=9", "tune >=9 is required and 1.5 is locked for linux-64"),
    "a tighter version": ("orbit >=1.0", "orbit >=2.5", "orbit >=2.5 is required and 2.0 is locked for linux-64"),
    "a build": ("- torch", "- torch * rocm*", "torch * rocm* is required and build cpu_0 is locked"),
    "a looser version": ("orbit >=1.0", "orbit", "the lock for linux-64 was made; the locked packages still meet"),
    "a platform": ("osx-arm64]", "osx-arm64, win-64]", "the lock has no solution for win-64"),
    "one platform less": (", osx-arm64]", "]", "the lock has a solution for osx-arm64, which is not in `platforms:`"),
    "a channel": ("channels:\n", "channels:\n  - lab-two\n", "listed are lab-two, http://127.0.0.1"),
}


@pytest.mark.parametrize("defect", CHANGED)
def test_a_lock_is_stale_when_something_else_is_asked_for(backend: CondaLock, locked: Path, defect: str) -> None:
    before, after, message = CHANGED[defect]
    for name in ("environment.yml", "dev-environment.yml") if "platform" in defect else ("environment.yml",):
        file = locked / name
        assert before in file.read_text()
        file.write_text(file.read_text().replace(before, after))
    found = [problem.message for problem in backend.stale(backend.specification(locked), backend.read(locked))]
    assert any(message in words for words in found), found


@pytest.mark.slow
def test_a_lock_made_for_one_platform_is_one_where_no_file_names_platforms(
    backend: CondaLock, judge: Judge, root: Path
) -> None:
    for file in root.glob("*environment.yml"):
        file.write_text(file.read_text().replace("osx-arm64]", "]"))
    assert backend.lock(root, progress=QUIET).packages
    for file in root.glob("*environment.yml"):
        file.write_text(file.read_text().replace("platforms: [linux-64, ]\n", ""))
    assert problems(backend, root) == []
    asked = ("lock", "--check-input-hash", "-p", "linux-64", "--virtual-package-spec", "virtual-packages.yml")
    assert judge(*asked, cwd=root, solver=True).returncode == 0
    assert {one.platform for one in backend.lock(root, progress=QUIET).packages} == {"linux-64"}
    edit(root / "conda-lock.yml", r"    linux-64: [0-9a-f]{64}", f"    linux-64: {SHA}")
    assert "environment.yml or virtual-packages.yml was changed" in problems(backend, root)[0].message


@pytest.mark.slow
def test_what_a_file_of_virtual_packages_leaves_out_is_as_conda_lock_assumes(
    backend: CondaLock, judge: Judge, channel: Channel, root: Path
) -> None:
    channel.add("mover", depends=["__glibc >=2.17", "__unix"])
    file = root / "environment.yml"
    file.write_text(file.read_text() + "  - mover  # [linux]\n")
    cuda, cpu = root / "cuda.virtual-packages.yml", root / "virtual-packages.yml"
    only = "subdirs:\n  linux-64:\n    packages:\n      {}\n"
    cuda.write_text(only.format('__cuda: "12.4"'))
    cpu.write_text(only.format('__unix: "0"'))
    backend.lock(root, progress=QUIET)
    assert problems(backend, root) == []
    asked = ("lock", "--check-input-hash", "--virtual-package-spec", cuda.name, "--lockfile", "cuda.conda-lock.yml")
    assert judge(*asked, cwd=root, solver=True).returncode == 0
    cpu.write_text(only.format('__glibc: "2.5"'))
    assert any("mover 1.0 needs __glibc >=2.17 and 2.5 is present" in one.message for one in problems(backend, root))
    cuda.write_text(only.format('__unix: "0"'))
    found = [problem.message for problem in problems(backend, root)]
    assert "torch 2.5 needs __cuda, which is not locked for linux-64" in found, "no GPU is assumed beside a file"


@pytest.mark.slow
def test_a_lock_made_without_cuda_is_one_where_no_file_says_so(backend: CondaLock, judge: Judge, root: Path) -> None:
    for file in root.glob("*virtual-packages.yml"):
        file.unlink()
    lock = backend.lock(root, progress=QUIET)
    without = conda_lock_module("virtual_package").default_virtual_package_repodata(cuda_version="")
    asked = backend.specification(root).content["required"]
    file = root / "conda-lock.yml"
    for platform, now in conda_lock_module("content_hash").compute_content_hashes(asked, without).items():
        file.write_text(file.read_text().replace(lock.content["metadata"]["content_hash"][platform], now))
    assert judge("lock", "--check-input-hash", "--without-cuda", cwd=root, solver=True).returncode == 0
    assert problems(backend, root) == []
    edit(root / "conda-lock.yml", r"(name: torch.*?dependencies:\n)", r"\1    __cuda: ''\n")
    assert "torch 2.5 needs __cuda, which is not locked for linux-64" in [
        one.message for one in problems(backend, root)
    ]


REAL = {
    "a build beside a version, as conda-lock 1 wrote needs": (
        "conda-lock.yml",
        r"    tune: '>=1.0'",
        "    tune: '>=1.0 0'",
    ),
    "the whole path of a source": ("conda-lock.yml", r"  - environment.yml", "  - /home/operator/lab/environment.yml"),
    "an epoch in an address": ("conda-lock.yml", r"/torch-2.5-", "/torch-%32.5-"),
    "a virtual package among the packages": (
        "conda-lock.yml",
        r"package:\n(- name: )orbit(.*?)url: \S+(.*?)(?=- name)",
        r"package:\n\1__osx\2url: file:///tmp/conda-lock/osx-64/__osx-11.0-0.tar.bz2\3\1orbit\2url: @@\3",
    ),
}


@pytest.mark.parametrize("kind", REAL)
def test_what_real_locks_have_is_no_fault(backend: CondaLock, locked: Path, kind: str) -> None:
    name, pattern, replacement = REAL[kind]
    file = locked / name
    first = re.search(r"url: (\S+)", file.read_text().partition("package:")[2])
    edit(file, pattern, replacement)
    if first:
        file.write_text(file.read_text().replace("@@", first[1]))
    # Neither the seal of our own locks nor the hash of the requirements is the matter here.
    found = [words for one in problems(backend, locked) if "were edited" not in (words := one.message)]
    assert [words for words in found if "the locked packages still meet it" not in words] == []


@pytest.mark.slow
def test_a_package_may_name_a_channel_of_its_own(backend: CondaLock, locked: Path) -> None:
    edit(locked / "environment.yml", "- torch", "- lab-two::torch")
    for file in locked.glob("*conda-lock.yml"):
        file.write_text(re.sub(r"\S+/lab(?=/[\w-]+/torch)", addresses("lab-two")[0], file.read_text()))
    found = [words for one in problems(backend, locked) if "were edited" not in (words := one.message)]
    assert [words for words in found if "the locked packages still meet it" not in words] == []
    edit(locked / "environment.yml", "- lab-two::torch", "- torch")
    assert any("lab-two, which is not in `channels:`" in one.message for one in problems(backend, locked))


def test_a_build_that_is_not_the_needed_one_is_seen(backend: CondaLock, locked: Path) -> None:
    edit(locked / "conda-lock.yml", r"    tune: '>=1.0'", "    tune: '>=1.0 1'")
    assert any("orbit 2.0 needs tune >=1.0 1 and 1.5 is locked" in one.message for one in problems(backend, locked))


def test_files_keep_the_names_that_the_lock_has_for_them(backend: CondaLock, locked: Path) -> None:
    (locked / "environment.yml").rename(locked / "env.yml")
    edit(locked / "conda-lock.yml", r"  - environment.yml", "  - env.yml")
    edit(locked / "cuda.conda-lock.yml", r"  - environment.yml", "  - env.yml")
    assert problems(backend, locked) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("/lab", "/mirror", r"channels: lists http\S+/lab, and environment.yml lists http\S+/mirror"),
        ("platforms:", "pip-repositories: [http://127.0.0.1:9/a]\nplatforms:", ""),
    ],
)
def test_channels_that_differ_between_files_are_named(
    backend: CondaLock, judge: Judge, locked: Path, before: str, after: str, message: str
) -> None:
    file = locked / "environment.yml"
    file.write_text(file.read_text().replace(before, after))
    theirs = judge("lock", "--check-input-hash", cwd=locked, solver=True)
    if not message:
        backend.specification(locked)
        return
    assert "ChannelAggregationError" in theirs.stderr
    with pytest.raises(BadInput, match=message) as caught:
        backend.specification(locked)
    assert (caught.value.file, caught.value.line) == ("dev-environment.yml", 2)
    assert caught.value.hint == "write the same list in both files, or leave channels: out of dev-environment.yml"
    dev = locked / "dev-environment.yml"
    dev.write_text(re.sub(r"channels:\n  - \S+\n", "", dev.read_text()))
    assert backend.specification(locked).content["required"].channels[0].url.endswith("/mirror")


def test_other_virtual_packages_make_a_lock_stale(backend: CondaLock, locked: Path) -> None:
    file = locked / "cuda.virtual-packages.yml"
    file.write_text(file.read_text().replace("12.4", "11.8"))
    found = [problem.message for problem in problems(backend, locked)]
    assert "torch 2.5 needs __cuda >=12 and 11.8 is present on linux-64" in found
    assert any("cuda.virtual-packages.yml was changed after the lock for linux-64" in words for words in found)


def test_each_variant_has_its_lock(backend: CondaLock, locked: Path) -> None:
    (locked / "cuda.conda-lock.yml").unlink()
    assert [problem.message for problem in problems(backend, locked)] == ["there is no lock for the variant 'cuda'"]
    (locked / "rocm.conda-lock.yml").write_text((locked / "conda-lock.yml").read_text())
    assert any("no rocm.virtual-packages.yml for this lock" in problem.message for problem in problems(backend, locked))


def test_a_lock_is_read_as_conda_lock_reads_it(backend: CondaLock, locked: Path) -> None:
    from beampermit.environments.conda_lock.conda_lock_api import conda_lock_module

    theirs = conda_lock_module("lockfile").parse_conda_lock_file(locked / "cuda.conda-lock.yml")
    lock: Lock = backend.read(locked).others[0]
    key: Callable[..., tuple[str, ...]] = lambda name, version, platform: (name, version, platform)  # noqa: E731
    assert {key(p.name, p.version, p.platform) for p in lock.packages} == {
        key(p.name, p.version, p.platform) for p in theirs.package
    }
