"""A package index on 127.0.0.1 with small wheels of our own, and a project that uv locks from it."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler
from importlib.metadata import distribution
from pathlib import Path

import pytest
from uv import find_uv_bin

from beampermit.environments.uv import Uv
from beampermit.project import Project
from support.loopback import listening
from support.shared import made_once, shared_folder

PYTHON = f"=={sys.version_info.major}.{sys.version_info.minor}.*"
PYPROJECT = """\
[project]
name = "bpm-faults"
version = "0.1.0"
requires-python = "{python}"
dependencies = [
  "plotter[fancy]>=1",
  "numbers>=1,<2",
  "winter; sys_platform == 'win32'",
  "local-part",
]

[project.optional-dependencies]
cuda = ["cudart>=1; python_version > '3.10'"]

[dependency-groups]
dev = ["checker>=1", {{include-group = "lint"}}]
lint = ["linter"]

[tool.uv]
package = false
find-links = ["wheels"]
constraint-dependencies = ["colours<9"]

[[tool.uv.index]]
url = "{index}"
default = true
"""
PACKAGES = (
    ("numbers", "1.0", ()),
    ("plotter", "1.0", ("numbers>=1", 'colours>=1; extra == "fancy"')),
    ("colours", "1.0", ()),
    ("colours", "9.0", ()),
    ("winter", "1.0", ()),
    ("cudart", "1.0", ()),
    ("checker", "1.0", ()),
    ("linter", "1.0", ("numbers",)),
)
COMMANDS = {"checker": {"checker-1.0.dist-info/entry_points.txt": "[console_scripts]\nchecker = checker:main\n"}}
"""Packages that install a command: files of their wheels."""
TESTERS = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")


class Index:
    """Serves the wheels in `folder` as a simple index; `fail` makes it answer each request with that status.

    With a `login`, `USER:PASSWORD`, it answers nobody else.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.fail: int | None = None
        self.login = ""
        self._serving = ExitStack()
        self.origin = f"http://127.0.0.1:{self._serving.enter_context(listening(partial(_Handler, self)))}"
        self.url = f"{self.origin}/simple"

    def add(
        self, name: str, version: str, requires: Iterable[str] = (), files: Mapping[str, str] | None = None
    ) -> Path:
        """Make a wheel and serve it."""
        path = make_wheel(self.folder / "files", name, version, requires, files)
        self.list(name)
        return path

    def add_installed(self, name: str) -> None:
        """Serve the package `name` of the Python that runs the tests, as a wheel."""
        wheel_of(self.folder / "files", name)
        self.list(name)

    def close(self) -> None:
        """Stop serving: the port refuses connections from now on."""
        self._serving.close()

    def list(self, name: str) -> None:
        """Show the wheels of a package that lie in the folder."""
        page = self.folder / "simple" / name / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        wheels = sorted((self.folder / "files").glob(f"{name.replace('-', '_')}-*.whl"))
        hashes = {wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}
        links = [f'<a href="../../files/{file}#sha256={digest}">{file}</a>' for file, digest in hashes.items()]
        page.write_text(f"<!doctype html><title>{name}</title>{'<br>'.join(links)}")


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, index: Index, *arguments: object):
        self._index = index
        super().__init__(*arguments, directory=str(index.folder))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self._index.fail:
            self.send_error(self._index.fail)
        elif self._index.login and self.headers.get("Authorization") != basic(self._index.login):
            self.send_error(401)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


