"""The operator's screen for Phoebus: how the service is, and each output with its alarm border and its limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from beampermit.contract.signals import Signal
from beampermit.deployment.deployment import Deployment, limits_of
from beampermit.deployment.statements import Statement, names
from beampermit.deployment.xml_lines import read_xml
from beampermit.documents.markdown import visible
from beampermit.live.status_pvs import STATUS_PVS, status_pv
from beampermit.live.wiring import Plug

LINE, GAP, LEFT = 20, 5, 20
"""Pixels."""
NAME, NUMBER, PLOT = 180, 110, 240
LETTER = 9
"""A letter of a button, at most."""
ROWS = 40
"""Devices in a column; the next ones stand beside them."""
FIELDS = ("LOLO", "LOW", "HIGH", "HIHI")
ABOUT_LIMITS = "limits of "
"""How the name of the widget begins that shows the contract's limits of an output."""
RUNBOOK = "RUNBOOK.html"
LOGBOOK = "Logbook"
WHOLE = ".VAL$"
"""A record's text beyond the 40 characters of channel access."""
DEFAULT, STRING = "0", "6"
"""Formats, as Display Builder numbers them."""
PV_TAGS = ("pv_name", "x_pv", "y_pv")


def screen(deployment: Deployment) -> str:
    """As Display Builder stores it: `NAME.bob`."""
    display = ET.Element("display", version="2.0.0")
    drawing = _Drawing(display)
    ET.SubElement(display, "name").text = deployment.name
    width, height = ET.SubElement(display, "width"), ET.SubElement(display, "height")
    _head(drawing, deployment)
    _status(drawing, deployment)
    if len(deployment.wiring.rows) > 1:
        _grid(drawing, deployment)
    else:
        _list(drawing, deployment)
    width.text, height.text = str(drawing.right + LEFT), str(drawing.bottom + LINE)
    ET.indent(display)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(display, encoding="unicode")}\n'


def screen_statements(text: str, file: str) -> Iterator[Statement]:
    """Its PVs, the limits that it shows, and where the logbook is. Raises `BadInput`."""
    for element in read_xml(text, file).walk():
        if element.tag in PV_TAGS and (pv := element.text.strip()):
            yield names(pv, element.line)
        elif element.tag == "widget" and element.of("name").startswith(ABOUT_LIMITS):
            yield Statement(element.of("name"), element.of("text"), element.line)
        elif element.tag == "action" and element.of("description") == LOGBOOK:
            yield Statement("the link to the logbook", element.of("url"), element.line)


@dataclass
class _Drawing:
    """Widgets from top to bottom; `right` and `bottom` are the edges of what is drawn."""

    display: ET.Element
    right: int = 0
    bottom: int = LINE

    def add(self, kind: str, name: str, x: int, y: int, width: int, height: int = LINE, **texts: str) -> ET.Element:
        """A widget; `texts` are its properties of plain text, in Display Builder's names."""
        version = "3.0.0" if kind in ("action_button", "xyplot") else "2.0.0"
        widget = ET.SubElement(self.display, "widget", type=kind, version=version)
        places = {"x": x, "y": y, "width": width, "height": height}
        for tag, value in {"name": name, **places, **texts}.items():
            ET.SubElement(widget, tag).text = str(value)
        self.right, self.bottom = max(self.right, x + width), max(self.bottom, y + height)
        return widget

    def label(
        self, text: str, x: int, y: int, width: int, *, name: str = "", tooltip: str = "", bold: bool = False
    ) -> None:
        widget = self.add("label", name or text, x, y, width, text=text)
        if tooltip:
            ET.SubElement(widget, "tooltip").text = tooltip
        if bold:
            font = ET.SubElement(ET.SubElement(widget, "font"), "font")
            font.attrib = {"name": "Default Bold", "family": "Liberation Sans", "style": "BOLD", "size": "14.0"}

    def value(self, pv: str, x: int, y: int, width: int, *, format: str = DEFAULT) -> None:
        """A PV's value, with the border of its alarm, which a text update has by default."""
        self.add("textupdate", pv, x, y, width, pv_name=pv, format=format)

    def button(self, text: str, x: int, y: int, action: dict[str, str], **texts: str) -> None:
        width = max(NUMBER, LETTER * len(text))
        widget = self.add("action_button", text, x, y, width, LINE + GAP, text=text, tooltip="$(actions)", **texts)
        element = ET.SubElement(ET.SubElement(widget, "actions"), "action", type=action.pop("type"))
        for tag, value in {**action, "description": text}.items():
            ET.SubElement(element, tag).text = value


