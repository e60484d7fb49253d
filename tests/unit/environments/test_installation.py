"""An environment is the lock or it is not called one: installed, verified, shared, interrupted."""

from __future__ import annotations

import base64
import hashlib
import os
import py_compile
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from uv import find_uv_bin

from beampermit.cache import cache_folder
from beampermit.environments import installation, records
from beampermit.environments.bytecode import bytecode_folder
from beampermit.environments.environment import STAMP, Environment, environment_of, prefix_of
from beampermit.environments.installation import Installation, install, shared_prefix
from beampermit.environments.uv import Uv
from beampermit.errors import BadInput, Failed, Outside, Problem
from beampermit.interlocks.file_state import state_of
from beampermit.project import Project
from support.attacks import attack_case
from support.forked_pythons import forked, line_of
from support.package_index import Index, locked_project, set_uv
from support.small_disk import on_small_disk

pytestmark = pytest.mark.slow

WORDS: list[str] = []


def build(root: Path, prefix: Path | None = None, *, reuse: bool = False) -> Installation:
    return install(Uv(), root, prefix or root / ".venv", reuse=reuse, progress=WORDS.append)


def problems(root: Path) -> list[str]:
    return [problem.message for problem in Uv().installed(Uv().read(root), root / ".venv")]


@pytest.fixture(scope="module")
def installed_once(index: Index, contract_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project whose `.venv` is its lock, and what was recorded of it, both set aside."""
    folder = tmp_path_factory.mktemp("installed")
    with pytest.MonkeyPatch.context() as patch:
        set_uv(patch, tmp_path_factory)
        shutil.copytree(locked_project(index, contract_repository), folder / "project")
        build(folder / "project")
        shutil.copytree(cache_folder() / "installed", folder / "recorded")
    (folder / "project").rename(folder / "project as it was")
    return folder


@pytest.fixture
def installed(installed_once: Path, uv_settings: Path) -> Path:
    """The root of a project whose `.venv` is its lock, put back in the place that its files and its seal name."""
    assert uv_settings
    root = installed_once / "project"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(installed_once / "project as it was", root, symlinks=True)
    shutil.copytree(installed_once / "recorded", cache_folder() / "installed", dirs_exist_ok=True)
    return root


def test_what_is_installed_is_the_lock_with_its_groups_and_without_its_extras(installed: Path) -> None:
    assert problems(installed) == []
    names = {path.name.split("-")[0] for path in (installed / ".venv").glob("lib/*/site-packages/*.dist-info")}
    assert names == {"numbers", "plotter", "colours", "local_part", "checker", "linter"}


def _site(root: Path) -> Path:
    return next((root / ".venv").glob("lib/*/site-packages"))


def _edit_metadata(root: Path) -> None:
    file = _site(root) / "numbers-1.0.dist-info/METADATA"
    text = file.read_text().replace("Version: 1.0", "Version: 0.9")
    file.unlink()  # A file of an environment may be one with the cache's.
    file.write_text(text)


def _rewrite(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    file.write_text(text)


DEFECTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a package taken out": (
        lambda root: [shutil.rmtree(path) for path in _site(root).glob("numbers*")],
        "numbers 1.0 is locked and not installed",
    ),
    "a package put in": (
        lambda root: (
            shutil.copytree(_site(root) / "linter-1.0.dist-info", _site(root) / "miner-6.6.dist-info")
            and _rewrite(_site(root) / "miner-6.6.dist-info/METADATA", "Name: miner\nVersion: 6.6\n")
        ),
        "miner 6.6 is installed and not in the lock",
    ),
    "another version": (_edit_metadata, "numbers 0.9 is installed and 1.0 is locked"),
    "an edited module": (
        lambda root: _rewrite(_site(root) / "numbers/__init__.py", "import os\n"),
        "numbers 1.0 was changed: numbers/__init__.py is 10 bytes and was 16",
    ),
    "a module taken out": (
        lambda root: (_site(root) / "numbers/__init__.py").unlink(),
        "numbers 1.0 was changed: numbers/__init__.py is missing",
    ),
    "a record taken out": (
        lambda root: (_site(root) / "numbers-1.0.dist-info/RECORD").unlink(),
        "numbers 1.0 was changed: its RECORD is missing",
    ),
    "a module put there by hand": (
        lambda root: (_site(root) / "sitecustomize.py").write_text("print('mine')"),
        "sitecustomize.py in site-packages belongs to no package",
    ),
    "a path put there by hand": (
        lambda root: (_site(root) / "more.pth").write_text("/tmp"),
        "more.pth in site-packages belongs to no package",
    ),
    "another installer": (
        lambda root: _rewrite(_site(root) / "numbers-1.0.dist-info/INSTALLER", "pip"),
        "numbers 1.0 was installed by pip, not from the lock",
    ),
    "another place": (
        lambda root: (_site(root) / "numbers-1.0.dist-info/direct_url.json").write_text(
            '{"url": "file:///mine", "dir_info": {}}'
        ),
        "numbers 1.0 was installed from file:///mine, not from the lock",
    ),
    "the system's packages": (
        lambda root: _rewrite(
            root / ".venv/pyvenv.cfg",
            (root / ".venv/pyvenv.cfg").read_text().replace("site-packages = false", "site-packages = true"),
        ),
        "the environment includes the packages of the system's Python",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_an_environment_that_is_not_the_lock_is_named_and_then_fixed(installed: Path, defect: str) -> None:
    plant, message = DEFECTS[defect]
    plant(installed)
    found = problems(installed)
    assert any(message in problem for problem in found), found
    build(installed)
    assert problems(installed) == []


def _with_record(root: Path, name: str, content: str) -> None:
    """Put a file into the package numbers, and into its RECORD as an installer would."""
    file = _site(root) / name
    _rewrite(file, content)
    digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
    record = _site(root) / "numbers-1.0.dist-info/RECORD"
    rows = [row for row in record.read_text().splitlines() if not row.startswith(f"{name},")]
    _rewrite(record, "\n".join([f"{name},sha256={digest},{len(content)}", *rows]) + "\n")


def _compile(root: Path, name: str, how: py_compile.PycInvalidationMode) -> None:
    altered = root / "altered.py"
    altered.write_text("VERSION = '6.6'\n")
    py_compile.compile(str(altered), str(_site(root) / name), doraise=True, invalidation_mode=how)
    altered.unlink()


def _same_size(root: Path) -> None:
    file = _site(root) / "numbers/__init__.py"
    before = file.stat()
    file.write_text("VERSION = '6.6'\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _wrapper(root: Path) -> None:
    python = root / ".venv/bin/python"
    real = python.resolve()
    python.unlink()
    python.write_text(f'#!/bin/sh\ntouch {root}/ran\nexec {real} "$@"\n')
    python.chmod(0o755)


def _own(root: Path, name: str, content: str) -> None:
    """Install the project itself, with a file of its own."""
    info = _site(root) / "bpm_faults-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: bpm-faults\nVersion: 0.1.0\n")
    (_site(root) / name).write_text(content)
    (info / "RECORD").write_text(
        f"{name},,\nbpm_faults-0.1.0.dist-info/METADATA,,\nbpm_faults-0.1.0.dist-info/RECORD,,\n"
    )


PYC = f"plotter/__pycache__/__init__.{sys.implementation.cache_tag}.pyc"
UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH
ATTACKS: dict[str, Callable[[Path], object]] = {
    "an edit of the same size and time": _same_size,
    "an edit that RECORD knows of": lambda root: _with_record(root, "numbers/__init__.py", "VERSION = '6.6'\n"),
    "a new module inside a package": lambda root: (_site(root) / "numbers/more.py").write_text("mine = True"),
    "a new module that RECORD knows of": lambda root: _with_record(root, "numbers/more.py", "mine = True"),
    "a .pth that runs code": lambda root: (_site(root) / "mine.pth").write_text("import os; print('mine')"),
    "an edited script of the environment": lambda root: (root / ".venv/bin/activate").open("a").write("echo mine\n"),
    "an unchecked .pyc": lambda root: ((_site(root) / PYC).parent.mkdir(exist_ok=True), _compile(root, PYC, UNCHECKED)),
    "a compiled module without source": lambda root: _compile(root, "numbers/extra.pyc", UNCHECKED),
    "data among compiled code": lambda root: (
        (_site(root) / PYC).with_name("cache.json").parent.mkdir(exist_ok=True)
        or (_site(root) / PYC).with_name("cache.json").write_text("{}")
    ),
    "Python as a wrapper": _wrapper,
    "Python of another folder": lambda root: _rewrite(
        root / ".venv/pyvenv.cfg", "home = /tmp\ninclude-system-site-packages = false\n"
    ),
    "a program more": lambda root: (root / ".venv/bin/dvc").write_text("#!/bin/sh\n"),
    "an edited program": lambda root: (root / ".venv/bin/checker").open("a").write("print('mine')\n"),
    "a folder behind a link": lambda root: (
        (_site(root) / "numbers").rename(root / "numbers"),
        (_site(root) / "numbers").symlink_to(root / "numbers"),
    ),
    "the project as code at each start": lambda root: _own(root, "bpm.pth", "import os; print('mine')\n"),
    "the project inside another package": lambda root: _own(root, "numbers/more.py", ""),
    "the project as sitecustomize": lambda root: _own(root, "sitecustomize.py", ""),
}


@pytest.mark.parametrize(
    "defect",
    [
        attack_case(
            "an edit of the same size and time",
            guard="ENV005",
            tried="in the installed environment: an edit of the same size and time",
            said="numbers 1.0 was changed: numbers/__init__.py has other content",
        ),
        attack_case(
            "an edit that RECORD knows of",
            guard="ENV005",
            tried="in the installed environment: an edit that RECORD knows of",
            said="numbers 1.0 was changed: its RECORD lists other files than the locked package has",
        ),
        attack_case(
            "a new module inside a package",
            guard="ENV005",
            tried="in the installed environment: a new module inside a package",
            said="numbers/more.py in site-packages belongs to no package",
        ),
        attack_case(
            "a new module that RECORD knows of",
            guard="ENV005",
            tried="in the installed environment: a new module that RECORD knows of",
            said="numbers 1.0 was changed: its RECORD lists other files than the locked package has",
        ),
        attack_case(
            "a .pth that runs code",
            guard="ENV005",
            tried="in the installed environment: a .pth that runs code",
            said="mine.pth in site-packages belongs to no package",
        ),
        attack_case(
            "an edited script of the environment",
            guard="ENV005",
            tried="in the installed environment: an edited script of the environment",
            said="bin/activate is not as it was installed",
        ),
        attack_case(
            "an unchecked .pyc",
            guard="ENV005",
            tried="in the installed environment: an unchecked .pyc",
            said="in site-packages is compiled code that Python runs whatever its source says",
        ),
        attack_case(
            "a compiled module without source",
            guard="ENV005",
            tried="in the installed environment: a compiled module without source",
            said="numbers/extra.pyc in site-packages belongs to no package",
        ),
        attack_case(
            "data among compiled code",
            guard="ENV005",
            tried="in the installed environment: data among compiled code",
            said="plotter/__pycache__/cache.json in site-packages belongs to no package",
        ),
        attack_case(
            "Python as a wrapper",
            guard="ENV005",
            tried="in the installed environment: Python as a wrapper",
            said="bin/python is not as it was installed",
        ),
        attack_case(
            "Python of another folder",
            guard="ENV005",
            tried="in the installed environment: Python of another folder",
            said="pyvenv.cfg is not as it was installed",
        ),
        attack_case(
            "a program more",
            guard="ENV005",
            tried="in the installed environment: a program more",
            said="bin/dvc belongs to no package",
        ),
        attack_case(
            "an edited program",
            guard="ENV005",
            tried="in the installed environment: an edited program",
            said="checker 1.0 was changed: ../../../bin/checker is",
        ),
        attack_case(
            "a folder behind a link",
            guard="ENV005",
            tried="in the installed environment: a folder behind a link",
            said="numbers in site-packages belongs to no package",
        ),
        attack_case(
            "the project as code at each start",
            guard="ENV005",
            tried="in the installed environment: the project as code at each start",
            said="bpm.pth in site-packages runs code at each start of Python",
        ),
        attack_case(
            "the project inside another package",
            guard="ENV005",
            tried="in the installed environment: the project inside another package",
            said="bpm-faults 0.1.0 has numbers/more.py, which acts as another package",
        ),
        attack_case(
            "the project as sitecustomize",
            guard="ENV005",
            tried="in the installed environment: the project as sitecustomize",
            said="bpm-faults 0.1.0 has sitecustomize.py, which acts as another package",
        ),
    ],
)
def test_nothing_is_put_into_an_environment_unseen(installed: Path, defect: str, said: str) -> None:
    assert problems(installed) == []  # now the hashes of its files are kept
    ATTACKS[defect](installed)
    found = problems(installed)
    assert any(said in problem for problem in found), found
    assert not (installed / "ran").exists()


def test_what_running_and_installing_the_project_leaves_is_sound(installed: Path) -> None:
    python = installed / ".venv/bin/python"
    subprocess.run([python, "-c", "import plotter, checker"], check=True, cwd=installed)
    assert (_site(installed) / PYC).is_file()
    _compile(installed, "checker/__pycache__/x.pyc", py_compile.PycInvalidationMode.CHECKED_HASH)
    (_site(installed) / "numbers/__init__.py").touch()
    _own(installed, "bpm.pth", f"{installed}/src\n")
    (installed / ".venv/bin/activate.csh").unlink()
    assert problems(installed) == []


def test_compiled_code_beside_its_source_is_never_run(installed: Path) -> None:
    source = _site(installed) / "plotter/__init__.py"
    (_site(installed) / PYC).parent.mkdir()
    _compile(installed, PYC, py_compile.PycInvalidationMode.TIMESTAMP)
    forged = bytearray((_site(installed) / PYC).read_bytes())
    forged[8:12] = int(source.stat().st_mtime).to_bytes(4, "little")
    forged[12:16] = source.stat().st_size.to_bytes(4, "little")
    (_site(installed) / PYC).write_bytes(forged)
    asked = ["-c", "import plotter; print(plotter.VERSION)"]
    plain = subprocess.run([installed / ".venv/bin/python", *asked], capture_output=True, text=True, check=True)
    assert plain.stdout == "6.6\n", "the defect is not planted"
    assert environment_of(installed).run(asked, project=installed).out == "1.0\n"


def test_an_environment_that_somebody_else_made_is_made_again(
    uv_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = uv_project.root
    sync = [find_uv_bin(), "sync", "--locked", "--no-install-project", "--all-groups"]
    subprocess.run(sync, cwd=root, check=True, capture_output=True)
    assert problems(root) == [f"{root}/.venv was not installed by `beampermit env install` with this cache folder"]
    (_site(root) / "mine.pth").write_text("import os")
    build(root)
    assert problems(root) == []


@pytest.mark.parametrize(
    "recorded",
    [
        attack_case(
            True,
            guard="env install",
            tried="our own cache of packages is altered after an installation, RECORD and all",
            said="VERSION = '1.0'",
            id="after an installation",
        ),
        attack_case(
            False,
            guard="env install",
            tried="our own cache of packages is altered before the first installation, RECORD and all",
            said="VERSION = '1.0'",
            id="before the first installation",
        ),
    ],
)
def test_a_package_that_was_altered_in_our_cache_is_not_installed(
    installed: Path, tmp_path: Path, recorded: bool, said: str
) -> None:
    cache = cache_folder()
    altered = [
        *(cache / "uv").glob("archive-v*/*/numbers/__init__.py"),
        *(cache / "uv").glob("archive-v*/*/local_part/__init__.py"),
    ]
    assert len(altered) > 1
    for module in altered:
        _rewrite(module, "VERSION = '6.6'\n")
        (record,) = module.parent.parent.glob("*.dist-info/RECORD")
        digest = base64.urlsafe_b64encode(hashlib.sha256(module.read_bytes()).digest()).rstrip(b"=").decode()
        _rewrite(record, re.sub(r"(__init__.py,sha256=)[^,]*", rf"\g<1>{digest}", record.read_text()))
    if not recorded:
        shutil.rmtree(cache / "installed")
    prefix = tmp_path / "another"
    build(installed, prefix)
    for name, version in (("numbers", "1.0"), ("local_part", "1.0+cpu")):
        (module,) = prefix.glob(f"lib/*/site-packages/{name}/__init__.py")
        assert said.replace("1.0", version) == module.read_text().strip()
    assert Uv().installed(Uv().read(installed), prefix) == ()


@pytest.mark.attack(
    guard="env install",
    tried="packages that are not the locked ones, whichever way they are installed",
    said="the installed packages differ from the lock: numbers 0.9 is installed and 1.0 is locked",
)
def test_an_installation_that_does_not_match_its_lock_at_the_end_is_none(
    uv_project: Project, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    cached: list[bool] = []
    monkeypatch.setattr(Uv, "install", lambda *_, cached=True, **__: installs(cached))
    differs = tuple(
        Problem(f"{name} 0.9 is installed and 1.0 is locked", "uv.lock") for name in ("numbers", "plotter", "linter")
    )
    monkeypatch.setattr(Uv, "installed", lambda *_: differs)

    def installs(from_cache: bool) -> None:
        cached.append(from_cache)
        (uv_project.root / ".venv").mkdir(exist_ok=True)

    with pytest.raises(Failed, match=re.escape(said)) as caught:
        build(uv_project.root)
    assert caught.value.file == "uv.lock"
    assert caught.value.also == differs[1:], "each package is named, not the first alone"
    assert cached == [True, False], "nothing was there but uv's cache"
    assert not (uv_project.root / ".venv" / STAMP).exists()


def test_a_need_taken_out_of_the_lock_is_seen_by_what_packages_say_they_need(installed: Path) -> None:
    file = installed / "uv.lock"
    text = file.read_text()
    edited = text.replace('dependencies = [\n    { name = "numbers" },\n]\n', "", 1)
    assert edited != text
    file.write_text(edited)
    (_site(installed) / "numbers").rename(installed / "gone")
    shutil.rmtree(_site(installed) / "numbers-1.0.dist-info")
    assert any("needs numbers, which is not installed" in problem for problem in problems(installed))


def test_what_is_unchanged_is_hashed_once(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time.sleep(2 * records.RACY / 1e9)  # what has just changed is hashed again, for it may change twice at one time
    assert problems(installed) == []
    hashed: list[str] = []
    monkeypatch.setattr(records, "_sha256", lambda path: hashed.append(path) or hashlib.sha256(b"").hexdigest())
    build(installed)
    assert [path for path in hashed if Path(path).is_relative_to(_site(installed))] == []


def test_a_stale_lock_is_never_installed(uv_project: Project) -> None:
    file = uv_project.root / "pyproject.toml"
    file.write_text(file.read_text().replace("numbers>=1,<2", "numbers>=0.5,<2"))
    with pytest.raises(Failed, match="the lock does not match pyproject") as caught:
        build(uv_project.root)
    assert caught.value.hint == "beampermit env lock"


def test_a_shared_environment_is_built_once_for_all_checkouts(uv_project: Project, tmp_path: Path) -> None:
    prefix = shared_prefix(Uv().read(uv_project.root))
    shutil.rmtree(prefix, ignore_errors=True)
    gone = bytecode_folder() / (tmp_path / "gone").relative_to("/")
    gone.mkdir(parents=True)
    assert not build(uv_project.root, prefix, reuse=True).reused
    assert not gone.exists(), "compiled modules of what is not there any more"
    other = tmp_path / "other"
    shutil.copytree(uv_project.root, other)
    assert build(other, prefix, reuse=True).reused


def test_jobs_that_want_the_same_environment_at_once_wait_for_one_builder(
    uv_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = tmp_path / "shared"
    built: list[str] = []
    original = installation._build

    def counting(*arguments: object) -> None:
        built.append("once")
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(installation, "_build", counting)
    done: list[Installation] = []
    jobs = [threading.Thread(target=lambda: done.append(build(uv_project.root, prefix, reuse=True))) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert built == ["once"]
    assert sorted(one.reused for one in done) == [False, True, True]


INTERRUPTED: dict[str, Callable[[Path], object]] = {
    "before its Python": lambda prefix: [shutil.rmtree(prefix), (prefix / "bin").mkdir(parents=True)],
    "with an empty configuration": lambda prefix: (prefix / "pyvenv.cfg").write_text(""),
    "between two packages": lambda prefix: [
        shutil.rmtree(path) for path in prefix.glob("lib/*/site-packages/plotter*")
    ],
    "within a package": lambda prefix: next(prefix.glob("lib/*/site-packages/plotter/__init__.py")).unlink(),
}


@pytest.mark.parametrize("moment", INTERRUPTED)
def test_what_a_kill_leaves_is_never_reused_and_the_next_run_finishes_it(installed: Path, moment: str) -> None:
    prefix = installed / ".venv"
    (prefix / STAMP).unlink()
    INTERRUPTED[moment](prefix)
    done = build(installed, reuse=True)
    assert not done.reused
    assert problems(installed) == []
    assert (prefix / STAMP).read_text().strip() == done.lock


def test_the_stamp_of_another_lock_is_no_reason_to_reuse(installed: Path) -> None:
    (installed / ".venv" / STAMP).write_text("sha256:of another\n")
    assert not build(installed, reuse=True).reused


def test_a_folder_that_is_something_else_is_not_touched(uv_project: Project, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/beam.parquet").write_text("precious")
    with pytest.raises(BadInput, match=r"not an environment: it holds 'beam\.parquet'"):
        build(uv_project.root, tmp_path / "data")
    assert (tmp_path / "data/beam.parquet").read_text() == "precious"


def test_an_environment_behind_a_link_is_installed_where_the_link_leads(uv_project: Project, tmp_path: Path) -> None:
    folder, link = tmp_path / "scratch", tmp_path / "link"
    link.symlink_to(folder)
    (folder / "lib").mkdir(parents=True)
    with pytest.raises(BadInput, match="a link leads to this folder, which is not empty and no whole") as caught:
        build(uv_project.root, link)
    assert caught.value.hint == f"rm -r {folder}"
    (folder / "lib").rmdir()
    done = build(uv_project.root, link)
    assert (done.environment.prefix, link.is_symlink(), done.packages > 0) == (folder, True, True)
    (folder / STAMP).unlink()
    assert not build(uv_project.root, link).reused
    assert build(uv_project.root, link, reuse=True).reused
    (loop := tmp_path / "loop").symlink_to(loop)
    with pytest.raises(BadInput, match="a link that leads to no folder"):
        build(uv_project.root, loop)


@pytest.fixture
def poisoned(uv_project: Project, index: Index) -> Path:
    """A uv cache in the project's folder, with an altered module of a locked package: what uv installs from it."""
    folder = uv_project.root / ".cache"
    settings = {**os.environ, "UV_CACHE_DIR": str(folder), "UV_PROJECT_ENVIRONMENT": str(folder / "environment")}
    sync = [find_uv_bin(), "sync", "--locked", "--no-install-project", "--all-groups"]
    subprocess.run(sync, cwd=uv_project.root, env=settings, check=True, capture_output=True)
    for module in folder.glob("archive-v*/*/numbers/__init__.py"):
        _rewrite(module, "VERSION = 'bad'")
    shutil.rmtree(folder / "environment")
    subprocess.run([*sync, "--offline"], cwd=uv_project.root, env=settings, check=True, capture_output=True)
    (altered,) = (folder / "environment").glob("lib/*/site-packages/numbers/__init__.py")
    assert altered.read_text() == "VERSION = 'bad'"
    return folder


def test_only_our_own_cache_is_used_whatever_project_and_variables_name(
    uv_project: Project, poisoned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(uv_project.root)
    shutil.rmtree(uv_project.root / ".venv")
    monkeypatch.setenv("UV_CACHE_DIR", str(poisoned))
    monkeypatch.setenv("UV_CONFIG_FILE", str(poisoned / "uv.toml"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9")
    for name, text in (("pip.conf", "[global]\nindex-url = http://127.0.0.1:9\n"), (".condarc", "channels: [none]\n")):
        (uv_project.root / name).write_text(text)
    file = uv_project.root / "pyproject.toml"
    file.write_text(file.read_text().replace("[tool.uv]\n", '[tool.uv]\ncache-dir = ".cache"\n'))
    monkeypatch.setattr("beampermit.environments.uv.specification.SETTINGS", re.compile(".*"))
    WORDS.clear()
    build(uv_project.root)
    assert (_site(uv_project.root) / "numbers/__init__.py").read_text() == "VERSION = '1.0'\n"
    assert not [word for word in WORDS if "from scratch" in word], "the poisoned cache was tried first"


def test_an_index_that_is_down_leaves_nothing_that_looks_whole(
    uv_project: Project, tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "empty-cache"))
    monkeypatch.setattr(index, "fail", 503)
    with pytest.raises(Outside, match="503"):
        build(uv_project.root)
    assert not (uv_project.root / ".venv" / STAMP).exists()
    monkeypatch.setattr(index, "fail", None)
    build(uv_project.root)
    assert problems(uv_project.root) == []


def test_later_steps_of_a_github_job_are_told_where_it_is(
    uv_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not installation.write_github_env(Environment(tmp_path))
    monkeypatch.setenv("GITHUB_ENV", str(tmp_path / "github-env"))
    installation.write_github_env(Environment(tmp_path / "here"))
    assert (tmp_path / "github-env").read_text() == f"BEAMPERMIT_ENVIRONMENT={tmp_path}/here\n"
    with pytest.raises(BadInput, match="line break"):
        installation.write_github_env(Environment(tmp_path / "here\nPATH=mine"))


def test_the_environment_is_the_one_that_the_variable_names(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment_of(installed).prefix == installed / ".venv"
    monkeypatch.setenv("BEAMPERMIT_ENVIRONMENT", str(tmp_path / "nothing"))
    assert prefix_of(installed) == tmp_path / "nothing"
    with pytest.raises(BadInput, match="no environment is installed at") as caught:
        environment_of(installed)
    assert caught.value.hint == "beampermit env install"


def test_code_runs_in_the_environment_with_the_projects_own_and_nobody_elses(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (installed / "src").mkdir()
    (installed / "src/mine.py").write_text("WORD = 'own'\n")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    said = "import sys, numbers, plotter; print(sys.prefix, sys.dont_write_bytecode, sys.path)"
    found = environment_of(installed).run(["-c", f"import mine; {said}"], project=installed)
    assert found.out.startswith(f"{installed}/.venv False"), found.err
    assert not (installed / "src/__pycache__").exists(), "a model that is loaded where it lies must stay as it is"
    assert str(Path(__file__).parent) not in found.out
    alone = environment_of(installed).run(["-c", "import mine"], project=installed, own_code=False)
    assert "No module named 'mine'" in alone.err


def test_the_command_itself_runs_in_the_environment(installed: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "beampermit.cli.main", "env", "run", "--", "python", "-c", "import sys; sys.exit(7)"],
        cwd=installed,
        check=False,
        env={**os.environ},
    )
    assert ran.returncode == 7


def test_what_is_reused_on_a_laptop_hangs_on_every_installed_package(installed: Path) -> None:
    before = state_of([prefix_of(installed)])
    assert before == state_of([prefix_of(installed)])
    shutil.rmtree(_site(installed) / "numbers-1.0.dist-info")
    assert state_of([prefix_of(installed)]) != before


INSTALLS = ("beampermit.environments.installation", "beampermit.environments.uv", "filelock")
KILLED = """
import sys
from pathlib import Path
from beampermit.cache import cache_folder
from beampermit.environments import installation, records
from beampermit.environments.uv import Uv
installation.install(Uv(), Path(sys.argv[1]), Path(sys.argv[2]), progress=lambda step, *_: print(step, flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.0, 0.03, 0.08, 0.15])
def test_killed_while_uv_installs_the_next_run_finishes(uv_project: Project, tmp_path: Path, wait: float) -> None:
    prefix = tmp_path / "environment"
    child = forked(KILLED, uv_project.root, prefix, needs=INSTALLS)
    line_of(child, "installing the lock")
    time.sleep(wait)
    child.kill()
    child.wait()
    if (prefix / STAMP).exists():  # It was faster than we were.
        assert Uv().installed(Uv().read(uv_project.root), prefix) == (), "a half environment looks whole"
    build(uv_project.root, prefix)
    assert Uv().installed(Uv().read(uv_project.root), prefix) == ()


def test_a_uv_that_a_killed_installer_left_behind_writes_no_more(uv_project: Project, tmp_path: Path) -> None:
    prefix = tmp_path / "environment"
    child = forked(KILLED, uv_project.root, prefix, needs=INSTALLS)
    line_of(child, "installing the lock")
    # Before it is uv, it is a fork of the installer, and has its lock.
    began = Path(f"/proc/{child.pid}/task/{child.pid}/children")  # psutil would look at every process, each time
    while not (
        started := [one for one in began.read_text().split() if Path(f"/proc/{one}/comm").read_text() == "uv\n"]
    ):
        time.sleep(0.001)
    (uv,) = (psutil.Process(int(one)) for one in started)
    uv.suspend()
    child.kill()
    child.wait()
    assert uv.is_running()
    build(uv_project.root, prefix)
    assert not uv.is_running()
    assert Uv().installed(Uv().read(uv_project.root), prefix) == ()


@pytest.mark.parametrize("size", [4, 24, 48])
def test_a_full_disk_is_said_in_words(uv_project: Project, tmp_path: Path, size: int) -> None:
    place = tmp_path / "small"
    words = ("env", "install", "--project", uv_project.root, "--prefix", place / "environment")
    code, errors = on_small_disk(place, size, *words, needs=INSTALLS)
    assert code == 4, errors
    assert "no space left" in errors.lower()
    assert "Traceback" not in errors
