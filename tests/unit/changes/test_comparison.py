"""PRF002 and PRF003 on rows that depend on each other: planted models, judged by a project's own evaluation."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pytest

from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed
from beampermit.interlocks.interlock import Finding
from beampermit.interlocks.model import Examined
from beampermit.interlocks.performance import PRF002, PRF003
from beampermit.models import SavedModel
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.verdicts.evidence import Combinations, Interval, Subgroup
from beampermit.verdicts.verdict import Outcome
from support.dvc_repositories import replace

EVALUATE = """\
import json, sys
import duckdb, numpy as np

def column(file, name):
    return duckdb.read_parquet(file).select(name).fetchnumpy()[name]

inputs, scores, out, *counts = sys.argv[1:]
faulty, flagged = column(inputs, "faulty"), column(scores, "score") >= 0.5
each = np.load(counts[0]) if counts else np.ones((1, len(faulty)))

def share(of, among):
    whole = (each * among).sum(axis=1)
    return [a / b if b else None for a, b in zip((each * (of & among)).sum(axis=1), whole)]

found = {"auc": share(flagged == faulty, np.ones(len(faulty), bool)), "false_alarm_rate": share(flagged, ~faulty)}
json.dump(found if counts else {name: values[0] for name, values in found.items()}, open(out, "w"))
"""
SHOTS, DEVICES, PLANES = 20, 10, 2
ROWS = SHOTS * DEVICES * PLANES
DIGEST = "sha256:" + "0" * 64
HERE = Environment(Path(sys.prefix))


@dataclass
class Arena:
    """Two models by what they get wrong: masks over the rows, shape (ROWS,)."""

    project: Project
    faulty: np.ndarray
    monkeypatch: pytest.MonkeyPatch

    def scores(self, name: str, wrong: np.ndarray) -> Path:
        file = self.project.root / f"{name}.parquet"
        found = np.where(self.faulty ^ wrong, 0.9, 0.1)
        write(file, score=found)
        return file

    def evaluated(self, wrong: np.ndarray) -> dict[str, float]:
        flagged = self.faulty ^ wrong
        return {"auc": float((~wrong).mean()), "false_alarm_rate": float(flagged[~self.faulty].mean())}

    def against(
        self, champion: np.ndarray, challenger: np.ndarray, evaluated: dict[str, float] | None = None
    ) -> Finding:
        """What PRF002 says of two models that are wrong on these rows."""
        theirs = self.scores("champion", champion)
        self.monkeypatch.setattr("beampermit.registry.models.fetch_model", lambda *_: self.project.root)
        self.monkeypatch.setattr("beampermit.models.scoring.score", lambda *words: shutil.copy(theirs, words[3]))
        folder = self.project.root / "model"
        folder.mkdir(exist_ok=True)
        project = Project(self.project.root, base="main")
        return PRF002().check(
            project, project.contract, project.base_contract, HERE, SavedModel(folder, "model", {}), EVENT,
            evaluated or self.evaluated(challenger), Examined(None, None, self.scores("challenger", challenger)),
        )  # fmt: skip

    def grouped(self, wrong: np.ndarray) -> Finding:
        """What PRF003 says of a model that is wrong on these rows."""
        project = Project(self.project.root)
        examined = Examined(None, None, self.scores("challenger", wrong))
        return PRF003().check(project, project.contract, project.base_contract, HERE, examined)


EVENT = Event(
    event="promote", sequence=1, model="bpm-faults", version=3, digest=DIGEST, permit=DIGEST, commit="0" * 40,
    expected=None, at="2026-11-23T08:00:00Z", by="Ada Operator",
)  # fmt: skip
SHOT, DEVICE, PLANE = (axis.ravel() for axis in np.meshgrid(*map(range, (SHOTS, DEVICES, PLANES)), indexing="ij"))


@pytest.fixture
def arena(project: Project, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Arena:
    faulty = (SHOT + DEVICE) % 2 == 0
    (project.root / "data/dataset").mkdir(parents=True)
    table = {
        "acquisition": SHOT,
        "device": np.char.add("BPM.", DEVICE.astype(str)),
        "plane": np.array(["X", "Y"])[PLANE],
    }
    write(project.root / "data/dataset/test.parquet", **table, faulty=faulty)
    (project.root / "evaluate.py").write_text(EVALUATE)
    contract = project.root / "contract.yaml"
    lines = contract.read_text().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if line.startswith("  command:"))
    lines[place] = (
        '  command: [python, evaluate.py, "{inputs}", "{scores}", "{out}"]\n'
        '  weighted: [python, evaluate.py, "{inputs}", "{scores}", "{out}", "{counts}"]\n'
    )
    contract.write_text("".join(lines))
    git("add", "--all")
    git("commit", "--quiet", "--message", "An evaluation")
    return Arena(project, faulty, monkeypatch)


def write(file: Path, **columns: np.ndarray) -> None:
    rows = list(zip(*(column.tolist() for column in columns.values()), strict=True))
    kinds = {"f": "DOUBLE", "b": "BOOLEAN", "i": "BIGINT", "U": "VARCHAR"}
    with duckdb.connect() as connection:
        spec = ", ".join(f"{name} {kinds[column.dtype.kind]}" for name, column in columns.items())
        connection.execute(f"CREATE TABLE found ({spec})")
        connection.executemany(f"INSERT INTO found VALUES ({', '.join('?' * len(columns))})", rows)
        connection.execute(f"COPY found TO '{file}' (FORMAT parquet)")


NONE = np.zeros(ROWS, bool)
SOME = (SHOT * 7 + DEVICE * 3 + PLANE) % 23 == 0


def test_a_model_that_is_right_more_often_is_not_worse_and_the_interval_is_told(arena: Arena) -> None:
    finding = arena.against(SOME, NONE)
    assert finding.outcome is Outcome.PASSED
    assert "not worse than version 3: auc 1 against 0.95" in finding.reason
    better = finding.evidence.better_by["auc"]
    assert 0 < better.low <= better.better <= better.high


def test_the_same_answers_from_another_model_have_an_interval_of_nothing(arena: Arena) -> None:
    finding = arena.against(SOME, SOME)
    assert finding.outcome is Outcome.PASSED
    assert finding.evidence.better_by["auc"] == Interval(better=0.0, low=0.0, high=0.0)


@pytest.mark.plants("PRF002")
def test_a_model_that_is_worse_beyond_the_margin_fails(arena: Arena) -> None:
    finding = arena.against(NONE, SOME)
    assert finding.outcome is Outcome.FAILED
    assert "worse than the champion's 1 (version 3) by more than 0.005" in finding.reason


def test_better_on_average_is_not_enough_where_the_interval_crosses_the_margin(arena: Arena) -> None:
    """One device became right throughout and another wrong on all but two rows: it hangs on which devices one has."""
    champion = DEVICE == 3
    challenger = (DEVICE == 5) & ~((SHOT < 2) & (PLANE == 0))
    finding = arena.against(champion, challenger)
    assert finding.evidence.better_by["auc"].better > 0
    assert finding.outcome is Outcome.FAILED
    assert "and may be worse by" in finding.reason
    assert "0.005 allowed" in finding.reason


def test_the_margin_is_the_base_branchs(arena: Arena, git: Callable[..., str]) -> None:
    git("switch", "--quiet", "--create", "change")
    replace(arena.project.root / "contract.yaml", "champion_margin: 0.005", "champion_margin: 0.5")
    git("commit", "--quiet", "--all", "--message", "A generous margin")
    assert arena.against(NONE, SOME).outcome is Outcome.FAILED


def test_the_intervals_stay_though_a_pull_request_takes_their_command_away(
    arena: Arena, git: Callable[..., str]
) -> None:
    git("switch", "--quiet", "--create", "change")
    contract = arena.project.root / "contract.yaml"
    contract.write_text("".join(line for line in contract.read_text().splitlines(True) if "weighted:" not in line))
    git("commit", "--quiet", "--all", "--message", "No intervals")
    assert arena.against(SOME, NONE).evidence.better_by


def test_without_a_command_for_intervals_the_numbers_alone_are_compared_and_the_reason_says_so(
    arena: Arena, git: Callable[..., str]
) -> None:
    contract = arena.project.root / "contract.yaml"
    contract.write_text("".join(line for line in contract.read_text().splitlines(True) if "weighted:" not in line))
    git("commit", "--quiet", "--all", "--message", "No intervals")
    finding = arena.against(SOME, NONE)
    assert finding.outcome is Outcome.PASSED
    assert "no intervals, because evaluation.weighted is not set" in finding.reason


def test_intervals_of_other_metrics_than_those_that_are_judged_fail(arena: Arena) -> None:
    with pytest.raises(Failed, match=r"evaluation\.weighted gives auc 1 with each row counted once"):
        arena.against(SOME, NONE, {"auc": 0.99, "false_alarm_rate": 0.0})


WRONG_OUTPUT = {
    "a list": ("[1]", "writes one JSON object"),
    "too few": ('{"auc": [1.0]}', "not 1001 times"),
    "NaN": ('{"auc": NaN}', "NaN is not a number that JSON knows"),
    "words": ('{"auc": ["a"] * 1001}', "a value that is no number"),
}


@pytest.mark.parametrize("defect", WRONG_OUTPUT)
def test_an_evaluation_that_gives_something_else_fails(arena: Arena, defect: str) -> None:
    text, words = WRONG_OUTPUT[defect]
    text = '{"auc": [' + ", ".join(['"a"'] * 1001) + "]}" if "*" in text else text
    (arena.project.root / "evaluate.py").write_text(f"import sys; open(sys.argv[3], 'w').write({text!r})")
    with pytest.raises(Failed, match=words):
        arena.against(SOME, NONE)


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
    write(file, **table, optics=few, faulty=arena.faulty)
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
    with pytest.raises(Failed, match="the gate by device and acquisition has 200 combinations; the limit for all crosses is 100"):
        arena.grouped(NONE)


def test_where_resamples_would_cost_too_much_there_are_numbers_without_intervals(arena: Arena) -> None:
    gate(arena, "plane")
    arena.monkeypatch.setattr("beampermit.interlocks.performance.subgroups.MOST_COUNTS", ROWS * 2 * 99)
    rows = arena.grouped(NONE).evidence.subgroups
    assert [(row.value, row.low, row.high) for row in rows] == [(1.0, None, None)] * 2


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("[]", "this is one column, or a list of at most 3"),
        ("[a, b, c, d]", "this is one column, or a list of at most 3"),
        ("[plane, plane]", "each of these is the name of another column"),
        ("[plane, 7]", "each of these is the name of another column"),
        ("[plane, family], gate: 0.9}, {by: [family, plane]", "two gates of subgroups by the same column"),
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
    with pytest.raises(BadInput, match=r"evaluation\.weighted names no command"):
        _ = Project(arena.project.root).contract
