"""Handwritten digits: the 1797 scans of scikit-learn's ``load_digits``, split once into training and held-out scans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from interp_widgets.errors import ZooError
from interp_widgets.words import say

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CLASS_NAMES", "SIZE", "Digits", "split"]

SIZE = 32
CLASS_NAMES = tuple("0123456789")

_HELD_OUT = 450
_SPLIT_SEED = 0


@dataclass(frozen=True)
class Digits:
    """Scans enlarged from 8x8: ``images`` ``(N, 32, 32)`` uint8, white on black; ``labels`` ``(N,)`` int64 in 0..9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def split() -> tuple[Digits, Digits]:
    """The 1347 training and the 450 held-out scans, the same on every call.

    Raises:
        ZooError: scikit-learn, which holds the scans, is not installed.
    """
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - only for training and fresh digits
    except ImportError as error:
        raise ZooError(
            say("the digit scans come with scikit-learn, which is not installed: pip install 'interp-widgets[zoo]'")
        ) from error
    scans = load_digits()
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(scans.target))
    images = np.stack([_enlarge(scans.images[index]) for index in order])
    labels = scans.target[order].astype(np.int64)
    return Digits(images[_HELD_OUT:], labels[_HELD_OUT:]), Digits(images[:_HELD_OUT], labels[:_HELD_OUT])


def _enlarge(scan: NDArray[np.float64]) -> NDArray[np.uint8]:
    """``(8, 8)`` in 0..16 as ``(32, 32)`` uint8."""
    image = Image.fromarray(np.round(scan * (255 / 16)).astype(np.uint8))
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
