"""What is asked of an environment's Python, and how often."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from beampermit.environments.distributions import describe, start_python
from beampermit.environments.environment import python_in
from beampermit.errors import BadInput

ASKED = '#!/bin/sh\necho >> {asked}\necho \'{{"sys_platform": "{name}"}}\'\n'


def test_a_python_says_of_itself_what_its_module_platform_says() -> None:
    assert start_python(Path(sys.prefix)) == {
        "implementation_name": sys.implementation.name,
        "implementation_version": platform.python_version(),
        "os_name": "posix",
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    }


def test_a_python_is_asked_once_and_again_where_it_is_another_file(tmp_path: Path) -> None:
    python, asked = python_in(tmp_path / "environment"), tmp_path / "asked"
    python.parent.mkdir(parents=True)

    def put(name: str, place: Path) -> None:
        place.unlink(missing_ok=True)
        place.write_text(ASKED.format(asked=asked, name=name))
        place.chmod(0o755)

    def said() -> tuple[str, int]:
        return describe(tmp_path / "environment")["sys_platform"], len(asked.read_text())

    put("one", python)
    assert [said(), said()] == [("one", 1), ("one", 1)]
    describe(tmp_path / "environment")["sys_platform"] = "none"
    put("two", python)
    assert [said(), said()] == [("two", 2), ("two", 2)]
    put("real", tmp_path / "python")  # behind a link
    python.unlink()
    python.symlink_to(tmp_path / "python")
    assert [said(), said()] == [("real", 3), ("real", 3)]
    put("fake", tmp_path / "python")
    assert said() == ("fake", 4)
    (tmp_path / "environment/pyvenv.cfg").write_text("home = /elsewhere\n")
    assert said() == ("fake", 5)
    assert start_python(tmp_path / "environment")["sys_platform"] == "fake"
    assert said() == ("fake", 6), "it is started wherever that is the question"
    (tmp_path / "python").unlink()
    with pytest.raises(BadInput, match="the environment's Python does not start"):
        describe(tmp_path / "environment")
