"""A first `contract.yaml` from signals that are known already; TODO marks what only a person can know.

One signal is one line, so that a line of a pull request is about one signal.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from beampermit.contract.measure import Measure
from beampermit.generation.template import unseen
from beampermit.record import Record

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
READ_OTHERWISE = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}
"""Words that some readers of YAML take for something else than text."""
WIDE = 120
SHOWN = 8
"""Names that a remark lists."""


class DraftSignal(Record):
    """One input or output; `range` is from lowest to highest, in `unit`."""

    name: str
    source: Literal["pv", "derived", "constant"] = "derived"
    pv: str | None = None
    value: float | None = None
    unit: str = "1"
    range: tuple[float, float]
    shape: tuple[int, ...] = ()
    resolution: float | None = None
    stale_after: str | None = None
    default: float | None = None
    tolerance: str | None = None
    target: str | None = None
    description: str = ""


class DraftColumn(Record):
    """A column of the splits that is not an input, with the values of a text or the unit of numbers."""

    name: str
    values: tuple[str, ...] = ()
    unit: str | None = None


class DraftMetric(Record):
    """A metric that the checker computes; `gate` with the reason for just this number."""

    name: str
    measure: Measure
    output: str
    gate: float
    tolerance: str
    seed_tolerance: str
    description: str


class Draft(Record):
    """What is known of a model before anybody has written a contract.

    `remarks` are comments above the signals: what was decided, and what a person must look at. `options` are those of
    `dataset.request`. `by` and `time` are columns of the splits. `in_git`: files of data in git, each with the reason.
    """

    kind: str
    inputs: tuple[DraftSignal, ...]
    outputs: tuple[DraftSignal, ...]
    columns: tuple[DraftColumn, ...] = ()
    metrics: tuple[DraftMetric, ...]
    source: str
    options: dict[str, Any]
    key: tuple[str, ...]
    by: tuple[str, ...]
    time: str | None = None
    remarks: tuple[str, ...] = ()
    output_remarks: tuple[str, ...] = ()
    split_remarks: tuple[str, ...] = ()
    gate_remarks: tuple[str, ...] = ()
    in_git: tuple[tuple[str, str], ...] = ()
    collected: str = "TODO how the data were collected: machine, conditions, what was left out"
    seeds: tuple[int, ...] = (0, 1, 2)


def contract_text(draft: Draft, answers: Mapping[str, str]) -> str:
    """The contract in YAML; `answers` are those to the template's questions."""
    return "\n".join(_lines(draft, answers)) + "\n"


def _lines(draft: Draft, answers: Mapping[str, str]) -> Iterator[str]:
    yield "# What the model promises. Data checks, gates, signature, alarms, model card and runbook follow from it."
    yield "# `beampermit contract check` validates it and names what a person has still to write."
    yield "beampermit: 1"
    yield from _model(draft, answers)
    yield "environment:"
    yield f"  backend: {answers['environment']}"
    yield "  platforms: [linux-x86_64]"
    cuda = ", cuda" if answers["accelerator"] == "cuda" else ""
    yield f"  accelerators: [cpu{cuda}]"
    if cuda and answers["gpu_runner"]:
        yield "tests:"
        yield '  gpu: {capability: "7.0", driver: "535"}     # minimum GPU for the tests marked gpu'
    yield "notebooks: {outputs: refused} # an output cannot be reviewed; `run:` names those that CI runs"
    yield "signals:"
    yield from _comments(draft.remarks)
    yield "  inputs:"
    for signal in draft.inputs:
        yield f"    - {_signal(signal)}"
    yield from _comments(draft.output_remarks)
    yield "  outputs:"
    for signal in draft.outputs:
        yield f"    - {_signal(signal)}"
    yield from _dataset(draft)
    yield "evaluation:"
    yield "  metrics: metrics/metrics.json"
    yield "  plots: metrics/plots.json"
    yield "  inputs: data/dataset/test.parquet"
    yield "  about: TODO why the test rows stand for the rows that the model will see in service"
    yield "  scores: data/scores.parquet        # by training's code; the saved model must give the same (MDL005)"
    yield from _comments(draft.gate_remarks, indent="")
    yield "metrics:"
    for metric in draft.metrics:
        yield from _metric(metric)
    yield "reproducibility:"
    yield f"  seeds: {_flow(list(draft.seeds))}"
    yield "  weight_tolerance: 0.001% # of the largest weight of each tensor"
    yield "budget: {latency: 50ms, memory: 2048}"
    yield "monitoring: {limits: metrics/limits.json, reference: validation, window: 1h, every: 10min, on_trip: issue}"
    yield "fallback: {on_invalid: invalid}"
    yield from _operations(draft, answers)


