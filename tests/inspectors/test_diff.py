"""`diff`: every number beside numpy's, of models, state dicts and files."""

from __future__ import annotations

import copy
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import InputError, LayerError, ModelError
from interp_widgets.inspectors import tensors
from interp_widgets.inspectors.diff import Change

DOUBLE = 1e-12


def _only(a: Any, b: Any) -> Change:
    (row,) = iw.diff({"w": a}, {"w": b}).rows
    return row


def _matches(row: Change, a: torch.Tensor, b: torch.Tensor) -> None:
    """The numbers of two tensors in plain numpy."""
    left, right = (each.detach().double().numpy() for each in (a, b))
    difference = right - left
    assert row.change == pytest.approx(np.sqrt((difference**2).sum()), rel=DOUBLE)
    norm, other = np.sqrt((left**2).sum()), np.sqrt((right**2).sum())
    if norm > 0:
        assert row.relative == pytest.approx(row.change / norm, rel=DOUBLE)
        assert row.cosine == pytest.approx((left * right).sum() / (norm * other), rel=DOUBLE)
    assert row.largest == np.abs(difference).max()
    if row.change:
        assert row.filter == np.unravel_index(np.abs(difference).argmax(), difference.shape or (1,))[0]


def test_the_numbers_of_known_tensors() -> None:
    a = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    row = _only(a, torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
    assert row == Change(
        path="w",
        where="both",
        shape=(2, 2),
        change=3.0,
        relative=0.6,
        largest=3.0,
        filter=1,
        cosine=pytest.approx(13 / (5 * math.sqrt(10)), rel=DOUBLE),
        nonfinite=0,
    )


def test_every_tensor_of_two_resnets_is_as_numpy_has_it() -> None:
    models = [torchvision.models.resnet18().layer1 for _ in range(2)]
    with torch.no_grad():
        models[1][0].conv1.weight[7] += 1
    states = [model.state_dict() for model in models]
    report = iw.diff(*models)
    assert {row.path for row in report.rows} == set(states[0])
    for row in report.rows:
        _matches(row, states[0][row.path], states[1][row.path])
    changed = [row.relative for row in report.rows]
    assert changed == sorted(changed, reverse=True)
    assert next(row for row in report.rows if row.path == "0.conv1.weight").filter == 7


def test_equal_models_have_no_change() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    report = iw.diff(model, copy.deepcopy(model))
    assert {row.relative for row in report.rows} == {0.0}
    assert {row.filter for row in report.rows} == {None}
    assert list(report.notes()) == ["7 tensors in both: 0 changed, 7 equal"]


def test_buffers_are_compared_too_and_a_change_from_zero_is_infinite() -> None:
    a, b = (nn.BatchNorm2d(4) for _ in range(2))
    b.train()(torch.rand(3, 4, 2, 2))
    rows = {row.path: row for row in iw.diff(a, b).rows}
    assert rows["num_batches_tracked"].relative == math.inf
    assert (rows["num_batches_tracked"].change, rows["num_batches_tracked"].cosine) == (1.0, None)
    assert (rows["weight"].relative, rows["bias"].relative) == (0.0, 0.0)
    _matches(rows["running_var"], a.running_var, b.running_var)  # type: ignore[arg-type]  # both track


def test_what_is_in_one_only_or_has_another_shape_stands_first() -> None:
    a = {"same": torch.ones(2), "gone": torch.ones(3), "head": torch.ones(10, 4)}
    b = {"same": torch.zeros(2), "new": torch.ones(()), "head": torch.ones(7, 4)}
    report = iw.diff(a, b)
    found = [(row.path, row.where, row.shape, row.other_shape, row.relative) for row in report.rows]
    assert found == [
        ("gone", "only a", (3,), None, None),
        ("head", "other shape", (10, 4), (7, 4), None),
        ("new", "only b", (), None, None),
        ("same", "both", (2,), None, 1.0),
    ]
    assert list(report.notes()) == [
        "1 tensors in both: 1 changed, 0 equal",
        "1 only in a, 1 only in b, 1 of another shape",
    ]
    assert "10\N{MULTIPLICATION SIGN}4 / 7\N{MULTIPLICATION SIGN}4" in str(report)


def test_names_of_a_wrapped_model_are_those_of_the_model() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    other = copy.deepcopy(model)
    for wrapped in (nn.DataParallel(other), {f"_orig_mod.module.{n}": t for n, t in other.state_dict().items()}):
        for pair in ((model, wrapped), (wrapped, model)):
            report = iw.diff(*pair)
            assert [(row.path, row.where) for row in report.rows] == [("0.weight", "both"), ("0.bias", "both")]
        assert {row.where for row in iw.diff(wrapped, wrapped).rows} == {"both"}


def test_the_change_of_each_filter_is_relative_to_that_filter() -> None:
    a, b = nn.Conv2d(3, 5, 3), nn.Conv2d(3, 5, 3)
    with torch.no_grad():
        b.weight[2] = a.weight[2]
        a.weight[3] = 0
        a.weight[4] = b.weight[4] = 0
    report = iw.diff(a, b)
    left, right = (each.weight.detach().double().numpy().reshape(5, -1) for each in (a, b))
    expected = [np.linalg.norm(right[i] - left[i]) / np.linalg.norm(left[i]) for i in range(2)]
    assert report.filters("weight") == pytest.approx([*expected, 0.0, math.inf, 0.0], rel=DOUBLE)
    assert report.filters("bias").shape == (5,)


def test_filters_of_a_transposed_convolution_are_its_output_channels() -> None:
    a = nn.ConvTranspose2d(4, 6, 3, groups=2)
    b = copy.deepcopy(a)
    with torch.no_grad():
        b.weight[2:, 1] *= 1.5  # of the second group the second output channel: channel 3 + 1
    for pair in ((a, b), (a.state_dict(), b), (a, b.state_dict())):
        report = iw.diff(*pair)
        assert report.filters("weight") == pytest.approx([0, 0, 0, 0, 0.5, 0], abs=1e-7)  # 1.5 w is rounded
        assert next(row for row in report.rows if row.path == "weight").filter == 4


def test_blocks_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = torch.randn(11, 4, 3), torch.randn(11, 4, 3)
    b[8, 1, 2] = 9
    monkeypatch.setattr(tensors, "BLOCK", 30)  # two rows of 12
    report = iw.diff({"w": a}, {"w": b})
    _matches(report.rows[0], a, b)
    assert report.rows[0].filter == 8
    assert report.filters("w").shape == (11,)


def test_values_that_are_not_finite_are_counted_and_left_out() -> None:
    nan, infinity = math.nan, math.inf
    a = torch.tensor([nan, infinity, infinity, 1.0, nan, 3.0])
    b = torch.tensor([nan, infinity, -infinity, nan, 2.0, 5.0])
    report = iw.diff({"w": a}, {"w": b})
    row = report.rows[0]
    assert (row.change, row.largest, row.filter, row.nonfinite) == (2.0, 2.0, 5, 3)
    assert row.relative == pytest.approx(2 / 3, rel=DOUBLE)
    assert "w: 3 values are NaN or infinite in one of the two" in report.notes()
    same = iw.diff({"w": a}, {"w": a.clone()})
    assert (same.rows[0].change, same.rows[0].nonfinite) == (0.0, 0)
    lost = iw.diff({"w": torch.ones(2)}, {"w": torch.full((2,), nan)})
    assert lost.notes()[0] == "1 tensors in both: 1 changed, 0 equal"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (torch.randn(3, 2), torch.randn(3, 2).half()),
        (torch.tensor([1, 2]), torch.tensor([3, 2])),
        (torch.tensor([True, False]), torch.tensor([True, True])),
        (torch.tensor([[0.0, 1.0]]).to_sparse(), torch.tensor([[2.0, 1.0]])),
        (torch.tensor(2.0), torch.tensor(3.0)),
    ],
    ids=["half", "whole numbers", "truth values", "sparse", "a scalar"],
)
def test_tensors_of_any_numbers_are_compared_in_double_precision(a: torch.Tensor, b: torch.Tensor) -> None:
    _matches(_only(a, b), a.to_dense(), b)


