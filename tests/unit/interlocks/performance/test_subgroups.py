"""PRF003 on planted models, and on the trained example."""

from __future__ import annotations

import numpy as np
import pytest

from beampermit.errors import BadInput, Failed
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.interlock import Finding
from beampermit.interlocks.runner import check
from beampermit.project import Project
from beampermit.verdicts.evidence import Combinations, Subgroup
from beampermit.verdicts.verdict import Outcome
from support.dvc_repositories import replace
from support.planted_models import DEVICE, DEVICES, NONE, PLANE, ROWS, SHOT, Arena, write_table

pytestmark = pytest.mark.slow


def gate(arena: Arena, by: str, least: float = 0.9) -> None:
    replace(
        arena.project.root / "contract.yaml", "gate: 0.95, ", f"gate: 0.95, subgroups: [{{by: {by}, gate: {least}}}], "
    )


def test_a_contract_that_gates_no_subgroup_passes_and_says_so(arena: Arena) -> None:
    assert arena.grouped(NONE).reason == "the contract has no gates of subgroups"


def test_it_passes_where_every_group_does_and_the_worst_is_named(arena: Arena) -> None:
    gate(arena, "plane")
    finding = arena.grouped((PLANE == 1) & (SHOT == 0))
    assert finding.outcome is Outcome.PASSED
    assert finding.reason == "auc by plane 0.95 at worst, where it is Y (at least 0.9)"
    rows = finding.evidence.subgroups
    assert [(row.group, row.rows, row.value) for row in rows] == [(("X",), 200, 1.0), (("Y",), 200, 0.95)]
    assert [rows[0].low, rows[0].high] == [1, 1]
    assert 0.8 < rows[1].low < 0.95 < rows[1].high <= 1, "one shot of twenty is wrong: drawn twice, or not at all"


@pytest.mark.plants("PRF003")
def test_a_group_below_its_gate_fails_though_the_whole_passes(arena: Arena) -> None:
    gate(arena, "plane")
    finding = arena.grouped((PLANE == 1) & (SHOT < 4))
    assert finding.outcome is Outcome.FAILED
    assert finding.reason == "auc where plane is Y is 0.8 on 200 rows, the gate is at least 0.9"


def test_a_family_of_devices_comes_from_the_device_table(arena: Arena) -> None:
    gate(arena, "family")
    replace(arena.project.root / "contract.yaml", "dataset:\n", "  devices: devices.csv\ndataset:\n")
    rows = [f"BPM.{number},{'button' if number < 8 else 'stripline'}" for number in range(9)]
    (arena.project.root / "devices.csv").write_text("\n".join(["device,family", *rows]) + "\n")
    finding = arena.grouped(DEVICE == 8)
    assert finding.reason.startswith("auc where family is stripline is 0 on 40 rows")
    assert (("(not in the device table)",), 40) in [(row.group, row.rows) for row in finding.evidence.subgroups]
    (arena.project.root / "devices.csv").write_text("device,family\nBPM.1,a\nBPM.1,b\n")
    with pytest.raises(Failed, match=r"BPM\.1 has two values of 'family'"):
        arena.grouped(NONE)


def crossed(finding: Finding) -> dict[tuple[str, ...], Subgroup]:
    """Rows of the evidence that are of several columns, by their values."""
    return {row.group: row for row in finding.evidence.subgroups if len(row.by) > 1}


def with_families(arena: Arena, striplines: int = 2) -> None:
    """A device table whose last devices are striplines."""
    replace(arena.project.root / "contract.yaml", "dataset:\n", "  devices: devices.csv\ndataset:\n")
    kinds = ["button"] * (DEVICES - striplines) + ["stripline"] * striplines
    rows = [f"BPM.{number},{kind}" for number, kind in enumerate(kinds)]
    (arena.project.root / "devices.csv").write_text("\n".join(["device,family", *rows]) + "\n")


CORNER = (PLANE == 1) & (DEVICE >= 8)
"""Striplines in Y: a tenth of all rows, so that each plane and each family by itself still does well."""


def test_combinations_of_gated_columns_are_measured_though_no_gate_asks_for_them(arena: Arena) -> None:
    gate(arena, "plane, gate: 0.7}, {by: family", 0.4)
    with_families(arena)
    finding = arena.grouped(CORNER)
    assert finding.outcome is Outcome.PASSED
    found = crossed(finding)
    assert {group: (row.rows, row.value, row.gate) for group, row in found.items()} == {
        ("X", "button"): (160, 1.0, None),
        ("X", "stripline"): (40, 1.0, None),
        ("Y", "button"): (160, 1.0, None),
        ("Y", "stripline"): (40, 0.0, None),
    }
    assert {row.metric for row in found.values()} == {"auc"}


def test_a_combination_below_its_gate_fails_though_each_group_by_itself_passes(arena: Arena) -> None:
    gate(arena, "plane, gate: 0.7}, {by: [plane, family]", 0.5)
    with_families(arena)
    finding = arena.grouped(CORNER)
    assert finding.outcome is Outcome.FAILED
    words = "auc where plane is Y and family is stripline is 0 on 40 rows, the gate is at least 0.5"
    assert finding.reason == words
    assert arena.grouped(NONE).reason == (
        "auc by plane 1 at worst, where it is X (at least 0.7); "
        "auc by plane and family 1 at worst, where plane is X and family is button (at least 0.5)"
    )


