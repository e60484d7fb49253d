"""Answers to the template's questions: given, asked for, or the defaults; never one that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from beampermit.errors import BadInput, meant, several
from beampermit.generation.template import explanation, problem, problems, questions

Asker = Callable[[str, str, list[str]], str]
"""Question, default, choices (none: any text) -> answer."""


def parse(words: list[str]) -> dict[str, str]:
    """`key=value` words as answers. Raises `BadInput` for a word that is no answer."""
    for word in words:
        if "=" not in word:
            raise BadInput(f"{word!r} is no answer: write key=value", hint="beampermit new --help")
    return dict(word.split("=", 1) for word in words)


def complete(given: Mapping[str, str], ask: Asker | None = None) -> dict[str, str]:
    """An answer to every question: as `given`, else from `ask`, else the default. Raises `BadInput`."""
    for key in given:
        if key not in questions():
            raise BadInput(
                f"there is no question {key!r}{meant(key, questions())}",
                hint=f"answer any of {', '.join(questions())}",
            )
    answers: dict[str, str] = {}
    for key, default in questions().items():
        if key in given:
            answers[key] = given[key]
            continue
        choices = default if isinstance(default, list) else []
        usual = choices[0] if choices else _rendered(str(default), answers)
        answers[key] = ask(key, usual, choices) if ask else usual
    found = problems(answers)
    if found:
        raise BadInput(several(found), hint="run `beampermit new` again with another answer")
    return answers


def ask_on_terminal(question: str, default: str, choices: list[str]) -> str:
    """Ask until the answer can be used. Raises `BadInput` when there is nobody to answer."""
    from rich.console import Console
    from rich.prompt import Prompt
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    while True:
        words = Text(f"{explanation(question)}\n  {question}", style="bold")
        try:
            answer = Prompt.ask(words, console=console, default=default, choices=choices or None).strip()
        except EOFError:
            raise BadInput(f"nobody answers {question!r}", hint="beampermit new --no-input") from None
        why = problem(question, answer)
        if not why:
            return answer
        console.print(Text(f"  {why}", style="yellow"))


def _rendered(template: str, answers: dict[str, str]) -> str:
    """A default that depends on the answers before it, rendered as cookiecutter does."""
    from cookiecutter.environment import StrictEnvironment

    return StrictEnvironment(context={}).from_string(template).render(cookiecutter=answers)
