"""The model card, with the sections of Mitchell et al., Model Cards for Model Reporting (2019)."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from beampermit.contract import Contract, Signal
from beampermit.documents import mermaid, rendering
from beampermit.documents.facts import Facts
from beampermit.documents.markdown import Markdown, code, prose, visible
from beampermit.documents.page import drawing, page
from beampermit.models import metrics
from beampermit.permit.statement import Statement
from beampermit.verdicts.evidence import Subgroups
from beampermit.verdicts.verdict import Outcome, Verdict, find_evidence

LICENSES = frozenset(
    (
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "isc", "zlib", "unlicense"),
        *("gpl-2.0", "gpl-3.0", "lgpl-2.1", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "epl-2.0", "eupl-1.1", "eupl-1.2"),
        *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "ecl-2.0", "bsl-1.0", "afl-3.0", "artistic-2.0"),
    )
)
"""Licence identifiers of Hugging Face; any other licence is `other`, with its name."""
UNCERTAINTY = ("PRF002", "REP001", "REP002", "REP003")
FORMATS = {".safetensors": "safetensors", ".onnx": "onnx"}


def front_matter(facts: Facts) -> Markdown:
    """The metadata between its `---` lines."""
    from ruamel.yaml import YAML

    stream = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.allow_unicode = True
    writer.width = 120
    writer.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    writer.dump(metadata(facts), stream)
    return Markdown(f"---\n{stream.getvalue()}---")


def metadata(facts: Facts) -> dict[str, Any]:
    model, results = facts.contract.model, _results(facts)
    formats = {FORMATS[suffix] for path in facts.model_files if (suffix := PurePosixPath(path).suffix) in FORMATS}
    return {
        "model_name": model.name,
        "library_name": "mlflow",
        "tags": ["beampermit", *sorted(formats)],
        **_license(facts.license),
        **({"model-index": [{"name": model.name, "results": [results]}]} if results else {}),
    }


def _license(expression: str | None) -> dict[str, str]:
    if expression is None:
        return {}
    name = visible(expression).casefold()
    return {"license": name} if name in LICENSES else {"license": "other", "license_name": visible(expression)}


def _results(facts: Facts) -> dict[str, Any]:
    """The contract's metrics as measured on the test split; empty where there are none."""
    contract = facts.contract
    metrics = [
        {"type": metric.name, "name": metric.name, "value": facts.metrics[metric.name]}
        for metric in contract.metrics
        if metric.name in facts.metrics
    ]
    if not metrics:
        return {}
    dataset = {"type": contract.model.name, "name": contract.dataset.splits["test"], "split": "test"}
    return {"task": {"type": "other"}, "dataset": dataset, "metrics": metrics}


def card(facts: Facts) -> Markdown:
    """As Markdown, with metadata on top and Mermaid diagrams."""
    return _card(facts, mermaid.chart)


def card_page(facts: Facts) -> str:
    """As one HTML page with drawings."""
    from beampermit.documents import charts

    images = {chart.title: charts.chart_svg(chart) for chart in facts.plots.charts}
    text = _card(facts, lambda chart: drawing(chart.title))
    return page(text, f"{facts.contract.model.name}: model card", images)


def _card(facts: Facts, chart: object) -> Markdown:
    rows = metrics.compare_metrics(facts.contract, facts.metrics, {}, {})
    named = {row.metric.name for row in rows}
    kinds = {name: value for name, value in facts.metrics.items() if name.startswith(metrics.RECALL)}
    groups = find_evidence(facts.verdicts, Subgroups) or Subgroups()
    values = {
        "facts": facts,
        "contract": facts.contract,
        "model": facts.contract.model,
        "metadata": front_matter(facts),
        "rows": rows,
        "kinds": {name.removeprefix(metrics.RECALL): value for name, value in kinds.items()},
        "others": {name: value for name, value in facts.metrics.items() if name not in named and name not in kinds},
        "missing": _missing,
        "listed": _listed,
        "unit": _unit,
        "compared": _compared(facts.contract),
        "groups": groups,
        "apart": tuple(dict.fromkeys(group.by for group in groups.subgroups)),
        "crossed": _crossed,
        "uncertainty": _uncertainty(facts.verdicts, facts.permit),
        "plots": facts.plots,
        "chart": chart,
    }
    return rendering.join(rendering.blocks("card.md.j2", values))


def _uncertainty(verdicts: Iterable[Verdict], permit: Statement | None) -> dict[str, str]:
    """Id -> reason of passed interlocks that say how far a number can be trusted; those given, else the permit's."""
    reasons = {verdict.id: verdict.reason for verdict in permit.predicate.verdicts} if permit else {}
    reasons |= {verdict.id: verdict.reason for verdict in verdicts if verdict.outcome is Outcome.PASSED}
    return {id: reasons[id] for id in UNCERTAINTY if id in reasons}


def _missing(key: str) -> Markdown:
    return Markdown(f"**Not stated.** Add it to `contract.yaml` as {code(key)}.")


def _unit(signal: Signal) -> str:
    return "no unit" if signal.unit == "1" else signal.unit


def _compared(contract: Contract) -> dict[str, str]:
    """Output -> the column that is the truth about it; of a single output that names none, the dataset's target."""
    outputs = contract.signals.outputs
    alone = contract.dataset.target if len(outputs) == 1 else ""
    return {signal.name: signal.target or alone or "" for signal in outputs}


def _crossed(columns: tuple[str, ...]) -> Markdown:
    return Markdown(" × ".join(code(name) for name in columns))  # noqa: RUF001 - as it is printed in tables


def _listed(lines: tuple[str, ...], key: str) -> Markdown:
    return Markdown("\n".join(f"- {prose(line)}" for line in lines)) if lines else _missing(key)
