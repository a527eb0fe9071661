"""What the explainers' tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

import interp_widgets as iw


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


@pytest.fixture
def take_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function after whose call every part that fits into memory is one evaluation."""

    def one_by_one(_trace: iw.Trace, count: int, **_options: object) -> Iterator[range]:
        return (range(place, place + 1) for place in range(count))

    return lambda: monkeypatch.setattr(iw.Trace, "batches", one_by_one)
