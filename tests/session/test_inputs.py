"""The inputs of a session are read when they are looked at, and refused when they cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

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
