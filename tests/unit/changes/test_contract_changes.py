"""A changed key of the contract is found, and one that asks less is marked."""

from __future__ import annotations

import pytest

from beampermit.changes.contract_changes import compare_contracts
from beampermit.contract import Contract, parse_contract

AUC_TOLERANCE, SCORE = ("metrics.auc.tolerance", True), "signals.outputs.score"
WEIGHTS = ("reproducibility.weight_tolerance",)
GATES = {
    "a lower gate": ("gate: 0.95", "gate: 0.9", "metrics.auc.gate", True),
    "a higher gate": ("gate: 0.95", "gate: 0.96", "metrics.auc.gate", False),
    "a lower gate where lower is better": ("gate: 0.05", "gate: 0.04", "metrics.false_alarm_rate.gate", False),
    "a higher gate where lower is better": ("gate: 0.05", "gate: 0.06", "metrics.false_alarm_rate.gate", True),
    "a metric removed": ("{name: auc, ", "{name: other, ", "metrics.auc.gate", True),
    "a metric added": ("{name: auc, ", "{name: other, ", "metrics.other.gate", False),
    "a larger margin": ("champion_margin: 0.005", "champion_margin: 0.1", "metrics.auc.champion_margin", True),
    "a wider range": ("range: [-20, 20]", "range: [-20, 30]", "signals.inputs.turns.range", True),
    "a narrower range": ("range: [-20, 20]", "range: [-10, 20]", "signals.inputs.turns.range", False),
    "a higher HIHI": ("hihi: 0.9", "hihi: 0.95", "signals.outputs.score.hihi", True),
    "HIHI removed": (", hihi: 0.9", "", "signals.outputs.score.hihi", True),
    "staler inputs": ("stale_after: 5s", "stale_after: 1h", "signals.inputs.turns.stale_after", True),
    "a larger tolerance": ("tolerance: 0.005, description: A", "tolerance: 1, description: A", *AUC_TOLERANCE),
    "a tolerance in percent": ("tolerance: 0.005, description: A", "tolerance: 0.1%, description: A", *AUC_TOLERANCE),
    "fewer seeds": ("seeds: [0, 1, 2]", "seeds: [0]", "reproducibility.seeds", True),
    "weights further apart": ("weight_tolerance: 1.0e-6", "weight_tolerance: 1.0e-5", *WEIGHTS, True),
    "weights closer": ("weight_tolerance: 1.0e-6", "weight_tolerance: 1.0e-7", *WEIGHTS, False),
    "weights in percent": ("weight_tolerance: 1.0e-6", "weight_tolerance: 1e-9%", *WEIGHTS, True),
    "more memory": ("memory: 2048", "memory: 4096", "budget.memory", True),
    "splits may share devices": ("by: [acquisition, device]", "by: [acquisition]", "dataset.split.by", True),
    "scores may differ more": (
        *("tolerance: 1.0e-4", "tolerance: 1.0e-4, score_tolerance: 0.02%", f"{SCORE}.score_tolerance", True),
    ),
    "scores may differ less": (
        *("tolerance: 1.0e-4", "tolerance: 1.0e-4, score_tolerance: 0.009%", f"{SCORE}.score_tolerance", False),
    ),
    "a spread over the seeds above the tolerance": (
        *("tolerance: 0.005,", "tolerance: 0.005, seed_tolerance: 0.006,", "metrics.auc.seed_tolerance", True),
    ),
    "a spread over the seeds below the tolerance": (
        *("tolerance: 0.005,", "tolerance: 0.005, seed_tolerance: 0.004,", "metrics.auc.seed_tolerance", False),
    ),
    "predictions further apart": ("tolerance: 1.0e-4", "tolerance: 1", f"{SCORE}.tolerance", True),
    "predictions closer": ("tolerance: 1.0e-4", "tolerance: 1.0e-6", f"{SCORE}.tolerance", False),
    "other seeds": ("seeds: [0, 1, 2]", "seeds: [3, 4, 5]", "reproducibility.seeds", True),
    "LOW removed": ("high: 0.5,", "", "signals.outputs.score.high", True),
    "values held for longer": ("hold_for: 10s", "hold_for: 1h", "fallback.hold_for", True),
    "nothing held": ("on_invalid: hold, hold_for: 10s", "on_invalid: invalid", "fallback.hold_for", False),
    "a default served": ("then: invalid", "then: default", "fallback.then", True),
    "a later review": ("2099-06-01", "2099-12-01", "model.review_by", True),
    "an earlier review": ("2099-06-01", "2099-01-01", "model.review_by", False),
    "a platform less": ("backend: uv", "backend: uv\n  platforms: [macos-arm64]", "environment.platforms", True),
    "splits may overlap in time": (", time: acquired_at", "", "dataset.split.time", True),
    "no labels by people": ("  review: {", "  # {", "dataset.review.file", True),
    "drift looked for less often": ("every: 10min", "every: 1h", "monitoring.every", True),
    "other data": ("acquisitions: 8", "acquisitions: 9", "dataset.request.options.acquisitions", False),
    "evaluated on other rows": (
        *("data/dataset/test.parquet", "data/dataset/easy.parquet", "evaluation.inputs", True),
    ),
    "another evaluation": ("-m, bpm_faults.evaluate", "-m, other", "evaluation.command", True),
    "the model tested on its training rows": (
        *("data/dataset/test.parquet", "data/dataset/train.parquet", "dataset.splits.test", True),
    ),
    "two evaluations may differ": (
        "\n  command:",
        "\n  tolerance: {relative: 0.01, because: Rows are sampled.}\n  command:",
        "evaluation.tolerance.relative",
        True,
    ),
    "two evaluations may differ less than a millionth": (
        "\n  command:",
        "\n  tolerance: {relative: 1e-9, because: All is exact.}\n  command:",
        "evaluation.tolerance.relative",
        False,
    ),
    "other test rows": ("version: 1", "version: 2", "dataset.request.version", True),
    "a split added": ("  splits:", "  splits:\n    extra: data/extra.parquet", "dataset.splits.extra", False),
    "rows identified by fewer columns": ("key: [acquisition, device, plane]", "key: [plane]", "dataset.key", True),
    "rows identified by more columns": ("device, plane]", "device, plane, turn]", "dataset.key", True),
}


