"""Several inputs of a model move together; each has its part of what they add up to."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import interp_widgets as iw
from interp_widgets.explainers.joint import Joint
from tests.trace.test_cases import Net

A, B = torch.tensor([[3.0]]), torch.tensor([[1.0]])


def paper() -> nn.Module:
    """The network of two inputs in Sundararajan et al. 2017, appendix B: ReLU(ReLU(a) - 1 - ReLU(b))."""
    return Net(lambda _, a, b: F.relu(F.relu(a) - 1 - F.relu(b)))


def two_inputs() -> nn.Module:
    torch.manual_seed(0)
    return Net(
        lambda self, image, row: self.head(
            torch.cat([self.conv(image).relu().mean(dim=(2, 3)), row.tanh()], dim=1).tanh()
        ),
        conv=nn.Conv2d(3, 4, 3),
        head=nn.Linear(9, 3),
    ).double()


def given() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.rand(1, 3, 8, 8, dtype=torch.float64), torch.randn(1, 5, dtype=torch.float64)


def test_integrated_gradients_move_both_inputs_of_the_papers_network() -> None:
    # on the line t (3, 1) the score is max(2t - 1, 0): a's gradient is 1 for half of the way, b's -1
    attribution = iw.IntegratedGradients(steps=200)(iw.record(paper(), (A, B)))
    assert set(attribution.parts) == {"input[0]", "input[1]"}
    # 200 Gauss-Legendre nodes know the place of the kink to about their distance, 1/200
    torch.testing.assert_close(attribution.parts["input[0]"], torch.tensor([1.5]), atol=0.01, rtol=0)
    torch.testing.assert_close(attribution.parts["input[1]"], torch.tensor([-0.5]), atol=0.01, rtol=0)
    torch.testing.assert_close(attribution.values, attribution.parts["input[0]"])
    other = iw.IntegratedGradients(steps=200)(iw.record(paper(), (A, B)), layer="input[1]")
    torch.testing.assert_close(other.values, attribution.parts["input[1]"])


@pytest.mark.parametrize("method", [iw.IntegratedGradients(steps=64), iw.DeepLift()])
def test_the_parts_of_all_inputs_add_up_to_the_change_of_the_score(method: iw.explainers.Explainer) -> None:
    model, (image, row) = two_inputs(), given()
    attribution = method(iw.record(model, (image, row)), target=1)
    change = (model(image, row)[0, 1] - model(torch.zeros_like(image), torch.zeros_like(row))[0, 1]).detach()
    assert attribution.values.shape == (8, 8)
    assert attribution.parts["input[1]"].shape == (5,)
    total = sum(part.double().sum() for part in attribution.parts.values())
    # float32 sums of DeepLift's walk: 1e-6; the integral of kinked functions by 64 nodes: 1e-3
    torch.testing.assert_close(total, change, rtol=2e-3, atol=0)
    assert abs(float(attribution.parts["input[1]"].sum())) > 0.01 * abs(float(change))  # both matter


def test_expected_gradients_converge_to_the_same_parts() -> None:
    model, inputs = two_inputs(), given()
    trace = iw.record(model, inputs)
    exact = iw.IntegratedGradients(steps=200)(trace, target=1).parts
    sampled = iw.ExpectedGradients(samples=400, baseline="zero")(trace, target=1).parts
    for name, part in exact.items():
        error = (sampled[name] - part).norm() / part.norm()
        assert error < 0.15, name  # 400 uniform draws of a point: 5 % at one standard error of each number


def test_noise_of_one_input_is_not_that_of_another_of_its_shape() -> None:
    model = Net(lambda self, a, b: self.head(a * b), head=nn.Linear(4, 2))
    trace = iw.record(model, (torch.randn(1, 4), torch.randn(1, 4)))
    question = iw.explainers.Question(trace, iw.ClassScore(0), "input[0]")
    drawn = Joint.of(question, "noise").baselines("noise", [0])[0].split(4)
    shares = [
        (noise - value.min()) / (value.max() - value.min())  # the uniform numbers that were drawn
        for noise, value in zip(drawn, (trace.activation(name) for name in trace.input_sites), strict=True)
    ]
    assert not torch.allclose(*shares, atol=0.01)


def test_a_baseline_given_as_a_tensor_moves_its_own_input_alone() -> None:
    model, (image, row) = two_inputs(), given()
    start = torch.full((5,), 0.5, dtype=torch.float64)
    attribution = iw.IntegratedGradients(steps=64, baseline=start)(
        iw.record(model, (image, row)), target=1, layer="input[1]"
    )
    assert not attribution.parts
    change = model(image, row)[0, 1] - model(image, start[None])[0, 1]
    torch.testing.assert_close(attribution.values.double().sum(), change.detach(), rtol=1e-4, atol=1e-6)


def test_a_single_input_has_no_parts() -> None:
    attribution = iw.IntegratedGradients()(iw.record(nn.Linear(4, 2), torch.randn(1, 4)))
    assert dict(attribution.parts) == {}


class Tokens(nn.Module):
    """A bag of embedded tokens, weighted by a mask of floats or whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> Any:
        return self.head((self.embedding(ids) * mask[..., None].float()).sum(dim=1).tanh())


