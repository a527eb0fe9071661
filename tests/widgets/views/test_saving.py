"""What is saved of a view is what it shows: its map in its look, its list of values, its estimate."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

import interp_widgets as iw
from interp_widgets.errors import InputError
from interp_widgets.render.blend import enlarge
from interp_widgets.render.colours import colour_table
from interp_widgets.session import Session
from interp_widgets.widgets.kit.save import Save
from interp_widgets.widgets.views.attribution import AttributionView
from interp_widgets.widgets.views.saving import saving
from tests.render.test_svg import SVG, parsed
from tests.widgets.models import Gate, GatedModel, images, mlp


@pytest.fixture
def shown() -> Iterator[tuple[AttributionView, Save]]:
    entry = iw.zoo.load("scenes")
    session = Session(entry.model, entry.examples[0].image, preprocess=entry.preprocess, class_names=entry.class_names)
    view = AttributionView(session)
    view.wait()
    save = saving(view, "scenes")
    yield view, save
    save.close()
    view.close()
    session.close()


def pixels(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)))


def test_the_png_is_the_map_in_the_look_on_the_screen(shown: tuple[AttributionView, Save]) -> None:
    view, save = shown
    view.colormap.value = "magma"
    view.picture.opacity = 0.35
    view.picture.look = look = iw.Look(percentile=90, photo="grey")
    name, file = save.file("png")
    assert name == "scenes-grad-cam-red-disc.png"
    found, base = view.session.attribution(), view.session.picture()
    assert base is not None
    expected = found.display(look).over(enlarge(base, 11), colour_table("magma"), 0.35)  # 11 * 96 > 1024
    sheet = pixels(file)
    assert expected.shape == (1056, 1056, 3)
    margin = (sheet.shape[1] - 1056) // 2
    tops = [top for top in range(120) if np.array_equal(sheet[top : top + 1056, margin : margin + 1056], expected)]
    assert len(tops) == 1


def test_the_svg_says_what_is_shown(shown: tuple[AttributionView, Save]) -> None:
    view, save = shown
    view.picture.look = iw.Look(limit=0.125)
    root = parsed(save.file("svg")[1])
    assert root.findtext(f"{SVG}desc") == view.session.attribution().describe()
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert "0.125" in texts
    assert view.picture.note in texts


def test_the_code_has_colours_and_look_where_they_are_not_the_usual_ones(shown: tuple[AttributionView, Save]) -> None:
    view, save = shown
    name, code = save.file("code")
    assert name == "scenes-grad-cam-red-disc.py"
    assert code.endswith(b"attribution.figure()\n")
    view.colormap.value = "magma"
    view.picture.look = iw.Look(percentile=90)
    ending = b"attribution.figure(colormap='magma', look=iw.Look(percentile=90))\n"
    assert save.file("code")[1].endswith(ending)
    view.picture.opacity = 0.3
    assert b"opacity=0.3" in save.file("code")[1]


def test_another_method_is_saved_as_soon_as_it_is_shown(shown: tuple[AttributionView, Save]) -> None:
    view, save = shown
    view.session.explainer = iw.Gradient()
    view.wait()
    assert save.file("png")[0] == "scenes-gradient-red-disc.png"
    assert b"iw.Gradient()" in save.file("code")[1]


def test_a_list_of_values_is_saved_as_its_chart() -> None:
    with Session(mlp(), torch.full((1, 4), 0.5), explainer="Gradient", feature_names=["<a>", "b", "c", "d"]) as session:
        view = AttributionView(session)
        view.wait()
        save = saving(view)
        assert pixels(save.file("png")[1]).shape[1] >= 1024
        root = parsed(save.file("svg")[1])
        assert "<a> = 0.5" in [element.text for element in root.iter(f"{SVG}text")]
        assert b"iw.record(model, inputs, feature_names=('<a>', 'b', 'c', 'd'))" in save.file("code")[1]
        save.close()
        view.close()


def test_what_is_not_there_yet_or_cannot_be_is_said() -> None:
    gate = Gate()
    with Session(GatedModel(backward=gate), images(1)) as session:
        gate.shut()
        view = AttributionView(session)
        save = saving(view)
        for kind in ("png", "svg", "code"):
            with pytest.raises(InputError, match="there is nothing to save: the map is being computed"):
                save.file(kind)
        gate.open()
        view.wait()
        assert save.file("png")[1].startswith(b"\x89PNG")
        session.target = None
        view.wait()
        with pytest.raises(InputError, match="there is nothing to save: no target is chosen"):
            save.file("png")
        save.close()
        view.close()