GPU = {
    "a promise removed": ("tests:\n  gpu: {", "# {", {"capability", "driver", "memory"}),
    "a lower capability": ('"10.0"', '"9.0"', {"capability"}),
    "a higher capability": ('"10.0"', '"12.0"', set()),
    "an older driver": ('"535.104"', '"535.9"', {"driver"}),
    "less memory": ("memory: 8192}", "memory: 4096}", {"memory"}),
    "memory removed": (", memory: 8192}", "}", {"memory"}),
}


@pytest.mark.parametrize("case", GPU)
def test_what_asks_less_of_a_gpu_is_marked(contract_text: str, case: str) -> None:
    before, after, looser = GPU[case]
    cuda = contract_text.replace("backend: uv", "backend: uv\n  accelerators: [cpu, cuda]")
    text = f'{cuda}tests:\n  gpu: {{capability: "10.0", driver: "535.104", memory: 8192}}\n'
    gates = compare_contracts(parse_contract(text), parse_contract(text.replace(before, after))).gates
    assert gates
    assert {change.key for change in gates if change.looser} == {f"tests.gpu.{name}" for name in looser}


GROUPED = {
    "a lower gate of a subgroup": ("{by: plane, gate: 0.9}", "{by: plane, gate: 0.8}", {"gate"}),
    "a higher gate of a subgroup": ("{by: plane, gate: 0.9}", "{by: plane, gate: 0.92}", set()),
    "a subgroup removed": ("{by: plane, gate: 0.9}", "", {"gate", "by"}),
}