def basic(login: str) -> str:
    """The header of HTTP's basic authentication."""
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def make_wheel(
    folder: Path, name: str, version: str, requires: Iterable[str] = (), files: Mapping[str, str] | None = None
) -> Path:
    """Write a wheel with a module of that name."""
    module = name.replace("-", "_")
    extras = sorted({words.split('extra == "')[1].rstrip('"') for words in requires if 'extra == "' in words})
    metadata = [f"Name: {name}", f"Version: {version}"]
    metadata += [f"Provides-Extra: {extra}" for extra in extras]
    metadata += [f"Requires-Dist: {words}" for words in requires]
    info = f"{module}-{version}.dist-info"
    content = {f"{module}/__init__.py": f"VERSION = {version!r}\n", **(files or {})}
    content[f"{info}/METADATA"] = "Metadata-Version: 2.3\n" + "\n".join(metadata) + "\n"
    content[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return _write_wheel(folder / f"{module}-{version}-py3-none-any.whl", info, content)


def wheel_of(folder: Path, name: str) -> Path:
    """Make a wheel again of an installed pure package."""
    found = distribution(name)
    module = found.metadata["Name"].lower().replace("-", "_")
    info = f"{module}-{found.version}.dist-info"
    content: dict[str, str] = {}
    for file in found.files or ():
        parts = Path(str(file)).parts
        if (
            ".." in parts
            or "__pycache__" in parts
            or file.name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
        ):
            continue
        inside = info if parts[0].endswith(".dist-info") else parts[0]
        content["/".join((inside, *parts[1:]))] = Path(str(file.locate())).read_text(encoding="utf-8")
    return _write_wheel(folder / f"{module}-{found.version}-py3-none-any.whl", info, content)


def _write_wheel(path: Path, info: str, content: Mapping[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        rows = []
        for file, text in content.items():
            archive.writestr(zipfile.ZipInfo(file), text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            rows.append(f"{file},sha256={digest},{len(text.encode())}")
        rows.append(f"{info}/RECORD,,")
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """The index that locked projects of the tests name; tests that break an index make their own."""
    found = Index(tmp_path_factory.mktemp("index"))
    for name, version, requires in PACKAGES:
        found.add(name, version, requires, COMMANDS.get(name))
    yield found
    found.close()


@pytest.fixture
def uv_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """uv and we keep our caches in a folder of this run, and no setting of whoever runs the tests is seen."""
    return set_uv(monkeypatch, tmp_path_factory)


def set_uv(patch: pytest.MonkeyPatch, factory: pytest.TempPathFactory) -> Path:
    """The same for what is made once for many tests."""
    cache = factory.getbasetemp() / "cache"
    for name in (
        "UV_FIND_LINKS",
        "UV_INDEX",
        "UV_DEFAULT_INDEX",
        "UV_INDEX_URL",
        "BEAMPERMIT_ENVIRONMENT",
        "GITHUB_ENV",
    ):
        patch.delenv(name, raising=False)
    patch.setenv("UV_CACHE_DIR", str(cache / "uv"))
    patch.setenv("XDG_CACHE_HOME", str(cache))
    patch.setenv("XDG_CONFIG_HOME", str(cache / "no-settings"))
    patch.setenv("UV_HTTP_RETRIES", "0")
    return cache


@pytest.fixture
def uv_project(uv_settings: Path, index: Index, contract_repository: Path, tmp_path: Path) -> Project:
    """The project of the contract, with a lock that holds: committed, its indexes in the contract."""
    assert uv_settings
    return Project(shutil.copytree(locked_project(index, contract_repository), tmp_path / "project"))


def locked_project(index: Index, contract_repository: Path) -> Path:
    """The project of `uv_project`, to be copied: made by whoever asks first."""
    root = index.folder / "locked"
    if root.exists():
        return root
    half = index.folder / "locking"
    shutil.rmtree(half, ignore_errors=True)
    shutil.copytree(contract_repository, half)
    make_wheel(half / "wheels", "local-part", "1.0+cpu")
    (half / "pyproject.toml").write_text(PYPROJECT.format(python=PYTHON, index=index.url))
    Uv().lock(half, progress=lambda _: None)
    (half / ".gitignore").write_text(".venv/\n.beampermit/\n__pycache__/\n")
    contract = (half / "contract.yaml").read_text()
    allowed = f"  backend: uv\n  indexes:\n    - {index.url}\n    - wheels\n"
    (half / "contract.yaml").write_text(contract.replace("  backend: uv\n", allowed))
    for words in (("add", "--all"), ("commit", "--quiet", "--message", "The lock")):
        subprocess.run(["git", *words], cwd=half, check=True, capture_output=True)
    return half.rename(root)


@pytest.fixture(scope="session")
def tested_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose locked environment has a real pytest: installed once, its `.venv` with it."""
    return made_once(shared_folder(tmp_path_factory) / "testers", _install_pytest) / "project"


def _install_pytest(folder: Path) -> None:
    found = Index(folder)
    for name in TESTERS:
        found.add_installed(name)
    root = found.folder / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text(
        f'[project]\nname = "tested"\nversion = "1"\nrequires-python = "{PYTHON}"\n'
        f'[dependency-groups]\ndev = ["pytest"]\n[tool.uv]\npackage = false\n'
        f"environments = [\"sys_platform == '{sys.platform}'\"]\n"
        f'[[tool.uv.index]]\nurl = "{found.url}"\ndefault = true\n[tool.pytest.ini_options]\npythonpath = ["src"]\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEAMPERMIT_CACHE", str(found.folder / "cache"))
        patch.delenv("UV_FIND_LINKS", raising=False)
        Uv().lock(root, progress=lambda _: None)
        Uv().install(root, root / ".venv", progress=lambda _: None)
    found.close()


def uv(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """uv itself, as the judge of what we write."""
    return subprocess.run([find_uv_bin(), *arguments], cwd=root, capture_output=True, text=True, check=False)
