"""The datasheet says what the data hold and what nobody knows; what data say cannot break the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace as replace_fields
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from beampermit.cli.main import app
from beampermit.datasets.profile import ColumnRoles
from beampermit.documents.datasheet import datasheet
from beampermit.documents.gathering import gather_report as report
from beampermit.errors import Failed
from beampermit.interlocks.data import DAT004
from beampermit.project import Project
from support.dvc_repositories import remake, replace, without_data
from support.planted_results import EXPECTED, judged, verdict

pytestmark = pytest.mark.slow

Alter = Callable[..., None]
HOSTILE = "<script>alert(1)</script> | @octocat `a` [x](https://evil.example)"


def run(project: Project, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["data", *arguments, "--project", str(project.root)])


def test_it_tells_rows_labels_ranges_gaps_lineage_and_limits(dvc_project: Project) -> None:
    made = datasheet(dvc_project).markdown()
    for line in (
        "| `train` | 8 | 4 | 1 | 2026-01-01T00:00:00Z | 2026-01-01T03:00:00Z |",
        "| `false` | 4 (50.0%) | 4 (50.0%) | 4 (50.0%) |",
        "24 rows are labelled, by rule (23), Ada (1).",
        "Confidence: minimum 0.9, mean 0.9.",
        "People overruled the rules on 1 row.",
        "| `turns` | `train` | mm | -1 |",
        "| `train` | 1 h | 1 h | 0 |",
        "| parent | `data/raw.parquet` |",
        "| code | `make.py` |",
        'Parameters: `{"rows": 8}`',
        "- No signal comes from a machine.",
    ):
        assert line in made


def test_a_target_that_is_a_quantity_has_a_histogram_and_its_unit_and_each_output_has_its_target(
    dvc_project: Project, alter: Alter, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = "['stuck | pipe', 'spikes', NULL, '<b>']"
    for split in ("train", "validation", "test"):
        alter(split, f"*, turns[1] * 0.3 + 0.01 AS charge, {names}[row_number() OVER () % 4 + 1] AS fault")
    shape = ColumnRoles.of(dvc_project.contract)
    shape = replace_fields(shape, targets=(*shape.targets, "charge", "fault"), units={**shape.units, "charge": "nC"})
    monkeypatch.setattr(ColumnRoles, "of", lambda _: shape)
    sheet = datasheet(dvc_project)
    made = sheet.markdown()
    assert "| `false` | 4 (50.0%) | 4 (50.0%) | 4 (50.0%) |" in made
    assert "| `spikes` | 2 (25.0%) | 2 (25.0%) | 2 (25.0%) |" in made
    assert "| `null` | 2 (25.0%) |" in made
    targets = made[made.index("## Targets") : made.index("## Signals")]
    assert re.search(r"\| `charge` \| `train` \| nC \| [\d.-]+ \|.* [▁-█]+ \|", targets)
    assert "`charge`" not in made[made.index("## Signals") :]
    assert "<b>" not in sheet.html()
    assert sheet.html().count("<img ") == 4, "faulty, fault, charge, turns"


def test_of_a_text_with_many_values_the_rest_is_counted(dvc_project: Project, alter: Alter) -> None:
    replace(dvc_project.root / "contract.yaml", "target: faulty", "target: kind")
    many = "SELECT * EXCLUDE faulty, 'k' || (row_number() OVER ()) AS kind FROM range(10), "
    alter("train", "*", f"WHERE false UNION ALL BY NAME ({many} read_parquet('{{file}}'))")
    made = datasheet(dvc_project).markdown()
    assert "| other values | 40 (50.0%) |" in made
    assert len(re.findall(r"\| `k\d+` ", made)) == 40


def test_the_page_has_its_drawings_in_itself(dvc_project: Project) -> None:
    made = datasheet(dvc_project).html()
    assert made.count("<img ") == made.count('src="data:image/svg+xml;base64,') == 2
    assert not re.findall(r'(?:src|href)="http', made)


def test_what_people_and_data_say_is_text(dvc_project: Project, alter: Alter) -> None:
    replace(dvc_project.root / "contract.yaml", "Simulated betatron motion.", json.dumps(HOSTILE))
    replace(dvc_project.root / "contract.yaml", "target: faulty", "target: plane")
    alter("train", f"* REPLACE ('{HOSTILE}' AS plane)")
    sheet = datasheet(dvc_project)
    assert "<script>" not in sheet.markdown()
    assert "<script>" not in sheet.html()
    assert "https://evil" not in re.sub(r"`[^`]*`|<code>.*?</code>", "", sheet.markdown())


def test_what_nobody_wrote_is_said(dvc_project: Project) -> None:
    (dvc_project.root / "data/dataset.json").write_text("{}")
    file = dvc_project.root / "contract.yaml"
    text = file.read_text()
    file.write_text(text[: text.index("  about:")] + text[text.index("  review:") :])
    made = datasheet(dvc_project).markdown()
    assert "does not say what these data were collected for" in made
    assert "There is no lineage record" in made
    assert "with uncommitted changes" in made


@pytest.mark.parametrize("columns", ["* EXCLUDE (acquired_at, faulty, turns)", "* REPLACE (NULL::FLOAT[] AS turns)"])
def test_columns_that_are_not_there_are_left_out(dvc_project: Project, alter: Alter, columns: str) -> None:
    alter("train", columns)
    sheet = datasheet(dvc_project)
    assert "| `train` | 8 |" in sheet.markdown()
    assert sheet.html()


def test_data_that_are_not_here_are_asked_for(dvc_project: Project) -> None:
    without_data(dvc_project)
    with pytest.raises(Failed, match=r"data/dataset/train.parquet: this file is missing") as caught:
        datasheet(dvc_project)
    assert caught.value.hint == "beampermit data pull"


def test_card_writes_both_files_and_says_which(dvc_project: Project, tmp_path: Path) -> None:
    found = run(dvc_project, "card", "--out", str(tmp_path / "SHEET.md"), "--html", "--json")
    assert found.exit_code == 0, found.output
    body = json.loads(found.stdout)
    assert [Path(path).name for path in body["files"]] == ["SHEET.md", "SHEET.html"]
    assert [split["rows"] for split in body["splits"]] == [8, 8, 8]
    assert (tmp_path / "SHEET.html").read_text().startswith("<!doctype html>".upper()) or "<html" in (
        tmp_path / "SHEET.html"
    ).read_text()


def test_diff_speaks_in_words_markdown_and_json(dvc_project: Project, alter: Alter) -> None:
    alter("train", "* REPLACE (list_transform(turns, lambda x: x + 5) AS turns)", "LIMIT 7")
    told = run(dvc_project, "diff", "HEAD")
    assert "rows: 8 → 7" in told.stdout
    assert "test: the same" in told.stdout
    made = run(dvc_project, "diff", "HEAD", ".", "--markdown").stdout
    assert "**`train`** rows: 8 → 7" in made
    assert re.search(r"\| `turns` \| [▁-█]+ \| [▁-█]+ \|", made)
    body = json.loads(run(dvc_project, "diff", "HEAD", "--json").stdout)
    assert (body["before"], body["after"], body["splits"][0]["after"]["rows"]) == ("HEAD", "the work tree", 7)
    same = run(dvc_project, "diff", "HEAD", "main", "--markdown").stdout
    assert "Nothing changed: 3 splits are the same." in same


def test_labels_are_counted_and_a_fault_among_them_ends_in_1(dvc_project: Project, alter: Alter) -> None:
    found = run(dvc_project, "labels", "--json")
    assert found.exit_code == 0, found.output
    body = json.loads(found.stdout)
    assert body["coverage"]["raw"] == {"rows": 24, "labelled": 24, "different": 0}
    assert body["people"] == {"rule": 23, "Ada": 1}
    alter("../labels", "*", "WHERE acquisition <> 'a02-2'")
    found = run(dvc_project, "labels")
    assert found.exit_code == 1
    assert "validation.parquet: 2 of 8 rows have no label" in " ".join(found.stdout.split())


def test_the_report_shows_what_changed_in_the_splits(dvc_project: Project, alter: Alter, folder: Path) -> None:
    alter("train", "* REPLACE (list_transform(turns, lambda x: x + 5) AS turns)")
    remake(dvc_project.root)
    dvc_project.git("commit", "--quiet", "--all", "--message", "Moved")
    project = Project(dvc_project.root, "main")
    finding = DAT004().check(project, project.contract, project.base_contract)
    told = verdict("DAT004", evidence=finding.evidence)
    judged(project, folder / "data.json", told)
    found = report(project, folder, EXPECTED)
    made = found.markdown()
    data = made[made.index("## Data and model files changed") :]
    assert "**`train`** 8 rows changed (turns in 8); turns: mean 0.75 → 5.75 mm" in data
    assert re.search(r"\| `turns` \| [▁-█]+ \| [▁-█]+ \|", data)
    assert list(found.summary()["data_changed"]) == ["train"]
    assert "turns: mean 0.75 → 5.75 mm" in found.html()


HOSTILE_EVIDENCE: list[object] = [
    *(None, 3, "x", [3]),
    [{"split": 3, "words": "no", "histograms": [1]}],
    [{"words": [HOSTILE], "histograms": {HOSTILE: [HOSTILE, "x"]}}],
]


@pytest.mark.parametrize("content", HOSTILE_EVIDENCE)
def test_evidence_of_any_shape_is_shown_as_text_or_not_at_all(
    content: object, dvc_project: Project, folder: Path
) -> None:
    told = verdict("DAT004", evidence={"changes": content})
    (dvc_project.root / "dvc.lock").write_text("stages: {}\n")
    dvc_project.git("commit", "--quiet", "--all", "--message", "No data")
    project = Project(dvc_project.root, "main")
    judged(project, folder / "data.json", told)
    assert "<script>" not in report(project, folder, EXPECTED).html()
