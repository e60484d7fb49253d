"""The contract that follows from a table: signals, first gates, and what a person must look at."""

# ruff: noqa: S608 - names and paths in SQL are quoted
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from beampermit.datasets.tables import Table, quoted, sql_text
from beampermit.errors import counted
from beampermit.generation.drafting import Draft, DraftColumn, DraftMetric, DraftSignal, listed, widened
from beampermit.generation.from_table.roles import ROW, Classes, Roles, has_value
from beampermit.generation.from_table.survey import Column
from beampermit.generation.names import Names, split_unit
from beampermit.record import Record

TEST_SHARE = 0.3
"""Of the rows; `split` of the template's params.yaml."""
SIGMAS = 2
"""A model that guesses stays below so many standard deviations of its ROC AUC, in 98 of 100 tries."""
PUBLISHED: dict[str, Any] = {"source": "pv", "tolerance": "1%"}
"""Of outputs; the same training on another machine gives predictions that differ by a small part of their span."""
RESERVED = ("origin", ROW, "split")
KINDS = {
    "torch": "A network of two hidden layers on scaled inputs, trained with Adam.",
    "xgboost": "Gradient-boosted trees by XGBoost.",
    "scikit-learn": "A random forest by scikit-learn, served as ONNX.",
}
"""Library -> what `model.kind` says of the template's model."""


class Drafted(Record):
    """The draft; `classes` are outputs that are probabilities, those of one column together; `categories` are inputs
    whose numbers stand for so many texts; `renamed` is signal -> column where the two differ."""

    draft: Draft
    classes: tuple[tuple[str, ...], ...]
    categories: dict[str, int]
    renamed: dict[str, str]
    notes: tuple[str, ...]


def draft(roles: Roles, table: Table, path: str, library: str) -> Drafted:
    """`path` is where the project has the table."""
    return _Drafting(roles, table, path, library).draft()


