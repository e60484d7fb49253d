"""Locks of every kind of source, group and conflict, as uv makes them: our verdict is uv's, and then more than uv's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from beampermit.environments.coverage import uncovered
from beampermit.environments.platforms import world_of
from beampermit.environments.uv import Uv, consistency
from beampermit.environments.uv.installed import locked_for
from beampermit.errors import Failed, Outside
from support.package_index import PYTHON, Index, make_wheel, set_uv, uv

pytestmark = pytest.mark.slow

HEAD = """\
[project]
name = "demo"
version = "0.1.0"
requires-python = "{python}"
dependencies = [{needs}]
"""
TAIL = """
[[tool.uv.index]]
url = "{index}"
default = true

[[tool.uv.index]]
name = "other"
url = "{other}"
explicit = true
"""
PART = """\
[project]
name = "{name}"
version = "0.3"
requires-python = ">=3.11"
dependencies = ["colours>=1"]

[project.optional-dependencies]
fine = ["numbers"]

[dependency-groups]
dev = ["linter"]
"""
BUILT = PART + '\n[build-system]\nrequires = ["builder"]\nbuild-backend = "builder"\n'
GAUGE = '[project]\nname = "gauge-{name}"\nversion = "1.0"\nrequires-python = ">=3.9"\ndependencies = ["numbers>=1"]\n'


@dataclass(frozen=True)
class Kind:
    """A project: what it needs, further tables of its `pyproject.toml`, and `pyproject.toml`s of other folders."""

    needs: str = '"numbers"'
    tables: str = ""
    files: dict[str, str] = field(default_factory=dict)


KINDS = {
    "the project itself": Kind(
        tables="""
[project.optional-dependencies]
a = ["plotter; sys_platform == 'linux'"]
b = ["colours>=1", "demo[a]"]
Every_One = ["demo[a,b]; sys_platform != 'win32'"]

[dependency-groups]
dev = ["demo[every-one]", "checker", "demo"]
ci = [{{include-group = "dev"}}]
""",
    ),
    "git": Kind(
        needs='"gauge-a", "gauge-b", "gauge-c", "gauge-d @ git+{repository}@v1#subdirectory=d"',
        tables="""
[dependency-groups]
dev = ["gauge-e"]

[tool.uv.sources]
gauge-a = {{git = "{repository}", subdirectory = "a"}}
gauge-b = {{git = "{repository}", subdirectory = "b", rev = "{commit}"}}
gauge-c = {{git = "{repository}", subdirectory = "c", tag = "v1"}}
gauge-e = {{git = "{repository}", subdirectory = "e", branch = "stable", group = "dev"}}
""",
    ),
    "folders and files": Kind(
        needs='"part[fine]", "near", "above", "wheely", "numbers @ {files}/numbers-1.0-py3-none-any.whl"',
        tables="""
[tool.uv.sources]
part = {{path = "libs/part", editable = true}}
near = {{path = "libs/near"}}
above = {{path = "../above"}}
wheely = {{path = "vendor/wheely-1.0-py3-none-any.whl"}}
""",
        files={
            "libs/part": BUILT.format(name="part"),
            "libs/near": PART.format(name="near").replace('"colours>=1"', '"leaf"')
            + '[tool.uv.sources]\nleaf = {path = "../leaf"}\n',
            "libs/leaf": PART.format(name="leaf"),
            "../above": PART.format(name="above"),
        },
    ),
    "a workspace": Kind(
        needs='"part"',
        tables="""
[tool.uv.workspace]
members = ["packages/*"]

[tool.uv.sources]
part = {{workspace = true}}
""",
        files={
            "packages/part": BUILT.format(name="part"),
            "packages/spare": PART.format(name="spare").replace("colours>=1", "checker"),
        },
    ),
    "groups that exclude each other": Kind(
        tables="""
[project.optional-dependencies]
bright = ["colours==1.0"]

[dependency-groups]
old = ["plotter[fancy]", "colours==1.0"]
new = ["plotter[fancy]", "colours==2.0"]
both = ["checker", "demo[bright]"]