def _model(draft: Draft, answers: Mapping[str, str]) -> Iterator[str]:
    yield "model:"
    yield f"  name: {answers['project_slug']}"
    yield f"  summary: {_text(answers['summary'])}"
    yield f"  kind: {_text(draft.kind)}"
    yield "  owners:"
    for who in ("maintainer", "deputy"):
        name, email = (_text(answers[f"{who}_{key}"]) for key in ("name", "email"))
        yield f"    - {{name: {name}, email: {email}, role: {who}}}"
    yield "  use:"
    yield "    intended: TODO what the model is for"
    yield "    users: TODO who uses its output"
    yield "    out_of_scope: TODO what it must not be used for"
    for key, what in (
        ("limitations", "where it is known to fail, or was never tried"),
        ("factors", "what affects how good it is: devices, machine states, instruments"),
        ("considerations", "who could be harmed by a wrong output, and how"),
        ("caveats", "what else a user must know"),
    ):
        yield f"    {key}: [TODO {what}]" if "," not in what and ":" not in what else f'    {key}: ["TODO {what}"]'
    yield f"  review_by: {answers['review_by']}"
    yield "  path: model"
    yield "  manifest: manifest.json"


def _dataset(draft: Draft) -> Iterator[str]:
    yield "dataset:"
    yield "  request:"
    yield f"    source: {draft.source}"
    yield "    version: 1"
    yield "    options:"
    for key, value in draft.options.items():
        yield from _option(key, value)
    yield "  raw: data/raw.parquet"
    yield "  splits:"
    for split in ("train", "validation", "test"):
        yield f"    {split}: data/dataset/{split}.parquet"
    yield f"  key: {_flow(list(draft.key))}"
    if draft.columns:
        yield "  columns:"
        for column in draft.columns:
            known = {"name": column.name, "values": list(column.values) or None, "unit": column.unit}
            yield f"    - {_flow({key: value for key, value in known.items() if value is not None})}"
    yield from _comments(draft.split_remarks)
    split = {"by": list(draft.by)} | ({"time": draft.time} if draft.time else {})
    yield f"  split: {_flow(split)}"
    yield "  lineage: data/dataset.json"
    if draft.in_git:
        yield "  in_git:"
        yield from (f"    {path}: {_text(reason)}" for path, reason in draft.in_git)
    yield "  about:"
    yield "    purpose: TODO what the data were collected for"
    yield f"    collected: {_text(draft.collected)}"
    yield '    limitations: ["TODO what is known to be missing or wrong in the data"]'
    yield "    terms: TODO who may use the data, and for what"


def _option(key: str, value: Any) -> Iterator[str]:
    """One option; a mapping has one line for each entry."""
    if not isinstance(value, dict):
        yield f"      {_text(key)}: {_flow(value)}"
        return
    if value:
        yield f"      {_text(key)}:"
        for name, inner in value.items():
            yield f"        {_text(name)}: {_flow(inner)}"


def _signal(signal: DraftSignal) -> str:
    known = {
        "name": signal.name,
        "source": None if signal.source == "pv" else signal.source,
        "pv": signal.pv,
        "value": signal.value,
        "shape": list(signal.shape) or None,
        "unit": signal.unit,
        "range": list(signal.range),
        "resolution": signal.resolution,
        "stale_after": signal.stale_after,
        "default": signal.default,
        "tolerance": signal.tolerance,
        "target": signal.target,
        "description": signal.description or None,
    }
    return _flow({key: value for key, value in known.items() if value is not None})


