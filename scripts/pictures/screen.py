"""A screen of Phoebus, drawn from its own numbers: each widget where the `.bob` has it, with a value and its alarm."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from p4p.client.thread import Context

BORDERS = {1: "rgb(255,128,0)", 2: "rgb(255,0,0)", 3: "rgb(255,0,255)"}
"""Severity -> the colour of its border, as Phoebus has them by default."""
WHOLE = ".VAL$"
STYLE = """
body { margin: 0; background: #fff; font: 14px "Liberation Sans", Arial, sans-serif; color: #000; }
div { position: absolute; white-space: nowrap; overflow: hidden; line-height: 20px; }
.textupdate { background: rgb(240,240,240); }
.action_button { background: rgb(210,210,210); border-radius: 3px; text-align: center; line-height: 25px; }
.xyplot { border: 1px solid #888; }
"""


@dataclass(frozen=True)
class Shown:
    """What a PV shows: its text, and how severe its alarm is."""

    text: str
    severity: int = 0


def pvs_of(bob: str) -> list[str]:
    return [
        pv for widget in _widgets(bob) if (pv := widget.findtext("pv_name", "")) and widget.get("type") == "textupdate"
    ]


def values_of(pvs: Iterable[str], network: Mapping[str, str]) -> dict[str, Shown]:
    """What a client of PVA is given for each PV; those that nobody has are not there."""
    names = list(pvs)
    with Context("pva", conf=dict(network), useenv=False) as client:
        found: Any = client.get([name.removesuffix(WHOLE) for name in names], timeout=10, throw=False)
    return {name: _shown(value) for name, value in zip(names, found, strict=True) if not isinstance(value, Exception)}


def _shown(value: Any) -> Shown:
    raw = value.raw
    number = raw.value
    if isinstance(number, float):
        number = f"{number:.{raw.get('display.precision', 0) or 3}f}"
    elif not isinstance(number, int | str):
        number = str(value)
    return Shown(str(number), int(value.severity))


def page_of(bob: str, values: Mapping[str, Shown]) -> str:
    """The screen as a page of HTML."""
    drawn = "".join(_drawn(widget, values) for widget in _widgets(bob))
    return f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{drawn}"


def _widgets(bob: str) -> list[ET.Element]:
    return list(ET.fromstring(bob).iter("widget"))  # noqa: S314 - of our own making


def _drawn(widget: ET.Element, values: Mapping[str, Shown]) -> str:
    kind = widget.get("type", "")
    left, top, width, height = (int(float(widget.findtext(name, "0"))) for name in ("x", "y", "width", "height"))
    style = f"left:{left}px;top:{top}px;width:{width}px;height:{height}px"
    text = widget.findtext("text", "")
    if kind == "textupdate":
        shown = values.get(widget.findtext("pv_name", ""), Shown(f"<{widget.findtext('pv_name', '')}>", 3))
        text = shown.text
        if shown.severity:
            style += f";box-shadow:0 0 0 2px {BORDERS[shown.severity]};overflow:visible"
    if widget.find("font/font") is not None:
        style += ";font-weight:bold"
    return f'<div class="{kind}" style="{style}">{html.escape(text)}</div>'
