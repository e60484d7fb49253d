"""A file of the template is compiled once, and again where its text is another."""

from __future__ import annotations

import jinja2
import pytest

from beampermit.generation.compiled import compiled


def test_the_same_text_is_compiled_once_and_another_one_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    compile_one = jinja2.Environment.compile
    monkeypatch.setattr(
        jinja2.Environment, "compile", lambda self, text, *rest: made.append(text) or compile_one(self, text, *rest)
    )

    def shown(text: str) -> str:
        files = jinja2.DictLoader({"a-file-of-this-test": text})
        environment = jinja2.Environment(loader=files, bytecode_cache=compiled(), autoescape=False)  # noqa: S701
        return environment.get_template("a-file-of-this-test").render(name="orbit")

    assert [shown("{{ name }}"), shown("{{ name }}"), shown("{{ name }}!")] == ["orbit", "orbit", "orbit!"]
    assert made == ["{{ name }}", "{{ name }}!"]
