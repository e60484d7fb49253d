"""Reads `pv_mapping.yaml` of a LUME deployment: which PVs, with which formula, make an input or show an output."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput, Problem, did_you_mean
from beampermit.generation.lume import LARGEST, LumeModel, Variable, is_file, line_of_key, within
from beampermit.reading import decode, parse_yaml
from beampermit.record import Record

KEYS = ("symbols", "formula", "proto")


class Source(Record):
    """Where an input comes from: one PV, a number, or a formula of several PVs."""

    pv: str | None = None
    value: float | None = None
    formula: str | None = None
    symbols: tuple[str, ...] = ()


class PvMapping(Record):
    """Name of an input -> its source; name of an output -> the PV that shows it."""

    inputs: dict[str, Source]
    outputs: dict[str, str]
    left_out: tuple[Problem, ...] = ()
    """What a contract cannot say, or what contradicts the model."""


def load_mapping(file: Path, model: LumeModel) -> PvMapping:
    """Read a `pv_mapping.yaml` of `model`. Raises `BadInput` with every line that cannot be used."""
    if not is_file(file):
        raise BadInput("there is no such file", file=file)
    if file.stat().st_size > LARGEST:
        raise BadInput(f"larger than {LARGEST} bytes: not a mapping of PVs", file=file)
    tree = parse_yaml(decode(file.read_bytes(), file), file, lines=True, aliases=True)
    if not isinstance(tree, Mapping) or not {"input_variables", "output_variables"} & set(tree):
        raise BadInput("a mapping of PVs has input_variables, output_variables or both", file=file, line=1)
    return _Reader(file, model).read(tree)


@dataclass
class _Reader:
    file: Path
    model: LumeModel
    wrong: list[Problem] = field(default_factory=list)
    told: list[Problem] = field(default_factory=list)

    def read(self, tree: Mapping[str, Any]) -> PvMapping:
        for unknown in [key for key in tree if key not in ("input_variables", "output_variables")]:
            self._tell(f"unknown key {unknown!r}", tree, unknown)
        inputs = self._inputs(self._section(tree, "input_variables"))
        outputs = self._outputs(self._section(tree, "output_variables"))
        if self.wrong:
            first, *others = sorted(self.wrong, key=lambda problem: problem.line or 0)
            raise BadInput(first.message, file=first.file, line=first.line, also=others)
        return PvMapping(inputs=inputs, outputs=outputs, left_out=tuple(self.told))

    def _section(self, tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        section = tree.get(key)
        if section is None:
            return {}
        if not isinstance(section, Mapping):
            self._refuse(f"{key}: this must be a mapping of names", tree, key)
            return {}
        return section

    def _inputs(self, section: Mapping[str, Any]) -> dict[str, Source]:
        variables = {variable.name: variable for variable in self.model.inputs}
        sources: dict[str, Source] = {}
        readers: dict[str, str] = {}
        for name in section:
            entry = self._entry(section, name)
            if name not in variables:
                self._refuse(f"the model has no input {name!r}{did_you_mean(str(name), variables)}", section, name)
                continue
            source = entry and self._source(variables[name], entry, section)
            if not source:
                continue
            if source.pv and (other := readers.setdefault(source.pv, name)) != name:
                self._refuse(f"the PV {source.pv!r} is both {other!r} and {name!r}", section, name)
            sources[name] = source
        for variable in self.model.inputs:
            if section and variable.name not in section and not variable.constant:
                message = f"the input {variable.name!r} has no entry, so its own name is its PV"
                self.told.append(Problem(message, str(self.file), line_of_key(section, variable.name)))
        return sources

    def _source(
        self, variable: Variable, entry: tuple[tuple[str, ...], str], section: Mapping[str, Any]
    ) -> Source | None:
        symbols, formula = entry
        name = variable.name
        if not symbols:
            return self._constant(variable, formula, section)
        if variable.constant:
            self._tell(f"{name!r} is constant in the model, so its PVs are not read", section, name)
            return None
        if symbols == (formula,):
            return Source(pv=formula)
        return Source(formula=formula, symbols=symbols)

    def _constant(self, variable: Variable, formula: str, section: Mapping[str, Any]) -> Source | None:
        name = variable.name
        try:
            value = float(formula)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self._refuse(f"{name!r}: the formula {formula!r} is not a number, and there are no symbols", section, name)
            return None
        default = variable.default
        if variable.constant and default is not None and not within(value, (default, default)):
            there = f"line {variable.line} of {self.model.file.name}"
            self._refuse(f"{name!r} is {value:g} here, and constant {default:g} in {there}", section, name)
        elif variable.span and not within(value, variable.span):
            lowest, highest = variable.span
            self._refuse(f"{name!r} is {value:g}, outside its value_range [{lowest:g}, {highest:g}]", section, name)
        return Source(value=value)

    def _outputs(self, section: Mapping[str, Any]) -> dict[str, str]:
        names = [variable.name for variable in self.model.outputs]
        shown: dict[str, str] = {}
        for pv in section:
            entry = self._entry(section, pv)
            if not entry:
                continue
            symbols, formula = entry
            if unknown := [symbol for symbol in symbols or (formula,) if symbol not in names]:
                self._refuse(f"the model has no output {unknown[0]!r}{did_you_mean(unknown[0], names)}", section, pv)
            elif symbols not in ((), (formula,)):
                self._tell(f"{pv!r} shows {formula!r}: an output's PV shows the output itself", section, pv)
            elif formula in shown:
                self._refuse(f"the output {formula!r} has the PVs {shown[formula]!r} and {pv!r}", section, pv)
            else:
                shown[formula] = str(pv)
        return shown

    def _entry(self, section: Mapping[str, Any], name: Any) -> tuple[tuple[str, ...], str] | None:
        """Symbols and formula; None where they cannot be read, which is then told."""
        body = section[name]
        if not isinstance(name, str) or not isinstance(body, Mapping):
            self._refuse(f"{name}: this must be a mapping with formula and symbols", section, name)
            return None
        for unknown in [key for key in body if key not in KEYS]:
            self._tell(f"{name!r}: unknown key {unknown!r}{did_you_mean(str(unknown), KEYS)}", body, unknown)
        symbols = body.get("symbols") or ()
        symbols = (symbols,) if isinstance(symbols, str) else symbols
        if not isinstance(symbols, Sequence) or not all(isinstance(symbol, str) and symbol for symbol in symbols):
            self._refuse(f"{name!r}: symbols is a list of names", body, "symbols")
            return None
        if twice := [symbol for number, symbol in enumerate(symbols) if symbol in symbols[:number]]:
            self._refuse(f"{name!r}: the symbol {twice[0]!r} is given twice", body, "symbols")
            return None
        formula = body.get("formula")
        if formula is None and len(symbols) == 1:
            formula = symbols[0]
        if not isinstance(formula, (str, int, float)) or isinstance(formula, bool) or not str(formula).strip():
            self._refuse(f"{name!r}: there is no formula", body, "formula")
            return None
        formula = str(formula).strip()
        if missing := [symbol for symbol in symbols if not _has_symbol(formula, symbol)]:
            self._refuse(f"{name!r}: the formula does not use the symbol {missing[0]!r}", body, "formula")
            return None
        return tuple(map(str, symbols)), formula

    def _refuse(self, message: str, node: Any, key: Any) -> None:
        self.wrong.append(Problem(message, str(self.file), line_of_key(node, key)))

    def _tell(self, message: str, node: Any, key: Any) -> None:
        self.told.append(Problem(message, str(self.file), line_of_key(node, key)))


def _has_symbol(formula: str, symbol: str) -> bool:
    """Whether a formula has this name, and not only a longer one that begins or ends with it."""
    return re.search(rf"(?<![\w:]){re.escape(symbol)}(?![\w:])", formula) is not None
