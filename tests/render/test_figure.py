"""The still picture of an attribution."""

from __future__ import annotations

import base64
import io
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from PIL import Image

from interp_widgets.render.figure import attribution_figure
from interp_widgets.render.look import Look

MAP = np.linspace(-1, 3, 12, dtype=np.float32).reshape(3, 4)
PICTURE = np.full((30, 40, 3), 200, dtype=np.uint8)


def drawn(**options: Any) -> tuple[Any, Image.Image]:
    given: dict[str, Any] = {"colormap": "viridis", "title": "a title"} | options
    values, picture = given.pop("values", MAP), given.pop("picture", PICTURE)
    display = given.pop("look", Look(percentile=100)).applied_to(values, signed=given.pop("signed", False))
    figure = attribution_figure(display, picture, picture, **given)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return figure, Image.open(buffer)


def test_input_map_and_overlay_stand_side_by_side_with_a_colour_bar() -> None:
    figure, image = drawn()
    assert [axes.get_title() for axes in figure.axes] == ["input", "map", "overlay", ""]
    assert image.width > 2 * image.height


def test_without_a_picture_the_map_stands_alone() -> None:
    figure, _ = drawn(picture=None)
    assert [axes.get_title() for axes in figure.axes] == ["map", ""]


@pytest.mark.parametrize(("signed", "limits"), [(False, (-1, 3)), (True, (-3, 3))])
def test_the_colour_bar_shows_the_limits_of_the_map(signed: bool, limits: tuple[float, float]) -> None:
    figure, _ = drawn(signed=signed, colormap="RdBu_r")
    assert figure.axes[1].images[0].get_clim() == limits


def test_a_clipped_colour_bar_has_arrows_and_the_figure_says_how_much_is_clipped() -> None:
    figure, _ = drawn(signed=True, look=Look(limit=2.5))  # only the largest of the 12 values, 3, is beyond
    assert figure.axes[1].images[0].get_clim() == (-2.5, 2.5)
    assert figure.axes[1].images[0].colorbar.extend == "both"
    assert figure.get_supxlabel() == "shown up to 2.5, 16.7% beyond"
    assert drawn()[0].axes[1].images[0].colorbar.extend == "neither"


def test_a_map_of_zeros_is_drawn_too() -> None:
    for signed in (False, True):
        drawn(values=np.zeros((3, 4), np.float32), signed=signed)


def test_a_class_name_is_text_and_not_a_formula() -> None:
    drawn(title=r"Grad-CAM for $\frac{1}{0$ and <img src=x onerror=alert(1)>")


def test_nothing_is_left_with_pyplot() -> None:
    drawn()
    assert not mpl._pylab_helpers.Gcf.figs  # type: ignore[attr-defined] - where pyplot keeps its figures


def test_a_notebook_shows_it_once_with_or_without_pyplots_formatter() -> None:
    figure, _ = drawn()
    shell = InteractiveShell()
    for _ in range(2):
        found, _ = shell.display_formatter.format(figure)
        assert Image.open(io.BytesIO(png_of(found["image/png"]))).width > 100
        assert set(found) == {"text/plain", "image/png"}
        select_figure_formats(shell, {"png"})


def png_of(data: bytes | str) -> bytes:
    """IPython hands out its own pictures as base64."""
    return data if isinstance(data, bytes) else base64.b64decode(data)
