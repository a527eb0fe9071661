"""The inputs of a session are read when they are looked at, and refused when they cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ipywidgets import BoundedIntText
from PIL import Image
from torch import nn

from interp_widgets.errors import InputError, InterpError
from interp_widgets.session import inputs as inputs_module
from interp_widgets.session.session import Session
from interp_widgets.widgets.explorer import Explorer
from interp_widgets.widgets.views.inputs import PAGE
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


# Rows of a table


class Recurrent(nn.Module):
    """Reads a sequence ``(T, 4)`` without a batch axis, or a batch of them ``(N, T, 4)``."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.LSTM(4, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.memory(x)
        return self.head(states[..., -1, :])


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


def whole() -> nn.Module:
    """Takes all 6 rows together: no part of them is an input."""
    return nn.Sequential(nn.Flatten(0), nn.Linear(24, 3), nn.Unflatten(0, (1, 3))).eval()


@pytest.mark.parametrize(
    ("model", "shape", "count"),
    [
        (mlp, (6, 4), 6),
        (mlp, (1, 4), 1),
        (mlp, (4,), 1),
        (Recurrent, (6, 4), 1),
        (Recurrent, (2, 6, 4), 2),
        (whole, (6, 4), 1),
    ],
)
def test_the_rows_of_a_table_are_inputs_where_each_is_an_example(
    model: Callable[[], nn.Module], shape: tuple[int, ...], count: int
) -> None:
    table = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    network = model().eval()
    with Session(network, table) as session:
        assert len(session.inputs) == count
        session.example = count - 1
        expected = network(table)
        expected = expected[-1:] if count > 1 else expected
        assert torch.allclose(session.ready().output, expected, atol=1e-6)


def test_of_a_hundred_thousand_rows_only_two_and_the_one_looked_at_are_run() -> None:
    table = torch.randn(100_000, 4, generator=torch.Generator().manual_seed(1))
    model = mlp()
    rows: list[int] = []
    model[0].register_forward_pre_hook(lambda _module, given: rows.append(len(given[0])))
    with Session(model, table) as session:
        session.example = 99_999
        assert torch.equal(session.tensor_of(99_999), table[-1:])
        assert session.name_of(99_999) == "input 100000"
        assert max(rows) == 2
        assert len(rows) < 10  # each pass is done twice where its replay is to be proven


def test_of_very_many_rows_those_around_the_present_one_have_a_thumbnail() -> None:
    table = torch.randn(100_000, 4, generator=torch.Generator().manual_seed(1))
    with Session(mlp(), table) as session, Explorer(session) as explorer:
        assert explorer.wait(60)
        thumbnails = explorer.controls["thumbnails"]
        number = next(child for child in explorer.views[0].parts if isinstance(child, BoundedIntText))
        assert (len(thumbnails.names), thumbnails.names[-1]) == (PAGE, f"input {PAGE}")
        assert (number.max, number.layout.display) == (100_000, "")
        number.set_state({"value": 70_002})
        assert explorer.wait(60)
        assert session.example == 70_001
        first = 70_001 // PAGE * PAGE
        assert (thumbnails.selected, thumbnails.numbers[0]) == (70_001 - first, first + 1)
        thumbnails.set_state({"selected": 3})
        assert explorer.wait(60)
        assert (session.example, number.value) == (first + 3, first + 4)
        assert torch.equal(session.tensor_of(session.example), table[first + 3 : first + 4])
        number.set_state({"value": first + 9})
        assert explorer.wait(60)
        assert (session.example, thumbnails.selected) == (first + 8, 8)


def test_few_inputs_have_no_field_for_their_number() -> None:
    with Session(cnn(), [np.zeros((8, 8, 3), np.uint8)] * 3) as session, Explorer(session) as explorer:
        number = next(child for child in explorer.views[0].parts if isinstance(child, BoundedIntText))
        assert number.layout.display == "none"


# Adding and removing


def grey(value: int) -> np.ndarray:
    return np.full((8, 8, 3), value, np.uint8)


