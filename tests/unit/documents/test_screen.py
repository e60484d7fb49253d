"""Text for a terminal of 80 columns: a line for each verdict, each cause once; nothing that may be pasted is cut."""

from __future__ import annotations

from beampermit.documents.screen import format_columns, format_fields, render_verdicts
from beampermit.interlocks.families import load_interlocks
from beampermit.verdicts.verdict import Location, Outcome, Verdict
from support.planted_results import failed, verdict

FILE = "data/a/rather/deep/folder/with-a-long-name/that-is-wider/than-eighty-columns/train.parquet"
COMMAND = "beampermit data pull data/a/rather/deep/folder/with-a-long-name"


def shown(*verdicts: Verdict, everything: bool = False) -> list[str]:
    return render_verdicts(verdicts, 80, everything).plain.splitlines()


def test_passed_interlocks_are_listed_only_where_all_are_asked_for() -> None:
    assert shown(verdict("DOC001")) == ["1 passed  (--all lists those that passed)"]
    assert shown(verdict("DOC001"), everything=True)[0].startswith("● passed   DOC001  ")


def test_a_failure_names_file_line_and_fix() -> None:
    lines = shown(failed("DAT004", "12 of 40 rows are out of range"))
    assert lines[:2] == ["● failed   DAT004  Rows keep the contract", ""]
    assert lines[3:7] == [
        "  12 of 40 rows are out of range",
        "  data/raw.parquet:3",
        "  Fix: Run `dvc repro`.".replace("`", ""),
        "  Then commit.",
    ]


def test_what_waits_for_another_is_named_beside_its_cause_and_not_explained_again() -> None:
    waiting = verdict("ENV003", Outcome.SKIPPED, "waits for ENV002").model_copy(update={"waits_for": ("ENV002",)})
    lines = shown(failed("ENV002", "uv.lock does not match"), waiting)
    assert any(line == "● skipped  ENV003  waits for ENV002" for line in lines)
    assert "  ENV003 waits for this." in lines
    assert not any(line.startswith("ENV003") for line in lines)


def test_checks_that_wait_for_each_other_are_explained_all_the_same() -> None:
    waits = {"ENV002": ("ENV003",), "ENV003": ("ENV002",), "ENV004": ("XYZ001",)}
    lines = shown(
        *(
            verdict(id, Outcome.SKIPPED, f"{id} is odd").model_copy(update={"waits_for": ids})
            for id, ids in waits.items()
        )
    )
    assert {f"  {id} is odd" for id in waits} <= {*lines}


def test_checks_that_are_skipped_for_one_reason_are_explained_once() -> None:
    both = [verdict(id, Outcome.SKIPPED, "train.parquet is not here") for id in ("DAT004", "DAT005")]
    lines = shown(*both)
    assert lines.count("  train.parquet is not here") == 1
    assert "DAT004, DAT005" in lines


def test_what_is_put_off_until_the_release_is_no_cause() -> None:
    later = verdict("REP002", Outcome.SKIPPED, "checked at the release").model_copy(update={"until": "release"})
    assert shown(later)[0].endswith("put off until the release")
    assert not any(line.startswith("REP002") for line in shown(later))


def test_lists_and_commands_of_a_fix_keep_their_lines() -> None:
    items = "- a job uses\n  GitHub's runners;\n- no secret is inherited."
    fix = f"Anybody can open a pull request, so:\n\n{items}\n\n    git rm --cached FILE"
    lines = shown(failed("DAT004").model_copy(update={"fix": fix}))
    start = lines.index("  Fix: Anybody can open a pull request, so:")
    assert lines[start + 1 : start + 4] == [
        "  - a job uses GitHub's runners;",
        "  - no secret is inherited.",
        "    git rm --cached FILE",
    ]


def test_each_line_of_the_list_fits_eighty_columns() -> None:
    waiting = verdict("PRF002", Outcome.SKIPPED, "waits").model_copy(
        update={"waits_for": ("ENV005", "MDL001", "MDL002")}
    )
    assert max(map(len, shown(waiting, failed("DAT004")))) <= 80


def test_no_path_and_no_command_is_broken_over_two_lines() -> None:
    bad = failed("DAT003", f"the bytes of {FILE} are others").model_copy(
        update={"locations": (Location(file=FILE, line=7),), "fix": f"Fetch them again, if you can: run `{COMMAND}`."}
    )
    lines = shown(bad)
    assert f"  {FILE}:7" in lines
    assert any(COMMAND in line for line in lines)
    assert any(FILE in line for line in lines[3:5])


def test_titles_fit_the_line_of_a_terminal() -> None:
    assert {id: cls.title() for id, cls in load_interlocks().items() if len(cls.title()) > 60} == {}


def test_fields_and_columns_are_aligned_and_never_cut() -> None:
    assert format_fields({"lock": f"uv.lock {FILE}\nother.lock", "permit": FILE}).plain.splitlines() == [
        f"lock    uv.lock {FILE}",
        "        other.lock",
        f"permit  {FILE}",
    ]
    assert format_columns(("", "rows"), [("raw", "1,200"), (FILE, "")]).plain.splitlines() == [
        f"{'':{len(FILE)}}  rows",
        f"{'raw':{len(FILE)}}  1,200",
        FILE,
    ]
