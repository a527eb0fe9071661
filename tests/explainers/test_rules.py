"""Gradients by other rules and relevance propagation: against Captum, by hand, and on models that Captum gets wrong."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import interp_widgets as iw
from interp_widgets import errors
from interp_widgets.errors import GradientError, LayerError
from interp_widgets.propagation.relevance import Relevance
from interp_widgets.propagation.rules import ruled_gradient
from tests.explainers.subjects import SmallNet, image_for, subject

# In double precision, with sums of a few thousand terms.
ROUNDING = 1e-9


class Plain(nn.Module):
    """What Captum can do: each ReLU a module of its own, called once."""

    def __init__(self, *, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1, bias=bias)
        self.relu1 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1, bias=bias)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(8, 8, 3, stride=2, bias=bias)
        self.relu3 = nn.ReLU()
        self.head = nn.Linear(8 * 2 * 3, 4, bias=bias)
        self.double()
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.relu1(self.conv1(x)))
        x = self.relu3(self.conv3(self.relu2(self.conv2(x))))
        return self.head(x.flatten(1))


class Functional(Plain):
    """The same, without modules for its ReLUs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = torch.relu(self.conv2(x))
        return self.head(self.conv3(x).relu_().flatten(1))


class Reused(Plain):
    """The same, with one ReLU for all."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.relu1(self.conv1(x)))
        x = self.relu1(self.conv3(self.relu1(self.conv2(x))))
        return self.head(x.flatten(1))


class InPlace(Plain):
    """The same, with ReLUs that write over what they get."""

    def __init__(self) -> None:
        super().__init__()
        self.relu1, self.relu2, self.relu3 = (nn.ReLU(inplace=True) for _ in range(3))


WRITTEN = [Plain, Functional, Reused, InPlace]


def picture() -> torch.Tensor:
    return torch.randn(1, 3, 10, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def lrp(model: nn.Module, image: torch.Tensor, target: int = 1, layer: str | None = None, **given: Any) -> torch.Tensor:
    return iw.LRP(**given)(iw.record(model.eval(), image), target, layer).values


def times_gradient(model: nn.Module, image: torch.Tensor, target: int = 1) -> torch.Tensor:
    """Input times gradient, in the plainest way."""
    x = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[0, target], x)
    return (image * gradient)[0]


@contextmanager
def without_warnings() -> Iterator[None]:
    """Captum warns that it sets hooks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# Guided Backprop and Deconvnet

PEERS = {"guided": captum.attr.GuidedBackprop, "deconvnet": captum.attr.Deconvolution}


def of_captum(rule: str, model: nn.Module, image: torch.Tensor, target: int) -> torch.Tensor:
    with without_warnings():
        found = PEERS[rule](model).attribute(image.clone().requires_grad_(), target=target)
    model.zero_grad(set_to_none=True)
    return found.detach()


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("rule", PEERS)
def test_a_ruled_gradient_agrees_with_captum_however_the_model_is_written(
    rule: Any, written: type[Plain], close: Callable[..., None]
) -> None:
    """The peer is always given the version whose ReLUs are modules."""
    expected = of_captum(rule, Plain(), picture(), 2)
    trace = iw.record(written(), picture())
    close(ruled_gradient(trace, trace.input_sites[0], 2, rule=rule), expected, ROUNDING)


@pytest.mark.parametrize("rule", PEERS)
def test_captum_overlooks_functional_relus(rule: str, close: Callable[..., None]) -> None:
    """Or has it been mended? It gives the plain gradient."""
    model = Functional()
    (plain,) = torch.autograd.grad(model(x := picture().requires_grad_())[0, 2], x)
    close(of_captum(rule, model, picture(), 2), plain, ROUNDING)
    assert float((of_captum(rule, Plain(), picture(), 2) - plain).abs().max()) > 0.1 * float(plain.abs().max())


@pytest.mark.parametrize("rule", PEERS)
def test_a_ruled_gradient_of_a_resnet_agrees_with_captum(rule: Any, close: Callable[..., None]) -> None:
    """Whose ReLUs are reused and write in place; the peer gets one that does not, with a ReLU for each call."""
    model, image = subject("resnet18"), image_for("resnet18")
    other = copy.deepcopy(model)
    for module in other.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if type(module).__name__ == "BasicBlock":
            module.second = nn.ReLU()
            module.forward = _block.__get__(module)  # type: ignore[method-assign]
    trace = iw.record(model, image)
    expected = of_captum(rule, other.eval(), image, 3)
    close(ruled_gradient(trace, trace.input_sites[0], 3, rule=rule), expected)


