"""The report says what reviewers need, first things first, whatever is missing, broken or hostile."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.documents import rendering
from beampermit.documents.gathering import gather_report as report
from beampermit.documents.report import Report
from beampermit.errors import BadInput
from beampermit.project import Project
from beampermit.verdicts.evidence import (
    AlarmRate,
    Backtested,
    Champion,
    Comparison,
    Incomparable,
    LimitChange,
    LimitChanges,
    LimitChecks,
    RowChecks,
    SplitRows,
)
from beampermit.verdicts.verdict import Outcome
from support.planted_results import EXPECTED, METRICS, PLOTS, commit, failed, judged, verdict, write

pytestmark = pytest.mark.slow

CHAMPION = Champion(version=4, digest="sha256:0", metrics={"auc": 0.99})
HOSTILE = "@octocat #1 <script>x</script> | `a` ```\n\n# title\n</details>\n[x](https://evil.example) \u202e\x1b[31m"


def all_passed(project: Project, folder: Path) -> None:
    judged(project, folder / "all.json", *(verdict(id) for id in EXPECTED))


def section(markdown: str, title: str) -> str:
    """The text under a heading, or under a folded part."""
    parts = re.split(r"^(?:## |<details>\n<summary>)", markdown, flags=re.MULTILINE)
    return next((part for part in parts if part.startswith(title)), "")


def test_all_passed_is_said_first_and_folded(results: Project, folder: Path) -> None:
    all_passed(results, folder)
    found = report(results, folder, EXPECTED)
    made = found.markdown()
    assert found.judged.all_passed
    assert made.startswith("# ✅ bpm-faults: All 3 interlocks passed\n")
    assert "## Not passed" not in made
    assert made.index("<details>") < made.index("DOC001") < made.index("</details>")


def test_what_failed_comes_before_everything_with_its_fix_and_place(branch: Project, folder: Path) -> None:
    judged(branch, folder / "data.json", failed("DAT004"), verdict("DOC001"))
    made = report(branch, folder, EXPECTED).markdown()
    assert made.startswith("# ❌ bpm-faults: 1 failed: DAT004; 1 without a verdict: PRF002\n")
    assert "| ❌ failed | **DAT004** Rows keep the contract | row 3 is out of range |" in section(made, "Not passed")
    assert "No verdict on PRF002" in section(made, "Not passed")
    fix = section(made, "How to fix")
    assert "In `data/raw.parquet:3`." in fix
    assert "Run `dvc repro`.\n\nThen commit." in fix
    order = [
        "Not passed",
        "How to fix",
        "Passed interlocks",
        "Gates changed",
        "Metrics",
        "Data and model",
        "Parameters",
    ]
    assert sorted(order, key=made.index) == order


def test_changes_are_shown_against_the_base_branch(branch: Project, folder: Path) -> None:
    all_passed(branch, folder)
    made = report(branch, folder, EXPECTED).markdown()
    assert "> This pull request loosens the contract: `metrics.auc.gate`." in made
    assert (
        "must approve this gate:** `metrics.auc.gate` from `0.95` to `0.9`. Until it is merged, `0.95` applies." in made
    )
    assert "| ⚠️ looser | `metrics.auc.gate` | `0.95` | `0.9` |" in section(made, "Gates changed")
    metrics = section(made, "Metrics")
    assert "| ✅ | `auc` | ≥ 0.95 | 0.9845 | 0.9712 | +0.0133 better |" in metrics, "the base branch's gate judges"
    assert "| ✅ | `false_alarm_rate` | ≤ 0.05 | 0.035 | 0.031 | +0.004 worse |" in metrics
    assert "| `data/raw.parquet` | changed | 1.23 MB, aaaa | 1.23 MB, cccc |" in section(made, "Data and model")
    assert "data/dataset" not in section(made, "Data and model"), "what did not change is not shown"
    assert "| `params.yaml` | `train.epochs` | `20` | `40` |" in section(made, "Parameters")
    assert "learning_rate" not in section(made, "Parameters")
    assert "changes files that decide what runs or where data comes from: `.github/workflows/pull-request.yml`" in made
    assert "Ada Physicist" in section(made, "Changed texts of the contract")
    assert "| `stuck` | 0.91 | 0.91 |" in section(made, "Recall by kind")
    assert "| `brier` | 0.04 |" in section(made, "Other metrics")


def test_the_champion_judged_again_stands_beside(branch: Project, folder: Path) -> None:
    rows = RowChecks(splits=(SplitRows(split="train", path="train.parquet", rows=1200),))
    comparison = verdict("PRF002", evidence=Comparison(champion=CHAMPION, challenger={}))
    judged(branch, folder / "a.json", comparison, verdict("DAT004", evidence=rows))
    made = report(branch, folder, EXPECTED).markdown()
    assert "| champion 4 | change |" in section(made, "Metrics")
    assert "| 0.99 | -0.0055 worse |" in section(made, "Metrics")
    assert re.search(r"\| \W \|  \|\n", section(made, "Metrics")), "the champion has no false_alarm_rate"
    assert "Rows: train 1,200." in section(made, "Data and model")


LOOSER = LimitChange(key="MON001 current", before=0.25, after=0.42, calibrated=True, looser=True)
GONE = LimitChange(key="MON004 score", before=0.3, after=None, calibrated=False, looser=False)
BACKTEST = Backtested(
    since="2026-10-01T00:00:00Z",
    until="2026-11-01T00:00:00Z",
    windows=4314,
    weeks=4.28,
    before=AlarmRate(per_week=1.4, low=0.66, high=2.7),
    after=AlarmRate(per_week=0.0, low=0.0, high=0.7),
)


@pytest.fixture
def monitored(branch: Project, folder: Path) -> Callable[..., Report]:
    """A report whose OPS001 says that these limits changed."""

    def made(*rows: LimitChange, without: Any = "", **more: Any) -> Report:
        found = LimitChanges(rows=rows, more=0, backtest=None if without else BACKTEST, without=without)
        evidence = LimitChecks(changes=found.model_copy(update=more))
        judged(branch, folder / "a.json", verdict("OPS001", evidence=evidence))
        return report(branch, folder, {"OPS001": "Limits"})

    return made


def test_changed_limits_are_shown_with_what_the_author_counted(monitored: Callable[..., Report]) -> None:
    found = monitored(LOOSER, GONE, more=7)
    said = section(found.markdown(), "Limits of monitoring changed")
    assert "> This pull request loosens limits of monitoring: `MON001 current`." in found.markdown()
    assert "| ⚠️ looser | `MON001 current` | 0.25 | 0.42 | +68 % | recorded data |" in said
    assert "|  | `MON004 score` | 0.3 | removed |  |  |" in said
    assert "And 7 more, which changed less." in said
    assert (
        "By the author's calibration, not computed here: as `beampermit backtest` on the author's log said, of" in said
    )
    assert " 2026-10-01T00:00:00Z to 2026-11-01T00:00:00Z" in said
    assert "(4,314 windows, 4.3 weeks):" in said
    assert "| of the base branch | 1.4 | 0.66 to 2.7 |" in said
    assert "| of this pull request | 0 | 0 to 0.7 |" in said
    again = "beampermit backtest LOG --no-shifts --from 2026-10-01T00:00:00Z --to 2026-11-01T00:00:00Z"
    assert f"Run it again, on each branch, with whose limits it then counts: `{again}`" in said
    assert found.summary()["limits_changed"] == ["MON001 current", "MON004 score"]


def test_a_backtest_that_began_with_other_limits_says_nothing_of_the_base(monitored: Callable[..., Report]) -> None:
    made = monitored(LOOSER, backtest=BACKTEST.model_copy(update={"before": None})).markdown()
    assert "| of the base branch | not known | the backtest began with other limits |" in made
    assert "1.4" not in section(made, "Limits of monitoring changed")


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("reference", "No backtest: nobody said how many alarms the limits of another reference give."),
        ("edited", "No backtest: these limits are others than those that its alarms were counted with."),
        ("no record", "No backtest: nobody said how many alarms these limits give."),
    ],
)
def test_limits_without_a_backtest_say_so(monitored: Callable[..., Report], without: str, said: str) -> None:
    made = monitored(LOOSER, without=without).markdown()
    assert said in section(made, "Limits of monitoring changed")
    assert "a week |" not in made


def test_limits_that_stay_are_not_mentioned(branch: Project, folder: Path) -> None:
    judged(branch, folder / "a.json", verdict("OPS001", evidence=LimitChecks(limits=26)))
    assert "monitoring" not in report(branch, folder, {"OPS001": "Limits"}).markdown()


def test_the_first_line_says_that_a_branch_calls_the_champion_incomparable(branch: Project, folder: Path) -> None:
    all_passed(branch, folder)
    with (branch.root / "contract.yaml").open("a") as file:
        file.write('incomparable: {version: 4, reason: "Labels are by\\n\\n# a beam loss now."}\n')
    made = report(branch, folder, EXPECTED)
    said = "All 3 interlocks passed; calls the champion, version 4, incomparable: Labels are by # a beam loss now."
    assert made.headline == made.summary()["headline"] == said
    assert made.markdown().startswith("# ✅ bpm-faults: All 3 interlocks passed; calls the champion, version 4, incomp")
    assert "⚠️ looser | `incomparable.version` |" in section(made.markdown(), "Gates changed")


def test_the_first_line_says_what_is_not_compared_with_the_champion(branch: Project, folder: Path) -> None:
    why = Incomparable(version=4, reason="Labels are by a beam loss now. " * 20)
    for champion, said in ((None, "not compared"), (CHAMPION, "compared only in part")):
        comparison = verdict("PRF002", evidence=Comparison(champion=champion, challenger={}, incomparable=why))
        judged(branch, folder / "a.json", comparison, verdict("DAT004"), verdict("DOC001"))
        first = report(branch, folder, EXPECTED).markdown().splitlines()[0]
        begin = f"# ✅ bpm-faults: All 3 interlocks passed; {said} with the champion, version 4: Labels are by a beam"
        assert first.startswith(begin)
        assert len(first) < 400
        assert first.endswith("…")


def test_of_other_targets_the_metrics_of_the_branch_are_shown(branch: Project, folder: Path) -> None:
    contract = branch.root / "contract.yaml"
    contract.write_text(
        contract.read_text().replace("target: faulty", "target: lost").replace("name: auc", "name: roc")
    )
    why = Incomparable(version=4, reason="Labels are by a beam loss now.")
    comparison = verdict("PRF002", evidence=Comparison(champion=None, challenger={}, incomparable=why))
    judged(branch, folder / "a.json", comparison)
    metrics = section(report(branch, folder, EXPECTED).markdown(), "Metrics")
    assert "`roc`" in metrics
    assert "`auc`" not in metrics.partition("<details>")[0]


def test_a_first_pull_request_has_nothing_to_compare_with(results: Project, folder: Path) -> None:
    all_passed(results, folder)
    made = report(results, folder, EXPECTED).markdown()
    assert "There is no base branch to compare with." in section(made, "Metrics")
    assert "| ✅ | `auc` | ≥ 0.95 | 0.9712 |\n" in section(made, "Metrics")


def test_a_base_without_metrics_is_said(project: Project, git: Any, folder: Path) -> None:
    git("checkout", "--quiet", "-b", "first")
    write(project, "metrics/metrics.json", METRICS)
    commit(git, "First results")
    made = report(Project(project.root, "main"), folder, EXPECTED).markdown()
    assert "The base branch has no metrics yet." in section(made, "Metrics")


def test_what_is_put_off_until_the_release_is_told_and_is_no_fault(results: Project, folder: Path) -> None:
    later = verdict("REP002", Outcome.SKIPPED, "later", until="release")
    judged(results, folder / "verdicts-more/more.json", later, *map(verdict, EXPECTED))
    found = report(results, folder, {**EXPECTED, "REP002": "Seeds agree"})
    assert found.judged.headline == f"All {len(EXPECTED)} interlocks passed, REP002 put off until the release"
    assert found.markdown().startswith("# ✅")
    assert "**REP002**" in found.markdown()


def test_verdicts_of_several_jobs_are_merged_and_the_worse_word_counts(results: Project, folder: Path) -> None:
    judged(results, folder / "verdicts-data/data.json", verdict("DAT004"), verdict("DOC001"), host="one")
    judged(results, folder / "verdicts-more/more.json", failed("DAT004"), verdict("PRF002"), host="two")
    found = report(results, folder, EXPECTED)
    assert [one.id for one in found.judged.verdicts] == ["DAT004", "PRF002", "DOC001"]
    assert found.judged.headline == "1 failed: DAT004"
    assert "checked on one (Linux, Python 3.11.7); checked on two" in found.markdown()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "broken.json: not JSON"),
        ("", "broken.json: not JSON"),
        ("[]", "broken.json: not a verdict file"),
        ('{"verdicts": NaN}', "broken.json: NaN is not a JSON number"),
        ('{"a": 1, "a": 2}', "broken.json: key 'a' is given twice"),
        ("[" * 100_000, "broken.json: not JSON"),
    ],
)
def test_a_broken_file_is_shown_and_nothing_is_called_passed(
    results: Project, folder: Path, content: str, words: str
) -> None:
    all_passed(results, folder)
    (folder / "broken.json").write_text(content)
    found = report(results, folder, EXPECTED)
    assert not found.judged.all_passed
    assert found.judged.headline == "1 verdict file could not be read"
    assert f"> Verdict file not used: {words}" in found.markdown()


def test_verdicts_of_another_commit_are_of_no_use(results: Project, folder: Path) -> None:
    judged(results, folder / "old.json", *(verdict(id) for id in EXPECTED), commit="a" * 40)
    found = report(results, folder, EXPECTED)
    assert "old.json: its verdicts are about commit aaaaaaaaaaaa, not" in found.judged.unread[0]
    assert list(found.judged.missing) == list(EXPECTED)


def test_a_link_among_the_verdicts_is_not_followed(results: Project, folder: Path, tmp_path: Path) -> None:
    judged(results, tmp_path / "elsewhere.json", *(verdict(id) for id in EXPECTED))
    folder.mkdir()
    (folder / "link.json").symlink_to(tmp_path / "elsewhere.json")
    assert report(results, folder, EXPECTED).judged.verdicts == ()


def test_a_missing_folder_is_shown(results: Project, tmp_path: Path) -> None:
    found = report(results, tmp_path / "nowhere", EXPECTED)
    assert not found.judged.all_passed
    assert "there is no such folder" in found.markdown()


def test_no_value_breaks_the_report(results: Project, folder: Path, git: Any) -> None:
    git("checkout", "--quiet", "-b", "hostile")
    (results.root / "params.yaml").write_text('"@octocat | <b>": "``` | <img src=x>"\n')
    write(results, "metrics/metrics.json", METRICS | {HOSTILE: 1.0, f"recall_{HOSTILE}": 2.0})
    workflow = results.root / ".github" / "a|`@octocat`<b>.yml"
    workflow.parent.mkdir()
    workflow.write_text("x")
    commit(git, "Hostile")
    bad = failed("DAT004", HOSTILE).model_copy(update={"title": HOSTILE, "fix": HOSTILE})
    judged(results, folder / "x.json", bad, verdict("DOC001", reason=HOSTILE), host=HOSTILE)
    made = report(Project(results.root, "main"), folder, EXPECTED).markdown()
    plain = MarkdownIt("gfm-like", {"html": True})
    plain.linkify.set({"fuzzy_link": False})  # type: ignore[union-attr]
    found = plain.parse(made)
    headings = [token for token in found if token.type == "heading_open"]
    assert [token.tag for token in headings].count("h1") == 1
    assert {token.content.strip() for token in found if token.type == "fence" and token.info != "mermaid"} == set()
    raw = [token.content for token in found if token.type == "html_block"]
    assert all(re.fullmatch(r"</?details>(\n<summary>[\w ()]+</summary>)?", content.strip()) for content in raw), raw
    assert made.count("<details>") == made.count("</details>")
    children = [child for token in found if token.type == "inline" for child in token.children or ()]
    assert {child.type for child in children} <= {
        *("text", "text_special", "code_inline", "softbreak", "strong_open", "strong_close", "html_inline"),
    }  # fmt: skip
    assert not any(re.search(r"@\w|#\d", child.content) for child in children if child.type == "text")


def test_the_page_is_whole_and_runs_nothing(branch: Project, folder: Path) -> None:
    judged(branch, folder / "x.json", failed("DAT004", HOSTILE))
    page = report(branch, folder, EXPECTED).html()
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert set(re.findall(r'(?:src|href)="([^":]+:)', page)) == {"data:"}
    assert page.count("<img ") == 3, "loss, ROC, confusion"
    assert page.count("<table") == page.count("</table>") > 3


def test_a_plot_of_no_kind_is_a_warning_in_comment_and_page(results: Project, folder: Path) -> None:
    write(results, "metrics/plots.json", {**PLOTS, "heat": {"kind": "<img src=x>"}})
    found = report(results, folder, EXPECTED)
    for made in (found.markdown(), found.html()):
        assert "is not drawn: " in made
        assert "the kinds are line, scatter, histogram, confusion, residuals" in made
        assert "<img src=x>" not in made
    assert found.problems == (), "the report is whole, and its command succeeds"


def test_a_comment_keeps_within_its_limit_by_whole_sections(branch: Project, folder: Path) -> None:
    many = [verdict(f"DAT{number:03}", reason="word " * 150) for number in range(1, 200)]
    judged(branch, folder / "x.json", *many, failed("DOC001"))
    found = report(branch, folder, EXPECTED)
    short, whole = found.markdown(), found.markdown(limit=10**9)
    assert rendering.length(whole) > rendering.LIMIT
    assert rendering.length(short) <= rendering.LIMIT
    assert "Left out, because a comment has a maximum length: passed interlocks." in short
    assert short.count("```") % 2 == 0
    assert short.count("<details>") == short.count("</details>")
    tiny = found.markdown(limit=3000)
    assert rendering.length(tiny) <= 3000
    assert tiny.startswith("# ❌ bpm-faults: 1 failed: DOC001"), "the headline and the gates never leave"
    assert "## Gates changed" in tiny


def run(project: Project, *words: str) -> Any:
    return CliRunner().invoke(app, ["report", "--project", str(project.root), *words])


def test_the_command_writes_both_and_says_the_headline(results: Project, folder: Path, tmp_path: Path) -> None:
    all_passed(results, folder)
    found = run(results, "--verdicts", str(folder), "--out", str(tmp_path / "report"), "--json")
    assert found.exit_code == 0
    assert '"missing": [' in found.stdout, "interlocks that nobody judged are named"
    assert (tmp_path / "report/report.md").read_text().startswith("# ❌ bpm-faults: ")
    assert (tmp_path / "report/report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("metrics/metrics.json", '{"auc": NaN}', "auc is NaN"),
        ("metrics/metrics.json", "", "empty"),
        ("metrics/plots.json", '{"roc": [[0, Infinity]]}', "Infinity is not a JSON number"),
        ("metrics/plots.json", '{"roc": "x"}', "roc is a list"),
        ("params.yaml", "a: [", "not YAML"),
        ("params.yaml", "a: &a [*a]", "the YAML alias *a stands inside of what it repeats"),
        ("dvc.lock", "a: [", "not YAML"),
        ("contract.yaml", "beampermit: 2", "this file has format 2, and this beampermit reads formats up to 1"),
    ],
)
def test_a_broken_file_of_the_project_is_one_line_and_exit_2_and_the_report_shows_it(
    results: Project, folder: Path, tmp_path: Path, file: str, content: str, words: str
) -> None:
    all_passed(results, folder)
    write(results, file, content)
    found = run(results, "--verdicts", str(folder), "--out", str(tmp_path / "report"))
    assert isinstance(found.exception, BadInput)
    assert found.exception.exit_code == 2
    assert words in str(found.exception)
    assert file in str(found.exception.file)
    made = (tmp_path / "report/report.md").read_text()
    assert "[!CAUTION]" in made
    assert file in made


def test_every_error_of_a_contract_is_in_the_report_by_its_name_in_the_repository(
    results: Project, folder: Path, tmp_path: Path
) -> None:
    write(results, "contract.yaml", "beampermit: 1\n")
    found = run(results, "--verdicts", str(folder), "--out", str(tmp_path / "report"))
    assert isinstance(found.exception, BadInput)
    made = (tmp_path / "report/report.md").read_text()
    for problem in found.exception.problems:
        assert f"`{problem.place}` {problem.message}\n" in made
    assert "`contract.yaml:1` model: this key is missing\n" in made


def test_missing_results_are_no_error(project: Project, folder: Path) -> None:
    found: Report = report(project, folder, EXPECTED)
    assert found.problems == ()
    assert "| ❌ | `auc` | ≥ 0.95 | missing |" in found.markdown()
