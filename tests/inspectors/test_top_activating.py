"""The largest activations and their regions, against sorting all of them and receptive fields worked out by hand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import InputError, LayerError, ParameterError, StaleError
from interp_widgets.inspectors.kept_search import checksum_of_model

FLOATS = {"rel": 1e-5, "abs": 1e-6}  # the same values from passes over batches of another size, in float32


def smooth() -> nn.Sequential:
    """Convolutions and functions without a flat part, so that a gradient is zero only outside the receptive field."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Tanh(), nn.Conv2d(4, 5, 3, dilation=2), nn.AvgPool2d(2, stride=1)
    ).eval()


# What each layer of it does along a side: kernel, stride, padding, dilation.
STEPS = ((3, 2, 1, 1), (1, 1, 0, 1), (3, 1, 0, 2), (2, 1, 0, 1))


def images(count: int = 23) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(count, 3, 21, 25)


def field(layer: int, place: int, length: int) -> tuple[int, int]:
    """Where the receptive field of a position begins and ends, by going back through the layers one by one."""
    first = last = place
    for kernel, stride, padding, dilation in reversed(STEPS[: layer + 1]):
        first = first * stride - padding
        last = last * stride - padding + dilation * (kernel - 1)
    return max(0, first), min(length, last + 1)


def reference(values: torch.Tensor, k: int, by: str) -> tuple[list[list[int]], list[list[float]]]:
    """The k largest of each channel by sorting all inputs in plain Python, which keeps the order of equal ones."""
    numbers, found = [], []
    for channel in values.double().flatten(2).unbind(dim=1):
        compared = (channel.amax(dim=1) if by == "maximum" else channel.mean(dim=1)).tolist()
        best = sorted(range(len(compared)), key=lambda number: -compared[number])[:k]
        numbers.append(best)
        found.append([compared[number] for number in best])
    return numbers, found


@pytest.mark.parametrize("by", ["maximum", "mean"])
@pytest.mark.parametrize("channel", [None, 3, [4, 0]])
def test_the_largest_activations_are_those_of_sorting_all(by: Any, channel: Any) -> None:
    model, inputs = smooth(), images()
    top = iw.top_activating(model, "2", channel, inputs.split(5), k=6, by=by)
    channels = range(5) if channel is None else [channel] if isinstance(channel, int) else channel
    with torch.no_grad():
        values = model[:3](inputs)[:, list(channels)]
    numbers, found = reference(values, 6, by)
    assert top.channels == tuple(channels)
    assert top.indices.tolist() == numbers
    assert top.values == pytest.approx(np.array(found), **FLOATS)
    for row, place in itertools.product(range(len(numbers)), range(6)):
        highest = values[numbers[row][place], row]
        assert tuple(top.positions[row, place]) == np.unravel_index(int(highest.argmax()), highest.shape)
    assert (top.inputs, top.batches, top.total_batches) == (23, 5, 5)


def test_of_equal_activations_the_earlier_input_comes_first() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False))
    nn.init.ones_(model[0].weight)
    levels = torch.tensor([1.0, 2.0, 1.0, 2.0, 2.0, 1.0, 2.0])
    inputs = levels.reshape(7, 1, 1, 1).expand(7, 1, 2, 2)
    for size in (1, 2, 3, 7):
        top = iw.top_activating(model, "0", None, inputs.split(size), k=3)
        assert top.indices.tolist() == [[1, 3, 4]] * 2
        assert top.positions.tolist() == [[[0, 0]] * 3] * 2  # of equal positions the first


def test_a_loader_with_fewer_inputs_than_k_gives_all_of_them() -> None:
    top = iw.top_activating(smooth(), "2", [1], images(4), k=9)
    assert sorted(top.indices[0].tolist()) == [0, 1, 2, 3]
    assert top.values.shape == (1, 4)