def test_a_combination_of_too_few_rows_has_no_number_and_passes_no_gate(arena: Arena) -> None:
    file = arena.project.root / "data/dataset/test.parquet"
    few = np.where((DEVICE == 0) & (SHOT < 4), "rare", "usual")
    table = {
        "acquisition": SHOT,
        "device": np.char.add("BPM.", DEVICE.astype(str)),
        "plane": np.array(["X", "Y"])[PLANE],
    }
    file.unlink()
    write_table(file, **table, optics=few, faulty=arena.faulty)
    gate(arena, "[plane, optics]")
    finding = arena.grouped(NONE)
    assert finding.outcome is Outcome.FAILED
    assert finding.reason == (
        "auc where plane is X and optics is rare is measured on 4 rows, and 10 are needed; "
        "auc where plane is Y and optics is rare is measured on 4 rows, and 10 are needed"
    )
    rare = crossed(finding)["X", "rare"]
    assert (rare.few, rare.value, rare.low, rare.high) == (True, None, None, None)


def test_combinations_without_a_row_are_counted(arena: Arena) -> None:
    gate(arena, "plane, gate: 0.7}, {by: family, gate: 0.7}, {by: device", 0.1)
    with_families(arena)
    finding = arena.grouped(NONE)
    assert finding.evidence.empty == (Combinations(by=("family", "device"), count=10),)
    assert len(crossed(finding)) == 4 + 20 + 10
    assert finding.evidence.left_out == ()


def test_a_cross_of_many_values_is_left_out_and_named_or_refused_where_a_gate_asks_for_it(arena: Arena) -> None:
    gate(arena, "plane, gate: 0.7}, {by: device, gate: 0.1}, {by: acquisition", 0.1)
    finding = arena.grouped(NONE)
    assert finding.outcome is Outcome.PASSED
    assert finding.evidence.left_out == (Combinations(by=("device", "acquisition"), count=200),)
    assert len(crossed(finding)) == 20 + 40
    replace(arena.project.root / "contract.yaml", "{by: acquisition,", "{by: [device, acquisition],")
    with pytest.raises(
        Failed, match="the gate by device and acquisition has 200 combinations; the limit for all crosses is 100"
    ):
        arena.grouped(NONE)


def test_where_resamples_would_cost_too_much_there_are_numbers_without_intervals(arena: Arena) -> None:
    gate(arena, "plane")
    arena.monkeypatch.setattr("beampermit.interlocks.performance.subgroups.MOST_COUNTS", ROWS * 2 * 99)
    rows = arena.grouped(NONE).evidence.subgroups
    assert [(row.value, row.low, row.high) for row in rows] == [(1.0, None, None)] * 2


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("[]", "give one column, or a list of at most 3"),
        ("[a, b, c, d]", "give one column, or a list of at most 3"),
        ("[plane, plane]", "give column names, each once"),
        ("[plane, 7]", "give column names, each once"),
        ("[plane, family], gate: 0.9}, {by: [family, plane]", "two subgroup gates by the same column"),
    ],
)
def test_columns_that_cannot_cross_are_bad_input(arena: Arena, by: str, words: str) -> None:
    gate(arena, by)
    with pytest.raises(BadInput, match=words):
        _ = Project(arena.project.root).contract


def test_a_column_that_is_nowhere_fails(arena: Arena) -> None:
    gate(arena, "colour")
    with pytest.raises(Failed, match="'colour', by which a gate groups rows, is not a column of"):
        arena.grouped(NONE)


def test_a_metric_without_meaning_for_a_group_passes_no_gate(arena: Arena) -> None:
    text = (arena.project.root / "contract.yaml").read_text()
    changed = text.replace("gate: 0.05, ", "gate: 0.05, subgroups: [{by: faulty, gate: 0.1}], ")
    (arena.project.root / "contract.yaml").write_text(changed)
    finding = arena.grouped(NONE)
    assert finding.outcome is Outcome.FAILED
    assert finding.reason == "false_alarm_rate where faulty is True is undefined on its 200 rows"


def test_gates_of_subgroups_want_a_command_that_judges_them(arena: Arena) -> None:
    gate(arena, "plane")
    contract = arena.project.root / "contract.yaml"
    contract.write_text("".join(line for line in contract.read_text().splitlines(True) if "weighted:" not in line))
    with pytest.raises(BadInput, match=r"evaluation\.weighted has no command"):
        _ = Project(arena.project.root).contract


def test_the_example_is_judged_by_plane_and_family_and_measured_where_they_cross(trained_project: Project) -> None:
    (verdict,) = check(trained_project, select_interlocks(["PRF003"]))
    assert verdict.passed, verdict.reason
    crossed = [row for row in verdict.evidence.subgroups if row.by == ("plane", "family")]
    groups = [(plane, family) for plane in ("X", "Y") for family in ("button", "stripline")]
    assert [row.group for row in crossed] == groups
    assert sum(row.rows for row in crossed) == 648
    assert all(row.low <= row.value <= row.high for row in crossed)