@pytest.mark.parametrize(
    "method",
    [
        iw.IntegratedGradients(),
        iw.DeepLift(),
        iw.ExpectedGradients(samples=8, baseline="zero"),
        iw.DeepLiftSHAP(samples=4),
    ],
)
def test_an_embedding_beside_a_float_mask_is_explained_as_beside_whole_numbers(method: iw.explainers.Explainer) -> None:
    model, ids, mask = Tokens(), torch.tensor([[1, 2, 3]]), torch.tensor([[1, 1, 0]])
    floats = method(iw.record(model, (ids, mask.float())), target=1, layer="embedding")
    whole = method(iw.record(model, (ids, mask)), target=1, layer="embedding")
    torch.testing.assert_close(floats.values, whole.values)
    embedded, bias = model.embedding(ids) * mask[..., None], model.head.bias[1]
    change = model.head(embedded.sum(dim=1).tanh())[0, 1] - bias  # from embeddings of zero, the mask as it is
    if not isinstance(method, (iw.ExpectedGradients, iw.DeepLiftSHAP)):  # which add up in the mean, or from noise
        torch.testing.assert_close(floats.values.sum(), change.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "method", [iw.FeatureAblation(), iw.ShapleySampling(samples=4), iw.KernelSHAP(samples=64), iw.LIME(samples=400)]
)
def test_features_of_all_inputs_are_players_of_one_game(method: iw.explainers.Explainer) -> None:
    # an additive model: the Shapley value of a feature is its own term, whatever order it joins in
    model = Net(lambda self, a, b: self.a(a) + self.b(b), a=nn.Linear(3, 2), b=nn.Linear(2, 2)).double()
    a, b = torch.randn(1, 3, dtype=torch.float64), torch.randn(1, 2, dtype=torch.float64)
    attribution = method(iw.record(model, (a, b)), target=1, layer="input[1]")
    terms = {"input[0]": a * model.a.weight[1], "input[1]": b * model.b.weight[1]}
    for name, part in attribution.parts.items():
        # LIME's ridge shrinks the terms a little; the others are exact for a linear score
        tolerance = 0.2 if isinstance(method, iw.LIME) else 1e-5
        torch.testing.assert_close(part.double(), terms[name][0].detach(), rtol=tolerance, atol=tolerance)
    assert attribution.values.shape == (2,)


def test_an_output_squeezed_to_one_number_per_input_gives_each_feature_its_own_value() -> None:
    torch.manual_seed(0)
    model = Net(lambda self, x: self.head(x).squeeze(1), head=nn.Linear(5, 1))
    rows = torch.randn(3, 5)
    trace = iw.record(model, rows, feature_names=list("abcde"))
    for method in (iw.FeatureAblation(), iw.ShapleySampling(), iw.KernelSHAP()):
        attribution = method(trace, example=2)
        torch.testing.assert_close(attribution.values, (rows[2] * model.head.weight[0]).detach(), rtol=1e-4, atol=1e-5)
        assert attribution.names == tuple("abcde")


def test_score_cam_takes_a_model_with_one_number_per_image() -> None:
    torch.manual_seed(0)
    model = Net(
        lambda self, x: self.head(self.conv(x).relu().mean(dim=(2, 3))).squeeze(1),
        conv=nn.Conv2d(3, 4, 3),
        head=nn.Linear(4, 1),
    )
    images = torch.rand(2, 3, 8, 8)
    squeezed = iw.ScoreCAM()(iw.record(model, images), example=1)
    plain = Net(lambda _, x: model(x)[:, None], inner=model)
    torch.testing.assert_close(squeezed.values, iw.ScoreCAM()(iw.record(plain, images), example=1).values)
