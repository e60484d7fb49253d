"""Metrics that are not finite numbers are refused, with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.contract import Metric
from beampermit.errors import BadInput
from beampermit.models.metrics import LARGEST_FILE, read_metrics, read_project_metrics


def test_finite_numbers_are_read(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    file.write_text('{"auc": 0.98, "rows": 600, "loss": -1e-3}')
    assert read_metrics(file) == {"auc": 0.98, "rows": 600.0, "loss": -0.001}


DEFECTS = {
    "NaN": ('{\n  "rows": 3,\n  "auc": NaN\n}', 3, "auc is NaN, not a finite number"),
    "infinite": ('{\n  "auc": Infinity\n}', 2, "auc is infinite"),
    "infinite downwards": ('{"auc": -Infinity}', 1, "auc is infinite"),
    "too large to be a float": ('{"auc": 1e999}', 1, "auc is infinite"),
    "MLflow's infinity": ('{"auc": 1.7976931348623157e308}', 1, "auc is infinite"),
    "an integer of ten thousand digits": ('{"auc": ' + "9" * 10_000 + "}", 1, "auc is infinite"),
    "text": ('{"auc": "0.99"}', 1, 'auc is the text "0.99", not a number'),
    "null": ('{\n"auc": null}', 2, "auc is null, not a number"),
    "true": ('{"auc": true}', 1, "auc is true, not a number"),
    "nested": ('{"test":\n {"auc": 0.99}}', 1, "test is an object; metrics must be flat"),
    "list": ('{"auc": [0.99]}', 1, "auc is a list; metrics must be flat"),
    "given twice": ('{"auc": 0.1,\n"auc": 0.99}', 2, "'auc' is given twice"),
    "no object": ("[0.99]", 1, "one flat object"),
    "empty": ("", None, "the file is empty"),
    "blank": (" \n", None, "the file is empty"),
    "cut off": ('{\n"auc": 0.99', 2, "not JSON"),
    "nested without end": ("[" * 200_000, None, "nested too deeply"),
    "huge": ('{"auc": 0.99}' + " " * LARGEST_FILE, None, "larger than 1048576 bytes"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_defect_is_reported_with_its_line(tmp_path: Path, defect: str) -> None:
    text, line, message = DEFECTS[defect]
    file = tmp_path / "metrics.json"
    file.write_text(text)
    with pytest.raises(BadInput) as caught:
        read_metrics(file, "metrics/metrics.json")
    assert message in caught.value.message
    assert caught.value.line == line
    assert caught.value.file == "metrics/metrics.json"
    assert "\n" not in str(caught.value)


def test_missing_file_has_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the file is missing") as caught:
        read_metrics(tmp_path / "metrics.json")
    assert caught.value.hint == "dvc repro"


def test_binary_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    file.write_bytes(b'{"auc\xff": 1}')
    with pytest.raises(BadInput, match="not UTF-8 at byte 5"):
        read_metrics(file)


def test_only_where_the_checker_computes_every_metric_may_there_be_none(tmp_path: Path) -> None:
    common = {"description": "Explained", "gate": 0.9}
    measured = Metric.model_validate({**common, "name": "r2", "measure": "r2", "output": "x"})
    own = Metric.model_validate({**common, "name": "auc", "better": "higher"})
    file = tmp_path / "metrics.json"
    assert read_project_metrics(file, file, [measured]) == {}
    file.write_text("{}")
    assert read_project_metrics(file, file, [measured]) == {}
    with pytest.raises(BadInput, match="there are no metrics in this file"):
        read_project_metrics(file, file, [measured, own])
