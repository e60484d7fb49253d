"""The demo answers every question that the template leaves to a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.contract import load_contract
from beampermit.contract.completeness import gaps
from beampermit.demo.loop import PEOPLE
from beampermit.generation import generate
from beampermit.generation.answers import complete


def test_demo_answers_every_marked_question() -> None:
    marked = {question for question, default in complete(PEOPLE, None).items() if "TODO" in default}
    assert marked == set()
    marked = {question for question, default in complete({}, None).items() if "TODO" in default} - {"code_owners"}
    assert marked == set(PEOPLE)


@pytest.mark.slow
def test_contract_of_the_demo_is_complete_and_that_of_the_defaults_is_not(tmp_path: Path) -> None:
    for answers, open_ in ((PEOPLE, []), ({}, ["on_call", "logbook"])):
        file = generate(tmp_path / str(len(answers)), answers) / "contract.yaml"
        keys = [gap.key for gap in gaps(load_contract(file), file.read_text())]
        people = [f"model.owners[{place}].{key}" for place in (0, 1) for key in ("name", "email")]
        assert keys == ([*people, *(f"operations.{key}" for key in open_)] if open_ else [])
