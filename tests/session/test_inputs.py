"""The inputs of a session are read when they are looked at, and refused when they cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from interp_widgets.session import inputs as inputs_module
from interp_widgets.session.session import Session
from interp_widgets.widgets.explorer import Explorer
from tests.widgets.models import cnn


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """300 files."""
    paths = [tmp_path / f"{number}.png" for number in range(300)]
    for number, path in enumerate(paths):
        Image.new("RGB", (24, 24), (number % 256, 90, 200)).save(path)
    return paths


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was read, in order."""
    seen: list[Any] = []
    load = inputs_module.load_input

    def noted(source: Any, *arguments: Any) -> Any:
        seen.append(source)
        return load(source, *arguments)

    monkeypatch.setattr(inputs_module, "load_input", noted)
    return seen


def test_of_three_hundred_images_one_is_read_and_each_thumbnail_when_it_is_seen(
    photographs: list[Path], decoded: list[Any]
) -> None:
    with Session(cnn(), photographs) as session, Explorer(session) as explorer:
        assert explorer.wait(60)
        assert decoded == photographs[:1]
        thumbnails = explorer.controls["thumbnails"]
        assert len(thumbnails.names) == 300
        content = {"type": "need", "places": [0, 7, 8]}
        thumbnails._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
        assert explorer.wait(60)
        assert sorted(set(decoded)) == sorted([photographs[0], photographs[7], photographs[8]])
        assert len(decoded) == 3
        assert [place for place, image in enumerate(thumbnails.images) if image] == [0, 7, 8]
        thumbnails._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
        assert explorer.wait(60)
        assert len(decoded) == 3  # a page that comes back is sent what is there


def test_an_input_that_cannot_be_read_is_refused_when_it_is_looked_at(tmp_path: Path) -> None:
    good = np.zeros((8, 8, 3), np.uint8)
    with Session(cnn(), [good, tmp_path / "nowhere.png"]) as session, Explorer(session) as explorer:
        thumbnails = explorer.controls["thumbnails"]
        content = {"type": "need", "places": [0, 1]}
        thumbnails._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
        assert explorer.wait(60)
        assert [bool(image) for image in thumbnails.images] == [True, False]
        assert explorer.error == ""
        thumbnails.set_state({"selected": 1})
        assert explorer.wait(60)
        assert "no image file at" in explorer.error
        assert (session.example, thumbnails.selected) == (0, 0)


def test_a_tensor_of_the_user_is_not_copied_and_a_few_read_inputs_are_kept() -> None:
    arrays = [np.full((8, 8, 3), number, np.uint8) for number in range(9)]
    with Session(cnn(), arrays) as session:
        for example in range(9):
            session.tensor_of(example)
        assert len(session._inputs._read) == inputs_module.KEPT
        assert session.tensor_of(8) is session.tensor_of(8)
