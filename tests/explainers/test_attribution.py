"""An attribution as a picture: its look, its overlay, and what a notebook shows of it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

import interp_widgets as iw
from interp_widgets.errors import LayoutError, ParameterError
from interp_widgets.inputs import to_picture
from interp_widgets.render.blend import lightened
from interp_widgets.render.colours import colour_table


def attribution(*shape: int, signed: bool = True, background: bool = True) -> iw.Attribution:
    """Values with long tails, as maps at the input's resolution have."""
    random = np.random.default_rng(3)
    values = random.standard_t(2, size=shape)
    return iw.Attribution(
        values=torch.tensor(values if signed else np.abs(values), dtype=torch.float32),
        method="Grad-CAM",
        layer="conv1",
        target=iw.ClassScore(2),
        score=1.25,
        signed=signed,
        label="cat",
        background=torch.rand(3, 70, 80) if background else None,
    )


def shown(found: iw.Attribution) -> dict[str, Any]:
    """What a notebook without any magic shows of the last value of a cell."""
    data, _ = InteractiveShell().display_formatter.format(found)
    return dict(data)


@pytest.mark.parametrize("shape", [(70, 80), (5,)])
def test_a_notebook_shows_a_map_or_a_list_as_its_figure_and_a_short_text(shape: tuple[int, ...]) -> None:
    found = attribution(*shape)
    data = shown(found)
    assert set(data) == {"image/png", "text/plain"}
    picture = Image.open(io.BytesIO(data["image/png"]))
    assert picture.size == tuple(int(side) for side in found.figure().get_size_inches() * found.figure().dpi)
    size = " x ".join(map(str, shape))
    assert data["text/plain"] == f"<Attribution: Grad-CAM for cat at conv1, score 1.25, {size} values>"


def test_other_values_are_shown_as_text_alone() -> None:
    assert set(shown(attribution(2, 3, 4))) == {"text/plain"}
    assert set(shown(attribution(0, 4))) == {"text/plain"}


def test_the_overlay_is_the_map_over_the_light_photo_enlarged_to_320_pixels() -> None:
    found = attribution(70, 80)
    overlay = found.overlay()
    assert overlay.shape == (280, 320, 3)
    flat = iw.Look(limit=1e9, photo="grey", by_strength=True)  # nothing is strong enough to be seen
    photo = lightened(to_picture(found.background)).astype(int)
    assert np.abs(found.overlay(look=flat)[1::4, 1::4].astype(int) - photo).mean() < 8  # enlarged smoothly: not exact
    even = found.overlay("PuOr_r", 1.0, look=iw.Look(limit=1e-9))
    ends = colour_table("PuOr_r")[[0, 255]].tolist()
    assert np.isin(even.reshape(-1, 3).tolist(), ends).all(axis=1).mean() > 0.9


def test_pixels_follow_the_look_and_alpha_the_strength() -> None:
    found = attribution(70, 80)
    alphas = found.pixels()[..., 3]
    assert alphas.min() < 30
    assert alphas.max() == 255
    assert found.pixels(alpha=0.5)[..., 3].max() == 128
    largest = found.pixels(look=iw.Look(percentile=100))
    assert (largest[..., 3] == 255).all()
    row, column = np.unravel_index(int(np.abs(found.array).argmax()), found.array.shape)
    assert largest[row, column, :3].tolist() in colour_table("RdBu_r")[[0, 255]].tolist()


def test_the_strongest_percent_have_the_ends_colours_and_not_the_strongest_alone() -> None:
    found = attribution(70, 80)
    look = iw.Look()
    pixels, ends = found.pixels(look=look)[..., :3], colour_table("RdBu_r")[[0, 255]]
    is_end = (pixels[:, :, None] == ends).all(axis=-1).any(axis=-1)
    # the last colour begins half a step of 255 before the end
    limit = np.percentile(np.abs(found.array), 99)
    np.testing.assert_array_equal(is_end, np.abs(found.array) >= limit * (1 - 1 / 255))
    assert found.display(look).note.startswith("shown up to percentile 99 (")


def test_values_stay_what_they_are() -> None:
    found = attribution(70, 80)
    before = found.values.clone()
    found.figure()
    found.pixels()
    assert torch.equal(found.values, before)


def test_what_cannot_be_drawn_is_refused_in_words() -> None:
    with pytest.raises(LayoutError, match="the input is no image that a map could lie over"):
        attribution(4, 4, background=False).overlay()
    with pytest.raises(LayoutError, match=r"this attribution has shape \(2, 3, 4\)"):
        attribution(2, 3, 4).overlay()
    with pytest.raises(ParameterError, match=r"look must be an iw\.Look; got 0\.99"):
        attribution(4, 4).pixels(look=0.99)  # type: ignore[arg-type] - on purpose
    with pytest.raises(ParameterError, match=r"opacity must be in 0\.\.1, got 2"):
        attribution(4, 4).overlay(opacity=2)


def test_the_figures_overlay_is_as_opaque_as_asked() -> None:
    found = attribution(70, 80)
    for opacity in (0.2, 1.0):
        *_, overlay = found.figure("viridis", opacity).axes[:3]
        drawn = np.asarray(overlay.images[0].get_array())
        assert np.array_equal(drawn, found.overlay("viridis", opacity))
    with pytest.raises(ParameterError, match=r"opacity must be .*, got 7"):
        found.figure(opacity=7)


@pytest.mark.parametrize(
    ("method", "label"), [(iw.InputXGradient(), "contribution to the score"), (iw.Gradient(), "size, without a sign")]
)
def test_a_chart_says_whether_its_bars_have_a_sign(method: iw.Explainer, label: str) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(30, 2)).eval()
    panel = method(iw.record(model, torch.rand(1, 30)), 1).figure().axes[0]
    assert panel.get_xlabel() == f"{label}; 10 smaller ones are not shown"
