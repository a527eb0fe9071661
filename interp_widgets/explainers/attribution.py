"""What an explainer returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from interp_widgets.words import say

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
        parts: the map of each input, by its name, where a method moves several inputs together: they add up to
            ``change`` together. Empty where there is but one.
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
    parts: Mapping[str, torch.Tensor] = field(default_factory=dict, repr=False)
    names: tuple[str, ...] = ()

    @property
    def error_name(self) -> str:
        """What ``error`` measures, in words; empty when nothing is measured."""
        return "" if self.error_kind is None else self.error_kind.words

    @property
    def additivity(self) -> str:
        """Whether a list of values adds up to what its method promises, in words; empty when it promises nothing."""
        if self.change is None or self.values.ndim != 1:
            return ""
        return say(
            "values add up to {total:.4g}, the score changed by {change:.4g}",
            total=sum(float(part.cpu().double().sum()) for part in self.parts.values() or (self.values,)),
            change=self.change,
        )

    def progress(self, seconds: float) -> str:
        """How far an estimate that took so long is, in words; empty once it is the last."""
        if self.done >= self.total:
            return ""
        left = max(1, round(seconds * (self.total - self.done) / self.done))
        return say(
            "{done} of {total} evaluations, about {seconds} s left", done=self.done, total=self.total, seconds=left
        )

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
            title = say(
                "{method} for {target} (score {score:.3g})", method=self.method, target=self.label, score=self.score
            )
            return bars_figure(self.array, self.names, title="\n".join(filter(None, (title, self.additivity))))
        self._map()
        title = say(
            "{method} for {target}, at {layer} (score {score:.3g})",
            method=self.method,
            target=self.label,
            layer=self.layer,
            score=self.score,
        )
        chosen = default_colormap(signed=self.signed) if colormap is None else colormap
        colour_table(chosen)  # refuses a name that matplotlib does not have, with a sentence
        return attribution_figure(self.array, self.picture, signed=self.signed, colormap=chosen, title=title)

    def describe(self) -> str:
        """The map in words, as its text alternative: where it is strongest, how concentrated it is, its range."""
        array = self.array
        subject = say(
            "{method} for {target} at {layer}, score {score:.3g}",
            method=self.method,
            target=self.label,
            layer=self.layer,
            score=self.score,
        )
        if self.error is not None:
            subject = say(
                "{subject}, {error_name} {error:.1%}", subject=subject, error_name=self.error_name, error=self.error
            )
        if self.done < self.total:
            subject = say(
                "{subject}, {done} of {total} evaluations so far", subject=subject, done=self.done, total=self.total
            )
        if array.size == 0 or not array.any():
            return say("{subject}: zero everywhere.", subject=subject)
        low, high = array.min(), array.max()
        if low == high:
            return say("{subject}: {value:.3g} everywhere.", subject=subject, value=high)
        if self.signed:
            evidence = _evidence(array, self._where)
            words = say(
                "{subject}: {evidence}. Values {low:.3g} to {high:.3g}.",
                subject=subject,
                evidence=evidence,
                low=low,
                high=high,
            )
            if not self.additivity:
                return words
            return say("{words} {sums}.", words=words, sums=self.additivity[0].upper() + self.additivity[1:])
        where, share = self._where(array, int(array.argmax())), _share_of_half(array)
        if array.ndim == 2:
            return say(
                "{subject}: strongest {where}; half of the total lies in {share} of the area. "
                "Values {low:.3g} to {high:.3g}.",
                subject=subject,
                where=where,
                share=share,
                low=low,
                high=high,
            )
        return say(
            "{subject}: strongest {where}; half of the total lies in {share} of the values. "
            "Values {low:.3g} to {high:.3g}.",
            subject=subject,
            where=where,
            share=share,
            low=low,
            high=high,
        )

    def _where(self, array: NDArray[np.float32], position: int) -> str:
        """A position in words."""
        if self.names:
            return say("at {feature}", feature=self.names[position])
        if self.background is not None and array.ndim == 2:
            return _region(array, position)
        return _index(array, position)

    def _map(self) -> NDArray[np.float32]:
        if self.values.ndim != 2:
            sentence = say(
                "this attribution has shape {shape}; only a map (H, W) can be drawn in colours: use .values",
                shape=tuple(self.values.shape),
            )
            raise LayoutError(sentence)
        return self.array


def _index(array: NDArray[np.float32], position: int) -> str:
    """A position as its index in a list or matrix of values."""
    index = ", ".join(str(int(part)) for part in np.unravel_index(position, array.shape))
    return say("at index {index} of {shape}", index=index, shape=" x ".join(str(size) for size in array.shape))


def _region(array: NDArray[np.float32], position: int) -> str:
    """A position in words: its ninth of the picture, row and column."""
    row, column = (int(part) for part in np.unravel_index(position, array.shape))
    ninths = (
        (say("upper left"), say("upper middle"), say("upper right")),
        (say("left"), say("centre"), say("right")),
        (say("lower left"), say("lower middle"), say("lower right")),
    )
    down = min(2, int((row + 0.5) / array.shape[0] * 3))
    across = min(2, int((column + 0.5) / array.shape[1] * 3))
    return say(
        "in the {region} (row {row} of {rows}, column {column} of {columns})",
        region=ninths[down][across],
        row=row + 1,
        rows=array.shape[0],
        column=column + 1,
        columns=array.shape[1],
    )


def _evidence(array: NDArray[np.float32], where: Callable[[NDArray[np.float32], int], str]) -> str:
    """Evidence for and against the target: how much of each, and where each is strongest."""
    highest, lowest = where(array, int(array.argmax())), where(array, int(array.argmin()))
    if array.min() >= 0:
        return say("evidence for the target only, strongest {where}", where=highest)
    if array.max() <= 0:
        return say("evidence against the target only, strongest {where}", where=lowest)
    size = np.abs(array, dtype=np.float64)
    share = float(size[array > 0].sum() / size.sum())
    return say(
        "{share:.0%} of the total is evidence for the target, strongest {highest}; "
        "{rest:.0%} is evidence against it, strongest {lowest}",
        share=share,
        highest=highest,
        rest=1 - share,
        lowest=lowest,
    )


def _share_of_half(array: NDArray[np.float32]) -> str:
    """How few of the values, the largest first, make half of the total."""
    sums = np.sort(array, axis=None)[::-1].astype(np.float64).cumsum()
    share = (int(np.searchsorted(sums, sums[-1] / 2)) + 1) / array.size
    return f"{share:.0%}" if share >= 0.01 else say("less than 1%")
