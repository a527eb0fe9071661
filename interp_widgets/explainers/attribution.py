"""What an explainer returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from interp_widgets.errors import LayoutError
from interp_widgets.explainers.estimate import ErrorKind
from interp_widgets.explainers.places import evidence, index, region, share_of_half
from interp_widgets.inputs import to_picture
from interp_widgets.render.blend import enlarge, grid_factor
from interp_widgets.render.colours import colour_table, default_colormap
from interp_widgets.render.figure import attribution_figure, bars_figure
from interp_widgets.render.look import Display, Look, look_for
from interp_widgets.render.sheet import Sheet, sheet_of
from interp_widgets.render.svg import svg_of
from interp_widgets.trace import Target
from interp_widgets.trace.arguments import check_is
from interp_widgets.words import say

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from interp_widgets.render.still import StillFigure

__all__ = ["Attribution"]


LARGE_ERROR = 0.2  # relative; a map that may be off by more says so itself
DRAWN_SIDE = 320  # pixels of an overlay's longer side, at least


@dataclass(frozen=True, eq=False, repr=False)
class Attribution:
    """Relevance per position of the input or of a layer.

    As the last value of a cell a notebook shows its ``figure()``, where it has one.

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
        given: what the input has in those features, ``(F,)``; ``None`` where they have no names.
    """

    values: torch.Tensor
    method: str
    layer: str
    target: Target
    score: float
    signed: bool
    label: str
    background: torch.Tensor | None = None
    done: int = 1
    total: int = 1
    error: float | None = None
    error_kind: ErrorKind | None = None
    change: float | None = None
    parts: Mapping[str, torch.Tensor] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    given: torch.Tensor | None = None

    @property
    def error_name(self) -> str:
        """What ``error`` measures, in words; empty when nothing is measured."""
        return "" if self.error_kind is None else self.error_kind.words

    @property
    def doubt(self) -> str:
        """Why the map cannot be relied on yet, in words; empty where its error is not large, or not known."""
        if self.error is None or self.error <= LARGE_ERROR:
            return ""
        return say("{error_name} {error:.0%}: not to be relied on", error_name=self.error_name, error=self.error)

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

    @property
    def feature_labels(self) -> tuple[str, ...]:
        """Each feature with what the input has in it, as ``age = 42``; empty when the features have no names."""
        if self.given is None:
            return self.names
        return tuple(f"{name} = {value:.6g}" for name, value in zip(self.names, self.given.tolist(), strict=True))

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

    @property
    def look(self) -> Look:
        """How a map is drawn unless another look is asked for; see ``look_for``."""
        picture_size = None if self.background is None else tuple(self.background.shape[-2:])
        return look_for(signed=self.signed, values_size=tuple(self.values.shape), picture_size=picture_size)

    def display(self, look: Look | None = None) -> Display:
        """The map as it is drawn: smoothed, with the ends of its colours; ``note`` says so in words.

        Raises:
            LayoutError: the attribution is not a map.
        """
        chosen = self.look if look is None else look
        check_is(chosen, Look, say("look must be an iw.Look"))
        return chosen.applied_to(self._map(), signed=self.signed)

    def pixels(
        self,
        size: tuple[int, int] | None = None,
        colormap: str | None = None,
        alpha: float = 1.0,
        *,
        look: Look | None = None,
    ) -> NDArray[np.uint8]:
        """The map in colours, ``(H, W, 4)`` uint8.

        Args:
            size: height and width; by default the input image's, else the map's own. Values between positions are
                interpolated (bilinear) before they are coloured.
            colormap: a matplotlib name; by default ``"viridis"``, or ``"RdBu_r"`` around zero for signed maps.
            alpha: opacity in 0..1; of the strongest values, where the look lets opacity follow strength.
            look: where colours end, smoothing, opacity by strength; by default the attribution's ``look``.

        Raises:
            LayoutError: the attribution is not a map.
            ParameterError: no such colour map; an opacity, a size or a look that cannot be.
        """
        display = self.display(look)
        if size is None:
            height, width = self.values.shape if self.background is None else self.background.shape[-2:]
            size = (height, width)
        return display.alone(size, self._table(colormap), alpha)

    def overlay(
        self, colormap: str | None = None, opacity: float = 0.6, *, look: Look | None = None
    ) -> NDArray[np.uint8]:
        """The map over the input, ``(H, W, 3)`` uint8: the pixels that a widget shows.

        A small input is enlarged by a whole number, until its longer side has 320 pixels.

        Args:
            colormap, look: as for ``pixels``.
            opacity: 0..1; where the look lets opacity follow strength, the strongest values are opaque from 0.6 on.

        Raises:
            LayoutError: the attribution is not a map, or the input is no image.
            ParameterError: no such colour map; an opacity or a look that cannot be.
        """
        display, picture = self.display(look), self.picture
        if picture is None:
            raise LayoutError(say("the input is no image that a map could lie over: use .pixels()"))
        height, width = picture.shape[:2]
        enlarged = enlarge(picture, grid_factor(width, height, DRAWN_SIDE))
        return display.over(enlarged, self._table(colormap), opacity)

    def figure(self, colormap: str | None = None, opacity: float = 0.6, *, look: Look | None = None) -> StillFigure:
        """A matplotlib figure: the input, the map with its colour bar, the overlay; of a list of values a bar chart.

        Args:
            colormap, look: as for ``pixels``.
            opacity: of the overlay, as for ``overlay``.

        Raises:
            LayoutError: the attribution is neither a map nor a list of values.
            ParameterError: no such colour map; an opacity or a look that cannot be.
        """
        if self.values.ndim == 1:
            title = "\n".join(filter(None, (self._title, self.additivity, self.doubt)))
            return bars_figure(self.array, self.feature_labels, title=title, signed=self.signed)
        display = self.display(look)
        self._table(colormap)  # refuses a name that matplotlib does not have, with a sentence
        title = "\n".join(filter(None, (self._title, self.doubt)))
        overlay = None if self.background is None else self.overlay(colormap, opacity, look=look)
        chosen = default_colormap(signed=self.signed) if colormap is None else colormap
        return attribution_figure(display, self.picture, overlay, colormap=chosen, title=title)

    def svg(self, colormap: str | None = None, opacity: float = 0.6, *, look: Look | None = None) -> str:
        """An SVG file for a paper: the map over the input as an embedded picture, words and colour scale as text.

        Of a list of values it is the bar chart that ``figure()`` draws.

        Args:
            colormap, opacity, look: as for ``overlay``.

        Raises:
            LayoutError: the attribution is neither a map nor a list of values.
            ParameterError: no such colour map; an opacity or a look that cannot be.
        """
        if self.values.ndim == 1:
            return self.figure().svg()
        table = self._table(colormap)
        return svg_of(self.sheet(self.display(look), self.picture, table, opacity=opacity))

    def sheet(
        self,
        display: Display,
        picture: NDArray[np.uint8] | None,
        table: NDArray[np.uint8],
        *,
        opacity: float = 0.6,
        smooth: bool = True,
    ) -> Sheet:
        """The map with all that stands around it in a file: title, colour scale, what was done to it, in words.

        Args:
            display: of this map.
            picture: what it lies over, ``(H, W, 3)`` uint8, if anything.
            table: its colours, ``(256, 3)`` uint8.
        """
        caption = "\n".join(filter(None, (display.note, self.doubt)))
        return sheet_of(
            display,
            picture,
            table,
            opacity=opacity,
            smooth=smooth,
            title=self._title,
            caption=caption,
            alt=self.describe(),
        )

    @property
    def _title(self) -> str:
        """Method, target and score; of a map also the layer."""
        if self.values.ndim == 1:
            return say(
                "{method} for {target} (score {score:.3g})", method=self.method, target=self.label, score=self.score
            )
        return say(
            "{method} for {target}, at {layer} (score {score:.3g})",
            method=self.method,
            target=self.label,
            layer=self.layer,
            score=self.score,
        )

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows; ``None``, so that it shows the text, of values that are neither map nor list."""
        is_drawn = self.values.ndim in (1, 2) and self.values.numel() > 0
        return self.figure().png() if is_drawn else None

    def __repr__(self) -> str:
        shape = " x ".join(str(side) for side in self.values.shape)
        return f"<Attribution: {self.method} for {self.label} at {self.layer}, score {self.score:.3g}, {shape} values>"

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
            found = evidence(array, self._where)
            words = say(
                "{subject}: {evidence}. Values {low:.3g} to {high:.3g}.",
                subject=subject,
                evidence=found,
                low=low,
                high=high,
            )
            if not self.additivity:
                return words
            return say("{words} {sums}.", words=words, sums=self.additivity[0].upper() + self.additivity[1:])
        where, share = self._where(array, int(array.argmax())), share_of_half(array)
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
            return region(array, position)
        return index(array, position)

    def _table(self, colormap: str | None) -> NDArray[np.uint8]:
        return colour_table(default_colormap(signed=self.signed) if colormap is None else colormap)

    def _map(self) -> NDArray[np.float32]:
        if self.values.ndim != 2:
            sentence = say(
                "this attribution has shape {shape}; only a map (H, W) can be drawn in colours: use .values",
                shape=tuple(self.values.shape),
            )
            raise LayoutError(sentence)
        return self.array
