"""Each interlock of the papers, with its planted defect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from beampermit.interlocks.documents import DOC001, DOC002, DOC004
from beampermit.interlocks.interlock import Interlock
from beampermit.interlocks.runner import check
from beampermit.project import Project
from beampermit.verdict import Outcome, Verdict


def judge(project: Project, interlock: type[Interlock], *edits: tuple[str, str]) -> Verdict:
    """The interlock's verdict after `edits` of the contract."""
    file = project.root / "contract.yaml"
    text = file.read_text()
    for before, after in edits:
        assert before in text
        text = text.replace(before, after)
    file.write_text(text)
    return check(Project(project.root), [interlock])[0]


@pytest.mark.parametrize("interlock", [DOC001, DOC002, DOC004])
def test_a_sound_contract_closes_all(project: Project, interlock: type[Interlock]) -> None:
    assert judge(project, interlock).closed


def test_doc001_trips_for_a_single_owner_under_two_names(project: Project) -> None:
    verdict = judge(project, DOC001, ("bo@lab.example", "ADA@lab.example"))
    assert verdict.outcome is Outcome.TRIPPED
    assert verdict.reason == "Ada Operator <ada@lab.example> is the only owner; two with different addresses are needed"
    assert "model.owners" in verdict.fix


GAPS = {
    "a to-do": (("Cleaning optics measurements.", "TODO"), "model.use.intended is a placeholder"),
    "an instruction": (
        ("Machine protection.", "Describe what it is not for"),
        "model.use.out_of_scope is an instruction, not an answer",
    ),
    "an example's address": (
        ("bo@lab.example", "bo@example.org"),
        "model.owners[1].email is an address that belongs to nobody",
    ),
    "an example's logbook": (
        ("https://logbook.lab.example", "https://example.com/logbook"),
        "operations.logbook is an address that belongs to nobody",
    ),
    "white space": (("[Trained on simulated signals.]", '["  "]'), "model.use.limitations[0] is empty"),
    "nobody to call": (('"+1 555 0100"', "nobody"), "operations.on_call is empty"),
    "an action to be filled in": (
        ("Compare with its neighbours.", "<what to do>"),
        "operations.alarms[0].action[0] is a placeholder",
    ),
    "a metric that nobody explains": ((", description: Beam called a fault", ""), "metrics[1].description is empty"),
}


@pytest.mark.parametrize("gap", GAPS)
def test_doc002_names_what_only_a_person_can_write_and_its_line(project: Project, gap: str) -> None:
    edit, reason = GAPS[gap]
    text = (project.root / "contract.yaml").read_text()
    line = text[: text.index(edit[0])].count("\n") + 1
    verdict = judge(project, DOC002, edit)
    assert verdict.outcome is Outcome.TRIPPED
    assert verdict.reason == reason
    assert [(place.file, place.line) for place in verdict.locations] == [("contract.yaml", line)]
    assert "beampermit card" in verdict.fix


def test_doc002_names_several_at_once(project: Project) -> None:
    edits = (("Machine protection.", "TBD"), ("The monitor's signal is not beam.", "FIXME"))
    verdict = judge(project, DOC002, *edits)
    assert verdict.evidence["missing"] == ["model.use.out_of_scope", "operations.alarms[0].meaning"]


def test_doc004_trips_on_the_day_after(project: Project) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    verdict = judge(project, DOC004, ("2099-06-01", str(yesterday)))
    assert verdict.outcome is Outcome.TRIPPED
    assert verdict.reason == f"the model was to be reviewed by {yesterday}, 1 days ago"
    today = str(datetime.now(UTC).date())
    assert judge(project, DOC004, (str(yesterday), today)).closed
