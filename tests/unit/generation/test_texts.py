"""What somebody types comes out as it went in, whatever the script, in each kind of file that a project has."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.environment import StrictEnvironment
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import FileSystemLoader, Template
from markdown_it import MarkdownIt

from beampermit.contract.load import parse_contract
from beampermit.generation.answers import complete
from beampermit.generation.drafting import contract_text
from beampermit.generation.lume_project import draft
from beampermit.generation.template import problem, problems
from beampermit.reading import parse_yaml
from beampermit.template import PROJECT, template_folder
from support.lume_project import lume_project

OF_SCRIPTS = (
    *("Jo\u00e3o", "Joa\u0303o", "\u212bngstr\u00f6m", "\u1e69", "Ste\u0301phane\u00a0Dupont"),  # composed, and not
    *("\U00020bb7\u91ce", "\u5c71\u7530\u3000\u592a\u90ce", "\u845b\U000e0100\u57ce", "\ud55c\uae00", "\ufa11"),
    *("\u05d3\u05d5\u05d3", "\u0645\u062d\u0645\u062f \u0639\u0644\u064a"),
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    *("\u0dc1\u0dca\u200d\u0dbb\u0dd3", "\u0928\u0940", "\u0e17\u0e35\u0e48", "\U00010330", "\ue000", "\U0003fffd"),
    *("\U0001f6f0\ufe0f", "\U0001f469\U0001f3fd\u200d\U0001f52c", "\U0001fae8", "1\ufe0f\u20e3"),
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    *("'", '"', "\\", "\\n", "#", ": ", " #", "- ", "---", "...", "? ", "!", "&", "*", "%", "@", "`", "|", "{", "}"),
    *("[", "]", ",", "<b>", "~", "$x$", "_", "1. ", "+", "=", "null", "yes", "0x1F", '"""', "'''"),
    *("\\u0041", "\U0010fffd"),
)  # fmt: skip
TEXTS = (
    st.lists(st.one_of(st.sampled_from(OF_SCRIPTS), st.text(max_size=4)), min_size=1, max_size=6)
    .map(lambda parts: "".join(parts).strip())
    .filter(lambda text: not problem("summary", text))
)


@pytest.mark.parametrize("text", OF_SCRIPTS)
def test_every_script_is_taken(text: str) -> None:
    assert problem("maintainer_name", text) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\u202eb", "an invisible character, U+202E"),  # writes the rest backwards
        ("a\u200db", "U+200D"),  # joins nothing
        ("\u200b", "U+200B"),
        ("a\u2028b", "U+2028"),
        ("a\x85b", "U+0085"),
        ("a\ud800", "U+D800"),
        ("\ufffe", "U+FFFE"),
        ("\U0001ffff", "U+1FFFF"),
        ("\ufdd0", "U+FDD0"),
        ("a\U000e0067", "U+E0067"),
    ],
)
def test_what_nobody_sees_or_no_file_can_hold_is_named(text: str, said: str) -> None:
    assert said in problem("maintainer_name", text)


@cache
def environment() -> StrictEnvironment:
    """As cookiecutter has it, with the hooks beside the project's files."""
    root = template_folder()
    made = StrictEnvironment(context={}, keep_trailing_newline=True)
    made.loader = FileSystemLoader([root / PROJECT, root / "templates", root])
    return made


@cache
def written() -> Template:
    return environment().from_string(
        '{% from "texts.jinja" import quoted, markdown %}{{ quoted(text) }}\n{{ markdown(text) }}'
    )


@pytest.mark.slow
@settings(max_examples=60)
@given(text=TEXTS)
def test_yaml_toml_json_markdown_and_python_read_each_character(text: str) -> None:
    quoted, markdown = written().render(text=text).split("\n")
    assert parse_yaml(f"a: {quoted}\nb: [{quoted}, {{c: {quoted}}}]\n", "file") == {"a": text, "b": [text, {"c": text}]}
    assert tomllib.loads(f"a = {quoted}") == {"a": text}
    assert json.loads(quoted) == ast.literal_eval(quoted) == text
    assert shown(markdown) == text


@settings(max_examples=20)
@given(text=TEXTS)
def test_what_cookiecutter_alone_gives_the_hook_is_what_was_typed(text: str) -> None:
    hook = environment().get_template("hooks/pre_gen_project.py").render(cookiecutter={"summary": text})
    (line,) = (line for line in hook.splitlines() if "chosen = " in line)
    assert json.loads(ast.literal_eval(line.partition("json.loads(")[2].removesuffix(")"))) == {"summary": text}


SCRIPTS, SIGNS = "".join(OF_SCRIPTS[:24]), "".join(OF_SCRIPTS[24:])


def contract_of(example: str, answers: Mapping[str, Any], folder: Path) -> str:
    if example == "lume":
        return contract_text(draft(lume_project(folder)), answers)
    return environment().get_template(f"_examples/{example}/contract.yaml").render(cookiecutter=answers)


@pytest.mark.slow
@pytest.mark.parametrize("example", ["bpm-faults", "injector-surrogate", "loss-anomaly", "lume"])
def test_each_contract_tells_of_the_control_rooms_time(example: str, tmp_path: Path) -> None:
    """Where documents are written by GitHub, they have UTC alone until it is named."""
    text = contract_of(example, complete({}), tmp_path)
    assert parse_contract(text).operations.time_zone is None
    assert parse_contract(text.replace("# time_zone:", "time_zone:")).operations.time_zone == "Europe/Berlin"


@pytest.mark.slow
@pytest.mark.parametrize("example", ["bpm-faults", "injector-surrogate", "loss-anomaly", "lume"])
def test_each_contract_has_each_character(example: str, tmp_path: Path) -> None:
    answers = {**complete({}), "summary": SCRIPTS, "maintainer_name": SIGNS, "on_call": SCRIPTS}
    assert problems(answers) == []
    text = contract_of(example, answers, tmp_path)
    contract = parse_contract(text)
    assert (contract.model.summary, contract.operations.on_call) == (SCRIPTS, SCRIPTS)
    assert contract.model.owners[0].name == SIGNS
    assert SCRIPTS in text, "nothing is spelled as an escape"


def test_project_and_readme_have_each_character() -> None:
    for text in (SCRIPTS, SIGNS):
        answers = {**complete({}), "summary": text}
        project = environment().get_template("pyproject.toml").render(cookiecutter=answers)
        assert tomllib.loads(project)["project"]["description"] == text
        readme = environment().get_template("README.md").render(cookiecutter=answers)
        assert shown(readme.partition("\n\n")[2].partition("\n\n")[0]) == text


def shown(markdown: str) -> str:
    """What a reader sees of a paragraph."""
    begin, inline, end = MarkdownIt().parse(markdown)
    assert (begin.type, end.type) == ("paragraph_open", "paragraph_close")
    children = inline.children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    return "".join(child.content for child in children)
