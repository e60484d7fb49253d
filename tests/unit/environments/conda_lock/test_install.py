"""`env install` and `env verify`: what is linked is the lock, hashed, whole or not there, file by file."""

from __future__ import annotations

import json
import os
import py_compile
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from beampermit.cache import cache_folder
from beampermit.digest import sha256_file
from beampermit.environments import installation
from beampermit.environments.conda_lock import CondaLock
from beampermit.environments.environment import STAMP, Environment
from beampermit.errors import BadInput, BeampermitError, Failed, Outside
from support.attacks import attack_case
from support.conda_channel import PYTHON, QUIET, Channel
from support.forked_pythons import forked, line_of
from support.kept_environment import install_once, put_back

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the tiny channel has packages for Linux"),
]
PACKAGES = "conda/packages"
SITE = f"lib/python{PYTHON}/site-packages"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return tmp_path / "environment"


@pytest.fixture(scope="module")
def installed_once(locked_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_once(locked_once, tmp_path_factory.mktemp("installed"))


@pytest.fixture
def installed(locked: Path, installed_once: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of the project, installed."""
    return put_back(installed_once, monkeypatch)


def messages(backend: CondaLock, root: Path, prefix: Path) -> list[str]:
    return [problem.message for problem in backend.installed(backend.read(root), prefix)]


def test_the_environment_runs_an_entry_point(backend: CondaLock, locked: Path, installed: Path) -> None:
    assert subprocess.run([installed / "bin/orbit"], capture_output=True, check=True).stdout == b"orbit orbit\n"
    found = Environment(installed).run(["-c", "import orbit; print(orbit.__file__)"], project=locked)
    assert found.out.strip() == str(installed / SITE / "orbit/__init__.py")
    assert messages(backend, locked, installed) == []
    assert (installed / STAMP).read_text().strip() == backend.read(locked).digest


def test_records_name_the_channel_and_what_each_package_needs(installed: Path, channel: Channel) -> None:
    record = json.loads((installed / "conda-meta/orbit-2.0-pyh_0.json").read_text())
    assert record["url"] == f"{channel.url}/noarch/orbit-2.0-pyh_0.conda"
    assert record["depends"] == ["python >=3.9", "tune >=1.0"]
    assert not list(installed.glob(".beampermit-unpacked*"))


def test_a_variant_is_installed_and_verified_against_its_own_lock(locked: Path, prefix: Path) -> None:
    cuda = CondaLock(variant="cuda")
    installation.install(cuda, locked, prefix, progress=QUIET)
    assert (prefix / "conda-meta/torch-2.5-cuda_1.json").is_file()
    assert messages(CondaLock(), locked, prefix) == []


def test_an_unknown_variant_is_named(locked: Path) -> None:
    with pytest.raises(BadInput, match="no lock for the variant 'rocm'; there is cuda"):
        CondaLock(variant="rocm").read(locked)
    (locked / "cuda.conda-lock.yml").unlink()
    with pytest.raises(BadInput, match=r"'cuda'; conda-lock.yml is for all machines") as caught:
        CondaLock(variant="cuda").read(locked)
    assert caught.value.hint.startswith(
        "leave --variant out; or name its virtual packages in cuda.virtual-packages.yml"
    )


def test_installing_again_fetches_and_links_nothing(
    backend: CondaLock, locked: Path, installed: Path, channel: Channel
) -> None:
    channel.asked.clear()
    said: list[str] = []
    installation.install(backend, locked, installed, progress=said.append)
    assert said == ["every package of the lock is installed", "comparing the installed packages with the lock"]
    assert channel.asked == []


@pytest.mark.parametrize("kind", ["http", "file"])
@pytest.mark.parametrize("fault", ["another archive", "truncated"])
def test_an_archive_that_is_not_the_locked_one_is_refused(
    backend: CondaLock, locked: Path, prefix: Path, channel: Channel, kind: str, fault: str
) -> None:
    archive = channel.folder / "noarch/tune-1.5-0.conda"
    if kind == "file":
        for file in locked.glob("*.yml"):
            file.write_text(file.read_text().replace(channel.url, channel.folder.as_uri()))
    if fault == "truncated":
        archive.write_bytes(archive.read_bytes()[:-20])
    else:
        archive.unlink()
        channel.add("tune", "1.5", files={"share/tune.txt": "evil\n"})
    with pytest.raises(Failed, match=r"tune 1.5 has a wrong sha256: [0-9a-f]{64} \(\d+ bytes\), locked is") as caught:
        installation.install(backend, locked, prefix, progress=QUIET)
    assert caught.value.line
    assert not (prefix / STAMP).exists()
    assert not list((cache_folder() / PACKAGES).rglob("tune*"))


def test_each_archive_that_is_not_the_locked_one_is_named(
    backend: CondaLock, locked: Path, prefix: Path, channel: Channel
) -> None:
    for name in ("noarch/tune-1.5-0.conda", "noarch/orbit-2.0-pyh_0.conda"):
        archive = channel.folder / name
        archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(Failed) as caught:
        installation.install(backend, locked, prefix, progress=QUIET)
    words = [" ".join(problem.message.split()[:5]) for problem in caught.value.problems]
    assert words == ["orbit 2.0 has a wrong", "tune 1.5 has a wrong"]
    assert len({problem.line for problem in caught.value.problems} - {None}) == 2


def test_a_file_channel_is_installed_from(backend: CondaLock, root: Path, prefix: Path, channel: Channel) -> None:
    for file in root.glob("*environment.yml"):
        file.write_text(file.read_text().replace(channel.url, channel.folder.as_uri()))
    backend.lock(root, progress=QUIET)
    assert installation.install(backend, root, prefix, progress=QUIET).environment.python.exists()


def test_what_lies_in_the_cache_is_hashed_before_it_is_used(
    backend: CondaLock, locked: Path, installed: Path, tmp_path: Path
) -> None:
    poisoned = next((cache_folder() / PACKAGES).rglob("orbit-2.0*"))
    poisoned.write_bytes(b"evil")
    said: list[str] = []
    installation.install(backend, locked, tmp_path / "second", progress=said.append)
    assert "fetching 1 package" in said
    assert messages(backend, locked, tmp_path / "second") == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda _: (500, b""), "a channel answers 500 Internal Server Error for http://127.0.0.1"),
        (lambda _: (404, b""), "a channel answers 404 Not Found for http://127.0.0.1"),
    ],
)
def test_a_channel_that_fails_half_way_is_gone_on_with(
    backend: CondaLock,
    locked: Path,
    prefix: Path,
    channel: Channel,
    fault: Callable[[bytes], tuple[int, bytes]],
    message: str,
) -> None:
    channel.faults["torch"] = fault
    with pytest.raises(Outside, match=message):
        installation.install(backend, locked, prefix, progress=QUIET)
    assert not (prefix / STAMP).exists()
    channel.faults.clear()
    said: list[str] = []
    installation.install(backend, locked, prefix, progress=said.append)
    assert "fetching 1 package" in said, "what was brought before was brought again"


def test_a_lock_for_other_platforms_is_said_to_be_one(
    backend: CondaLock, locked: Path, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDA_SUBDIR", "linux-aarch64")
    with pytest.raises(Failed, match="the lock is for linux-64, osx-arm64 and this machine is linux-aarch64"):
        installation.install(backend, locked, prefix, progress=QUIET)


def test_windows_is_said_to_be_unsupported(
    backend: CondaLock, locked: Path, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation.sys, "platform", "win32")
    with pytest.raises(BadInput, match="environments are not built on Windows"):
        installation.install(backend, locked, prefix, progress=QUIET)
    assert not prefix.exists()


def test_a_package_without_sha256_is_not_installed(backend: CondaLock, locked: Path, prefix: Path) -> None:
    file = locked / "conda-lock.yml"
    lines = file.read_text().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if "sha256" in line and "linux-64" not in line)
    entry = max(number for number in range(last) if lines[number].startswith("- name: zlib"))
    first = max(number for number in range(entry) if lines[number].startswith("- name: zlib"))
    gone = next(number for number in range(first, entry) if "sha256" in lines[number])
    file.write_text("".join(lines[:gone] + lines[gone + 1 :]))
    with pytest.raises(Failed, match=r"zlib 1.3 is locked without a sha256"):
        installation.install(backend, locked, prefix, progress=QUIET)


def test_somebody_elses_environment_is_left_alone(backend: CondaLock, locked: Path, prefix: Path) -> None:
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "conda-meta/history").write_text("precious")
    with pytest.raises(BadInput, match="nothing was changed"):
        installation.install(backend, locked, prefix, progress=QUIET)
    assert (prefix / "conda-meta/history").read_text() == "precious"


def test_a_folder_that_cannot_be_written_is_the_outside_world(backend: CondaLock, locked: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BeampermitError) as caught:
        installation.install(backend, locked, tmp_path / "file/environment", progress=QUIET)
    assert caught.value.exit_code in {2, 4}


KILLED = """
import sys
from pathlib import Path
from beampermit.environments import installation
from beampermit.environments.conda_lock import CondaLock
show = lambda step, *_: print(step, flush=True)
installation.install(CondaLock(), Path(sys.argv[1]), Path(sys.argv[2]), progress=show)
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["hashing", "fetching packages: 2", "linking", "comparing"])
def test_killed_at_any_point_the_next_run_finishes(backend: CondaLock, locked: Path, prefix: Path, moment: str) -> None:
    child = forked(KILLED, locked, prefix, needs=("beampermit.environments.installation", "filelock"))
    line_of(child, moment)
    time.sleep(0.02)
    with suppress(ProcessLookupError):  # it was faster than we were
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if (prefix / STAMP).exists():  # It was faster than we were.
        assert messages(backend, locked, prefix) == [], "a half environment looks whole"
    installation.install(backend, locked, prefix, progress=QUIET)
    assert messages(backend, locked, prefix) == []


def test_what_was_edited_is_named_and_fixed(backend: CondaLock, locked: Path, installed: Path) -> None:
    file = installed / SITE / "orbit/__init__.py"
    file.unlink()
    file.write_text("def main(): print('evil!', __name__)\n")
    assert messages(backend, locked, installed) == [
        f"orbit 2.0 pyh_0 was changed: {SITE}/orbit/__init__.py has other content"
    ]
    installation.install(backend, locked, installed, progress=QUIET)
    assert messages(backend, locked, installed) == []


def test_records_as_conda_itself_writes_them_are_understood(backend: CondaLock, locked: Path, installed: Path) -> None:
    record = installed / "conda-meta/orbit-2.0-pyh_0.json"
    content = json.loads(record.read_text())
    for item in content["paths_data"]["paths"]:
        item["_path"] = item["_path"].replace(SITE, "site-packages")
    record.write_text(json.dumps(content))
    assert '"site-packages/orbit/__init__.py"' in record.read_text()
    assert messages(backend, locked, installed) == []
    (installed / SITE / "orbit/__init__.py").unlink()
    assert messages(backend, locked, installed) == [f"orbit 2.0 pyh_0 was changed: {SITE}/orbit/__init__.py is missing"]


def test_missing_files_are_named(backend: CondaLock, locked: Path, installed: Path) -> None:
    (installed / "bin/orbit").unlink()
    (installed / "share/zlib.txt").unlink()
    assert messages(backend, locked, installed) == [
        "orbit 2.0 pyh_0 was changed: bin/orbit is missing",
        "zlib 1.3 h0_1 was changed: share/zlib.txt is missing",
    ]


def test_files_put_there_by_hand_are_named(backend: CondaLock, locked: Path, installed: Path) -> None:
    (installed / SITE / "evil.pth").write_text("import os\n")
    (installed / SITE / "extra-1.0.dist-info").mkdir()
    (installed / SITE / "extra-1.0.dist-info/METADATA").write_text("Name: extra\n")
    (installed / SITE / "orbit/__pycache__").mkdir()
    (installed / SITE / "orbit/__pycache__/x.pyc").write_text("")
    assert messages(backend, locked, installed) == [
        f"{SITE}/evil.pth belongs to no locked package",
        f"{SITE}/extra-1.0.dist-info/ belongs to no locked package",
    ]


def _edit_with_its_record(prefix: Path) -> None:
    file, record = prefix / SITE / "orbit/__init__.py", prefix / "conda-meta/orbit-2.0-pyh_0.json"
    file.unlink()
    file.write_text("def main(): print('evil!', __name__)\n")
    content = json.loads(record.read_text())
    for item in content["paths_data"]["paths"]:
        if item["_path"].endswith("orbit/__init__.py"):
            item["sha256"] = item["sha256_in_prefix"] = sha256_file(file)
    record.write_text(json.dumps(content))


def _add_with_its_record(prefix: Path) -> None:
    (prefix / SITE / "orbit/more.py").write_text("")
    record = prefix / "conda-meta/orbit-2.0-pyh_0.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "files": [*content["files"], f"{SITE}/orbit/more.py"]}))


def _compile(prefix: Path) -> None:
    altered, cached = prefix.parent / "altered.py", prefix / SITE / "orbit/__pycache__/__init__.cpython-311.pyc"
    altered.write_text("def main(): print('evil')\n")
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(altered), str(cached), doraise=True, invalidation_mode=unchecked)


