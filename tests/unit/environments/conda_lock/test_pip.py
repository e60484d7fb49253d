"""`pip:` sections: solved and locked as conda-lock does it, judged, and installed by their sha256 alone."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beampermit.environments import installation
from beampermit.environments.addresses import addresses, untrusted
from beampermit.environments.choice import bundle
from beampermit.environments.conda_lock import CondaLock
from beampermit.environments.conda_lock.packages import locked_for
from beampermit.environments.conda_lock.solve import NAMES
from beampermit.environments.difference import compare_locks
from beampermit.environments.environment import STAMP
from beampermit.errors import BadInput, Failed, Outside
from support.attacks import attack_case
from support.conda_channel import PYTHON, QUIET, Channel, laboratory, serving
from support.kept_environment import install_once, put_back
from support.package_index import Index

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the tiny channel has packages for Linux"),
]
SITE = f"lib/python{PYTHON}/site-packages"
ENVIRONMENT = """\
channels: ["{channel}"]
platforms: [linux-64, osx-arm64]
pip-repositories: ["{index}"]
allow-pypi-requests: false
dependencies:
  - python {python}.*
  - orbit
  - pip:
      - tuner >=1
      - colours; sys_platform == "win32"
      - drive  # [osx]
      - orbit
      - -e .
"""
TUNER = {"tuner-1.0.dist-info/entry_points.txt": "[console_scripts]\ntuner = tuner:main\n"}


class Laboratory:
    """A channel, an index, and a project that asks for what they have, locked."""

    def __init__(self, folder: Path, channel: Channel):
        self.index, self.channel = Index(folder / "index"), channel
        self.names, self.root = folder / "names.json", folder / "project"
        self.index.add("orbit", "2.0")
        self.index.add("tuner", "1.0", ["gauge>=1,<2", "orbit>=1", 'colours; sys_platform == "win32"'], TUNER)
        for name, version in (("gauge", "1.2"), ("gauge", "2.0"), ("drive", "1.0"), ("colours", "1.0")):
            self.index.add(name, version)
        self.names.write_text("{}")
        self.root.mkdir()
        text = ENVIRONMENT.format(channel=channel.url, index=self.index.url, python=PYTHON)
        (self.root / "environment.yml").write_text(text)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder = tmp_path_factory.mktemp("pip")
    channel = laboratory(folder / "lab")
    channel.add("pip", depends=["python"])
    with serving(channel), pytest.MonkeyPatch.context() as patch:
        made = Laboratory(folder, channel)
        patch.setenv("BEAMPERMIT_CACHE", str(folder / "cache"))
        patch.setenv(NAMES, str(made.names))
        CondaLock().lock(made.root, progress=QUIET)
        yield made
        made.index.close()


@pytest.fixture
def root(made: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, locked."""
    monkeypatch.setenv(NAMES, str(made.names))
    shutil.copytree(made.root, tmp_path / "project")
    return tmp_path / "project"


def messages(root: Path, allowed: tuple[str, ...] | None = None) -> list[str]:
    """What ENV002 and ENV004 say, the seal left aside: locks of conda-lock have none."""
    backend = CondaLock()
    lock = backend.read(root)
    found = (*backend.stale(backend.specification(root), lock), *untrusted(lock, allowed))
    return [problem.message for problem in found if "were edited" not in problem.message]


def edit(file: Path, pattern: str, replacement: str) -> None:
    text = file.read_text()
    edited = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE | re.DOTALL)
    assert edited != text, f"{pattern} is not in {file.name}"
    file.write_text(edited)


