"""Each way in which a lock can be stale or tampered with is found without the network, and named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from beampermit.environments.uv import Uv, specification
from beampermit.errors import BadInput, Outside, Problem
from beampermit.project import Project
from support.attacks import attack_case
from support.package_index import uv

pytestmark = pytest.mark.slow

ASKED = {
    "a package more": (
        '"local-part",',
        '"local-part",\n  "colours",',
        "colours is required, and uv.lock was made without it",
    ),
    "a package less": (
        '  "local-part",\n',
        "",
        "uv.lock was made for local-part, which pyproject.toml no longer requires",
    ),
    "another version": (
        "numbers>=1,<2",
        "numbers>=1.5,<2",
        "numbers>=1.5,<2 is required, and uv.lock was made for numbers<2,>=1",
    ),
    "another extra": (
        "plotter[fancy]",
        "plotter",
        "plotter>=1 is required, and uv.lock was made for plotter[fancy]>=1",
    ),
    "another marker": (
        "sys_platform == 'win32'",
        "sys_platform == 'darwin'",
        "winter; sys_platform == 'darwin' is required, and uv.lock was made for winter; sys_platform == 'win32'",
    ),
    "another Python of a marker": (
        "python_version > '3.10'",
        "python_version > '3.11'",
        "cudart>=1; python_version > '3.11' is required, and uv.lock was made for cudart>=1; python_full",
    ),
    "another group": ('"checker>=1"', '"checker>=2"', "checker>=2 is required, and uv.lock was made for checker>=1"),
    "a group that another includes": (
        'lint = ["linter"]',
        'lint = ["linter>=1"]',
        "linter>=1 is required, and uv.lock was made for linter",
    ),
    "a new group": ("lint = [", 'docs = ["linter"]\nlint = [', "uv.lock was made without the group 'docs'"),
    "a new extra": ("cuda = [", "rocm = []\ncuda = [", "uv.lock was made without the extra 'rocm'"),
    "an extra less": (
        "cuda = [\"cudart>=1; python_version > '3.10'\"]",
        "",
        "uv.lock has the extra 'cuda', which pyproject.toml no longer has",
    ),
    "another Python": ('requires-python = "', 'requires-python = ">=3.11.5,', "change in Python requirement: `"),
    "another version of the project": (
        'version = "0.1.0"',
        'version = "0.2.0"',
        "mismatched version: `bpm-faults` (expected: `0.1.0`, found: `0.2.0`)",
    ),
    "another name of the project": (
        'name = "bpm-faults"',
        'name = "bpm"',
        "the lock is for the project bpm-faults, pyproject.toml is for bpm",
    ),
    "another constraint": (
        "colours<9",
        "colours<8",
        "mismatched constraints (colours)",
    ),
    "an override": (
        "package = false",
        'package = false\noverride-dependencies = ["numbers<1"]',
        "mismatched overrides (numbers)",
    ),
    "another resolution": (
        "package = false",
        'package = false\nresolution = "lowest"',
        "change in resolution mode: `highest` vs. `lowest`",
    ),
    "pre-releases": (
        "package = false",
        'package = false\nprerelease = "allow"',
        "change in pre-release mode: `if-necessary` vs. `allow`",
    ),
    "a date": (
        "package = false",
        'package = false\nexclude-newer = "2026-01-01"',
        "addition of global exclude newer 2026-01-0",
    ),
    "platforms": (
        "package = false",
        "package = false\nenvironments = [\"sys_platform == 'linux'\"]",
        "change in supported environments: `[]` vs. `[sys_platform == 'linux']`",
    ),
    "an excluded dependency": (
        "package = false",
        'package = false\nexclude-dependencies = ["colours"]',
        "mismatched excludes (colours)",
    ),
    "a source that is not an index": (
        "[[tool.uv.index]]",
        '[tool.uv.sources]\nnumbers = {git = "https://git.lab.example/numbers"}\n[[tool.uv.index]]',
        "numbers>=1,<2 from git is required, and uv.lock was made for numbers<2,>=1",
    ),
}
LOCKED = {
    "an edited version": (
        'name = "numbers"\nversion = "1.0"',
        'name = "numbers"\nversion = "2.5"',
        "and numbers 2.5 is locked",
    ),
    "a version under its constraint": (
        'name = "colours"\nversion = "1.0"',
        'name = "colours"\nversion = "9.0"',
        "colours<9 is required of every package and colours 9.0 is locked",
    ),
    "a package taken out": (
        r'\[\[package\]\]\nname = "colours".*?\n\n',
        "",
        "colours is not in the lock; plotter 1.0 needs it",
    ),
    "a package put in": (
        r'\[\[package\]\]\nname = "numbers"',
        '[[package]]\nname = "miner"\nversion = "1.0"\nsource = { registry = "wheels" }\n\n'
        '[[package]]\nname = "numbers"',
        "miner 1.0 is in the lock and nothing needs it",
    ),
    "a need of the project taken out": (
        r'    \{ name = "local-part" \},\n',
        "",
        "local-part is required and the lock gives the project no local-part",
    ),
    "a need of the project put in": (
        r'    \{ name = "local-part" \},\n',
        '    { name = "local-part" },\n    { name = "linter" },\n',
        "the lock gives the project linter, which it does not require",
    ),
    "a need of a group taken out": (
        r'lint = \[\n    \{ name = "linter" \},\n\]',
        "lint = []",
        "linter is required and the lock gives the project no linter",
    ),
    "a group put in": (
        r"\[package.dev-dependencies\]\n",
        '[package.dev-dependencies]\nbad = [\n    { name = "linter" },\n]\n',
        "the lock gives the project linter, which it does not require",
    ),
    "an extra taken from a need": (
        r'\{ name = "plotter", extra = \["fancy"\] \}',
        '{ name = "plotter" }',
        "the lock gives no plotter[fancy]",
    ),
    "a marker put on a need": (
        r'\{ name = "numbers" \}',
        '{ name = "numbers", marker = "sys_platform == \'win32\'" }',
        "numbers<2,>=1 is required and the lock gives the project no numbers",
    ),
    "the project taken out": (
        r'source = \{ virtual = "\." \}',
        'source = { virtual = "elsewhere" }',
        "no entry for the project",
    ),
}


def test_the_lock_as_it_was_made_is_fresh(uv_project: Project) -> None:
    assert problems(uv_project.root) == []


def test_line_ends_of_another_system_change_nothing(uv_project: Project) -> None:
    before = Uv().read(uv_project.root)
    for name in ("uv.lock", "pyproject.toml"):
        file = uv_project.root / name
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert problems(uv_project.root) == []
    assert Uv().read(uv_project.root).digest == before.digest


@pytest.mark.parametrize("change", ASKED)
def test_a_change_of_what_is_asked_for_makes_the_lock_stale(uv_project: Project, change: str) -> None:
    before, after, message = ASKED[change]
    file = uv_project.root / "pyproject.toml"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))
    found = problems(uv_project.root)
    assert any(message in problem for problem in found), found


@pytest.mark.parametrize("defect", LOCKED)
def test_a_lock_edited_by_hand_is_no_solution(uv_project: Project, defect: str) -> None:
    pattern, replacement, message = LOCKED[defect]
    file = uv_project.root / "uv.lock"
    text = file.read_text()
    edited = re.sub(pattern, lambda _: replacement, text, count=1, flags=re.DOTALL)
    assert edited != text
    file.write_text(edited)
    found = problems(uv_project.root)
    assert any(message in problem for problem in found), found


BACKEND = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["{folder}"]
"""


