"""A `uv.lock` is read into what the protocol knows, or refused with its line."""

from __future__ import annotations

import re
import time

import pytest

from beampermit.environments.uv import Uv
from beampermit.errors import BadInput
from beampermit.project import Project

DEFECTS = {
    "merge conflict": ("version = 1", "<<<<<<< ours\nversion = 1", "merge-conflict markers", 1),
    "cut off": ('name = "numbers"\nversion = "1.0"', 'name = "numbers', "not TOML", None),
    "another format": ("version = 1", "version = 2", "lock format 2 is not supported", None),
    "no source": (r"source = \{ virtual[^\n]*", "", "not a uv lock", None),
    "a source of two kinds": (
        r"source = \{ virtual",
        'source = { registry = "wheels", virtual',
        "a source is one of registry, git, url",
        None,
    ),
    "no Python": (
        'requires-python = "',
        'requires-python = "python ',
        "requires-python is not a version",
        None,
    ),
    "a key twice": ("version = 1", "version = 1\nversion = 1", "not TOML", 2),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_what_is_no_lock_is_refused(uv_project: Project, defect: str) -> None:
    pattern, replacement, message, line = DEFECTS[defect]
    text = (uv_project.root / "uv.lock").read_text()
    edited = re.sub(pattern, replacement, text, count=1, flags=re.DOTALL)
    assert edited != text
    with pytest.raises(BadInput) as caught:
        Uv().parse(edited, "uv.lock")
    assert message in caught.value.message
    assert line in (None, caught.value.line)
    assert caught.value.file == "uv.lock"


def test_a_package_that_is_locked_twice_is_named_with_its_line(uv_project: Project) -> None:
    text = (uv_project.root / "uv.lock").read_text()
    (entry,) = re.findall(r'\[\[package\]\]\nname = "numbers".*?\n\n', text, flags=re.DOTALL)
    with pytest.raises(BadInput, match=r"numbers 1\.0 is locked twice") as caught:
        Uv().parse(text + "\n" + entry, "uv.lock")
    assert caught.value.line == text.count("\n") + 2


def test_a_lock_that_is_nested_without_end_is_refused_at_once(uv_project: Project) -> None:
    start = time.monotonic()
    with pytest.raises(BadInput):
        Uv().parse("version = 1\nx = " + "[" * 100_000 + "]" * 100_000, "uv.lock")
    assert time.monotonic() - start < 5


def test_bytes_that_are_no_text_are_refused(uv_project: Project) -> None:
    (uv_project.root / "uv.lock").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="not UTF-8"):
        Uv().read(uv_project.root)
