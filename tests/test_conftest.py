"""The fixtures every test relies on do what they promise."""

from __future__ import annotations

import ipywidgets
import matplotlib as mpl
import pytest
import torch


def fail(*_: object) -> None:
    message = "from the callback"
    raise ZeroDivisionError(message)


def test_what_a_click_raises_reaches_the_test() -> None:
    button = ipywidgets.Button()
    button.on_click(fail)
    with pytest.raises(ZeroDivisionError, match="from the callback"):
        button.click()


def test_what_a_message_of_the_browser_raises_reaches_the_test() -> None:
    slider = ipywidgets.IntSlider()
    slider.observe(fail, "value")
    message = {"content": {"data": {"method": "update", "state": {"value": 3}, "buffer_paths": []}}, "buffers": []}
    with pytest.raises(ZeroDivisionError, match="from the callback"):
        slider._handle_msg(message)


@pytest.mark.parametrize("_run", [1, 2])
def test_each_test_draws_the_same_random_numbers(_run: int) -> None:
    assert torch.initial_seed() == 0
    torch.rand(3)


def test_pictures_are_drawn_without_a_window() -> None:
    assert mpl.get_backend().lower() == "agg"
