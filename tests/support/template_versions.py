"""Three later versions of this repository's template, in a git repository on disk, and a project of the first one."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

from beampermit.files import write_json
from beampermit.git import Git
from beampermit.updating.answering import complete_answers
from beampermit.updating.recorded import ANSWERS
from beampermit.updating.source import RELEASE, source_in
from support.git_repositories import committed
from support.paths import ROOT, module_at

FIRST, ADDED, MOVED, EDITED = "9.0.0", "9.0.1", "9.0.2", "9.0.3"
PROJECT = "template/{{cookiecutter.project_slug}}"
PIPELINE = f"{PROJECT}/src/{{{{cookiecutter.package_name}}}}/pipeline"
NEW_QUESTION = "control_room"
PIN = "0123456789abcdef0123456789abcdef01234567"
NOBODY = "file:///there/is/no/such/repository"
"""Recorded as the template's address, so that a test which fetches it fails."""
pins = module_at(ROOT / "scripts/pin.py")
PARTS = ("template", "cookiecutter.json", "pyproject.toml", "CHANGELOG.md")


def make_versions(folder: Path) -> Path:
    """The repository: 9.0.0 is this repository's template as it is."""
    folder.mkdir(exist_ok=True)
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile
        copy(ROOT / part, folder / part)
    for built in list(folder.rglob("__pycache__")):
        shutil.rmtree(built)
    (folder / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n")
    _release(folder, FIRST, "- The first one.")
    _add_and_ask(folder)
    _release(folder, ADDED, "- A page of its own.")
    _move_and_remove(folder)
    _release(folder, MOVED, "- A page moves, and a file goes.")
    change(folder, f"{PROJECT}/Makefile", "List the targets", "List all targets")
    change(folder, f"{PROJECT}/docs/inside.md", "\n", "\nThe last version.\n")
    _release(folder, EDITED, "- Words.")
    return folder


def _add_and_ask(folder: Path) -> None:
    (folder / PROJECT / "docs/new-page.md").write_text("Watched from {{ cookiecutter.control_room }}.\n")
    definition = json.loads((folder / "template/cookiecutter.json").read_text())
    definition[NEW_QUESTION] = ["main", "north"]
    (folder / "template/cookiecutter.json").write_text(json.dumps(definition, indent=2))
    (folder / PIPELINE / "train.py").write_text((folder / PIPELINE / "train.py").read_text() + "# 9.0.1\n")
    (folder / PIPELINE / "extra.py").write_text("# 9.0.1\n")


def _move_and_remove(folder: Path) -> None:
    (folder / PROJECT / "_examples/bpm-faults/docs").mkdir(exist_ok=True)
    page = folder / PROJECT / "docs/how-it-works.md"
    page.rename(page.with_name("inside.md"))
    (folder / PROJECT / ".containerignore").unlink()
    (folder / PIPELINE / "extra.py").unlink()
    pins.move(PIN, tag_of(MOVED), folder)


def tag_of(version: str) -> str:
    """What a release writes beside its pins."""
    return pins.TAG.format(version=version)


def change(folder: Path, name: str, old: str, new: str) -> None:
    """Replace the first `old` in a file."""
    text = (folder / name).read_text()
    assert old in text, name
    (folder / name).write_text(text.replace(old, new, 1))


def _release(folder: Path, version: str, line: str) -> None:
    project = (folder / "pyproject.toml").read_text()
    before, _, rest = project.partition('\nversion = "')
    (folder / "pyproject.toml").write_text(f'{before}\nversion = "{version}"{rest.partition(chr(34))[2]}')
    change(folder, "CHANGELOG.md", "## Unreleased\n", f"## Unreleased\n\n## {version} - 2026-11-30\n\n{line}\n")
    if not (folder / ".git").is_dir():
        committed(folder)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    subprocess.run(["git", "commit", "--quiet", "--allow-empty", "-m", version], cwd=folder, check=True)
    subprocess.run(["git", "tag", f"v{version}"], cwd=folder, check=True)


def install_version(repository: Path, version: str, folder: Path) -> Path:
    """The template of a version as a wheel has it; returns its folder."""
    commit = Git(repository).resolve(f"refs/tags/v{version}")
    packed = subprocess.run(["git", "archive", f"v{version}"], cwd=repository, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    write_json(folder / RELEASE, {"version": version, "commit": commit})
    return folder / "template"


def project_of(template: Path, folder: Path) -> Path:
    """A project that nobody has edited, in a repository; its template's address leads nowhere."""
    source = source_in(template)
    project = source.render(folder, complete_answers({}, {}, source, None)[0], lambda _: None)
    change(project, ANSWERS, "https://github.com/beampermit/beampermit", NOBODY)
    committed(project)
    return project
