"""Reads `model_config.yaml` of a LUME model: its variables and the files of its network.

What cannot be used ends with an error that names every line. What only contradicts itself, such as a default outside
its range, is told and left out.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from beampermit.errors import BadInput, Problem, did_you_mean
from beampermit.generation.names import Names
from beampermit.reading import decode, parse_yaml
from beampermit.record import Record

LARGEST = 2**22
"""Characters of a configuration; a hundred thousand variables are fewer."""
SCALARS = ("ScalarVariable", "TorchScalarVariable")
OTHERS = ("NDVariable", "TorchNDVariable", "NumpyNDVariable", "DistributionVariable")
MODELS = ("TorchModel", "TorchModule")
OTHER_MODELS = ("GPModel", "NNEnsemble", "FixedVariableModel")
KEYS = (
    *("variable_class", "name", "default_value", "value_range", "unit", "read_only", "is_constant"),
    *("value_range_tolerance", "default_validation_config", "dtype"),
)
TOLERANCE = 1e-8
"""How far, relative to its size, a default may be outside its range: LUME's own tolerance."""
RESERVED = ("sample", "origin", "split")
"""Columns that a project's tables have beside the signals."""
LARGEST_BITS = 1000
"""Of a whole number that is a floating-point number too."""


class Variable(Record):
    """An input or output: a scalar."""

    name: str
    line: int
    unit: str | None = None
    span: tuple[float, float] | None = None
    """Its range; none where the configuration has none, or an infinite one."""
    default: float | None = None
    constant: bool = False
    """Always its default, which it then has."""

    @property
    def slug(self) -> str:
        """Its name in a contract and in tables: `QUAD:IN20:121:BCTRL` is `quad-in20-121-bctrl`."""
        return Names(RESERVED).take(self.name, "signal")

    @property
    def looks_like_pv(self) -> bool:
        return ":" in self.name


class LumeModel(Record):
    """A configuration; its files are paths on this machine, in the order in which they are applied."""

    file: Path
    inputs: tuple[Variable, ...]
    outputs: tuple[Variable, ...]
    model: Path
    input_transformers: tuple[Path, ...] = ()
    output_transformers: tuple[Path, ...] = ()
    precision: Literal["double", "single"] = "double"
    left_out: tuple[Problem, ...] = ()
    """What contradicts itself, and is not part of the model here."""


def load_lume(file: Path) -> LumeModel:
    """Read a `model_config.yaml`. Raises `BadInput` with every line that cannot be used."""
    if not is_file(file):
        raise BadInput("there is no such file", file=file)
    if file.stat().st_size > LARGEST:
        raise BadInput(f"larger than {LARGEST} bytes: not a LUME configuration", file=file)
    tree = parse_yaml(decode(file.read_bytes(), file), file, lines=True, aliases=True)
    if not isinstance(tree, Mapping):
        raise BadInput("a LUME configuration is a mapping of keys to values", file=file, line=1)
    return _Reader(file).read(tree)


