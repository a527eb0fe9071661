"""`NetworkStrip`: where its blocks are, which one is meant, what mouse and keyboard do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import pytest
from torch import nn
from torchvision import models

import interp_widgets as iw
from interp_widgets.inspectors.outline import Outline
from interp_widgets.widgets.kit.canvas import SCALE
from interp_widgets.widgets.kit.strip import Block, NetworkStrip, arrange, first_open
from tests.widgets.models import HOSTILE, Residual, images

WIDTH, HEIGHT = 464, 104


@pytest.fixture(scope="module")
def outline() -> Outline:
    with iw.record(Residual().eval(), images(1)) as trace:
        return Outline(trace)


@pytest.fixture(scope="module")
def deep() -> Outline:
    with iw.record(models.resnet50(weights=None).eval(), images(1)) as trace:
        return Outline(trace)


@pytest.fixture
def strip(outline: Outline) -> Iterator[NetworkStrip]:
    made = NetworkStrip(WIDTH, HEIGHT)
    made.show(outline, "head")
    yield made
    made.close()


def _stages(outline: Outline) -> frozenset[str]:
    return frozenset(module.path for module in outline.modules if module.children)


def _click(strip: NetworkStrip, path: str, *, stage: bool = False) -> None:
    """The mouse on the middle of a block or of a stage's line, as ipycanvas reports it."""
    (block,) = (each for each in strip._blocks if each.path == path and each.stage is stage)
    content = {"x": (block.x + block.width / 2) * SCALE, "y": (block.y + block.height / 2) * SCALE}
    for event in ("mouse_move", "mouse_down", "mouse_up"):
        strip._surface.canvas._handle_custom_msg({"event": event, **content}, [])


def _press(strip: NetworkStrip, key: str) -> None:
    modifiers = {"shift_key": False, "ctrl_key": False, "meta_key": False}
    strip._surface.canvas._handle_custom_msg({"event": "key_down", "key": key, **modifiers}, [])


def _paths(strip: NetworkStrip) -> list[str]:
    return [block.path for block in strip._blocks if not block.stage]


def _check(blocks: list[Block], width: int, height: int) -> None:
    """Inside the canvas, in a row, nothing over anything else."""
    row = [block for block in blocks if not block.stage]
    for before, after in pairwise(row):
        assert before.x + before.width <= after.x
    for block in blocks:
        assert block.width > 0
        assert block.height > 0
        assert all(math.isfinite(value) for value in (block.x, block.y, block.width, block.height))
        assert block.x >= 0
        assert block.x + block.width <= width + 1e-6
        assert block.y >= 0
        assert block.y + block.height <= height
    lines = [block for block in blocks if block.stage]
    for before, after in pairwise(lines):
        assert before.x + before.width <= after.x
    for block in row:
        assert all(line.y + line.height <= block.y for line in lines)


def test_blocks_stand_side_by_side_in_execution_order(outline: Outline) -> None:
    blocks = arrange(outline, frozenset(), WIDTH, HEIGHT)
    assert [block.path for block in blocks] == ["stem", "stage1", "stage2", "mix", "pool", "head"]
    _check(blocks, WIDTH, HEIGHT)
    assert blocks[-1].x + blocks[-1].width > 0.9 * WIDTH


def test_width_tells_channels_and_height_tells_spatial_size(outline: Outline) -> None:
    found = {block.path: block for block in arrange(outline, frozenset(), WIDTH, HEIGHT)}
    assert found["stem"].width == pytest.approx(found["stage1"].width)  # 8 channels each
    assert found["stem"].width < found["stage2"].width  # 8 and 32
    assert found["stem"].height > found["stage2"].height > found["pool"].height  # 16, 8 and 1 pixels
    assert found["head"].height <= found["pool"].height  # no maps
    assert found["head"].kind == "linear"


def test_an_opened_stage_shows_its_parts_under_a_line_of_its_own(outline: Outline) -> None:
    blocks = arrange(outline, frozenset({"stem"}), WIDTH, HEIGHT)
    parts = [block for block in blocks if block.path.startswith("stem.")]
    (line,) = (block for block in blocks if block.stage)
    assert [block.path for block in parts] == ["stem.0", "stem.1", "stem.2"]
    assert line.path == "stem"
    assert line.x == pytest.approx(parts[0].x)
    assert line.x + line.width == pytest.approx(parts[-1].x + parts[-1].width)
    _check(blocks, WIDTH, HEIGHT)


@pytest.mark.parametrize("width", [464, 200])
def test_a_deep_network_fits_however_many_stages_are_open(deep: Outline, width: int) -> None:
    for opened in (frozenset[str](), first_open(deep), _stages(deep)):
        _check(arrange(deep, opened, width, HEIGHT), width, HEIGHT)


def test_a_network_of_hundreds_of_layers_fits_too() -> None:
    model = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(400)))
    with iw.record(model, images(1, 8, 8)) as trace:
        blocks = arrange(Outline(trace), frozenset(), WIDTH, HEIGHT)
    assert len(blocks) == 400
    _check(blocks, WIDTH, HEIGHT)


def test_few_stages_are_open_at_first(deep: Outline, outline: Outline) -> None:
    assert len([b for b in arrange(deep, first_open(deep), WIDTH, HEIGHT) if not b.stage]) <= 40
    assert first_open(outline) == _stages(outline)