def _block(block: Any, x: torch.Tensor) -> torch.Tensor:
    """A residual block of torchvision, with another ReLU at its end."""
    skipped = x if block.downsample is None else block.downsample(x)
    x = block.relu(block.bn1(block.conv1(x)))
    return block.second(block.bn2(block.conv2(x)) + skipped)


ACTIVATIONS = [
    nn.ReLU(),
    nn.ReLU6(),
    nn.LeakyReLU(0.2),
    nn.PReLU(),
    nn.ELU(),
    nn.CELU(),
    nn.SELU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.SiLU(),
    nn.Mish(),
    nn.Softplus(),
    nn.Hardswish(),
    nn.Hardtanh(),
    nn.RReLU(),
    nn.Threshold(0.1, 0.0),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_the_rules_at_one_activation_function_by_hand(activation: nn.Module) -> None:
    values = torch.linspace(-8, 8, 41, dtype=torch.float64)
    arriving = torch.cat([torch.full((41,), 2.0), torch.full((41,), -3.0)]).double()
    model = nn.Sequential(activation, nn.Linear(82, 1)).double().eval()
    with torch.no_grad():
        model[1].weight[0] = arriving
    x = values.repeat(2)
    trace = iw.record(model, x[None])
    site = trace.input_sites[0]
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(activation(leaf).sum(), leaf)
    guided = torch.where(arriving > 0, arriving * slope, 0).clamp(min=0)
    torch.testing.assert_close(ruled_gradient(trace, site, 0, rule="guided")[0], guided)
    torch.testing.assert_close(ruled_gradient(trace, site, 0, rule="deconvnet")[0], arriving.clamp(min=0))


@pytest.mark.parametrize(
    ("kind", "rule"), [(iw.GuidedBackprop, "guided"), (iw.Deconvnet, "deconvnet")], ids=["guided", "deconvnet"]
)
def test_the_map_is_the_largest_or_mean_size_over_the_channels(
    kind: Any, rule: Any, close: Callable[..., None]
) -> None:
    expected = of_captum(rule, Plain(), picture(), 2)[0].abs()
    trace = iw.record(Functional(), picture())
    close(kind()(trace, 2).values, expected.amax(dim=0), ROUNDING)
    close(kind(channels="mean")(trace, 2).values, expected.mean(dim=0), ROUNDING)


@pytest.mark.parametrize("rule", PEERS)
@pytest.mark.parametrize("first", [True, False])
def test_gradients_afterwards_are_the_plain_ones(rule: Any, *, first: bool, close: Callable[..., None]) -> None:
    model = Reused()
    expected = iw.record(model, picture()).gradient("conv1", 2)
    trace = iw.record(model, picture())
    if first:
        trace.gradient("conv1", 2)
    ruled = ruled_gradient(trace, "conv1", 2, rule=rule)
    assert float((ruled - expected).abs().max()) > 0.1 * float(expected.abs().max())
    assert torch.equal(trace.gradient("conv1", 2), expected)
    close(trace.gradient(trace.input_sites[0], 2)[0], times_gradient(model, picture(), 2) / picture()[0], 1e-6)
    assert torch.equal(ruled_gradient(trace, "conv1", 2, rule=rule), ruled), "a ruled gradient is not a cached one"


def test_after_an_exception_gradients_are_the_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = iw.record(Plain(), picture())
    expected = iw.record(Plain(), picture()).gradient("conv1", 2)

    def broken(*_args: Any) -> None:
        raise ZeroDivisionError("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr("interp_widgets.propagation.rules._guided", broken)
        with pytest.raises(ZeroDivisionError, match="on purpose"):
            ruled_gradient(trace, "conv1", 2, rule="guided")
    assert torch.equal(trace.gradient("conv1", 2), expected)


def test_guided_grad_cam_is_the_product_of_its_parts(close: Callable[..., None]) -> None:
    trace = iw.record(subject("resnet18"), image_for("resnet18"))
    cam = iw.GradCAM()(trace, 3, "layer4").values
    assert float(cam.max()) > 0
    large = F.interpolate(cam[None, None], size=(96, 128), mode="bilinear", align_corners=False)[0, 0]
    close(iw.GuidedGradCAM()(trace, 3).values, large * iw.GuidedBackprop()(trace, 3).values)
    mean = iw.GuidedBackprop(channels="mean")(trace, 3).values
    close(iw.GuidedGradCAM(channels="mean")(trace, 3).values, large * mean)
    with pytest.raises(LayerError, match="explains the input only"):
        iw.GuidedGradCAM()(trace, 3, "layer4")


@pytest.mark.parametrize(
    "explainer",
    [iw.GuidedBackprop(), iw.Deconvnet(), iw.LRP(), iw.LRP(rule="epsilon", epsilon=0.0)],
)
def test_one_of_a_batch_is_explained_as_alone(explainer: iw.Explainer, close: Callable[..., None]) -> None:
    """With a large epsilon it could not be: that is a share of what the whole batch has."""
    images = torch.cat([picture(), torch.randn(1, 3, 10, 14).double()])
    alone = explainer(iw.record(Plain(), images[1:]), 2).values
    tolerance = 0.05 if getattr(explainer, "epsilon", 0) else ROUNDING
    close(explainer(iw.record(Plain(), images), 2, example=1).values, alone, tolerance)


# LRP by hand


def stable(total: float, epsilon: float, totals: list[float]) -> float:
    """A sum and a share of the root mean square of all of them, away from zero."""
    least = epsilon * math.sqrt(sum(each * each for each in totals) / len(totals))
    return total + (least if total >= 0 else -least)


@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("rule", ["epsilon", "epsilon-plus"])
def test_lrp_of_two_linear_layers_by_hand(rule: Any, epsilon: float) -> None:
    """Bach et al. 2015, eq. 58: with biases, which keep their share."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    x = torch.randn(1, 4).double()
    hidden = model[0](x)[0].tolist()
    opened, scores = [max(0.0, each) for each in hidden], model(x)[0].tolist()
    first, second = model[0].weight.tolist(), model[2].weight.tolist()
    relevance = [0.0] * 4
    for j in range(5):
        arrived = opened[j] * second[1][j] * scores[1] / stable(scores[1], epsilon, scores)
        for i in range(4):
            relevance[i] += x[0, i].item() * first[j][i] * arrived / stable(hidden[j], epsilon, hidden)
    assert lrp(model, x, rule=rule, epsilon=epsilon).tolist() == pytest.approx(relevance)


CONVOLUTIONS = [
    nn.Conv2d(3, 4, 3),
    nn.Conv2d(3, 4, (2, 3), stride=2, padding=1, bias=False),
    nn.Conv2d(3, 6, 3, groups=3, dilation=2, padding="same"),
    nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1),
    nn.Conv1d(3, 4, 3),
]


@pytest.mark.parametrize("convolution", CONVOLUTIONS, ids=repr)
def test_only_positive_contributions_count_at_a_convolution_by_hand(
    convolution: nn.Module, close: Callable[..., None]
) -> None:
    """Bach et al. 2015, eq. 60 with alpha 1 and beta 0, on the convolution written as a matrix."""
    torch.manual_seed(2)
    convolution = copy.deepcopy(convolution).double()
    shape = (3, 9) if isinstance(convolution, nn.Conv1d) else (3, 5, 6)
    x = torch.randn(1, *shape).double()
    size = x.numel()
    with torch.no_grad():
        zero = convolution(torch.zeros(1, *shape).double()).flatten()
        matrix = convolution(torch.eye(size).double().reshape(size, *shape)).flatten(1) - zero  # (inputs, outputs)
    model = nn.Sequential(convolution, nn.Flatten(), nn.Linear(matrix.shape[1], 2)).double()
    contributions = (x.flatten()[:, None] * matrix).clamp(min=0)
    head, outputs = model[2], convolution(x).flatten().detach()
    arrived = (head.weight[1] * outputs).detach()  # the share of a linear sum, times that sum: epsilon is 0
    sums = contributions.sum(dim=0)
    expected = torch.where(sums > 0, contributions / sums * arrived, 0).sum(dim=1).reshape(shape)
    if x.ndim == 4:
        expected = expected.sum(dim=0)
    close(lrp(model, x, epsilon=0.0).flatten(), expected.flatten(), ROUNDING)


def test_an_activation_function_hands_relevance_through_and_max_pooling_to_its_maximum() -> None:
    class Pooled(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.max_pool1d(F.gelu(x), 2).sum(dim=(1, 2))[:, None]

    x = torch.tensor([[[1.0, 3.0, 2.0, -1.0]]]).double()
    expected = [0.0, *F.gelu(torch.tensor([3.0, 2.0]).double()).tolist(), 0.0]
    assert lrp(Pooled(), x, 0, epsilon=0.0).flatten().tolist() == pytest.approx(expected)


def test_a_product_of_two_inputs_is_shared_equally() -> None:
    class Product(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x[:, 0] * x[:, 1])[:, None]

    assert lrp(Product(), torch.tensor([[3.0, -4.0]]), 0, epsilon=0.0).tolist() == pytest.approx([-6, -6])


# LRP against Captum and against input times gradient


@pytest.mark.parametrize("target", [0, 3])
@pytest.mark.parametrize("written", WRITTEN)
def test_lrp_agrees_with_captum_however_the_model_is_written(
    written: type[Plain], target: int, close: Callable[..., None]
) -> None:
    with without_warnings():
        theirs = captum.attr.LRP(Plain()).attribute(picture(), target=target)[0].sum(dim=0).detach()
    close(lrp(written(), picture(), target, rule="epsilon", epsilon=0.0), theirs, 1e-6)  # their epsilon: 1e-9


def normalised_resnet() -> nn.Module:
    torch.manual_seed(2)
    model = copy.deepcopy(subject("resnet18")).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.normal_(module.bias, std=0.3)
    return model.eval()


@pytest.mark.parametrize("name", ["plain", "without biases", "small", "resnet18"])
def test_lrp_without_epsilon_is_input_times_gradient_on_a_model_of_relus(name: str, close: Callable[..., None]) -> None:
    """Montavon et al. 2019, section 10.3: residual sums, batch norms and biases make no difference."""
    models: dict[str, Callable[[], nn.Module]] = {
        "plain": Plain,
        "without biases": lambda: Plain(bias=False),
        "small": lambda: SmallNet().double().eval(),
        "resnet18": normalised_resnet,
    }
    model = models[name]()
    image = picture() if name != "resnet18" else image_for(name).double()[:, :, :64, :64]
    expected = times_gradient(model, image).sum(dim=0)
    close(lrp(model, image, rule="epsilon", epsilon=0.0), expected, 1e-6)  # quotients of sums that may be near zero


class Gated(nn.Module):
    """Squeeze and excitation; ``detached`` takes the gate as a constant."""

    def __init__(self, *, detached: bool = False) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.detached = detached
        self.conv = nn.Conv2d(3, 6, 3)
        self.squeeze = nn.Conv2d(6, 6, 1)
        self.head = nn.Linear(6, 4)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv(x))
        gate = self.squeeze(x.mean(dim=(2, 3), keepdim=True)).sigmoid()
        x = x * (gate.detach() if self.detached else gate)
        return self.head(x.mean(dim=(2, 3)))


class Joined(nn.Module):
    """A residual sum, a concatenation, a view and a mean."""

    def __init__(self, *, detached: bool = False) -> None:
        super().__init__()
        del detached  # there is nothing to detach
        torch.manual_seed(7)
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(11 * 10, 4)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = F.relu(self.conv1(x))
        second = F.relu(self.conv2(first) + first)
        joined = torch.cat([first, x, second], dim=1)
        return self.head(joined.transpose(1, 2).mean(dim=3).reshape(-1, 110))


class Attending(nn.Module):
    """A transformer's block on the rows of an image; ``detached`` takes attention, deviations and GELU as constants."""

    kind = "softmax"

    def __init__(self, *, detached: bool = False) -> None:
        super().__init__()
        torch.manual_seed(8)
        self.detached = detached
        self.embed = nn.Linear(42, 8)
        self.norm = nn.LayerNorm(8)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)
        self.double()

    def constant(self, x: torch.Tensor) -> torch.Tensor:
        return x.detach() if self.detached else x

    def attended(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        if self.kind == "fused" and not self.detached:
            return F.scaled_dot_product_attention(q, k, v)
        weights = (q @ k.transpose(-2, -1) / 8**0.5).softmax(dim=-1)
        return self.constant(weights) @ v

    def normed(self, x: torch.Tensor) -> torch.Tensor:
        if not self.detached:
            return self.norm(x)
        deviation = (x.var(dim=-1, unbiased=False, keepdim=True) + self.norm.eps).sqrt()
        return (x - x.mean(dim=-1, keepdim=True)) / deviation.detach() * self.norm.weight + self.norm.bias

    def gelu(self, x: torch.Tensor) -> torch.Tensor:
        return x * (F.gelu(x) / x).detach() if self.detached else F.gelu(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x.transpose(1, 2).flatten(2))  # (N, 10, 8)
        x = x + self.out(self.attended(*self.qkv(self.normed(x)).chunk(3, dim=-1)))
        return self.head(self.gelu(x).mean(dim=1))


class Fused(Attending):
    kind = "fused"


@pytest.mark.parametrize("kind", [Gated, Joined, Attending, Fused])
def test_lrp_without_epsilon_is_input_times_gradient_with_gates_and_deviations_as_constants(
    kind: Any, close: Callable[..., None]
) -> None:
    """Ali et al. 2022, section 4: an independent way to the same numbers, on models that are no chains."""
    model, detached = kind().eval(), kind(detached=True).eval()
    image = picture()
    torch.testing.assert_close(model(image), detached(image))
    expected = times_gradient(detached, image).sum(dim=0)
    close(lrp(model, image, rule="epsilon", epsilon=0.0), expected, 1e-4)  # of the deviation's 1e-5


def test_lrp_of_torchs_attention_takes_the_attention_as_a_constant() -> None:
    torch.manual_seed(9)
    attention = nn.MultiheadAttention(8, 2, bias=False, batch_first=True).double()

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, need_weights=False)[0].mean(dim=1)

    x = torch.randn(1, 5, 8).double()
    found = lrp(Attention().eval(), x, 3, rule="epsilon", epsilon=0.0)
    q, k, v = (each.reshape(5, 2, 4).transpose(0, 1) for each in (x[0] @ attention.in_proj_weight.T).chunk(3, dim=-1))
    weights = (q @ k.transpose(1, 2) / 2).softmax(dim=-1).detach()
    leaf = x.clone().requires_grad_()
    v = (leaf[0] @ attention.in_proj_weight[16:].T).reshape(5, 2, 4).transpose(0, 1)
    score = ((weights @ v).transpose(0, 1).reshape(5, 8) @ attention.out_proj.weight.T).mean(dim=0)[3]
    (gradient,) = torch.autograd.grad(score, leaf)
    torch.testing.assert_close(found, (x * gradient)[0].detach())


# What is conserved


@pytest.mark.parametrize("rule", ["epsilon", "epsilon-plus"])
def test_without_biases_relevance_adds_up_to_the_score_at_every_layer(rule: Any) -> None:
    model = Plain(bias=False)
    trace = iw.record(model, picture())
    layers = [trace.input_sites[0], "conv1", "relu1", "pool", "conv2", "relu2", "conv3", "relu3", "head"]
    for target in range(4):
        score = float(trace.score(target))
        totals = [float(iw.LRP(rule=rule, epsilon=0.0)(trace, target, layer).values.sum()) for layer in layers]
        assert totals == pytest.approx([score] * len(layers), rel=1e-8)  # quotients of sums that may be near zero


def test_with_positive_contributions_only_each_map_has_the_sign_of_what_arrives() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(240, 1))
    with torch.no_grad():
        model[5].weight.abs_()
    model, image = model.double(), picture()
    assert float(lrp(model, image, 0, epsilon=0.0).min()) >= 0
    assert float(lrp(model, image, 0, rule="epsilon", epsilon=0.0).min()) < 0


