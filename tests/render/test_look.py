"""Where colours end, smoothing and opacity by strength: against numpy, scipy and a slow count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from interp_widgets.errors import ParameterError
from interp_widgets.render.blend import lightened, render_pixels
from interp_widgets.render.colours import colour_table
from interp_widgets.render.look import Look, look_for, look_of_all, percentile_of, smoothed

GREY = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


def _map(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).standard_t(2, size=shape)


@pytest.mark.parametrize("percentile", [0, 37.5, 95, 99, 99.9, 100])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (7, 7), (40, 30)])
def test_the_percentile_is_numpys_with_linear_interpolation(percentile: float, shape: tuple[int, int]) -> None:
    values = _map(*shape)
    expected = np.percentile(values, percentile)
    assert percentile_of(values, percentile) == pytest.approx(expected, rel=1e-13)  # numpy sums in another order


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.24, 9.0])
@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (24, 31)])
def test_smoothing_is_scipys_gaussian_mirrored_at_the_edges_and_keeps_the_sum(
    sigma: float, shape: tuple[int, int]
) -> None:
    values = _map(*shape)
    drawn = smoothed(values, sigma)
    scale = np.abs(values).max()
    np.testing.assert_allclose(drawn, gaussian_filter(values, sigma, truncate=3), atol=1e-12 * scale)
    assert drawn.sum() == pytest.approx(values.sum(), abs=1e-10 * scale * values.size)


def test_a_signed_map_ends_at_the_percentile_of_the_sizes_on_both_sides() -> None:
    values = np.concatenate([np.full(96, 0.5), [-2.0, -3.0, -4.0, -50.0]]).reshape(10, 10)
    display = Look(percentile=98).applied_to(values, signed=True)
    # place 99 * 0.98 = 97.02 of the sorted sizes, whose last four are 2, 3, 4, 50: 3 + 0.02 * (4 - 3)
    assert (display.low, display.high) == pytest.approx((-3.02, 3.02))
    assert display.beyond == 0.02
    assert display.note == "shown up to percentile 98 (3.02), 2.0% beyond"


def test_an_unsigned_map_begins_at_zero_and_ends_at_the_percentile() -> None:
    display = Look(percentile=50).applied_to(np.array([[1.0, 2.0, 9.0]]), signed=False)
    assert (display.low, display.high) == (0.0, 2.0)
    assert display.beyond == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("values", "signed", "ends"),
    [
        ([1.0, 3.0], False, (0.0, 3.0)),
        ([-1.0, 3.0], False, (-1.0, 3.0)),
        ([0.0, 0.0], False, (0.0, 0.0)),
        ([-1.0, 3.0], True, (-3.0, 3.0)),
        ([-5.0, 3.0], True, (-5.0, 5.0)),
        ([2.0, 3.0], True, (-3.0, 3.0)),
        ([0.0, 0.0], True, (-1.0, 1.0)),
    ],
)
def test_at_the_largest_value_the_ends_hold_zero_and_are_symmetric_when_signed(
    values: list[float], signed: bool, ends: tuple[float, float]
) -> None:
    display = Look(percentile=100).applied_to(np.array([values]), signed=signed)
    assert (display.low, display.high) == ends
    assert display.beyond == 0


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.02])
def test_one_hot_pixel_in_a_map_of_zeros_is_seen(signed: bool, smoothing: float) -> None:
    values = np.zeros((100, 100))
    values[30, 40] = 5.0
    display = Look(smoothing=smoothing, by_strength=True).applied_to(values, signed=signed)
    pixels = display.alone((100, 100), colour_table("viridis"))
    assert pixels[30, 40].tolist() == [*colour_table("viridis")[255], 255]
    assert pixels[90, 90, 3] == 0


@pytest.mark.parametrize("signed", [False, True])
def test_a_map_of_zeros_is_all_transparent_and_a_constant_one_all_opaque(signed: bool) -> None:
    look = Look(by_strength=True)
    for value, alpha in ((0.0, 0), (2.5, 255)):
        display = look.applied_to(np.full((7, 7), value), signed=signed)
        assert np.unique(display.alone((7, 7), GREY)[..., 3]).tolist() == [alpha]
        assert display.beyond == 0


def test_zero_has_the_middle_colour_of_a_signed_map_and_the_first_of_any_other() -> None:
    for signed, level in ((True, 128), (False, 0)):
        assert Look().applied_to(np.zeros((2, 2)), signed=signed).alone((2, 2), GREY)[0, 0, 0] == level


def test_a_limit_takes_the_place_of_the_percentile() -> None:
    display = Look(limit=0.25).applied_to(np.array([[-1.0, 0.1, 0.2, 0.25]]), signed=True)
    assert (display.low, display.high, display.beyond) == (-0.25, 0.25, 0.25)
    assert display.note == "shown up to 0.25, 25.0% beyond"


def test_the_share_beyond_is_that_of_the_values_that_are_drawn() -> None:
    values = _map(60, 60)
    display = Look(smoothing=0.05).applied_to(values, signed=True)
    drawn = gaussian_filter(values, 3.0, truncate=3)
    limit = np.percentile(np.abs(drawn), 99)
    assert display.sigma == 3.0
    assert display.high == pytest.approx(limit)
    assert display.beyond == (np.abs(drawn) > limit).mean()
    assert display.note.endswith("; smoothed by 3 px")


def test_smoothing_that_reaches_no_neighbour_is_none() -> None:
    display = Look(smoothing=0.01).applied_to(_map(7, 7), signed=True)
    assert display.sigma == 0
    assert "smoothed" not in display.note


def test_by_strength_the_opacity_grows_with_the_size_of_the_value() -> None:
    values = np.linspace(-1, 1, 255)[None]
    alphas = Look(percentile=100, by_strength=True).applied_to(values, signed=True).alone((1, 255), GREY)[0, :, 3]
    assert alphas[[0, 127, 254]].tolist() == [255, 0, 255]
    assert (np.diff(alphas[:128].astype(int)) <= 0).all()
    np.testing.assert_array_equal(alphas, alphas[::-1])
    strengths = np.abs(values[0])
    # colours have 256 steps: half a step of the strength, where the curve is steepest in all but the first steps
    np.testing.assert_allclose(alphas[:100] / 255, strengths[:100] ** 0.7, atol=1 / 127)


def test_alpha_scales_the_opacity_by_strength() -> None:
    display = Look(percentile=100, by_strength=True).applied_to(np.array([[0.0, 0.5, 1.0]]), signed=False)
    full, half = (display.alone((1, 3), GREY, alpha)[0, :, 3].tolist() for alpha in (1.0, 0.5))
    assert full == [0, round(255 * (128 / 255) ** 0.7), 255]
    assert half == [0, round(127.5 * (128 / 255) ** 0.7), 128]


def test_over_a_photo_the_strongest_are_opaque_and_zero_shows_the_light_photo() -> None:
    base = np.random.default_rng(1).integers(0, 256, (1, 3, 3), dtype=np.uint8)
    display = Look(photo="grey", by_strength=True, percentile=100).applied_to(np.array([[-1, 0, 1]]), signed=True)
    table = colour_table("RdBu_r")
    pixels = display.over(base, table)
    np.testing.assert_array_equal(pixels[0], [table[0], lightened(base)[0, 1], table[255]])
    np.testing.assert_array_equal(display.over(base, table, 0.0), lightened(base))


def test_an_even_look_is_render_pixels_over_its_ends() -> None:
    base = np.random.default_rng(1).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    values = _map(4, 3)
    display = Look().applied_to(values, signed=False)
    expected = render_pixels(base, values, GREY, display.low, display.high, opacity=0.3)
    np.testing.assert_array_equal(display.over(base, GREY, 0.3), expected)


@pytest.mark.parametrize(
    ("signed", "values_size", "picture_size", "look"),
    [
        (False, (7, 7), (224, 224), Look()),
        (True, (7, 7), (224, 224), Look(photo="grey", by_strength=True)),
        (False, (224, 224), (224, 224), Look(smoothing=0.01, photo="grey", by_strength=True)),
        (True, (224, 224), (224, 224), Look(smoothing=0.01, photo="grey", by_strength=True)),
        (True, (28, 28), (28, 28), Look(photo="grey", by_strength=True)),
        (True, (28, 28), None, Look()),
        (True, (3, 8, 8), (8, 8), Look(photo="grey", by_strength=True)),
    ],
)
def test_the_usual_look_follows_sign_and_resolution(
    signed: bool, values_size: tuple[int, ...], picture_size: tuple[int, int] | None, look: Look
) -> None:
    assert look_for(signed=signed, values_size=values_size, picture_size=picture_size) == look


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"percentile": 101}, r"percentile must be in 0\.\.100, got 101"),
        ({"percentile": float("nan")}, r"percentile must be in 0\.\.100, got nan"),
        ({"limit": 0}, r"limit must be above 0 and finite, got 0"),
        ({"limit": "much"}, r"limit must be in 0\.\.inf, got 'much'"),
        ({"smoothing": -0.1}, r"smoothing must be in 0\.\.1, got -0\.1"),
        ({"photo": "gray"}, r"photo must be 'colour' or 'grey', got 'gray'"),
        ({"by_strength": 1}, r"by_strength must be True or False; got 1"),
    ],
)
def test_a_look_that_cannot_be_is_refused_in_words(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        Look(**options)


def test_maps_that_are_compared_have_one_look_of_all_that_any_of_them_asks_for() -> None:
    coarse = look_for(signed=False, values_size=(7, 7), picture_size=(224, 224))
    fine = look_for(signed=True, values_size=(224, 224), picture_size=(224, 224))
    assert coarse != fine
    assert look_of_all([coarse, coarse]) == coarse
    assert look_of_all([coarse, fine]) == look_of_all([fine, coarse]) == fine
    shown = fine.applied_to(_map(7, 7), signed=True)
    assert shown.sigma == 0  # a share of 7 cells is no cell: a coarse map stays as it is
