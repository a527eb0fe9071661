"""What an activation report says, against numpy on values that hooks of this test have read."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import interp_widgets as iw
from interp_widgets.errors import InputError, LayerError, ParameterError, StaleError, TargetError
from interp_widgets.inspectors.activation_rows import ActivationRow
from interp_widgets.inspectors.running import SAMPLE_SIZE, Sample

EXACT = {"rel": 1e-12, "abs": 1e-12}  # sums of doubles in another order
FLOATS = {"rel": 1e-4, "abs": 1e-6}  # the same values from passes over batches of another size, in float32


class Small(nn.Module):
    """Residual, reused and functional ReLUs, a unit that is dead, each function that has limits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.again = nn.Conv2d(2, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 3)
        self.gate, self.bend, self.flat = nn.Sigmoid(), nn.Tanh(), nn.ReLU6()
        with torch.no_grad():
            self.conv.bias[1] = -100.0
            self.head.weight *= 30

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act(self.conv(x))
        y = self.act(self.again(y) + y)
        y = self.head(F.relu(y).mean(dim=(2, 3)))
        return self.flat(self.bend(self.gate(y)) * 9)


def small() -> Small:
    torch.manual_seed(0)
    return Small().eval()


def hooked(model: nn.Module, batches: list[torch.Tensor]) -> dict[str, NDArray[np.float64]]:
    """What each call of a module returned over all batches, by the names of sites."""
    seen: dict[str, list[list[torch.Tensor]]] = {}
    handles = []
    for path, module in model.named_modules():

        def hook(_module: nn.Module, _args: Any, output: torch.Tensor, path: str = path) -> None:
            now.setdefault(path, []).append(output.clone())

        handles.append(module.register_forward_hook(hook))
    for batch in batches:
        now: dict[str, list[torch.Tensor]] = {}
        with torch.no_grad():
            model(batch)
        for path, calls in now.items():
            seen.setdefault(path, []).append(calls)
    for handle in handles:
        handle.remove()
    found = {}
    for path, by_batch in seen.items():
        count = len(by_batch[0])
        for call in range(count):
            name = path if count == 1 else f"{path}:{call}"
            found[name] = torch.cat([calls[call] for calls in by_batch]).double().numpy()
    return {name: values for name, values in found.items() if name}


def rows_of(report: Any) -> dict[str, ActivationRow]:
    return {row.layer: row for row in report.rows}


def check_against_numpy(report: Any, values: dict[str, NDArray[np.float64]]) -> None:
    """Every exact number of a report."""
    rows = rows_of(report)
    assert list(rows) == list(values) or set(rows) == set(values)
    for name, row in rows.items():
        all_of = values[name]
        found = (row.mean, row.std, row.minimum, row.maximum)
        assert found == pytest.approx((all_of.mean(), all_of.std(), all_of.min(), all_of.max()), **EXACT), name
        assert row.sparsity == (all_of == 0).mean()
        assert row.nonfinite == 0
        by_channel = np.moveaxis(all_of, 1, 0).reshape(all_of.shape[1], -1)
        channels = report.channels(name)
        assert channels.mean == pytest.approx(by_channel.mean(axis=1), **EXACT)
        assert channels.std == pytest.approx(by_channel.std(axis=1), **EXACT)
        assert np.array_equal(channels.minimum, by_channel.min(axis=1))
        assert np.array_equal(channels.maximum, by_channel.max(axis=1))
        assert np.array_equal(channels.sparsity, (by_channel == 0).mean(axis=1))
        assert np.array_equal(channels.dead, (by_channel == 0).all(axis=1))
        if row.dead is not None:
            assert row.dead == (by_channel == 0).all(axis=1).mean()
        assert row.shape == all_of.shape[1:]


