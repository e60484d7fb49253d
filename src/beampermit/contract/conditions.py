"""Conditions on signals, such as `current > 10 and mode in [3, 4]`: parsed as Python, run as SQL.

A dash in a signal's name is written `_`. Allowed are numbers, `+ - * /`, comparisons, also chained, `in [...]`, `and`,
`or`, `not`, `abs(...)` and `severity(signal)`.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable

LONGEST = 500
DEEPEST = 50
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "=",
    ast.NotEq: "<>",
}
ARITHMETIC: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
Column = Callable[[str], str]
"""Signal -> its column in SQL."""


def names_in(condition: str) -> frozenset[str]:
    """The signals in a condition, as it spells them. Raises `ValueError`."""
    names: set[str] = set()

    def note(name: str) -> str:
        names.add(name)
        return name

    sql(condition, note, note)
    return frozenset(names)


def spelt(name: str) -> str:
    """A signal's name in conditions."""
    return name.replace("-", "_")


def sql(condition: str, column: Column, severity: Column) -> str:
    """The condition in SQL; a missing value makes it NULL, which keeps no row. Raises `ValueError`."""
    return _boolean(_parse(condition), column, severity)


def unknown(condition: str, signals: Iterable[str]) -> list[str]:
    """Names in a condition that are not among the `signals`."""
    return sorted(names_in(condition) - {spelt(name) for name in signals})


def _parse(condition: str) -> ast.expr:
    if len(condition) > LONGEST:
        raise ValueError(f"this condition has more than {LONGEST} characters")
    try:
        tree = ast.parse(condition.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(
            f"condition {condition!r} cannot be parsed; write it like 'current > 10 and mode == 3'"
        ) from None
    if _depth(tree) > DEEPEST:
        raise ValueError(f"condition {condition[:40]!r}... is nested too deep")
    return tree


def _depth(tree: ast.AST) -> int:
    depth, level = 0, [tree]
    while level:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _boolean(node: ast.expr, column: Column, severity: Column) -> str:
    match node:
        case ast.BoolOp(op=op, values=values):
            word = " AND " if isinstance(op, ast.And) else " OR "
            return "(" + word.join(_boolean(value, column, severity) for value in values) + ")"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return f"(NOT {_boolean(operand, column, severity)})"
        case ast.Compare(left=left, ops=ops, comparators=rights):
            pairs = zip([left, *rights], ops, rights, strict=False)
            return "(" + " AND ".join(_compare(*pair, column, severity) for pair in pairs) + ")"
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is neither true nor false; compare it with a number")


def _compare(left: ast.expr, op: ast.cmpop, right: ast.expr, column: Column, severity: Column) -> str:
    if isinstance(op, ast.In | ast.NotIn):
        if not isinstance(right, ast.List | ast.Tuple) or not right.elts:
            raise ValueError(f"`in` needs a list of numbers, not {ast.unparse(right)!r}")
        word = "IN" if isinstance(op, ast.In) else "NOT IN"
        values = ", ".join(_number(value, column, severity) for value in right.elts)
        return f"{_number(left, column, severity)} {word} ({values})"
    if type(op) not in COMPARISONS:
        raise ValueError("a condition compares with <, <=, >, >=, ==, != or `in`")
    return f"{_number(left, column, severity)} {COMPARISONS[type(op)]} {_number(right, column, severity)}"


def _number(node: ast.expr, column: Column, severity: Column) -> str:
    match node:
        case ast.Constant(value=bool()):
            raise ValueError("True and False are not numbers; write 1 or 0")
        case ast.Constant(value=int() | float() as value) if abs(value) < 1e300 and math.isfinite(value):
            return f"CAST({float(value)!r} AS DOUBLE)"
        case ast.Name(id=name):
            return column(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"(- {_number(operand, column, severity)})"
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            first, second = _number(left, column, severity), _number(right, column, severity)
            # SQL orders NaN above all numbers, so a result that is not finite becomes NULL.
            return _finite(f"{first} {ARITHMETIC[type(op)]} {second}")
        case ast.Call(func=ast.Name(id="abs"), args=[value], keywords=[]):
            return f"abs({_number(value, column, severity)})"
        case ast.Call(func=ast.Name(id="severity"), args=[ast.Name(id=name)], keywords=[]):
            return severity(name)
        case _:
            raise ValueError(f"{ast.unparse(node)[:60]!r} is not allowed in a condition")


def _finite(expression: str) -> str:
    return f"(CASE WHEN isfinite({expression}) THEN {expression} END)"