def test_the_same_file_is_looked_at_again_unless_it_was_written_since(tmp_path: Path) -> None:
    path, other = tmp_path / "a.png", tmp_path / "b.png"
    for each in (path, other):
        Image.new("RGB", (9, 9), "red").save(each)
    with Session(cnn(), [grey(0), path]) as session:
        session.add(path.read_bytes(), "sent")
        assert (session.example, session.input_count) == (2, 3)
        session.add(str(tmp_path / "." / "a.png"))
        assert (session.example, session.input_count) == (1, 3)
        session.add(path.read_bytes(), "sent once more")
        assert (session.example, session.input_count, session.name_of(2)) == (2, 3, "sent")
        session.add(other)  # the same pixels, another file
        assert (session.example, session.input_count) == (3, 4)
        Image.new("RGB", (19, 9), "blue").save(path)
        session.add(path)
        assert (session.example, session.input_count) == (4, 5)
        picture = session.picture()
        assert picture is not None
        assert picture[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize(("present", "removed", "then"), [(0, 2, 0), (2, 0, 1), (1, 1, 1), (2, 2, 1), (0, 0, 0)])
def test_a_removed_input_is_gone_and_the_others_keep_name_label_and_picture(
    present: int, removed: int, then: int
) -> None:
    names, labels, values = ["a", "b", "c"], [0, 1, 2], [10, 120, 250]
    with Session(cnn(), [grey(value) for value in values], names=names, labels=labels) as session:
        session.example = present
        recordings, seen = session.recordings, []
        session.observe(lambda _change: seen.append((session.example, session.input_count)), ["example", "input_count"])
        session.remove(removed)
        left = [place for place in range(3) if place != removed]
        assert [session.name_of(place) for place in range(2)] == [names[place] for place in left]
        assert [session.label_of(place) for place in range(2)] == left
        assert [int(source[0, 0, 0]) for source in session.inputs] == [values[place] for place in left]
        assert session.example == then
        assert all(example < count for example, count in seen)
        assert session.recordings - recordings == (present == removed)  # only what is looked at anew is run
        expected = session.tensor_of(then)
        assert torch.equal(session.ready().activation("input"), expected)


def test_a_name_and_place_without_a_name_stay_when_others_go() -> None:
    with Session(cnn(), [grey(0), grey(1), grey(2)]) as session:
        session.add(grey(3))
        session.remove(0)
        session.remove(0)
        assert [session.name_of(place) for place in range(2)] == ["input 3", "input 4"]
        session.example = 0
        assert "inputs[2]" in session.code()
        session.add(grey(4))
        assert session.name_of(2) == "input 5"


def test_the_only_input_and_one_that_is_not_there_cannot_be_removed() -> None:
    with Session(cnn(), [grey(0), grey(1)]) as session:
        for wrong in (2, -1, "x", True, 1.0):
            with pytest.raises(InterpError, match=r"example must be (in 0\.\.1|a whole number of 0 or more)"):
                session.remove(wrong)  # type: ignore[arg-type]
        session.remove(1)
        with pytest.raises(InputError, match="the only input cannot be removed: add another one first"):
            session.remove(0)
        assert session.input_count == 1


def test_what_is_looked_at_is_not_removed_where_its_neighbour_cannot_be_read(tmp_path: Path) -> None:
    with Session(cnn(), [grey(0), tmp_path / "nowhere.png"]) as session:
        with pytest.raises(InputError, match="no image file at"):
            session.remove(0)
        assert (session.example, session.input_count) == (0, 2)


def test_delete_and_the_cross_remove_a_thumbnail_and_keep_the_pictures_of_the_others() -> None:
    with Session(cnn(), [grey(0), grey(120), grey(250)]) as session, Explorer(session) as explorer:
        thumbnails = explorer.controls["thumbnails"]
        _tell(thumbnails, type="need", places=[0, 1, 2])
        assert explorer.wait(60)
        before = list(thumbnails.images)
        _tell(thumbnails, type="remove", place=1)
        assert explorer.wait(60)
        assert thumbnails.images == [before[0], before[2]]
        assert (thumbnails.numbers, thumbnails.names) == ([1, 3], ["input 1", "input 3"])
        _tell(thumbnails, type="remove", place=0)
        assert explorer.wait(60)
        assert (session.input_count, thumbnails.removable) == (1, False)
        _tell(thumbnails, type="remove", place=0)
        assert explorer.wait(60)
        assert (session.input_count, explorer.error) == (1, "")


def _tell(widget: Any, **content: Any) -> None:
    """What the browser sends."""
    widget._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


@pytest.mark.parametrize("typed", ['"{path}"', "'{path}' ", "  {path}", "file://{path}", '"file:{path}"', "“{path}”"])
def test_a_path_may_be_typed_with_quotes_and_spaces_and_as_an_address(tmp_path: Path, typed: str) -> None:
    path = tmp_path / "a cat.png"
    Image.new("RGB", (9, 9), "red").save(path)
    with Session(cnn(), grey(0)) as session, Explorer(session) as explorer:
        written = str(path).replace(" ", "%20") if "file:" in typed else str(path)
        explorer.controls["path"].set_state({"value": typed.format(path=written)})
        assert explorer.wait(60)
        assert (explorer.error, session.inputs[-1], session.name_of(1)) == ("", str(path), "a cat.png")
