"""How far maps agree: evidence of one kind, in the cells of the coarsest map."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.errors import InputError
from interp_widgets.evaluation.agreement import Evidence, on_shared_cells, rank_correlations


def test_evidence_is_gathered_in_the_cells_of_the_coarsest_map() -> None:
    fine = np.array([[1.0, -3, 0, 0], [1, 1, 0, 0], [0, 0, -2, -2], [0, 0, -2, 2]])
    coarse = np.array([[4.0, 3], [2, 1]])
    positive = on_shared_cells([fine, coarse])
    np.testing.assert_allclose(positive, [[[0.75, 0], [0, 0.5]], coarse])
    absolute = on_shared_cells([fine, coarse], Evidence.ABSOLUTE)
    np.testing.assert_allclose(absolute[0], [[1.5, 0], [0, 2]])


def test_signed_pixels_and_a_smooth_area_at_the_same_place_agree() -> None:
    rng = np.random.default_rng(0)
    down, across = np.mgrid[:7, :7]
    area = np.exp(-((down - 2) ** 2 + (across - 4) ** 2) / 6)
    strength = area.repeat(32, axis=0).repeat(32, axis=1)
    pixels = strength * rng.standard_normal(strength.shape)
    assert rank_correlations([pixels, area])[0, 1] < 0.2  # sign and noise of single pixels hide it
    for evidence in Evidence:
        # 1,024 pixels in a cell: its mean strength is known to about 3 %
        assert rank_correlations(on_shared_cells([pixels, area], evidence))[0, 1] > 0.95


def test_pixels_are_compared_in_cells_too() -> None:
    assert on_shared_cells([np.ones((224, 200)), np.ones((100, 224))]).shape == (2, 16, 16)
    assert on_shared_cells([np.ones((224, 5)), np.ones((100, 224))]).shape == (2, 16, 5)


def test_only_maps_are_gathered() -> None:
    with pytest.raises(InputError, match=r"maps must be arrays of shape \(height, width\), got none"):
        on_shared_cells([])
    with pytest.raises(InputError, match=r"maps must be arrays of shape \(height, width\), got \[\(3,\)\]"):
        on_shared_cells([np.ones(3)])