def test_the_lock_is_what_conda_lock_takes_for_its_own(
    made: Laboratory, root: Path, judge: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    lock = CondaLock().read(root)
    found = {(one.name, one.version, one.platform) for one in lock.packages if one.pip}
    assert found == {
        ("tuner", "1.0", "linux-64"),
        ("gauge", "1.2", "linux-64"),
        ("tuner", "1.0", "osx-arm64"),
        ("gauge", "1.2", "osx-arm64"),
        ("drive", "1.0", "osx-arm64"),
    }, "what conda has already is taken from there"
    assert messages(root) == messages(root, addresses(lock)) == []
    words = ("lock", "--check-input-hash", "--pypi_to_conda_lookup_file", str(made.names))
    theirs = judge(*words, cwd=root, solver=True)
    assert "Spec hash already locked for ['linux-64', 'osx-arm64']. Skipping solve." in theirs.stderr
    rendered = judge("render", "--platform", "linux-64", cwd=root)
    assert rendered.returncode == 0, rendered.stderr
    assert re.search(r"# pip tuner @ \S+/tuner-1.0-\S+#sha256=", (root / "conda-linux-64.lock").read_text())


def test_packages_of_pip_stay_until_they_are_asked_to_move(made: Laboratory, root: Path) -> None:
    backend, before = CondaLock(), CondaLock().read(root)
    edit(root / "environment.yml", "      - -e .\n", "      - gauge\n")
    made.index.add("gauge", "1.3")
    assert messages(root)[0].endswith("the locked packages still meet it")
    assert not compare_locks(before, backend.lock(root, progress=QUIET))
    moved = compare_locks(before, backend.lock(root, update=["gauge"], progress=QUIET))
    assert [(one.name, one.before, one.after) for one in moved] == [("gauge", "1.2", "1.3")]


UNSOLVED = {
    "no such package": ("tuner >=1", "tunner", Failed, "no solution: .*tunner"),
    "no such version": ("tuner >=1", "tuner >=9", Failed, "no solution: .*tuner"),
    "an index that is down": (r"127.0.0.1:\d+/simple", "127.0.0.1:9/simple", Outside, "cannot be reached"),
}


@pytest.mark.parametrize("defect", UNSOLVED)
def test_what_cannot_be_solved_is_said_in_words(root: Path, defect: str) -> None:
    before, after, kind, message = UNSOLVED[defect]
    old = (root / "conda-lock.yml").read_text()
    edit(root / "environment.yml", before, after)
    with pytest.raises(kind, match=message) as caught:
        CondaLock().lock(root, progress=QUIET)
    assert "\n" not in caught.value.message
    assert (root / "conda-lock.yml").read_text() == old


def test_what_has_no_sha256_of_an_index_is_not_locked(made: Laboratory, root: Path) -> None:
    wheel = next((made.index.folder / "files").glob("tuner-*.whl"))
    edit(root / "environment.yml", "tuner >=1", f"tuner @ file://{wheel}")
    with pytest.raises(Failed, match=r"tuner 1.0 comes from file://\S+ without a sha256 of an index") as caught:
        CondaLock().lock(root, progress=QUIET)
    assert caught.value.hint.startswith("take it from an index, or list it as a conda package")


WHEEL = r"(- name: tuner\n.*?)"
TAMPERED = {
    "a package that is not listed": (
        rf"{WHEEL}(- name: tuner)",
        r"\1- name: extra\n  version: '1.0'\n  manager: pip\n  platform: linux-64\n  dependencies: {}\n"
        r"  url: https://pypi.example/extra-1.0-py3-none-any.whl\n"
        rf"  hash:\n    sha256: {'a' * 64}\n  category: main\n  optional: false\n\2",
        "extra 1.0 is locked for linux-64 and nothing needs it",
    ),
    "no sha256": (rf"{WHEEL}    sha256: \w+\n", r"\1    md5: x\n", "tuner-1.0-py3-none-any.whl has no sha256"),
    "a package removed": (
        r"- name: gauge\n.*?(?=- name)",
        "",
        "tuner 1.0 needs gauge, which is not locked for linux-64",
    ),
    "a requirement removed": (rf"{WHEEL}(?=- name)", "", "tuner >=1 is required of pip and not locked for linux-64"),
    "a version that nobody asked for": (
        r"(- name: gauge\n  version: )'1.2'(.*?gauge-)1.2",
        r"\1'2.0'\g<2>2.0",
        "tuner 1.0 needs gauge >=1,<2 and 2.0 is locked for linux-64",
    ),
    "another file": (rf"{WHEEL}/tuner-1.0-", r"\1/tuner-0.9-", "the file tuner-0.9-py3-none-any.whl is of tuner 0.9"),
    "a file of another platform": (
        rf"{WHEEL}none-any.whl",
        r"\1none-win_amd64.whl",
        "tuner 1.0 is locked for linux-64 and its file is tuner-1.0-py3-none-win_amd64.whl",
    ),
    "another index": (
        rf"{WHEEL}http://[^/]+/",
        r"\1http://evil.example/",
        "the contract does not allow http://evil.example, the source of tuner 1.0",
    ),
    "a host before a backslash": (
        rf"{WHEEL}http://",
        r"\1http://evil.example\\@",
        "tuner-1.0-py3-none-any.whl has a backslash, a space or a control character in its address",
    ),
    "a login in which a variable hides a host": (
        rf"{WHEEL}http://",
        r"\1http://evil.example${HOME}@",
        "tuner-1.0-py3-none-any.whl has a login in its address: leave it to netrc",
    ),
    "a repository": (
        rf"{WHEEL}http://\S+",
        r"\1git+https://git.example/tuner@4f2c",
        "tuner 1.0 comes from pip git+https://git.example/tuner@4f2c for linux-64, not from an index",
    ),
    "a requirement with another sha256": (
        "tuner >=1",
        f"tuner >=1 --hash=sha256:{'b' * 64}",
        f"tuner >=1 is required with the sha256 {'b' * 64} and locked with another",
    ),
}


@pytest.mark.parametrize("defect", TAMPERED)
def test_each_way_to_tamper_with_a_package_of_pip_is_seen(root: Path, defect: str) -> None:
    pattern, replacement, message = TAMPERED[defect]
    allowed = addresses(CondaLock().read(root))
    edit(root / ("environment.yml" if pattern == "tuner >=1" else "conda-lock.yml"), pattern, replacement)
    found = messages(root, allowed)
    assert any(message in words for words in found), found


def test_a_contract_may_allow_a_part_of_a_host(made: Laboratory, root: Path) -> None:
    channel, host = addresses(CondaLock().read(root))
    assert host == made.index.origin
    assert messages(root, (channel, f"{host}/files")) == []
    assert any(f"does not allow {host}" in words for words in messages(root, (channel, f"{host}/file")))
    edit(root / "conda-lock.yml", rf"{WHEEL}/files/", r"\1/files/%2e%2e/others/")
    assert f"the contract does not allow {host}, the source of tuner 1.0" in messages(root, (channel, f"{host}/files"))


def need(root: Path, name: str, conda: str, *, python: bool = True) -> None:
    """Let tuner need `name` of pip, and lock a conda package `conda` 2.0, which orbit needs."""
    lock = root / "conda-lock.yml"
    source = re.search(r"url: (\S+)/noarch/orbit-", lock.read_text())
    assert source
    entry = (
        f"- name: {conda}\n  version: '2.0'\n  manager: conda\n  platform: linux-64\n"
        f"  dependencies: {{{'python: ' + repr('>=3.9') if python else ''}}}\n"
        f"  url: {source[1]}/noarch/{conda}-2.0-0.conda\n  hash:\n    sha256: {'c' * 64}\n"
        "  category: main\n  optional: false\n"
    )
    edit(lock, r"(- name: orbit\n.*?  dependencies:\n)", rf"\1    {conda}: ''\n")
    edit(lock, r"    gauge: '>=1,<2'\n", rf"    gauge: '>=1,<2'\n    {name}: '>=2'\n")
    lock.write_text(lock.read_text() + entry)


@pytest.mark.parametrize(
    ("name", "conda", "python"),
    [
        ("torch", "pytorch", True),
        ("graphviz", "python-graphviz", True),
        ("py-beam", "py_beam", True),
        ("tzdata", "tzdata", False),
    ],
)
def test_what_pip_needs_may_be_a_conda_package_of_a_known_name(root: Path, name: str, conda: str, python: bool) -> None:
    need(root, name, conda, python=python)
    assert messages(root) == []
    if python:
        edit(root / "conda-lock.yml", rf"    {name}: '>=2'", f"    {name}: '>=3'")
        assert messages(root) == [f"tuner 1.0 needs {name} >=3 and 2.0 is locked for linux-64"]


@pytest.mark.parametrize(
    ("name", "conda", "python"),
    [
        pytest.param("lattice", "sublattices", True, id="a part of its name"),
        pytest.param("lattice", "python-lattice", True, id="another package"),
        pytest.param("graphviz", "graphviz", False, id="a library in C"),
    ],
)
@pytest.mark.attack(
    guard="ENV002",
    tried="in a conda lock: a needed package of pip taken out, while conda has one whose name is near",
    said="which is not locked for linux-64",
)
def test_a_conda_package_of_a_near_name_meets_no_need_of_pip(
    root: Path, name: str, conda: str, python: bool, said: str
) -> None:
    need(root, name, conda, python=python)
    assert messages(root) == [f"tuner 1.0 needs {name}, {said}"]
    edit(root / "environment.yml", "tuner >=1", f"tuner >=1\n      - {name}")
    assert f"{name} is required of pip and not locked for linux-64" in messages(root)


@pytest.mark.attack(
    guard="ENV002",
    tried="in a conda lock: a package of pip, older than conda's packages need, over the conda package of its name",
    said="py-beam 2.0 needs orbit >=1.1 and 0.5 is locked for linux-64",
)
def test_conda_packages_must_work_with_the_wheel_over_one(root: Path, said: str) -> None:
    lock = root / "conda-lock.yml"
    need(root, "py-beam", "py-beam")
    edit(lock, r"(- name: py-beam\n.*?  dependencies: \{)", r"\1orbit: '>=1.1', ")
    assert messages(root) == []
    entry = (
        "- name: orbit\n  version: '0.5'\n  manager: pip\n  platform: linux-64\n  dependencies: {}\n"
        f"  url: https://files.example/orbit-0.5-py3-none-any.whl\n  hash:\n    sha256: {'d' * 64}\n"
        "  category: main\n  optional: false\n"
    )
    lock.write_text(lock.read_text() + entry)
    found = messages(root)
    assert said in found
    edit(root / "environment.yml", "  - orbit\n", "  - orbit >=1\n")
    assert "orbit >=1 is required and 0.5 is locked for linux-64" in messages(root)


@pytest.fixture(scope="module")
def installed_once(made: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_once(made.root, tmp_path_factory.mktemp("installed"))


@pytest.fixture
def prefix(root: Path, installed_once: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's environment, installed."""
    return put_back(installed_once, monkeypatch)


def verified(root: Path, prefix: Path) -> list[str]:
    return [problem.message for problem in CondaLock().installed(CondaLock().read(root), prefix)]


def test_the_environment_has_both_and_is_verified(root: Path, prefix: Path) -> None:
    code = "import orbit, tuner; print(tuner.VERSION)"
    assert subprocess.run([prefix / "bin/python", "-c", code], capture_output=True, check=True).stdout == b"1.0\n"
    assert (prefix / "bin/tuner").is_file()
    assert verified(root, prefix) == []
    said: list[str] = []
    again = installation.install(CondaLock(), root, prefix, progress=said.append)
    assert again.packages == len(locked_for(CondaLock().read(root), "linux-64"))
    assert said == ["every package of the lock is installed", "comparing the installed packages with the lock"]
    (prefix / "lib/python3.1").symlink_to(f"python{PYTHON}")  # conda-forge's Python has it
    assert verified(root, prefix) == ["lib/python3.1 belongs to no locked package"]


def _edit(prefix: Path) -> None:
    (prefix / SITE / "tuner/__init__.py").write_text("VERSION = 'evil'\n")


def _edit_with_its_record(prefix: Path) -> None:
    (prefix / SITE / "tuner/more.py").write_text("")
    record = prefix / SITE / "tuner-1.0.dist-info/RECORD"
    record.write_text(record.read_text() + "tuner/more.py,,\n")


def _add(prefix: Path) -> None:
    folder = prefix / SITE / "extra-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: extra\nVersion: 1.0\n")


@pytest.mark.parametrize(
    "plant",
    [
        attack_case(
            _edit,
            guard="ENV005",
            tried="in an installed conda environment: an edited package of pip",
            said="tuner 1.0 was changed: tuner/__init__.py",
        ),
        attack_case(
            _edit_with_its_record,
            guard="ENV005",
            tried="in an installed conda environment: a new module that a package of pip records",
            said="tuner 1.0 was changed: its RECORD lists other files than the locked package has",
        ),
        attack_case(
            _add,
            guard="ENV005",
            tried="in an installed conda environment: a package of pip that is not locked",
            said="extra-1.0.dist-info/ belongs to no locked package",
        ),
        attack_case(
            lambda prefix: shutil.rmtree(prefix / SITE / "gauge-1.2.dist-info"),
            guard="ENV005",
            tried="in an installed conda environment: a package of pip that is no longer there",
            said="gauge 1.2 is locked and not installed",
        ),
    ],
)
def test_nothing_of_pip_is_changed_unseen(root: Path, prefix: Path, plant: Callable[[Path], None], said: str) -> None:
    plant(prefix)
    found = verified(root, prefix)
    assert any(said in message for message in found), found


def test_a_wheel_that_is_not_the_locked_one_is_refused(made: Laboratory, root: Path, tmp_path: Path) -> None:
    edit(root / "conda-lock.yml", rf"{WHEEL}sha256: \w+", rf"\1sha256: {'a' * 64}")
    with pytest.raises(Failed, match=r"tuner 1.0 has a wrong sha256: [0-9a-f]{64} \(\d+ bytes\), locked is aaaa"):
        installation.install(CondaLock(), root, tmp_path / "environment", progress=QUIET)
    edit(root / "conda-lock.yml", rf"{WHEEL}    sha256: \w+\n", r"\1    md5: x\n")
    with pytest.raises(Failed, match=r"tuner 1.0 is locked without a sha256"):
        installation.install(CondaLock(), root, tmp_path / "environment", progress=QUIET)
    edit(root / "conda-lock.yml", rf"{WHEEL}http://\S+", r"\1git+https://git.example/tuner@4f2c")
    with pytest.raises(Failed, match=r"tuner 1.0 is pip git.*, not of an index") as caught:
        installation.install(CondaLock(), root, tmp_path / "environment", progress=QUIET)
    assert caught.value.hint.startswith("take it from an index, or list it as a conda package")
    assert not (tmp_path / "environment").exists()


def add(root: Path, made: Laboratory, file: Path, name: str) -> None:
    """Lock a further file of the index."""
    lock = root / "conda-lock.yml"
    entry = (
        f"- name: {name}\n  version: '{file.name.removesuffix('.tar.gz').split('-')[1]}'\n  manager: pip\n"
        f"  platform: linux-64\n  dependencies: {{}}\n  url: {made.index.origin}/files/{file.name}\n  hash:\n"
        f"    sha256: {hashlib.sha256(file.read_bytes()).hexdigest()}\n  category: main\n  optional: false\n"
    )
    lock.write_text(lock.read_text() + entry)


def test_a_package_that_conda_has_too_is_pips(made: Laboratory, root: Path, prefix: Path) -> None:
    add(root, made, next((made.index.folder / "files").glob("orbit-2.0-*.whl")), "orbit")
    assert messages(root) == []
    installation.install(CondaLock(), root, prefix, progress=QUIET)
    assert verified(root, prefix) == []
    assert "VERSION" in (prefix / SITE / "orbit/__init__.py").read_text()
    (prefix / "bin/orbit").write_text("evil")
    assert verified(root, prefix) == ["orbit 2.0 pyh_0 was changed: bin/orbit has other content"]


BUILDER = """\
import pathlib, zipfile

def build_wheel(folder, *_):
    with zipfile.ZipFile(pathlib.Path(folder, "built-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("built.py", "WHO = 'its own backend'\\n")
        wheel.writestr("built-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: built\\nVersion: 1.0\\n")
        wheel.writestr("built-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("built-1.0.dist-info/RECORD", "built.py,,\\n")
    return "built-1.0-py3-none-any.whl"
"""


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ('build-backend = "builder"\nbackend-path = ["."]', ""),
        ('build-backend = "nowhere.build"', "the packages of pip cannot be installed: .*built.*nowhere"),
    ],
)
def test_sources_are_built_by_what_is_there(
    made: Laboratory, root: Path, prefix: Path, tmp_path: Path, backend: str, message: str
) -> None:
    file, folder = made.index.folder / "files/built-1.0.tar.gz", tmp_path / "built-1.0"
    folder.mkdir()
    (folder / "builder.py").write_text(BUILDER)
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: built\nVersion: 1.0\n")
    (folder / "pyproject.toml").write_text(f"[build-system]\nrequires = []\n{backend}\n")
    with tarfile.open(file, "w:gz") as packed:
        packed.add(folder, folder.name)
    add(root, made, file, "built")
    edit(root / "environment.yml", "      - -e .\n", "      - built\n")
    if message:
        with pytest.raises(Failed, match=message) as caught:
            installation.install(CondaLock(), root, prefix, progress=QUIET)
        assert caught.value.hint.startswith("list what builds them, such as setuptools, in environment.yml")
        return
    installation.install(CondaLock(), root, prefix, progress=QUIET)
    assert verified(root, prefix) == []
    (prefix / SITE / "built.py").write_text("WHO = 'evil'\n")
    assert verified(root, prefix)[0].startswith("built 1.0 was changed")