def test_epsilon_absorbs_relevance() -> None:
    image = picture()
    for rule in ("epsilon", "epsilon-plus"):
        sizes = [float(lrp(Plain(), image, rule=rule, epsilon=epsilon).abs().sum()) for epsilon in (0, 0.1, 1.0)]
        assert sizes[0] > sizes[1] > sizes[2] > 0


def test_lrp_of_the_score_at_its_own_layer_is_the_score() -> None:
    trace = iw.record(Plain(), picture())
    values = iw.LRP()(trace, 2, "head").values
    expected = torch.zeros(4).double()
    expected[2] = trace.score(2)
    torch.testing.assert_close(values, expected)


def test_relevance_of_a_difference_of_classes_is_the_difference_of_relevances(close: Callable[..., None]) -> None:
    trace = iw.record(Plain(), picture())
    explainer = iw.LRP(epsilon=0.0)
    expected = explainer(trace, 0).values - explainer(trace, 3).values
    close(explainer(trace, iw.Contrast(0, 3)).values, expected, ROUNDING)


# What it is made for


@pytest.mark.parametrize("rule", ["epsilon", "epsilon-plus"])
@pytest.mark.parametrize("name", ["vit_b_16", "swin_t"])
def test_lrp_of_a_transformer_is_finite_and_sees_the_image(name: str, rule: Any) -> None:
    image = image_for(name)
    values = lrp(subject(name), image, 3, rule=rule)
    assert values.shape == image.shape[-2:]
    assert bool(values.isfinite().all())
    assert float((values != 0).float().mean()) > 0.9


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (lambda x: x.cumsum(dim=2), "cumsum"),
        (lambda x: torch.fft.rfft2(x).abs(), "rfft2"),
        (lambda x: x.sort(dim=2).values, "sort"),
    ],
)
def test_an_operation_without_a_rule_is_refused_by_name(operation: Any, name: str) -> None:
    class Unknown(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return operation(self.conv(x)).mean(dim=(2, 3))

    with pytest.raises(GradientError, match=rf"LRP has no rule for \w*{name} at .*: choose DeepLift or Integrated"):
        lrp(Unknown().double(), picture())


def test_behind_an_unknown_operation_layers_can_be_explained() -> None:
    class Sorted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x.cumsum(dim=2)).mean(dim=(2, 3))

    model = Sorted().double()
    found = lrp(model, picture(), 1, "conv", epsilon=0.0)
    torch.testing.assert_close(found, model.conv(picture().cumsum(dim=2))[0, 1].detach() / (8 * 12))


