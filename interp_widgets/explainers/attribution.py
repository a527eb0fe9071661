"""What an explainer returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from interp_widgets.errors import LayoutError
from interp_widgets.inputs import to_picture
from interp_widgets.render.colours import colour_limits, colour_table, default_colormap, paint
from interp_widgets.render.figure import attribution_figure
from interp_widgets.trace import Target

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["Attribution"]


@dataclass(frozen=True, eq=False)
class Attribution:
    """Relevance per position of the input or of a layer.

    Args:
        values: detached. ``(H', W')`` at the layer's resolution for maps; the input's own shape without the batch for other
            inputs. Sign and unit are the method's: non-negative unless ``signed``.
        method: the method's title.
        layer: where it was computed.
        target: what was explained; ``label`` names it.
        score: the value of the target's score.
        signed: whether negative values mean evidence against the target.
        background: the input image as the model got it, ``(C, H, W)``, when it is one.
        done, total: how far a refining method is.
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
            size: height and width; by default the input image's, else the map's own. Values between positions are interpolated
                (bilinear) before they are coloured.
            colormap: a matplotlib name; by default ``"viridis"``, or ``"RdBu_r"`` around zero for signed maps.
            alpha: opacity in 0..1.

        Raises:
            LayoutError: the attribution is not a map.
        """
        values = self._map()
        if size is None:
            size = values.shape if self.background is None else tuple(self.background.shape[-2:])
        low, high = colour_limits(values, signed=self.signed)
        table = colour_table(colormap or default_colormap(signed=self.signed))
        return paint(values, (int(size[0]), int(size[1])), table, low, high, alpha)

    def figure(self, colormap: str | None = None) -> Figure:
        """A matplotlib figure: the input, the map with its colour bar, the overlay.

        Raises:
            LayoutError: the attribution is not a map.
        """
        self._map()
        title = f"{self.method} for {self.label}, at {self.layer} (score {self.score:.3g})"
        return attribution_figure(
            self.array, self.picture, signed=self.signed, colormap=colormap or default_colormap(signed=self.signed), title=title
        )

    def describe(self) -> str:
        """The map in words, as its text alternative."""
        array = self.array
        where = np.unravel_index(int(np.abs(array).argmax()), array.shape)
        position = f"row {where[0] + 1} of {array.shape[0]}, column {where[1] + 1} of {array.shape[1]}" if array.ndim == 2 else f"index {where}"
        if not array.any():
            return f"{self.method} for {self.label} at {self.layer}: zero everywhere."
        return (
            f"{self.method} for {self.label} at {self.layer}: values {array.min():.3g} to {array.max():.3g}, "
            f"strongest ({array[where]:.3g}) at {position}."
        )

    def _map(self) -> NDArray[np.float32]:
        if self.values.ndim != 2:
            raise LayoutError(f"this attribution has shape {tuple(self.values.shape)}; only a map (H, W) can be drawn in colours")
        return self.array
