"""A metric with a measure: which output, target, threshold and quantile it has, and what contradicts it."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import get_args

import pytest

from beampermit.changes.contract_changes import compare_contracts
from beampermit.contract import Contract, parse_contract
from beampermit.contract.measure import FLAGGING, Measure, better_of
from beampermit.contract.measured import measured_metrics
from beampermit.errors import BadInput

AUC = "{name: auc, measure: roc_auc, "
RATE = "{name: false_alarm_rate, better: lower, "
OUTPUT = "    - {name: score, "


@pytest.fixture
def text(contract_text: str) -> str:
    """One metric by the checker, one by the project."""
    before = "{name: auc, better: higher, "
    assert before in contract_text
    return contract_text.replace(before, AUC).replace("high: 0.5,", "high: 0.5, target: faulty,")


def second(name: str, keys: str) -> str:
    return f'    - {{name: {name}, pv: X, unit: "1", range: [0, 1], {keys}}}\n{OUTPUT}'


def test_what_is_better_follows_from_the_measure(text: str) -> None:
    assert parse_contract(text).metrics[0].better == "higher"
    assert {measure for measure in get_args(Measure) if better_of(measure) == "lower"} == {
        *("false_positive_rate", "log_loss", "brier", "rmse", "mae", "max_error", "bias", "quantile_error"),
    }


@pytest.mark.slow
def test_output_and_target_are_found_and_the_threshold_is_the_alarm_limit_that_is_served(text: str) -> None:
    rules = parse_contract(text.replace(RATE, "{name: false_alarm_rate, measure: false_positive_rate, "))
    auc, rate = measured_metrics(rules, rules.signals)
    assert (auc.output, auc.target, auc.threshold) == ("score", "faulty", None)
    assert rate.threshold == 0.5
    served = parse_contract(text.replace("high: 0.5,", "high: 0.6,"))
    assert measured_metrics(rules, served.signals)[1].threshold == 0.6
    fixed = parse_contract(
        text.replace(RATE, "{name: false_alarm_rate, measure: false_positive_rate, threshold: 0.4, ")
    )
    assert measured_metrics(fixed, served.signals)[1].threshold == 0.4


def test_a_contract_of_measures_alone_needs_no_command(text: str) -> None:
    without = re.sub(r"  command: .*\n", "", text)
    measured = without.replace(RATE, "{name: false_alarm_rate, measure: false_positive_rate, ")
    contract = parse_contract(measured.replace(AUC, AUC + "subgroups: [{by: plane, gate: 0.9}], "))
    assert contract.evaluation.command == ()
    with pytest.raises(BadInput, match=r"has no measure, and no evaluation\.command computes it"):
        parse_contract(without)


WRONG = {
    "neither measure nor better": (RATE, "{name: false_alarm_rate, ", "has no measure, so it needs better"),
    "the other direction": (AUC, AUC + "better: lower, ", "of roc_auc, a higher value is better, not a lower one"),
    "no such measure": (AUC, "{name: auc, measure: roc, ", "metrics.0.measure: Input should be 'roc_auc'"),
    "no target": (" target: faulty,", "", "output 'score', which has no target to compare it with"),
    "no such output": (
        AUC,
        AUC + "output: scores, ",
        "which the model does not have; did you mean 'score'",
    ),
    "a threshold that nothing uses": (AUC, AUC + "threshold: 0.5, ", "has a threshold, and roc_auc needs none"),
    "a quantile that nothing uses": (AUC, AUC + "quantile: 0.5, ", "has a quantile, and roc_auc needs none"),
    "a quantile that is missing": (AUC, "{name: auc, measure: quantile_error, ", "quantile_error needs quantile"),
    "no threshold": (
        "{name: auc, measure: roc_auc, gate",
        "{name: auc, measure: recall, gate",
        "metric 'auc' needs a threshold: output 'score' has no alarm limit high",
    ),
    "an output of the project's metric": (RATE, RATE + "output: score, ", "has output, which only the checker"),
    "the target of an input": ("shape: [250],", "shape: [250], target: faulty,", "input 'turns' has a target"),
    "an image": (
        "range: [0, 1], high",
        "range: [0, 1], shape: [4], high",
        "of shape [4], and roc_auc needs one number; use rmse, mae, max_error, bias, quantile_error",
    ),
    "two outputs and none named": (
        OUTPUT,
        second("other", "target: noisy"),
        "say which output it measures: other, score",
    ),
    "two means of one target": (
        OUTPUT,
        second("other", "target: faulty"),
        "outputs 'other' and 'score' have one target, 'faulty': only quantiles",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_contradicts_itself_is_refused(text: str, case: str) -> None:
    before, after, reason = WRONG[case]
    if case == "no threshold":
        text = text.replace("high: 0.5, ", "")
    if case == "two means of one target":
        text = text.replace(AUC, AUC + "output: other, ")
    assert before in text
    with pytest.raises(BadInput) as caught:
        parse_contract(text.replace(before, after, 1))
    assert any(reason in problem.message for problem in caught.value.problems)


def test_an_image_has_measures_of_all_its_numbers(text: str) -> None:
    image = text.replace("range: [0, 1], high", "range: [0, 1], shape: [4, 4], high")
    contract = parse_contract(image.replace(AUC, "{name: auc, measure: rmse, "))
    assert measured_metrics(contract, contract.signals)[0].measure == "rmse"


def test_two_quantiles_have_one_target(text: str) -> None:
    names = ("low-end", "high-end")
    output = '    - {{name: {}, pv: X, unit: "1", range: [0, 1], target: faulty, default: 1}}\n'
    metric = "  - {{name: {0}, measure: quantile_error, output: {0}, quantile: {1}, gate: 0.1}}\n"
    text = text.replace(OUTPUT, "".join(map(output.format, names)) + OUTPUT).replace(AUC, AUC + "output: score, ")
    measured = "".join(map(metric.format, names, (0.1, 0.9)))
    contract = parse_contract(text.replace("metrics:\n  -", f"metrics:\n{measured}  -"))
    found = {metric.name: metric for metric in measured_metrics(contract, contract.signals)}
    assert [found[name].quantile for name in (*names, "auc")] == [0.1, 0.9, None]
    assert {metric.target for metric in found.values()} == {"faulty"}


CHANGES = {
    "another measure": (AUC, "{name: auc, measure: average_precision, ", "metrics.auc.measure", True),
    "by the project instead": (AUC, "{name: auc, better: higher, ", "metrics.auc.measure", True),
    "another target": ("target: faulty", "target: easy", "signals.outputs.score.target", True),
    "by the checker": (
        *(RATE, "{name: false_alarm_rate, measure: false_positive_rate, ", "metrics.false_alarm_rate.measure", False),
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_of_what_is_judged_is_shown_and_marked(text: str, case: str) -> None:
    before, after, key, looser = CHANGES[case]
    changes = compare_contracts(parse_contract(text), parse_contract(text.replace(before, after)))
    assert {change.key: change.looser for change in changes.gates}[key] is looser


@pytest.mark.parametrize(
    ("before", "after"), [("", "threshold: 0.1, "), ("threshold: 0.5, ", "threshold: 0.1, "), ("threshold: 0.5, ", "")]
)
def test_a_threshold_that_is_set_changed_or_removed_is_marked(text: str, before: str, after: str) -> None:
    recall = "{name: auc, measure: recall, "
    old, new = (parse_contract(text.replace(AUC, recall + keys)) for keys in (before, after))
    (change,) = compare_contracts(old, new).gates
    assert (change.key, change.looser) == ("metrics.auc.threshold", True)


@pytest.mark.slow
def test_every_measure_of_what_is_flagged_has_a_threshold(text: str) -> None:
    for measure in FLAGGING:
        contract: Contract = parse_contract(text.replace(AUC, f"{{name: auc, measure: {measure}, better: "
                                                         f"{better_of(measure)}, "))  # fmt: skip
        assert asdict(measured_metrics(contract, contract.signals)[0])["threshold"] == 0.5
