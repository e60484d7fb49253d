"""Stage `dataset`: join labels and divide the rows; no value of a column in `dataset.split.by` is in two splits."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from . import contract, lineage, tables
from .contract import REST, Shares

SIMULATOR = "simulator"
"""Value of the column `origin`, if the raw data have one. Where only some rows are simulated, the others are for `test`."""


def divide(table: pd.DataFrame, by: Iterable[str], time: str | None, shares: Shares) -> dict[str, pd.DataFrame]:
    """Each split's rows; those whose groups belong to different splits, or that lack one, are left out.

    Groups that follow each other in time, such as runs, are divided by time, others by chance. If there are simulated
    and other rows, the others are the test split.
    """
    simulated = table["origin"] == SIMULATOR if "origin" in table.columns else pd.Series(data=True, index=table.index)
    if simulated.any() and not simulated.all():
        return {**divide(table[simulated], by, time, shares), REST: table[~simulated]}
    columns = _coarsest(table, by)
    ordered = [column for column in columns if time and _follow_each_other(table, column, time)]
    random = np.random.default_rng(shares.seed)
    chosen: list[pd.Series] = []
    if time and not ordered:
        chosen.append(table[time].map(_split_of(np.sort(table[time].unique()), shares)))
    for column in columns:
        if column in ordered:
            values = table.groupby(column)[time].min().sort_values(kind="stable").index.to_numpy()
        else:
            values = random.permutation(sorted(table[column].dropna().unique()))
        chosen.append(table[column].map(_split_of(values, shares)))
    agreed = chosen[0].where(pd.concat(chosen, axis=1).nunique(axis=1, dropna=False) == 1)
    return {name: table[agreed == name] for name in (*shares.of, REST)}


def _coarsest(table: pd.DataFrame, by: Iterable[str]) -> list[str]:
    """Of the columns, those that the others follow from: what no two sites share, no two devices of sites share."""
    left = list(dict.fromkeys(by))
    for column in reversed(list(left)):
        others = [other for other in left if other != column]
        if any((table.groupby(column)[other].nunique() == 1).all() for other in others):
            left.remove(column)
    return left


def _follow_each_other(table: pd.DataFrame, column: str, time: str) -> bool:
    spans = table.groupby(column)[time].agg(["min", "max"]).sort_values("min", kind="stable")
    return bool((spans["min"].to_numpy()[1:] > spans["max"].to_numpy()[:-1]).all())


def _split_of(values: Iterable[object], shares: Shares) -> dict[object, str]:
    """Value -> name of its split, in the order of the values; the last ones are for `test`."""
    values = list(values)
    ends = [round(part * len(values)) for part in np.cumsum(list(shares.of.values()))]
    return {
        value: next((name for name, end in zip(shares.of, ends, strict=True) if index < end), REST)
        for index, value in enumerate(values)
    }


def prepare(part: contract.ForSplits) -> pd.DataFrame:
    """Raw data with their labels and constants, and only the columns that the contract names."""
    table = tables.read_table(part.raw)
    key = list(part.key)
    if part.labels:
        labels = tables.read_table(part.labels)
        own = [name for name in labels.columns if name in part.wanted and name not in key]
        table = table.drop(columns=[name for name in own if name in table.columns])
        table = table.merge(labels[[*key, *own]], on=key, validate="one_to_one")
    constants = {signal.name: signal.value for signal in part.inputs if signal.value is not None}
    table = table.assign(**{name: value for name, value in constants.items() if name not in table.columns})
    if missing := [name for name in part.required if name not in table.columns]:
        raise SystemExit(f"{part.raw}: there is no column {missing[0]!r}, which contract.yaml names")
    return table[[name for name in dict.fromkeys((*part.wanted, "origin")) if name in table.columns]]


def require_learnable(table: pd.DataFrame, name: str, part: contract.ForSplits) -> None:
    """Exit with a message if a split has no rows, or a target that is missing in one or the same in all of them.

    Of a target that is not `dataset.target`, which the model learns, the latter is only told of the splits before
    `test`: a model that learns without it may be fine, and `test` is where it is measured.
    """
    more = "request more data, or change split in params.yaml"
    if table.empty:
        raise SystemExit(f"split {name} has no rows: {more}")
    for output in part.outputs:
        if output.target is None or output.shape:
            continue
        values = table[output.target]
        if values.isna().any():
            raise SystemExit(f"split {name}: {output.target} is missing in {values.isna().sum()} of {len(table)} rows")
        if values.nunique() > 1:
            continue
        fault = f"split {name}: {output.target} has one value in all {len(table)} rows"
        if name == REST or output.target == part.target:
            raise SystemExit(f"{fault}: {more}")
        sys.stderr.write(f"{fault}, so no model can learn it\n")


def main() -> None:
    """Stage `dataset`."""
    part, shares = contract.of(contract.ForSplits), contract.params("split", Shares)
    if set(shares.of) | {REST} != set(part.splits):
        raise SystemExit(
            f"params.yaml: split divides into {', '.join((*shares.of, REST))}; dataset.splits in contract.yaml has "
            f"{', '.join(part.splits)}"
        )
    for name, table in divide(prepare(part), part.by, part.time, shares).items():
        require_learnable(table, name, part)
        kept = [column for column in table.columns if column in part.wanted]
        tables.write_table(table[kept], part.splits[name])
    rule = {"by": list(part.by), **({"time": part.time} if part.time else {})}
    record = lineage.record(
        parents=[Path(path) for path in (part.raw, part.labels) if path],
        code=["splits", "lineage", "tables", "contract"],
        parameters={"split": {**shares.of, "seed": shares.seed}},
        rule=rule,
        splits={name: Path(path) for name, path in part.splits.items()},
    )
    lineage.write(record, Path(part.lineage))


if __name__ == "__main__":
    main()
