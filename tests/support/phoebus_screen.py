"""The names on a screen that phoebusgen, a program of other laboratories, writes too: Phoebus passes over any other."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from phoebusgen import fonts, widget
from phoebusgen.screen import Screen
from phoebusgen.v4.widgets import XYPlot

PLACE = (0, 0, 0, 0)


def unknown_on_screen(text: str) -> set[str]:
    """Elements and attributes that phoebusgen does not write there, each with what it stands in."""
    return _names(ET.fromstring(text)) - _names(_screen())  # noqa: S314 - our own


def _names(element: ET.Element, above: str = "") -> set[str]:
    """With their values where Phoebus names these too: attributes, and formats by number."""
    attributes = [f"{name}={value.removesuffix('.0')}" for name, value in sorted(element.items())]  # 14 is 14.0
    kind = f"[{' '.join(attributes)}]" if element.tag in ("display", "widget", "action") else ""
    here = f"{above}/{element.tag}{kind}"
    value = element.text if element.tag == "format" else ""
    own = {f"{here}={value}", *(f"{here}@{attribute}" for attribute in attributes)}
    return own.union(*(_names(child, here) for child in element))


def _screen() -> ET.Element:
    """A widget of each kind, with what ours have."""
    screen = Screen("name")
    screen.width(1)
    screen.height(1)
    screen.add_widget([_label(), _value("default"), _value("string"), _button(), _plot(), _plot_without_legend()])
    return screen.root


def _label() -> widget.Label:
    label = widget.Label("name", "text", *PLACE)
    label.predefined_font(fonts["DefaultBold"])
    label.tool_tip("tip")
    return label


def _value(format: str) -> widget.TextUpdate:
    value = widget.TextUpdate("name", "pv", *PLACE)
    value.format(format)
    return value


def _button() -> widget.ActionButton:
    button = widget.ActionButton("name", "text", "pv", *PLACE)
    button.tool_tip("tip")
    button.action_open_file("file", "description")
    button.action_open_webpage("url", "description")
    button.action_write_pv("pv", 1, "description")
    button.confirmation_dialog("message")
    return button


def _plot() -> widget.XYPlot:
    plot, axis, trace = widget.XYPlot("name", *PLACE), widget.XYPlotYAxis(), widget.XYPlotTrace()
    axis.title("title")
    axis.auto_scale(True)
    plot.add_y_axis(axis)
    trace.y_pv("pv")
    plot.add_trace(trace)
    return plot


def _plot_without_legend() -> XYPlot:
    """The older interface of phoebusgen has no legend. The newer one numbers formats otherwise than Phoebus does."""
    plot = XYPlot("name", *PLACE)
    plot.show_legend = False
    return plot