[tool.uv]
conflicts = [[{{group = "old"}}, {{group = "new"}}], [{{extra = "bright"}}, {{group = "new"}}]]
""",
    ),
    "a group that excludes the project": Kind(
        needs='"colours==1.0"',
        tables="""
[project.optional-dependencies]
more = ["colours", "checker"]
early = ["colours==2.0"]

[dependency-groups]
new = ["colours==2.0"]

[tool.uv]
conflicts = [[{{package = "demo"}}, {{group = "new"}}], [{{package = "demo"}}, {{extra = "early"}}]]
""",
    ),
    "a source of one group": Kind(
        needs='"plotter[fancy]"',
        tables="""
[dependency-groups]
a = ["colours"]
b = ["colours"]

[tool.uv]
conflicts = [[{{group = "a"}}, {{group = "b"}}]]

[tool.uv.sources]
colours = [{{index = "other", group = "a"}}]
""",
    ),
    "overrides and exclusions": Kind(
        needs='"numbers", "plotter[fancy]", "colours==2.0", "checker; sys_platform == \'win32\'", "linter"',
        tables="""
[tool.uv]
override-dependencies = ["colours==1.0; sys_platform == 'linux'", "plotter", "checker"]
exclude-dependencies = ["linter"]
""",
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project of each kind, locked by `beampermit env lock`."""
    folder = tmp_path_factory.mktemp("sources")
    index, other = Index(folder / "index"), Index(folder / "other")
    for name, version, requires in (
        ("numbers", "1.0", ()),
        ("plotter", "1.0", ("numbers>=1", 'colours>=1; extra == "fancy"')),
        ("colours", "1.0", ()),
        ("colours", "2.0", ()),
        ("checker", "1.0", ("numbers",)),
        ("linter", "1.0", ()),
    ):
        index.add(name, version, requires)
    other.add("colours", "1.5")
    names = {
        "python": PYTHON,
        "index": index.url,
        "other": other.url,
        "files": f"{index.origin}/files",
        **_repository(folder),
    }
    with pytest.MonkeyPatch.context() as patch:
        set_uv(patch, tmp_path_factory)
        for number, kind in enumerate(KINDS.values()):
            root = folder / str(number) / "project"
            for place, text in {**kind.files, ".": (HEAD + kind.tables + TAIL)}.items():
                (root / place).mkdir(parents=True, exist_ok=True)
                filled = text.format(needs=kind.needs.format(**names), **names) if place == "." else text
                (root / place / "pyproject.toml").write_text(filled)
            make_wheel(root / "vendor", "wheely", "1.0", ("colours>=1",))
            Uv().lock(root, progress=lambda *_: None)
    yield folder
    index.close()
    other.close()


def _repository(folder: Path) -> dict[str, str]:
    """A git repository with packages `gauge-a` to `gauge-e`, each in a folder."""
    repository = folder / "gauges"
    for name in "abcde":
        (repository / name).mkdir(parents=True)
        (repository / name / "pyproject.toml").write_text(GAUGE.format(name=name))
    who = ("-c", "user.name=ada", "-c", "user.email=ada@lab.example")
    for words in (
        ("init", "-b", "main"),
        ("add", "."),
        (*who, "commit", "-m", "x"),
        ("tag", "v1"),
        ("branch", "stable"),
    ):
        subprocess.run(["git", *words], cwd=repository, check=True, capture_output=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, check=True, capture_output=True, text=True)
    return {"repository": repository.as_uri(), "commit": head.stdout.strip()}


@pytest.fixture
def projects(made: Path, uv_settings: Path, tmp_path: Path) -> dict[str, Path]:
    """Copies that a test may break, made as they are asked for."""
    assert uv_settings

    class Copies(dict[str, Path]):
        def __missing__(self, kind: str) -> Path:
            number = str(list(KINDS).index(kind))
            self[kind] = Path(shutil.copytree(made / number, tmp_path / number)) / "project"
            return self[kind]

    return Copies()


def problems(root: Path) -> list[str]:
    backend = Uv()
    return [str(problem) for problem in backend.stale(backend.specification(root), backend.read(root))]