def _metric(metric: DraftMetric) -> Iterator[str]:
    yield f"  - name: {metric.name}"
    yield f"    description: {_text(metric.description)}"
    yield f"    measure: {metric.measure}"
    yield f"    output: {_text(metric.output)}"
    yield f"    gate: {_number(metric.gate)}"
    yield f"    tolerance: {metric.tolerance}"
    yield f"    seed_tolerance: {metric.seed_tolerance}"


def _operations(draft: Draft, answers: Mapping[str, str]) -> Iterator[str]:
    outputs = draft.outputs[0].name if len(draft.outputs) == 1 else "an output"
    yield "operations:"
    yield f"  on_call: {_text(answers['on_call'])}"
    yield f"  logbook: {_text(answers['logbook'])}"
    yield "  # time_zone: Europe/Berlin # of the control room: the runbook and the monitor's page have it beside UTC"
    yield "  alarms:"
    yield f"    - condition: {outputs} INVALID"
    stale = ', "*.stale"' if any(signal.stale_after for signal in draft.inputs) else ""
    yield f'      raised_by: ["*.invalid"{stale}]'
    yield "      severity: INVALID"
    yield "      meaning: The model has no valid output; the alarm message has the reason."
    yield "      action: [TODO what the operator does without the model]"
    yield "    - condition: drift beyond its limit"
    yield "      raised_by: [drift]"
    yield "      severity: MINOR"
    yield "      meaning: The inputs differ from those the model was trained on, so its outputs may be less reliable."
    yield "      action: [TODO what the operator looks at first]"


def _comments(remarks: tuple[str, ...], indent: str = "  ") -> Iterator[str]:
    import textwrap

    for remark in remarks:
        # Some readers of YAML end a line, and so a comment, at signs that are no line ends here.
        shown = "".join(letter if letter.isprintable() else " " for letter in remark)
        yield from textwrap.wrap(
            shown, WIDE, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   ", break_on_hyphens=False
        )


def listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _flow(value: Any) -> str:
    """A value of YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(str(key))}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return _number(value) if isinstance(value, int | float) else _text(str(value), flow=True)


def _text(value: str, flow: bool = False) -> str:
    """Text of YAML: as it is where every reader takes it for text, else in quotes."""
    if PLAIN.fullmatch(value) and value.lower() not in READ_OTHERWISE:
        return value
    if not flow and re.fullmatch(r"TODO [\w ]+", value):
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    hidden = set(unseen(quoted))
    return "".join(f"\\U{ord(letter):08x}" if letter in hidden else letter for letter in quoted)


def _number(value: float) -> str:
    """A number of YAML; without a point, some readers take 1e-05 for text."""
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    text = repr(float(value))
    return text if "e" not in text or "." in text else text.replace("e", ".0e")


def rounded(value: float, step: float, up: bool) -> float:
    """`value` rounded to a multiple of `step`, a power of ten."""
    digits = -round(math.log10(step))
    number = (math.ceil if up else math.floor)(round(value / step, 6))
    return round(number * step, digits) if digits > 0 else float(number * step)


def widened(lowest: float, highest: float, share: float = 0.1) -> tuple[float, float]:
    """A range around values from `lowest` to `highest`: wider by `share` of their span, and rounded outwards.

    A quantity that is never negative, or never positive, stays so.
    """
    span = highest - lowest or abs(highest) or 1.0
    largest = 1.7e308
    if not math.isfinite(span) or span * (1 + 2 * share) > largest:
        return -largest, largest
    step = 10.0 ** (math.floor(math.log10(span)) - 1)
    low, high = rounded(lowest - share * span, step, up=False), rounded(highest + share * span, step, up=True)
    return max(low, 0.0) if lowest >= 0 else low, min(high, 0.0) if highest <= 0 else high
