"""Every pin names one commit, and that commit holds what is named."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from support.paths import ROOT, module_at

OTHER = 40 * "b"


@pytest.fixture(scope="module")
def pin() -> ModuleType:
    """`scripts/pin.py`."""
    return module_at(ROOT / "scripts/pin.py")


@pytest.fixture
def copy(tmp_path: Path, pin: ModuleType) -> Path:
    """The files that name our commits, to be changed."""
    for place in pin.PLACES:
        shutil.copytree(ROOT / place, tmp_path / place)
    return tmp_path


def test_no_pin_disagrees(pin: ModuleType) -> None:
    assert len({match["commit"] for _, match in pin.pins()}) == 1
    assert len({match["version"] for _, match in pin.pins()}) == 1


def test_the_container_gets_the_checker_that_judges(pin: ModuleType) -> None:
    found = pin.IN_CONTAINER.findall((ROOT / pin.CONTAINER).read_text())
    assert [commit for _, commit in found] == [next(match["commit"] for _, match in pin.pins())]


def test_every_use_of_ours_is_a_pin_that_the_script_moves(pin: ModuleType) -> None:
    named = sum(len(re.findall(rf"uses:\s*{pin.OURS}/", file.read_text())) for file in pin.files())
    assert named == sum(1 for _ in pin.pins())
    assert named > 10


def test_third_parties_are_pinned_alike_everywhere(pin: ModuleType) -> None:
    found: dict[str, set[str]] = {}
    for file in pin.files():
        for name, rest in re.findall(r"uses:\s*(actions/[\w-]+)@(.*)", file.read_text()):
            found.setdefault(name, set()).add(rest)
    assert found
    assert [name for name, pins in found.items() if len(pins) > 1] == []
    assert all(re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", next(iter(pins))) for pins in found.values())


@pytest.mark.slow
def test_the_pinned_commit_holds_what_is_named(pin: ModuleType) -> None:
    commit = next(match["commit"] for _, match in pin.pins())
    known = subprocess.run(["git", "cat-file", "-e", commit], cwd=ROOT, capture_output=True, check=False)
    if known.returncode:
        pytest.skip("this checkout does not hold the pinned commit")
    assert pin.missing(commit) == []


def test_one_call_moves_all(pin: ModuleType, copy: Path) -> None:
    assert pin.move(OTHER, "v1.2.3", copy) == sum(1 for _ in pin.pins())
    assert {(match["commit"], match["version"]) for _, match in pin.pins(copy)} == {(OTHER, "v1.2.3")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("commit", "words"), [("main", "is not a full commit"), (OTHER, "does not have .github/workflows/ml-")]
)
def test_a_commit_that_cannot_be_pinned_is_refused(commit: str, words: str) -> None:
    command = [sys.executable, ROOT / "scripts/pin.py", commit]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert words in found.stderr