def test_every_number_of_a_small_model_is_numpys() -> None:
    model, batches = small(), list(torch.rand(3, 4, 2, 6, 6))
    values = hooked(model, batches)
    report = iw.activations(model, batches)
    check_against_numpy(report, values)
    for name, row in rows_of(report).items():
        flat = values[name].ravel()
        assert len(flat) < SAMPLE_SIZE  # so that quantiles are those of all
        assert row.quantiles == pytest.approx(np.quantile(flat, (0.05, 0.25, 0.5, 0.75, 0.95)), **EXACT)
        counts, edges = np.histogram(flat, 32)
        assert np.array_equal(row.histogram.counts, counts)
        assert row.histogram.edges == pytest.approx(edges)
    assert report.inputs == 12


@pytest.mark.slow
def test_every_number_of_resnet18_over_two_batches_is_numpys() -> None:
    torch.manual_seed(0)
    model, batches = torchvision.models.resnet18().eval(), list(torch.rand(2, 3, 3, 64, 64))
    values = hooked(model, batches)
    report = iw.activations(model, batches)
    check_against_numpy(report, values)
    rows = rows_of(report)
    ends_in_relu = {name for name in values if "relu" in name or (name.count(".") == 1 and name.startswith("layer"))}
    assert {name for name, row in rows.items() if row.dead is not None} == ends_in_relu | {
        f"layer{number}" for number in range(1, 5)
    }
    conv1 = values["conv1"].ravel()
    assert len(conv1) > SAMPLE_SIZE
    row = rows["conv1"]
    for quantile, found in zip((0.05, 0.25, 0.5, 0.75, 0.95), row.quantiles, strict=True):
        off = abs((conv1 <= found).mean() - quantile)
        assert off < 5 * np.sqrt(quantile * (1 - quantile) / SAMPLE_SIZE)  # five standard errors
    assert row.histogram.counts.sum() == SAMPLE_SIZE


def test_batches_give_what_all_inputs_at_once_give() -> None:
    model, inputs = small(), torch.rand(11, 2, 6, 6)
    whole = iw.activations(model, inputs, target=1)
    parts = iw.activations(model, DataLoader(TensorDataset(inputs, torch.zeros(11)), batch_size=4), target=1)
    recorded = iw.activations(iw.record(model, inputs), target=1)
    assert [whole.inputs, parts.inputs, recorded.inputs] == [11, 11, 11]
    for one, other, third in zip(whole.rows, parts.rows, recorded.rows, strict=True):
        for name in set(vars(one)) - {"layer", "type", "shape", "histogram"}:
            expected = getattr(one, name)
            for found in (getattr(other, name), getattr(third, name)):
                assert found == (None if expected is None else pytest.approx(expected, **FLOATS)), (one.layer, name)


def test_dead_and_saturated_are_told_of_the_functions_they_are_defined_for() -> None:
    model, batches = small(), list(torch.rand(2, 4, 2, 6, 6))
    values, rows = hooked(model, batches), rows_of(iw.activations(model, batches))
    assert {name for name, row in rows.items() if row.dead is not None} == {"act:0", "act:1", "flat"}
    assert rows["act:0"].dead == 0.25
    assert {name for name, row in rows.items() if row.saturated is not None} == {"gate", "bend", "flat"}
    limits = {"gate": (0, 1), "bend": (-1, 1), "flat": (0, 6)}
    for name, (low, high) in limits.items():
        near = (values[name] <= low + 0.01 * (high - low)) | (values[name] >= high - 0.01 * (high - low))
        assert rows[name].saturated == near.mean()
    assert 0 < rows["gate"].saturated < 1  # type: ignore[operator]  # it is told
    assert rows["flat"].saturated > 0  # type: ignore[operator]  # it is told


