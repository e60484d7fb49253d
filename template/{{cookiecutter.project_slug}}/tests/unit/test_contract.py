from __future__ import annotations

import json
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.pipeline import contract

ROOT = Path(__file__).parents[2]


def test_a_record_is_the_same_where_a_default_is_left_out_and_where_people_write(tmp_path: Path) -> None:
    content = contract.read_yaml(ROOT / "contract.yaml")
    before = {stage: contract.of(part, ROOT / "contract.yaml") for stage, part in contract.RECORDED.items()}
    content["operations"]["on_call"] = "another telephone"
    content["monitoring"].pop("limits", None)
    content["evaluation"].pop("metrics", None)
    content["reproducibility"].pop("record", None)
    (tmp_path / "contract.yaml").write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    assert {stage: contract.of(part, tmp_path / "contract.yaml") for stage, part in contract.RECORDED.items()} == before


def test_yaml_is_read_as_beampermit_reads_it(tmp_path: Path) -> None:
    """Others read `on` as true, `1e-6` as a text, a date as an object that is not JSON, and no `?` within braces."""
    file = tmp_path / "contract.yaml"
    file.write_text(
        "{a: on, b: 1e-6, c: 2027-01-31, d: 7, e: true, f: 2027-01-31T08:00:00Z, g: null, h: -1.5, i: 1_000, j: 0x1F,\n"
        "k: 0o17, l: 1_000.5, m: http://logbook?q=a, n: [on? wait, 'x']}"
    )
    assert contract.read_yaml(file) == {
        **{"a": "on", "b": 1e-6, "c": "2027-01-31", "d": 7},
        **{"e": True, "f": "2027-01-31T08:00:00Z", "g": None, "h": -1.5},
        **{"i": 1000, "j": 31, "k": 15, "l": 1000.5, "m": "http://logbook?q=a", "n": ["on? wait", "x"]},
    }


@pytest.mark.parametrize("split", ["{train: 0.5, validation: 0.5}", "{train: 0.5, validation: 0}", "{train: all}"])
def test_shares_that_leave_nothing_for_a_split_are_one_line(split: str, tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(f"split: {split}")
    with pytest.raises(SystemExit, match=r"params.yaml: split: .*"):
        contract.params("split", contract.Shares, file)
