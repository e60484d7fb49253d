"""Valid answers to the template's questions: given, asked for, or defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from beampermit.errors import BadInput, did_you_mean, several
from beampermit.generation.template import explanation, problem, problems, questions

Asker = Callable[[str, str, list[str]], str]
"""Question, default, choices (none: any text) -> answer."""
AGAIN = "run `beampermit new` again with another answer"


def parse(arguments: list[str]) -> dict[str, str]:
    """Answers of the form `key=value`. Raises `BadInput`."""
    for argument in arguments:
        if "=" not in argument:
            raise BadInput(f"{argument!r} is not an answer of the form key=value", hint="beampermit new --help")
    return dict(argument.split("=", 1) for argument in arguments)


def complete(
    given: Mapping[str, str], ask: Asker | None = None, defaults: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """An answer to every question: from `given`, else from `ask`, else the default. Raises `BadInput`.

    `defaults` come before the template's own.
    """
    for key in given:
        if key not in questions():
            raise BadInput(
                f"there is no question {key!r}{did_you_mean(key, questions())}",
                hint=f"answer any of {', '.join(questions())}",
            )
    answers: dict[str, str] = {}
    for key, default in questions().items():
        if key in given:
            answers[key] = given[key]
            continue
        choices = default if isinstance(default, list) else []
        own = choices[0] if choices else rendered(str(default), answers)
        default_answer = defaults.get(key, own)
        answers[key] = ask(key, default_answer, choices) if ask else default_answer
    invalid = problems(answers)
    if invalid:
        raise BadInput(several(invalid, len(invalid)), hint=AGAIN)
    return answers


def ask_on_terminal(question: str, default: str, choices: list[str]) -> str:
    """Ask until the answer is valid. Raises `BadInput` at the end of input."""
    from rich.console import Console
    from rich.prompt import Prompt
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    while True:
        prompt = Text(f"{explanation(question)}\n  {question}", style="bold")
        try:
            answer = Prompt.ask(prompt, console=console, default=default, choices=choices or None).strip()
        except EOFError:
            raise BadInput(
                f"the input ended before an answer to {question!r}", hint="beampermit new --no-input"
            ) from None
        reason = problem(question, answer)
        if not reason:
            return answer
        console.print(Text(f"  {reason}", style="yellow"))


def rendered(template: str, answers: dict[str, str]) -> str:
    """A text of the template, such as a default that depends on earlier answers, rendered as cookiecutter does."""
    from cookiecutter.environment import StrictEnvironment

    return StrictEnvironment(context={}).from_string(template).render(cookiecutter=answers)
