"""`beampermit documents`: all of them, or none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.cli.report import Kind
from beampermit.documents.bundle import KINDS, bundle
from beampermit.errors import BadInput, Failed
from beampermit.project import Project
from support.planted_results import write

WITHOUT_DATA = ["--without", "datasheet", "--without", "sbom", "--without", "alarms"]


def test_every_kind_can_be_left_out_by_its_name() -> None:
    assert [kind.value for kind in Kind] == list(KINDS)


@pytest.mark.slow
def test_all_documents_are_written_and_the_bill_of_materials_is_what_a_permit_binds(
    trained_project: Project, tmp_path: Path
) -> None:
    words = ["--project", str(trained_project.root), "--json"]
    found = CliRunner().invoke(app, ["documents", "--out", str(tmp_path / "documents"), *words])
    assert found.exit_code == 0, found.output
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    pages = {f"documents/{name}.{kind}" for name in ("MODEL_CARD", "RUNBOOK", "DATASHEET") for kind in ("md", "html")}
    alarms = {f"documents/{name}" for name in ("phoebus.xml", "jaws-actions", "jaws-instances")}
    assert there == pages | alarms | {"documents/sbom.cdx.json"}
    assert set(json.loads(found.stdout)["files"]) == {str(tmp_path / name) for name in there}
    alone = tmp_path / "alone.json"
    made = CliRunner().invoke(app, ["env", "sbom", "--project", str(trained_project.root), "--out", str(alone)])
    assert made.exit_code == 0, made.output
    assert alone.read_bytes() == (tmp_path / "documents/sbom.cdx.json").read_bytes()
    text = (tmp_path / "documents/MODEL_CARD.md").read_text()
    assert "model.references" in text
    assert text.count("**Not stated.**") == 2, "the template says all but papers and licence"


@pytest.mark.slow
def test_without_data_nothing_is_written_and_the_next_command_is_named(results: Project, tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"data/dataset/train\.parquet: this file is missing") as caught:
        bundle(results, without=["sbom", "alarms"])
    assert caught.value.hint.startswith("neither dvc.lock nor a .dvc file has its hash"), "this is not a DVC repository"
    out = tmp_path / "documents"
    found = CliRunner().invoke(app, ["documents", "--project", str(results.root), "--out", str(out), *WITHOUT_DATA])
    assert found.exit_code == 0, found.output
    assert sorted(path.name for path in out.iterdir()) == [
        "MODEL_CARD.html",
        "MODEL_CARD.md",
        "RUNBOOK.html",
        "RUNBOOK.md",
    ]


@pytest.mark.slow
def test_one_document_that_cannot_be_made_stops_all(results: Project, tmp_path: Path) -> None:
    write(results, "metrics/metrics.json", '{"auc": NaN}')
    out = tmp_path / "documents"
    found = CliRunner().invoke(app, ["documents", "--project", str(results.root), "--out", str(out), *WITHOUT_DATA])
    assert isinstance(found.exception, BadInput)
    assert not out.exists()
