"""What every widget of the kit sends: a few lines, and a reference to its class's code, which the kernel holds once."""

from __future__ import annotations

import json

import pytest
from ipywidgets.embed import dependency_state

from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget
from interp_widgets.widgets.kit.image_taker import ImageTaker
from interp_widgets.widgets.kit.menu import Menu
from interp_widgets.widgets.kit.picture import Picture
from interp_widgets.widgets.kit.slider import Slider
from interp_widgets.widgets.kit.status_line import StatusLine

MOST_BYTES = 2300  # of what all widgets of the kit have in common; the loader is 1,700 of them


def test_instances_of_a_class_share_its_code_and_other_classes_have_their_own() -> None:
    first, second, other = Slider(), Slider(), Menu()
    assert first._code is second._code
    assert first._code is not other._code
    assert first._code.text == module("slider")
    for widget in (first, second, other):
        widget.close()


def test_an_instance_sends_a_reference_instead_of_the_code() -> None:
    line = StatusLine()
    state = line.get_state()
    assert state["_code"] == f"IPY_MODEL_{line._code.model_id}"
    assert len(json.dumps(state)) < MOST_BYTES
    assert "_css" not in state
    line.close()


def test_code_that_somebody_closed_is_made_anew() -> None:
    first = Slider()
    first._code.close()
    second = Slider()
    assert second._code is not first._code
    first.close()
    assert second._code.comm is not None
    second.close()


def test_the_last_widget_that_is_closed_closes_the_code() -> None:
    first, second = Slider(), Slider()
    code = first._code
    first.close()
    first.close()
    assert code.comm is not None
    second.close()
    assert code.comm is None
    third = Slider()
    assert third._code is not code
    third.close()


def test_an_exported_page_holds_the_code_once() -> None:
    pictures = [Picture(), Picture()]
    state = dependency_state(pictures)
    codes = [model for model in state.values() if model["model_name"] == "WidgetModel"]
    assert [code["state"]["text"] for code in codes] == [module("picture")]
    for picture in pictures:
        picture.close()


KINDS = [*BrowserWidget.__subclasses__(), *ImageTaker.__subclasses__()]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not ImageTaker])
def test_every_widget_has_a_text_that_renders(kind: type[BrowserWidget]) -> None:
    assert "export default {" in kind._text
    assert "render" in kind._text


def test_the_code_is_a_model_that_every_host_knows_without_a_view() -> None:
    code = Slider()._code
    assert (code._model_module, code._model_name, code._view_name) == ("@jupyter-widgets/base", "WidgetModel", None)