def _hide_data(prefix: Path) -> None:
    (prefix / SITE / "orbit/__pycache__").mkdir(exist_ok=True)
    (prefix / SITE / "orbit/__pycache__/cache.json").write_text("{}")


@pytest.mark.parametrize(
    "plant",
    [
        attack_case(
            _edit_with_its_record,
            guard="ENV005",
            tried="in an installed conda environment: an edit that conda-meta knows of",
            said="orbit 2.0 pyh_0 was changed: its record lists other files than its archive has",
        ),
        attack_case(
            _add_with_its_record,
            guard="ENV005",
            tried="in an installed conda environment: a new module that conda-meta knows of",
            said="orbit 2.0 pyh_0 was changed: its record lists other files than its archive has",
        ),
        attack_case(
            _compile,
            guard="ENV005",
            tried="in an installed conda environment: an unchecked .pyc",
            said="is compiled code that Python runs whatever its source says",
        ),
        attack_case(
            _hide_data,
            guard="ENV005",
            tried="in an installed conda environment: data among compiled code",
            said="/site-packages/orbit/__pycache__/ belongs to no locked package",
        ),
    ],
)
def test_nothing_is_put_into_a_conda_environment_unseen(
    backend: CondaLock, locked: Path, installed: Path, plant: Callable[[Path], None], said: str
) -> None:
    assert messages(backend, locked, installed) == []
    plant(installed)
    assert any(said in message for message in messages(backend, locked, installed))
    installation.install(backend, locked, installed, progress=QUIET)
    assert messages(backend, locked, installed) == []


