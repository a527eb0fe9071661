"""Colour tables, the limits of a map, and its pixels."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colormaps

from interp_widgets.errors import ParameterError
from interp_widgets.render.blend import render_pixels
from interp_widgets.render.colours import (
    DIVERGING,
    SEQUENTIAL,
    colour_table,
    default_colormap,
    paint,
)

GREY = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


def _lightness(table: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB colours."""
    values = table / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > (6 / 29) ** 3, 116 * np.cbrt(luminance) - 16, luminance * (29 / 3) ** 3)


@pytest.mark.parametrize("name", SEQUENTIAL + DIVERGING)
def test_a_table_holds_matplotlibs_256_colours_and_cannot_be_changed(name: str) -> None:
    table = colour_table(name)
    assert table.shape == (256, 3)
    assert table.dtype == np.uint8
    np.testing.assert_allclose(table / 255, colormaps[name](np.arange(256) / 255)[:, :3], atol=0.5 / 255 + 1e-9)
    assert colour_table(name) is table
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 0


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_a_sequential_table_gets_lighter_in_even_steps(name: str) -> None:
    lightness = _lightness(colour_table(name))
    steps = np.diff(lightness[::15])
    assert (steps > 0).all()
    assert steps.max() < 3 * steps.min()


@pytest.mark.parametrize("name", DIVERGING)
def test_a_diverging_table_is_lightest_in_the_middle_and_falls_to_both_ends(name: str) -> None:
    lightness = _lightness(colour_table(name))
    assert 120 <= int(lightness.argmax()) <= 135
    assert (np.diff(lightness[:120:8]) > 0).all()
    assert (np.diff(lightness[136::8]) < 0).all()


@pytest.mark.parametrize(("signed", "kind"), [(True, DIVERGING), (False, SEQUENTIAL)])
def test_the_default_table_fits_the_sign(signed: bool, kind: tuple[str, ...]) -> None:
    assert default_colormap(signed=signed) in kind


def test_an_unknown_table_is_refused_with_those_there_are() -> None:
    with pytest.raises(ParameterError, match=r"no colour map is named 'rainbows'; use one of viridis, .*BrBG"):
        colour_table("rainbows")


def test_paint_colours_the_smallest_with_the_first_and_the_largest_with_the_last_colour() -> None:
    pixels = paint(np.array([[0.0, 1.0], [2.0, 4.0]], dtype=np.float32), (2, 2), GREY, (0.0, 4.0))
    assert pixels[..., 0].tolist() == [[0, 64], [128, 255]]
    assert pixels[..., 3].tolist() == [[255, 255], [255, 255]]
    assert pixels.dtype == np.uint8


def test_paint_interpolates_values_not_colours() -> None:
    table = np.zeros((256, 3), np.uint8)
    table[128] = 255  # only the very middle is white: a mixture of the ends' colours would stay black
    pixels = paint(np.array([[0.0, 1.0]], dtype=np.float32), (1, 255), table, (0.0, 1.0))
    assert pixels[0, 127, 0] == 255
    assert pixels[0, [0, -1], 0].tolist() == [0, 0]


def test_paint_clips_values_outside_the_limits() -> None:
    pixels = paint(np.array([[-9.0, 9.0]], dtype=np.float32), (1, 2), GREY, (0.0, 1.0))
    assert pixels[0, :, 0].tolist() == [0, 255]


def test_paint_gives_the_pixels_that_the_browser_draws() -> None:
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    table = colour_table("RdBu_r")
    low, high = -2.0, 2.0
    drawn = render_pixels(np.zeros((40, 33, 3), np.uint8), values, table, low, high)
    np.testing.assert_array_equal(paint(values, (40, 33), table, (low, high))[..., :3], drawn)


def test_paint_takes_one_opacity_or_one_for_each_colour() -> None:
    values = np.array([[0.0, 1.0]])
    assert paint(values, (1, 2), GREY, (0.0, 1.0), 0.5)[0, :, 3].tolist() == [128, 128]
    assert paint(values, (1, 2), GREY, (0.0, 1.0), np.linspace(0.2, 0.4, 256))[0, :, 3].tolist() == [51, 102]


@pytest.mark.parametrize(
    ("size", "alpha", "sentence"),
    [
        ((2, 2), 1.5, r"alpha must be in 0\.\.1, got 1\.5"),
        ((2, 2), float("nan"), r"alpha must be in 0\.\.1, got nan"),
        ((0, 2), 1.0, r"size must be \(height, width\), each 1 or more, .* got \(0, 2\)"),
        ((100_000, 100_000), 1.0, r"100,000,000 pixels at most, got \(100000, 100000\)"),
    ],
)
def test_an_opacity_or_size_that_cannot_be_is_refused(size: tuple[int, int], alpha: float, sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        paint(np.zeros((2, 2), dtype=np.float32), size, GREY, (0.0, 1.0), alpha)