def _head(drawing: _Drawing, deployment: Deployment) -> None:
    contract = deployment.contract
    drawing.label(deployment.name, LEFT, LINE, NAME, bold=True)
    drawing.label(visible(contract.model.summary), LEFT + NAME, LINE, 5 * NUMBER)
    x, y = LEFT, drawing.bottom + GAP
    drawing.button("Runbook", x, y, {"type": "open_file", "file": RUNBOOK})
    if contract.operations.logbook.startswith(("http://", "https://")):
        x += NUMBER + GAP
        drawing.button(LOGBOOK, x, y, {"type": "open_webpage", "url": contract.operations.logbook})
    restart = status_pv(contract, "RESTART")
    x += NUMBER + GAP
    drawing.button(
        "Restart the model",
        x,
        y,
        {"type": "write_pv", "pv_name": restart, "value": "1"},
        pv_name=restart,
        show_confirm_dialog="true",
        confirm_message="The process of the model is replaced by a new one. Outputs go on meanwhile.",
    )


def _status(drawing: _Drawing, deployment: Deployment) -> None:
    """Texts that may be long have a line of their own; numbers stand side by side."""
    shown = [pv for pv in STATUS_PVS if not pv.writable]
    for pv in [pv for pv in shown if pv.kind == "text"]:
        y = drawing.bottom + GAP
        drawing.label(pv.name, LEFT, y, NAME, tooltip=pv.description)
        drawing.value(status_pv(deployment.contract, pv.name) + WHOLE, LEFT + NAME, y, 5 * NUMBER, format=STRING)
    numbers = [pv for pv in shown if pv.kind != "text"]
    top = drawing.bottom + GAP
    for number, pv in enumerate(numbers):
        x, y = LEFT + number % 3 * (NAME + NUMBER + GAP), top + number // 3 * (LINE + GAP)
        drawing.label(pv.name, x, y, NAME, tooltip=pv.description)
        drawing.value(status_pv(deployment.contract, pv.name), x + NAME, y, NUMBER)


def _list(drawing: _Drawing, deployment: Deployment) -> None:
    """An output a line: its value and its limits as they are now, and those of the contract."""
    y = drawing.bottom + LINE
    heads = ("value", *FIELDS, "limits of the contract")
    for number, head in enumerate(heads):
        drawing.label(head, LEFT + NAME + number * (NUMBER + GAP), y, NUMBER if number < len(heads) - 1 else 3 * NUMBER)
    for plug in deployment.wiring.outputs:
        signal, y = plug.signal, drawing.bottom + GAP
        drawing.label(signal.name, LEFT, y, NAME, tooltip=_about(signal))
        x = LEFT + NAME
        _limits(drawing, signal, x + 5 * (NUMBER + GAP), y)
        if signal.shape:
            _plot(drawing, signal, plug.pvs[0], x, y, 5 * NUMBER)
            continue
        for place, pv in enumerate((plug.pvs[0], *(f"{plug.pvs[0]}.{field}" for field in FIELDS))):
            drawing.value(pv, x + place * (NUMBER + GAP), y, NUMBER)


def _grid(drawing: _Drawing, deployment: Deployment) -> None:
    """A device a line and an output a column; of many devices, the next ones stand beside the first."""
    rows, outputs = deployment.wiring.rows, deployment.wiring.outputs
    for plug in outputs:
        y = drawing.bottom + GAP
        drawing.label(plug.signal.name, LEFT, y, NAME, tooltip=_about(plug.signal))
        _limits(drawing, plug.signal, LEFT + NAME, y)
    top, block = drawing.bottom + LINE, NAME + (NUMBER + GAP) * len(outputs) + LEFT
    for first in range(0, len(rows), ROWS):
        x = LEFT + first // ROWS * block
        _titles(drawing, outputs, x + NAME, top)
        for line, number in enumerate(range(first, min(first + ROWS, len(rows))), 1):
            y = top + line * (LINE + GAP)
            drawing.label(rows[number], x, y, NAME)
            for column, plug in enumerate(outputs):
                drawing.value(plug.pvs[number], x + NAME + column * (NUMBER + GAP), y, NUMBER)


def _titles(drawing: _Drawing, outputs: tuple[Plug, ...], x: int, y: int) -> None:
    for column, plug in enumerate(outputs):
        drawing.label(plug.signal.name, x + column * (NUMBER + GAP), y, NUMBER, bold=True)


def _limits(drawing: _Drawing, signal: Signal, x: int, y: int) -> None:
    drawing.label(limits_of(signal), x, y, 3 * NUMBER, name=f"{ABOUT_LIMITS}{signal.name}")


def _plot(drawing: _Drawing, signal: Signal, pv: str, x: int, y: int, width: int) -> None:
    """A vector over its index. A plot has no border of alarms, so a text update shows it beside the plot."""
    plot = drawing.add("xyplot", pv, x, y + LINE + GAP, width, PLOT, show_legend="false")
    axis = ET.SubElement(ET.SubElement(plot, "y_axes"), "y_axis")
    for tag, value in (("title", f"{signal.name} [{visible(signal.unit)}]"), ("autoscale", "true")):
        ET.SubElement(axis, tag).text = value
    trace = ET.SubElement(ET.SubElement(plot, "traces"), "trace")
    ET.SubElement(trace, "y_pv").text = pv
    drawing.value(pv, x, y, width)


def _about(signal: Signal) -> str:
    low, high = signal.range
    return f"{visible(signal.description) or signal.name} [{visible(signal.unit)}], from {low:g} to {high:g}"