@pytest.mark.parametrize("layer", [0, 2, 3])
def test_a_region_is_exactly_the_receptive_field_worked_out_by_hand(layer: int) -> None:
    inputs = images()
    top = iw.top_activating(smooth(), str(layer), None, inputs.split(5), k=8)
    for row, channel in enumerate(top.channels):
        expected = []
        for down, across in top.positions[row].tolist():
            (upper, lower), (left, right) = field(layer, down, 21), field(layer, across, 25)
            expected.append([left, upper, right, lower])
        assert top.boxes(channel).tolist() == expected
        for number, crop, (left, upper, right, lower) in zip(
            top.indices[row].tolist(), top.crops(channel), expected, strict=True
        ):
            assert torch.equal(crop, inputs[number, :, upper:lower, left:right])


def test_channels_of_one_layer_have_receptive_fields_of_their_own() -> None:
    class Branches(nn.Module):
        """One channel looks at a pixel, the other at 5 x 5."""

        def __init__(self) -> None:
            super().__init__()
            self.near, self.far, self.join = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 5, padding=2), nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            both = torch.cat([self.near(x), self.far(x)], dim=1)
            return self.join(both)

    torch.manual_seed(0)
    inputs = torch.zeros(1, 1, 9, 9)
    inputs[0, 0, 4, 4] = 5.0
    model = Branches()
    with torch.no_grad():
        model.near.weight.fill_(1.0)
        model.far.weight.uniform_(0.1, 0.2)
        model.far.weight[0, 0, 2, 2] = 1.0
    top = iw.top_activating(model, "join", None, inputs)
    assert [top.boxes(channel).tolist() for channel in (0, 1)] == [[[4, 4, 5, 5]], [[2, 2, 7, 7]]]


def test_a_region_behind_a_relu_is_the_support_of_torchs_own_gradient() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3)).eval()
    inputs = images(6)
    top = iw.top_activating(model, "3", [2], inputs, k=6)
    for number, position, region in zip(top.indices[0], top.positions[0], top.regions(2), strict=True):
        given = inputs[number : number + 1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(given)[0, 2, position[0], position[1]], given)
        support = gradient[0].abs().amax(dim=0).nonzero()
        (upper, left), (lower, right) = support.amin(dim=0).tolist(), (support.amax(dim=0) + 1).tolist()
        assert region == (slice(0, 3), slice(upper, lower), slice(left, right))


def test_a_unit_that_never_fires_is_shown_where_it_lies_in_the_map() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3, stride=2, padding=1), nn.ReLU())
    nn.init.constant_(model[0].bias, -100.0)
    top = iw.top_activating(model, "1", [0], images(2), k=1)
    assert (top.values.tolist(), top.positions.tolist()) == ([[0.0]], [[[0, 0]]])
    assert top.boxes(0).tolist() == [[0, 0, 2, 2]]  # one of 11 x 13 cells of 21 x 25 pixels


def test_whole_numbers_are_shown_where_the_unit_lies_among_them() -> None:
    model = nn.Sequential(nn.Embedding(10, 4))
    words = torch.tensor([[1, 2, 3], [4, 5, 6]])
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].weight[5, 2] = 1.0
    top = iw.top_activating(model, "0", 2, words, k=1)
    assert (top.indices.tolist(), top.positions.tolist()) == ([[1]], [[[1]]])
    assert top.regions(2) == [(slice(1, 2),)]
    assert top.crops(2)[0].tolist() == [5]
    with pytest.raises(InputError, match=r"inputs of shape \(3,\) are no images"):
        top.boxes(2)
    assert "<table>" in top._repr_html_()


