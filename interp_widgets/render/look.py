"""How a map is shown: where its colours end, how far it is smoothed, how it lies over the input.

The values of a pixel-level map have long tails: the 99th percentile of Integrated Gradients or DeepLIFT on a photograph
is a tenth to a third of the maximum, so a scale that ends at the maximum leaves nearly every pixel at the colour of
zero. A ``Look`` ends the colours at a percentile, and smooths what is drawn. Both are display only: an attribution's
values stay as they are, and a caption (``Display.note``) says what was done and which share of the values is clipped.

The browser does the same in ``widgets/kit/look.js``, in the same order and in IEEE doubles. ``exp`` and powers may
differ there in the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from interp_widgets.errors import ParameterError
from interp_widgets.render.blend import PIXELATED_BELOW, lightened, render_pixels
from interp_widgets.render.colours import paint
from interp_widgets.trace.arguments import check_is, check_number, is_name_of, shown
from interp_widgets.words import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["Display", "Look", "ends_of", "look_for", "look_of_all"]

PHOTOS = ("colour", "grey")
REACH = 3.0  # standard deviations after which the kernel ends
GAMMA = 0.7  # of opacity by strength: below 1, so that the middle of the range is not lost
SMOOTHING = 0.01  # of the shorter side: 2 pixels of 224
USUAL_OPACITY = 0.6  # at which the strongest values of a map with opacity by strength are opaque


@dataclass(frozen=True)
class Look:
    """How a map is drawn.

    Args:
        percentile: of the values (of a signed map: of their sizes), where the colours end; 100 is the largest.
        limit: the value where the colours end, in place of the percentile.
        smoothing: standard deviation of a Gaussian, as a share of the map's shorter side; 0 shows the values.
        photo: what lies under the map: the input in its colours, or in light grey.
        by_strength: whether a value that is nearer to zero (of an unsigned map: to the lower end) is more transparent.

    Raises:
        ParameterError: an option outside its range.

    >>> Look(percentile=95, smoothing=0.02)
    Look(percentile=95, limit=None, smoothing=0.02, photo='colour', by_strength=False)
    """

    percentile: float = 99.0
    limit: float | None = None
    smoothing: float = 0.0
    photo: Literal["colour", "grey"] = "colour"
    by_strength: bool = False

    def __post_init__(self) -> None:
        check_number(self.percentile, "percentile", 0, 100)
        check_number(self.smoothing, "smoothing", 0, 1)
        if self.limit is not None:
            check_number(self.limit, "limit", 0, math.inf)
            if not 0 < self.limit < math.inf:
                raise ParameterError(say("limit must be above 0 and finite, got {limit}", limit=self.limit))
        if not is_name_of(self.photo, PHOTOS):
            raise ParameterError(say("photo must be 'colour' or 'grey', got {photo}", photo=shown(self.photo)))
        check_is(self.by_strength, bool, say("by_strength must be True or False"))

    def applied_to(self, values: NDArray[Any], *, signed: bool, ends: tuple[float, float] | None = None) -> Display:
        """A map ``(h, w)`` as it is drawn.

        Args:
            signed: colours are symmetric around zero; else they begin at the lower end.
            ends: the smallest and the largest value; by default those of the map, and zero.
        """
        native = np.asarray(values, dtype=np.float64)
        sigma = self.smoothing * min(native.shape)
        sigma = sigma if _radius(sigma) else 0.0
        drawn = smoothed(native, sigma)
        lowest, highest = ends_of(native) if ends is None else ends
        sizes = np.abs(drawn) if signed else drawn
        if self.limit is not None:
            reach = self.limit
        elif self.percentile < 100 or sigma:
            reach = percentile_of(sizes, self.percentile)
            if reach <= (0.0 if signed else lowest):  # nearly all is zero: the few that are not must be seen
                reach = float(sizes.max())
        else:
            reach = max(abs(lowest), abs(highest)) if signed else highest
        if signed:
            reach = reach or 1.0  # of a map of zeros, so that zero has the middle colour
        low, high = (-reach, reach) if signed else (lowest, max(lowest, reach))
        beyond = float((sizes > high).mean())
        return Display(self, drawn, float(low), float(high), beyond, sigma, signed)


@dataclass(frozen=True, eq=False)
class Display:
    """A map as a look shows it.

    Args:
        values: ``(h, w)`` float64, smoothed.
        low, high: the values of the first and the last colour.
        beyond: share of the values that are beyond the last colour (of a signed map: beyond either end), 0..1.
        sigma: standard deviation of the smoothing, in positions of the map; 0 where there is none.
    """

    look: Look
    values: NDArray[np.float64]
    low: float
    high: float
    beyond: float
    sigma: float
    signed: bool

    @property
    def note(self) -> str:
        """What was done to the map, in words."""
        end, share = f"{self.high:.3g}", f"{self.beyond:.1%}"
        if self.look.limit is not None:
            words = say("shown up to {value}, {share} beyond", value=end, share=share)
        elif self.look.percentile == 100:
            words = say("shown up to the largest value ({value})", value=end)
        else:
            words = say(
                "shown up to percentile {percentile} ({value}), {share} beyond",
                percentile=f"{self.look.percentile:g}",
                value=end,
                share=share,
            )
        if not self.sigma:
            return words
        return "; ".join((words, say("smoothed by {sigma} px", sigma=f"{self.sigma:.2g}")))

    def opacities(self, opacity: float) -> NDArray[np.float64]:
        """How opaque each of the 256 colours is, ``(256,)`` in 0..1."""
        if not self.look.by_strength:
            return np.full(256, float(opacity))
        places = np.arange(256.0)
        strengths = np.maximum(np.abs(2 * places - 255) - 1, 0) / 254 if self.signed else places / 255
        return np.minimum(strengths**GAMMA * (opacity / USUAL_OPACITY), 1)

    def alone(self, size: tuple[int, int], table: NDArray[np.uint8], alpha: float = 1.0) -> NDArray[np.uint8]:
        """The map without the input, ``(H, W, 4)`` uint8; ``alpha`` is the opacity of the strongest values.

        Raises:
            ParameterError: an opacity or a size that cannot be.
        """
        check_number(alpha, "alpha", 0, 1)
        usual = self.opacities(USUAL_OPACITY) if self.look.by_strength else self.opacities(1.0)
        return paint(self.values, size, table, (self.low, self.high), alpha * usual)

    def over(
        self,
        picture: NDArray[np.uint8],
        table: NDArray[np.uint8],
        opacity: float = USUAL_OPACITY,
        *,
        smooth: bool = True,
    ) -> NDArray[np.uint8]:
        """The map over a picture ``(H, W, 3)`` uint8, of its size.

        Args:
            opacity: of the map, 0..1; by strength, the strongest values are opaque from 0.6 on.
            smooth: interpolate between the map's positions; otherwise they are squares.

        Raises:
            ParameterError: an opacity that cannot be.
        """
        check_number(opacity, "opacity", 0, 1)
        base = lightened(picture) if self.look.photo == "grey" else picture
        opacities = self.opacities(opacity)
        return render_pixels(base, self.values, table, self.low, self.high, opacity=opacities, smooth=smooth)


def look_for(*, signed: bool, values_size: tuple[int, ...], picture_size: tuple[int, ...] | None) -> Look:
    """The look of a map unless another is asked for.

    A coarse map of evidence for a class (a CAM) lies evenly over the input. A signed map, and one that has the input's
    own resolution, lies over a light grey photo, its opacity by strength; at the input's resolution it is smoothed by
    1 % of the shorter side, unless the input is so small that its pixels are shown as squares.
    """
    if picture_size is None:
        return Look()
    is_fine = values_size == picture_size
    if not (signed or is_fine):
        return Look()
    is_smoothed = is_fine and max(picture_size) >= PIXELATED_BELOW
    return Look(smoothing=SMOOTHING if is_smoothed else 0.0, photo="grey", by_strength=True)


def look_of_all(looks: Iterable[Look]) -> Look:
    """One look for maps that are compared, so that what differs on the screen is the maps.

    Its colours end at the highest percentile of theirs; it is smoothed, over grey, and by strength, as soon as one is.
    Smoothing is a share of each map's own side: it leaves a coarse map as it is.
    """
    given = list(looks)
    return Look(
        percentile=max(look.percentile for look in given),
        smoothing=max(look.smoothing for look in given),
        photo="grey" if any(look.photo == "grey" for look in given) else "colour",
        by_strength=any(look.by_strength for look in given),
    )


def ends_of(values: NDArray[Any]) -> tuple[float, float]:
    """The smallest and the largest of some values and zero."""
    return min(0.0, float(values.min())), max(0.0, float(values.max()))


def percentile_of(values: NDArray[np.float64], percentile: float) -> float:
    """The percentile (0..100) of some values, interpolated linearly between the two neighbours."""
    place = (values.size - 1) * percentile / 100
    first = math.floor(place)
    second = min(first + 1, values.size - 1)
    ordered = np.partition(values, (first, second), axis=None)
    return float(ordered[first] + (ordered[second] - ordered[first]) * (place - first))


def smoothed(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """A map ``(h, w)`` under a Gaussian of ``sigma`` positions, mirrored at its edges: its sum stays what it is."""
    radius = _radius(sigma)
    if not radius:
        return values
    weights = [math.exp(-0.5 * step * step / (sigma * sigma)) for step in range(radius + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    for axis in (0, 1):
        values = _along(values, [weight / total for weight in weights], axis)
    return values


def _along(values: NDArray[np.float64], weights: list[float], axis: int) -> NDArray[np.float64]:
    """Weighted sums of neighbours along one axis; ``weights[k]`` is that of both neighbours at ``k`` steps."""
    radius, length = len(weights) - 1, values.shape[axis]
    margins = [(0, 0), (0, 0)]
    margins[axis] = (radius, radius)
    padded = np.moveaxis(np.pad(values, margins, mode="symmetric"), axis, 0)
    result = padded[radius : radius + length] * weights[0]
    for step in range(1, radius + 1):
        before = padded[radius - step : radius - step + length]
        after = padded[radius + step : radius + step + length]
        result += (before + after) * weights[step]
    return np.moveaxis(result, 0, axis)


def _radius(sigma: float) -> int:
    return math.floor(REACH * sigma + 0.5)