def test_every_point_of_the_canvas_belongs_to_at_most_one_block(outline: Outline) -> None:
    blocks = arrange(outline, frozenset({"stem", "stage2"}), WIDTH, HEIGHT)
    for block in blocks:
        x, y = block.x + block.width / 2, block.y + block.height / 2
        assert [each for each in blocks if each.holds(x, y)] == [block]
    assert not any(block.holds(-5.0, 50.0) or block.holds(WIDTH + 5.0, 50.0) for block in blocks)


def test_a_click_selects_and_a_second_one_opens(strip: NetworkStrip) -> None:
    strip.opened = frozenset()
    _click(strip, "stage2")
    assert strip.selected == "stage2"
    assert strip.opened == frozenset()
    _click(strip, "stage2")
    assert strip.opened == {"stage2"}
    assert "stage2" not in _paths(strip)
    assert strip._marked() == "stage2.1"  # the same value, now a block of its own
    _click(strip, "stage2", stage=True)
    assert strip.opened == frozenset()
    assert strip.selected == "stage2"


def test_a_click_beside_all_blocks_does_nothing(strip: NetworkStrip) -> None:
    before = (strip.selected, strip.opened)
    strip._surface.canvas._handle_custom_msg({"event": "mouse_down", "x": -50, "y": 20}, [])
    strip._surface.canvas._handle_custom_msg({"event": "mouse_down", "x": 5 * WIDTH, "y": 20}, [])
    assert (strip.selected, strip.opened) == before


def test_a_layer_inside_a_closed_stage_marks_the_stage(strip: NetworkStrip) -> None:
    strip.opened = frozenset()
    strip.selected = "stage2.0"
    assert strip._marked() == "stage2"
    strip.opened = frozenset({"stage2"})
    assert strip._marked() == "stage2.0"


def test_hovering_names_a_block_and_leaving_names_the_selected_one(strip: NetworkStrip) -> None:
    assert strip._about.value.startswith("head")
    (block,) = (each for each in strip._blocks if each.path == "mix")
    place = {"x": (block.x + 1) * SCALE, "y": 50 * SCALE}
    strip._surface.canvas._handle_custom_msg({"event": "mouse_move", **place}, [])
    assert strip._about.value.startswith("mix")
    assert strip.selected == "head"
    strip._surface.canvas._handle_custom_msg({"event": "mouse_out", **place}, [])
    assert strip._about.value.startswith("head")


def test_arrows_walk_and_stop_at_the_ends(strip: NetworkStrip) -> None:
    strip.opened = frozenset()
    for key, selected in [
        *(("ArrowLeft", "pool"), ("ArrowLeft", "mix"), ("ArrowRight", "pool"), ("Home", "stem")),
        *(("ArrowLeft", "stem"), ("End", "head"), ("ArrowRight", "head")),
    ]:
        _press(strip, key)
        assert strip.selected == selected


def test_enter_opens_and_backspace_closes(strip: NetworkStrip) -> None:
    strip.opened = frozenset()
    strip.selected = "stage2"
    _press(strip, "Enter")
    assert strip.opened == {"stage2"}
    _press(strip, "Backspace")
    assert strip.opened == frozenset()
    strip.selected = "mix"
    _press(strip, "Enter")  # has no parts
    _press(strip, "Backspace")  # is in no stage
    assert strip.opened == frozenset()


def test_escape_leaves(strip: NetworkStrip) -> None:
    left: list[str] = []
    strip.on_leave(lambda: left.append("Escape"))
    _press(strip, "Escape")
    assert left == ["Escape"]
    assert strip.selected == "head"


def test_closing_a_stage_closes_what_is_open_inside(deep: Outline) -> None:
    strip = NetworkStrip(WIDTH, HEIGHT)
    strip.show(deep, "layer1")
    strip.opened = frozenset({"layer1", "layer1.0"})
    _click(strip, "layer1", stage=True)
    assert strip.opened == frozenset()
    strip.close()


def test_the_selected_block_is_drawn_differently(strip: NetworkStrip) -> None:
    strip.opened = frozenset()
    outlines = []
    for path in ("mix", "stem"):
        strip.selected = path
        (block,) = (each for each in strip._blocks if each.path == path)
        drawn = [command for command in strip._surface._commands if command[0] == "stroke_rect"]
        assert len(drawn) == 1
        assert drawn[0][1] <= block.x <= block.x + block.width <= drawn[0][1] + drawn[0][3]
        outlines.append(drawn)
    assert outlines[0] != outlines[1]


def test_another_recording_of_the_same_model_keeps_the_opened_stages(strip: NetworkStrip, outline: Outline) -> None:
    strip.opened = frozenset({"stage2"})
    strip.show(outline, "mix")
    assert (strip.opened, strip.selected) == ({"stage2"}, "mix")


def test_a_network_of_one_layer_and_a_hostile_name_can_be_drawn() -> None:
    model = nn.Sequential()
    model.add_module(HOSTILE, nn.Conv2d(3, 4, 1))
    strip = NetworkStrip(WIDTH, HEIGHT)
    with iw.record(model, images(1, 8, 8)) as trace:
        strip.show(Outline(trace), HOSTILE)
    assert HOSTILE in strip._about.value
    _press(strip, "ArrowRight")
    assert strip.selected == HOSTILE
    strip.close()


def test_the_strip_fills_the_width_that_the_page_has(strip: NetworkStrip) -> None:
    for room in (900, 300):
        strip._aid.set_state({"room": room})
        assert strip._surface.canvas.width == (room - 4) * SCALE
        assert strip._surface.canvas.layout.width == f"{room - 4}px"
        last = max((block for block in strip._blocks if not block.stage), key=lambda block: block.x)
        assert room - 12 < last.x + last.width <= room - 4
        _click(strip, "head")
        assert strip.selected == "head"