def test_complex_tensors_are_compared_by_size() -> None:
    a, b = torch.tensor([[1 + 1j, 2]]), torch.tensor([[1 - 1j, 2]])
    row = _only(a, b)
    assert (row.change, row.largest) == (2.0, 2.0)
    assert row.relative == pytest.approx(2 / math.sqrt(6), rel=DOUBLE)
    assert row.cosine == pytest.approx(4 / 6, rel=DOUBLE)  # real part of (1 - i)(1 - i) + 4, which is 4 - 2i
    assert _only(a.real, b).change == pytest.approx(1, rel=DOUBLE)


def test_tensors_without_values_say_why_they_are_not_compared() -> None:
    report = iw.diff(nn.Linear(2, 3, device="meta"), nn.Linear(2, 3))
    assert [(row.change, row.where) for row in report.rows] == [(None, "both")] * 2
    assert "weight: on the meta device: it has a shape and no values" in report.notes()
    lazy = iw.diff(nn.LazyLinear(3), nn.Linear(2, 3))
    assert [(row.where, row.shape, row.other_shape) for row in lazy.rows if row.path == "weight"] == [
        ("both", None, None)
    ]
    assert "weight: lazy: it gets its shape in the first pass" in lazy.notes()


def test_models_without_tensors_do_not_differ() -> None:
    report = iw.diff(nn.ReLU(), {})
    assert (report.rows, list(report.notes())) == ((), ["0 tensors in both: 0 changed, 0 equal"])
    assert report._repr_html_()
    assert _only(torch.zeros(0, 3), torch.zeros(0, 3)).change == 0


