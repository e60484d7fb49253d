"""Expressions and matrices have the values that GitHub gives them; what the files do not determine is unknown."""

from __future__ import annotations

from typing import Any

import pytest

from beampermit.workflows.expansion import combinations
from beampermit.workflows.expressions import (
    MOST_LETTERS,
    MOST_VALUES,
    TRUSTED,
    UNKNOWN,
    Numbered,
    Partly,
    Repository,
    distinct,
    expressions_in,
    possible_values,
)

CONTEXTS: dict[str, Any] = {
    "inputs": {"runner": "gpu", "labels": '["gpu"]', "empty": "", "any": UNKNOWN},
    "matrix": {"some": ["a", UNKNOWN], "os": "ubuntu", "py": 3.12, "image": {"name": "macos-15", "tags": ["a", "b"]}},
    "github": Partly(sha=TRUSTED),
    "ours": Repository("full_name", is_ours=True),
    "theirs": Repository("full_name", is_ours=False),
    "id": Repository("id", is_ours=False),
    "ref": Numbered("refs/pull/0/merge"),
}


def format_bomb(depth: int, width: int = 20) -> str:
    """An expression whose text has `width ** depth` letters."""
    start = f"format('{'{0}' * width}', "
    return f"${{{{ {start * depth}'a'{')' * depth} }}}}"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("ubuntu-latest", ("ubuntu-latest",)),
        ("${{ matrix.os }}-latest", ("ubuntu-latest",)),
        ("a-${{ matrix.py }}-${{ matrix.OS }}", ("a-3.12-ubuntu",)),
        ("${{ matrix.image.name }}", ("macos-15",)),
        ("${{ matrix['image'].tags[1] }}", ("b",)),
        ("${{ matrix.none }}", (None,)),
        ("x${{ matrix.none }}", ("x",)),
        ("${{ matrix.none || 'a' }}", ("a",)),
        ("${{ inputs.empty || inputs.runner }}", ("gpu",)),
        ("${{ fromJSON(inputs.labels) }}", (["gpu"],)),
        ("${{ fromJSON(toJSON(matrix.image)).name }}", ("macos-15",)),
        ("${{ matrix.os == 'Ubuntu' && 'it''s' || 'not' }}", ("it's",)),
        ("${{ !(matrix.py == 3.12) }}", (False,)),
        ("${{ '' == 0 && true != 1 }}", (False,)),
        ("${{ format('{0}-{1}', matrix.os, 'x') }}", ("ubuntu-x",)),
        ("${{ contains(matrix.os, 'BUN') && startsWith(matrix.os, 'u') && endsWith('ab', 'b') }}", (True,)),
        ("${{ contains(fromJSON('[\"a\", \"b\"]'), 'B') }}", (True,)),
        ("${{ github.sha }}", (TRUSTED,)),
        ("v-${{ github.sha }}", (TRUSTED,)),
        ("${{ github.sha }}${{ github.head_ref }}", (UNKNOWN,)),
        ("${{ needs.a.outputs.b }}", (UNKNOWN,)),
        ("${{ needs.a.outputs.b && 'a' || 'b' }}", ("a", "b")),
        ("${{ inputs.any || 'b' }}", (UNKNOWN, "b")),
        ("${{ inputs.any && 'b' }}", ("b", UNKNOWN)),
        ("${{ inputs.any == 'a' && 'b' || 'c' }}", ("b", "c")),
        ("${{ github.event_name > 1 && 'b' || 'c' }}", ("b", "c")),
        ("${{ contains(github.ref, 'x') && 'b' || 'c' }}", ("b", "c")),
        ("${{ contains(github, 'x') && 'b' || 'c' }}", ("b", "c")),
        ("${{ contains(matrix.some, 'x') && 'b' || 'c' }}", ("b", "c")),
        ("${{ matrix == matrix && 'b' || 'c' }}", ("b", "c")),
        (format_bomb(2), ("a" * 400,)),
        ("${{ hashFiles('a') }}", (UNKNOWN,)),
        ("${{ theirs }}x", (UNKNOWN,)),
        ("${{ ours }}${{ ref }}", (TRUSTED,)),
        ("${{ format('{0}', ours) }}", (TRUSTED,)),
        ("${{ format('{0}', ref) }}${{ format('{0}', theirs) }}", (UNKNOWN,)),
        ("${{ matrix[ref] }}", (UNKNOWN,)),
        ("${{ ours == theirs }}", (False,)),
        ("${{ 'a/b' == theirs || theirs == '' }}", (True, False)),
        ("${{ 'a/b' != theirs && ours != theirs && theirs == theirs }}", (True,)),
        ("${{ ours == 'a/b' }}", (True, False)),
        ("${{ id == theirs }}", (True, False)),
        ("${{ contains(fromJSON('[\"a/b\"]'), theirs) }}", (True, False)),
        ("${{ theirs && 'a' || 'b' }}", ("a", "b")),
        ("${{ startsWith(ref, 'refs/pull/') && endsWith(ref, '/Merge') }}", (True,)),
        ("${{ ref == 'refs/heads/main' || contains(ref, 'tags') || ref == 'refs/pull//merge' }}", (False,)),
        ("${{ ref == 'refs/pull/7/merge' }}", (True, False)),
        ("${{ contains(ref, '7') }}", (True, False)),
        ("${{ contains(fromJSON('[\"refs/heads/main\"]'), ref) }}", (False,)),
        ("${{ always() && 'a' }}", ("a",)),
        ("${{ success() && 'a' || failure() && 'b' }}", ("a", "b", UNKNOWN)),
        ("${{ matrix.image.* }}", (UNKNOWN,)),
    ],
)
def test_value_is_the_one_of_github(text: str, values: tuple[Any, ...]) -> None:
    assert possible_values(text, CONTEXTS) == values


