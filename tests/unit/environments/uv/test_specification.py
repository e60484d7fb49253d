"""What of pyproject.toml cannot be locked is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.environments.uv import Uv
from beampermit.errors import BadInput

VALID = """
[project]
name = "orbit"
requires-python = ">=3.11"
dependencies = ["numbers"]

[project.optional-dependencies]
cpu = ["plotter"]  # 'linter' is in the group

[dependency-groups]
test = [{include-group = "lint"}, "checker; sys_platform == \\"linux\\""]
lint = ['linter']
"""
MISSHAPEN = {
    "tool": ("[project]", "tool = 3\n[project]", "2: tool must be a table, not 3"),
    "tool.uv": ("[project]", "[tool]\nuv = [1]\n[project]", "3: tool.uv must be a table, not [1]"),
    "sources": ("[project]", "[tool.uv]\nsources = 'a'\n[project]", "3: tool.uv.sources must be a table, not 'a'"),
    "a source": (
        "[project]",
        "[tool.uv.sources]\nfoo = [1]\n[project]",
        "3: tool.uv.sources.foo must be a table, not [1]",
    ),
    "a constraint": (
        "[project]",
        "[tool.uv]\nconstraint-dependencies = [1]\n[project]",
        "3: tool.uv.constraint-dependencies[0] must be a string, not 1",
    ),
    "an index": ("[project]", "[tool.uv]\nindex = [3]\n[project]", "3: tool.uv.index[0] must be a table, not 3"),
    "a group": ("lint = ['linter']", "lint = 3", "12: dependency-groups.lint must be a list, not 3"),
    "dynamic": ("dependencies = [", "dynamic = 7\ndependencies = [", "5: project.dynamic must be a list, not 7"),
    "name": ('"orbit"', "3", "3: project.name must be a string, not 3"),
    "requires-python": ('">=3.11"', "3", "4: project.requires-python must be a string, not 3"),
    "a requirement": ('"numbers"', "1", "5: project.dependencies[0] must be a string, not 1"),
    "an extra": ('cpu = ["plotter"]', "cpu = 3", "8: project.optional-dependencies.cpu must be a list, not 3"),
    "extras": (
        VALID[VALID.index("\n[project.opt") :],
        "optional-dependencies = 3",
        "6: project.optional-dependencies must be a table, not 3",
    ),
    "project": (VALID, "project = 3", "1: project must be a table, not 3"),
    "no requirement": ("['linter']", "['lin ter']", "12: 'lin ter' is not a requirement: "),
    "a group in itself": ("['linter']", '[{include-group = "test"}]', " dependency group 'test' includes itself"),
    "a group that is not there": ("lint =", "docs =", " dependency group 'lint' is included and does not exist"),
    "too many": (
        '"numbers"',
        ",".join(f'"p{number}"' for number in range(10_000)),
        " there are more than 10000 requirements, the limit",
    ),
}


@pytest.mark.parametrize("part", MISSHAPEN)
def test_a_table_list_or_string_that_is_something_else_is_refused(tmp_path: Path, part: str) -> None:
    before, after, message = MISSHAPEN[part]
    assert before in VALID
    (tmp_path / "pyproject.toml").write_text(VALID.replace(before, after, 1))
    with pytest.raises(BadInput) as refused:
        Uv().specification(tmp_path)
    assert str(refused.value).startswith(f"pyproject.toml:{message}")


def test_requirements_have_the_lines_of_their_strings(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(VALID)
    assert [(one.group, one.text, one.line) for one in Uv().specification(tmp_path).requirements] == [
        ("", "numbers", 5),
        ("extra cpu", "plotter", 8),
        ("test", "linter", 12),
        ("test", 'checker; sys_platform == "linux"', 11),
        ("lint", "linter", 12),
    ]


def test_groups_that_include_each_other_twice_do_not_double(tmp_path: Path) -> None:
    twice = "g{} = [{{include-group = 'g{}'}}, {{include-group = 'g{}'}}]\n"
    groups = "".join(twice.format(place + 1, place, place) for place in range(50))
    (tmp_path / "pyproject.toml").write_text(f"{VALID}g0 = ['colours']\n{groups}")
    assert sum(one.name == "colours" for one in Uv().specification(tmp_path).requirements) == 51