def test_a_layer_without_positions_sees_the_whole_image() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.LazyLinear(5))
    model(images(1))
    top = iw.top_activating(model, "3", 1, images(), k=2)
    assert top.positions.shape == (1, 2, 0)
    assert top.boxes(1).tolist() == [[0, 0, 25, 21]] * 2


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_are_compared_as_they_are(kind: torch.dtype) -> None:
    model = smooth().to(kind)
    with torch.no_grad():
        numbers, found = reference(model(images().to(kind)), 4, "maximum")
    top = iw.top_activating(model, "3", None, images().to(kind), k=4)
    assert top.indices.tolist() == numbers
    assert top.values.tolist() == found


def test_pairs_and_mappings_give_their_first_tensor() -> None:
    model, inputs = smooth(), images(6)
    whole = iw.top_activating(model, "2", None, inputs, k=2)
    pairs = iw.top_activating(model, "2", None, [(part, torch.zeros(3)) for part in inputs.split(3)], k=2)
    mappings = iw.top_activating(iw.record(model, inputs), "2", None, [{"x": inputs, "y": 0}], k=2)
    assert whole.indices.tolist() == pairs.indices.tolist() == mappings.indices.tolist()


def test_an_input_with_nan_is_refused_by_its_number() -> None:
    inputs = images(9)
    inputs[7, 0, 3, 3] = torch.nan
    with pytest.raises(InputError, match="layer '2' has NaN for input 7 of the loader"):
        iw.top_activating(smooth(), "2", 0, inputs.split(4))


