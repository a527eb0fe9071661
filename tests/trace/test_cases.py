"""Models that break recorders: each compared with plain hooks that keep a copy of every output."""

from __future__ import annotations

import copy
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from interp_widgets.errors import GradientError, InputError, LayerError, ModelError, NonFiniteError, StaleError
from interp_widgets.trace import SiteScore, Trace, record
from tests.trace.reference import Reference, Snapshot, relative_error


class Net(nn.Module):
    """Layers given by name, and a forward pass given as a function of the module and its inputs."""

    def __init__(self, forward: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = forward

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(self, *args, **kwargs)


def conv(channels_in: int = 3, channels: int = 4) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels, 3, padding=1)


def norm(channels: int = 4) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels)
    with torch.no_grad():
        for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
            tensor.uniform_(0.5, 1.5)
    return layer


def image(*shape: int) -> torch.Tensor:
    return torch.rand(shape or (2, 3, 6, 8))


def logits(features: torch.Tensor) -> torch.Tensor:
    return features.mean(dim=(2, 3))


def total(output: Any) -> torch.Tensor:
    return (output * torch.arange(1.0, 1 + output.shape[-1], dtype=output.dtype)).sum()


def assert_agrees(
    model: nn.Module, inputs: Any, score: Callable[[Any], torch.Tensor] = total, tolerance: float = 1e-6
) -> Trace:
    """Output, every activation and every gradient as plain hooks see them; the model as it was."""
    model.eval()
    before = Snapshot(model)
    trace = record(model, inputs)
    reference = Reference(model, inputs, score)
    assert set(trace.layers) == set(reference.activations)
    for layer, expected in reference.activations.items():
        assert relative_error(trace.activation(layer), expected) <= tolerance, layer
    for layer, expected in reference.gradients.items():
        assert (
            relative_error(
                trace.gradient(layer, score),
                torch.zeros_like(reference.activations[layer]) if expected is None else expected,
            )
            <= tolerance
        ), layer
    for name, expected in zip(trace.input_sites, reference.input_gradients, strict=True):
        if expected is not None:
            assert relative_error(trace.gradient(name, score), expected) <= tolerance, name
    before.assert_unchanged(model)
    return trace


# Writes in place


def test_an_in_place_relu_after_a_layer_does_not_change_the_layers_activation() -> None:
    model = nn.Sequential(OrderedDict(conv=conv(), bn=norm(), relu=nn.ReLU(inplace=True), last=conv(4, 5)))
    trace = assert_agrees(model, image(), lambda y: total(logits(y)))
    assert (trace.activation("bn") < 0).any() or (trace.activation("conv") < 0).any()


def test_a_chain_of_in_place_layers_keeps_each_of_their_values() -> None:
    kinds = [nn.SiLU, nn.Hardtanh, nn.ELU, nn.LeakyReLU, nn.ReLU, nn.Hardswish, nn.ReLU6, nn.Mish]
    layers = [layer for kind in kinds for layer in (conv(4), norm(), kind(inplace=True), nn.Dropout(inplace=True))]
    assert_agrees(nn.Sequential(conv(), *layers), image(), lambda y: total(logits(y)))


def test_what_autograd_itself_cannot_go_back_through_is_said_in_words() -> None:
    trace = record(nn.Sequential(conv(), nn.Sigmoid(), nn.ReLU(inplace=True)), image())
    with pytest.raises(
        GradientError, match=r"autograd cannot go back from the score .* through this Sequential: .*inplace operation"
    ):
        trace.gradient("0", 0)


def test_an_added_residual_in_place() -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        y = net.a(x)
        z = net.b(y)
        z += y
        z *= 2
        return logits(net.c(z))

    trace = assert_agrees(Net(forward, a=conv(), b=conv(4), c=conv(4)), image())
    added = trace.activation("a") + trace.activation("b")
    assert torch.equal(trace.activation("/add"), added)
    assert torch.equal(trace.activation("/mul"), added * 2)


def test_slices_written_in_place() -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        y = net.a(x)
        y[:, 1] = y[:, 0] * 2
        y[:, 2:, 1:3].zero_()
        z = net.b(y)
        z[:, :2] += 1
        return logits(net.c(z))

    assert_agrees(Net(forward, a=conv(), b=conv(4), c=conv(4)), image())