@pytest.mark.parametrize("case", GROUPED)
def test_what_asks_less_of_a_subgroup_is_marked(contract_text: str, case: str) -> None:
    before, after, looser = GROUPED[case]
    text = contract_text.replace("gate: 0.95,", "gate: 0.95, subgroups: [{by: plane, gate: 0.9}],")
    text = text.replace("  command:", "  weighted: [python]\n  command:")
    gates = compare_contracts(parse_contract(text), parse_contract(text.replace(before, after))).gates
    assert gates
    assert {change.key for change in gates if change.looser} == {
        f"metrics.auc.subgroups.plane.{name}" for name in looser
    }


COLUMNS = {
    "one column, then a list of one": ("plane", "[plane]", "plane"),
    "two columns in another order": ("[plane, family]", "[family, plane]", "family+plane"),
}


@pytest.mark.parametrize("case", COLUMNS)
@pytest.mark.parametrize(("gate", "looser"), [("0.9", []), ("0.8", ["gate"])])
def test_a_subgroup_is_the_same_however_its_columns_are_listed(
    contract_text: str, case: str, gate: str, looser: list[str]
) -> None:
    before, after, name = COLUMNS[case]
    text = contract_text.replace("gate: 0.95,", f"gate: 0.95, subgroups: [{{by: {before}, gate: 0.9}}],")
    text = text.replace("  command:", "  weighted: [python]\n  command:")
    changed = text.replace(f"by: {before}, gate: 0.9", f"by: {after}, gate: {gate}")
    gates = compare_contracts(parse_contract(text), parse_contract(changed)).gates
    prefix = f"metrics.auc.subgroups.{name}."
    assert {change.key for change in gates} == {f"{prefix}{key}" for key in ("by", *looser)}
    assert [change.key for change in gates if change.looser] == [f"{prefix}{key}" for key in looser]


@pytest.mark.parametrize(
    ("before", "after", "looser"),
    [("retrain: pull-request", "retrain: release", True), ("retrain: release", "retrain: pull-request", False)],
)
def test_a_retraining_put_off_is_marked(contract_text: str, before: str, after: str, looser: bool) -> None:
    texts = [contract_text.replace("seeds: [", f"{retrain}, seeds: [") for retrain in (before, after)]
    gates = compare_contracts(*map(parse_contract, texts)).gates
    assert [(change.key, change.looser) for change in gates] == [("reproducibility.retrain", looser)]


@pytest.mark.parametrize("case", GATES)
def test_a_changed_gate_is_found_and_a_looser_one_marked(contract_text: str, case: str) -> None:
    before, after, key, looser = GATES[case]
    assert before in contract_text
    changed = parse_contract(contract_text.replace(before, after))
    changes = compare_contracts(parse_contract(contract_text), changed)
    assert {change.key: change.looser for change in changes.gates}[key] is looser
    assert {change.key.rpartition(".")[2] for change in changes.texts} <= {"description", "because"}


def test_a_split_that_is_removed_is_marked(contract_text: str) -> None:
    text = contract_text.replace("  splits:", "  splits:\n    drift: data/drift.parquet")
    (change,) = compare_contracts(parse_contract(text), parse_contract(contract_text)).gates
    assert (change.key, change.after, change.looser) == ("dataset.splits.drift", None, True)


INDEXES = {
    "the first list": ([], ["https://a"], True),
    "an index added": (["https://a"], ["https://a", "https://b"], True),
    "an index removed": (["https://a", "https://b"], ["https://a"], False),
    "every index removed": (["https://a"], [], True),
}


@pytest.mark.parametrize("case", INDEXES)
def test_an_index_that_is_allowed_besides_is_marked(contract_text: str, case: str) -> None:
    before, after, looser = INDEXES[case]
    contracts = [
        parse_contract(contract_text.replace("backend: uv", f"backend: uv\n  indexes: {indexes}"))
        for indexes in (before, after)
    ]
    assert [(change.key, change.looser) for change in compare_contracts(*contracts).gates] == [
        ("environment.indexes", looser)
    ]


