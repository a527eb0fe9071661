"""``Filters``: the filters of a layer as pictures on one scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.errors import InputError, ParameterError
from interp_widgets.inspectors.channels import fit
from interp_widgets.inspectors.tensors import NamedTensor
from interp_widgets.render.colours import colour_table, default_colormap, paint
from interp_widgets.render.figure import mosaic_figure
from interp_widgets.trace.arguments import shown
from interp_widgets.words import say

if TYPE_CHECKING:
    from interp_widgets.render.still import StillFigure

__all__ = ["Filters", "filters_of"]

PERCENTILE = 99.0  # of the sizes, where colours end, as in the maps of explainers
LONGEST = 2048  # cells of a heat map's side; a longer one is averaged down
WIDTH = 1024  # pixels that a picture of small filters reaches
GAP = 6  # of these is a cell as wide as the gap between filters, about
COLOURS = 3  # input channels that are shown as red, green and blue


@dataclass(frozen=True, eq=False)
class Filters:
    """Pictures of filters, by number of the filter; all on one scale, which for signed values is symmetric about zero.

    Args:
        values: ``(n, h, w)`` float32; in colour ``(n, h, w, 3)``.
        title: what they are, in words.
        is_signed: whether values may be negative; norms may not.
    """

    values: NDArray[np.float32]
    title: str
    is_signed: bool

    @property
    def is_coloured(self) -> bool:
        """Whether the input channels are shown as red, green and blue."""
        return self.values.ndim == 4

    @property
    def colormap(self) -> str:
        """The colours of the scale: grey for those of three input channels, where grey in the middle is zero."""
        return "gray" if self.is_coloured else default_colormap(signed=self.is_signed)

    @property
    def limits(self) -> tuple[float, float]:
        """Where the colours end: the 99th percentile of the sizes of all filters, and the same below zero."""
        sizes = np.abs(self.values[np.isfinite(self.values)])
        high = float(np.percentile(sizes, PERCENTILE)) if sizes.size else 0.0
        high = high or float(sizes.max(initial=0.0)) or 1.0  # filters that are nearly all zero, or all of them
        return (-high if self.is_signed else 0.0), high

    def pixels(self, *, width: int = WIDTH) -> NDArray[np.uint8]:
        """All of them in a grid, row by row, ``(H, W, 4)`` uint8.

        A filter's values are blocks of pixels without smoothing. Between filters, and where a value is NaN or infinite,
        the picture is transparent.

        Args:
            width: pixels that small filters are enlarged to, about; larger ones have a pixel for each value.
        """
        tiles = self._painted()  # (n, h, w, 4)
        columns = math.ceil(math.sqrt(len(tiles)))
        factor = max(1, width // (columns * max(tiles.shape[1:3])))
        tiles = tiles.repeat(factor, axis=1).repeat(factor, axis=2)
        if len(tiles) == 1:
            single: NDArray[np.uint8] = tiles[0]
            return single
        gap = 1 + factor // GAP
        rows = math.ceil(len(tiles) / columns)
        missing = rows * columns - len(tiles)
        tiles = np.pad(tiles, ((0, missing), (0, gap), (0, gap), (0, 0)))  # nothing below and at the right
        height, width = tiles.shape[1:3]
        grid = tiles.reshape(rows, columns, height, width, 4).swapaxes(1, 2)  # (rows, height, columns, width, 4)
        picture: NDArray[np.uint8] = grid.reshape(rows * height, columns * width, 4)[:-gap, :-gap]
        return picture

    def figure(self) -> StillFigure:
        """The grid with its colour bar, a ``matplotlib.figure.Figure``."""
        low, high = self.limits
        is_clipped = bool((np.abs(self.values) > high).any())
        return mosaic_figure(
            self.pixels(), colormap=self.colormap, limits=(low, high), is_clipped=is_clipped, title=self.title
        )

    def _repr_png_(self) -> bytes:
        return self.figure().png()

    def _painted(self) -> NDArray[np.uint8]:
        """Each value's colour, ``(n, h, w, 4)``."""
        count, height, width = self.values.shape[:3]
        values = np.nan_to_num(self.values, posinf=0, neginf=0).reshape(count * height, width, -1)
        table = colour_table(self.colormap)
        painted = [
            paint(values[:, :, channel], values.shape[:2], table, self.limits) for channel in range(values.shape[2])
        ]
        pixels = painted[0].reshape(count, height, width, 4)
        if self.is_coloured:
            pixels[..., :3] = np.stack([each[..., 0] for each in painted], axis=-1).reshape(count, height, width, 3)
        is_finite = np.isfinite(self.values).reshape(count, height, width, -1).all(axis=-1)
        pixels[~is_finite] = 0
        return pixels


