"""The template: its questions, and its rules for valid answers; of the installed one, where no other is named."""

from __future__ import annotations

import json
import runpy
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from beampermit.template import template_folder


@cache
def questions(template: Path | None = None) -> dict[str, str | list[str]]:
    """Question -> its default (a Jinja template), or its choices, the default first."""
    return {key: value for key, value in _definition(template).items() if not key.startswith("_")}


def copied(template: Path | None = None) -> list[str]:
    """Patterns of files that are no Jinja templates."""
    return _definition(template)["_copy_without_render"]


def filled() -> dict[str, str]:
    """Example that `beampermit new` fills in -> the command that does."""
    return _rules()["FILLED"]


def explanation(question: str) -> str:
    """The prompt of a question."""
    return _definition()["__prompts__"].get(question, question)


def problem(question: str, answer: str, others: Mapping[str, str] = MappingProxyType({})) -> str:
    """Why an answer is invalid, by itself or beside `others`; empty when it is valid."""
    return _rules()["reason"](question, {**others, question: answer})


def matters(question: str, answers: dict[str, str]) -> bool:
    """Whether anything depends on the answer to `question`, beside the answers to those before it."""
    needs = _rules()["MATTERS"].get(question)
    return needs is None or needs(answers)


def unseen(text: str) -> list[str]:
    """Letters of a text that nobody sees, or that no file can hold: what no answer may have."""
    return _rules()["unseen"](text)


def problems(answers: dict[str, str], template: Path | None = None) -> list[str]:
    """Why a full set of answers is invalid, each as `question: reason`."""
    return _rules(template)["problems"](answers)


def problems_of_some(answers: Mapping[str, str], template: Path) -> list[str]:
    """Why answers are invalid whatever the missing ones will be, in their order: by themselves, else beside each other.

    Of a template that cannot judge a part of its answers, none.
    """
    rules = _rules(template)
    reason = rules.get("reason")
    if not reason:
        return []
    judged = [key for key in answers if key in rules["RULES"]]
    alone = [f"{key}: {why}" for key in judged if (why := reason(key, {key: answers[key]}))]
    between = {reason(key, dict(answers)): key for key in reversed(judged)}
    return alone or [f"{key}: {why}" for why, key in reversed(between.items()) if why]


@cache
def _definition(template: Path | None = None) -> dict[str, Any]:
    return json.loads(((template or template_folder()) / "cookiecutter.json").read_text(encoding="utf-8"))


@cache
def _rules(template: Path | None = None) -> dict[str, Any]:
    """The template's hook as a module: cookiecutter alone and `beampermit new` refuse the same answers."""
    return runpy.run_path(str((template or template_folder()) / "hooks/pre_gen_project.py"))