def test_what_conda_lock_installed_passes_by_its_own_records(
    root: Path, prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "of another user"))
    (prefix / STAMP).unlink()
    assert any("tuner 1.0 was installed from a file with the sha256 None" in one for one in verified(root, prefix))
    for package in CondaLock().read(root).packages:
        if package.pip and package.platform == "linux-64":
            info = {
                "url": package.artifacts[0].address,
                "archive_info": {"hash": f"sha256={package.artifacts[0].sha256}"},
            }
            folder = prefix / SITE / f"{package.name}-{package.version}.dist-info"
            (folder / "direct_url.json").write_text(json.dumps(info))
            (folder / "RECORD").write_text(f"{(folder / 'RECORD').read_text()}{folder.name}/direct_url.json,,\n")
    assert verified(root, prefix) == []
    noted = prefix / SITE / "tuner-1.0.dist-info/direct_url.json"
    edit(noted, r"sha256=\w+", f"sha256={'a' * 64}")
    assert verified(root, prefix)[0].startswith("tuner 1.0 was installed from a file with the sha256 aaaa")


def test_a_bundle_has_the_wheels(root: Path, prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle(root, tmp_path / "bundle", progress=QUIET)
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "another-machine"))
    backend = CondaLock(bundle=tmp_path / "bundle")
    installation.install(backend, root, tmp_path / "second", progress=QUIET)
    assert verified(root, tmp_path / "second") == []
    wheel = next((tmp_path / "bundle").rglob("tuner-1.0-*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"!")
    with pytest.raises(Failed, match=r"tuner-1.0-\S+ of the bundle is missing or not the locked file"):
        installation.install(backend, root, tmp_path / "third", progress=QUIET)


def test_micromamba_would_leave_wheels_to_pip(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "micromamba"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="the lock has packages of pip, which micromamba leaves to pip") as caught:
        CondaLock(program="micromamba").install(root, tmp_path / "environment", progress=QUIET)
    assert caught.value.hint == "beampermit env install"
