"""Arrays, lists and data frames of numbers, for models that take no images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import InputError
from interp_widgets.inputs import as_numbers, column_names

VALUES = [[0.25, -3.0, 2.0], [4.0, 0.5, -1.0]]


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)).eval()


class Frame:
    """What of a data frame is needed, of pandas' or another's."""

    def __init__(self, **columns: list[Any]) -> None:
        self._data = columns
        self.columns = list(columns)

    def to_numpy(self) -> np.ndarray:
        return np.array(list(self._data.values()), dtype=object).T


FRAME = Frame(age=[0.25, 4], height=[-3, 0.5], smokes=[2.0, np.float64(-1.0)])


@pytest.mark.parametrize(
    "given",
    [
        VALUES,
        tuple(map(tuple, VALUES)),
        np.array(VALUES),
        np.array(VALUES, dtype=np.float32),
        [np.array(row) for row in VALUES],
        FRAME,
    ],
)
def test_a_table_in_any_form_is_the_tensor_of_its_values(given: Any) -> None:
    expected = torch.tensor(VALUES)
    model = mlp()
    with iw.record(model, given) as trace:
        assert torch.equal(trace.output, model(expected))
    with iw.Session(model, given) as session:
        assert torch.equal(torch.cat(session.inputs), expected)
        assert session.inputs[0].dtype is torch.float32


def test_one_list_of_numbers_is_one_input_without_a_batch_axis() -> None:
    found = as_numbers([1, 2.5, True], mlp(), None)
    assert found is not None
    assert torch.equal(found, torch.tensor([1.0, 2.5, 1.0]))


def test_the_array_is_copied_so_that_a_later_write_changes_no_input() -> None:
    array = np.array(VALUES, dtype=np.float32)
    with iw.Session(mlp(), array) as session:
        array[:] = 0
        assert torch.equal(session.inputs[0], torch.tensor(VALUES[:1]))


def test_whole_numbers_are_token_ids_where_the_model_has_an_embedding() -> None:
    model = nn.Sequential(nn.Embedding(9, 3), nn.Flatten(), nn.Linear(6, 2)).eval()
    with iw.record(model, [[1, 8], [0, 3]]) as trace:
        assert torch.equal(trace.output, model(torch.tensor([[1, 8], [0, 3]])))
    plain = as_numbers([[1, 8, 2]], mlp(), None)
    assert plain is not None
    assert plain.dtype is torch.float32


def test_the_columns_of_a_frame_are_the_names_of_the_features() -> None:
    assert column_names(FRAME) == ("age", "height", "smokes")
    assert column_names(np.zeros((2, 3))) is None
    with iw.record(mlp(), FRAME) as trace:
        assert trace.feature_names == ("age", "height", "smokes")
        found = iw.Gradient()(trace, 0)
        assert found.names == ("age", "height", "smokes")
        assert found.feature_labels == ("age = 0.25", "height = -3", "smokes = 2")
    with iw.record(mlp(), FRAME, feature_names=list("abc")) as trace:
        assert trace.feature_names == ("a", "b", "c")
    with iw.Session(mlp(), FRAME) as session:
        assert session.feature_names == session.ready().feature_names == ("age", "height", "smokes")


def test_a_frame_of_pandas_with_columns_of_several_kinds_is_read() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": [1.5, 2.5], "member": [True, False], 3: [7, 8]})
    found = as_numbers(frame, mlp(), None)
    assert found is not None
    assert torch.equal(found, torch.tensor([[1.5, 1.0, 7.0], [2.5, 0.0, 8.0]]))
    assert column_names(frame) == ("age", "member", "3")
    series = as_numbers(frame["age"], mlp(), None)
    assert series is not None
    assert torch.equal(series, torch.tensor([1.5, 2.5]))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (Frame(age=[1, 2], city=["Graz", "Linz"]), "column 'city' must hold numbers, got 'Graz' in it"),
        ([[1.0, 2.0, 3.0], [1.0, 2.0]], "the rows of an input must have equally many numbers, got 3, 2"),
        ([[1.0, 2.0, 3.0], [[1.0], [2.0], [3.0]]], "the rows of an input must have equally many numbers, got"),
        (np.array([["a", "b", "c"]]), r"must hold real numbers, got a <U1 array of shape \(1, 3\)"),
        (np.zeros((1, 3), complex), r"must hold real numbers, got a complex128 array of shape \(1, 3\)"),
        (np.array([[1, None, "x"]], dtype=object), r"must hold real numbers, got a object array of shape \(1, 3\)"),
        (np.zeros((0, 3)), r"at least one number, got a float64 array of shape \(0, 3\)"),
    ],
)
def test_what_is_no_table_is_refused_in_words_about_it(given: Any, sentence: str) -> None:
    for call in (iw.record, iw.Session):
        with pytest.raises(InputError, match=sentence):
            call(mlp(), given)


def test_for_a_model_of_images_arrays_stay_images() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.LazyLinear(2)).eval()
    model(torch.zeros(1, 3, 8, 8))
    assert as_numbers(np.zeros((8, 8, 3)), model, None) is None
    assert as_numbers(np.zeros((8, 8)), mlp(), iw.Preprocess(8)) is None
    with pytest.raises(InputError, match="an image must be a path, bytes, a PIL image or an array, got list"):
        iw.record(model, VALUES)
    mlp_of_timm = mlp()
    mlp_of_timm.pretrained_cfg = {"input_size": (3, 8, 8), "mean": (0, 0, 0), "std": (1, 1, 1)}  # type: ignore[assignment]
    assert as_numbers(np.zeros((8, 8, 3)), mlp_of_timm, None) is None


def test_what_is_no_number_is_left_to_others() -> None:
    for given in ("x.png", b"x", torch.zeros(2, 3), [torch.zeros(3)], {"x": 1}, 3, [], ["x.png"], None, Frame):
        assert as_numbers(given, mlp(), None) is None
