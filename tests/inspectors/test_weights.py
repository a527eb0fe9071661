"""`weights`: every number beside numpy's or torch's own, on small cases, a ResNet, and models of odd kinds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import InputError, LayerError, ModelError, ParameterError
from interp_widgets.inspectors import spectrum, tensors
from interp_widgets.inspectors.spectrum import effective_rank, singular_values, spectral_norm
from interp_widgets.inspectors.weights import Weight

SINGLE = 1e-6  # relative error of a number that torch or numpy computes in single precision
DOUBLE = 1e-12


def _row(model: Any, path: str = "weight") -> Weight:
    return next(row for row in iw.weights(model).rows if path in (row.path, *row.tied))


def _by_hand(weight: torch.Tensor) -> dict[str, float]:
    """The numbers of a matrix in slow numpy."""
    values = weight.detach().double().numpy()
    matrix = values.reshape(len(values), -1)
    sigma = np.linalg.svd(matrix, compute_uv=False)
    shares = sigma[sigma > 0] / sigma.sum()
    norms = [float(np.sqrt((row**2).sum())) for row in matrix]
    duplicates = 0
    for i in range(len(matrix)):
        cosines = [abs(matrix[i] @ matrix[j]) / (norms[i] * norms[j]) for j in range(i)]
        duplicates += any(cosine > 0.999 for cosine in cosines)
    return {
        "norm": float(np.sqrt((values**2).sum())),
        "spectral_norm": float(sigma[0]),
        "rank": float(np.exp(-(shares * np.log(shares)).sum())),
        "zeros": float((values == 0).mean()),
        "filters": len(matrix),
        "duplicates": duplicates,
        "dead": sum(norm <= 1e-6 * np.mean(norms) for norm in norms),
        "nonfinite": int((~np.isfinite(values)).sum()),
        "minimum": float(values.min()),
        "maximum": float(values.max()),
        "mean": float(values.mean()),
        "std": float(values.std()),
    }


def _matches(row: Weight, expected: dict[str, float]) -> None:
    for name, number in expected.items():
        # double precision; the mean of random weights is near zero, so its error is one of the values' size
        assert getattr(row, name) == pytest.approx(number, rel=1e-9, abs=DOUBLE), name


def test_the_numbers_of_a_small_convolution_are_those_computed_by_hand() -> None:
    layer = nn.Conv2d(3, 8, 3)
    with torch.no_grad():
        layer.weight[0, 0, 0] = 0
        layer.weight[5] = -2 * layer.weight[2]
    expected = _by_hand(layer.weight)
    assert (expected["duplicates"], expected["zeros"]) == (1, 3 / 216)
    row = _row(layer)
    _matches(row, expected)
    assert (row.shape, row.dtype, row.count, row.trainable, row.reason) == ((8, 3, 3, 3), "float32", 216, True, "")


def test_the_numbers_of_a_known_matrix_are_the_papers() -> None:
    """Singular values 3, 1: shares 3/4 and 1/4, whose entropy is ln 4 - 3/4 ln 3."""
    row = _row({"weight": torch.tensor([[3.0, 0.0], [0.0, -1.0]])})
    assert row.spectral_norm == pytest.approx(3, rel=DOUBLE)
    assert row.rank == pytest.approx(math.exp(math.log(4) - 0.75 * math.log(3)), rel=DOUBLE)
    assert row.norm == pytest.approx(math.sqrt(10), rel=DOUBLE)
    assert (row.mean, row.std, row.zeros) == (0.5, 1.5, 0.5)  # (3 + 0 + 0 - 1) / 4; squares 10 / 4 - 1/4


def test_every_matrix_of_a_resnet_is_as_numpy_has_it() -> None:
    model = torchvision.models.resnet18()
    report = iw.weights(nn.ModuleDict({"stem": model.conv1, "first": model.layer1, "second": model.layer2[0]}))
    parameters = dict(model.named_parameters())
    assert sum(row.count or 0 for row in iw.weights(model.fc).rows) == 513_000
    for row in report.rows:
        name = row.path.replace("stem", "conv1").replace("first", "layer1").replace("second", "layer2.0")
        parameter = parameters[name]
        if parameter.ndim > 1:
            _matches(row, _by_hand(parameter))
        else:
            assert row.norm == pytest.approx(float(parameter.detach().double().norm()), rel=DOUBLE)
            assert (row.spectral_norm, row.rank, row.filters, row.duplicates, row.dead) == (None,) * 5


@pytest.mark.slow
def test_the_whole_resnet_has_torchs_parameters_norms_and_singular_values() -> None:
    model = torchvision.models.resnet18()
    rows = {row.path: row for row in iw.weights(model).rows}
    assert list(rows) == [name for name, _ in model.named_parameters()]
    for name, parameter in model.named_parameters():
        assert rows[name].count == parameter.numel()
        assert rows[name].norm == pytest.approx(float(parameter.detach().double().norm()), rel=DOUBLE)
        if parameter.ndim > 1:
            sigma = torch.linalg.svdvals(parameter.detach().flatten(1))
            assert rows[name].spectral_norm == pytest.approx(float(sigma[0]), rel=1e-5)


def test_values_are_read_in_blocks_without_changing_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Conv2d(4, 11, 3)
    with torch.no_grad():
        layer.weight += 5  # a mean far from zero, where sums of squares would lose digits
        layer.weight[9] = layer.weight[1]
    expected = _by_hand(layer.weight)
    monkeypatch.setattr(tensors, "BLOCK", 80)  # two rows of 36
    monkeypatch.setattr("interp_widgets.inspectors.weights.COSINES", 25)
    _matches(_row(layer), expected)


def test_filters_of_zeros_are_dead_and_no_duplicates() -> None:
    layer = nn.Linear(20, 6)
    with torch.no_grad():
        layer.weight[1] = 0
        layer.weight[4] *= 1e-9
    row = _row(layer)
    assert (row.dead, row.duplicates) == (2, 0)
    with torch.no_grad():
        layer.weight.zero_()
    row = _row(layer)
    assert (row.dead, row.duplicates, row.rank, row.spectral_norm, row.zeros) == (6, 0, 0.0, 0.0, 1.0)


def test_nearly_parallel_filters_are_told_from_those_that_are_not() -> None:
    """Cos 0.0447 = 0.99900, so 0.040 is within and 0.050 beyond."""
    angles = torch.tensor([0.0, 0.040, math.pi + 0.02, 1.0, 1.050], dtype=torch.float64)
    row = _row({"weight": torch.stack([angles.cos(), angles.sin()], dim=1)})
    assert row.duplicates == 2  # the opposite one counts: its absolute cosine is 0.9998


def test_what_is_odd_is_said_in_words() -> None:
    layer = nn.Conv2d(3, 64, 3, bias=False)
    with torch.no_grad():
        layer.weight[[3, 7, 9]] = 0
    notes = iw.weights(nn.ModuleDict({"conv1": layer})).notes()
    assert notes[0] == "1,728 parameters, 1,728 of them trainable"
    assert notes[1:] == ["conv1.weight: 3 of 64 filters are dead"]
    with torch.no_grad():
        layer.weight[10:50] = 0
        layer.weight[0] = layer.weight[1]
    notes = iw.weights(layer).notes()
    assert "weight: 1 of 64 filters point the way of an earlier one" in notes
    assert "weight: 67% of the values are zero" in notes
    zeros = nn.Linear(3, 2)
    nn.init.zeros_(zeros.weight)
    assert iw.weights(zeros).notes()[1:] == ["weight: all values are zero"]


def test_values_that_are_not_finite_are_counted_and_left_out_of_the_rest() -> None:
    weight = torch.tensor([[1.0, float("nan"), -3.0], [float("inf"), 0.0, 2.0]])
    row = _row({"weight": weight})
    assert (row.nonfinite, row.minimum, row.maximum, row.mean, row.zeros) == (2, -3.0, 2.0, 0.0, 0.25)
    assert row.norm == pytest.approx(math.sqrt(14), rel=DOUBLE)
    assert (row.spectral_norm, row.rank, row.duplicates) == (None, None, None)
    assert iw.weights({"weight": weight}).notes()[1] == "weight: 2 of 6 values are NaN or infinite"
    nothing = _row({"weight": torch.full((2, 2), float("nan"))})
    assert (nothing.nonfinite, nothing.minimum, nothing.mean, nothing.std, nothing.zeros) == (4, None, None, None, None)


def test_a_tied_parameter_is_one_row_with_all_its_names() -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(7, 5), "head": nn.Linear(5, 7, bias=False)})
    model["head"].weight = model["embedding"].weight
    for source in (model, model.state_dict()):
        (row,) = iw.weights(source).rows
        assert (row.path, row.tied, row.count) == ("embedding.weight", ("head.weight",), 35)
        assert "embedding.weight = head.weight" in str(iw.weights(source))
    assert iw.weights(model).filters("head").values.shape == (1, 7, 5)


def test_frozen_parameters_are_told_from_trainable_ones_and_a_state_dict_does_not_say() -> None:
    model = nn.Linear(3, 2)
    model.weight.requires_grad_(False)
    report = iw.weights(model)
    assert [row.trainable for row in report.rows] == [False, True]
    assert report.notes() == ["8 parameters, 2 of them trainable"]
    state = iw.weights(model.state_dict())
    assert [row.trainable for row in state.rows] == [None, None]
    assert state.notes() == ["8 values in 2 tensors"]


def test_a_transposed_convolution_has_a_filter_for_each_output_channel() -> None:
    layer = nn.ConvTranspose2d(4, 6, 3, groups=2)
    with torch.no_grad():
        layer.weight[2:, 1] = 0  # of the second group the second output channel: channel 3 + 1
    row = _row(layer)
    assert (row.shape, row.filters, row.dead) == ((4, 3, 3, 3), 6, 1)
    by_filter = torch.stack([layer.weight[2 * (i // 3) : 2 * (i // 3) + 2, i % 3] for i in range(6)])
    assert row.spectral_norm == pytest.approx(_by_hand(by_filter[[0, 1, 2, 3, 5]])["spectral_norm"], rel=1e-9)
    shown = iw.weights(layer).filters("weight", channel=1)
    assert torch.equal(torch.from_numpy(shown.values), by_filter[:, 1])


# Odd tensors


def test_complex_weights_have_all_but_an_order() -> None:
    weight = torch.randn(4, 6, dtype=torch.complex64)
    weight[3] = 2j * weight[0]
    row = _row({"weight": weight})
    values = weight.numpy().astype(np.complex128)
    sigma = np.linalg.svd(values, compute_uv=False)
    assert row.norm == pytest.approx(np.linalg.norm(values), rel=DOUBLE)
    assert row.spectral_norm == pytest.approx(sigma[0], rel=1e-9)
    assert row.mean == pytest.approx(values.mean(), rel=DOUBLE)
    assert row.std == pytest.approx(values.std(), rel=DOUBLE)
    assert (row.minimum, row.maximum, row.duplicates) == (None, None, 1)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_weights_of_any_numbers_are_computed_in_double_precision(dtype: torch.dtype) -> None:
    weight = torch.tensor([[1, 0, 3], [0, 1, 5]]).to(dtype)
    _matches(_row({"weight": weight}), _by_hand(weight))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantised_weights_are_the_numbers_they_stand_for() -> None:
    weight = torch.quantize_per_tensor(torch.randn(5, 7), 0.1, 3, torch.qint8)
    _matches(_row({"weight": weight}), _by_hand(weight.dequantize()))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:torch.ao.quantization", "ignore:.*deprecated")
def test_the_weights_of_quantised_layers_are_found_in_their_state() -> None:
    model = nn.Sequential(nn.Linear(6, 5))
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    packed: Any = quantised[0]
    row = _row(quantised, "0._packed_params._packed_params.0")
    assert (row.dtype, row.trainable) == ("qint8", None)
    _matches(row, _by_hand(packed.weight().dequantize()))
    other = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(6, 5)), {nn.Linear})
    assert any(row.change for row in iw.diff(quantised, other).rows if row.path == "0._packed_params._packed_params.0")


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_has_no_numbers_and_says_why() -> None:
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    row = _row({"weight": nested})
    assert (row.shape, row.count, row.reason) == (None, None, "nested: its parts have different shapes")
    assert iw.diff({"w": nested}, {"w": nested}).rows[0].reason == row.reason


def test_sparse_weights_count_their_zeros() -> None:
    dense = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, -1.0]])
    _matches(_row({"weight": dense.to_sparse()}), _by_hand(dense))
    huge = torch.sparse_coo_tensor([[0], [0]], [1.0], (10_000, 10_000), check_invariants=True)
    row = _row({"weight": huge})
    assert (row.count, row.norm, row.reason) == (10**8, None, "sparse, with more than 16,777,216 values")


def test_meta_and_lazy_parameters_have_no_numbers_and_say_why() -> None:
    meta = _row(nn.Linear(100_000, 100_000, device="meta"))
    assert (meta.shape, meta.norm) == ((100_000, 100_000), None)
    assert meta.reason == "on the meta device: it has a shape and no values"
    report = iw.weights(nn.LazyConv2d(4, 3))
    assert [(row.shape, row.count, row.norm) for row in report.rows] == [(None, None, None)] * 2
    assert "weight: lazy: it gets its shape in the first pass" in report.notes()
    assert " ? " in str(report)
    with pytest.raises(InputError, match="weight has no picture: lazy"):
        report.filters("weight")


def test_numbers_that_torch_cannot_read_are_named() -> None:
    row = _row({"weight": torch.zeros(4, 4, dtype=torch.uint8).view(torch.bits8)})
    assert (row.norm, row.reason) == (None, "torch does not convert torch.bits8 to numbers")


def test_a_model_without_parameters_is_a_report_that_says_so() -> None:
    for source in (nn.ReLU(), {}):
        report = iw.weights(source)
        assert (report.rows, list(report.notes())) == ((), ["no parameters"])
        assert "no parameters" in str(report)
        assert "no parameters" in report._repr_html_()


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (1,), (1, 1), (5, 1, 1), (1, 1, 4)])
def test_parameters_of_any_shape_are_rows(shape: tuple[int, ...]) -> None:
    weight = nn.Parameter(torch.ones(shape))
    row = _row(nn.ParameterDict({"weight": weight}))
    assert (row.shape, row.count, row.norm) == (shape, weight.numel(), pytest.approx(math.sqrt(weight.numel())))
    assert row.duplicates == (0 if shape == (1, 1, 4) else None)  # one number has no direction


def test_nothing_of_the_model_changes() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gradients = [parameter.grad for parameter in model.parameters()]
    versions = [parameter._version for parameter in model.parameters()]
    iw.weights(model).filters("0").figure()
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert [parameter._version for parameter in model.parameters()] == versions
    assert all(parameter.grad is each for parameter, each in zip(model.parameters(), gradients, strict=True))


# Large matrices


@pytest.mark.parametrize("shape", [(150, 90), (90, 150), (1, 5), (5, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_the_iteration_for_large_matrices_is_as_exact_as_it_says(shape: tuple[int, int], dtype: torch.dtype) -> None:
    """A random matrix is the hard case: its largest singular values lie close together."""
    matrix = torch.randn(shape, dtype=dtype)
    exact = float(torch.linalg.svdvals(matrix)[0])
    assert spectral_norm(matrix) == pytest.approx(exact, rel=spectrum.TOLERANCE)


def test_the_iteration_finds_the_norm_of_zeros_and_of_one_direction() -> None:
    assert spectral_norm(torch.zeros(4, 3)) == 0
    assert spectral_norm(torch.ones(40, 30)) == pytest.approx(math.sqrt(1200), rel=SINGLE)


def test_a_large_matrix_has_no_rank_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interp_widgets.inspectors.weights.EXACT", 8)
    monkeypatch.setattr("interp_widgets.inspectors.weights.MOST_MULTIPLICATIONS", 1000)
    layer = nn.Linear(12, 20)
    row = _row(layer)
    assert row.spectral_norm == pytest.approx(_by_hand(layer.weight)["spectral_norm"], rel=spectrum.TOLERANCE)
    assert (row.rank, row.duplicates, row.dead) == (None, None, 0)
    assert row.reason == ("no rank: more than 8 rows and columns; duplicates are not looked for among 20 filters")


def test_a_matrix_of_rank_one_has_the_effective_rank_one() -> None:
    values = singular_values(torch.ones(200, 300))
    assert len(values) == len(singular_values(torch.ones(300, 200))) == 200
    assert int((values > 0).sum()) == 1
    assert effective_rank(values) == pytest.approx(1, rel=DOUBLE)
    assert effective_rank(singular_values(torch.eye(17))) == pytest.approx(17, rel=DOUBLE)


# Files, tables and errors


def test_a_file_is_read_as_its_state_dict(tmp_path: Path) -> None:
    state = nn.Conv2d(3, 4, 3).state_dict()
    safetensors.torch.save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pt")
    expected = iw.weights(state).rows
    assert iw.weights(tmp_path / "a.safetensors").to_dataframe().sort_values("path").norm.tolist() == [
        row.norm for row in sorted(expected, key=lambda row: row.path)
    ]
    assert iw.weights(str(tmp_path / "a.pt")).rows == expected


def test_the_table_is_text_html_and_a_data_frame() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    model.register_parameter("<b>", nn.Parameter(torch.zeros(2)))
    report = iw.weights(model)
    assert str(report).splitlines()[0].split()[:4] == ["parameter", "shape", "type", "values"]
    assert "&lt;b&gt;" in report._repr_html_()
    assert "<b>" not in report._repr_html_()
    frame = pytest.importorskip("pandas") and report.to_dataframe()
    assert list(frame["path"]) == ["<b>", "0.weight", "0.bias"]
    assert frame["norm"][1] == report.rows[1].norm


@pytest.mark.parametrize(
    ("given", "kind", "sentence"),
    [
        (3, ModelError, "model must be a torch.nn.Module, a state dict or the path of a file with one, got 3"),
        (nn.Linear, ModelError, "got the class Linear"),
        ("model.onnx", InputError, "must end in .safetensors, .pt or .pth, got 'model.onnx'"),
        ("nowhere.pt", InputError, "no file is at 'nowhere.pt'"),
        ({"x": None}, InputError, r"model must hold tensors by name, as a state dict does, got {'x': None}"),
        ({1: torch.ones(2)}, InputError, "model must hold tensors by name"),
        ({"model": {"w": torch.ones(2)}, "epoch": 3}, InputError, "give the one inside it, at 'model'"),
    ],
)
def test_what_is_no_model_is_refused_in_words(given: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        iw.weights(given)


# Pictures


def test_the_first_layer_is_in_colour_with_grey_for_zero() -> None:
    layer = nn.Conv2d(3, 5, 2)
    with torch.no_grad():
        layer.weight.fill_(0.5)
        layer.weight[0, 0] = 0
        layer.weight[0, 1] = -0.5
    shown = iw.weights(layer).filters("weight")
    assert (shown.values.shape, shown.is_coloured, shown.limits) == ((5, 2, 2, 3), True, (-0.5, 0.5))
    pixels = shown.pixels()
    factor = 1024 // (3 * 2)
    gap = 1 + factor // 6
    assert pixels.shape == (2 * 2 * factor + gap, 3 * 2 * factor + 2 * gap, 4)  # 5 filters: 2 rows of 3
    assert pixels[0, 0].tolist() == [128, 0, 255, 255]  # red 0, green -0.5, blue 0.5
    assert pixels[0, 2 * factor].tolist() == [0, 0, 0, 0]  # between two filters
    assert pixels[0, 2 * factor + gap].tolist() == [255, 255, 255, 255]
    assert pixels[-1, -1].tolist() == [0, 0, 0, 0]  # there is no sixth


def test_a_deeper_layer_is_shown_by_norm_or_by_input_channel() -> None:
    layer = nn.Conv2d(4, 6, 3)
    report = iw.weights(nn.ModuleDict({"deep": layer}))
    weight = layer.weight.detach().numpy()
    norm = report.filters("deep")
    assert norm.values == pytest.approx(np.sqrt((weight**2).sum(axis=1)), rel=SINGLE)
    assert norm.limits == (0, pytest.approx(np.percentile(norm.values, 99)))
    assert not norm.is_signed
    one = report.filters("deep.weight", channel=2)
    assert np.array_equal(one.values, weight[:, 2])
    high = pytest.approx(np.percentile(np.abs(weight[:, 2]), 99))
    assert one.limits == (-one.limits[1], high)
    assert one.title == "deep.weight: input channel 2"


def test_the_colour_of_a_pixel_is_that_of_its_value() -> None:
    from matplotlib import colormaps

    weight = torch.tensor([[[[-1.0, 0.0], [0.5, 1.0]]]]).repeat(4, 1, 1, 1)
    shown = iw.weights({"weight": weight}).filters("weight")
    pixels = shown.pixels()
    factor = 1024 // (2 * 2)
    for (row, column), value in (((0, 0), -1), ((0, 1), 0.0), ((1, 0), 0.5), ((1, 1), 1)):
        expected = np.round(np.array(colormaps["RdBu_r"](round((value + 1) / 2 * 255 + 1e-9))) * 255)
        found = pixels[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
        assert np.abs(found - expected).max() <= 1  # numpy rounds a half to even


def test_a_depthwise_convolution_keeps_its_sign() -> None:
    layer = nn.Conv2d(6, 6, 3, groups=6)
    shown = iw.weights(layer).filters("weight")
    assert shown.is_signed
    assert np.array_equal(shown.values, layer.weight.detach().numpy()[:, 0])


@pytest.mark.parametrize("layer", [nn.Linear(9, 4), nn.Conv2d(9, 4, 1), nn.Embedding(4, 9)])
def test_a_linear_layer_is_a_heat_map(layer: nn.Module) -> None:
    shown = iw.weights(layer).filters("")
    weight: Any = layer.weight
    assert np.array_equal(shown.values[0], weight.detach().numpy().reshape(4, 9))
    assert shown.pixels().shape == (4 * 113, 9 * 113, 4)  # 1024 // 9
    assert iw.weights(layer).filters("", channel=3).values.shape == (1, 4, 1)


def test_convolutions_of_one_and_three_axes_are_pictures_too() -> None:
    series = nn.Conv1d(5, 4, 3)
    assert iw.weights(series).filters("").values.shape == (1, 4, 3)
    video = nn.Conv3d(3, 4, (2, 5, 6))
    shown = iw.weights(video).filters("", channel=1).values
    assert shown.shape == (4, 5, 12)
    assert np.array_equal(shown[0, :, :6], video.weight.detach().numpy()[0, 1, 0])
    assert np.array_equal(shown[0, :, 6:], video.weight.detach().numpy()[0, 1, 1])


def test_a_large_matrix_is_averaged_down() -> None:
    weight = torch.arange(4096.0).repeat(2, 1)
    shown = iw.weights({"weight": weight}).filters("weight")
    assert shown.values.shape == (1, 1, 2048)
    assert shown.values[0, 0, :2].tolist() == [0.5, 2.5]


def test_a_value_that_is_not_finite_is_transparent() -> None:
    weight = torch.ones(1, 4)
    weight[0, 2] = float("nan")
    shown = iw.weights({"weight": weight}).filters("weight")
    assert shown.limits == (-1, 1)
    assert [int(alpha) for alpha in shown.pixels()[0, ::256, 3]] == [255, 255, 0, 255]
    shown.figure()


def test_filters_of_zeros_have_a_scale() -> None:
    assert iw.weights({"weight": torch.zeros(4, 1, 3, 3)}).filters("weight").limits == (-1, 1)


def test_a_figure_has_a_colour_bar_with_the_ends_of_the_scale() -> None:
    shown = iw.weights(nn.Conv2d(4, 6, 3)).filters("weight", channel=0)
    figure = shown.figure()
    picture, bar = figure.axes
    assert picture.images[0].get_array().shape == shown.pixels().shape
    assert bar.get_ylim() == pytest.approx(shown.limits)
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("layer", "channel", "kind", "sentence"),
    [
        (
            "conv",
            None,
            LayerError,
            "no tensor is named 'conv'; did you mean 'conv1'[?] There are 2: conv1.weight",
        ),
        (3, None, LayerError, "no tensor is named 3. There are 2: conv1.weight, conv1.bias$"),
        ("conv1.bias", None, InputError, r"conv1.bias has no filters: its shape is \(4,\)"),
        ("conv1", 5, ParameterError, r"channel must be in 0\.\.2, got 5"),
        ("conv1", "red", ParameterError, r"channel must be in 0\.\.2, got 'red'"),
    ],
)
def test_filters_that_are_not_there_are_refused(layer: Any, channel: Any, kind: type[Exception], sentence: str) -> None:
    report = iw.weights(nn.ModuleDict({"conv1": nn.Conv2d(3, 4, 3)}))
    with pytest.raises(kind, match=sentence):
        report.filters(layer, channel=channel)
