"""A study's page and table say what was found, the best first, whatever the trials are called."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from beampermit.documents.card import card
from beampermit.documents.facts import gather_facts
from beampermit.documents.gathering import gather_report
from beampermit.documents.report import Report
from beampermit.documents.trial_drawings import Axis
from beampermit.documents.trials_page import DRAWN, LEADING, LISTED, trials_page
from beampermit.documents.trials_text import headline, table
from beampermit.errors import BadInput
from beampermit.files import write_json
from beampermit.project import Project
from beampermit.trials.front import shown_order
from beampermit.trials.records import State, Trial
from beampermit.trials.standing import Standing
from beampermit.trials.summary import FILE, Summary, summarise
from support.hostile_text import assert_harmless
from support.planted_results import EXPECTED, judged, verdict
from support.studies import AUC, LOSS, complete, failed, large, study

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)> | `x` ]]> &amp; \u202e\x1b[31m'


@pytest.mark.slow
def test_the_page_has_history_importance_parameters_and_all_trials() -> None:
    made = trials_page(large(60))
    for part in (
        "60 trials, the best is trial ",
        "48 complete",
        "<h2>History</h2>",
        "<h2>What mattered</h2>",
        "<h2>Parameters and values</h2>",
        "A line for each trial; the best 5 stand out",
        "failed: stopped",
        "beampermit trials apply",
        "11111111",  # data that it is bound to
        'aria-label="importance of each parameter"',
    ):
        assert part in made, part
    assert "front" not in made.split("</style>")[1]
    assert made.count("<svg ") == 3
    assert re.findall(r"https?://[^\"'\s<]+", made) == [], "nothing is asked of a network"


def test_several_objectives_have_a_front_and_no_history() -> None:
    made = trials_page(large(60, several=True))
    assert "<h2>The front</h2>" in made
    assert "<h2>History</h2>" not in made
    assert "beampermit trials apply --trial N" in made
    assert "trials by validation_loss and auc, and the front among them" in made


@pytest.mark.slow
def test_a_large_study_stays_a_small_page() -> None:
    made = trials_page(large(1_000))
    assert f"of {DRAWN} of 800 trials, the best among them; the best {LEADING} stand out" in made
    assert f"And {1_000 - LISTED} more" in made
    assert made.count('class="lead"') == LEADING + 1, "and the best so far"
    assert len(made) < 310_000


@pytest.mark.parametrize("trials", [(), (failed(0),), (complete(0, 0.5),), (complete(0, 1e308), complete(1, -1e308))])
def test_whatever_a_study_has_there_is_a_page(trials: tuple[Trial, ...]) -> None:
    made = trials_page(study(*trials))
    assert f"{len(trials)} trial" in made
    assert "nan" not in made.split("</style>")[1].lower()
    assert "inf" not in re.sub(r"info\w*", "", made.split("</style>")[1].lower())


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            f"/scratch/ada's work/units/{'0a' * 32}/result.json:2: not JSON: NaN\nepoch 7",
            "result.json:2: not JSON: NaN",
        ),
        (f"it ended with exit status 1\nValueError\nno file /w/units/{'0a' * 32}/a", "no file a"),
        ("it took longer than 30 s, the limit, and was ended\nepoch 7", "it took longer than 30 s, the limit, and wa…"),
        ("it was ended by signal SIGKILL: out of memory?\nepoch 7", "it was ended by signal SIGKILL: out of m…"),
        ("/data/units/a is missing", "/data/units/a is missing"),
    ],
)
def test_the_outcome_says_the_reason_and_not_the_folder(reason: str, said: str) -> None:
    made = study(failed(0, reason))
    _, (row,) = table(made, made.trials)
    assert row[-1][:39] == f"failed: {said}"[:39]


def test_no_name_or_reason_gets_into_the_markup() -> None:
    params = {HOSTILE: HOSTILE, "train.x": 1}
    objectives = (LOSS.model_copy(update={"name": HOSTILE}),)
    one = Trial(number=0, state=State.COMPLETE, params=params, machine=HOSTILE)
    trials = [one.model_copy(update={"number": n, "values": {HOSTILE: float(n)}}) for n in range(12)]
    bad = failed(12, HOSTILE).model_copy(update={"params": params})
    made = trials_page(
        study(*trials, bad, objectives=objectives, space={HOSTILE: {"choice": [HOSTILE, 1]}, "train.x": 1})
    )
    body = made.split("</style>")[1]
    assert "<script" not in body
    assert "<img" not in body
    assert "\u202e" not in body
    heading, rows = table(study(*trials, bad, objectives=objectives), [*trials, bad])
    assert not any("\x1b" in cell or "\u202e" in cell for row in (heading, *rows) for cell in row)


def test_the_table_has_a_column_for_each_objective_and_parameter() -> None:
    made = study(complete(0, 0.5), failed(1), complete(2, 0.25, params={"train.hidden": 6, "train.rate": 0.00123456}))
    heading, rows = table(made, shown_order(made))
    assert heading == ["trial", "validation_loss", "hidden", "rate", "time", "machine", "outcome"]
    assert rows[0] == ["2", "0.25", "6", "0.001235", "1.5 s", "AVX2, node-1", "complete"]
    assert rows[2] == ["1", "", "4", "", "500 ms", "", "failed: ValueError: no rows"]
    assert headline(made) == "3 trials, the best is trial 2 with validation_loss 0.25"
    assert headline(study(failed(0))) == "1 trial, none is complete"
    several = study(complete(0, 1.0, 1.0), objectives=(LOSS, AUC))
    assert headline(several) == "1 trial, 1 on the front of validation_loss, auc"


def test_an_axis_is_logarithmic_where_few_values_are_much_larger() -> None:
    assert not Axis.around([0.1, 0.2, 0.9]).log
    assert Axis.around([0.1, 0.2, 0.3, 100.0]).log
    assert not Axis.around([-0.1, 0.2, 0.3, 100.0]).log
    assert (Axis.around([5.0]).place(5.0), Axis.around([0.0]).place(0.0)) == (0.5, 0.5)
    assert Axis.around([1e-3, 1.0], log=True).ticks() == [0.001, 0.01, 0.1, 1.0]
    assert [round(tick, 9) for tick in Axis.around([0.0, 1.0]).ticks()] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def summary() -> Summary:
    made = study(complete(0, 0.5), complete(1, 0.25), complete(2, 0.2), failed(3))
    return summarise(made, made.trials[2], {"data/dataset": "f" * 32}, 0)


@pytest.mark.slow
def test_the_report_says_how_many_trials_and_how_far_the_best_is_ahead(results: Project, folder: Path) -> None:
    judged(results, folder / "a.json", *map(verdict, EXPECTED))
    assert "Trials behind" not in gather_report(results, folder, EXPECTED).markdown(), "no summary: nothing is said"
    write_json(results.root / FILE, summary().model_dump(mode="json"))
    report = gather_report(results, folder, EXPECTED)
    assert report.problems == ()
    made = report.markdown()
    for part in (
        "## Trials behind the parameters",
        "As the study says, whose trials no check has seen: trial 2 of 4 was taken, the best.",
        "3 complete, 1 failed; 5 parameters searched by tpe with seed 7; 5 s of training, each with seed 0.",
        "| best | 2 | 0.2 |",
        "| second | 1 | 0.25 |",
        "| middle half of all | | 0.225 to 0.375 |",
        "By these numbers the best is 0.05 ahead of the second.",
        "`params.yaml` was changed since: `train.hidden` is absent, and trial 2 had `6`.",
        "Whether the study is of this commit is not known: ",
    ):
        assert part in made, part
    assert "Checked:" not in made
    assert report == Report.model_validate_json(report.json_text())
    text = card(gather_facts(results))
    assert "## Choice of parameters" in text
    assert "trial 2 of 4 was taken, the best" in text


@pytest.mark.slow
def test_the_report_says_what_fits_and_what_does_not(results: Project, folder: Path) -> None:
    judged(results, folder / "a.json", *map(verdict, EXPECTED))
    report = gather_report(results, folder, EXPECTED)
    fits = report.model_copy(update={"trials": Standing(summary=summary())}).markdown()
    assert (
        "Checked: `params.yaml` has the parameters that the study gives trial 2, and data, code, lock and space" in fits
    )
    assert "> The study is not of" not in fits
    # An author who edits the file in git: a hundred times as many trials, none failed, and a best that is far ahead.
    body = summary().model_dump(mode="json")
    body["best"][1]["values"]["validation_loss"] = 9.0
    false = Summary.model_validate({**body, "states": {"complete": 400}})
    made = report.model_copy(update={"trials": Standing(summary=false)}).markdown()
    for said in (
        "As the study says, whose trials no check has seen: trial 2 of 400 was taken, the best. 400 complete;",
        "By these numbers the best is 8.8 ahead of the second.",
        "How many trials there were and what they reached stays its author's word.",
    ):
        assert said in made, "nobody can know that it is false, so nobody says that it is true"
    older = Standing(summary=summary(), older=("other data (data/dataset)", "lock of another digest"))
    made = report.model_copy(update={"trials": older}).markdown()
    assert "> The study is not of this commit: other data (data/dataset); lock of another digest." in made
    assert "Checked:" not in made


@pytest.mark.slow
def test_a_front_in_the_report_names_its_trials(results: Project, folder: Path) -> None:
    of = study(complete(0, 0.1, 0.5), complete(1, 0.2, 0.9), complete(2, 0.3, 0.1), objectives=(LOSS, AUC))
    judged(results, folder / "a.json", *map(verdict, EXPECTED))
    for number, said in ((1, "trial 1 of 3 was taken, of the front of 2."), (2, "trial 2 of 3 was taken. 3 complete")):
        standing = Standing(summary=summarise(of, of.trials[number], {}, None))
        made = gather_report(results, folder, EXPECTED).model_copy(update={"trials": standing}).markdown()
        assert said in made
        assert "| on the front | 0 | 0.1 | 0.5 |" in made
        assert "ahead of" not in made


@pytest.mark.slow
def test_a_summary_cannot_make_markup_in_the_report(results: Project, folder: Path) -> None:
    name = HOSTILE[:200]
    of = study(
        *(
            complete(n, 0.0).model_copy(update={"values": {name: float(n)}, "params": {name: HOSTILE}})
            for n in range(3)
        ),
        objectives=(LOSS.model_copy(update={"name": name}),),
    ).model_copy(update={"sampler": HOSTILE, "name": HOSTILE[:150]})
    write_json(results.root / FILE, summarise(of, of.trials[0], {HOSTILE: HOSTILE}, None).model_dump(mode="json"))
    judged(results, folder / "a.json", *map(verdict, EXPECTED))
    report = gather_report(results, folder, EXPECTED)
    assert report.trials
    assert_harmless(report.markdown())
    assert "<script" not in report.html().split("</style>")[1]


@pytest.mark.slow
def test_a_forged_summary_is_a_problem_of_the_report(results: Project, folder: Path) -> None:
    (results.root / FILE).write_text('{"study": 1}')
    judged(results, folder / "a.json", *map(verdict, EXPECTED))
    made = gather_report(results, folder, EXPECTED)
    assert [problem.file for problem in made.problems] == [FILE]
    assert "not the summary of a study" in made.markdown()
    with pytest.raises(BadInput):
        gather_facts(results)
