"""What each stage takes from contract.yaml, with defaults filled in, and the parameters in params.yaml.

A stage reads one record of this module. Stage `contract` writes all of them to `data/contract.json`, where DVC sees
which stages a change of the contract concerns: a gate or a telephone number trains nothing again.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import AliasPath, BaseModel, ConfigDict, Field, ValidationError, model_validator

try:
    from yaml import CSafeLoader as SafeLoader  # ten times as fast, and knows a `?` within braces
except ImportError:  # PyYAML was built without libyaml
    from yaml import SafeLoader

CONTRACT, PARAMS, RECORD = Path("contract.yaml"), Path("params.yaml"), Path("data/contract.json")
TRAINED = Path("models/trained")
"""Folder of the trained model, which stage `train` writes."""
REST = "test"
"""The split that takes what the others leave."""


def at(*path: str, **default: Any) -> Any:
    """A field whose value stands at this path of the contract."""
    return Field(validation_alias=AliasPath(*path), **default)


class Part(BaseModel):
    """Immutable; of the contract it takes only what it names, for `beampermit contract check` validates the whole."""

    model_config = ConfigDict(frozen=True)


class Signal(Part):
    """An input. A constant has a `value`."""

    name: str
    shape: tuple[int, ...] = ()
    """Of one row; empty for a scalar."""
    value: float | None = None
    words: tuple[str, ...] = ()
    """Of a text or an enum; its numbers are their places. Other words or another order are other data."""

    @model_validator(mode="before")
    @classmethod
    def _of_words(cls, value: Any) -> Any:
        words = value.get("words") if isinstance(value, dict) else None
        if not words:
            return value
        unit = ", ".join(f"{number} = {word!r}" for number, word in enumerate(words))
        return {"unit": unit, "range": (0, len(words) - 1), **value}


class DescribedSignal(Signal):
    """An input, as raw data are described."""

    pv: str | None = None
    unit: str
    range: tuple[float, float]


class Output(Part):
    """An output, and the column with its truth, if there is one."""

    name: str
    shape: tuple[int, ...] = ()
    target: str | None = None


class MonitoredSignal(Signal):
    """An input, and the span that its values are expected in."""

    range: tuple[float, float]
    expected: tuple[float, float] | None = None


class LimitedOutput(Output):
    """An output with the alarm limits that the control system has."""

    low: float | None = None
    high: float | None = None


class MonitoredOutput(LimitedOutput):
    """An output with all of them; `expected` stands for `low` and `high` where they are absent."""

    lolo: float | None = None
    hihi: float | None = None
    expected: tuple[float, float] | None = None

    @property
    def alarms(self) -> tuple[float | None, float | None]:
        """At or beyond, an output is in alarm."""
        low, high = self.expected or (self.lolo, self.hihi)
        return (low if self.low is None else self.low), (high if self.high is None else self.high)


class Review(Part):
    """Labels by people."""

    file: str
    column: str
    values: tuple[str, ...]


class ForRequest(Part):
    """What stage `request` takes."""

    request: dict[str, Any] = at("dataset", "request")
    raw: str = at("dataset", "raw")
    key: tuple[str, ...] = at("dataset", "key")
    time: str | None = at("dataset", "split", "time", default=None)
    devices: str | None = at("signals", "devices", default=None)
    inputs: tuple[DescribedSignal, ...] = at("signals", "inputs")


class ForLabels(Part):
    """What a stage takes that labels rows."""

    raw: str = at("dataset", "raw")
    labels: str | None = at("dataset", "labels", default=None)
    key: tuple[str, ...] = at("dataset", "key")
    target: str | None = at("dataset", "target", default=None)
    review: Review | None = at("dataset", "review", default=None)


class _Column(Part):
    name: str


class _Group(Part):
    by: str | tuple[str, ...]


class _Metric(Part):
    subgroups: tuple[_Group, ...] = ()


class ForSplits(Part):
    """What stage `dataset` takes."""

    raw: str = at("dataset", "raw")
    labels: str | None = at("dataset", "labels", default=None)
    splits: dict[str, str] = at("dataset", "splits")
    key: tuple[str, ...] = at("dataset", "key")
    by: tuple[str, ...] = at("dataset", "split", "by")
    time: str | None = at("dataset", "split", "time", default=None)
    lineage: str = at("dataset", "lineage", default="data/dataset.json")
    target: str | None = at("dataset", "target", default=None)
    review: Review | None = at("dataset", "review", default=None)
    columns: tuple[_Column, ...] = at("dataset", "columns", default=())
    metrics: tuple[_Metric, ...] = at("metrics")
    inputs: tuple[Signal, ...] = at("signals", "inputs")
    outputs: tuple[Output, ...] = at("signals", "outputs")

    @property
    def required(self) -> list[str]:
        """Columns that every split has."""
        target = [output.target for output in self.outputs if output.target]
        names = [*self.key, *self.by, self.time, *(signal.name for signal in self.inputs), self.target, *target]
        return list(dict.fromkeys(name for name in names if name))

    @property
    def wanted(self) -> list[str]:
        """Those, and columns that the contract names and that the splits have where the data have them."""
        reviewed = [self.review.column] if self.review else []
        groups = [group.by for metric in self.metrics for group in metric.subgroups]
        by = [name for group in groups for name in ([group] if isinstance(group, str) else group)]
        return list(dict.fromkeys([*self.required, *reviewed, *(column.name for column in self.columns), *by]))


class ForTraining(Part):
    """What stage `train` takes."""

    splits: dict[str, str] = at("dataset", "splits")
    inputs: tuple[Signal, ...] = at("signals", "inputs")
    outputs: tuple[Output, ...] = at("signals", "outputs")
    record: str = at("reproducibility", "record", default="metrics/training.json")


class ForEvaluation(Part):
    """What stage `evaluate` and `evaluation.command` take."""

    rows: str = at("evaluation", "inputs")
    scores: str = at("evaluation", "scores", default="data/scores.parquet")
    metrics: str = at("evaluation", "metrics", default="metrics/metrics.json")
    plots: str = at("evaluation", "plots", default="metrics/plots.json")
    inputs: tuple[Signal, ...] = at("signals", "inputs")
    outputs: tuple[LimitedOutput, ...] = at("signals", "outputs")
    record: str = at("reproducibility", "record", default="metrics/training.json")

    def output(self, name: str) -> LimitedOutput:
        """An output by its name."""
        return next(output for output in self.outputs if output.name == name)


class ForLimits(Part):
    """What stage `evaluate` takes for the monitoring limits."""

    limits: str = at("monitoring", "limits", default="metrics/limits.json")
    reference: str = at("monitoring", "reference", default="validation")
    splits: dict[str, str] = at("dataset", "splits")
    inputs: tuple[MonitoredSignal, ...] = at("signals", "inputs")
    outputs: tuple[MonitoredOutput, ...] = at("signals", "outputs")


class ForPackage(Part):
    """What stage `package` takes, and the saved model."""

    request: dict[str, Any] = at("dataset", "request")
    model: str = at("model", "path", default="model")
    manifest: str = at("model", "manifest", default="manifest.json")
    splits: dict[str, str] = at("dataset", "splits")
    rows: str = at("evaluation", "inputs")
    scores: str = at("evaluation", "scores", default="data/scores.parquet")
    inputs: tuple[Signal, ...] = at("signals", "inputs")
    outputs: tuple[Output, ...] = at("signals", "outputs")

    @property
    def origins(self) -> list[str]:
        """The file of the project that the data are read from, `path` of the request's options, if there is one."""
        path = (self.request.get("options") or {}).get("path")
        return [path] if isinstance(path, str) and not Path(path).is_absolute() and Path(path).is_file() else []


