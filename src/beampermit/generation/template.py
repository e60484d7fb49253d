"""The template: its questions, and its rules for valid answers."""

from __future__ import annotations

import json
import runpy
from functools import cache
from typing import Any

from beampermit.template import template_folder


@cache
def questions() -> dict[str, str | list[str]]:
    """Question -> its default (a Jinja template), or its choices, the default first."""
    return {key: value for key, value in _definition().items() if not key.startswith("_")}


def copied() -> list[str]:
    """Patterns of files that are no Jinja templates."""
    return _definition()["_copy_without_render"]


def filled() -> dict[str, str]:
    """Example that `beampermit new` fills in -> the command that does."""
    return _rules()["FILLED"]


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
