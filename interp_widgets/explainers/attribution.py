"""What an explainer returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from interp_widgets.errors import LayoutError
from interp_widgets.explainers.estimate import ErrorKind
from interp_widgets.inputs import to_picture
from interp_widgets.render.colours import colour_limits, colour_table, default_colormap, paint
from interp_widgets.render.figure import attribution_figure, bars_figure
from interp_widgets.trace import Target

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["Attribution"]


@dataclass(frozen=True, eq=False)
class Attribution:
    """Relevance per position of the input or of a layer.

    Args:
        values: detached. ``(H', W')`` at the layer's resolution for maps; the input's own shape without the batch for
            other inputs. Sign and unit are the method's: non-negative unless ``signed``.
        method: the method's title.
        layer: where it was computed.
        target: what was explained; ``label`` names it.
        score: the value of the target's score.
        signed: whether negative values mean evidence against the target.
        background: the input image as the model got it, ``(C, H, W)``, when it is one.
        done, total: how far a refining method is, in evaluations of the model.
        error: how far the map may be from what the method converges to, relative to it, as ``error_kind`` measures it.
            ``None`` for a method that is exact.
        change: what the method promises that values add up to, the score less that of the baseline; ``None`` when it
            promises nothing, or the values of an image's parts stand at each of their pixels.
        names: of the features that a list of values belongs to; empty when they have none.
    """

    values: torch.Tensor
    method: str
    layer: str
    target: Target
    score: float
    signed: bool
    label: str
    background: torch.Tensor | None = field(default=None, repr=False)
    done: int = 1
    total: int = 1
    error: float | None = None
    error_kind: ErrorKind | None = None
    change: float | None = None
    names: tuple[str, ...] = ()

    @property
    def error_name(self) -> str:
        """What ``error`` measures, in words; empty when nothing is measured."""
        return "" if self.error_kind is None else self.error_kind.value

    @property
    def additivity(self) -> str:
        """Whether a list of values adds up to what its method promises, in words; empty when it promises nothing."""
        if self.change is None or self.values.ndim != 1:
            return ""
        return f"values add up to {float(self.values.cpu().double().sum()):.4g}, the score changed by {self.change:.4g}"

    def progress(self, seconds: float) -> str:
        """How far an estimate that took so long is, in words; empty once it is the last."""
        if self.done >= self.total:
            return ""
        left = max(1, round(seconds * (self.total - self.done) / self.done))
        return f"{self.done} of {self.total} evaluations, about {left} s left"

    @property
    def array(self) -> NDArray[np.float32]:
        """``values`` as a numpy array."""
        return self.values.float().cpu().numpy()

    @property
    def picture(self) -> NDArray[np.uint8] | None:
        """The input as a person sees it, ``(H, W, 3)`` uint8."""
        return None if self.background is None else to_picture(self.background)

    def pixels(
        self, size: tuple[int, int] | None = None, colormap: str | None = None, alpha: float = 1.0
    ) -> NDArray[np.uint8]:
        """The map in colours, ``(H, W, 4)`` uint8.

        Args:
            size: height and width; by default the input image's, else the map's own. Values between positions are
                interpolated (bilinear) before they are coloured.
            colormap: a matplotlib name; by default ``"viridis"``, or ``"RdBu_r"`` around zero for signed maps.
            alpha: opacity in 0..1.

        Raises:
            LayoutError: the attribution is not a map.
            ParameterError: no such colour map; an opacity or a size that cannot be.
        """
        values = self._map()
        if size is None:
            height, width = values.shape if self.background is None else self.background.shape[-2:]
            size = (height, width)
        table = colour_table(default_colormap(signed=self.signed) if colormap is None else colormap)
        return paint(values, size, table, colour_limits(values, signed=self.signed), alpha)

    def figure(self, colormap: str | None = None) -> Figure:
        """A matplotlib figure: the input, the map with its colour bar, the overlay; of a list of values a bar chart.

        Raises:
            LayoutError: the attribution is neither a map nor a list of values.
        """
        if self.values.ndim == 1:
            title = f"{self.method} for {self.label} (score {self.score:.3g})"
            return bars_figure(self.array, self.names, title="\n".join(filter(None, (title, self.additivity))))
        self._map()
        title = f"{self.method} for {self.label}, at {self.layer} (score {self.score:.3g})"
        chosen = default_colormap(signed=self.signed) if colormap is None else colormap
        colour_table(chosen)  # refuses a name that matplotlib does not have, with a sentence
        return attribution_figure(self.array, self.picture, signed=self.signed, colormap=chosen, title=title)

    def describe(self) -> str:
        """The map in words, as its text alternative: where it is strongest, how concentrated it is, its range."""
        array = self.array
        subject = f"{self.method} for {self.label} at {self.layer}, score {self.score:.3g}"
        if self.error is not None:
            subject += f", {self.error_name} {self.error:.1%}"
        if self.done < self.total:
            subject += f", {self.done} of {self.total} evaluations so far"
        if array.size == 0 or not array.any():
            return f"{subject}: zero everywhere."
        if array.min() == array.max():
            return f"{subject}: {array.max():.3g} everywhere."
        where = self._where
        sums = ""
        if self.additivity:
            sums = f" {self.additivity[0].upper()}{self.additivity[1:]}."
        if self.signed:
            return f"{subject}: {_evidence(array, where)}. Values {array.min():.3g} to {array.max():.3g}.{sums}"
        return (
            f"{subject}: strongest {where(array, int(array.argmax()))}; half of the total lies in "
            f"{_share_of_half(array)} of the {'area' if array.ndim == 2 else 'values'}. "
            f"Values {array.min():.3g} to {array.max():.3g}."
        )

    def _where(self, array: NDArray[np.float32], position: int) -> str:
        """A position in words."""
        if self.names:
            return f"at {self.names[position]}"
        if self.background is not None and array.ndim == 2:
            return _region(array, position)
        return _index(array, position)

    def _map(self) -> NDArray[np.float32]:
        if self.values.ndim != 2:
            raise LayoutError(
                f"this attribution has shape {tuple(self.values.shape)}; only a map (H, W) can be drawn in colours: "
                "use .values"
            )
        return self.array


def _index(array: NDArray[np.float32], position: int) -> str:
    """A position as its index in a list or matrix of values."""
    where = ", ".join(str(int(part)) for part in np.unravel_index(position, array.shape))
    return f"at index {where} of {' x '.join(str(size) for size in array.shape)}"


def _region(array: NDArray[np.float32], position: int) -> str:
    """A position in words: its ninth of the picture, row and column."""
    row, column = (int(part) for part in np.unravel_index(position, array.shape))
    vertical = ("upper ", "", "lower ")[min(2, int((row + 0.5) / array.shape[0] * 3))]
    horizontal = ("left", "middle", "right")[min(2, int((column + 0.5) / array.shape[1] * 3))]
    region = f"{vertical}{horizontal}" if vertical or horizontal != "middle" else "centre"
    return f"in the {region} (row {row + 1} of {array.shape[0]}, column {column + 1} of {array.shape[1]})"


def _evidence(array: NDArray[np.float32], where: Callable[[NDArray[np.float32], int], str]) -> str:
    """Evidence for and against the target: how much of each, and where each is strongest."""
    if array.min() >= 0:
        return f"evidence for the target only, strongest {where(array, int(array.argmax()))}"
    if array.max() <= 0:
        return f"evidence against the target only, strongest {where(array, int(array.argmin()))}"
    size = np.abs(array, dtype=np.float64)
    share = float(size[array > 0].sum() / size.sum())
    return (
        f"{share:.0%} of the total is evidence for the target, strongest {where(array, int(array.argmax()))}; "
        f"{1 - share:.0%} is evidence against it, strongest {where(array, int(array.argmin()))}"
    )


def _share_of_half(array: NDArray[np.float32]) -> str:
    """How few of the values, the largest first, make half of the total."""
    sums = np.sort(array, axis=None)[::-1].astype(np.float64).cumsum()
    share = (int(np.searchsorted(sums, sums[-1] / 2)) + 1) / array.size
    return f"{share:.0%}" if share >= 0.01 else "less than 1%"