@pytest.mark.parametrize(
    ("function", "given", "dead", "saturated"),
    [
        (nn.Hardsigmoid(), [-9.0, 0.0, 2.99, 9.0], None, 0.75),
        (nn.Hardswish(), [-9.0, -1.5, -2.0, 9.0], 0.25, 0.25),
        (nn.Hardtanh(-2, 4), [-2.0, -1.9, 3.95, 1.0], None, 0.5),
        (nn.Hardtanh(0, 2), [-2.0, 0.5, 1.99, 1.0], 0.25, 0.5),
        (nn.ReLU6(), [-2.0, 0.5, 5.95, 1.0], 0.25, 0.5),
        (nn.Threshold(0, 0), [-2.0, 0.5, 5.95, 1.0], 0.25, None),
        (nn.Threshold(0.1, 20), [-2.0, 0.5, 5.95, 1.0], None, None),
        (nn.GELU(), [-2.0, 0.5, 5.95, 1.0], None, None),
        (nn.Tanh(), [-9.0, 2.4, 2.2, 0.2], None, 0.5),  # tanh(2.4) = 0.984, tanh(2.2) = 0.976
        (nn.Sigmoid(), [-9.0, 4.7, 4.5, 0.2], None, 0.5),  # sigmoid(4.7) = 0.991, sigmoid(4.5) = 0.989
    ],
)
def test_limits_are_those_of_the_function(
    function: nn.Module, given: list[float], dead: float | None, saturated: float | None
) -> None:
    (row,) = iw.activations(nn.Sequential(function), torch.tensor([given])).rows
    assert (row.dead, row.saturated) == (dead, saturated)


class Clamps(nn.Module):
    """Activation functions as people write them by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.both, self.by_tensor = Clamp(min=0), Clamp(0, 6), Clamp(min=torch.tensor(0.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.by_tensor(self.both(self.low(x)))


class Clamp(nn.Module):
    """``torch.clamp`` as a module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.given = args, kwargs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        args, kwargs = self.given
        return torch.clamp(x, *args, **kwargs)


def test_clamps_are_relus_where_they_do_the_same() -> None:
    rows = rows_of(iw.activations(Clamps(), torch.tensor([[-1.0, 2.0, 8.0, 3.0]])))
    assert [(row.dead, row.saturated) for row in rows.values()] == [(0.25, None), (0.25, 0.5), (None, None)]


def test_values_that_are_not_finite_are_counted_and_left_out() -> None:
    given = torch.tensor([[1.0, float("nan"), 3.0], [5.0, float("inf"), -float("inf")]])
    report = iw.activations(nn.Sequential(nn.Identity()), given)
    (row,) = report.rows
    assert (row.mean, row.std, row.minimum, row.maximum) == (3.0, pytest.approx(np.std([1, 3, 5])), 1.0, 5.0)
    assert (row.nonfinite, row.median) == (0.5, 3.0)
    channels = report.channels("0")
    assert channels.mean.tolist()[::2] == [3.0, 3.0]
    assert np.isnan(channels.mean[1])
    assert np.isnan(channels.minimum[1])
    assert "50.00% of 0's values are NaN or infinite" in report.notes()


def test_a_layer_without_any_finite_value_has_no_statistics() -> None:
    (row,) = iw.activations(nn.Sequential(nn.Identity()), torch.full((2, 2), float("nan"))).rows
    assert np.isnan([row.mean, row.std, row.minimum, row.maximum, *row.quantiles]).all()
    assert row.histogram.counts.sum() == 0


def test_gradients_are_those_of_autograd() -> None:
    model, inputs = small(), torch.rand(5, 2, 6, 6)
    calls: list[torch.Tensor] = []
    model.conv.register_forward_hook(lambda _module, _args, output: calls.append(output) or output.clone())
    scores = model(inputs)
    (gradient,) = torch.autograd.grad(scores[:, 2].sum(), calls[0])
    model.conv._forward_hooks.clear()
    rows = rows_of(iw.activations(model, [inputs[:3], inputs[3:]], ["conv"], target=2))
    assert rows["conv"].gradient == pytest.approx(float(gradient.double().abs().mean()), **FLOATS)
    norms = gradient.double().flatten(1).norm(dim=1)
    assert rows["conv"].gradient_norm == pytest.approx(float(norms.square().mean().sqrt()), **FLOATS)
    assert float(gradient.abs().sum()) > 0
    assert rows_of(iw.activations(model, inputs, ["conv"]))["conv"].gradient is None