def uv_accepts(root: Path) -> bool:
    return uv(root, "lock", "--check", "--offline", "--no-build").returncode == 0


def edit(file: Path, pattern: str, replacement: str) -> None:
    text = file.read_text()
    edited = re.sub(pattern, lambda match: match.expand(replacement), text, count=1, flags=re.DOTALL)
    assert edited != text
    file.write_text(edited)


@pytest.mark.parametrize("kind", KINDS)
def test_what_env_lock_writes_is_fresh_to_uv_and_to_us(projects: dict[str, Path], kind: str) -> None:
    assert problems(projects[kind]) == []
    assert uv_accepts(projects[kind])


FORGED = {
    "an extra of the project taken from a group": (
        "the project itself",
        r'\{ name = "demo", extra = \["every-one"\] \}',
        '{ name = "demo" }',
        "the lock gives no demo[every-one]",
    ),
    "a need of an extra taken from one that names it": (
        "the project itself",
        r'(every-one = \[[^]]*)    \{ name = "colours"[^}]*\},\n',
        r"\1",
        "is required and the lock gives the project no colours",
    ),
    "an index in place of a repository": (
        "git",
        r'(name = "gauge-a"\nversion = "1.0"\nsource = )\{[^}]*\}',
        r'\1{{ registry = "{index}" }}\nwheels = [{{ url = "{index}/gauge_a-1.0-py3-none-any.whl" }}]',
        "is required and gauge-a 1.0 is from index http://127.0.0.1",
    ),
    "another repository": (
        "git",
        r'(name = "gauge-c"\nversion = "1.0"\nsource = \{ git = "file://)[^?]*',
        r"\1/elsewhere",
        "is required and gauge-c 1.0 is from git file:///elsewhere",
    ),
    "an index in place of a file": (
        "folders and files",
        r'(name = "numbers"\nversion = "1.0"\nsource = )\{[^}]*\}',
        r'\1{{ registry = "{index}" }}',
        "is required and numbers 1.0 is from index http://127.0.0.1",
    ),
    "a need of a folder taken out": (
        "folders and files",
        r'(name = "leaf".*?)dependencies = \[.*?\n\]\n',
        r"\1",
        "colours>=1 is required and the lock gives leaf no colours",
    ),
    "a need of a member taken out": (
        "a workspace",
        r'(name = "spare".*?)dependencies = \[.*?\n\]\n',
        r"\1",
        "checker is required and the lock gives spare no checker",
    ),
    "a need of a member's group put in": (
        "a workspace",
        r'(name = "spare".*?dev = \[\n)',
        r'\1    { name = "checker" },\n',
        "the lock gives spare checker, which it does not require",
    ),
    "a package put into a workspace": (
        "a workspace",
        r'\[\[package\]\]\nname = "numbers"',
        '[[package]]\nname = "miner"\nversion = "1.0"\nsource = { registry = "wheels" }\n\n'
        '[[package]]\nname = "numbers"',
        "miner 1.0 is in the lock and nothing needs it",
    ),
    "the version of the group that it excludes": (
        "groups that exclude each other",
        r'(new = \[\n    \{ name = "colours", version = )"2.0"',
        r'\1"1.0"',
        "colours==2.0 is required and colours 1.0 is locked",
    ),
    "a need of a group for another group alone": (
        "groups that exclude each other",
        r"(new = \[.*?marker = \"extra == 'group-4-demo-)new'",
        r"\1both'",
        "plotter[fancy] is required and the lock gives the project no plotter",
    ),
    "a need of the project for a group alone": (
        "a group that excludes the project",
        r"(name = \"demo\"\nversion.*?\ndependencies = \[\n.*?)extra == 'project-4-demo'",
        r"\1extra == 'group-4-demo-new'",
        "colours==1.0 is required and the lock gives the project no colours",
    ),
    "the index of another group": (
        "a source of one group",
        r"(\na = \[\n[^]]*?)version = [^}]*\}(.*?\nb = \[\n[^]]*?)(version = \"2.0\", source = [^}]*\})",
        r"\1\3\2\3",
        "is required and colours 2.0 is from index",
    ),
    "a need of an override taken out": (
        "overrides and exclusions",
        r'(name = "demo"\nversion.*?)    \{ name = "plotter" \},\n',
        r"\1",
        "plotter is required and the lock gives the project no plotter",
    ),
    "a need of an override on one platform less": (
        "overrides and exclusions",
        r"(name = \"demo\"\nversion.*?)sys_platform == 'linux'",
        r"\1sys_platform == 'win32'",
        "colours==1.0; sys_platform == 'linux' is required and the lock gives the project no colours",
    ),
}


