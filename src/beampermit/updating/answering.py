"""Answers to a template's questions: those that are recorded, given, asked for, or defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from beampermit.errors import BadInput, did_you_mean, several
from beampermit.generation.answers import Asker, Question, rendered
from beampermit.generation.template import problems, problems_of_some, questions
from beampermit.updating.recorded import ANSWERS
from beampermit.updating.source import Source

FIXED = ("project_slug", "package_name")
"""Names of folders and of the model in the ledger: giving it another one is not an update."""
OUTDATED = re.compile(r"review_by: \S+ is in the past|package_name: \S+ is the name of a library or of a folder .+")
"""What is said of an answer that was right when it was given. The project's own package may be installed, or on the
path, as its Makefile has it."""


def complete_answers(
    recorded: Mapping[str, str], given: Mapping[str, str], source: Source, ask: Asker | None
) -> tuple[dict[str, str], dict[str, str]]:
    """An answer to each question of the template, and those that are defaults because nobody was asked.

    Raises `BadInput`, also for what is recorded: the file is in a repository, and the template's hook is made of it.
    """
    asked = questions(source.folder)
    for key in given:
        if key not in asked:
            raise BadInput(f"there is no question {key!r}{did_you_mean(key, asked)}", hint="beampermit update --help")
        if key in FIXED and recorded.get(key, given[key]) != given[key]:
            raise BadInput(f"{key} is {recorded[key]!r}, and an update gives a project no other name", file=ANSWERS)
    known = {**given, **{key: answer for key, answer in recorded.items() if key in asked and key not in given}}
    _refuse(problems_of_some(known, source.folder), recorded)
    answers: dict[str, str] = {}
    defaults: dict[str, str] = {}
    for key, template in asked.items():
        if key in known:
            answers[key] = known[key]
            continue
        choices = template if isinstance(template, list) else []
        default = choices[0] if choices else rendered(str(template), answers)
        answers[key] = ask(Question(key, default, choices, _judge(key, answers, source))) if ask else default
        if not ask:
            defaults[key] = default
    _refuse(problems(answers, source.folder), recorded)
    return answers, defaults


def _refuse(reasons: list[str], recorded: Mapping[str, str]) -> None:
    """Raise `BadInput` for reasons that are not OUTDATED alone."""
    wrong = [
        reason
        for reason in dict.fromkeys(reasons)
        if not (reason.partition(":")[0] in recorded and OUTDATED.fullmatch(reason))
    ]
    if wrong:
        key = wrong[0].partition(":")[0]
        hint = f"git log -- {ANSWERS}" if key in FIXED else f"beampermit update --answer {key}=VALUE"
        raise BadInput(several(wrong, len(wrong)), file=ANSWERS, hint=hint)


def _judge(key: str, answers: Mapping[str, str], source: Source) -> Callable[[str], str]:
    """Why an answer to a question is wrong beside those before it, by the template's own rules."""
    others = {name: (value[0] if isinstance(value, list) else "") for name, value in questions(source.folder).items()}

    def wrong(answer: str) -> str:
        found = problems({**others, **answers, key: answer}, source.folder)
        return next((reason.partition(": ")[2] for reason in found if reason.startswith(f"{key}:")), "")

    return wrong