def deep(scale: float, count: int = 20) -> nn.Sequential:
    """Layers that multiply the length of a signal, and of a gradient on its way back, by ``scale``."""
    layers = [nn.Linear(8, 8, bias=False) for _ in range(count)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight)
        layer.weight.data *= scale
    return nn.Sequential(*layers)


@pytest.mark.parametrize(("scale", "signals", "gradients"), [(0.5, "vanish", "vanish"), (2.0, "explode", "explode")])
def test_signals_and_gradients_that_vanish_or_explode_are_told(scale: float, signals: str, gradients: str) -> None:
    torch.manual_seed(0)
    notes = " ".join(iw.activations(deep(scale), torch.randn(16, 8), target=0).notes())
    factor = f"{2.0**19:.0e}"
    words = {"vanish": "falls", "explode": "rises"}
    assert f"signals {signals}: their standard deviation {words[signals]} by a factor of {factor}" in notes
    assert f"gradients {gradients}: their norm {words[gradients]} by a factor of {factor} from the last" in notes


def test_signals_that_keep_their_size_are_not_flagged() -> None:
    torch.manual_seed(0)
    assert len(iw.activations(deep(1.0), torch.randn(16, 8), target=0).notes()) == 1
    assert len(iw.activations(deep(0.5, count=9), torch.randn(16, 8)).notes()) == 1  # by 256


def test_flags_are_told_once_for_layers_that_return_the_same_tensor() -> None:
    inner = nn.Sequential(nn.Linear(2, 4), nn.ReLU())
    with torch.no_grad():
        inner[0].bias.copy_(torch.tensor([-99.0, 99.0, 99.0, -99.0]))
    report = iw.activations(nn.Sequential(nn.Sequential(inner)), torch.rand(7, 2))
    assert [row.layer for row in report.rows] == ["0.0.0", "0.0.1", "0.0", "0"]
    assert report.notes()[1:] == ["50% of 0.0.1's units never fired on 7 inputs"]
    assert report.channels("0") is report.channels("0.0.1")
    assert report.channels("0").dead.tolist() == [True, False, False, True]


def test_half_saturated_sigmoids_are_told_and_relu6_is_not() -> None:
    model = nn.Sequential(nn.Sigmoid(), nn.ReLU6())
    notes = iw.activations(model, torch.tensor([[-9.0, 9.0, 0.0, 9.0]])).notes()
    assert notes[1:] == ["75% of 0's values are saturated"]
    assert len(iw.activations(nn.Sequential(nn.ReLU6()), torch.tensor([[-1.0, -1.0], [1.0, 1.0]])).notes()) == 1


def test_a_stream_reports_after_each_batch_and_ends_in_the_whole() -> None:
    model, batches = small(), list(torch.rand(3, 4, 2, 6, 6))
    reports = list(iw.activation_stream(model, batches))
    assert [(report.batches, report.total_batches, report.inputs) for report in reports] == [
        (1, 3, 4),
        (2, 3, 8),
        (3, 3, 12),
    ]
    assert reports[0].notes()[0].startswith("4 inputs, 1 of 3 batches;")
    assert str(reports[-1]) == str(iw.activations(model, batches))
    assert reports[0].rows[0].mean == pytest.approx(rows_of(iw.activations(model, batches[0]))["conv"].mean, **EXACT)


def test_a_loader_is_read_no_further_than_it_is_asked_for() -> None:
    read = []

    def endless() -> Iterator[torch.Tensor]:
        for number in itertools.count():
            read.append(number)
            yield torch.rand(2, 2, 6, 6)

    stream = iw.activation_stream(small(), endless())
    assert next(stream).total_batches is None
    assert next(stream).inputs == 4
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    assert read == [0, 1]