def test_an_in_place_write_to_a_view_keeps_the_gradient_of_the_layer_before_it() -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        tokens = net.a(x).flatten(2).transpose(1, 2)
        tokens[:, 1:] += net.b(tokens)[:, 1:]
        view = tokens[:, ::2]
        view.relu_()
        return net.c(tokens).mean(dim=1)

    trace = assert_agrees(Net(forward, a=conv(), b=nn.Linear(4, 4), c=nn.Linear(4, 5)), image())
    for site in trace.sites.values():
        if site.differentiable:
            assert trace.gradient(site.name, total).shape == site.shape


def test_the_gradient_at_a_view_written_in_place_agrees_with_finite_differences() -> None:
    def forward(net: Net, x: torch.Tensor, shift: torch.Tensor | float = 0.0) -> torch.Tensor:
        base = net.a(x) * 1.0
        view = base[:, 1:]
        view.mul_(net.b(x)[:, 1:])
        view.add_(shift)  # shifts the view's value by what is given
        return base.square().flatten(1)

    net = Net(forward, a=conv(), b=conv()).double()
    x, shift = image(1, 3, 4, 4).double(), torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    trace = record(net, x)
    found = trace.gradient("/mul:1" if "/mul:1" in trace.sites else "/mul_", total)
    step = 1e-6
    for position in [(0, 0, 1, 1), (0, 2, 3, 0)]:
        shift[position] = step
        up = total(net(x, shift))
        shift[position] = -step
        down = total(net(x, shift))
        shift[position] = 0
        assert found[position].item() == pytest.approx(((up - down) / (2 * step)).item(), rel=1e-6)


def test_the_out_argument_of_a_call_is_a_write() -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        y = net.a(x)
        with torch.no_grad():
            scratch = y.abs()
            torch.add(scratch, 1, out=scratch)
        return logits(net.b(y / scratch))

    trace = assert_agrees(Net(forward, a=conv(), b=conv(4)), image())
    assert torch.equal(trace.activation("/abs") + 1, trace.activation("/add"))


def test_a_write_through_data_is_seen() -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        y = net.a(x)
        kept = y + 0
        y.data.zero_()
        return logits(net.b(kept + y))

    model = Net(forward, a=conv(), b=conv(4)).eval()
    trace = record(model, image())
    assert torch.equal(trace.activation("a"), trace.activation("/add"))
    assert trace.activation("a").any()


def test_a_tensor_the_model_holds_and_writes_does_not_change_what_was_computed_before() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = conv()
            self.scale = torch.ones(1)  # not a buffer
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.a(x)
            z = y + self.scale + self.seen
            self.scale.mul_(3)
            self.seen.add_(1)
            z.relu_()
            return logits(z + self.scale)

    model = Counting().eval()
    x = image()
    trace = record(model, x)
    assert torch.equal(trace.activation("/add"), trace.activation("a") + 1)
    assert torch.equal(trace.activation("/add:1"), trace.activation("a") + 1)
    assert model.seen.item() == 0
    assert not trace.stale
    assert trace.gradient("a", 0).any()


# The shape of models


def test_each_call_of_a_reused_module_is_a_site_of_its_own() -> None:
    model = Net(lambda net, x: logits(net.c(net.c(net.c(net.a(x))))), a=conv(), c=conv(4))
    x = image()
    trace = record(model, x)
    kept: list[torch.Tensor] = []
    handle = model.c.register_forward_hook(lambda _m, _a, output: kept.append(output))
    gradients = torch.autograd.grad(total(model(x)), kept)
    handle.remove()
    for call, (expected, gradient) in enumerate(zip(kept, gradients, strict=True)):
        assert torch.equal(trace.activation(f"c:{call}"), expected)
        assert torch.allclose(trace.gradient(f"c:{call}", total), gradient)
    assert trace.site("c") == trace.site("c:2")
    assert [name for name in trace.sites if name.startswith("c")] == ["c:0", "c:1", "c:2"]


def test_a_site_name_means_that_site() -> None:
    model = Net(lambda net, x: logits(net.act(net.b(net.act(net.a(x))))), a=conv(), b=conv(4, 6), act=nn.ReLU())
    trace = record(model, image())
    for name, site in trace.sites.items():
        assert trace.site(name) is site
        assert trace.gradient(name, 0).shape == site.shape


def test_functional_calls_are_sites() -> None:
    model = Net(lambda net, x: logits(F.relu(net.a(x)) + torch.sigmoid(net.b(x))), a=conv(), b=conv())
    trace = assert_agrees(model, image())
    assert torch.equal(trace.activation("/relu"), trace.activation("a").relu())
    assert torch.allclose(trace.gradient("/relu", total), trace.gradient("/add", total))
    assert trace.sites["/relu"].module is None


