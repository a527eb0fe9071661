"""The picture of a graph: the same data flow, whatever is open, harmless whatever the names."""

from __future__ import annotations

import io
import time
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import LayerError
from interp_widgets.inspectors.graph import Graph
from interp_widgets.inspectors.graph_picture import pictured
from interp_widgets.inspectors.nodes import Edge, Node
from interp_widgets.inspectors.outline import times
from interp_widgets.render.colours import KIND_COLOURS
from interp_widgets.render.diagram import MOST, Diagram
from interp_widgets.render.layered import Box
from tests.render.geometry import check

SVG = "{http://www.w3.org/2000/svg}"


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.two(torch.relu(self.one(x)))


class Model(nn.Module):
    """A block that is used twice, and two more in a stage."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.stage, self.head = Block(), nn.Sequential(Block(), Block()), nn.Sequential(nn.Linear(4, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stage(self.twice(self.twice(x))))


class UNet(nn.Module):
    """Three levels, each joined by concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Sequential(nn.Conv2d(c, d, 3, padding=1), nn.ReLU()) for c, d in ((1, 4), (4, 8)))
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.up = nn.ModuleList(nn.Sequential(nn.Conv2d(c, 4, 3, padding=1), nn.ReLU()) for c in (16, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        passed = []
        for stage in self.down:
            x = stage(x)
            passed.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.deep(x)
        for stage in self.up:
            x = nn.functional.interpolate(x, scale_factor=2)
            x = stage(torch.cat([x, passed.pop()], dim=1))
        return x


class Gpt(nn.Module):
    """As GPT-2 is built, of a narrow width."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(50, 8), nn.Embedding(16, 8)
        self.blocks = nn.ModuleList(GptBlock() for _ in range(depth))
        self.last = nn.LayerNorm(8)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.last(x) @ self.tokens.weight.T


class GptBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attend, self.project = nn.Linear(8, 24), nn.Linear(8, 8)
        self.widen, self.narrow = nn.Linear(8, 32), nn.Linear(32, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (each.unflatten(-1, (2, 4)).transpose(1, 2) for each in self.attend(self.before(x)).chunk(3, dim=-1))
        weights = (q @ k.mT / 2).masked_fill(~torch.ones(x.shape[1], x.shape[1]).tril().bool(), -torch.inf).softmax(-1)
        x = x + self.project((weights @ v).transpose(1, 2).flatten(-2))
        return x + self.narrow(nn.functional.gelu(self.widen(self.between(x))))


@pytest.fixture(scope="module")
def small() -> Graph:
    return iw.graph(Model().eval(), (1, 4))


def graph_of(name: str) -> Graph:
    if name == "UNet":
        return iw.graph(UNet().eval(), (1, 1, 16, 16))
    options = {"init_weights": False} if name == "googlenet" else {}
    if name == "gpt":
        return iw.graph(Gpt(48).eval(), torch.zeros(1, 8, dtype=torch.long))
    size = 224 if name.startswith(("vit", "maxvit")) else 64
    return iw.graph(getattr(torchvision.models, name)(**options).eval(), (1, 3, size, size))


def diagram_of(graph: Graph, opened: list[str] | None) -> Diagram:
    plates, lines = pictured(graph.nodes, graph.edges, graph.scopes, opened)
    return Diagram(plates, lines, title="", alt="")


def labels(graph: Graph, opened: list[str] | None) -> list[str]:
    return [plate.label for plate in diagram_of(graph, opened).plates]


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - we made it


@pytest.mark.parametrize(
    "name",
    [
        "UNet",
        "resnet18",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                "resnet50",
                "densenet121",
                "googlenet",
                "vit_b_16",
                "swin_t",
                "maxvit_t",
                "efficientnet_b7",
                "gpt",
            )
        ),
    ],
)
def test_no_box_overlaps_another_and_no_line_crosses_a_foreign_one(name: str) -> None:
    graph = graph_of(name)
    for opened in (None, [], list(graph.scopes), list(graph.scopes)[::3]):
        diagram = diagram_of(graph, opened)
        layout = diagram.layout
        boxes = [
            Box(box.width, box.height, plate.parent, is_open=plate.role == "open")
            for plate, box in zip(diagram.plates, layout.rectangles, strict=True)
        ]
        check(boxes, diagram.lines, layout)
        assert sum(plate.role != "open" for plate in diagram.plates) <= 60 or opened


def test_opened_whole_it_has_each_node_and_each_edge(small: Graph) -> None:
    diagram = diagram_of(small, list(small.scopes))
    assert [plate.label for plate in diagram.plates] == [
        "input",
        *("twice:0 · Block", "one:0 · Linear", "relu", "two:0 · Linear", "add"),
        *("twice:1 · Block", "one:1 · Linear", "relu", "two:1 · Linear", "add"),
        "stage · Sequential",
        *("0 · Block", "one · Linear", "relu", "two · Linear", "add"),
        *("1 · Block", "one · Linear", "relu", "two · Linear", "add"),
        "head.0 · Linear",
        "output",
    ]
    boxes = [place for place, plate in enumerate(diagram.plates) if plate.role != "open"]
    names = dict(zip(boxes, (node.name for node in small.nodes), strict=True))
    drawn = [(names[source], names[target]) for source, target in diagram.lines]
    assert drawn == [(edge.source, edge.target) for edge in small.edges]


def test_a_frame_has_room_for_its_name() -> None:
    graph = graph_of("UNet")
    diagram = diagram_of(graph, list(graph.scopes))
    shown = [diagram.captions(place)[0].words for place in range(len(diagram.plates))]
    assert shown == [plate.label for plate in diagram.plates]
    assert "down.0 · Sequential" in shown


def test_a_closed_module_is_one_box_with_the_shape_of_what_leaves_it(small: Graph) -> None:
    diagram = diagram_of(small, ["stage"])
    assert [(plate.label, plate.note, plate.role) for plate in diagram.plates] == [
        ("input", times((1, 4)), "single"),
        ("twice:0 · Block", times((1, 4)), "closed"),
        ("twice:1 · Block", times((1, 4)), "closed"),
        ("stage · Sequential", "", "open"),
        ("0 · Block", times((1, 4)), "closed"),
        ("1 · Block", times((1, 4)), "closed"),
        ("head.0 · Linear", times((1, 2)), "single"),
        ("output", times((1, 2)), "single"),
    ]
    assert diagram.lines == [(0, 1), (1, 2), (2, 4), (4, 5), (5, 6), (6, 7)]


def test_the_colour_is_that_of_the_family_in_the_other_views(small: Graph) -> None:
    colours = {plate.label: plate.colour for plate in diagram_of(small, ["stage.0"]).plates}
    assert colours["one · Linear"] == KIND_COLOURS["linear"]
    assert colours["relu"] == KIND_COLOURS["activation"]
    assert colours["add"] == colours["input"] == KIND_COLOURS["other"]
    assert colours["1 · Block"] == KIND_COLOURS["block"]


def test_opening_a_module_opens_those_that_it_is_in(small: Graph) -> None:
    assert labels(small, ["stage.1"]) == [
        *("input", "twice:0 · Block", "twice:1 · Block", "stage · Sequential", "0 · Block"),
        *("1 · Block", "one · Linear", "relu", "two · Linear", "add", "head.0 · Linear", "output"),
    ]


def test_by_default_whole_levels_are_open_while_there_are_60_boxes_at_most() -> None:
    block = nn.Sequential(*(nn.Sequential(nn.ReLU(), nn.Tanh()) for _ in range(19)))
    fits, over = nn.Sequential(block, nn.Linear(4, 4)), nn.Sequential(block, *(nn.Linear(4, 4) for _ in range(21)))
    # input, the operations, output: 1 + 38 + 1 + 1 are 41 boxes, and 1 + 38 + 21 + 1 are 61
    for model, boxes in ((fits, 41), (over, 1 + 19 + 21 + 1)):
        plates = diagram_of(iw.graph(model, (1, 4)), None).plates
        assert sum(plate.role != "open" for plate in plates) == boxes


def test_the_file_is_the_text_and_the_same_each_time(small: Graph, tmp_path: Path) -> None:
    text = small.to_svg(tmp_path / "graph.svg", opened=small.scopes)
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == text
    assert text == iw.graph(Model().eval(), (1, 4)).to_svg(opened=small.scopes)
    root = parsed(text)
    assert root.findtext(f"{SVG}title") == "Model"
    assert root.findtext(f"{SVG}desc") == (
        "Data flow of Model, from top to bottom: "
        "input, twice:0 · Block, twice:1 · Block, stage · Sequential, head.0 · Linear, output"
    )
    tips = [element.findtext(f"{SVG}title") for element in root.iter(f"{SVG}g")]
    assert f"twice.one:0  ·  Linear  ·  {times((1, 4))}  ·  20 parameters" in tips


def test_a_notebook_shows_it(small: Graph) -> None:
    assert small._repr_svg_() == small.to_svg()


def test_names_cannot_break_out_of_the_file() -> None:
    names = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a&b]]>\x00\x1b", "\u00e9" * 60, "$x^{2}$"]
    nodes = tuple(Node(name, "", "Linear", (1, 4)) for name in names)
    edges = tuple(Edge(source, target, (1, 4)) for source, target in pairwise(names))
    graph = Graph(nodes, edges, {}, "</svg><script>", error="</title><script>\x00")
    root = parsed(graph.to_svg())
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags == {"svg", "title", "desc", "rect", "g", "path", "text"}
    assert "<script>alert(1)</script> · Linear" in [element.text for element in root.iter(f"{SVG}text")]
    assert max(box.width for box in diagram_of(graph, None).layout.rectangles) == MOST, "a long name is cut"
    assert graph.to_png().startswith(b"\x89PNG")


@pytest.mark.parametrize(("opened", "given"), [(["stage", "satge"], "'satge'"), ("sta", "'sta'"), ([3], "3")])
def test_a_module_that_is_not_there_cannot_be_opened(small: Graph, opened: list[str], given: str) -> None:
    with pytest.raises(LayerError, match=rf"got {given}; it has twice:0, .*graph.scopes"):
        small.to_svg(opened=opened)


def test_one_name_is_a_list_of_one(small: Graph) -> None:
    assert small.to_svg(opened="stage") == small.to_svg(opened=["stage"])


def test_a_failed_forward_is_drawn_up_to_there_with_its_error() -> None:
    graph = iw.graph(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(4, 3)), torch.rand(1, 4))
    texts = [element.text or "" for element in parsed(graph.to_svg()).iter(f"{SVG}text")]
    assert [text for text in texts if "·" in text] == ["0 · Linear", "1 · ReLU"]
    assert " ".join(texts[1:4]).startswith("RuntimeError: ")


def test_the_png_has_the_size_of_the_svg_twice_and_something_in_each_box(small: Graph, tmp_path: Path) -> None:
    file = small.to_png(tmp_path / "graph.png")
    assert (tmp_path / "graph.png").read_bytes() == file
    pixels = np.asarray(Image.open(io.BytesIO(file)).convert("L"))
    diagram = diagram_of(small, None)
    root = parsed(small.to_svg())
    assert pixels.shape == pytest.approx((2 * float(root.get("height")), 2 * float(root.get("width"))), abs=1)  # type: ignore[arg-type]  # both are there
    left = (pixels.shape[1] / 2 - diagram.layout.width) / 2
    top = pixels.shape[0] / 2 - diagram.layout.height
    for x, y, width, height in diagram.layout.rectangles:
        inside = pixels[
            int(2 * (y + top)) : int(2 * (y + top + height)), int(2 * (x + left)) : int(2 * (x + left + width))
        ]
        assert inside.min() < 100, "letters"
        assert inside.max() > 200, "on a light ground"


@pytest.mark.slow
def test_a_png_never_has_more_pixels_than_a_file_can_hold() -> None:
    names = [str(number) for number in range(520)]
    graph = Graph(
        tuple(Node(name, "", "ReLU", (1, 4)) for name in names),
        tuple(Edge(*pair, (1, 4)) for pair in pairwise(names)),
        {},
        "Long",
    )
    width, height = Image.open(io.BytesIO(graph.to_png())).size
    assert 64_900 < height <= 65_000  # 520 boxes of 64 units each would be 66,560 pixels
    assert width * height <= 50_000_000


@pytest.mark.slow
def test_resnet152_opened_whole_is_laid_out_within_a_second() -> None:
    graph = graph_of("resnet152")
    diagram = diagram_of(graph, list(graph.scopes))
    start = time.process_time()
    assert len(diagram.layout.rectangles) > 500
    assert time.process_time() - start < 1
