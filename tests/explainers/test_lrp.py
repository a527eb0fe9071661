"""Layer-wise relevance propagation: by hand, against Captum, against input times gradient, and what it conserves."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import captum.attr
import pytest
import torch
from torch import nn

import interp_widgets as iw
from tests.explainers.subjects import SmallNet, image_for, subject
from tests.propagation.models import ROUNDING, WRITTEN, Plain, lrp, picture, times_gradient, without_warnings


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


def plus_rule(convolution: nn.Conv2d, values: torch.Tensor, relevance: torch.Tensor) -> torch.Tensor:
    """Bach et al. 2015, eq. 60 with alpha 1 and beta 0: one output after another, ``(C, H, W)`` to ``(C', H', W')``.

    The denominator is the sum of the positive contributions and the positive part of the bias.
    """
    size = convolution.kernel_size[0]
    handed_back = torch.zeros_like(values)
    for channel, row, column in itertools.product(*map(range, relevance.shape)):
        patch = values[:, row : row + size, column : column + size]
        positive = (patch * convolution.weight[channel]).clamp(min=0)
        total = float(positive.sum()) + max(0.0, float(convolution.bias[channel]))
        share = float(relevance[channel, row, column]) / total if total else 0.0
        handed_back[:, row : row + size, column : column + size] += positive * share
    return handed_back


@torch.no_grad()
def test_lrp_of_two_convolutions_with_large_biases_and_a_linear_layer_by_hand() -> None:
    torch.manual_seed(4)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2)
    ).double()
    for layer in (model[0], model[2], model[5]):
        nn.init.normal_(layer.bias)
    x = torch.randn(1, 2, 6, 6).double()
    first = model[:2](x)
    second = model[:4](x)
    score = model(x)[0, 1]
    relevance = second[0] * model[5].weight[1].reshape(4, 3, 3)  # eq. 58: a share of the score, times the score
    relevance = plus_rule(model[2], first[0], relevance)
    relevance = plus_rule(model[0], x[0], relevance)
    assert abs(float(relevance.sum() - score)) > 0.1  # what the biases absorb
    torch.testing.assert_close(lrp(model, x, epsilon=0.0), relevance)


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