def test_a_layer_that_never_ran_is_named_as_such() -> None:
    trace = record(Net(lambda net, x: net.a(x), a=conv(), unused=conv()), image())
    with pytest.raises(LayerError, match=r"layer 'unused' is in the model but did not run.*Recorded: a"):
        trace.activation("unused")


def test_two_inputs_and_keyword_arguments() -> None:
    def forward(net: Net, x: torch.Tensor, y: torch.Tensor, *, scale: torch.Tensor, flag: bool = False) -> torch.Tensor:
        return logits(net.a(x) * scale - net.b(y) if flag else net.a(y))

    model = Net(forward, a=conv(), b=conv())
    x, y, scale = image(), image(), torch.rand(4, 1, 1)
    expected = model(x, y, scale=scale, flag=True)
    trace = record(model, (x, y), kwargs={"scale": scale, "flag": True})
    assert trace.input_sites == ("input[0]", "input[1]", "input['scale']")
    assert torch.equal(trace.output, expected)
    leaves = [tensor.clone().requires_grad_() for tensor in (x, y, scale)]
    gradients = torch.autograd.grad(total(model(leaves[0], leaves[1], scale=leaves[2], flag=True)), leaves)
    for name, gradient in zip(trace.input_sites, gradients, strict=True):
        assert torch.allclose(trace.gradient(name, total), gradient)
    by_name = record(model, {"x": x, "y": y, "scale": scale, "flag": True})
    assert torch.equal(by_name.output, expected)


def test_dict_tuple_and_dataclass_outputs() -> None:
    @dataclass
    class Result:
        logits: torch.Tensor
        hidden: list[torch.Tensor]
        note: str = "kept"

    pair = namedtuple("pair", "first second")  # noqa: PYI024 - what torch itself returns

    def forward(net: Net, x: torch.Tensor, kind: str) -> Any:
        hidden = net.a(x)
        scores = logits(net.b(hidden))
        return {
            "dict": {"hidden": hidden, "logits": scores, "none": None},
            "tuple": (scores, hidden),
            "dataclass": Result(scores, [hidden, hidden]),
            "namedtuple": pair(scores, {"deep": hidden}),
        }[kind]

    model, x = Net(forward, a=conv(), b=conv(4, 5)), image()
    for kind in ("dict", "tuple", "dataclass", "namedtuple"):
        trace = record(model, (x, kind))
        assert type(trace.output) is type(model(x, kind))
        assert trace.class_count == 5, kind
        assert torch.equal(trace.logits, model(x, "tuple")[0]), kind
        assert trace.gradient("a", 3).any(), kind
    assert record(model, (x, "dataclass")).output.note == "kept"
    assert record(model, (x, "tuple"), target_output=1).class_count == 4
    assert record(model, (x, "dict"), target_output="hidden").class_count == 4


def test_a_module_that_returns_a_dict_has_a_site_for_each_tensor() -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, Any]:
            return {"index": x.argmax(), "low": x * 2, "high": x * 3}

    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        both = net.two(net.a(x))
        return logits(both["low"] + both["high"])

    trace = record(Net(forward, a=conv(), two=Two()), image())
    assert torch.equal(trace.activation("two"), trace.activation("a") * 2)
    assert torch.equal(trace.activation("two['high']"), trace.activation("a") * 3)


def test_token_ids_have_their_first_gradient_at_the_embedding() -> None:
    model = nn.Sequential(nn.Embedding(11, 6), nn.Linear(6, 5), nn.Flatten(), nn.Linear(20, 3)).eval()
    ids = torch.tensor([[1, 4, 4, 10]])
    for frozen in (False, True):
        model.requires_grad_(not frozen)
        trace = record(model, ids)
        embedded = model[0](ids).detach().requires_grad_()
        (expected,) = torch.autograd.grad(total(model[1:](embedded)), embedded)
        assert torch.allclose(trace.gradient("0", total), expected)
        with pytest.raises(GradientError, match="no gradient at 'input': its values are int64"):
            trace.gradient("input", total)


