"""What a workflow hides in its number of jobs, inputs and values is not judged as if it were not there."""

from __future__ import annotations

from typing import Any

import pytest

from beampermit.errors import BadInput
from beampermit.workflows.expansion import combinations
from beampermit.workflows.expressions import UNKNOWN, distinct, expressions_in, possible_values
from beampermit.workflows.lint import lint
from beampermit.workflows.work import MOST_WORK, limited_work
from support.attacks import attack_case

LETTERS = "x" * 5000
MANY = {"matrix": {"many": list(range(5000))}}


def called(*caller: str) -> str:
    lines = "\n".join(f"    {line}" for line in caller)
    return f"on: pull_request\npermissions: {{}}\njobs:\n  call:\n{lines}\n    uses: ./.github/workflows/called.yml\n"


def calls(matrix: str, runs_on: str, *inputs: str) -> str:
    given = ", ".join(f"{name}: {{type: string}}" for name in inputs)
    return (
        f"on: {{workflow_call: {{inputs: {{{given}}}}}}}\npermissions: {{}}\njobs:\n  work:\n"
        f"    {matrix}\n    runs-on: {runs_on}\n    steps: []\n"
    )


@pytest.mark.parametrize(
    ("caller", "workflow"),
    [
        attack_case(
            called(
                "strategy: {matrix: {on: [ubuntu-22.04, ubuntu-24.04, gpu]}}",
                "with: {on: '${{ matrix.on }}'}",
            ),
            calls(f"strategy: {{matrix: {{n: {list(range(129))}}}}}", "'${{ inputs.on }}'", "on"),
            guard="GIT004",
            tried="the last of several inputs names a laboratory's runner, after as many jobs as are looked at",
            said="runs on a self-chosen runner",
        ),
        attack_case(
            called(
                f"strategy: {{matrix: {{n: {list(range(256))}}}}}",
                "with: {on: \"${{ matrix.n == 255 && 'gpu' || 'ubuntu-latest' }}\", to: \"${{ vars.A && 1 || 2 }}\"}",
            ),
            calls("name: work", "'${{ inputs.on }}'", "on", "to"),
            guard="GIT004",
            tried="the last of more sets of inputs than are looked at names a laboratory's runner",
            said="runs on a self-chosen runner",
        ),
    ],
)
def test_what_comes_after_the_most_that_is_looked_at_is_not_passed_over(caller: str, workflow: str, said: str) -> None:
    folder = ".github/workflows"
    (defect,) = lint({f"{folder}/w.yml": caller, f"{folder}/called.yml": workflow}).defects
    assert (defect.rule, said in defect.message) == ("fork-runner", True)


def test_entries_that_may_extend_each_combination_do_not_double_them_without_end() -> None:
    matrix = {"a": ["${{ needs.x.outputs.y }}"], "include": [{"a": "${{ vars.A }}", f"b{n}": 1} for n in range(10)]}
    assert combinations(matrix, {}) == ({},)


def test_an_entry_that_is_no_mapping_leaves_the_rest_unknown() -> None:
    first, further = combinations({"a": [1], "include": [5]}, {})
    assert (first, further) == ({"a": 1}, {})
    assert possible_values("${{ matrix.a }}", {"matrix": further}) == (UNKNOWN,)


def test_a_number_that_no_float_holds_is_unknown() -> None:
    assert possible_values(f"${{{{ fromJSON('1{'0' * 400}') == 1 }}}}", {}) == (UNKNOWN,)


def test_more_values_of_arguments_than_are_tried_are_unknown() -> None:
    values = " || ".join(f"vars.A && 'a{n}'" for n in range(9))
    assert possible_values(f"${{{{ format('x', {values}, {values}) }}}}", {}) == (UNKNOWN,)


@pytest.mark.parametrize(
    ("work", "least"),
    [
        (lambda: combinations({"a": LETTERS, "n": [*range(5000)]}, {}), 5000),
        (
            lambda: combinations({"a": [*range(16)], "b": [*range(16)], **{f"c{n}": [1] for n in range(500)}}, {}),
            256 * 502,
        ),
        (lambda: combinations({"a": [*range(256)], "exclude": [1] * 1000}, {}), 256 * 1000),
        (lambda: possible_values(f"{LETTERS}${{{{ 1 }}}}", {}), 2 * len(LETTERS)),
        (lambda: possible_values(f"${{{{ format('{{0}}', '{LETTERS}') }}}}", {}), 2 * len(LETTERS)),
        (lambda: possible_values("${{ toJSON(matrix.many) }}", MANY), 5000 + 28_000),
        (lambda: possible_values("${{ contains(matrix.many, 'x') }}", MANY), 2 * 5000),
        (lambda: distinct([[*range(5000)]]), 5000),
        (lambda: expressions_in(LETTERS * 64), 5000),
    ],
    ids=["filled", "axes", "excluded", "joined", "format", "json", "plain", "typed", "expressions"],
)
def test_work_is_counted_for_all_that_takes_time(work: Any, least: int) -> None:
    with limited_work() as limit:
        work()
    assert least <= MOST_WORK - limit.left <= 3 * least


@pytest.mark.slow
def test_more_work_than_is_allowed_ends_it() -> None:
    with pytest.raises(BadInput, match="repeats or nests too much"), limited_work():
        combinations({"a": [*range(256)], "exclude": [1] * 10_000}, {})
