"""Each interlock of the documents, with its planted defect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from beampermit.contract.alarms import guidance
from beampermit.interlocks.documents import DOC001, DOC002, DOC003, DOC004
from beampermit.interlocks.interlock import Interlock
from beampermit.interlocks.runner import check
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict


def judge(project: Project, interlock: type[Interlock], *edits: tuple[str, str]) -> Verdict:
    """The interlock's verdict after `edits` of the contract."""
    file = project.root / "contract.yaml"
    text = file.read_text()
    for before, after in edits:
        assert before in text
        text = text.replace(before, after)
    file.write_text(text)
    return check(Project(project.root), [interlock])[0]


@pytest.mark.parametrize("interlock", [DOC001, DOC002, DOC003, DOC004])
def test_a_sound_contract_passes_all(project: Project, interlock: type[Interlock]) -> None:
    assert judge(project, interlock).passed


@pytest.mark.plants("DOC001")
@pytest.mark.parametrize("twin", [("bo@lab.example", "ADA@lab.example"), ("Bo Physicist", "ada  operator")])
def test_doc001_fails_for_a_single_owner_under_two_names_or_addresses(project: Project, twin: tuple[str, str]) -> None:
    verdict = judge(project, DOC001, twin)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.startswith("Ada Operator <ada@lab.example> is the only owner; a second one needs")
    assert "model.owners" in verdict.fix


GAPS = {
    "a to-do": (("Cleaning optics measurements.", "TODO"), "model.use.intended is a placeholder"),
    "an instruction": (
        ("Machine protection.", "Describe what it is not for"),
        "model.use.out_of_scope is the template's instruction",
    ),
    "an example's address": (
        ("bo@lab.example", "bo@example.org"),
        "model.owners[1].email is an example address",
    ),
    "an example's logbook": (
        ("https://logbook.lab.example", "https://example.com/logbook"),
        "operations.logbook is an example address",
    ),
    "white space": (("[Trained on simulated signals.]", '["  "]'), "model.use.limitations[0] is empty"),
    "nobody to call": (('"+1 555 0100"', "nobody"), "operations.on_call is empty"),
    "an action to be filled in": (
        ("Compare with its neighbours.", "<what to do>"),
        "operations.alarms[0].action[0] is a placeholder",
    ),
    "the template's own answer": (("bo@lab.example", "TODO@deputy.example"), "model.owners[1].email is a placeholder"),
    "a metric that nobody explains": ((", description: Beam called a fault", ""), "metrics[1].description is empty"),
}


@pytest.mark.plants("DOC002")
@pytest.mark.parametrize("gap", GAPS)
def test_doc002_names_what_only_a_person_can_write_and_its_line(project: Project, gap: str) -> None:
    edit, reason = GAPS[gap]
    text = (project.root / "contract.yaml").read_text()
    line = text[: text.index(edit[0])].count("\n") + 1
    verdict = judge(project, DOC002, edit)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == reason
    assert [(place.file, place.line) for place in verdict.locations] == [("contract.yaml", line)]
    assert "beampermit card" in verdict.fix


def test_an_operator_may_be_told_to_write_something_down(project: Project) -> None:
    step = ("Compare with its neighbours.", "Write the reading into the logbook.")
    assert judge(project, DOC002, step).passed
    assert judge(project, DOC003).passed


NOT_STATED = {
    "model.kind": ("  kind: A small network on features of the signal.\n", "model:"),
    "model.use.users": ("    users: Those who measure optics.\n", "  use:"),
    "model.use.factors": ("    factors: [The plane.]\n", "  use:"),
    "model.use.considerations": ("    considerations: [Nobody is harmed.]\n", "  use:"),
    "model.use.caveats": ("    caveats: [A low score is no proof.]\n", "  use:"),
    "evaluation.about": ("  about: Acquisitions that training has not seen.\n", "evaluation:"),
}


@pytest.mark.parametrize("key", NOT_STATED)
def test_doc002_names_what_the_card_would_call_not_stated(project: Project, key: str) -> None:
    line, parent = NOT_STATED[key]
    verdict = judge(project, DOC002, (line, ""))
    assert verdict.reason == f"{key} is empty"
    there = (project.root / "contract.yaml").read_text().splitlines()
    assert [there[place.line - 1] for place in verdict.locations if place.line] == [parent]


