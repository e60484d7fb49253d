"""The drafted contract is one that loads, with what the table says of itself and TODO for the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from beampermit.contract import Contract
from beampermit.contract.load import LARGEST
from beampermit.generation.answers import complete
from beampermit.generation.drafting import contract_text, widened
from beampermit.generation.from_table.draft import Drafted
from support.csv_tables import ROWS, numbers, write_csv

Drafts = Callable[..., Drafted]
Contracts = Callable[..., Contract]


@pytest.mark.slow
def test_inputs_have_the_units_ranges_steps_and_pvs_of_their_columns(contract_of: Contracts, tmp_path: Path) -> None:
    steps = [row / 10 for row in range(ROWS)]
    header = ["Beam Current [mA]", "BPM:01:X", "valve", "y"]
    file = write_csv(tmp_path / "x.csv", header, steps, numbers(), ["true", "false"] * 20, numbers(1))
    current, position, valve = contract_of(file, "y").signals.inputs
    assert (current.name, current.unit, current.range, current.resolution) == ("beam-current", "mA", (0, 4.3), 0.1)
    assert (current.source, current.pv) == ("derived", None)
    assert (position.name, position.source, position.pv, position.resolution) == ("bpm-01-x", "pv", "BPM:01:X", None)
    assert (valve.range, valve.unit) == ((0, 1), "1")


@pytest.mark.slow
def test_the_second_owner_is_the_deputy(contract_of: Contracts, tmp_path: Path) -> None:
    contract = contract_of(write_csv(tmp_path / "x.csv", ["x", "y"], numbers(1), numbers()), "y")
    assert [owner.role for owner in contract.model.owners] == ["maintainer", "deputy"]


@pytest.mark.slow
def test_a_quantity_is_measured_by_r2_and_rmse_and_gated_by_the_constant_answer(
    contract_of: Contracts, tmp_path: Path
) -> None:
    values = numbers()
    contract = contract_of(write_csv(tmp_path / "x.csv", ["x", "β (mm)"], numbers(1), values), "β (mm)")
    (output,) = contract.signals.outputs
    assert (output.name, output.unit, output.target, output.pv) == ("beta", "mm", "beta", "TODO:BETA")
    r2, rmse = contract.metrics
    assert (r2.measure, r2.gate, rmse.measure) == ("r2", 0, "rmse")
    assert rmse.gate <= np.std(values) < rmse.gate * 1.01, "an answer that is always the mean misses the gate"


@pytest.mark.slow
def test_two_texts_are_one_probability_of_the_rarer_one(
    drafted: Drafts, contract_of: Contracts, tmp_path: Path
) -> None:
    file = write_csv(
        tmp_path / "x.csv", ["x", "state"], numbers(), ["bad" if row % 4 == 0 else "ok" for row in range(ROWS)]
    )
    contract = contract_of(file, "state")
    (output,) = contract.signals.outputs
    assert (output.name, output.range, output.target) == ("state-bad", (0, 1), "state_is_bad")
    auc, brier = contract.metrics
    assert auc.measure == "roc_auc"
    assert 0.5 < auc.gate < 1, "a guess does not pass"
    assert (brier.measure, brier.gate) == ("brier", 0.187), "always the share of the class: 0.25 * 0.75, rounded down"
    assert contract.dataset.request.options["classes"] == {"state_is_bad": {"column": "state", "value": "bad"}}
    assert drafted(file, "state").classes == (("state-bad",),)


@pytest.mark.slow
def test_several_classes_and_several_outputs_have_metrics_of_their_own(
    drafted: Drafts, contract_of: Contracts, tmp_path: Path
) -> None:
    states = [("a", "b", "c")[row % 3] for row in range(ROWS)]
    file = write_csv(tmp_path / "x.csv", ["x", "state", "hit", "y"], numbers(), states, [0, 1] * 20, numbers(1))
    contract = contract_of(file, "state", "hit", "y")
    assert [output.name for output in contract.signals.outputs] == [
        "state-a",
        "state-b",
        "state-c",
        "hit-probability",
        "y",
    ]
    assert len({metric.name for metric in contract.metrics}) == 10
    assert drafted(file, "state", "hit", "y").classes == (("state-a", "state-b", "state-c"), ("hit-probability",))


def test_text_inputs_are_places_in_their_values(drafted: Drafts, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "x.csv", ["mode", "y"], ["on", "off"] * 20, numbers())
    found = drafted(file, "y")
    assert found.draft.options["values"] == {"mode": ["off", "on"]}
    assert found.categories == {"mode": 2}
    assert found.draft.inputs[0].description == "mode: 0 off, 1 on"


ODD = ["", "x", "x", "class", "null", "yes", "on", "origin", "row", "電流", "a: b, {c} #d", '"', "Ä [µm]", "TODO", "y"]


@pytest.mark.slow
def test_columns_of_any_name_give_a_contract_that_loads_and_a_written_list_of_changed_names(
    contract_of: Contracts, tmp_path: Path
) -> None:
    contract = contract_of(write_csv(tmp_path / "x.csv", ODD, *(numbers(seed) for seed in range(len(ODD)))), "y")
    names = [signal.name for signal in contract.signals.inputs]
    assert len(set(names)) == len(ODD) - 1
    assert {"origin", "row"}.isdisjoint(names)
    renamed = contract.dataset.request.options["columns"]
    assert (renamed["a"], renamed["x-2"], renamed["column-1"]) == ("Ä [µm]", "x (2)", "column 1")
    assert {"class", "null", "yes", "on"} <= set(names)


@pytest.mark.slow
@pytest.mark.parametrize("output", ["true", "null", "on"])
def test_an_output_may_have_a_name_that_yaml_takes_for_something_else(
    output: str, contract_of: Contracts, tmp_path: Path
) -> None:
    contract = contract_of(write_csv(tmp_path / "x.csv", ["x", output], numbers(1), numbers(2)), output)
    assert {metric.output for metric in contract.metrics} == {output}


@pytest.mark.slow
def test_the_truth_of_a_class_is_no_input_and_no_group(contract_of: Contracts, tmp_path: Path) -> None:
    header = ["fault", "fault_is_1", "Fault_is_0", "Shift", "SHIFT [mm]"]
    columns = ([*[0, 1] * 20], numbers(1), numbers(2), [*range(4)] * 10, numbers(3))
    contract = contract_of(write_csv(tmp_path / "x.csv", header, *columns), "fault", groups=("Shift",))
    assert contract.targets == {"fault_is_1"}
    assert [signal.name for signal in contract.signals.inputs] == ["fault_is_1-2", "fault_is_0-2", "shift-2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("named", "by", "time", "remark"),
    [
        ({}, ("row",), None, "at random, by params.yaml's split.seed"),
        ({"groups": ("g",)}, ("g",), None, "Rows with one value of 'g' are all in one split"),
        ({"groups": ("g",), "time": "t"}, ("g",), "t", "are all in one split, and the splits follow each other in 't'"),
        ({"time": "t"}, ("t",), "t", "The splits follow each other in 't'"),
    ],
)
def test_the_split_follows_groups_and_time_and_says_how(
    named: dict[str, Any], by: tuple[str, ...], time: str | None, remark: str, drafted: Drafts, tmp_path: Path
) -> None:
    groups, times = [row % 5 for row in range(ROWS)], [f"2026-01-01T00:00:{row:02}Z" for row in range(ROWS)]
    file = write_csv(tmp_path / "x.csv", ["x", "g", "t", "y"], numbers(), groups, times, numbers(1))
    found = drafted(file, "y", **named).draft
    assert (found.key, found.by, found.time) == (("row",), by, time)
    assert remark in found.split_remarks[0]
    assert "DAT005 looks for equal rows" in found.split_remarks[0]


@pytest.mark.parametrize(
    ("ends", "span"),
    [
        ((0.0, 1.0), (0, 1.1)),
        ((-1.0, 1.0), (-1.2, 1.2)),
        ((-8.0, -2.0), (-8.6, -1.4)),
        ((1e-9, 3e-9), (8e-10, 3.2e-9)),
        ((5.0, 5.0), (4.5, 5.5)),
        ((-1.7e308, 1.7e308), (-1.7e308, 1.7e308)),
        ((100000.0, 100001.0), (99999.9, 100001.1)),
    ],
)
def test_a_range_is_a_tenth_wider_in_round_numbers_and_keeps_its_sign(
    ends: tuple[float, float], span: tuple[float, float]
) -> None:
    assert widened(*ends) == pytest.approx(span, rel=1e-9)


@pytest.mark.slow
def test_three_thousand_columns_make_a_contract(drafted: Drafts, contract_of: Contracts, tmp_path: Path) -> None:
    def wide(count: int) -> Path:
        file = tmp_path / f"{count}.parquet"
        columns = ", ".join(f"(i * {place + 1}) % 101 / 10.0 AS c{place}" for place in range(count - 1))
        duckdb.sql(f"COPY (SELECT random() AS y, {columns} FROM range(50) AS r(i)) TO '{file}' (FORMAT parquet)")
        return file

    found = drafted(wide(3000), "y").draft
    assert len(found.inputs) + len(found.options.get("columns", {})) >= 950
    assert len(contract_text(found, complete({}))) < LARGEST
    contract = contract_of(wide(100), "y")  # to read YAML is slow
    assert len(contract.signals.inputs) + len(contract.dataset.request.options.get("columns", {})) >= 95