def filters_of(named: NamedTensor, path: str, *, channel: int | None) -> Filters:
    """The filters of a weight.

    Args:
        path: the name of the weight, for the title.
        channel: the input channel to show, ``None`` for colours or the norm over them.

    Raises:
        InputError: fewer than two axes, or values that cannot be read.
        ParameterError: there is no such input channel.
    """
    if named.obstacle:
        raise InputError(say("{path} has no picture: {reason}", path=path, reason=named.obstacle))
    values = named.by_filter().cpu()
    if values.ndim < 2 or values.numel() == 0:
        raise InputError(
            say(
                "{path} has no filters: its shape is {shape}, and filters need two axes or more",
                path=path,
                shape=tuple(values.shape),
            )
        )
    _check_channel(channel, values)
    values = values.abs().float() if values.is_complex() else values.float()
    if values[0, 0].numel() == 1:  # a linear layer, or a convolution that looks at one position
        values = values.flatten(1)
    if values.ndim == 2:
        return _heat_map(values, path, channel)
    if channel is None and values.shape[1] == 1:
        channel = 0  # as in a depthwise convolution: there the norm would only lose the sign
    if channel is not None:
        title = say("{path}: input channel {channel}", path=path, channel=channel)
        return Filters(_pictures(values[:, channel]), title, is_signed=True)
    if values.shape[1] == COLOURS and values.ndim > 3:
        colours = [_pictures(values[:, colour]) for colour in range(COLOURS)]
        title = say("{path}: red, green and blue", path=path)
        return Filters(np.stack(colours, axis=-1), title, is_signed=True)
    title = say("{path}: norm over {count} input channels", path=path, count=values.shape[1])
    return Filters(_pictures(values.norm(dim=1)), title, is_signed=False)


def _heat_map(matrix: torch.Tensor, path: str, channel: int | None) -> Filters:
    """A matrix as one picture, or its column of one input."""
    if channel is not None:
        title = say("{path}: input channel {channel}", path=path, channel=channel)
        return Filters(_fitted(matrix[:, channel : channel + 1]), title, is_signed=True)
    title = say("{path}: a row for each output, a column for each input", path=path)
    return Filters(_fitted(matrix), title, is_signed=True)


def _pictures(kernels: torch.Tensor) -> NDArray[np.float32]:
    """Kernels ``(n, *kernel)`` as pictures ``(n, h, w)``.

    Kernels of one axis are the rows of one heat map; of those of three axes, the slices along the first lie side by
    side.
    """
    if kernels.ndim == 2:
        return _fitted(kernels)
    if kernels.ndim == 3:
        return kernels.numpy()
    slices = kernels.movedim(-2, 1)  # (n, h, ..., w)
    return slices.flatten(2).numpy()


def _fitted(matrix: torch.Tensor) -> NDArray[np.float32]:
    """A matrix as one picture ``(1, h, w)``, averaged down to 2,048 cells where it is longer."""
    return fit(matrix[None], LONGEST).numpy()


def _check_channel(channel: Any, values: torch.Tensor) -> None:
    if channel is None:
        return
    count = values.shape[1]
    is_whole = isinstance(channel, int) and not isinstance(channel, bool)
    if not is_whole or not 0 <= channel < count:
        raise ParameterError(say("channel must be in 0..{last}, got {channel}", last=count - 1, channel=shown(channel)))