@pytest.mark.parametrize("defect", FORGED)
def test_a_forged_lock_that_uv_accepts_is_named(projects: dict[str, Path], defect: str) -> None:
    kind, pattern, replacement, message = FORGED[defect]
    root = projects[kind]
    if "{index}" in replacement:
        replacement = replacement.format(index=Uv().specification(root).indexes[0][0])
    edit(root / "uv.lock", pattern, replacement)
    found = problems(root)
    assert any(message in problem for problem in found), found
    assert uv_accepts(root)


STALE = {
    "another commit than the one that is asked for": (
        "git",
        "uv.lock",
        r"(rev=[0-9a-f]{40})#[0-9a-f]{40}",
        r"\1#" + "f" * 40,
        "does not match precise commit",
    ),
    "a requirement of a member": (
        "a workspace",
        "packages/part/pyproject.toml",
        "colours>=1",
        "colours>=2",
        "packages/part/pyproject.toml: uv.lock does not match packages/part/pyproject.toml: "
        "mismatched requirements for: `part==0.3` (colours)",
    ),
    "a member less": (
        "a workspace",
        "pyproject.toml",
        r'\["packages/\*"\]',
        '["packages/part"]',
        "uv.lock has the member 'spare', which pyproject.toml no longer has",
    ),
    "a member that the lock does not name": (
        "a workspace",
        "uv.lock",
        '    "spare",\n',
        "",
        "uv.lock was made without the member 'spare'",
    ),
    "a requirement of a folder": (
        "folders and files",
        "libs/leaf/pyproject.toml",
        "colours>=1",
        "colours>=2",
        "libs/leaf/pyproject.toml: uv.lock does not match",
    ),
    "another tag": (
        "git",
        "pyproject.toml",
        'tag = "v1"',
        'tag = "v2"',
        "gauge-c from git is required, and uv.lock was made for gauge-c from git file:///",
    ),
    "groups that may now be installed together": (
        "groups that exclude each other",
        "pyproject.toml",
        r"conflicts = [^\n]*\n",
        "",
        "uv.lock does not match pyproject.toml: change in conflicting groups",
    ),
    "an exclusion less": (
        "overrides and exclusions",
        "pyproject.toml",
        r"exclude-dependencies = [^\n]*\n",
        "",
        "mismatched excludes (linter)",
    ),
}


@pytest.mark.parametrize("change", STALE)
def test_what_uv_finds_stale_is_stale_and_named(projects: dict[str, Path], change: str) -> None:
    kind, name, pattern, replacement, message = STALE[change]
    edit(projects[kind] / name, pattern, replacement)
    found = problems(projects[kind])
    assert any(message in problem for problem in found), found
    assert not uv_accepts(projects[kind])


