"""A matplotlib figure as inline SVG for a page with a strict content security policy."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET

from matplotlib.figure import Figure

from offloadbench.report.plots.style import INK, PAPER

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_FONT = re.compile(r"(?:(?P<weight>bold|\d{3}) )?(?P<size>[\d.]+px) ")
_URL = re.compile(r"url\(#([^)]+)\)")
# what XML 1.0 cannot hold, not even escaped
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """The text with a mark in place of every character that no page can show."""
    return _CONTROL.sub("\ufffd", text)


def _as_attributes(element: ET.Element) -> None:
    """Style attributes become presentation attributes: the policy allows no inline style."""
    for declaration in element.attrib.pop("style", "").split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            # the page's own family takes the place of matplotlib's
            found = _FONT.match(value)
            if found:
                element.set("font-size", found["size"])
                if found["weight"]:
                    element.set("font-weight", found["weight"])
        elif name and name != "font-family":
            element.set(name, value)


def _as_page(value: str) -> str:
    """INK and PAPER become the colours of the page."""
    return {INK: "currentColor", PAPER: "var(--surface)"}.get(value, value)


def inline(figure: Figure, prefix: str, label: str, css_class: str) -> str:
    """The figure as an <svg> element.

    Args:
        prefix: goes before every id, so that plots on one page never collide.
        label: what a reader who cannot see the plot is told.
    """
    buffer = io.StringIO()
    # the layout is done: an engine that is still set would have everything drawn twice
    figure.set_layout_engine(None)
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    # matplotlib wrote it a moment ago: no foreign document is parsed here
    root = ET.fromstring(buffer.getvalue())  # noqa: S314
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        _as_attributes(element)
        for name, value in list(element.attrib.items()):
            element.set(name, _URL.sub(rf"url(#{prefix}\1)", _as_page(value)))
        if "id" in element.attrib:
            element.set("id", prefix + element.attrib["id"])
        reference = element.attrib.pop(f"{{{_XLINK}}}href", None)
        if reference:
            element.set("href", f"#{prefix}{reference.removeprefix('#')}")
    for name in ("width", "height"):
        root.set(name, f"{float(root.attrib[name].removesuffix('pt')):g}")
    root.attrib.pop("version", None)
    root.set("stroke-linejoin", "round")
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("class", css_class)
    return ET.tostring(root, encoding="unicode")