def test_the_sample_is_the_same_under_a_seed_and_another_under_another() -> None:
    model, inputs = nn.Sequential(nn.Identity()), torch.rand(4, 40_000)
    first, again, other = (iw.activations(model, [inputs, inputs], seed=seed).rows[0] for seed in (0, 0, 1))
    assert first.quantiles == again.quantiles != other.quantiles
    assert first.mean == other.mean


def test_each_value_is_as_likely_in_the_sample_whichever_batch_it_came_in() -> None:
    sizes = [100_000, 300_000, 50_000, 150_000, 10]
    shares = np.zeros((8, len(sizes)))
    for seed in range(8):
        sample = Sample.empty()
        for number, size in enumerate(sizes):
            batch = torch.full((size,), float(number))
            sample = sample.with_values(batch, np.random.default_rng([seed, number]))
        assert len(sample.values) == SAMPLE_SIZE
        shares[seed] = [(sample.values == number).mean() for number in range(len(sizes))]
    expected = np.array(sizes) / sum(sizes)
    error = np.sqrt(expected * (1 - expected) / (8 * SAMPLE_SIZE))
    assert (np.abs(shares.mean(axis=0) - expected) < 5 * error).all()  # five standard errors


def test_no_value_is_drawn_twice() -> None:
    sample = Sample.empty()
    for number, part in enumerate(torch.arange(200_000, dtype=torch.float64).split(70_000)):
        sample = sample.with_values(part, np.random.default_rng(number))
    assert len(np.unique(sample.values)) == SAMPLE_SIZE


