"""The model card: who made the model, of what, for what, how well it does, and what nobody has said yet.

Its sections and their questions are those of Mitchell et al., Model Cards for Model Reporting (2019).
"""

from __future__ import annotations

from beampermit.documents import comparison, measured, papers
from beampermit.documents.markdown import Markdown, code, prose
from beampermit.documents.metadata import front_matter
from beampermit.documents.page import drawing, page
from beampermit.documents.standing import Standing


def card(known: Standing) -> Markdown:
    """The card as Markdown, with metadata on top and diagrams that GitHub draws."""
    from beampermit.documents import mermaid

    return _card(known, mermaid.chart, "")


def card_page(known: Standing) -> str:
    """The card as one HTML page with drawings."""
    from beampermit.documents import drawings

    images = {chart.title: drawings.chart(chart) for chart in known.plots.charts}
    if known.plots.confusion:
        images["Confusion"] = drawings.confusion(known.plots.confusion)
    text = _card(known, lambda chart: drawing(chart.title), drawing("Confusion"))
    return page(text, f"{known.contract.model.name}: model card", images)


def _card(known: Standing, chart: object, confusion: str) -> Markdown:
    rows = comparison.compared(known.contract, known.metrics, {}, None)
    named = {row.metric.name for row in rows}
    kinds = {name: value for name, value in known.metrics.items() if name.startswith(comparison.RECALL)}
    groups = measured.groups(known.verdicts)
    values = {
        "known": known,
        "contract": known.contract,
        "model": known.contract.model,
        "metadata": front_matter(known),
        "rows": rows,
        "kinds": {name.removeprefix(comparison.RECALL): value for name, value in kinds.items()},
        "others": {name: value for name, value in known.metrics.items() if name not in named and name not in kinds},
        "missing": _missing,
        "listed": _listed,
        "groups": groups,
        "apart": tuple(dict.fromkeys(group.by for group in groups.subgroups)),
        "crossed": _crossed,
        "uncertainty": measured.uncertainty(known.verdicts, known.permit),
        "plots": known.plots,
        "chart": chart,
        "confusion": confusion,
    }
    return papers.join(papers.blocks("card.md.j2", values))


def _missing(key: str) -> Markdown:
    return Markdown(f"**Not stated.** It would stand in `contract.yaml` under {code(key)}.")


def _crossed(columns: tuple[str, ...]) -> Markdown:
    return Markdown(" × ".join(code(name) for name in columns))  # noqa: RUF001 - as it is printed in tables


def _listed(lines: tuple[str, ...], key: str) -> Markdown:
    return Markdown("\n".join(f"- {prose(line)}" for line in lines)) if lines else _missing(key)
