"""Relevance at each operation: by hand, with gates and deviations as constants, or refused by name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import interp_widgets as iw
from interp_widgets import errors
from interp_widgets.errors import GradientError
from interp_widgets.propagation.relevance import Relevance
from tests.explainers.subjects import SmallNet
from tests.propagation.models import ROUNDING, lrp, picture, times_gradient

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
    """Bach et al. 2015, eq. 60 with alpha 1 and beta 0 and the bias, on the convolution written as a matrix."""
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
    sums = contributions.sum(dim=0) + zero.clamp(min=0)  # what no input gives is the bias
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


class Frozen(nn.Module):
    """A part that ``forward`` runs under ``torch.no_grad()``, and a second input that nothing reads."""

    def __init__(self, frozen: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.frozen = frozen
        self.stem, self.middle = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4, 2)

    def run(self, name: str, x: torch.Tensor) -> torch.Tensor:
        with torch.set_grad_enabled(name != self.frozen):
            return self.get_submodule(name)(x)

    def forward(self, x: torch.Tensor, unused: torch.Tensor) -> torch.Tensor:
        del unused
        x = self.run("stem", x).relu()
        x = self.run("middle", x).relu()
        return self.head(x.mean(dim=(2, 3)))


def frozen(part: str) -> iw.Trace:
    return iw.record(Frozen(part).eval(), (torch.randn(1, 3, 8, 8), torch.randn(1, 3, 8, 8)))


@pytest.mark.parametrize("rule", ["epsilon", "epsilon-plus"])
def test_relevance_is_refused_where_every_way_to_the_score_leads_through_no_grad(rule: Any) -> None:
    trace, explainer = frozen("middle"), iw.LRP(rule=rule)
    with pytest.raises(GradientError, match=r"depends on it by way of 'middle', which was computed under torch.no_gr"):
        explainer(trace, 1, "input[0]")
    with pytest.raises(GradientError, match=r"no gradient at 'middle': it was computed under torch.no_grad\(\)"):
        explainer(trace, 1, "middle")
    assert float(explainer(trace, 1, "head").values.abs().sum()) > 0


def test_relevance_of_what_the_score_does_not_depend_on_is_zero() -> None:
    assert float(iw.LRP()(frozen("none"), 1, "input[0]").values.abs().sum()) > 0
    for part in ("none", "middle"):
        assert float(iw.LRP()(frozen(part), 1, "input[1]").values.abs().sum()) == 0