class _Drafting:
    def __init__(self, roles: Roles, table: Table, path: str, library: str):
        self._roles = roles
        self._table = table
        self._path = path
        self._library = library
        others = (*roles.groups, *filter(None, (roles.time,)))
        classed = [column.name for column in roles.outputs if column.name in roles.classes]
        kept = [*RESERVED, *(column.name for column in others), *classed]
        self._truth_of = _truths(roles, {name.casefold() for name in kept})
        self._names = Names([*kept, *self._truth_of.values()])
        self._renamed: dict[str, str] = {}
        self._truths: dict[str, dict[str, str]] = {}
        self._classes: list[tuple[str, ...]] = []
        self._quantities: list[str] = []
        self._metrics: list[DraftMetric] = []
        self._chosen: list[str] = []

    def draft(self) -> Drafted:
        roles = self._roles
        inputs = tuple(self._input(place, column) for place, column in enumerate(roles.inputs, 1))
        outputs = tuple(signal for column in roles.outputs for signal in self._outputs(column))
        texts = [(signal, column) for signal, column in zip(inputs, roles.inputs, strict=True) if column.kind == "text"]
        categories = {signal.name: roles.classes[column.name] for signal, column in texts}
        options: dict[str, Any] = {"path": self._path}
        options |= {"key": roles.key.name} if roles.key else {}
        options |= {"epoch": roles.epoch} if roles.epoch else {}
        options |= {
            "columns": self._renamed,
            "quantities": self._quantities,
            "values": {name: sorted(found.values) for name, found in categories.items()},
            "classes": self._truths,
        }
        time = roles.time.name if roles.time else None
        by = tuple(column.name for column in roles.groups) or (time or ROW,)
        columns = tuple(
            DraftColumn(name=column.name, values=tuple(sorted(roles.classes[column.name].values)))
            for column in roles.outputs
            if column.kind == "text"
        )
        notes = (*self._notes(), *self._chosen)
        drafted = Draft(
            kind=KINDS[self._library],
            inputs=inputs,
            outputs=outputs,
            columns=columns,
            metrics=tuple(self._metrics),
            source="table",
            options={key: value for key, value in options.items() if value not in ({}, [], None)},
            key=(ROW,),
            by=by,
            time=time,
            remarks=(*self._notes(), *self._todos(inputs)),
            output_remarks=(
                *self._chosen,
                "TODO PVs that the outputs are written to, and what an operator must know of their ranges.",
            ),
            split_remarks=(self._how_split(),),
            gate_remarks=(
                "TODO put what the use needs. The first gates are those of a model that has learnt nothing: always the"
                " mean (r2, rmse), always the share of the class (brier), or guessing with luck (roc_auc:"
                f" {SIGMAS} standard deviations above 0.5 in so many test rows). Tolerances are wide; REP001 and REP002"
                " say what was measured.",
            ),
        )
        return Drafted(
            draft=drafted,
            classes=tuple(self._classes),
            categories={name: len(found.values) for name, found in categories.items()},
            renamed=self._renamed,
            notes=notes,
        )

    def _name(self, column: Column, place: int) -> str:
        name = self._names.take(split_unit(column.name)[0], f"column-{place}")
        if name != column.name:
            self._renamed[name] = column.name
        return name

    def _input(self, place: int, column: Column) -> DraftSignal:
        name = self._name(column, place)
        shown = "" if name == column.name else column.name
        if column.kind == "text":
            values = sorted(self._roles.classes[column.name].values)
            places = ", ".join(f"{number} {value}" for number, value in enumerate(values))
            return DraftSignal(name=name, range=(0, len(values) - 1), description=f"{column.name}: {places}"[:400])
        pv = column.given if ":" in column.given and " " not in column.given else None
        update = {"source": "pv" if pv else "derived", "pv": pv, "description": shown}
        return self._quantity(column, name).model_copy(update=update)

    def _quantity(self, column: Column, name: str) -> DraftSignal:
        unit = column.unit or split_unit(column.given)[1] or "1"
        if column.kind == "boolean":
            return DraftSignal(name=name, unit=unit, range=(0.0, 1.0))
        span = widened(*_ends(column))
        step = column.step if column.step and column.step < (span[1] - span[0]) / 2 else None
        return DraftSignal(name=name, unit=unit, range=span, resolution=step)

    def _outputs(self, column: Column) -> Iterator[DraftSignal]:
        found = self._roles.classes.get(column.name)
        place = self._roles.outputs.index(column) + 1
        if found is None:
            yield self._number(column, place)
            return
        if column.kind != "boolean" and len(found.values) > 2:
            values = sorted(found.values)
            why = f"The outputs are the probabilities of the {len(values)} values of {column.name!r}; their sum is 1."
        else:
            values = [_positive(found, column)]
            other = next(value for value in found.values if value != values[0])
            why = f"The output is the probability that {column.name!r} is {values[0]}; the other value is {other}."
        if column.kind in ("number", "whole"):
            why += " Whole numbers of so few values are taken for classes."
        if rare := [value for value, count in zip(found.values, found.counts, strict=True) if count < 10]:
            why += f" Of {listed(rare)} there are fewer than 10 rows."
        self._chosen.append(why)
        signals = [self._class(column, value, place) for value in values]
        self._classes.append(tuple(signal.name for signal in signals))
        yield from signals

    def _number(self, column: Column, place: int) -> DraftSignal:
        name = self._name(column, place)
        self._quantities.append(name)
        signal = self._quantity(column, name)
        name_column = f"({quoted(column.name)})::DOUBLE"
        ((spread,),) = self._table.query(
            f"SELECT stddev_pop({name_column}) FROM {self._table.source} WHERE {self._complete()}"
        )
        unit = "" if signal.unit == "1" else f", in {signal.unit}"
        metrics = (
            ("r2", 0.0, f"Fraction of the variance of {name} that is explained"),
            ("rmse", _rounded(spread), f"Root of the mean squared error of {name}{unit}"),
        )
        self._add(name, metrics)
        update = {
            **PUBLISHED,
            "pv": f"TODO:{name.upper()}",
            "resolution": None,
            "target": name,
            "description": f"TODO what {column.name} is",
        }
        return signal.model_copy(update=update)

    def _class(self, column: Column, value: str, place: int) -> DraftSignal:
        own = split_unit(column.name)[0]
        binary = column.kind == "boolean" or value in ("1", "1.0")
        name = self._names.take(f"{own}-probability" if binary else f"{own}-{value}", f"output-{place}")
        truth = self._truth_of[column.name, value]
        self._truths[truth] = {"column": column.name, "value": value}
        ((rows, ones),) = self._table.query(
            f"SELECT count(*), count_if(CAST({quoted(column.name)} AS VARCHAR) = {sql_text(value)})"
            f" FROM {self._table.source} WHERE {self._complete()}"
        )
        share = ones / rows
        metrics = (
            ("roc_auc", _guessing(rows, share), f"Probability that a row of {value} has a higher answer than another"),
            ("brier", _rounded(share * (1 - share)), f"Mean squared error of the probability of {value}"),
        )
        self._add(name, metrics)
        return DraftSignal(
            name=name,
            **PUBLISHED,
            pv=f"TODO:{name.upper()}",
            range=(0, 1),
            target=truth,
            description=f"Probability that {column.name} is {value}",
        )

    def _complete(self) -> str:
        gaps = [column for column in self._roles.used if column.present < self._roles.rows]
        return " AND ".join(map(has_value, gaps)) or "true"

    def _add(self, output: str, metrics: tuple[tuple[Any, float, str], ...]) -> None:
        """Metrics of an output: their names are those of the measures, where the model has one output."""
        alone = (
            len(self._roles.outputs) == 1 and len(self._roles.classes.get(self._roles.outputs[0].name, ONE).values) <= 2
        )
        for measure, gate, description in metrics:
            name = measure.replace("_", "-")
            self._metrics.append(
                DraftMetric(
                    name=name if alone else f"{output[: 63 - len(name)]}-{name}",
                    measure=measure,
                    output=output,
                    gate=gate,
                    tolerance="1%",
                    seed_tolerance="20%" if measure == "rmse" else "0.05",
                    description=description,
                )
            )

    def _todos(self, inputs: tuple[DraftSignal, ...]) -> Iterator[str]:
        yield (
            "TODO check the ranges: they are those of the table, wider by a tenth, and a value outside is not physical."
            " A resolution is the step in which the table has its numbers; two rows within it are one to DAT005."
        )
        derived = sum(signal.source == "derived" for signal in inputs)
        unitless = sum(signal.unit == "1" for signal in inputs)
        if derived:
            yield (
                f"TODO say of the {derived} inputs with `source: derived` which are read from a PV: take `source` away"
                " and write `pv: NAME, stale_after: 10s`."
            )
        if unitless:
            yield f"TODO check the unit of the {unitless} inputs for which the table states none: 1 is dimensionless."

    def _notes(self) -> tuple[str, ...]:
        roles = self._roles
        return tuple(filter(None, (self._about_rows(), *self._left_out(roles.left_out), self._about_names())))

    def _about_rows(self) -> str:
        missing = self._roles.rows - self._roles.complete
        if not missing:
            return ""
        return f"{missing} of {self._roles.rows} rows have no value in one of the columns, and are left out."

    def _about_names(self) -> str:
        if not self._renamed:
            return ""
        changed = counted(len(self._renamed), "column")
        return f"The names of {changed} are changed: dataset.request.options.columns has signal and column."

    def _left_out(self, left_out: dict[str, str]) -> Iterator[str]:
        by_reason: dict[str, list[str]] = {}
        for name, why in left_out.items():
            by_reason.setdefault(why, []).append(repr(name))
        for why, names in by_reason.items():
            yield f"Left out, because {why}: {listed(names)}."

    def _how_split(self) -> str:
        groups = " and ".join(repr(column.name) for column in self._roles.groups)
        time = self._roles.time.name if self._roles.time else ""
        together = "rows that belong together, as those of one shift, may be in two: name what they share with --group"
        if groups and time:
            how = f"Rows with one value of {groups} are all in one split, and the splits follow each other in {time!r}"
            how += "; rows are left out whose group and time belong to different splits"
        elif groups:
            how = f"Rows with one value of {groups} are all in one split"
        elif time:
            how = f"The splits follow each other in {time!r}; {together}"
        else:
            how = f"Rows are divided at random, by params.yaml's split.seed; {together}"
        return f"{how}. DAT005 looks for equal rows in two splits."