@pytest.mark.parametrize(
    "text",
    [
        "${{ }}",
        "${{ matrix. }}",
        "${{ matrix.os",
        "${{ matrix.os }} ${{ 'a }}",
        "${{ matrix.os 'a' }}",
        "${{ (matrix.os }}",
        "${{ fromJSON('[') }}",
        "${{ fromJSON('9' }}",
        "${{ format('{9}', 'a') }}",
        "${{ format('{a', 'a') }}",
        "${{ format() }}",
        "${{ format('{0}', github) }}",
        "${{ format('{٣}', 'a', 'b', 'c', 'd') }}",
        "${{ format(github, 'a') }}",
        "${{ fromJSON(github) }}",
        "${{ fromJSON() }}",
        "${{ contains() }}",
        "${{ contains('a', 'b', 'c') }}",
        "${{ '0x1' == 1 }}",
        "${{ '1_000' == 1000 }}",
        f"${{{{ {'1 || ' * (MOST_LETTERS // 5)}1 }}}}",
        pytest.param(format_bomb(4), id="texts in texts"),
        pytest.param(format_bomb(10), id="more texts in texts than fit in memory"),
        pytest.param(format_bomb(3, width=34) * 2, id="a long text beside another"),
        f"${{{{ {'(' * 5000}1{')' * 5000} }}}}",
        "".join(f"${{{{ inputs.any && {number} || '' }}}}" for number in range(MOST_VALUES)),
    ],
)
def test_what_github_would_not_read_and_what_is_too_much_is_unknown(text: str) -> None:
    assert possible_values(text, CONTEXTS) == (UNKNOWN,)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (None, [{}]),
        ({"a": [1, 2]}, [{"a": 1}, {"a": 2}]),
        ({"a": [1, 2], "b": [3], "exclude": [{"a": 2}]}, [{"a": 1, "b": 3}]),
        ({"a": [1, True], "exclude": [{"a": 1}]}, [{"a": True}]),
        ({"a": [{"b": 1}, {"b": True}], "exclude": [{"a": {"b": True}}]}, [{"a": {"b": 1}}]),
        ({"include": [{"a": 1}, {"b": 2}]}, [{"a": 1}, {"b": 2}]),
        (
            {"a": [{"b": "${{ needs.x.outputs.y }}"}], "include": [{"a": {"b": 1}, "c": 2}]},
            [{"a": {"b": UNKNOWN}}, {"a": {"b": 1}, "c": 2}, {"a": {"b": 1}, "c": 2}],
        ),
        ({"a": [1], "include": [{"b": 2}]}, [{"a": 1, "b": 2}]),
        ({"a": [1], "include": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}, [{"a": 1, "b": 2}, {"a": 3, "b": 4}]),
        ({"a": "${{ fromJSON(inputs.labels) }}"}, [{"a": "gpu"}]),
        ({"a": [{"on": "${{ inputs.runner }}"}]}, [{"a": {"on": "gpu"}}]),
        ({"a": ["${{ needs.x.outputs.y && 'b' || 'c' }}"]}, [{"a": "b"}, {"a": "c"}]),
        ({"a": "${{ needs.x.outputs.y }}", "b": [1]}, [{"a": UNKNOWN, "b": 1}]),
        (
            {"a": "${{ needs.x.outputs.y }}", "include": [{"a": 1, "b": 2}]},
            [{"a": UNKNOWN}, {"a": 1, "b": 2}, {"a": 1, "b": 2}],
        ),
        ({"a": [1], "include": "${{ fromJSON(needs.x.outputs.y) }}"}, [{"a": 1}, {}]),
        ("${{ fromJSON(needs.x.outputs.y) }}", [{}]),
        ({"a": []}, [{}]),
        ({"a": list(range(17)), "b": list(range(17))}, [{}]),
    ],
)
def test_matrix_has_the_combinations_of_github_or_more(matrix: Any, expected: list[dict[str, Any]]) -> None:
    assert list(combinations(matrix, CONTEXTS)) == expected


def test_member_of_a_matrix_that_is_not_known_is_unknown() -> None:
    for matrix in ("${{ fromJSON(vars.A) }}", {"include": "${{ vars.A }}"}, {"a": list(range(300))}, {"a": []}):
        assert all(
            possible_values("${{ matrix.on }}", {"matrix": values}) == (UNKNOWN,)
            for values in combinations(matrix, CONTEXTS)
        )


def test_values_of_two_kinds_stay_apart_at_any_depth() -> None:
    values = (1, True, "1", {"a": [1]}, {"a": [True]}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, Partly(a=[1]))
    assert len(distinct((*values, *values))) == len(values)


def test_an_expression_without_an_end_is_read_to_the_end_of_the_text() -> None:
    assert expressions_in("${{ a }} ${{ secrets.A") == ("a", "secrets.A")
    assert expressions_in("${{ " * 20_000) == ("${{" * 19_999,)
    assert possible_values("${{ 'a' }}${{ '}}", CONTEXTS) == (UNKNOWN,)
