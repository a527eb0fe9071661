"""`render_pixels` against its own sentences in slow loops, and its scaling against torch's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp_widgets.errors import InputError, ParameterError
from interp_widgets.render.blend import enlarge, grid_factor, lightened, render_pixels, resample

TABLE = np.stack([np.arange(256), np.arange(256)[::-1], np.full(256, 40)], axis=1).astype(np.uint8)


def _slow_pixel(base, places, table, opacity, y, x):  # noqa: ANN001, ANN202 - a few floats
    def split(i: int, source: int, target: int) -> tuple[int, int, float]:
        place = min(max((i + 0.5) * source / target - 0.5, 0), source - 1)
        return math.floor(place), min(math.floor(place) + 1, source - 1), place - math.floor(place)

    top, bottom, down = split(y, places.shape[0], base.shape[0])
    left, right, across = split(x, places.shape[1], base.shape[1])
    west = places[top, left] + (places[bottom, left] - places[top, left]) * down
    east = places[top, right] + (places[bottom, right] - places[top, right]) * down
    color = table[min(max(math.floor(west + (east - west) * across + 0.5), 0), 255)]
    return [math.floor(b * (1 - opacity) + (c * opacity + 0.5)) for b, c in zip(base[y, x], color, strict=True)]


def test_every_pixel_is_the_value_interpolated_then_coloured_then_blended() -> None:
    random = np.random.default_rng(0)
    base = random.integers(0, 256, (23, 31, 3), dtype=np.uint8)
    values = random.normal(size=(5, 7))
    places = (values + 1.0) / 2.5 * 255
    expected = [[_slow_pixel(base, places, TABLE, 0.35, y, x) for x in range(31)] for y in range(23)]
    np.testing.assert_array_equal(render_pixels(base, values, TABLE, -1.0, 1.5, opacity=0.35), expected)


@pytest.mark.parametrize("size", [(5, 7), (20, 28), (11, 13), (3, 2)])
def test_scaling_is_torchs_bilinear_without_aligned_corners(size: tuple[int, int]) -> None:
    values = np.random.default_rng(1).normal(size=(5, 7))
    expected = torch.nn.functional.interpolate(torch.tensor(values)[None, None], size, mode="bilinear")[0, 0]
    np.testing.assert_allclose(resample(values, *size), expected, atol=1e-12)


def test_without_smoothing_each_cell_is_a_block() -> None:
    values = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(resample(values, 6, 9, smooth=False), np.kron(values, np.ones((3, 3))))


def test_opacity_0_is_the_base_and_opacity_1_the_colours() -> None:
    base = np.random.default_rng(2).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    values = np.arange(64.0).reshape(8, 8)
    np.testing.assert_array_equal(render_pixels(base, values, TABLE, 0, 63, opacity=0.0), base)
    levels = np.floor(values / 63 * 255 + 0.5).astype(int)
    np.testing.assert_array_equal(render_pixels(base, values, TABLE, 0, 63), TABLE[levels])


def test_values_outside_the_range_take_the_end_colours_and_no_range_the_first() -> None:
    base = np.zeros((1, 2, 3), np.uint8)
    np.testing.assert_array_equal(render_pixels(base, np.array([[-9.0, 9.0]]), TABLE, 0, 1)[0], TABLE[[0, 255]])
    np.testing.assert_array_equal(render_pixels(base, np.array([[3.0, 3.0]]), TABLE, 3, 3)[0], TABLE[[0, 0]])


def test_each_colour_may_have_an_opacity_of_its_own() -> None:
    base = np.full((1, 3, 3), 100, np.uint8)
    opacities = np.linspace(0, 1, 256)
    pixels = render_pixels(base, np.array([[0.0, 102.0, 255.0]]), TABLE, 0, 255, opacity=opacities)
    mixed = np.floor(100 * 0.6 + (TABLE[102] * 0.4 + 0.5))
    np.testing.assert_array_equal(pixels[0], [[100, 100, 100], mixed, TABLE[255]])


def test_the_light_photo_is_grey_and_keeps_white_and_the_order_of_brightness() -> None:
    base = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0]]], np.uint8)
    # 255 - (255 - luma) * 0.45, luma of red 76.245 and of green 149.685 (ITU-R BT.601)
    assert lightened(base)[0].tolist() == [[255] * 3, [140] * 3, [175] * 3, [208] * 3]


def test_a_small_base_is_enlarged_as_blocks_and_a_larger_one_smoothly() -> None:
    random = np.random.default_rng(3)
    small = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert grid_factor(8, 8, 320) == 40
    np.testing.assert_array_equal(enlarge(small, 3), small.repeat(3, axis=0).repeat(3, axis=1))
    large = random.integers(0, 256, (64, 48, 3), dtype=np.uint8)
    assert enlarge(large, 2).shape == (128, 96, 3)
    assert len(np.unique(enlarge(large, 2)[:2, :2, 0])) > 1
    np.testing.assert_array_equal(enlarge(large, 1), large)


def test_wrong_shapes_and_opacities_are_refused_in_words() -> None:
    base, values = np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2))
    with pytest.raises(InputError, match=r"base must have shape \(H, W, 3\), got \(4, 4\)"):
        render_pixels(base[..., 0], values, TABLE, 0, 1)
    with pytest.raises(InputError, match=r"table must have shape \(256, 3\), got \(9, 3\)"):
        render_pixels(base, values, TABLE[:9], 0, 1)
    with pytest.raises(ParameterError, match=r"opacity must be in 0\.\.1, got 1\.5"):
        render_pixels(base, values, TABLE, 0, 1, opacity=1.5)
    with pytest.raises(InputError, match=r"none of them 0, got \(0, 3\)"):
        render_pixels(base, np.zeros((0, 3)), TABLE, 0, 1)
