"""``Layout``: which axis of a tensor is batch, channel, height, width; and how to see it as maps."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Self

import torch

from interp_widgets.errors import LayoutError
from interp_widgets.trace.arguments import shown
from interp_widgets.words import say

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """What each axis of a tensor is.

    Args:
        axes: one letter per axis: ``N`` batch, ``C`` channel, ``T`` time, ``H`` height, ``W`` width, ``L`` tokens on
            a grid,
            ``1`` an axis of size one, ``?`` anything else.
        grid: for ``L``: the token grid, ``(h, w)`` or ``(t, h, w)``.
        prefix, suffix: for ``L``: tokens before and after the grid (class token, registers).
    """

    axes: str
    grid: tuple[int, ...] = ()
    prefix: int = 0
    suffix: int = 0
    size: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check_letters(self.axes)
        if type(self.grid) is not tuple or not all(type(side) is int and side > 0 for side in self.grid):
            raise LayoutError(
                say(
                    "the grid of a layout is whole numbers above 0 such as (14, 14), got {given}",
                    given=shown(self.grid),
                )
            )
        for name, count in (("prefix", self.prefix), ("suffix", self.suffix)):
            if type(count) is not int or count < 0:
                raise LayoutError(
                    say(
                        "the {name} of a layout is a number of tokens of 0 or more, got {given}",
                        name=name,
                        given=shown(count),
                    )
                )

    @classmethod
    def parse(cls, axes: str) -> Self:
        """A layout from letters such as ``"NCHW"``.

        Raises:
            LayoutError: a letter that is not one of ``NCTHW1?``, or one that is repeated.
        """
        _check_letters(axes)
        letters = axes.upper()
        if not re.fullmatch(r"[NCTHW1?]+", letters) or any(letters.count(letter) > 1 for letter in "NCTHW"):
            raise LayoutError(
                say(
                    "a layout is written with the letters N, C, T, H, W once each "
                    "(1 or ? for other axes), got {axes!r}",
                    axes=axes,
                )
            )
        return cls(letters)

    @classmethod
    def tokens(cls, grid: tuple[int, ...], prefix: int = 0, suffix: int = 0, axes: str = "NLC") -> Self:
        """Tokens on a grid, after ``prefix`` tokens such as the class token."""
        sides = tuple(grid) if isinstance(grid, (list, torch.Size)) else grid
        return cls(axes, grid=sides, prefix=prefix, suffix=suffix)

    @property
    def channel(self) -> int | None:
        """Position of the channel axis."""
        return self.axes.find("C") if "C" in self.axes else None

    @property
    def is_spatial(self) -> bool:
        """Whether it can be drawn as maps with more than one position."""
        if "?" in self.axes:
            return False
        if "L" in self.axes:
            return len(self.grid) >= 2 and math.prod(self.grid[-2:]) > 1
        if not ("H" in self.axes and "W" in self.axes):
            return False
        return not self.size or self.size[self.axes.index("H")] * self.size[self.axes.index("W")] > 1

    @property
    def resolution(self) -> tuple[int, int] | None:
        """Height and width of the maps, where the layout knows them."""
        if "L" in self.axes:
            return (self.grid[-2], self.grid[-1]) if len(self.grid) >= 2 else None
        if self.size and "H" in self.axes and "W" in self.axes:
            return self.size[self.axes.index("H")], self.size[self.axes.index("W")]
        return None

    def maps(self, tensor: torch.Tensor, name: str = "") -> torch.Tensor:
        """``tensor`` as ``(N, C, H, W)``; time is averaged, a missing batch or channel axis has size one.

        Raises:
            LayoutError: not a spatial layout, or a tensor of another shape.
        """
        axes, name = self.axes, name or say("the tensor")
        if len(axes) != tensor.ndim:
            raise LayoutError(
                say(
                    "layout {axes} has {count} axes, but {name} has shape {shape}",
                    axes=axes,
                    count=len(axes),
                    name=name,
                    shape=tuple(tensor.shape),
                )
            )
        if "L" in axes:
            where = axes.index("L")
            count = math.prod(self.grid)
            if tensor.shape[where] != self.prefix + count + self.suffix:
                raise LayoutError(
                    say(
                        "{name} has {count} tokens; the layout says {prefix} + {grid} + {suffix}",
                        name=name,
                        count=tensor.shape[where],
                        prefix=self.prefix,
                        grid=self.grid,
                        suffix=self.suffix,
                    )
                )
            tensor = tensor.narrow(where, self.prefix, count).unflatten(where, self.grid)  # type: ignore[no-untyped-call]  # torch has no type for it
            axes = axes.replace("L", "THW"[-len(self.grid) :])
        if not ("H" in axes and "W" in axes) or "?" in axes:
            raise LayoutError(
                say(
                    "{name} has no height and width (axes {axes}, shape {shape})",
                    name=name,
                    axes=self.axes,
                    shape=tuple(tensor.shape),
                )
            )
        for letter in "1T":
            while letter in axes:
                where = axes.index(letter)
                tensor, axes = (
                    tensor.mean(dim=where) if letter == "T" else tensor.squeeze(where),
                    axes[:where] + axes[where + 1 :],
                )
        for letter in "NC":
            if letter not in axes:
                tensor, axes = tensor.unsqueeze(0), letter + axes
        return tensor.permute([axes.index(letter) for letter in "NCHW"])


def _check_letters(axes: Any) -> None:
    if not isinstance(axes, str):
        raise LayoutError(
            say("a layout is written with one letter per axis, such as 'NCHW', got {given}", given=shown(axes))
        )