@pytest.mark.slow
def test_words_in_another_order_are_another_input(contract_text: str) -> None:
    def contract(words: str) -> Contract:
        valve = f"    - {{name: valve, pv: VALVE, words: {words}}}\n"
        return parse_contract(contract_text.replace("  outputs:\n", f"{valve}  outputs:\n", 1))

    for before, after in (("[OFF, ON]", "[ON, OFF]"), ("[OFF, ON]", "[OFF, ON, HOT]"), ("[OFF, ON, HOT]", "[OFF, ON]")):
        changed = compare_contracts(contract(before), contract(after))
        assert "signals.inputs.valve.words" in {change.key for change in changed.looser}
        assert f"signals.inputs.valve.words {before} -> {after}" in changed.lines("signals.inputs")


def test_a_limit_that_takes_the_place_of_the_expected_range_is_compared_with_it(contract_text: str) -> None:
    text = contract_text.replace("high: 0.5,", "expected: [0.2, 0.5],")
    inside = text.replace("expected:", "low: 0.3, expected:")
    outside = text.replace("expected:", "low: 0.1, expected:")
    for changed, looser in ((inside, False), (outside, True)):
        (change,) = compare_contracts(parse_contract(text), parse_contract(changed)).gates
        assert (change.key, change.looser) == ("signals.outputs.score.low", looser)


REQUEST = """  request:
    source: archiver
    signals: [{name: current, pv: I, unit: mA%s}]
    ranges: [{start: 2026-03-01T00:00:00Z, end: 2026-03-02T00:00:00Z}]
    sampling: {period: 1s}
    gaps: {max_age: 10s}
"""


@pytest.mark.parametrize(("age", "looser"), [("5s", False), ("20s", True)])
def test_an_age_of_one_signal_is_compared_with_that_of_all(contract_text: str, age: str, looser: bool) -> None:
    line = next(line for line in contract_text.splitlines(keepends=True) if line.startswith("  request:"))
    texts = [contract_text.replace(line, REQUEST % max_age) for max_age in ("", f", max_age: {age}")]
    (change,) = compare_contracts(*map(parse_contract, texts)).gates
    assert (change.key, change.looser) == ("dataset.request.signals.current.max_age", looser)


def test_a_name_may_have_a_point_in_it_or_be_a_key(contract_text: str) -> None:
    text = contract_text.replace("gate: 0.95,", "gate: 0.95, subgroups: [{by: ring.gate, gate: 0.9}],")
    text = text.replace("  command:", "  weighted: [python]\n  command:").replace("name: auc,", "name: gate,")
    (change,) = compare_contracts(parse_contract(text), parse_contract(text.replace("gate: 0.9}", "gate: 0.8}"))).gates
    assert (change.key, change.looser) == ("metrics.gate.subgroups.ring.gate.gate", True)


@pytest.mark.slow
def test_a_metric_that_is_gone_is_one_line(contract_text: str) -> None:
    before = parse_contract(contract_text)
    changes = compare_contracts(before, parse_contract(contract_text.replace("{name: auc, ", "{name: other, ")))
    assert changes.lines("metrics") == ["metrics.auc removed", "metrics.other added"]
    changes = compare_contracts(before, parse_contract(contract_text.replace("gate: 0.95", "gate: 0.9")))
    assert changes.lines("metrics", "budget") == ["metrics.auc.gate 0.95 -> 0.9"]
    assert changes.lines("budget") == []


def test_a_changed_text_is_no_gate(contract_text: str) -> None:
    changed = parse_contract(contract_text.replace("+1 555 0100", "+1 555 0199"))
    changes = compare_contracts(parse_contract(contract_text), changed)
    assert changes.gates == ()
    assert [(change.key, change.after) for change in changes.texts] == [("operations.on_call", "+1 555 0199")]