class Dead(nn.Module):
    """Zeros, which a bias alone brings to life again: no contribution is positive, and relevance arrives."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 64, 3)
        self.head = nn.Linear(64 * 6 * 10, 2)
        with torch.no_grad():
            self.conv1.bias.fill_(-1.5)
            self.conv2.bias.fill_(1)
            self.head.weight.mul_(1e5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.conv2(F.relu(self.conv1(x)))).flatten(1))


@pytest.mark.parametrize("rule", ["epsilon", "epsilon-plus"])
def test_relevance_that_nothing_contributed_to_is_lost_and_not_infinite(rule: Any) -> None:
    values = lrp(Dead(), picture().float(), rule=rule, epsilon=0.0)
    assert float(values.abs().max()) > 0


class Weighted(nn.Module):
    """A convolution whose weight is given by name, is a buffer, or is computed."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("fixed", self.conv.weight.detach() * 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "by name":
            x = F.conv2d(x, weight=self.conv.weight, bias=self.conv.bias)
        else:
            x = F.conv2d(x, self.fixed if self.kind == "buffer" else self.conv.weight * 2, self.conv.bias)
        return x.relu().mean(dim=(2, 3))


@pytest.mark.parametrize("kind", ["by name", "buffer", "computed"])
@pytest.mark.parametrize("rule", ["epsilon", "epsilon-plus"])
def test_it_does_not_matter_where_the_weight_of_a_convolution_comes_from(
    kind: str, rule: Any, close: Callable[..., None]
) -> None:
    model = Weighted(kind).double()
    plain = nn.Sequential(copy.deepcopy(model.conv), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if kind != "by name":
        with torch.no_grad():
            plain[0].weight.mul_(2)
    close(lrp(model, picture(), rule=rule), lrp(plain, picture(), rule=rule), ROUNDING)


def test_relevance_of_a_model_that_has_changed_is_refused() -> None:
    model = SmallNet()
    trace = iw.record(model, torch.randn(1, 3, 8, 8))
    with torch.no_grad():
        model.conv1.weight.mul_(2)
    with pytest.raises(
        errors.StaleError, match=r"relevance cannot be taken from this trace: 'conv1\.weight' has changed"
    ):
        Relevance(trace, iw.ClassScore(1), epsilon=0.0, plus=True).at("input")
