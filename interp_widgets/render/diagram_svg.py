"""``svg_of_diagram``: a diagram as an SVG file, its words as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

from interp_widgets.render.diagram import LINE, LINE_WIDTH, ROUND, Caption, Diagram
from interp_widgets.render.level import Point
from interp_widgets.render.sheet import printable

__all__ = ["svg_of_diagram"]


def svg_of_diagram(diagram: Diagram) -> str:
    """An SVG file with a ``title`` and a ``desc``, a tooltip on each box; it refers to nothing outside itself."""
    root = _root(diagram.width, diagram.height)
    _add(root, "title").text = printable(diagram.title)
    _add(root, "desc").text = printable(diagram.alt)
    _add(root, "rect", width="100%", height="100%", fill="white")
    for caption in diagram.head:
        _write(root, caption)
    moved = _add(root, "g", transform=f"translate({_numbers([diagram.corner])})")
    places = range(len(diagram.plates))
    is_open = [plate.role == "open" for plate in diagram.plates]
    for place in places:
        if is_open[place]:
            _add_sheets(moved, diagram, place)
    curves = " ".join(f"{letter}{_numbers(points)}" for letter, points in diagram.strokes())
    _add(moved, "path", d=curves, fill="none", stroke=LINE, stroke_width=LINE_WIDTH)
    _add(moved, "path", d=" ".join(f"M{_numbers(corners)}z" for corners in diagram.heads()), fill=LINE)
    for place in places:
        group = _add(moved, "g")
        _add(group, "title").text = printable(diagram.plates[place].tip)
        if not is_open[place]:
            _add_sheets(group, diagram, place)
        for caption in diagram.captions(place):
            _write(group, caption)
    return ET.tostring(root, encoding="unicode", xml_declaration=False)


def _root(width: float, height: float) -> ET.Element:
    options = {
        "xmlns": "http://www.w3.org/2000/svg",
        "role": "img",
        "width": _number(width),
        "height": _number(height),
        "viewBox": f"0 0 {_number(width)} {_number(height)}",
        "style": "max-width: 100%; height: auto",
        "font-family": "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', sans-serif",
    }
    return ET.Element("svg", options)


def _add(parent: ET.Element, tag: str, **attributes: Any) -> ET.Element:
    written = {
        name.replace("_", "-"): _number(value) if isinstance(value, (int, float)) else value
        for name, value in attributes.items()
    }
    return ET.SubElement(parent, tag, written)


def _add_sheets(parent: ET.Element, diagram: Diagram, place: int) -> None:
    fill, stroke = diagram.fill(place), diagram.plates[place].colour
    for sheet in diagram.sheets(place):
        _add(parent, "rect", **sheet._asdict(), fill=fill, stroke=stroke, rx=ROUND)


def _write(parent: ET.Element, caption: Caption) -> None:
    text = _add(parent, "text", x=caption.x, y=caption.y, fill=caption.colour, font_size=caption.size)
    text.text = caption.words
    if caption.is_centred:
        text.set("text-anchor", "middle")
    if caption.behind:
        for name, value in (("stroke", caption.behind), ("stroke-width", "3"), ("paint-order", "stroke")):
            text.set(name, value)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _numbers(points: Sequence[Point]) -> str:
    return " ".join(_number(value) for point in points for value in point)
