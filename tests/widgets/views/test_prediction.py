"""The prediction of a model that says one value: it is called that, and never a class."""

from __future__ import annotations

import re
from collections.abc import Iterator

import ipywidgets as widgets
import pytest
import torch
from torch import nn

import interp_widgets as iw

AS_CLASS = re.compile(r"class 0|\b1 classes|chosen class|class chosen|likeliest")


@pytest.fixture
def regression() -> Iterator[iw.Explorer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    with iw.explore(model, torch.randn(1, 4)) as explorer:
        explorer.wait()
        yield explorer


def _inside(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _inside(child)


def _said(explorer: iw.Explorer) -> Iterator[str]:
    """Every text that a widget of the Explorer holds for the page, but the tables of all words and of help."""
    for widget in _inside(explorer):
        for name, value in widget.get_state().items():
            if name not in ("_esm", "_css", "words", "topics"):  # the help is about all models
                yield f"{type(widget).__name__}.{name}: {value}"


def test_one_value_is_nowhere_called_a_class(regression: iw.Explorer) -> None:
    assert [text for text in _said(regression) if AS_CLASS.search(text) and "<img" not in text] == []
    value = float(regression.session.ready().logits[0, 0])
    classes = regression.controls["classes"]
    assert classes.names == ["one value"]
    assert classes.value == f"one value: {value:.4g}"
    assert "“one value”" in regression.status
    assert regression.attribution.label == "one value"
    assert regression.attribution.describe().startswith("Gradient for one value at ")
    shown = [words for words, _ in regression.controls["goal"].options]
    assert shown == ["the value", "what lowers it", "the channel looked at"]


def test_a_single_score_behind_a_sigmoid_stays_a_class() -> None:
    model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
    with iw.explore(model, torch.randn(1, 4)) as explorer:
        assert explorer.controls["classes"].names == ["class 0"]
        assert explorer.controls["classes"].value == ""
        assert explorer.controls["goal"].options[0][0] == "the chosen class"
