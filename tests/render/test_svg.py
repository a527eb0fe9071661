"""A sheet as SVG and PNG: whole, valid and harmless whatever its words hold; nothing lost of the picture."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
from PIL import Image

import interp_widgets as iw
from interp_widgets.render.colours import colour_table
from interp_widgets.render.look import Look
from interp_widgets.render.sheet import Sheet, printable, sheet_of
from interp_widgets.render.svg import svg_of

SVG = "{http://www.w3.org/2000/svg}"
MAP = np.linspace(-1, 3, 12).reshape(3, 4)
TABLE = colour_table("viridis")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a & b &amp; ]]> <!-- --> <?php",
    "\x00\x01\x08\x0b\x1b\x7f\x85\ud800\udfff\ufffe\uffff",
    "猫" * 200,
    "word " * 100,
    "w" * 500,
    "",
)


def sheet(words: str = "words", base: np.ndarray | None = None) -> Sheet:
    display = Look(percentile=100).applied_to(MAP, signed=False)
    return sheet_of(display, base, TABLE, opacity=0.5, title=words, caption=words, alt=words)


def parsed(text: str | bytes) -> ET.Element:
    """The elements of a file; what is no valid XML is refused."""
    return ET.fromstring(text if isinstance(text, bytes) else text.encode())  # noqa: S314 - we made it


def texts(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("words", HOSTILE, ids=[str(number) for number in range(len(HOSTILE))])
def test_whatever_the_words_the_file_is_valid_and_holds_them_as_text(words: str) -> None:
    text = svg_of(sheet(words))
    root = parsed(text)
    plain = parsed(svg_of(sheet()))
    assert {element.tag for element in root.iter()} <= {element.tag for element in plain.iter()}
    assert not [name for element in root.iter() for name in element.attrib if name.lower().startswith("on")]
    for tag in ("title", "desc"):
        assert (root.findtext(f"{SVG}{tag}") or "") == printable(words)
    written = "".join("".join(texts(root)).split())
    assert "".join(printable(words).split()) in written


def test_what_xml_forbids_is_replaced_and_all_else_stays() -> None:
    assert printable("a\x00b\ud800\uffff") == "a\ufffdb\ufffd\ufffd"
    assert printable("\t\n猫 é \U0001f408") == "\t\n猫 é \U0001f408"


def test_the_picture_in_the_file_is_the_sheets_own() -> None:
    made = sheet(base=np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    image = parsed(svg_of(made)).find(f"{SVG}image")
    assert image is not None
    header, _, data = image.attrib["href"].partition(",")
    assert header == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), made.pixels)


def test_scale_and_ticks_are_those_of_the_colours() -> None:
    root = parsed(svg_of(sheet()))
    stops = [stop.attrib["stop-color"] for stop in root.iter(f"{SVG}stop")]
    assert stops == [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in TABLE.tolist()]
    assert texts(root)[1:4] == ["-1", "1", "3"]
    (gradient,) = root.iter(f"{SVG}linearGradient")
    assert [each.get("fill") for each in root.iter(f"{SVG}rect")][1] == f"url(#{gradient.attrib['id']})"


def test_nothing_is_loaded_from_elsewhere() -> None:
    text = svg_of(sheet(HOSTILE[0]))
    assert text.count("href=") == 1
    assert [part.split('"')[0] for part in text.split("http")[1:]] == ["://www.w3.org/2000/svg"]


# The sheet itself


@pytest.mark.parametrize(
    ("height", "width", "drawn"), [(96, 96, 1056), (30, 40, 1040), (2000, 1500, 1500), (9, 1024, 1024)]
)
def test_the_picture_is_enlarged_by_a_whole_number_to_1024_pixels_of_width(height: int, width: int, drawn: int) -> None:
    made = sheet(base=np.zeros((height, width, 3), dtype=np.uint8))
    assert made.pixels.shape == (height * drawn // width, drawn, 3)


def test_a_tall_picture_is_enlarged_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interp_widgets.render.sheet.MOST_PIXELS", 100_000)
    assert sheet(base=np.zeros((1000, 10, 3), dtype=np.uint8)).pixels.shape == (3000, 30, 3)


def test_the_map_lies_over_the_input_as_it_is_shown() -> None:
    base = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    display = Look(photo="grey", by_strength=True).applied_to(MAP, signed=True)
    made = sheet_of(display, base, TABLE, opacity=0.3, smooth=False, title="", caption="", alt="")
    np.testing.assert_array_equal(made.pixels, display.over(base, TABLE, 0.3, smooth=False))


def test_without_an_input_the_map_stands_alone() -> None:
    made = sheet()
    assert made.pixels.shape == (768, 1024, 3)
    np.testing.assert_array_equal(made.pixels[0, 0], TABLE[0])
    np.testing.assert_array_equal(made.pixels[-1, -1], TABLE[255])


@pytest.mark.parametrize("words", HOSTILE, ids=[str(number) for number in range(len(HOSTILE))])
def test_a_png_holds_the_picture_and_leaves_room_for_all_its_words(words: str) -> None:
    made = sheet(words)
    file = np.asarray(Image.open(io.BytesIO(made.png())))
    margin = (file.shape[1] - made.pixels.shape[1]) // 2
    assert margin > 0
    top = next(row for row in range(file.shape[0]) if (file[row, margin : margin + 9] == TABLE[0]).all())
    height, width = made.pixels.shape[:2]
    np.testing.assert_array_equal(file[top : top + height, margin : margin + width], made.pixels)
    assert (file[:, :2] == 255).all()
    assert (file[:, -2:] == 255).all()  # no line runs out of the sheet
    assert (file[-2:] == 255).all()


# An attribution's own


def attribution(names: tuple[str, ...] = ("a", "b")) -> iw.Attribution:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    with iw.record(model, torch.rand(1, 3, 32, 32), class_names=[*names, "c", "d"]) as trace:
        return iw.Gradient()(trace, target=0)


def test_an_attribution_says_in_its_file_what_it_is_and_what_was_done() -> None:
    made = attribution((HOSTILE[0], "b"))
    root = parsed(made.svg())
    assert root.findtext(f"{SVG}title") == f"Gradient for {HOSTILE[0]}, at input (score {made.score:.3g})"
    assert root.findtext(f"{SVG}desc") == made.describe()
    assert texts(root)[-1] == made.display().note
    doubtful = replace(made, error=0.5, error_kind=iw.SmoothGrad.error_kind)
    assert texts(parsed(doubtful.svg()))[-1] == doubtful.doubt != ""


def test_look_and_colours_of_the_file_can_be_chosen() -> None:
    made = attribution()
    root = parsed(made.svg("magma", look=iw.Look(limit=0.25)))
    assert next(root.iter(f"{SVG}stop")).attrib["stop-color"] == "#000004"
    assert "0.25" in texts(root)


def test_a_list_of_values_is_a_bar_chart_with_text() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2))
    names = [HOSTILE[0], HOSTILE[2], "é"]  # a machine without Chinese fonts warns
    with iw.record(model, torch.rand(1, 3), feature_names=names) as trace:
        made = iw.Gradient()(trace, target=0)
    text = made.svg()
    assert set(made.feature_labels) <= set(texts(parsed(text)))
    assert text == made.svg()
