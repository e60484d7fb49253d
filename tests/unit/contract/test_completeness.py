"""Lines of a contract that wait for a person are named, wherever the mark stands."""

from __future__ import annotations

from beampermit.contract.completeness import Todo, todos


def test_a_mark_in_a_value_in_a_comment_in_both_and_alone() -> None:
    text = (
        "summary: TODO what it does\n"
        "budget: {memory: 1}    # TODO: MiB\n"
        "  - {name: auc, description: TODO what auc says}    # TODO the gate\n"
        "      - TODO\n"
        '    - {name: "Ada, of Optics", email: "TODO@maintainer.example", role: maintainer}\n'
        "    - {name: Bo, email: TODO@deputy.example, role: deputy}\n"
        "summary: it finds, and this: is prose, TODO more\n"
        "done: nothing ToDo, TODOS neither\n"
        "caveats: [TODO what else a user must know]\n"
    )
    assert todos(text) == (
        Todo(1, "summary", "what it does"),
        Todo(2, "budget", "MiB"),
        Todo(3, "description", "what auc says; the gate"),
        Todo(4, "", ""),
        Todo(5, "email", "TODO@maintainer.example"),
        Todo(6, "email", "TODO@deputy.example"),
        Todo(7, "summary", "more"),
        Todo(9, "caveats", "what else a user must know"),
    )