class OneNumber(nn.Module):
    """A layer that returns one number for each input, and one that returns one for all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.each, self.all = nn.Conv2d(3, 4, 3), nn.Flatten(0), nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        numbers: torch.Tensor = self.each(y.mean(dim=(1, 2, 3)))
        return numbers + self.all(y.mean()) * 0


def test_a_layer_without_channels_is_refused() -> None:
    with pytest.raises(LayerError, match=r"layer 'each' has shape \(2,\), one number for each input"):
        iw.top_activating(OneNumber(), "each", None, images(3))
    with pytest.raises(LayerError, match=r"layer 'all' has shape \(\), without a row for each input"):
        iw.top_activating(OneNumber(), "all", None, images(3))
    with pytest.raises(LayerError, match="layer 'nothing' was not recorded"):
        iw.top_activating(smooth(), "nothing", None, images(3))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"channel": 5}, r"channel must be in 0..4 \('2' has 5 channels\), got 5"),
        ({"channel": [1, -1]}, r"channel must be in 0..4 \('2' has 5 channels\), got -1"),
        ({"channel": []}, "channel must hold at least one number, got"),
        ({"channel": [1, 2, 1]}, r"channel must hold each number once, got \[1, 2, 1\]"),
        ({"k": 0}, "k must be a whole number of 1 or more, got 0"),
        ({"by": "median"}, "by must be 'maximum' or 'mean', got 'median'"),
        ({"kept": 3}, "kept must be the path of a folder, got 3"),
        ({"kept": __file__}, "kept must be the path of a folder, and .* is a file"),
    ],
)
def test_what_cannot_be_searched_for_is_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        iw.top_activating(smooth(), "2", **{"channel": 0, "loader": images(3), **given})


def test_the_stream_says_how_far_it_is_and_stops_when_nobody_asks() -> None:
    asked = []

    def loader() -> Iterator[torch.Tensor]:
        for number, part in enumerate(images(12).split(4)):
            asked.append(number)
            yield part

    found = list(iw.top_activating_stream(smooth(), "2", None, list(loader()), k=3))
    assert [(each.batches, each.total_batches, each.inputs) for each in found] == [(1, 3, 4), (2, 3, 8), (3, 3, 12)]
    assert [each.seconds_left == 0 for each in found] == [False, False, True]
    assert found[-1].indices.tolist() == iw.top_activating(smooth(), "2", None, images(12), k=3).indices.tolist()
    assert found[0].indices.max() < 4  # what was handed out does not change any more
    asked.clear()
    stream = iw.top_activating_stream(smooth(), "2", None, loader())
    assert next(stream).seconds_left is None
    del stream
    assert asked == [0]


# Kept on disk


class Counted(nn.Module):
    """Counts its passes, in a list that its copies share."""

    passes: list[int] = []  # noqa: RUF012 - shared on purpose

    def __init__(self) -> None:
        super().__init__()
        self.net = smooth()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes.append(len(x))
        out: torch.Tensor = self.net(x)
        return out


def search(folder: Path, **given: Any) -> list[Any]:
    options = {"model": smooth(), "layer": "2", "channel": None, "loader": images(12).split(3), "k": 3, **given}
    return list(iw.top_activating_stream(kept=folder, **options))


def test_a_stopped_search_goes_on_where_it_was(tmp_path: Path) -> None:
    folder, model, parts = tmp_path / "kept", Counted(), images(12).split(3)
    stream = iw.top_activating_stream(model, "net.2", None, parts, k=3, kept=folder)
    assert [next(stream).batches for _ in range(2)] == [1, 2]
    stream.close()  # type: ignore[attr-defined]  # a generator has it
    Counted.passes.clear()
    found = search(folder, model=model, layer="net.2")
    assert [each.batches for each in found] == [2, 3, 4]
    assert Counted.passes == [2, 3, 3]  # the recording, and the batches that were missing
    whole = iw.top_activating(model, "net.2", None, parts, k=3)
    assert np.array_equal(found[-1].indices, whole.indices)
    assert np.array_equal(found[-1].values, whole.values)
    assert np.array_equal(found[-1].boxes(1), whole.boxes(1))
    assert all(torch.equal(one, other) for one, other in zip(found[-1].crops(1), whole.crops(1), strict=True))
    Counted.passes.clear()
    (again,) = search(folder, model=model, layer="net.2")
    assert Counted.passes == [2]  # the recording alone
    assert (again.batches, again.seconds_left) == (4, 0.0)
    assert np.array_equal(again.indices, whole.indices)
    assert sorted(path.name for path in folder.iterdir()) == ["search-4.npz", "search.json"]


def test_a_batch_that_fails_loses_nothing_that_was_seen(tmp_path: Path) -> None:
    inputs = images(9)
    inputs[7] = torch.nan
    with pytest.raises(InputError, match="NaN for input 7"):
        search(tmp_path, loader=inputs.split(3))
    inputs[7] = 0.0
    found = search(tmp_path, loader=inputs.split(3))
    assert [each.batches for each in found] == [2, 3]
    assert np.array_equal(found[-1].indices, iw.top_activating(smooth(), "2", None, inputs, k=3).indices)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"model": nn.Sequential(*smooth()[:3], nn.MaxPool2d(2))}, "model"),
        ({"layer": "0"}, "layer"),
        ({"channel": 1}, "choice of channels"),
        ({"k": 4}, "number of inputs for each channel"),
        ({"by": "mean"}, "measure"),
        ({"loader": images(12).split(4)}, "number of batches"),
        ({"loader": images(12).flip(0).split(3)}, "order or content of the loader"),
    ],
)
def test_a_search_of_something_else_is_refused(tmp_path: Path, given: dict[str, Any], part: str) -> None:
    search(tmp_path)
    with pytest.raises(InputError, match=f"the search kept in .* is of another {part}"):
        search(tmp_path, **given)


def test_a_single_changed_weight_makes_another_model(tmp_path: Path) -> None:
    search(tmp_path)
    model = smooth()
    before = checksum_of_model(model)
    with torch.no_grad():
        model[2].bias[3] += 1e-6
    assert checksum_of_model(model) != before
    with pytest.raises(InputError, match="is of another model"):
        search(tmp_path, model=model)


def test_a_broken_search_is_refused_in_words(tmp_path: Path) -> None:
    search(tmp_path)
    data, index = tmp_path / "search-4.npz", tmp_path / "search.json"
    whole, told = data.read_bytes(), index.read_text()
    data.write_bytes(whole[:-9])
    with pytest.raises(InputError, match=r"search-4\.npz was changed or cut short"):
        search(tmp_path)
    data.unlink()
    with pytest.raises(InputError, match=r"cannot be read .FileNotFoundError"):
        search(tmp_path)
    data.write_bytes(whole)
    for broken in ("{", "[]", json.dumps({**json.loads(told), "tensors": None})):
        index.write_text(broken)
        with pytest.raises(InputError, match=r"cannot be read .*: delete the folder, or give another one"):
            search(tmp_path)
    index.write_text(told)
    assert len(search(tmp_path)) == 1


def test_inputs_of_types_that_numpy_lacks_are_kept(tmp_path: Path) -> None:
    model = smooth().bfloat16()
    search(tmp_path, model=model, loader=images(6).bfloat16().split(3))
    (again,) = search(tmp_path, model=model, loader=images(6).bfloat16().split(3))
    number = again.indices[0, 0]
    assert torch.equal(again.examples[number]["input"][0], images(6).bfloat16()[number])


# Shown


def test_the_page_escapes_names_and_shows_crops() -> None:
    model = nn.Sequential()
    model.add_module("<b>", nn.Conv2d(3, 2, 3))
    top = iw.top_activating(model, "<b>", None, images(4), k=2)
    page = top._repr_html_()
    assert "<b>" not in page
    assert page.startswith('<img alt="&lt;b&gt;: inputs with the largest value of a channel" src="data:image/png')
    assert str(top).splitlines()[0] == "<b>: inputs with the largest value of a channel"


def test_the_data_frame_has_a_row_for_each_input_of_each_channel() -> None:
    top = iw.top_activating(smooth(), "2", [3, 1], images(), k=2)
    frame = top.to_dataframe()
    assert list(frame.columns) == ["channel", "rank", "input", "value", "position"]
    assert frame["channel"].tolist() == [3, 3, 1, 1]
    assert frame["input"].tolist() == top.indices.ravel().tolist()
    assert frame["position"].tolist() == [tuple(each) for each in top.positions.reshape(4, 2).tolist()]


def pixels_of(panel: Any) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = np.asarray(panel.images[0].get_array())
    return found


def test_the_figure_shows_the_crops_as_a_person_sees_them() -> None:
    inputs = images(5).sigmoid()
    preprocess = iw.Preprocess((21, 25), (0.5,) * 3, (0.25,) * 3)
    given = (inputs - 0.5) / 0.25
    top = iw.top_activating(smooth(), "2", None, given, k=3)
    figure = top.figure([4, 0], preprocess=preprocess)
    panels = np.array(figure.axes).reshape(2, 3)
    assert [panel.get_ylabel() for panel in panels[:, 0]] == ["4", "0"]
    for rank, (left, upper, right, lower) in enumerate(top.boxes(4).tolist()):
        seen = inputs[top.indices[4, rank], :, upper:lower, left:right].permute(1, 2, 0)
        off = np.abs(pixels_of(panels[0, rank]) / 255 - seen.numpy()).max()
        assert off <= 0.5 / 255 + 1e-6  # rounded to 256 levels, in float32
    with pytest.raises(ParameterError, match=r"channel must be one that was searched for \(\[0, 1, 2, 3, 4\]\), got 9"):
        top.figure(9)


def test_regions_of_a_model_that_was_trained_on_are_refused_and_the_page_says_why() -> None:
    model = smooth()
    top = iw.top_activating(model, "2", None, images(4), k=2)
    with torch.no_grad():
        model[2].weight.mul_(1.5)
    with pytest.raises(StaleError, match=r"2\.weight"):
        top.regions(0)
    assert top._repr_html_().startswith("<p>")


def test_the_model_is_left_as_it_was() -> None:
    model = smooth().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    iw.top_activating(model, "2", None, images(6).split(2)).regions(0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(module.training and not module._forward_hooks for module in model.modules())