def test_no_code_of_the_project_runs(uv_project: Project, tmp_path: Path) -> None:
    root, mark = uv_project.root, tmp_path / "ran"
    python = root / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\ntouch {mark}\n")
    python.chmod(0o755)
    (root / ".venv/pyvenv.cfg").write_text("home = /usr/bin\n")
    (root / "backend.py").write_text(f"open({str(mark)!r}, 'w')\n")
    edit(root / "pyproject.toml", 'version = "0.1.0"', 'dynamic = ["version"]')
    edit(root / "pyproject.toml", "package = false\n", "")
    with (root / "pyproject.toml").open("a") as stream:
        stream.write(BACKEND.format(folder=root))
    assert problems(root)
    assert not mark.exists()


def test_uv_is_not_asked_what_only_a_build_backend_knows(uv_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(uv_project.root / "pyproject.toml", 'version = "0.1.0"', 'version = "0.1.0"\ndynamic = ["dependencies"]')
    monkeypatch.setattr("beampermit.environments.uv.freshness.call", lambda *_, **__: pytest.fail("uv was started"))
    said = "project.dynamic has 'dependencies': list them in pyproject.toml, so that they can be locked"
    assert problems(uv_project.root) == [said]
    with pytest.raises(BadInput, match=re.escape(said)):
        Uv().lock(uv_project.root, progress=print)


UNREADABLE = {
    "a default group that is not there": (
        'default-groups = ["docs"]',
        r"Default group `docs` \(from `tool.uv.default-groups`\) is not defined",
        "",
    ),
    "a marker": (
        'environments = ["x y"]',
        "uv cannot read pyproject.toml: environments: Expected a quoted string or a valid marker name, found `x`: x y",
        "environments",
    ),
    "an index without a URL": (
        '[[tool.uv.index]]\nname = "empty"',
        "uv cannot read pyproject.toml: [[tool.uv.index]]: missing field `url`",
        "[[tool.uv.index]]\nname",
    ),
    "another version of uv": (
        'required-version = ">=99"',
        r"tool\.uv\.required-version is >=99, but beampermit runs uv \d.*: change it",
        "required-version",
    ),
    "a project that uv leaves alone": (
        "managed = false",
        "tool.uv.managed is false: uv cannot lock the project; remove the setting",
        "managed",
    ),
}


@pytest.mark.parametrize("fault", UNREADABLE)
def test_a_setting_that_uv_refuses_is_named_with_its_line(
    uv_project: Project, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # uv wraps its errors to it
    setting, message, place = UNREADABLE[fault]
    file = uv_project.root / "pyproject.toml"
    edit(file, "package = false", f"package = false\n{setting}")
    text = file.read_text()
    (found,) = stale(uv_project.root)
    assert re.match(message.replace("[[", r"\[\["), found.message), found
    line = text[: text.index(place)].count("\n") + 1 if place else None
    assert (found.file, found.line) == ("pyproject.toml", line)


def test_values_nested_too_deeply_are_refused(uv_project: Project) -> None:
    edit(uv_project.root / "pyproject.toml", "package = false", f"package = false\nconflicts = {'[' * 400}{']' * 400}")
    with pytest.raises(BadInput, match="nested too deeply"):
        stale(uv_project.root)


def test_a_lock_for_a_python_that_is_not_here_is_neither_fresh_nor_stale(uv_project: Project) -> None:
    for name in ("pyproject.toml", "uv.lock"):
        file = uv_project.root / name
        file.write_text(re.sub(r'requires-python = ".*"', 'requires-python = "==3.5.*"', file.read_text()))
    with pytest.raises(Outside, match="no Python that requires-python allows is on this machine"):
        problems(uv_project.root)


def test_settings_of_whoever_checks_do_not_make_a_lock_stale(
    uv_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_FROZEN", "1")
    monkeypatch.setenv("RUST_LOG", "off")
    assert problems(uv_project.root) == []
    edit(uv_project.root / "pyproject.toml", '"local-part",', '"local-part",\n  "colours",')
    assert problems(uv_project.root) == ["colours is required, and uv.lock was made without it"]


@pytest.mark.parametrize(
    ("key", "setting"),
    [
        attack_case(
            "cache-dir",
            'cache-dir = ".cache/uv"',
            guard="ENV002",
            tried="[tool.uv] names a cache of the project's own, under an unchanged lock",
            said="tool.uv.cache-dir can change what uv installs under the same lock: remove it",
            id="a cache of the project's own",
        ),
        attack_case(
            "allow-insecure-host",
            'allow-insecure-host = ["index.lab.example"]',
            guard="ENV002",
            tried="[tool.uv] names an index without a certificate, under an unchanged lock",
            said="tool.uv.allow-insecure-host can change what uv installs under the same lock: remove it",
            id="an index without a certificate",
        ),
        attack_case(
            "python-install-mirror",
            'python-install-mirror = "file:///tmp/pythons"',
            guard="ENV002",
            tried="[tool.uv] names another place for Pythons, under an unchanged lock",
            said="tool.uv.python-install-mirror can change what uv installs under the same lock: remove it",
            id="another place for Pythons",
        ),
        attack_case(
            "extra-build-variables",
            'extra-build-variables = {numbers = {CFLAGS = "-DMINE"}}',
            guard="ENV002",
            tried="[tool.uv] names variables of builds, under an unchanged lock",
            said="tool.uv.extra-build-variables can change what uv installs under the same lock: remove it",
            id="variables of builds",
        ),
        attack_case(
            "cache_dir",
            'cache_dir = ".cache/uv"',
            guard="ENV002",
            tried="[tool.uv] names a key that we do not know, under an unchanged lock",
            said="tool.uv.cache_dir can change what uv installs under the same lock: remove it",
            id="a key that we do not know",
        ),
    ],
)
def test_a_setting_that_changes_what_is_installed_is_refused_where_uv_is_used(
    uv_project: Project, key: str, setting: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = uv_project.root / "pyproject.toml"
    edit(file, "package = false", f"package = false\n{setting}")
    monkeypatch.setattr("beampermit.environments.uv.command.run", lambda *_, **__: pytest.fail("uv was started"))
    (found,) = stale(uv_project.root)
    assert (found.message, found.file) == (said, "pyproject.toml")
    assert found.line == next(n for n, line in enumerate(file.read_text().splitlines(), 1) if line == setting)
    backend = Uv()
    for use in (
        lambda: backend.install(uv_project.root, uv_project.root / ".venv", progress=print),
        lambda: backend.lock(uv_project.root, progress=print),
    ):
        with pytest.raises(BadInput, match=re.escape(said)):
            use()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        attack_case(
            "uv.toml",
            'cache-dir = "cache"\n',
            guard="ENV002",
            tried='uv.toml with `cache-dir = "cache"` beside the lock',
            said="uv would read uv.toml instead of [tool.uv]",
            id="uv.toml",
        ),
        attack_case(
            ".python-version",
            "tools/python\n",
            guard="ENV002",
            tried=".python-version with `tools/python` beside the lock",
            said="uv would start 'tools/python' as Python",
            id="a Python of the project",
        ),
        attack_case(
            ".python-version",
            "# ours\npython\n",
            guard="ENV002",
            tried=".python-version with `# ours\npython` beside the lock",
            said="uv would start 'python' as Python",
            id="a file that has a plain name",
        ),
    ],
)
def test_a_file_that_uv_would_read_beside_is_refused(uv_project: Project, name: str, content: str, said: str) -> None:
    (uv_project.root / "python").write_text("#!/bin/sh\n")
    (uv_project.root / name).write_text(content)
    (found,) = stale(uv_project.root)
    assert found.message.startswith(said)
    assert found.file == name
    with pytest.raises(BadInput, match=re.escape(said)):
        Uv().install(uv_project.root, uv_project.root / ".venv", progress=print)


def test_settings_above_count_only_where_the_project_has_none(uv_project: Project) -> None:
    above = uv_project.root.parent / "uv.toml"
    above.write_text('cache-dir = "cache"\n')
    assert problems(uv_project.root) == []
    file = uv_project.root / "pyproject.toml"
    file.write_text(file.read_text().split("[tool.uv]")[0])
    assert f"uv would read settings from {above}: add a table [tool.uv] here" in problems(uv_project.root)


@pytest.mark.attack(
    guard="ENV002",
    tried="a pyproject.toml that a pull request adds above a project without [tool.uv] has settings, which uv takes",
    said="uv would read index-url, no-binary of [tool.uv] from",
)
def test_settings_of_a_pyproject_above_count_only_where_the_project_has_none(uv_project: Project, said: str) -> None:
    above = uv_project.root.parent / "pyproject.toml"
    above.write_text(
        '[tool.uv]\nindex-url = "http://127.0.0.1:9"\nno-binary = true\nworkspace = {members = ["libs/*"]}\n'
    )
    assert problems(uv_project.root) == []
    file = uv_project.root / "pyproject.toml"
    file.write_text(file.read_text().split("[tool.uv]")[0])
    refused = [problem for problem in problems(uv_project.root) if problem.startswith("uv would read")]
    assert refused == [f"{said} {above}: add a table [tool.uv] here"]
    with pytest.raises(BadInput, match=re.escape(said)):
        Uv().install(uv_project.root, uv_project.root / ".venv", progress=print)
    for harmless in ('[tool.uv.workspace]\nmembers = ["libs/*"]\n', "[tool.ruff]\n", "not TOML"):
        above.write_text(harmless)
        assert not any(problem.startswith("uv would read") for problem in problems(uv_project.root))


HARMLESS = """
dev-dependencies = ["checker>=1"]
default-groups = ["dev"]
required-version = ">=0.4"
link-mode = "copy"
compile-bytecode = true
concurrent-downloads = 4
index-strategy = "first-index"
keyring-provider = "disabled"
no-build-isolation-package = ["numbers"]
python-preference = "system"
cache-keys = [{file = "pyproject.toml"}]
publish-url = "https://index.lab.example/upload"

[tool.uv.pip]
universal = true

[tool.uv.extra-build-dependencies]
numbers = ["linter>=1"]

[tool.uv.build-backend]
module-root = ""

[tool.uv.sources]
numbers = {index = "lab"}

[[tool.uv.index]]
name = "lab"
url = "https://index.lab.example/simple"
explicit = true
"""


def test_settings_that_change_nothing_of_what_is_installed_pass(uv_project: Project) -> None:
    file = uv_project.root / "pyproject.toml"
    edit(file, "\n[[tool.uv.index]]", HARMLESS + "\n[[tool.uv.index]]")
    (uv_project.root / ".python-version").write_text("# of the laboratory\n3.11\n")
    backend = Uv()
    specification.refuse_settings(backend.specification(uv_project.root))
    edit(file, '"linter>=1"]', '"linter @ file:///linter"]')
    with pytest.raises(BadInput, match="extra-build-dependencies takes linter @ file:///linter from a URL"):
        specification.refuse_settings(backend.specification(uv_project.root))


EQUIVALENT = {
    "a marker in other words": ("sys_platform == 'win32'", "platform_system == 'Windows'"),
    "a specifier in another order": ("numbers>=1,<2", "numbers <2, >=1.0"),
    "a name in other letters": ('"local-part"', '"Local_Part"'),
    "a Python that uv does not write down": ('requires-python = "', 'requires-python = "!=3.11.3,'),
    "a setting that no solution depends on": ("package = false", 'package = false\nlink-mode = "copy"'),
}


@pytest.mark.parametrize("change", EQUIVALENT)
def test_the_same_in_other_words_is_fresh_to_uv_and_to_us(uv_project: Project, change: str) -> None:
    before, after = EQUIVALENT[change]
    file = uv_project.root / "pyproject.toml"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after, 1))
    assert problems(uv_project.root) == []
    assert uv(uv_project.root, "lock", "--check", "--offline").returncode == 0


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))


def problems(root: Path) -> list[str]:
    return [problem.message for problem in stale(root)]


def stale(root: Path) -> tuple[Problem, ...]:
    backend = Uv()
    return backend.stale(backend.specification(root), backend.read(root))