ONE = Classes(values=(), counts=())


def _truths(roles: Roles, taken: set[str]) -> dict[tuple[str, str], str]:
    """Output and value -> the column that is 1 where the output has the value, of a name of its own."""
    truths: dict[tuple[str, str], str] = {}
    for column in roles.outputs:
        for value in roles.classes.get(column.name, ONE).values:
            truth = f"{column.name}_is_{value}"
            while truth.casefold() in taken:
                truth += "_"
            taken.add(truth.casefold())
            truths[column.name, value] = truth
    return truths


def _ends(column: Column) -> tuple[float, float]:
    return column.lowest or 0.0, column.highest or 0.0


def _positive(found: Classes, column: Column) -> str:
    """The value whose probability is the output: true, the higher number, or the rarer text."""
    if column.kind == "text":
        return found.values[-1]
    return max(found.values, key=lambda value: value == "true" if column.kind == "boolean" else float(value))


def _guessing(rows: int, share: float) -> float:
    """The ROC AUC that a guess hardly exceeds: `SIGMAS` standard deviations above one half in the test rows."""
    tested = max(2, round(rows * TEST_SHARE))
    ones = min(max(1, round(tested * share)), tested - 1)
    deviation = math.sqrt((tested + 1) / (12 * ones * (tested - ones)))
    return min(0.99, round(0.5 + SIGMAS * deviation, 3))


def _rounded(value: float | None) -> float:
    """Three digits, and never more than the value."""
    if not value or not math.isfinite(value):
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.floor(value / step) * step:.3g}")