def test_doc002_names_several_at_once(project: Project) -> None:
    edits = (("Machine protection.", "TBD"), ("The monitor's signal is not beam.", "FIXME"))
    verdict = judge(project, DOC002, *edits)
    assert verdict.evidence["missing"] == ["model.use.out_of_scope", "operations.alarms[0].meaning"]


UNANSWERED = {
    "a limit that nobody explains": (
        ("raised_by: [score.hihi]", "raised_by: []"),
        "no alarm for score.hihi (score is above 0.9)",
        "  alarms:",
    ),
    "a new limit": (
        ("high: 0.5", "low: 0.1, high: 0.5"),
        "no alarm for score.low (score is below 0.1)",
        "  alarms:",
    ),
    "a new output": (
        (
            "dataset:\n",
            '    - {name: gain, pv: "{device}:GAIN", unit: "1", range: [0, 1], description: Gain}\ndataset:\n',
        ),
        "no alarm for gain.invalid (gain is invalid)",
        "  alarms:",
    ),
    "an expected range": (
        ("high: 0.5", "expected: [0.2, 0.4], high: 0.5"),
        "no alarm for score.low (score is below 0.2)",
        "  alarms:",
    ),
    "an input that may be too old": (
        ("score.invalid, turns.stale", "score.invalid"),
        "no alarm for turns.stale (turns is stale)",
        "  alarms:",
    ),
    "drift": (
        ("raised_by: [drift]", "raised_by: []"),
        "no alarm for drift (live data differ from the training data)",
        "  alarms:",
    ),
    "a slip of the pen": (
        ("turns.stale]", "turns.stale, score.hi]"),
        "raised_by 'score.hi' is not a cause of this model's alarms; did you mean 'score.hihi'?",
        "      raised_by: [score.invalid, turns.stale, score.hi]",
    ),
    "a pattern that means nothing": (
        ("turns.stale]", "turns.stale, '*.lolo']"),
        "raised_by '*.lolo' matches no cause of this model's alarms",
        "      raised_by: [score.invalid, turns.stale, '*.lolo']",
    ),
    "a pattern that fits a cause of another severity": (
        ("[score.hihi]", "['*.hi*']"),
        "score.high has severity MINOR in EPICS, not MAJOR; score.high is in raised_by of two alarms",
        "      severity: MAJOR\n      raised_by: [score.high]",
    ),
    "two answers": (
        ("[drift]", "[drift, score.high]"),
        "score.high is in raised_by of two alarms",
        "      raised_by: [drift, score.high]",
    ),
    "another severity": (
        ("severity: MAJOR", "severity: MINOR"),
        "score.hihi has severity MAJOR in EPICS, not MINOR",
        "      severity: MINOR",
    ),
    "an action that is none": (
        ("[Tell the maintainer.]", "[TBD]"),
        "drift has no action",
        "      action: [TBD]",
    ),
}


@pytest.mark.plants("DOC003")
@pytest.mark.parametrize("defect", UNANSWERED)
def test_doc003_fails_for_an_alarm_that_leaves_the_operator_alone(project: Project, defect: str) -> None:
    edit, reason, line = UNANSWERED[defect]
    verdict = judge(project, DOC003, edit)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == reason
    there = (project.root / "contract.yaml").read_text().splitlines()
    assert "\n".join(there[place.line - 1] for place in verdict.locations if place.line) == line
    assert "beampermit runbook" in verdict.fix


def test_a_pattern_answers_for_every_input_that_may_be_stale(project: Project) -> None:
    other = '    - {name: current, pv: "CURRENT", unit: A, range: [0, 1], stale_after: 5s}\n  outputs:\n'
    verdict = judge(project, DOC003, ("  outputs:\n", other), ("turns.stale]", "'*.stale']"))
    assert verdict.passed, verdict.reason
    assert verdict.reason == "6 causes of alarms, each with meaning and action"
    shown = [alarm.condition for alarm in guidance(Project(project.root).contract, "score")]
    assert shown == ["score above 0.9", "score above 0.5", "no answer"]


@pytest.mark.slow
@pytest.mark.plants("DOC004")
def test_doc004_fails_on_the_day_after(project: Project) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    verdict = judge(project, DOC004, ("2099-06-01", str(yesterday)))
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == f"the review was due by {yesterday}, 1 day ago"
    today = str(datetime.now(UTC).date())
    assert judge(project, DOC004, (str(yesterday), today)).passed