def test_frozen_parameters_change_nothing() -> None:
    model = nn.Sequential(conv(), norm(), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert_agrees(model, image())
    assert_agrees(model.requires_grad_(False), image())


def test_a_model_without_parameters() -> None:
    assert_agrees(nn.Sequential(nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()), image())


def test_weights_shared_by_two_layers() -> None:
    model = nn.Sequential(conv(), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model[2].weight = model[1].weight
    assert_agrees(model, image())


def test_a_batch_of_several_inputs_gives_each_its_own_gradient() -> None:
    model = nn.Sequential(
        conv(), norm(), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5)
    ).eval()
    batch = image(3, 3, 6, 6)
    whole = record(model, batch)
    for i in range(3):
        alone = record(model, batch[i : i + 1])
        assert torch.allclose(whole.gradient("1", 2)[i], alone.gradient("1", 2)[0], atol=1e-6)


# Layers with their own ways


def test_a_custom_autograd_function() -> None:
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:  # noqa: ARG004 - torch's signature
            return x * 2

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # noqa: ARG004 - torch's signature
            return gradient * 20  # not the derivative: what autograd uses counts

    class Layer(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return Double.apply(x)

    trace = assert_agrees(
        nn.Sequential(conv(), Layer(), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()), image()
    )
    assert torch.allclose(trace.gradient("0", total), 20 * trace.gradient("1", total))


def test_a_view_taken_without_autograd_has_no_gradient_and_stops_nothing() -> None:
    """Such a view says that it requires a gradient, as its base does, but has no place in the graph."""

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                first = x[:, :1]
                padding = x[..., :1] != 0
            return self.conv(x * (first > 0.5) * padding).mean(dim=(2, 3))

    trace = assert_agrees(Masked(), image())
    assert not trace.sites["/getitem"].differentiable
    with pytest.raises(GradientError, match=r"computed under torch\.no_grad"):
        trace.gradient("/getitem", 0)


class Scale(nn.Module):
    """Computes with its parameter alone, which the recorder then makes a leaf of the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(4, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma.exp()


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_gradient_checkpointing(reentrant: bool, training: bool, frozen: bool) -> None:
    plain = nn.Sequential(
        conv(), torch.nn.utils.parametrizations.weight_norm(conv(4)), norm(), nn.ReLU(inplace=True), nn.Dropout(0.5)
    )
    plain.append(Scale())
    blocks = copy.deepcopy(plain)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        return net.head(checkpoint(net.blocks, x, use_reentrant=reentrant))

    model, x = Net(forward, blocks=blocks, head=head).train(training), image()
    model.requires_grad_(not frozen)
    trace = record(model, x)
    reference = record(Net(lambda net, x: net.head(net.blocks(x)), blocks=plain, head=head), x)
    for layer in reference.layers:
        assert torch.allclose(trace.gradient(layer, total), reference.gradient(layer, total)), layer
        assert torch.allclose(trace.activation(layer), reference.activation(layer)), layer


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_layers(kind: type[nn.RNNBase]) -> None:
    model = Net(
        lambda net, x: net.head(net.rnn(x)[0][:, -1]),
        rnn=kind(5, 6, num_layers=2, batch_first=True, bidirectional=True),
        head=nn.Linear(12, 3),
    )
    trace = assert_agrees(model, torch.rand(2, 7, 5))
    assert "rnn[1]" in trace.sites or "rnn[1][0]" in trace.sites


def test_multi_head_attention_and_transformer_encoders_despite_their_fast_path() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Flatten(), nn.Linear(40, 3))
    x = torch.rand(2, 5, 8)
    trace = assert_agrees(model, x)
    assert "0.layers.1.self_attn" in trace.layers
    with torch.no_grad():  # here torch takes its fused path, which adds up in another order
        assert torch.allclose(trace.output, model(x), atol=1e-5)
    attention = Net(lambda net, x: net.mha(x, x, x)[0].mean(dim=1), mha=nn.MultiheadAttention(8, 2, batch_first=True))
    assert_agrees(attention, x)


def test_weight_norm_and_spectral_norm() -> None:
    parametrizations = torch.nn.utils.parametrizations
    model = nn.Sequential(
        parametrizations.weight_norm(conv()),
        parametrizations.spectral_norm(conv(4)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    model.eval()
    trace = record(model, x := image())
    assert torch.allclose(trace.output, model(x))
    (expected,) = torch.autograd.grad(total(model[1:](middle := model[0](x))), middle)
    assert torch.allclose(trace.gradient("0", total), expected, atol=1e-6)
    with pytest.warns(FutureWarning, match="weight_norm"):
        old = torch.nn.utils.weight_norm(conv())
    assert_agrees(nn.Sequential(old, nn.AdaptiveAvgPool2d(1), nn.Flatten()), image())


def test_complex_numbers() -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        spectrum = torch.fft.rfft2(net.a(x))
        filtered = net.b(spectrum)
        return logits(torch.fft.irfft2(filtered).square() + filtered.abs().mean())

    class Filter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(4, 6, 5, dtype=torch.complex64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight

    trace = assert_agrees(Net(forward, a=conv(), b=Filter()), image(), tolerance=1e-5)
    assert trace.gradient("b", total).is_complex()


@pytest.mark.parametrize("head", [nn.LogSoftmax(dim=1), nn.Softmax(dim=1)])
def test_the_score_is_the_one_before_a_final_softmax(head: nn.Module) -> None:
    body = nn.Sequential(conv(), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    x = image()
    trace = record(nn.Sequential(*body, head), x)
    plain = record(body, x)
    assert trace.logits_site == "4"
    assert torch.allclose(trace.score(2), plain.score(2))
    assert torch.allclose(trace.gradient("1", 2), plain.gradient("1", 2))
    assert torch.allclose(trace.output, head(plain.output))
    functional = Net(lambda net, x: F.log_softmax(net.body(x), dim=-1), body=body)
    assert torch.allclose(record(functional, x).score(2), plain.score(2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    model = nn.Sequential(
        conv(), norm(), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    ).to(dtype)
    trace = assert_agrees(model, image().to(dtype))
    assert trace.gradient("0", total).dtype is dtype


def test_channels_last() -> None:
    model = nn.Sequential(conv(), norm(), nn.ReLU(inplace=True), conv(4, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = model.to(memory_format=torch.channels_last)
    trace = assert_agrees(model, image().to(memory_format=torch.channels_last))
    assert trace.activation("0").is_contiguous(memory_format=torch.channels_last)


def test_autocast_around_the_call_and_inside_the_model() -> None:
    body = nn.Sequential(
        conv(),
        nn.ReLU(inplace=True),
        norm(),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    ).eval()

    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return net.body(x)

    x = image()
    inside = assert_agrees(Net(forward, body=body), x)
    assert inside.activation("body.0").dtype is torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        around = record(body, x)
    for layer in around.layers:
        assert torch.equal(around.activation(layer), inside.activation(f"body.{layer}"))
        assert torch.equal(around.gradient(layer, 1), inside.gradient(f"body.{layer}", 1))


@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_compiled_models_are_recorded_without_compiling(backend: str) -> None:
    body = nn.Sequential(conv(), norm(), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    x = image()
    plain = record(body, x)
    part = nn.Sequential(torch.compile(body[0], backend=backend), *body[1:])
    method = copy.deepcopy(body)
    method.compile(backend=backend)
    for model in (torch.compile(body, backend=backend), part, method):
        trace = record(model, x)
        assert torch.equal(trace.output, plain.output)
        assert torch.equal(trace.gradient("1", 0), plain.gradient("1", 0))


def test_a_compiled_function_in_the_forward_pass() -> None:
    squash = torch.compile(lambda x: torch.tanh(x) * 2, backend="eager")
    model, x = Net(lambda net, x: logits(squash(net.a(x))), a=conv()), image()
    trace = record(model, x)
    plain = record(Net(lambda net, x: logits(torch.tanh(net.a(x)) * 2), a=model.a), x)
    assert torch.allclose(trace.output, plain.output)
    assert torch.allclose(trace.gradient("a", 1), plain.gradient("a", 1))


def test_data_parallel_is_looked_through() -> None:
    body = nn.Sequential(conv(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    trace = record(nn.DataParallel(body), image())
    assert trace.model is body
    assert trace.layers == ["0", "1", "2"]


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_script_module_is_refused_with_the_way_out() -> None:
    scripted = torch.jit.trace(nn.Sequential(conv(), nn.ReLU()), image())
    with pytest.raises(ModelError, match=r"a ScriptModule .* cannot be recorded.*give the nn.Module it was"):
        record(scripted, image())
    model = nn.Sequential(
        conv(),
        torch.jit.trace(nn.Sequential(nn.ReLU(), conv(4)), image(2, 4, 6, 8)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    trace = record(model, x := image())
    assert torch.allclose(trace.output, model(x))
    assert trace.gradient("0", 1).any()
    assert trace.gradient("1", 1).any()


def test_what_is_not_a_model_or_not_an_input_is_refused() -> None:
    with pytest.raises(ModelError, match=r"model must be a torch.nn.Module, got <function .* \(function\)"):
        record(total, image())
    with pytest.raises(InputError, match="inputs must hold at least one tensor, got dict"):
        record(conv(), {"path": "cat.png"})


def test_a_users_own_hook_that_replaces_an_output_is_seen() -> None:
    model = nn.Sequential(conv(), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    model[0].register_forward_hook(lambda _module, _args, output: output * 10)
    trace = record(model, x := image())
    assert torch.equal(trace.activation("0"), model[0](x).detach())
    assert torch.equal(trace.output, model(x))


def test_nan_and_infinity_are_traced_to_the_layer_where_they_first_appear() -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        y = net.b(net.a(x))
        return logits(net.d(net.c(y)))

    class Divide(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / torch.zeros(1)

    trace = record(Net(forward, a=conv(), b=nn.ReLU(inplace=True), c=Divide(), d=conv(4)), image())
    assert trace.first_nonfinite() == "c"
    with pytest.raises(NonFiniteError, match=r"the score of .* is nan: NaN or infinity first appears at 'c'"):
        trace.score(0)
    with pytest.raises(NonFiniteError, match="first appears at 'c'"):
        trace.gradient("a", 0)
    assert record(conv(), image()).first_nonfinite() is None


def test_a_missing_number_of_a_table_is_told_by_its_column() -> None:
    rows = torch.tensor([[1.0, float("nan"), 3.0], [1.0, 2.0, float("inf")]])
    trace = record(nn.Linear(3, 2), rows, feature_names=["age", "income", "debt"])
    with pytest.raises(NonFiniteError, match=r"first appears at 'input', in 'income', 'debt': fill in"):
        trace.score(0)
    with pytest.raises(NonFiniteError, match=r"first appears at 'input'$"):
        record(nn.Linear(3, 2), rows).score(0)


def test_a_forward_pass_under_no_grad_has_activations_and_says_why_it_has_no_gradients() -> None:
    @torch.no_grad()
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        return logits(net.b(F.relu_(net.a(x))))

    model = Net(forward, a=conv(), b=conv(4))
    trace = record(model, x := image())
    assert torch.equal(trace.activation("a"), model.a(x).detach())
    with pytest.raises(GradientError, match=r"no gradient at 'a': it was computed under torch.no_grad\(\)"):
        trace.gradient("a", 0)
    with pytest.raises(
        GradientError, match=r"the score of .* has no gradient: the model's output was computed without autograd"
    ):
        trace.gradient("input", 0)


def test_a_gradient_is_refused_where_every_way_to_the_score_leads_through_no_grad() -> None:
    """Autograd has no way and would say zero, which is not the derivative."""

    def forward(net: Net, x: torch.Tensor, unused: torch.Tensor) -> torch.Tensor:
        del unused
        with torch.no_grad():
            features = net.frozen(x)
        return logits(net.head(features))

    model = Net(forward, frozen=conv(), head=conv(4))
    trace = record(model, (image(), image()))
    with pytest.raises(
        GradientError, match=r"depends on it by way of 'frozen', which was computed under torch.no_grad\(\)"
    ):
        trace.gradient("input[0]", 0)
    assert trace.gradient("head", 0).abs().sum() > 0
    assert trace.gradient("input[1]", 0).abs().sum() == 0  # the score does not depend on it


def test_a_gradient_of_zero_is_given_where_only_another_score_leads_through_no_grad() -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        early, beside = net.early(x), net.beside(x)
        with torch.no_grad():
            features = net.frozen(early + beside)
        return logits(net.head(features))

    trace = record(Net(forward, early=conv(), beside=conv(), frozen=conv(4), head=conv(4)), image())
    assert trace.gradient("beside", SiteScore("early", 0)).abs().sum() == 0
    with pytest.raises(GradientError, match="by way of '/add'"):
        trace.gradient("beside", 0)


def test_a_caller_under_no_grad_or_inference_mode_gets_the_same() -> None:
    model = nn.Sequential(conv(), norm(), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    x = image()
    plain = record(model, x)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            trace = record(model, x.clone())
            inside = trace.gradient("1", 1), trace.activation("1")
        assert torch.equal(inside[0], plain.gradient("1", 1))
        assert torch.equal(inside[1], plain.activation("1"))
        assert torch.equal(trace.gradient("0", 1), plain.gradient("0", 1))


def test_gradients_agree_with_finite_differences() -> None:
    layers = OrderedDict(
        a=conv(),
        bn=norm(),
        act=nn.SiLU(inplace=True),
        b=conv(4),
        pool=nn.AdaptiveAvgPool2d(2),
        flat=nn.Flatten(),
        head=nn.Linear(16, 3),
    )
    model = nn.Sequential(layers).double().eval()
    trace = record(model, image(1, 3, 4, 4).double())
    for start, layer in enumerate(["input", *layers]):
        value, gradient = trace.activation(layer).clone(), trace.gradient(layer, 2)
        for position in torch.randperm(value.numel())[:6].tolist():
            ends = []
            for step in (1e-6, -1e-6):
                moved = value.clone()
                moved.view(-1)[position] += step
                ends.append(model[start:](moved)[0, 2].item())
            assert gradient.reshape(-1)[position].item() == pytest.approx(
                (ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8
            )


# What a forward may do, found by newcomers


def test_a_value_written_by_out_is_the_one_that_was_written() -> None:
    def run(self: Any, x: torch.Tensor) -> torch.Tensor:
        hidden = self.fc(x)
        with torch.no_grad():
            total, value, place = torch.zeros(2, 4), torch.zeros(2), torch.zeros(2, dtype=torch.long)
            torch.add(hidden, 1.0, out=total)
            torch.max(hidden, 1, out=(value, place))
            kept = self.a(total), self.b(value)
            total.mul_(3)
            value.mul_(3)
        return hidden + kept[0] + kept[1][:, None]

    model, x = Net(run, fc=nn.Linear(4, 4), a=nn.Identity(), b=nn.Identity()), torch.randn(2, 4)
    trace = record(model, x)
    hidden = model.fc(x).detach()
    torch.testing.assert_close(trace.activation("a"), hidden + 1)
    torch.testing.assert_close(trace.activation("b"), hidden.max(dim=1).values)


def test_tensors_written_as_a_list_keep_the_values_from_before() -> None:
    def run(self: Any, x: torch.Tensor) -> torch.Tensor:
        hidden = self.fc(x)
        with torch.no_grad():
            copy = hidden.clone()
            kept = self.a(copy)
            torch._foreach_mul_([copy], 0.5)
        return hidden + kept

    model, x = Net(run, fc=nn.Linear(4, 4), a=nn.Identity()), torch.randn(2, 4)
    trace = record(model, x)
    torch.testing.assert_close(trace.activation("a"), model.fc(x).detach())
    torch.testing.assert_close(trace.output, model(x).detach())


def clamped(self: Any, x: torch.Tensor) -> torch.Tensor:
    self.fc.weight.data.clamp_(-0.1, 0.1)
    result: torch.Tensor = self.fc(x)
    return result


def halved(self: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        torch._foreach_mul_([self.fc.weight], 0.5)
    result: torch.Tensor = self.fc(x)
    return result


@pytest.mark.parametrize("run", [clamped, halved])
def test_a_forward_that_writes_into_its_weights_by_another_way_is_refused(run: Callable[..., Any]) -> None:
    model = Net(run, fc=nn.Linear(4, 4))
    before = model.fc.weight.detach().clone()
    with pytest.raises(ModelError, match=r"the model writes into its parameter 'fc\.weight' in its own forward"):
        record(model, torch.randn(2, 4))
    assert torch.equal(model.fc.weight, before)


def test_a_weight_that_forward_takes_out_of_the_graph_is_a_number() -> None:
    model = Net(lambda self, x: self.fc(x) * float(self.fc.weight.detach().numpy().std()), fc=nn.Linear(4, 4))
    x = torch.randn(2, 4)
    torch.testing.assert_close(record(model, x).output, model(x).detach())


class Settings(dict[str, Any]):
    """A dict whose entries are attributes, as configuration packages have it."""

    __getattr__ = dict.__getitem__


def test_a_changed_entry_of_a_configuration_is_noticed() -> None:
    model = Net(lambda self, x: self.fc(x) * self.settings.scale, fc=nn.Linear(4, 2))
    model.settings = Settings(scale=1.0, nested=Settings(more=[1]))
    trace = record(model, torch.randn(1, 4))
    assert not trace.stale
    model.settings["nested"]["more"].append(2)
    assert trace.stale
    trace = record(model, torch.randn(1, 4))
    model.settings["scale"] = 5.0
    with pytest.raises(StaleError, match=r"'settings\.scale' has changed"):
        trace.probe("input", torch.randn(1, 4), 0)


def test_rows_of_an_embedding_with_a_maximal_norm_stay_and_can_be_explained() -> None:
    model = nn.Sequential(nn.Embedding(10, 6, max_norm=0.1), nn.Flatten(), nn.Linear(42, 3))
    ids = torch.randint(0, 10, (2, 7))
    before, version = model[0].weight.detach().clone(), model[0].weight._version
    trace = record(model, ids)
    trace.gradient("0", 0)
    trace.probe("0", torch.randn(2, 7, 6), 0)
    assert torch.equal(model[0].weight, before)
    assert model[0].weight._version == version
    torch.testing.assert_close(trace.output, model(ids).detach())


class Slotted(nn.Module):
    """Keeps an attribute outside its ``__dict__``."""

    __slots__ = ("scale",)

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)
        self.scale = 2.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.fc(x) * self.scale
        return result


def test_a_module_with_slots_is_recorded() -> None:
    model, x = Slotted(), torch.randn(2, 4)
    torch.testing.assert_close(record(model, x).output, model(x).detach())


@pytest.mark.parametrize("is_buffer", [True, False])
def test_a_sparse_tensor_among_the_models_own_is_used_as_it_is(is_buffer: bool) -> None:
    model = Net(lambda self, x: self.fc(torch.sparse.mm(self.graph, x)), fc=nn.Linear(4, 2))
    graph = torch.tensor([[0.0, 2.0], [1.0, 0.0]]).to_sparse()
    if is_buffer:
        model.register_buffer("graph", graph)
    else:
        model.graph = graph
    x = torch.randn(2, 4)
    trace = record(model, x)
    torch.testing.assert_close(trace.output, model(x).detach())
    torch.testing.assert_close(trace.gradient("input", 1), torch.tensor([[1.0], [2.0]]) * model.fc.weight[1].detach())


def test_what_is_transformed_by_torch_func_is_one_step() -> None:
    model, x = Net(lambda self, x: torch.vmap(self.fc)(x) * 2, fc=nn.Linear(4, 2)), torch.randn(2, 4)
    trace = record(model, x)
    torch.testing.assert_close(trace.output, model(x).detach())
    torch.testing.assert_close(trace.gradient("input", 1), 2 * model.fc.weight[1].detach().expand(2, -1))


def test_a_forward_that_hooks_its_own_tensors_is_run_with_autograd() -> None:
    def run(self: Any, x: torch.Tensor) -> torch.Tensor:
        features = self.conv(x).relu()
        features.register_hook(lambda _gradient: None)
        result: torch.Tensor = self.fc(features.mean(dim=(2, 3)))
        return result

    model = Net(run, conv=nn.Conv2d(3, 4, 3), fc=nn.Linear(4, 2))
    others = torch.randn(3, 3, 8, 8)
    found = record(model, torch.randn(1, 3, 8, 8)).probe("input", others, 1).scores
    torch.testing.assert_close(found, model(others)[:, 1].detach())
    assert not found.requires_grad


def test_an_input_without_values_is_refused() -> None:
    with pytest.raises(InputError, match="an input is on the device 'meta', so it has a shape and no values"):
        record(nn.Linear(4, 2), torch.randn(2, 4, device="meta"))
    shapes = record(nn.Linear(4, 2, device="meta"), torch.randn(2, 4))  # shapes alone can be looked at
    assert shapes.site(shapes.output_sites[0]).shape == (2, 2)


@pytest.mark.parametrize("example", [-1, 2, None])
def test_an_input_that_is_not_in_the_batch_is_not_lent(example: Any) -> None:
    with (
        pytest.raises(InputError, match=r"example must be in 0\.\.1"),
        record(nn.Linear(4, 2), torch.randn(2, 4)).lent(example),
    ):
        pass


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_before_a_batch_norm_whose_channels_become_the_last_axis_is_right(dtype: torch.dtype) -> None:
    """Torch's own gradient of a batch of one is off by the size of the gradient here."""
    torch.manual_seed(0)
    weights = torch.randn(1, 30, 4, dtype=dtype)
    model = Net(
        lambda self, x: (self.bn(self.conv(x)).flatten(2).transpose(1, 2) * weights).sum(dim=1),
        conv=nn.Conv2d(3, 4, 1),
        bn=nn.BatchNorm2d(4),
    ).to(dtype)
    trace = record(model.eval(), torch.randn(1, 3, 5, 6, dtype=dtype))
    scale = (model.bn.weight / (model.bn.running_var + model.bn.eps).sqrt()).detach()
    expected = torch.zeros(1, 4, 5, 6, dtype=dtype)
    expected[0, 2] = weights[0, :, 2].reshape(5, 6) * scale[2]
    torch.testing.assert_close(trace.gradient("conv", 2), expected)
