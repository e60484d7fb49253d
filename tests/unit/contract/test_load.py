"""A contract that does not hold is refused with file, line, key and the nearest known key."""

from __future__ import annotations

from datetime import date

import pytest

from beampermit.contract import parse_contract
from beampermit.errors import BadInput


def test_a_sound_contract_is_read(contract_text: str) -> None:
    contract = parse_contract(contract_text)
    assert contract.model.review_by == date(2099, 6, 1)
    assert contract.signals.inputs[0].stale_after == 5.0
    assert contract.monitoring.every == 600.0


DEFECTS = {
    "unknown key, near a known one": (
        "summary: Flags",
        "sumary: Flags",
        0,
        "unknown key 'sumary'; did you mean 'summary'?",
    ),
    "unknown key in a list": (
        "role: reviewer",
        "rol: reviewer",
        0,
        "model.owners.1.rol: unknown key 'rol'; did you mean 'role'?",
    ),
    "unknown section": ("budget:", "budgets:", 0, "unknown key 'budgets'; did you mean 'budget'?"),
    "reversed range": ("range: [-20, 20]", "range: [20, -20]", 0, "range [20, -20] is empty or reversed"),
    "a resolution as wide as the range": ("stale_after: 5s", "resolution: 40", 0, "is not finer than its range"),
    "default outside its range": ("default: 1.0", "default: 1.5", 0, "default 1.5 is outside its range [0, 1]"),
    "alarm limits that fall": ("high: 0.5, hihi: 0.9", "high: 0.9, hihi: 0.5", 0, "alarm limits must rise"),
    "a version that YAML takes for a number": (
        "backend: uv\n",
        "backend: uv\ntests: {gpu: {capability: 7.0}}\n",
        1,
        'tests.gpu.capability: a version must be in quotes, such as "8.0"',
    ),
    "not a number": ("gate: 0.95", "gate: .nan", 0, "finite number"),
    "infinite": ("gate: 0.95", "gate: .inf", 0, "finite number"),
    "path that leaves the project": ("raw: data/raw.parquet", "raw: ../raw.parquet", 0, "inside it"),
    "duration without unit": ("stale_after: 5s", "stale_after: 5 parsecs", 0, "a duration is a number with"),
    "not an address": ("bo@lab.example", "bo at lab", 0, "not an e-mail address"),
    "hold for ever": ("on_invalid: hold, hold_for: 10s", "on_invalid: hold", 0, "hold needs hold_for"),
    "key given twice": ("beampermit: 1", "beampermit: 1\nbeampermit: 1", 1, "duplicate key"),
    "tab": ("beampermit: 1", "beampermit: 1\n\tmodel: x", 1, "not YAML"),
    "merge conflict": ("beampermit: 1", "<<<<<<< ours\nbeampermit: 1", 0, "merge-conflict markers"),
    "a tolerance without a reason": (
        "  command:",
        "  tolerance: {relative: 0.01}\n  command:",
        0,
        "evaluation.tolerance.because: this key is missing",
    ),
    "two evaluations that need not agree at all": (
        "  command:",
        "  tolerance: {relative: 1, because: No reason.}\n  command:",
        0,
        "evaluation.tolerance.relative: Input should be less than 1",
    ),
    "future format": ("beampermit: 1", "beampermit: 2", 0, "this file has format 2, and this beampermit reads"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_named_with_its_line(contract_text: str, defect: str) -> None:
    before, after, lines_on, message = DEFECTS[defect]
    line = contract_text[: contract_text.index(before)].count("\n") + 1 + lines_on
    with pytest.raises(BadInput) as caught:
        parse_contract(contract_text.replace(before, after))
    assert message in caught.value.message
    assert caught.value.line == line
    assert str(caught.value).startswith(f"contract.yaml:{line}: ")


def test_every_error_is_named_with_its_line(contract_text: str) -> None:
    text = contract_text.replace("summary: Flags", "sumary: Flags").replace("gate: 0.95", "gate: .nan")
    with pytest.raises(BadInput) as caught:
        parse_contract(text)
    lines = text.splitlines()
    assert [
        (lines[problem.line - 1].split(":")[0].strip(" -"), problem.message) for problem in caught.value.problems
    ] == [
        ("sumary", "model.sumary: unknown key 'sumary'; did you mean 'summary'?"),
        ("model", "model.summary: this key is missing"),
        ("{name", "metrics.0.gate: Input should be a finite number"),
    ]
    assert str(caught.value).endswith("did you mean 'summary'? (and 2 more)")


def test_gpu_tests_without_an_environment_for_them_are_refused(contract_text: str) -> None:
    with pytest.raises(BadInput, match=r"environment\.accelerators does not list cuda"):
        parse_contract(contract_text + 'tests: {gpu: {capability: "7.0"}}\n')


def test_an_alias_bomb_is_refused(contract_text: str) -> None:
    with pytest.raises(BadInput, match=r"contract.yaml:2: YAML aliases are not allowed"):
        parse_contract("a: &a [x]\nb: [*a, *a]\n" + contract_text)


@pytest.mark.attack(
    guard="contract check",
    tried="metrics are computed on the rows that the model was trained on",
    said="evaluation.inputs is data/dataset/train.parquet, and metrics are computed on the split called test, which is "
    "data/dataset/test.parquet",
)
def test_metrics_are_computed_on_the_split_called_test(contract_text: str, said: str) -> None:
    text = contract_text.replace("inputs: data/dataset/test.parquet", "inputs: data/dataset/train.parquet")
    with pytest.raises(BadInput) as caught:
        parse_contract(text)
    assert said in caught.value.message


def test_values_of_a_column_need_no_quotes(contract_text: str) -> None:
    columns = '  columns: [{name: mode, values: [0, 1, true, off, "2"]}]\n  split:'
    assert contract_text.count("  split:") == 1
    (column,) = parse_contract(contract_text.replace("  split:", columns)).dataset.columns
    assert column.values == ("0", "1", "true", "off", "2")
    with pytest.raises(BadInput, match=r"columns\.0\.values\.4: Input should be a valid string"):
        parse_contract(contract_text.replace("  split:", columns.replace('"2"', "1.5")))


@pytest.mark.parametrize("broken", ["metrics: [", "name: x\n"], ids=["not YAML", "no contract"])
def test_each_reading_of_the_same_text_names_its_own_file(broken: str) -> None:
    for name in ("contract.yaml of main", "contract.yaml"):
        with pytest.raises(BadInput) as caught:
            parse_contract(broken, name)
        assert str(caught.value.file) == name