@dataclass
class _Reader:
    file: Path
    wrong: list[Problem] = field(default_factory=list)
    told: list[Problem] = field(default_factory=list)

    def read(self, tree: Mapping[str, Any]) -> LumeModel:
        config = self._model_of(tree)
        inputs = self._variables(config, "input_variables")
        outputs = self._variables(config, "output_variables")
        self._check_names(inputs, outputs)
        for key, variables in (("input_order", inputs), ("output_order", outputs)):
            self._check_order(tree, key, variables)
        files = self._files(config)
        precision = config.get("precision", "double")
        if precision not in ("double", "single"):
            self._refuse(f"precision: {precision!r} is neither double nor single", config, "precision")
        if self.wrong:
            first, *others = sorted(self.wrong, key=lambda problem: problem.line or 0)
            raise BadInput(first.message, file=first.file, line=first.line, hint=first.hint, also=others)
        return LumeModel(
            file=self.file,
            inputs=inputs,
            outputs=outputs,
            model=files["model"][0],
            input_transformers=tuple(files["input_transformers"]),
            output_transformers=tuple(files["output_transformers"]),
            precision=precision,
            left_out=tuple(self.told),
        )

    def _model_of(self, tree: Mapping[str, Any]) -> Mapping[str, Any]:
        """The configuration of the TorchModel: `tree`, or what a TorchModule holds."""
        kind = tree.get("model_class")
        if kind not in MODELS:
            raise BadInput(
                f"model_class: {_class_fault(kind, MODELS, OTHER_MODELS)}",
                file=self.file,
                line=line_of_key(tree, "model_class"),
                hint="use `beampermit new --from-table` with a table of its inputs and outputs",
            )
        if kind == "TorchModel":
            return tree
        inner = tree.get("model")
        if not isinstance(inner, Mapping):
            raise BadInput(
                "model: a TorchModule holds the mapping of a TorchModel",
                file=self.file,
                line=line_of_key(tree, "model"),
            )
        return inner

    def _variables(self, config: Mapping[str, Any], key: str) -> tuple[Variable, ...]:
        variables = config.get(key)
        if not isinstance(variables, Mapping) or not variables:
            self._refuse(f"{key}: this must be a mapping of names to variables", config, key)
            return ()
        is_input = key == "input_variables"
        read = (self._variable(variables, name, is_input) for name in variables)
        return tuple(variable for variable in read if variable)

    def _variable(self, variables: Mapping[str, Any], name: Any, is_input: bool) -> Variable | None:
        body = variables[name]
        if not isinstance(name, str) or not re.search(r"[A-Za-z0-9]", name) or not isinstance(body, Mapping):
            self._refuse(f"{name}: a variable is a name with a mapping of keys to values", variables, name)
            return None
        kind = body.get("variable_class")
        if kind not in SCALARS:
            self._refuse(
                f"{name}: variable_class: {_class_fault(kind, SCALARS, OTHERS)}",
                body,
                "variable_class",
                variables,
                name,
            )
            return None
        for unknown in [key for key in body if key not in KEYS]:
            self._tell(f"{name}: unknown key {unknown!r}{did_you_mean(str(unknown), KEYS)}", body, unknown)
        span = self._span(name, body)
        default = self._number(name, body, "default_value")
        read_only = self._flag(name, body)
        # LUME takes a range with equal ends for a constant, whatever the flag says.
        equal = bool(span and span[0] == span[1])
        common = {"name": str(name), "line": line_of_key(variables, name), "unit": self._unit(name, body)}
        if is_input and (read_only or equal):
            value = self._constant(name, body, variables, span, default)
            return (
                None
                if value is None
                else Variable(**common, span=None if equal else span, default=value, constant=True)
            )
        if span and equal:
            self._tell(f"{name}: value_range {_text(span)} is a single value", body, "value_range")
            span = None
        if is_input and span is None and not self._refused(body):
            message = f"{name}: an input needs a value_range with two different finite ends, or `read_only: true`"
            self._refuse(message, body, "value_range", variables, name)
        if default is not None and span and not within(default, span):
            self._tell(
                f"{name}: default_value {default:g} is outside its value_range {_text(span)}", body, "default_value"
            )
            default = None
        return Variable(**common, span=span, default=default)

    def _constant(
        self, name: str, body: Mapping[str, Any], around: Any, span: tuple[float, float] | None, default: float | None
    ) -> float | None:
        if default is None and span and span[0] == span[1]:
            return span[0]
        if default is None:
            self._refuse(f"{name}: a constant needs its value as default_value", body, "default_value", around, name)
        elif span and not within(default, span):
            message = f"{name} is constant, but default_value {default:g} is outside its value_range {_text(span)}"
            self._refuse(message, body, "default_value")
            return None
        return default

    def _span(self, name: str, body: Mapping[str, Any]) -> tuple[float, float] | None:
        ends = body.get("value_range")
        if ends is None:
            return None
        if not isinstance(ends, Sequence) or isinstance(ends, str) or not all(_is_number(end) for end in ends):
            self._refuse(f"{name}: value_range is two numbers, [lowest, highest]", body, "value_range")
            return None
        if len(ends) != 2:
            self._refuse(f"{name}: value_range has {len(ends)} numbers, not two", body, "value_range")
            return None
        lowest, highest = map(float, ends)
        if not lowest <= highest:  # NaN too
            self._refuse(f"{name}: value_range [{lowest:g}, {highest:g}] is empty or reversed", body, "value_range")
            return None
        return (lowest, highest) if math.isfinite(lowest) and math.isfinite(highest) else None

    def _number(self, name: str, body: Mapping[str, Any], key: str) -> float | None:
        value = body.get(key)
        if value is None or (_is_number(value) and math.isfinite(value)):
            return None if value is None else float(value)
        if isinstance(value, Sequence) and not isinstance(value, str):
            self._refuse(f"{name}: {key} has {len(value)} values, and a scalar has one", body, key)
        else:
            self._refuse(f"{name}: {key} {value!r} is not a finite number", body, key)
        return None

    def _flag(self, name: str, body: Mapping[str, Any]) -> bool:
        given = {key: body[key] for key in ("read_only", "is_constant") if body.get(key) is not None}
        for key, value in given.items():
            if not isinstance(value, bool):
                self._refuse(f"{name}: {key} is true or false, not {value!r}", body, key)
        if len(set(map(bool, given.values()))) > 1:
            self._refuse(
                f"{name}: read_only and is_constant, its older name, contradict each other", body, "is_constant"
            )
        return any(given.values())

    def _unit(self, name: str, body: Mapping[str, Any]) -> str | None:
        unit = body.get("unit")
        if unit is None or (isinstance(unit, str) and unit.strip()):
            return unit and str(unit).strip()
        self._tell(f"{name}: unit {unit!r} is not a text", body, "unit")
        return None

    def _check_names(self, inputs: Sequence[Variable], outputs: Sequence[Variable]) -> None:
        seen: dict[str, Variable] = {}  # without the difference between a hyphen and an underscore
        for variable in (*inputs, *outputs):
            other = seen.setdefault(variable.slug.replace("_", "-"), variable)
            if other is not variable:
                same = (
                    f"has the name of line {other.line}"
                    if other.name == variable.name
                    else f"and {other.name!r} of line {other.line} are both {variable.slug!r} in a contract"
                )
                self.wrong.append(Problem(f"{variable.name!r} {same}", str(self.file), variable.line))

    def _check_order(self, tree: Mapping[str, Any], key: str, variables: Sequence[Variable]) -> None:
        """A TorchModule may name its tensors' columns in another order, never others or fewer."""
        order = tree.get(key)
        if order is None or not variables or self.wrong:
            return
        names = [variable.name for variable in variables]
        if not isinstance(order, Sequence) or isinstance(order, str):
            self._refuse(f"{key}: this must be a list of names", tree, key)
        elif len(order) != len(names):
            self._refuse(f"{key} has {len(order)} names, and there are {len(names)} variables", tree, key)
        elif unknown := [str(name) for name in order if name not in names]:
            self._refuse(f"{key}: there is no variable {unknown[0]!r}{did_you_mean(unknown[0], names)}", tree, key)
        elif len(set(order)) != len(names):
            self._refuse(f"{key} has a name twice", tree, key)

    def _files(self, config: Mapping[str, Any]) -> dict[str, list[Path]]:
        named: dict[str, list[Path]] = {}
        for key in ("model", "input_transformers", "output_transformers"):
            value = config.get(key)
            names = [] if value is None else [value] if isinstance(value, str) or key == "model" else value
            if not isinstance(names, Sequence) or not all(isinstance(name, str) and name for name in names):
                self._refuse(f"{key}: this must be the path of a file", config, key)
                names = []
            if not names and key == "model" and not self._refused(config):
                self._refuse("model: there is no file of the network", config, "model")
            named[key] = [self.file.parent / name for name in names]
            for path in named[key]:
                if not is_file(path):
                    self._refuse(f"{key}: there is no file {path}", config, key)
        return named

    def _refuse(self, message: str, node: Any, key: Any, *around: Any) -> None:
        """`around`: the mapping and key that the line is of where `node` has no `key`."""
        node, key = (node, key) if key in node or not around else (around[0], around[1])
        self.wrong.append(Problem(message, str(self.file), line_of_key(node, key)))

    def _tell(self, message: str, node: Any, key: Any) -> None:
        self.told.append(Problem(message, str(self.file), line_of_key(node, key)))

    def _refused(self, node: Any) -> bool:
        """Whether a line of this mapping is refused already."""
        lines = {line_of_key(node, key) for key in node}
        return any(problem.line in lines for problem in self.wrong)


def _class_fault(kind: Any, known: Sequence[str], others: Sequence[str]) -> str:
    if kind is None:
        return "this key is missing"
    if kind in others:
        return f"{kind} is not imported, only {' and '.join(known)}"
    return f"unknown class {kind!r}{did_you_mean(str(kind), known)}"


def is_file(path: Path) -> bool:
    """Whether there is such a file; there is none of a name that is too long, of which a Path raises."""
    return os.path.isfile(path)  # noqa: PTH113


def line_of_key(node: Any, key: Any) -> int:
    """The line of a key, from 1; without it, or where an alias brings it, of the mapping."""
    try:
        return node.lc.key(key)[0] + 1
    except KeyError:
        return node.lc.line + 1


def _is_number(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and value.bit_length() < LARGEST_BITS
    return isinstance(value, float)


def within(value: float, span: tuple[float, float]) -> bool:
    slack = TOLERANCE * max(1.0, abs(value))
    return span[0] - slack <= value <= span[1] + slack


def _text(span: tuple[float, float]) -> str:
    return f"[{span[0]:g}, {span[1]:g}]"
