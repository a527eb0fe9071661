"""``FourierPicture``: a picture that is changed by its frequencies and its decorrelated colours, and how it climbs."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

__all__ = ["Adam", "FourierPicture", "seen_anew"]

START = 0.01  # standard deviation of the first spectrum: a nearly grey picture
DAMPING = 4.0  # of the picture before the sigmoid, as in Lucid
# Square root of the covariance of ImageNet's red, green and blue, a column for each independent colour; from Lucid,
# lucid/optvis/param/color.py.
COLOUR_ROOT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # of Adam, as in its paper
JITTER = 1 / 14  # of a side, up to which a picture is shifted: 16 of 224 pixels
ZOOM = 0.1  # up to which it is enlarged or made smaller
TURN = 10.0  # degrees up to which it is turned


class FourierPicture:
    """A picture as the spectrum of independent colours, so that a step changes all frequencies alike.

    Olah, Mordvintsev and Schubert 2017, *Feature Visualization*, doi:10.23915/distill.00007, section "Preconditioning
    and Parameterization": frequencies are weighted by 1/f, colours are mixed by the root of their covariance in
    ImageNet, and a sigmoid keeps them in 0..1. A grey picture has one colour, which is not mixed.

    Args:
        channels: 3, or 1 for grey.
        size: height and width in pixels.
        rng: draws the first spectrum.

    Attributes:
        spectrum: what an optimiser changes, ``(channels, H, W // 2 + 1, 2)``: real and imaginary parts.
    """

    def __init__(self, channels: int, size: tuple[int, int], rng: np.random.Generator) -> None:
        height, width = size
        self.size = size
        drawn = rng.normal(0, START, (channels, height, width // 2 + 1, 2))
        self.spectrum = torch.from_numpy(drawn.astype(np.float32)).requires_grad_()
        frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))  # (H, W // 2 + 1)
        weights = math.sqrt(height * width) / np.maximum(frequencies, 1 / max(size))
        self._weights = torch.from_numpy(weights.astype(np.float32))
        self._colours = _colours(channels)

    def pixels(self) -> torch.Tensor:
        """The picture, ``(channels, H, W)`` in 0..1, differentiable by the spectrum."""
        spectrum = torch.view_as_complex(self.spectrum) * self._weights
        independent = torch.fft.irfft2(spectrum, s=self.size) / DAMPING
        mixed = torch.einsum("ij,jhw->ihw", self._colours, independent)
        return torch.sigmoid(mixed)


def _colours(channels: int) -> torch.Tensor:
    """How independent colours are mixed, ``(channels, channels)``; the strongest of them has length 1."""
    if channels == 1:
        return torch.ones(1, 1)
    root = torch.tensor(COLOUR_ROOT)
    mixing: torch.Tensor = root / root.norm(dim=0).max()
    return mixing


class Adam:
    """Adam of Kingma and Ba 2015, arXiv:1412.6980, algorithm 1, upwards.

    ``torch.optim`` would do the same, and bring torch's compiler along: seconds and tens of megabytes.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._steps = 0
        self._mean: torch.Tensor | float = 0.0
        self._square: torch.Tensor | float = 0.0

    def climb(self, parameter: torch.Tensor, gradient: torch.Tensor) -> None:
        """Move a parameter, always the same one, to where the gradient says that a function is larger."""
        self._steps += 1
        self._mean = BETA1 * self._mean + (1 - BETA1) * gradient
        self._square = BETA2 * self._square + (1 - BETA2) * gradient.square()
        mean = self._mean / (1 - BETA1**self._steps)
        square = self._square / (1 - BETA2**self._steps)
        with torch.no_grad():
            parameter += self._rate * mean / (square.sqrt() + EPSILON)


def seen_anew(picture: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A picture ``(C, H, W)`` shifted, scaled and turned a little at random; its edges are mirrored.

    What excites a unit only at exactly these pixels does not survive it (Olah et al. 2017, "Transformation
    Robustness").
    """
    height, width = picture.shape[1:]
    shift: NDArray[np.float64] = rng.uniform(-JITTER, JITTER, 2) * 2  # grid coordinates go from -1 to 1
    scale = 1 + rng.uniform(-ZOOM, ZOOM)
    angle = math.radians(rng.uniform(-TURN, TURN))
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    ratio = height / width
    rows = [[cosine, -sine * ratio, shift[0]], [sine / ratio, cosine, shift[1]]]
    grid = F.affine_grid(picture.new_tensor([rows]), [1, *picture.shape], align_corners=False)
    return F.grid_sample(picture[None], grid, padding_mode="reflection", align_corners=False)[0]