def test_the_model_is_left_as_it_was_and_nothing_is_drawn_from_torchs_generator() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.ReLU()).train()
    inputs = torch.rand(8, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    iw.activations(model, inputs, target=0)
    assert model.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_ctrl_c_leaves_the_model_untouched() -> None:
    class Interrupting(nn.Module):
        passes = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not torch.is_grad_enabled():
                signal.raise_signal(signal.SIGINT)
            return x

    model = nn.Sequential(nn.Linear(4, 4), Interrupting(), nn.ReLU()).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        iw.activations(model, torch.rand(8, 4))
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_passes_over_a_loader_are_without_autograd() -> None:
    enabled = []

    class Asking(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            enabled.append((len(x), torch.is_grad_enabled()))
            return x

    iw.activations(nn.Sequential(nn.Linear(4, 4), Asking()), list(torch.rand(3, 8, 4)))
    assert enabled[-3:] == [(8, False)] * 3
    assert [count for count, is_enabled in enabled if is_enabled] == [2]  # recorded, to know the layers


def test_a_model_whose_forward_asks_for_gradients_is_read_once() -> None:
    class Differentiating(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            (slope,) = torch.autograd.grad((x**2).sum(), x, create_graph=True)
            return slope

    model = nn.Sequential(nn.Identity(), Differentiating())
    (one, two) = iw.activations(model, torch.tensor([[1.0, 2.0], [3.0, 6.0]])).rows
    assert (one.mean, two.mean, one.histogram.counts.sum()) == (3.0, 6.0, 4)


class Two(nn.Module):
    """Two inputs, one of them optional and by name."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.both = nn.Identity(), nn.Identity()

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.both(self.one(a) * b)


@pytest.mark.parametrize("keyed", [True, False])
def test_several_inputs_are_taken_from_their_places(keyed: bool) -> None:
    a, b, label = torch.full((2, 3), 2.0), torch.full((2, 3), 5.0), torch.zeros(2)
    trace = iw.record(Two(), {"a": b, "b": b} if keyed else (b, b))
    batch = {"label": label, "b": b, "a": a} if keyed else (a, b, label)
    rows = rows_of(iw.activations(trace, [batch]))
    assert (rows["one"].mean, rows["both"].mean) == (2.0, 10.0)
    with pytest.raises(InputError, match=r"the model has the inputs input\[.*, and a batch of the loader \(list\) has"):
        iw.activations(trace, [label])
    with pytest.raises(InputError, match=r"several inputs, .* give a trace as the model, iw.record\(model, \(a, b\)\)"):
        iw.activations(Two(), [batch])


def test_pairs_and_mappings_give_their_first_tensor() -> None:
    x, model = torch.rand(4, 3), nn.Sequential(nn.Identity())
    for batch in (x, (x, torch.zeros(4)), [x, "a"], {"x": x, "y": torch.zeros(4)}):
        assert iw.activations(model, [batch]).rows[0].maximum == float(x.max())


def test_of_a_mapping_the_tensor_is_taken_that_forward_names() -> None:
    x, labels = torch.rand(4, 3), torch.full((4, 3), 9.0)
    for batch in ({"labels": labels, "input": x}, {"input": x, "labels": labels}):
        assert iw.activations(nn.Sequential(nn.Identity()), [batch]).rows[0].maximum == float(x.max())


def test_outputs_with_one_number_for_each_input_have_one_channel() -> None:
    class Squeezed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.squeeze(1)

    report = iw.activations(nn.Sequential(nn.Linear(3, 1), Squeezed()), [torch.rand(4, 3), torch.rand(7, 3)])
    assert report.channels("1").mean.shape == (1,)
    alone = iw.activations(nn.Sequential(nn.Linear(3, 1), Squeezed()), torch.rand(4, 3))
    assert alone.channels("1").mean.shape == (1,)
    assert rows_of(report)["1"].mean == pytest.approx(rows_of(report)["0"].mean, **EXACT)


def test_tokens_have_their_features_as_channels() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    report = iw.activations(nn.Sequential(layer), torch.rand(4, 5, 8))
    assert report.channels("0.linear1").mean.shape == (16,)
    assert report.channels("0.linear2").mean.shape == (8,)


@pytest.mark.parametrize("size", [2, 4])
def test_modules_that_a_fused_kernel_passes_over_without_autograd_are_read_too(size: int) -> None:
    layer, inputs = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(), torch.rand(4, 5, 8)
    trace = iw.record(nn.Sequential(layer), inputs)
    recorded, read = rows_of(iw.activations(trace)), rows_of(iw.activations(trace, inputs.split(size)))
    assert list(read) == list(recorded)
    for name, row in read.items():
        assert row.mean == pytest.approx(recorded[name].mean, **FLOATS)


def test_a_channel_axis_that_changes_its_size_is_no_channel_axis() -> None:
    class Regrouped(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(2, -1)

    batches = [torch.rand(2, 4), torch.rand(6, 4)]
    report = iw.activations(nn.Sequential(Regrouped()), batches)
    flat = torch.cat([batch.flatten() for batch in batches]).double()
    assert report.channels("0").mean == pytest.approx([float(flat.mean())])
    assert report.rows[0].std == pytest.approx(float(flat.std(correction=0)))


def test_a_trace_without_a_loader_is_not_run_again_and_shows_any_site() -> None:
    ran = []
    model = small()
    model.register_forward_hook(lambda *_: ran.append(1))
    inputs = torch.rand(2, 2, 6, 6)
    with iw.record(model, inputs) as trace:
        before = len(ran)
        (row,) = iw.activations(trace, layers="/relu").rows
        assert row.type == "relu"
        assert row.mean == rows_of(iw.activations(trace))["act:1"].mean  # a ReLU of what a ReLU returned
        with pytest.raises(LayerError, match="'/relu' is no output of a module: other inputs run without a recording"):
            iw.activations(trace, inputs, "/relu")
    assert len(ran) == before


def test_a_layer_asked_for_is_its_last_call() -> None:
    report = iw.activations(small(), torch.rand(2, 2, 6, 6), ["act", "act:0"])
    assert [row.layer for row in report.rows] == ["act:1", "act:0"]
    assert report.channels("act") is report.channels("act:1")
    with pytest.raises(LayerError, match="the report has no layer 'conv'"):
        report.channels("conv")


def test_whole_complex_and_boolean_values_are_numbers() -> None:
    class Kinds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Identity(), nn.Identity(), nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x.long()) + self.b(torch.complex(3 * x, 4 * x)).real + self.c(x > 1)

    rows = rows_of(iw.activations(Kinds(), torch.tensor([[1.0, 2.0]]), target=0))
    assert [row.mean for row in rows.values()] == [1.5, 7.5, 0.5]
    assert rows["a"].gradient is None


def test_the_figure_has_a_box_for_each_layer_and_the_gradient_below() -> None:
    report = iw.activations(small(), torch.rand(4, 2, 6, 6), target=0)
    boxes, norms = report.figure(log=True).axes
    assert [label.get_text() for label in norms.get_xticklabels()] == [row.layer for row in report.rows]
    assert len(boxes.patches) == len(report.rows)
    assert boxes.get_yscale() == "symlog"
    drawn = norms.lines[0].get_ydata()
    assert drawn == pytest.approx([row.gradient_norm or np.nan for row in report.rows], nan_ok=True)
    plain = iw.activations(small(), torch.rand(4, 2, 6, 6)).figure()
    assert [panel.get_yscale() for panel in plain.axes] == ["linear"]
    assert plain.png()[:4] == b"\x89PNG"


def test_the_table_has_a_data_frame_with_all_fields() -> None:
    pytest.importorskip("pandas")
    report = iw.activations(small(), torch.rand(4, 2, 6, 6))
    frame = report.to_dataframe()
    assert list(frame.columns[:5]) == ["layer", "type", "shape", "mean", "std"]
    assert frame["std"].tolist() == [row.std for row in report.rows]


@pytest.mark.parametrize(
    ("given", "kind", "sentence"),
    [
        ({"loader": None}, InputError, "loader must be an iterable of batches, such as a DataLoader, .* got None"),
        ({"loader": []}, InputError, r"the loader has no batch, got \[\]: give at least one"),
        ({"loader": ["x"]}, InputError, r"each batch of the loader \(list\) must be a tensor or hold one, got 'x'"),
        (
            {"loader": [torch.rand(2, 2, 6, 6), torch.rand(2, 2, 7, 6)]},
            InputError,
            r"values for 'input' must have shape \(B, 2, 6, 6\), got \(2, 2, 7, 6\)",
        ),
        (
            {
                "loader": [torch.zeros(2, 2, 6, 6, dtype=torch.complex64)],
                "model": iw.record(small(), torch.rand(1, 2, 6, 6)),
            },
            InputError,
            r"values for 'input' must be real numbers, got torch\.complex64",
        ),
        ({"model": nn.ReLU()}, LayerError, "this ReLU has no module inside that returns a tensor, so it has no layers"),
        ({"layers": []}, LayerError, r"layers must name at least one layer, got \[\]; leave it out for all"),
        ({"layers": ["cnv"]}, LayerError, "layer 'cnv' was not recorded; did you mean 'conv'?"),
        ({"target": 7}, TargetError, r"target must be in 0\.\.2"),
        ({"seed": -1}, ParameterError, "seed must be a whole number of 0 or more, got -1"),
    ],
)
def test_mistakes_are_told(given: dict[str, Any], kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        iw.activations(**{"model": small(), "loader": torch.rand(2, 2, 6, 6)} | given)


def test_a_model_that_is_trained_meanwhile_is_noticed() -> None:
    model = small()
    stream = iw.activation_stream(model, list(torch.rand(3, 4, 2, 6, 6)))
    next(stream)
    with torch.no_grad():
        model.conv.weight += 1
    with pytest.raises(StaleError, match=r"'conv.weight' has changed since the recording"):
        next(stream)
