"""Verdicts as Markdown and as a workflow's annotations, in which no value is taken for a command; what to fix first."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from beampermit.cli.output import fail
from beampermit.documents.screen import render_verdicts
from beampermit.documents.verdicts import Step, format_annotations, format_markdown, steps
from beampermit.errors import BadInput
from beampermit.verdicts.verdict import Location, Outcome, Verdict
from support.planted_results import failed, verdict

hostile = st.lists(
    st.sampled_from(["::error::x", "##[command]", "\n", "\r", "%0A", "%", ":", ",", "::", "\u2028", "\x1b[2K", "a"]),
    max_size=6,
).map("".join)


def test_an_annotation_stands_on_file_and_line() -> None:
    assert format_annotations([failed("DAT004", "50% of rows: x, y")]) == (
        "::error file=data/raw.parquet,line=3,title=DAT004 Rows keep the contract (failed)::"
        "50%25 of rows: x, y%0ARun `dvc repro`.%0AThen commit.\n1 failed\n"
    )


def test_every_place_is_annotated_up_to_ten_behind_the_first_of_each_interlock() -> None:
    places = tuple(Location(file="a.yml", line=line) for line in range(1, 13))
    many = failed("GIT003").model_copy(update={"locations": places})
    lines = format_annotations([many, failed("DAT004")]).splitlines()
    assert [line.partition("title=")[2][:6] for line in lines[:2]] == ["GIT003", "DAT004"]
    assert lines[2:-1] == [
        f"::error file=a.yml,line={line},title=GIT003 A title (failed)::{many.reason}" for line in range(2, 11)
    ]
    assert format_annotations([many.model_copy(update={"outcome": Outcome.PASSED})]).count("a.yml") == 0


def test_a_skipped_interlock_warns_and_a_passed_one_is_a_plain_line() -> None:
    lines = format_annotations([verdict("DAT004", Outcome.SKIPPED, "no remote"), verdict("DOC001")]).splitlines()
    assert lines[0] == "::warning title=DAT004 Rows keep the contract (skipped)::no remote"
    assert lines[1] == "passed  DOC001  looked at"


@pytest.mark.slow
@given(hostile, st.sampled_from(Outcome))
def test_one_verdict_is_one_line_and_at_most_one_command(value: str, outcome: Outcome) -> None:
    fix = "" if outcome is Outcome.PASSED else value
    bad = verdict("DAT004", outcome, value, fix=fix).model_copy(update={"title": value})
    lines = format_annotations([bad]).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("passed  DAT004" if outcome is Outcome.PASSED else "::")
    if outcome is not Outcome.PASSED:
        properties = lines[0][2:].split("::", 1)[0]
        assert properties.count(",") == 0, "the title is one property"
    else:
        assert "##[" not in lines[0]


@pytest.mark.slow
@given(hostile)
def test_what_is_wrong_in_a_place_is_one_line_and_one_command(value: str) -> None:
    places = (Location(file="a"), Location(file=f"b{value}", line=2, reason=f"x{value}"))
    lines = format_annotations([failed("DAT004").model_copy(update={"locations": places})]).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("::error file=b")
    assert "##[" not in lines[1]


def test_markdown_says_first_what_is_open_and_folds_the_rest() -> None:
    made = format_markdown([verdict("DOC001"), failed("DAT004")])
    assert made.startswith("## ❌ 1 failed: DAT004\n")
    assert made.index("DAT004") < made.index("How to fix") < made.index("<details>") < made.index("DOC001")


@pytest.mark.slow
@settings(max_examples=40)
@given(hostile)
def test_a_terminal_is_sent_no_command_of_a_value(value: str) -> None:
    bad = failed("DAT004", value).model_copy(update={"title": value, "fix": value})
    screen = Console(file=io.StringIO(), force_terminal=False, width=400)
    screen.print(render_verdicts([bad], 80, everything=True), soft_wrap=True)
    made = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in made
    assert "\u2028" not in made


def test_an_error_on_stderr_is_one_line_that_no_runner_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(BadInput("a\n::error::x ##[command]\x1b[2K", file="f\n::y", hint="fix\n::z")) == 2
    assert capsys.readouterr().err == "beampermit: f ::y: a ::error::x ## [command]\n      next: fix ::z\n"


def test_a_lock_comes_before_data_before_promises_before_proofs() -> None:
    found = [failed(id, id) for id in ("GIT003", "MDL001", "DOC001", "DAT004", "DAT001", "ENV001")]
    assert [step.id for step in steps(found)] == ["ENV001", "DAT001", "DOC001", "GIT003", "DAT004", "MDL001"]


def test_what_waits_for_the_same_is_one_step_and_what_follows_is_none() -> None:
    absent = "there is no contract.yaml; run `beampermit init`"
    found = [
        verdict("ENV001"),
        verdict("ENV002", Outcome.SKIPPED, "waits for ENV001", waits_for=("ENV001",)),
        verdict("MDL001", Outcome.SKIPPED, absent),
        verdict("DOC001", Outcome.SKIPPED, absent),
        failed("DAT001", absent),
    ]
    assert steps(found) == (Step("DAT001", (), absent), Step("DOC001", ("MDL001",), absent))


def test_what_most_wait_for_comes_first() -> None:
    waiting = [verdict(id, Outcome.SKIPPED, "waits for DOC001", waits_for=("DOC001",)) for id in ("MDL001", "PRF001")]
    found = [failed("ENV001", "a"), failed("DOC001", "b"), *waiting]
    assert [step.id for step in steps(found)] == ["DOC001", "ENV001"]


def several_defects(reason: str) -> Verdict:
    lines = {3: "a: secrets are inherited", 5: "b: no digest", 9: "c: a cache is restored"}
    places = tuple(Location(file="a.yml", line=line, reason=text) for line, text in lines.items())
    return failed("GIT004", reason).model_copy(update={"locations": places})


@pytest.mark.parametrize(
    ("reason", "first"),
    [
        ("a.yml:3: a: secrets are inherited (and 2 more)", "a.yml:3: a: secrets are inherited (and 2 more)"),
        ("a: secrets are inherited; b: no digest (and 1 more)", "a: secrets are inherited"),
    ],
)
def test_each_annotation_says_what_is_wrong_on_its_own_line(reason: str, first: str) -> None:
    lines = format_annotations([several_defects(reason)]).splitlines()
    messages = [line.removeprefix("::error ").partition("::") for line in lines[:-1]]
    assert [message.partition("%0A")[0] for _, _, message in messages] == [
        first,
        "b: no digest",
        "c: a cache is restored",
    ]
    assert [properties.split(",")[1] for properties, _, _ in messages] == ["line=3", "line=5", "line=9"]


def test_terminal_and_markdown_list_everything_that_is_wrong_and_nothing_twice() -> None:
    bad = several_defects("a.yml:3: a: secrets are inherited (and 2 more)")
    screen, page = render_verdicts([bad], 80).plain, format_markdown([bad])
    assert "  a.yml:3\n  a.yml:5: b: no digest\n  a.yml:9: c: a cache is restored\n" in screen
    assert "In `a.yml:3`.\n\n- `a.yml:5`: b: no digest\n- `a.yml:9`: c: a cache is restored\n\nRun" in page
    assert (screen.count("secrets are inherited"), page.count("secrets are inherited")) == (1, 1)