# Files


def test_files_are_compared_with_models(tmp_path: Path) -> None:
    model = nn.Conv2d(3, 4, 3)
    state = {name: tensor * 2 for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "b.safetensors")
    torch.save(state, tmp_path / "b.pt")
    torch.save(state, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    for file in ("b.safetensors", "b.pt", "b.pth"):
        report = iw.diff(model, tmp_path / file)
        assert [row.relative for row in report.rows] == [1.0, 1.0]
        assert iw.diff(str(tmp_path / file), tmp_path / file).notes()[0].endswith("0 changed, 2 equal")


class Bomb:
    """What pickle makes of it runs code."""

    def __reduce__(self) -> Any:
        return exec, ("import sys; sys.exploded = True",)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path, is_new: bool) -> None:
    torch.save({"w": torch.ones(2), "bomb": Bomb()}, tmp_path / "a.pt", _use_new_zipfile_serialization=is_new)
    with pytest.raises(InputError, match=r"weights_only=True\), which runs no code from it: save the state dict alone"):
        iw.diff(tmp_path / "a.pt", {})
    assert not hasattr(sys, "exploded")


def test_a_file_with_a_whole_model_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model.pt' cannot be read .* torch.save\(model.state_dict\(\), path\)"):
        iw.diff(nn.Linear(2, 2), tmp_path / "model.pt")


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"nonsense", bytes(range(256)) * 9])
def test_a_broken_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}' cannot be read"):
        iw.diff({}, tmp_path / name)


@pytest.mark.parametrize(
    ("given", "kind", "sentence"),
    [
        (None, ModelError, "b must be a torch.nn.Module, a state dict or the path of a file with one, got None"),
        ("weights.bin", InputError, "must end in .safetensors, .pt or .pth, got 'weights.bin'"),
        ("no.safetensors", InputError, "no file is at 'no.safetensors'"),
        ({"x": 3}, InputError, "b must hold tensors by name, as a state dict does, got {'x': 3}"),
    ],
)
def test_what_is_no_model_is_refused_in_words(given: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        iw.diff({}, given)


def test_a_checkpoint_with_more_than_a_state_dict_says_where_that_is(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": nn.Linear(2, 2).state_dict()}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"a.pt' must hold tensors by name, .*; give the one .* at 'state_dict'"):
        iw.diff(tmp_path / "a.pt", {})


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("v", LayerError, "no tensor is named 'v'"),
        (3, LayerError, "no tensor is named 3"),
        ("gone", InputError, "gone has no change by filter: it is in one of the two only"),
        ("head", InputError, "head has no change by filter: its shape is another in b"),
        ("scalar", InputError, "scalar has no filters: it is a single number"),
    ],
)
def test_filters_that_cannot_be_compared_are_refused(name: Any, kind: type[Exception], sentence: str) -> None:
    a = {"scalar": torch.ones(()), "gone": torch.ones(2), "head": torch.ones(2)}
    report = iw.diff(a, {"scalar": torch.ones(()), "head": torch.ones(3)})
    with pytest.raises(kind, match=sentence):
        report.filters(name)


def test_the_table_is_text_html_and_a_data_frame() -> None:
    report = iw.diff({"<b>": torch.ones(2)}, {"<b>": torch.zeros(2)})
    assert "<b>" not in report._repr_html_()
    frame = pytest.importorskip("pandas") and report.to_dataframe()
    assert frame["relative"].tolist() == [1.0]
