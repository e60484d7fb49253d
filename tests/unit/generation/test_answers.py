"""What is asked, and in which words it may be answered."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from functools import partial

import pytest

from beampermit.errors import BadInput
from beampermit.generation.answers import Question, ask_on_terminal, complete
from beampermit.generation.template import problem, problems, questions

ALWAYS = [
    *("project_slug", "package_name", "summary", "maintainer_name", "maintainer_email", "deputy_name", "deputy_email"),
    "code_owners",
    *("on_call", "logbook", "review_by", "python_version", "environment", "container_image", "dvc_remote"),
    "beampermit_repository",
]


def asked(typed: Mapping[str, str], given: Mapping[str, str]) -> dict[str, Question]:
    """The questions that are asked where `typed` is answered, and the default of all others is taken."""
    seen: dict[str, Question] = {}

    def ask(question: Question) -> str:
        seen[question.name] = question
        return typed.get(question.name, question.default)

    assert problems(complete(given, ask)) == []
    return seen


@pytest.mark.parametrize(
    ("typed", "given", "also"),
    [
        ({}, {}, {"example", "accelerator"}),
        ({"environment": "uv"}, {}, {"example", "accelerator", "pytorch_index"}),
        ({"accelerator": "cuda"}, {}, {"example", "accelerator", "gpu_runner"}),
        (
            {"accelerator": "cuda", "environment": "uv"},
            {},
            {"example", "accelerator", "gpu_runner", "pytorch_index", "pytorch_cuda_index"},
        ),
        ({"example": "injector-surrogate"}, {}, {"example", "library", "accelerator"}),
        ({"example": "injector-surrogate", "library": "xgboost", "environment": "uv"}, {}, {"example", "library"}),
        ({}, {"library": "xgboost"}, set()),  # one example has it, and it runs on cpu alone
        ({}, {"example": "table"}, {"library", "accelerator"}),
        ({}, {"accelerator": "cuda", "example": "injector-surrogate"}, {"gpu_runner"}),
        ({}, {"gpu_runner": "", "example": "loss-anomaly"}, {"accelerator"}),
    ],
)
def test_only_what_matters_beside_the_other_answers_is_asked(
    typed: dict[str, str], given: dict[str, str], also: set[str]
) -> None:
    assert set(asked(typed, given)) == {*ALWAYS, *also}


@pytest.mark.slow
def test_choices_are_those_that_can_be_used() -> None:
    assert asked({}, {})["example"].choices == ["bpm-faults", "injector-surrogate", "loss-anomaly"]
    assert asked({"example": "injector-surrogate"}, {})["library"].choices == ["torch", "xgboost"]
    assert asked({}, {"example": "table"})["library"].choices == ["torch", "xgboost", "scikit-learn"]


def never(question: Question) -> str:
    raise AssertionError(f"{question.name} was asked")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"review_by": "2020-01-01"}, "review_by: 2020-01-01 is in the past"),
        ({"library": "xgboost", "accelerator": "cuda"}, "library: xgboost is there for cpu alone"),
        ({"library": "xgboost", "example": "loss-anomaly"}, "library: loss-anomaly is there for torch, not xgboost"),
        ({"library": "scikit-learn"}, "example: no choice goes with the answers given: library=scikit-learn"),
        ({"deputy_email": "a@b.org", "maintainer_email": "A@b.org"}, "maintainer and deputy have the same address"),
        ({"project_slug": "there"}, "project_slug: it is there"),
    ],
)
def test_a_wrong_answer_that_was_given_is_refused_before_anything_is_asked(given: dict[str, str], reason: str) -> None:
    with pytest.raises(BadInput) as refused:
        complete(given, never, refuse=lambda question, answer: "it is there" if answer == "there" else "")
    assert reason in refused.value.message


def test_an_answer_is_judged_beside_one_that_was_given_for_a_later_question() -> None:
    question = asked({"maintainer_email": "c@b.org"}, {"deputy_email": "a@b.org"})["maintainer_email"]
    assert question.wrong("A@b.org").startswith("maintainer and deputy have the same address")
    assert question.wrong("b@b.org") == ""


def test_what_has_become_wrong_at_the_end_is_asked_again_alone() -> None:
    """Somebody makes the folder while questions are answered."""
    names: list[str] = []

    def ask(question: Question) -> str:
        names.append(question.name)
        return "other" if names.count("project_slug") > 1 else question.default

    def taken(question: str, answer: str) -> str:
        there = question == "project_slug" and answer == "bpm-faults" and "beampermit_repository" in names
        return "the folder exists" if there else ""

    answers = complete({}, ask, refuse=taken)
    assert names[-2:] == ["beampermit_repository", "project_slug"]
    assert len(names) == len(set(names)) + 1
    assert (answers["project_slug"], answers["package_name"]) == ("other", "bpm_faults")


@pytest.mark.parametrize(
    ("name", "default", "choices", "typed", "answer", "said"),
    [
        ("environment", "conda-lock", ["conda-lock", "uv"], ["2"], "uv", "environment = uv"),
        ("environment", "conda-lock", ["conda-lock", "uv"], ["C"], "conda-lock", "environment = conda-lock"),
        ("environment", "conda-lock", ["conda-lock", "uv"], [""], "conda-lock", "[1) conda-lock  2) uv] (conda-lock)"),
        (
            "environment",
            "uv",
            ["conda-lock", "uv"],
            ["3", "0", "pip", "uv"],
            "uv",
            "'pip' is not one of conda",
        ),
        ("python_version", "3.11", ["3.11", "3.12"], ["3.1", "3.12"], "3.12", "'3.1' may be 3.11 or 3.12"),
        ("gpu_runner", "self-hosted,gpu", [], ["-"], "", "(self-hosted,gpu; - for none)"),
        ("pytorch_index", "", [], ["cpu", ""], "", "(none)"),
        ("on_call", "TODO whom to call", [], [" 4711 "], "4711", "Enter leaves a TODO for later"),
        ("summary", "long " * 20, [], ["-"], "-", "Enter takes long"),
        ("logbook", "https://a.org", [], ["a.org", "https://b.org"], "https://b.org", "'a.org' is not an http(s) URL"),
    ],
)
def test_answers_may_be_a_number_a_beginning_or_nothing(
    name: str,
    default: str,
    choices: list[str],
    typed: list[str],
    answer: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines: Iterator[str] = iter(typed)
    monkeypatch.setattr(builtins, "input", lambda: next(lines))
    monkeypatch.setenv("COLUMNS", "80")
    question = Question(name, default, choices, partial(problem, name))
    assert ask_on_terminal(question) == answer
    assert list(lines) == []
    printed = capsys.readouterr().err
    assert said in printed
    assert max(map(len, printed.splitlines())) <= 80
    assert ("TODO for later" in printed) == ("TODO" in default)


def test_every_question_is_asked_for_some_project() -> None:
    some = [
        asked({"example": "injector-surrogate"}, {}),
        asked({"environment": "uv", "accelerator": "cuda"}, {}),
    ]
    assert {name for seen in some for name in seen} == set(questions())
