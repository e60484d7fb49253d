"""The template: its folder, its questions, and its rules for valid answers."""

from __future__ import annotations

import json
import runpy
from functools import cache
from pathlib import Path
from typing import Any

from beampermit.errors import Outside

IN_WHEEL = Path(__file__).parents[1] / "_template/template"
IN_SOURCE = Path(__file__).parents[3] / "template"


def template_folder() -> Path:
    """The folder with the template's `cookiecutter.json`: in the installed package or in the source tree."""
    for folder in (IN_WHEEL, IN_SOURCE):
        if (folder / "cookiecutter.json").is_file():
            return folder
    raise Outside("this installation of beampermit has no template", hint="pip install --force-reinstall beampermit")


@cache
def questions() -> dict[str, str | list[str]]:
    """Question -> its default (a Jinja template), or its choices, the default first."""
    return {key: value for key, value in _definition().items() if not key.startswith("_")}


def explanation(question: str) -> str:
    """The prompt of a question."""
    return _definition()["__prompts__"].get(question, question)


def problem(question: str, answer: str) -> str:
    """Why an answer is invalid; empty when it is valid."""
    return _rules()["RULES"][question](answer)


def problems(answers: dict[str, str]) -> list[str]:
    """Why a full set of answers is invalid, each as `question: reason`."""
    return _rules()["problems"](answers)


@cache
def _definition() -> dict[str, Any]:
    return json.loads((template_folder() / "cookiecutter.json").read_text(encoding="utf-8"))


@cache
def _rules() -> dict[str, Any]:
    """The template's hook as a module: cookiecutter alone and `beampermit new` refuse the same answers."""
    return runpy.run_path(str(template_folder() / "hooks/pre_gen_project.py"))