def test_another_package_build_or_archive_is_named(backend: CondaLock, locked: Path, installed: Path) -> None:
    meta = installed / "conda-meta"
    torch = meta / "torch-2.5-cpu_0.json"
    torch.write_text(torch.read_text().replace("cpu_0", "cuda_1"))
    (meta / "tune-1.5-0.json").rename(meta / "tune.gone")
    (meta / "magnet-1.0-0.json").write_text('{"name": "magnet", "version": "1.0", "build": "0"}')
    zlib = meta / "zlib-1.3-h0_1.json"
    record = json.loads(zlib.read_text())
    zlib.write_text(json.dumps({**record, "sha256": "a" * 64}))
    found = messages(backend, locked, installed)
    assert "tune 1.5 is locked and not installed" in found
    assert "magnet 1.0 0 is installed and not in the lock" in found
    assert "torch 2.5 cuda_1 is installed and torch 2.5 cpu_0 is locked" in found
    assert any("zlib 1.3 h0_1 is locked: its archive had the sha256 aaaa" in words for words in found)


def test_a_venv_is_no_conda_environment(backend: CondaLock, locked: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="conda-meta is missing"):
        backend.installed(backend.read(locked), tmp_path)


def test_micromamba_is_used_when_asked_for_and_missed_when_absent(
    locked: Path, prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Outside, match="micromamba is not on this machine"):
        CondaLock(program="micromamba").install(locked, prefix, progress=QUIET)
    program = tmp_path / "micromamba"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    program.chmod(0o755)
    CondaLock(program="micromamba").install(locked, prefix, progress=QUIET)
    asked = (tmp_path / "asked").read_text()
    assert f"--file {locked}/conda-lock.yml" in asked
    assert "--category dev --category main" in asked