def test_what_cannot_be_judged_is_neither_fresh_nor_stale(
    projects: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = projects["folders and files"]
    edit(root / "libs/part/pyproject.toml", r'dependencies = \["colours>=1"\]', 'dynamic = ["dependencies"]')
    with pytest.raises(Outside, match=r"uv would have to build part\S* to tell whether uv\.lock is fresh"):
        problems(root)
    shutil.rmtree(root / "libs/part")
    with pytest.raises(Outside, match=r"libs/part is not a project with a pyproject\.toml on this machine"):
        problems(root)
    monkeypatch.setattr(consistency, "MOST", 1)
    root = projects["groups that exclude each other"]
    with pytest.raises(Outside, match=r"uv takes uv\.lock for fresh, and it cannot be compared with the requirements"):
        problems(root)
    edit(root / "pyproject.toml", "colours==2.0", "colours>=2.0")
    assert problems(root)[0].startswith("pyproject.toml:12: colours>=2.0 is required"), "what is known is said"


def test_nothing_of_a_repository_is_checked_out_for_a_check(
    projects: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, stub = tmp_path / "log", tmp_path / "bin/git"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\necho "$1 $GIT_ALLOW_PROTOCOL" >> {log}\nexec {shutil.which("git")} "$@"\n')
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}:{os.environ['PATH']}")
    assert problems(projects["git"]) == []
    assert not log.exists(), "a fresh lock asks git nothing"
    edit(projects["git"] / "pyproject.toml", 'tag = "v1"', 'tag = "v2"')
    assert problems(projects["git"])
    calls = set(log.read_text().splitlines())
    # uv ends at the first thing that it misses, which may be before a clone begins.
    assert "fetch file" in calls
    assert not {one for one in calls if one.startswith(("fetch", "clone"))} - {"fetch file", "clone none"}


FOLDERS = """\
[project]
name = "demo"
version = "0.1.0"
requires-python = "{python}"
dependencies = ["tiny"]

[dependency-groups]
dev = ["small"]

[tool.uv.sources]
tiny = {{index = "flat"}}
small = {{index = "simple", group = "dev"}}

[[tool.uv.index]]
name = "flat"
url = "{above}/flat wheels"
format = "flat"
explicit = true

[[tool.uv.index]]
name = "simple"
url = "{above}/index/simple"
explicit = true
"""


@pytest.mark.parametrize("spelling", ["path", "URL", "relative"])
def test_an_explicit_index_in_a_folder_is_fresh_however_it_is_written(
    uv_settings: Path, tmp_path: Path, spelling: str
) -> None:
    above = {"path": str(tmp_path), "URL": tmp_path.as_uri(), "relative": ".."}[spelling]
    index = Index(tmp_path / "index")
    index.add("small", "1.0")
    index.close()
    make_wheel(tmp_path / "flat wheels", "tiny", "1.0")
    make_wheel(tmp_path / "forged/flat wheels", "tiny", "1.0")
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text(FOLDERS.format(python=PYTHON, above=above))
    Uv().lock(root, progress=lambda *_: None)
    assert problems(root) == []
    assert uv(root, "lock", "--check", "--offline").returncode == 0
    Uv().install(root, root / ".venv", progress=lambda *_: None)
    edit(root / "uv.lock", r'registry = "([^"]*)/flat wheels"', r'registry = "\1/forged/flat wheels"')
    (found,) = problems(root)
    assert re.search(r"tiny from file:///.*/flat%20wheels is required and tiny 1.0 is from index .*/forged/flat", found)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("groups that exclude each other", "group new and group old exclude each other, and an environment has"),
        ("a group that excludes the project", "group new and demo exclude each other, and an environment has"),
        ("a source of one group", "group a and group b exclude each other, and an environment has"),
    ],
)
def test_what_excludes_each_other_is_fresh_and_no_environment(
    projects: dict[str, Path], kind: str, message: str
) -> None:
    root = projects[kind]
    assert "are incompatible with the" in uv(root, "sync", "--locked", "--all-groups", "--dry-run").stderr
    (found,) = uncovered(Uv().read(root), ["linux-x86_64"], ["cpu"])
    assert found.message.startswith(message)
    with pytest.raises(Failed, match=re.escape(message)):
        Uv().install(root, root / ".venv", progress=lambda *_: None)


def test_an_extra_that_a_group_names_is_installed_with_it(projects: dict[str, Path]) -> None:
    lock = Uv().read(projects["the project itself"])
    assert list(uncovered(lock, ["linux-x86_64"], ["cpu"])) == []
    named = {package.name for package in locked_for(lock, world_of(lock, "linux-x86_64"))}
    assert named == {"numbers", "checker", "plotter", "colours"}
