"""What an input is cut into when its parts are taken away: single features, squares, superpixels."""

from __future__ import annotations

from typing import Any

import torch

from interp_widgets.explainers.hyper_parameters import limits
from interp_widgets.inputs import to_picture
from interp_widgets.words import missing_extra, say

__all__ = ["SEGMENT_LIMITS", "SHAPE_LIMITS", "segments"]

SEGMENT_LIMITS = limits(2, 400, help="parts that an image is cut into")
SHAPE_LIMITS = limits(options=("grid", "superpixels"), help="rectangles, or areas of one colour (SLIC)")


def segments(value: torch.Tensor, count: int, shape: str) -> torch.Tensor:
    """The number of the part that each position belongs to, from 0, broadcastable to ``value``.

    Images (three axes or more) are cut along the last two, about ``count`` parts; the rows of a matrix (tokens) and
    the features of a vector are a part each.

    Raises:
        MissingExtraError: superpixels without scikit-image.
    """
    if value.ndim < 3:
        return torch.arange(len(value), device=value.device).reshape(-1, *[1] * (value.ndim - 1))
    height, width = value.shape[-2:]
    if shape == "superpixels" and value.ndim == 3:
        return _superpixels(value, count)
    rows = min(height, max(1, round((count * height / width) ** 0.5)))
    columns = min(width, max(1, round(count / rows)))
    down = torch.arange(height, device=value.device) * rows // height
    across = torch.arange(width, device=value.device) * columns // width
    parts: torch.Tensor = down[:, None] * columns + across
    return parts.reshape(*[1] * (value.ndim - 2), height, width)


def _superpixels(image: torch.Tensor, count: int) -> torch.Tensor:
    """SLIC (Achanta et al. 2012) on the colours that a person sees."""
    try:
        from skimage.segmentation import slic  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise missing_extra(say("superpixels need scikit-image"), "superpixels") from error
    labels: Any = slic(to_picture(image), n_segments=count, start_label=0)  # (H, W)
    _, numbers = torch.unique(torch.from_numpy(labels), return_inverse=True)  # no number without a position
    parts: torch.Tensor = numbers.reshape(1, *image.shape[-2:]).to(image.device)
    return parts