RECORDED: dict[str, type[Part]] = {
    "request": ForRequest,
    "label": ForLabels,
    "dataset": ForSplits,
    "train": ForTraining,
    "evaluate": ForEvaluation,
    "limits": ForLimits,
}
"""Stage -> its record; stage `package` depends on the whole contract, which the saved model contains."""


class Shares(Part):
    """Section `split` of params.yaml: a seed, and for each split but `test` its part of the whole."""

    seed: int = 0
    of: dict[str, float]

    @model_validator(mode="before")
    @classmethod
    def _of_each(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "of" in value:
            return value
        return {"seed": value.get("seed", 0), "of": {name: part for name, part in value.items() if name != "seed"}}

    @model_validator(mode="after")
    def _leaves_a_rest(self) -> Shares:
        if min(self.of.values(), default=0) <= 0 or sum(self.of.values()) >= 1:
            raise ValueError(f"each split but {REST} has a part above 0, and together they leave some for {REST}")
        return self


T = TypeVar("T", bound=BaseModel)


def of(part: type[T], path: Path = CONTRACT) -> T:
    """The record that a stage takes from the contract."""
    return valid(part, read_yaml(path), path.name)


def params(section: str, record: type[T], path: Path = PARAMS) -> T:
    """A section of params.yaml."""
    content = read_yaml(path)
    return valid(record, content.get(section) if isinstance(content, dict) else None, f"{path.name}: {section}")


def explained(error: ValidationError) -> str:
    """The first fault of a record in one line: key and reason."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


def read_yaml(path: Path) -> Any:
    """As YAML 1.2 reads it: `on` is a text, `1e-6` a number, and a date stays the text that it is."""
    return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - it is a SafeLoader


def valid(record: type[T], content: Any, where: str) -> T:
    """Exit with a message that begins with `where` if the content is none of this record."""
    try:
        return record.model_validate({} if content is None else content)
    except ValidationError as error:
        raise SystemExit(f"{where}: {explained(error)}") from None


class _Loader(SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own interface


for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9_]*|0o[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+)", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", "<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), _first)


def main() -> None:
    """Stage `contract`."""
    record = {stage: of(part).model_dump(mode="json") for stage, part in RECORDED.items()}
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
