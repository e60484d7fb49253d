"""Valid answers to the template's questions: given, asked for, or defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from beampermit.errors import BadInput, did_you_mean, several
from beampermit.generation.template import explanation, filled, matters, problem, problems, questions

Refusal = Callable[[str, str], str]
"""Question, answer -> why the answer cannot be used, beyond the template's rules; empty where it can."""
AGAIN = "run `beampermit new` again with another answer"

DEFAULTS = "add --no-input to take the defaults of what is not answered"
LATER = "  Enter leaves a TODO for later, which `beampermit contract check` names"
NOTHING = "-"
"""Typed for an empty answer where Enter takes another one."""
ROOM = 20
"""Columns of a line that are left for an answer."""


class Question(NamedTuple):
    """A question as it is asked: `choices` (none: any text), and what says why an answer cannot be used."""

    name: str
    default: str
    choices: list[str]
    wrong: Callable[[str], str]


Asker = Callable[[Question], str]


def parse(arguments: list[str]) -> dict[str, str]:
    """Answers of the form `key=value`. Raises `BadInput`."""
    for argument in arguments:
        if "=" not in argument:
            raise BadInput(f"{argument!r} is not an answer of the form key=value", hint="beampermit new --help")
    return dict(argument.split("=", 1) for argument in arguments)


def complete(
    given: Mapping[str, str],
    ask: Asker | None = None,
    defaults: Mapping[str, str] = MappingProxyType({}),
    refuse: Refusal = lambda *_: "",
) -> dict[str, str]:
    """An answer to every question: from `given`, else from `ask`, else the default. Raises `BadInput`.

    `defaults` come before the template's own. Nothing is asked before all of `given` can be used, and nothing that has
    no effect beside the other answers. What has become wrong at the end is asked again, alone.
    """
    for key in given:
        if key not in questions():
            raise BadInput(
                f"there is no question {key!r}{did_you_mean(key, questions())}",
                hint=f"answer any of {', '.join(questions())}",
            )
    if ask:
        _refuse_given(given, refuse)
    answers: dict[str, str] = {}
    for key in questions():
        if key in given:
            answers[key] = given[key]
            continue
        question = _question(key, answers, given, defaults, refuse, limited=ask is not None)
        asked = ask and len(question.choices) != 1 and matters(key, answers)
        answers[key] = ask(question) if ask and asked else question.default
    while ask and (again := _first_wrong(answers, given, refuse)):
        others = {key: value for key, value in answers.items() if key != again}
        answers[again] = ask(_question(again, answers, others, defaults, refuse, limited=True))
    invalid = problems(answers)
    if invalid:
        raise BadInput(several(invalid, len(invalid)), hint=AGAIN)
    return answers


def _question(
    key: str,
    answers: Mapping[str, str],
    given: Mapping[str, str],
    defaults: Mapping[str, str],
    refuse: Refusal,
    limited: bool,
) -> Question:
    """The question as it is after `answers`. Where it is `limited`, its choices are those that go with all of them.

    Raises `BadInput` where none is left.
    """
    template = questions()[key]
    others = {**given, **answers}
    choices = template if isinstance(template, list) else []

    def wrong(answer: str) -> str:
        return problem(key, answer, others) or refuse(key, answer)

    if limited and choices:
        choices = [choice for choice in choices if not wrong(choice) and choice not in filled()]
        if not choices:
            raise BadInput(f"{key}: no choice goes with the answers given: {_said(given)}", hint=AGAIN)
    own = choices[0] if choices else rendered(str(template), dict(answers))
    return Question(key, defaults.get(key, own), choices, wrong)


def _refuse_given(given: Mapping[str, str], refuse: Refusal) -> None:
    """Raise `BadInput` for answers that cannot be used, by themselves or beside each other."""
    reasons: dict[str, str] = {}
    for key, answer in given.items():
        if reason := problem(key, answer, given) or refuse(key, answer):
            reasons.setdefault(reason, f"{key}: {reason}")  # what is wrong between two is said once
    invalid = [*reasons.values()]
    if invalid:
        raise BadInput(several(invalid, len(invalid)), hint=AGAIN)


def _first_wrong(answers: Mapping[str, str], given: Mapping[str, str], refuse: Refusal) -> str | None:
    """The first question whose answer cannot be used and was not given."""
    found = (key for key, answer in answers.items() if problem(key, answer, answers) or refuse(key, answer))
    return next((key for key in found if key not in given), None)


def _said(given: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in given.items())


def ask_on_terminal(question: Question) -> str:
    """Ask until the answer is valid. Raises `BadInput` at the end of input."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    console.print(Text(explanation(question.name), style="bold"))
    if "TODO" in question.default:
        console.print(Text(LATER, style="dim"))
    prompt = _prompt(question)
    if len(prompt) > console.width - ROOM and not question.choices:
        console.print(Text(f"  Enter takes {question.default}"))
        prompt = f"  {question.name}: "
    while True:
        console.print(Text(prompt), end="")
        try:
            typed = input().strip()
        except EOFError:
            console.print()
            raise BadInput(f"the input ended before an answer to {question.name!r}", hint=DEFAULTS) from None
        except UnicodeDecodeError:
            console.print(Text("  this is not UTF-8", style="yellow"))
            continue
        answer, reason = _meant(typed, question)
        if not reason:
            if question.choices and answer != typed:
                console.print(Text(f"  {question.name} = {answer}", style="dim"))
            return answer
        console.print(Text(f"  {reason}", style="yellow"))


def _prompt(question: Question) -> str:
    """The line on which a person answers: choices by number, and what Enter takes."""
    numbered = "  ".join(f"{number}) {choice}" for number, choice in enumerate(question.choices, 1))
    nothing = f"; {NOTHING} for none" if question.default and not question.wrong("") else ""
    return f"  {question.name} {f'[{numbered}] ' if numbered else ''}({question.default or 'none'}{nothing}): "


def _meant(typed: str, question: Question) -> tuple[str, str]:
    """The answer that was typed, in full, and why it cannot be used."""
    choices = question.choices
    if not typed:
        answer = question.default
    elif typed == NOTHING and not choices and not question.wrong(""):
        answer = ""
    elif typed in choices or not choices:
        answer = typed
    elif typed.isdecimal() and 0 < int(typed) <= len(choices):
        answer = choices[int(typed) - 1]
    else:
        meant = [choice for choice in choices if choice.startswith(typed.lower())]
        if len(meant) > 1:
            return typed, f"{typed!r} may be {' or '.join(meant)}"
        answer = meant[0] if meant else typed
    if choices and answer not in choices:
        return typed, f"{typed!r} is not one of {', '.join(choices)}"
    return answer, question.wrong(answer)


def rendered(template: str, answers: dict[str, str]) -> str:
    """A text of the template, such as a default that depends on earlier answers, rendered as cookiecutter does."""
    from cookiecutter.environment import StrictEnvironment

    return StrictEnvironment(context={}).from_string(template).render(cookiecutter=answers)
