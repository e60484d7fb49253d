"""What the contract says of a column of the splits: an input, a target, or another column with declared values."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from beampermit.contract import Contract, Signal
from beampermit.contract.dataset import Column
from beampermit.contract.part import Span

FINITE: Span = (-sys.float_info.max, sys.float_info.max)


@dataclass(frozen=True)
class ColumnRule:
    """Numbers of a shape, in a range and a unit where they are given; or, with `values`, one of these as text."""

    column: str
    shape: tuple[int, ...] = ()
    unit: str | None = None
    range: Span = FINITE
    values: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    """What the numbers stand for, where they stand for words."""

    @classmethod
    def of(cls, signal: Signal, column: str = "") -> ColumnRule:
        """The rule of an input's column, or of the `column` of truth of an output."""
        return cls(column or signal.name, signal.shape, signal.unit, signal.range, words=signal.words)


def column_rules(contract: Contract, base_contract: Contract) -> tuple[ColumnRule, ...]:
    """The rules of targets and of `dataset.columns`: as the base contract declares them, and this one what is new.

    What `dataset.columns` says of a target comes before the range of its output.
    """
    declared = {rule.column: rule for rule in _declared(contract)} | {
        rule.column: rule for rule in _declared(base_contract)
    }
    return tuple({**{rule.column: rule for rule in _targets(contract, base_contract)}, **declared}.values())


def _targets(contract: Contract, base_contract: Contract) -> Iterator[ColumnRule]:
    known = {output.name: output for output in base_contract.signals.outputs}
    for output in contract.signals.outputs:
        judging = known.get(output.name, output)
        if judging.target:
            yield ColumnRule.of(judging, judging.target)


def _declared(contract: Contract) -> Iterator[ColumnRule]:
    for column in contract.dataset.columns:
        yield _rule(column)


def _rule(column: Column) -> ColumnRule:
    return ColumnRule(column.name, column.shape, column.unit, column.range or FINITE, column.values)
