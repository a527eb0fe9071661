"""What the explainers' tests share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch


@pytest.fixture
def close() -> Callable[..., None]:
    """Compare two maps relative to the larger one's maximum.

    Maps of random models differ in size by orders of magnitude, and near zero a sum over hundreds of channels holds
    rounding errors only: what a person sees is the difference as a share of the strongest value.
    """

    def compare(found: object, expected: object, tolerance: float = 1e-4) -> None:
        left, right = (torch.as_tensor(each, dtype=torch.float64) for each in (found, expected))
        assert left.shape == right.shape
        most = float(right.abs().max())
        assert most > 0
        worst = float((left - right).abs().max()) / most
        assert worst <= tolerance, f"differs by {worst:.2g} of the maximum {most:.3g}"

    return compare
