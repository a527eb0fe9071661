"""``NetworkStrip``: the network as a row of blocks in execution order, drawn on ipycanvas."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import ipywidgets as widgets
import traitlets as t

from interp_widgets.inspectors.outline import Module, Outline
from interp_widgets.widgets.kit.canvas import Command, Surface
from interp_widgets.widgets.kit.canvas_aid import CanvasAid

__all__ = ["Block", "NetworkStrip", "arrange", "first_open"]

# Okabe and Ito's colours, told apart with every kind of colour vision; mid-tones that stand on light and dark pages.
COLOURS = {
    "convolution": "#3b8fc4",
    "attention": "#d55e00",
    "linear": "#b0679b",
    "normalisation": "#9aa3ab",
    "activation": "#e0a020",
    "pooling": "#119e77",
    "block": "#6f8fae",
    "other": "#7f8790",
}
TEXT = "#808488"
ACCENT = "#2a8cdb"
AT_FIRST = 40  # blocks shown before the user opens or closes anything
HEAD, FOOT = 16, 14  # pixels above for the names of opened stages, below for those of blocks


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
        inner = {m.path for m in _frontier(outline, opened) if m.children}
        if not inner or len(_frontier(outline, opened | inner)) > AT_FIRST:
            return opened
        opened |= inner


def _frontier(outline: Outline, opened: frozenset[str]) -> list[Module]:
    """The modules drawn as blocks, in execution order: the closed ones below opened ones."""
    found: list[Module] = []

    def visit(module: Module) -> None:
        if module.children and (module.path in opened or module.row < 0):
            for child in module.children:
                visit(outline.modules[child])
        elif module.row >= 0:
            found.append(module)

    for module in outline.modules:
        if module.parent < 0:
            visit(module)
    return found


def arrange(outline: Outline, opened: frozenset[str], width: int, height: int) -> list[Block]:
    """Where each block goes: width by channels, height by spatial size, both on a log scale."""
    modules = _frontier(outline, opened)
    if not modules:
        return []
    gap = min(3.0, 0.25 * width / len(modules))
    shares = [1 + math.log2(1 + module.channels) for module in modules]
    room = width - gap * (len(modules) + 1)
    sizes = [math.log2(1 + max(module.resolution)) if module.resolution else 0.0 for module in modules]
    tallest = max(sizes) or 1.0
    space = height - HEAD - FOOT
    blocks: list[Block] = []
    x = gap
    for module, share, size in zip(modules, shares, sizes, strict=True):
        wide = room * share / sum(shares)
        high = max(8.0, space * size / tallest)
        blocks.append(Block(module.path, x, HEAD + (space - high) / 2, wide, high, module.kind, module.name))
        x += wide + gap
    return blocks + _stages(opened, blocks)


def _stages(opened: frozenset[str], blocks: list[Block]) -> list[Block]:
    """A line over each run of neighbouring blocks that belong to one opened stage."""
    parents = [block.path.rpartition(".")[0] for block in blocks]
    runs = [(path, list(run)) for path, run in groupby(zip(parents, blocks, strict=True), key=itemgetter(0))]
    return [
        Block(path, run[0][1].x, 0, run[-1][1].x + run[-1][1].width - run[0][1].x, HEAD - 4, "stage", path, stage=True)
        for path, run in runs
        if path in opened
    ]


def _commands(blocks: list[Block], marked: str, hovered: str) -> list[Command]:
    commands: list[Command] = [("text_baseline", "alphabetic"), ("text_align", "left")]
    for block in blocks:
        if block.stage:
            commands += _stage_commands(block, hovered=block.path == hovered)
            continue
        chosen = block.path == marked
        commands += [
            ("fill_style", COLOURS[block.kind]),
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
        label = _fitting(block.name, block.width, 6.0)
        if label:
            commands += [
                ("fill_style", ACCENT if chosen else TEXT),
                ("font", "10px sans-serif"),
                ("text_align", "center"),
                ("fill_text", label, block.x + block.width / 2, block.y + block.height + 11),
            ]
    return commands


def _stage_commands(block: Block, *, hovered: bool) -> list[Command]:
    label = _fitting(block.name, block.width, 6.0)
    return [
        ("fill_style", ACCENT if hovered else TEXT),
        ("global_alpha", 0.9),
        ("fill_rect", block.x, 12.0, block.width, 1.0),
        ("font", "10px sans-serif"),
        ("text_align", "center"),
        ("fill_text", label, block.x + block.width / 2, 9.0),
        ("global_alpha", 1.0),
    ]


def _fitting(name: str, width: float, letter: float) -> str:
    """As much of a name as fits, from its end: the last part of a path tells most."""
    fitting = (part for part in (name, name.rpartition(".")[2]) if len(part) * letter <= width)
    return next(fitting, "")


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
        self._about = widgets.Label("", layout={"height": "20px", "margin": "0"}, style={"font_size": "12px"})
        self._aid = CanvasAid()
        super().__init__(
            [self._surface.canvas, self._aid, self._about], layout={"overflow": "hidden", "width": f"{width + 4}px"}
        )
        self.add_class("iw-strip")
        self._surface.on_hover(self._hover)
        self._surface.on_click(self._click)
        self._surface.on_key(self._key)

    def show(self, outline: Outline, selected: str) -> None:
        """Draw another network."""
        same = self._outline is not None and [m.path for m in self._outline.modules] == [
            m.path for m in outline.modules
        ]
        self._outline = outline
        with self.hold_trait_notifications():
            self.selected = selected
            if not same:
                self.opened = first_open(outline)
        self._draw()

    def on_leave(self, callback: Callable[[], None]) -> None:
        """What to do when Escape is pressed in the canvas: move the focus on."""
        self._leave = callback

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
        before, self._shown = self._shown, (self._marked(), self._hovered)
        if self._outline is None or before == self._shown:
            return
        changed = [i for i, block in enumerate(self._blocks) if block.path in {*before, *self._shown}]
        near = sorted({i + d for i in changed for d in (-1, 0, 1) if 0 <= i + d < len(self._blocks)})
        cleared = [self._clearing(i) for i in changed]
        whole = _commands(self._blocks, *self._shown)
        self._surface.amend([*cleared, *_commands([self._blocks[i] for i in near], *self._shown)], whole)
        self._say(self._hovered or self.selected)

    def _clearing(self, place: int) -> Command:
        """Wipe a block with its frame, as far as the outer edges of its neighbours, which are drawn again with it."""
        block = self._blocks[place]
        if block.stage:
            return ("clear_rect", block.x, 0, block.width, HEAD - 3)
        beside = [b for b in self._blocks[max(0, place - 1) : place + 2] if not b.stage]
        left, right = beside[0].x - 3, beside[-1].x + beside[-1].width + 3
        if beside[0] is not block:
            left += 3
        if beside[-1] is not block:
            right -= 3
        return ("clear_rect", left, HEAD - 3, right - left, self._surface.height - HEAD + 3)

    def _marked(self) -> str:
        """The block that stands for the selected module: itself, the stage that hides it, or the last of its parts."""
        drawn = {block.path for block in self._blocks if not block.stage}
        path = self.selected
        while path and path not in drawn:
            path = path.rpartition(".")[0]
        if path or self._outline is None or self.selected not in self._outline.index:
            return path
        row = self._outline.modules[self._outline.index[self.selected]].row
        parts = [m.path for m in self._outline.modules if m.row == row and m.path in drawn]
        return parts[-1] if parts else ""

    def _say(self, path: str) -> None:
        if self._outline is not None and path in self._outline.index:
            words = (
                self._outline.modules[self._outline.index[self.selected]].describe()
                if self.selected in self._outline.index
                else self.selected
            )
            self._aid.label = f"The network as {len(self._blocks)} blocks in execution order; chosen: {words}"
            self._about.value = self._outline.modules[self._outline.index[path]].describe()

    def _at(self, x: float, y: float) -> Block | None:
        return next((block for block in self._blocks if block.holds(x, y)), None)

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
        if self._outline is not None and self._outline.modules[self._outline.index[path]].children:
            self.opened = self.opened | {path}

    def _close(self, path: str) -> None:
        self.opened = frozenset(other for other in self.opened if other != path and not other.startswith(f"{path}."))

    def _key(self, key: str) -> None:
        paths = [block.path for block in self._blocks if not block.stage]
        here = paths.index(self._marked()) if self._marked() in paths else 0
        steps = {"ArrowLeft": here - 1, "ArrowRight": here + 1, "Home": 0, "End": len(paths) - 1}
        if key in steps:
            self.selected = paths[max(0, min(len(paths) - 1, steps[key]))]
        elif key in ("Enter", " "):
            self._open(self._marked())
        elif key == "Backspace":
            self._close(self._marked().rpartition(".")[0])
        elif key == "Escape":
            self._leave()

    def close(self) -> None:
        """Close the widget and its canvas."""
        self._surface.close()
        self._aid.close()
        self._about.close()
        super().close()
