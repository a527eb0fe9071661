"""``NetworkStrip``: the network as a row of blocks in execution order, drawn on ipycanvas."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import ipywidgets as widgets
import traitlets as t

from interp_widgets.inspectors.outline import Module, Outline
from interp_widgets.render.colours import KIND_COLOURS
from interp_widgets.widgets.kit.canvas import Command, Surface
from interp_widgets.widgets.kit.canvas_aid import CanvasAid
from interp_widgets.words import say

__all__ = ["Block", "NetworkStrip", "arrange", "first_open"]

TEXT = "#808488"
ACCENT = "#2a8cdb"
AT_FIRST = 40  # blocks shown before the user opens or closes anything
HEAD = 16  # pixels above for the names of opened stages
FOOT = 14  # pixels below for those of blocks
LEAST_HEIGHT = 8.0  # pixels of a block without spatial size
LEAST_WIDTH = 240  # pixels: a narrower page scrolls
MARGINS = 4  # pixels that ipywidgets keeps around a widget in a box, both sides together
LETTER = 6.0  # pixels of a letter's width, about


@dataclass(frozen=True)
class Block:
    """One drawn module: its place in CSS pixels; ``stage`` is true for the line above an opened stage."""

    path: str
    x: float
    y: float
    width: float
    height: float
    kind: str
    name: str
    stage: bool = False

    def holds(self, x: float, y: float) -> bool:
        """Whether a point belongs to the block; a block takes the whole column above and below it."""
        return self.x <= x <= self.x + self.width and (y < HEAD if self.stage else y >= HEAD)


def first_open(outline: Outline) -> frozenset[str]:
    """The stages that are open at first: level by level, as long as the blocks stay few."""
    opened: frozenset[str] = frozenset()
    while True:
        closed = {module.path for module in _frontier(outline, opened) if module.children}
        deeper = opened | closed
        if not closed or len(_frontier(outline, deeper)) > AT_FIRST:
            return opened
        opened = deeper


def _frontier(outline: Outline, opened: frozenset[str]) -> list[Module]:
    """The modules drawn as blocks, in execution order: the closed ones below opened ones."""
    drawn: list[Module] = []

    def visit(module: Module) -> None:
        was_recorded = module.row >= 0
        is_open = module.path in opened or not was_recorded  # what has no output of its own stands for its parts
        if module.children and is_open:
            for child in module.children:
                visit(outline.modules[child])
        elif was_recorded:
            drawn.append(module)

    for module in outline.modules:
        if module.parent < 0:
            visit(module)
    return drawn


def arrange(outline: Outline, opened: frozenset[str], width: int, height: int) -> list[Block]:
    """Where each block goes: width by channels, height by spatial size, both on a log scale."""
    modules = _frontier(outline, opened)
    if not modules:
        return []
    gap = min(3.0, 0.25 * width / len(modules))
    room_x = width - gap * (len(modules) + 1)
    room_y = height - HEAD - FOOT
    widths = [1 + math.log2(1 + module.channels) for module in modules]
    heights = [math.log2(1 + max(module.resolution or (0,))) for module in modules]
    total = sum(widths)
    tallest = max(heights) or 1.0
    blocks: list[Block] = []
    x = gap
    for module, share_x, share_y in zip(modules, widths, heights, strict=True):
        block_width = room_x * share_x / total
        block_height = max(LEAST_HEIGHT, room_y * share_y / tallest)
        y = HEAD + (room_y - block_height) / 2
        blocks.append(Block(module.path, x, y, block_width, block_height, module.kind, module.name))
        x += block_width + gap
    return blocks + _stages(opened, blocks)


def _stages(opened: frozenset[str], blocks: list[Block]) -> list[Block]:
    """A line over each run of neighbouring blocks that belong to one opened stage."""
    stages = []
    for path, neighbours in groupby(blocks, key=lambda block: _parent(block.path)):
        if path not in opened:
            continue
        run = list(neighbours)
        left = run[0].x
        right = run[-1].x + run[-1].width
        stages.append(Block(path, left, 0, right - left, HEAD - 4, "stage", path, stage=True))
    return stages


def _parent(path: str) -> str:
    """The path of the module around a module; empty at the top."""
    return path.rpartition(".")[0]


def _commands(blocks: list[Block], marked: str, hovered: str) -> list[Command]:
    commands: list[Command] = [("text_baseline", "alphabetic"), ("text_align", "left")]
    for block in blocks:
        if block.stage:
            commands += _stage_commands(block, hovered=block.path == hovered)
            continue
        chosen = block.path == marked
        commands += [
            ("fill_style", KIND_COLOURS[block.kind]),
            ("global_alpha", 1.0 if chosen or block.path == hovered else 0.78),
            ("fill_rect", block.x, block.y, block.width, block.height),
            ("global_alpha", 1.0),
        ]
        if chosen:
            commands += [
                ("stroke_style", ACCENT),
                ("line_width", 2),
                ("stroke_rect", block.x - 1.5, block.y - 1.5, block.width + 3, block.height + 3),
            ]
        label = _fitting(block.name, block.width)
        if label:
            commands += [
                ("fill_style", ACCENT if chosen else TEXT),
                ("font", "10px sans-serif"),
                ("text_align", "center"),
                ("fill_text", label, block.x + block.width / 2, block.y + block.height + 11),
            ]
    return commands


def _stage_commands(block: Block, *, hovered: bool) -> list[Command]:
    label = _fitting(block.name, block.width)
    return [
        ("fill_style", ACCENT if hovered else TEXT),
        ("global_alpha", 0.9),
        ("fill_rect", block.x, 12.0, block.width, 1.0),
        ("font", "10px sans-serif"),
        ("text_align", "center"),
        ("fill_text", label, block.x + block.width / 2, 9.0),
        ("global_alpha", 1.0),
    ]


def _fitting(name: str, width: float) -> str:
    """The name if it fits, or the last part of it, which tells most, or nothing."""
    for part in (name, name.rpartition(".")[2]):
        if len(part) * LETTER <= width:
            return part
    return ""


def _paths(outline: Outline) -> list[str]:
    return [module.path for module in outline.modules]


class NetworkStrip(widgets.VBox):
    """The network as blocks; ``selected`` is the chosen module's path.

    A click selects, a click on the selected block opens it into its parts, a click on the line above closes a stage.
    With the keyboard: arrows walk, Enter opens, Backspace closes, Tab and Escape leave.
    """

    selected = t.Unicode(help="path of the chosen module")
    opened = t.Any(frozenset(), help="paths of the opened stages")

    def __init__(self, width: int = 560, height: int = 104) -> None:
        self._outline: Outline | None = None
        self._blocks: list[Block] = []
        self._hovered = ""
        self._shown = ("", "")  # which block is framed, which is lit
        self._leave: Callable[[], None] = lambda: None
        self._surface = Surface(width, height)
        self._about = widgets.Label("", layout={"height": "24px", "margin": "0"}, style={"font_size": "12px"})
        self._about.add_class("iw-ellipsis")
        self._aid = CanvasAid()
        super().__init__([self._surface.canvas, self._aid, self._about], layout={"overflow": "hidden", "width": "100%"})
        self.add_class("iw-strip")
        self._surface.on_hover(self._hover)
        self._surface.on_click(self._click)
        self._surface.on_key(self._key)
        self._aid.observe(lambda change: self._fit(change["new"]), "room")

    def show(self, outline: Outline, selected: str) -> None:
        """Draw another network."""
        is_another = self._outline is None or _paths(self._outline) != _paths(outline)
        self._outline = outline
        with self.hold_trait_notifications():
            self.selected = selected
            if is_another:
                self.opened = first_open(outline)
        self._draw()

    def on_leave(self, callback: Callable[[], None]) -> None:
        """What to do when Escape is pressed in the canvas: move the focus on."""
        self._leave = callback

    def _fit(self, room: int) -> None:
        """Fill the width that the page has."""
        width = max(LEAST_WIDTH, room - MARGINS)
        if width != self._surface.width:
            self._surface.resize(width)
            self._draw()

    @t.observe("opened")
    def _draw(self, _change: object = None) -> None:
        """The whole strip."""
        if self._outline is None:
            return
        self._blocks = arrange(self._outline, self.opened, self._surface.width, self._surface.height)
        self._shown = (self._marked(), self._hovered)
        self._surface.draw(_commands(self._blocks, *self._shown))
        self._say(self._hovered or self.selected)

    @t.observe("selected")
    def _mark(self, _change: object = None) -> None:
        """Only the blocks that look different now, and their neighbours, over whose edge the frame reaches."""
        before = self._shown
        self._shown = (self._marked(), self._hovered)
        if self._outline is None or before == self._shown:
            return
        affected = {*before, *self._shown}
        changed = [i for i, block in enumerate(self._blocks) if block.path in affected]
        near = {i + step for i in changed for step in (-1, 0, 1)}
        redrawn = [block for i, block in enumerate(self._blocks) if i in near]
        cleared = [self._clearing(i) for i in changed]
        whole = _commands(self._blocks, *self._shown)
        self._surface.amend([*cleared, *_commands(redrawn, *self._shown)], whole)
        self._say(self._hovered or self.selected)

    def _clearing(self, index: int) -> Command:
        """Wipe a block with its frame, as far as the outer edges of its neighbours, which are drawn again with it."""
        block = self._blocks[index]
        if block.stage:
            return ("clear_rect", block.x, 0, block.width, HEAD - 3)
        beside = [each for each in self._blocks[max(0, index - 1) : index + 2] if not each.stage]
        first, last = beside[0], beside[-1]
        # the frame reaches over the block's own edge, not over a neighbour's outer one
        left = first.x - 3 if first is block else first.x
        right = last.x + last.width
        if last is block:
            right += 3
        return ("clear_rect", left, HEAD - 3, right - left, self._surface.height - HEAD + 3)

    def _marked(self) -> str:
        """The block that stands for the selected module: itself, the stage that hides it, or the last of its parts."""
        drawn = {block.path for block in self._blocks if not block.stage}
        path = self.selected
        while path and path not in drawn:
            path = _parent(path)
        chosen = self._module(self.selected)
        if path or self._outline is None or chosen is None:
            return path
        # it is open: of its parts the one whose output is also its own
        parts = [module.path for module in self._outline.modules if module.row == chosen.row and module.path in drawn]
        return parts[-1] if parts else ""

    def _module(self, path: str) -> Module | None:
        """The module of a path; none before a network is shown."""
        if self._outline is None or path not in self._outline.index:
            return None
        return self._outline.modules[self._outline.index[path]]

    def _say(self, path: str) -> None:
        """Describe a module under the strip, and the selected one to screen readers."""
        described = self._module(path)
        if described is None:
            return
        selected = self._module(self.selected)
        words = selected.describe() if selected else self.selected
        self._aid.label = say(
            "The network as {count} blocks in execution order; chosen: {chosen}", count=len(self._blocks), chosen=words
        )
        self._about.value = self._about.tooltip = described.describe()

    def _at(self, x: float, y: float) -> Block | None:
        for block in self._blocks:
            if block.holds(x, y):
                return block
        return None

    def _hover(self, x: float, y: float) -> None:
        block = self._at(x, y) if y >= 0 else None
        path = block.path if block else ""
        if path != self._hovered:
            self._hovered = path
            self._mark()

    def _click(self, x: float, y: float) -> None:
        block = self._at(x, y)
        if block is None:
            return
        if block.stage:
            self._close(block.path)
        elif block.path == self._marked():
            self._open(block.path)
        else:
            self.selected = block.path

    def _open(self, path: str) -> None:
        module = self._module(path)
        if module is not None and module.children:
            self.opened = self.opened | {path}

    def _close(self, path: str) -> None:
        inside = f"{path}."
        self.opened = frozenset(other for other in self.opened if other != path and not other.startswith(inside))

    def _key(self, key: str) -> None:
        paths = [block.path for block in self._blocks if not block.stage]
        marked = self._marked()
        here = paths.index(marked) if marked in paths else 0
        last = len(paths) - 1
        walks = {"ArrowLeft": here - 1, "ArrowRight": here + 1, "Home": 0, "End": last}
        if key in walks:
            self.selected = paths[max(0, min(last, walks[key]))]
        elif key in ("Enter", " "):
            self._open(marked)
        elif key == "Backspace":
            self._close(_parent(marked))
        elif key == "Escape":
            self._leave()

    def close(self) -> None:
        """Close the widget and its canvas."""
        self._surface.close()
        self._aid.close()
        self._about.close()
        super().close()
