"""DeepLift sums up, agrees with the paper and with Captum, or refuses in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import interp_widgets as iw
from interp_widgets import errors, zoo
from interp_widgets.explainers.deep_lift import DeepLift, DeepLiftSHAP
from interp_widgets.propagation import difference
from interp_widgets.propagation.difference import multipliers
from tests.explainers.subjects import SIZES, SmallNet, image_for, subject
from tests.propagation.models import IMAGE, INSIDE, OTHER, Inside, change_of, lifted, refused
from tests.trace import small_models

# By hand


def test_a_linear_model_gives_weight_times_difference() -> None:
    model = nn.Linear(5, 3)
    image, baseline = torch.randn(1, 5), torch.randn(5)
    found = DeepLift(baseline=baseline)(iw.record(model, image), 2).values
    torch.testing.assert_close(found, (model.weight[2] * (image[0] - baseline)).detach())


def test_a_product_is_shared_equally_between_its_factors() -> None:
    class Product(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x[:, 0] * x[:, 1])[:, None]

    values = DeepLift(baseline="zero")(iw.record(Product(), torch.tensor([[3.0, 4.0]])), 0).values
    torch.testing.assert_close(values, torch.tensor([6.0, 6.0]))


def test_a_layer_of_relus_is_the_papers_rescale_rule_in_loops() -> None:
    """Shrikumar et al. 2017, eq. 3: the multiplier of an input is the sum over the units of the product of two."""
    torch.manual_seed(0)
    first, second = nn.Linear(6, 7), nn.Linear(7, 2)
    image, reference = torch.randn(6), torch.randn(6)
    before, before_reference = first(image).tolist(), first(reference).tolist()
    weights, further = first.weight.tolist(), second.weight[1].tolist()
    expected = []
    for i in range(6):
        multiplier = 0.0
        for j in range(7):
            slope = (max(0.0, before[j]) - max(0.0, before_reference[j])) / (before[j] - before_reference[j])
            multiplier += weights[j][i] * slope * further[j]
        expected.append(multiplier * float(image[i] - reference[i]))
    model = nn.Sequential(first, nn.ReLU(), second)
    found = DeepLift(baseline=reference)(iw.record(model, image[None]), 1).values
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-6, rtol=1e-4)


def test_a_max_pool_moves_the_place_of_the_larger_maximum() -> None:
    class Pool(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.max_pool1d(x, 3).sum(dim=2)

    image = torch.tensor([[[1.0, 5.0, 2.0, 0.0, 1.0, 2.0]]])
    reference = torch.tensor([[4.0, 0.0, 0.0, 9.0, 1.0, 0.0]])
    values = DeepLift(baseline=reference)(iw.record(Pool(), image), 0).values.flatten().tolist()
    # 4 becomes 5 where the 5 is; 9 becomes 2 where the 9 was
    assert values == pytest.approx([0, 1, 0, -7, 0, 0])


# What the model is made of


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("baseline", ["zero", "dark", "noise"])
def test_it_sums_up_on_torchvision_models(name: str, baseline: str) -> None:
    found = DeepLift(baseline=baseline)(iw.record(subject(name), image_for(name)), 3)
    assert found.error is not None
    assert found.error < 1e-3


# Peers


def captum_lift(model: nn.Module, image: torch.Tensor, baseline: torch.Tensor, target: int) -> torch.Tensor:
    found = captum.attr.DeepLift(model).attribute(image, baseline, target=target)
    return found[0].sum(dim=0).detach() if image.ndim == 4 else found[0].detach()


@pytest.mark.filterwarnings(
    "ignore:\\s*Setting forward, backward hooks:UserWarning", "ignore:Input Tensor 0 did not:UserWarning"
)
@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(120, 4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sigmoid(), nn.AvgPool2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(48, 4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    ],
    ids=["ReLU", "sigmoid and tanh", "batch norm and ELU"],
)
def test_it_agrees_with_captum_where_every_module_runs_once(model: nn.Module, close: Callable[..., None]) -> None:
    expected = captum_lift(model.double().eval(), IMAGE.double(), OTHER.double(), 2)
    close(lifted(model, OTHER, 2).values, expected)


@pytest.mark.filterwarnings(
    "ignore:\\s*Setting forward, backward hooks:UserWarning", "ignore:Input Tensor 0 did not:UserWarning"
)
def test_it_agrees_with_captum_on_the_digits_model(close: Callable[..., None]) -> None:
    model = zoo.load("digits").model.eval()
    image = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(4))
    expected = captum_lift(model, image, torch.zeros_like(image), 7)
    close(lifted(model, "zero", 7, image).values, expected)


@pytest.mark.filterwarnings(
    "ignore:\\s*Setting forward, backward hooks:UserWarning", "ignore:Input Tensor 0 did not:UserWarning"
)
def test_captum_refuses_a_reused_relu_and_is_wrong_on_a_functional_one(close: Callable[..., None]) -> None:
    torch.manual_seed(0)
    relu = nn.ReLU()
    reused = nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 5, 3), relu, nn.Flatten(), nn.Linear(120, 4))
    with pytest.raises(RuntimeError, match="being used more than once"):
        captum_lift(reused, IMAGE, OTHER, 1)

    class Functional(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.relu(reused[0](x))
            return reused[5](F.relu(reused[2](x)).flatten(1))

    once = nn.Sequential(reused[0], nn.ReLU(), reused[2], nn.ReLU(), reused[4], reused[5])
    expected = captum_lift(once, IMAGE, OTHER, 1)
    functional = Functional()
    functional.inner = reused
    wrong = captum_lift(functional, IMAGE, OTHER, 1)
    assert abs(float(wrong.sum()) - change_of(once, OTHER)) > 0.05 * abs(change_of(once, OTHER))
    for model in (reused, functional):
        close(lifted(model).values, expected)


def test_on_the_scenes_model_with_its_reused_relus_it_sums_up() -> None:
    entry = zoo.load("scenes")
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(4))
    for baseline in ("zero", "dark", "blurred"):
        found = DeepLift(baseline=baseline)(iw.record(entry.model, image))
        assert found.error is not None
        assert found.error < 1e-4


# Refusals


def test_a_comparison_that_decides_is_refused_and_named() -> None:
    refused(
        Inside(lambda x: torch.where(x > 0.1, x * 3, -x)),
        r"DeepLift does not sum up here: .*% of the score's change of .* is lost on the way back, most of it at "
        r"'/where'\. Try another baseline, or Integrated Gradients",
    )


def test_what_no_torch_call_made_is_refused() -> None:
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(x)
            return torch.from_numpy(x.detach().numpy() ** 3)

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            return gradient * 3 * ctx.saved_tensors[0] ** 2

    refused(Inside(Cube.apply), "DeepLift does not sum up here: 100.0% of the score's change")


def test_a_score_that_does_not_change_has_no_gap() -> None:
    found = lifted(SmallNet(), IMAGE[0])
    assert not found.values.any()
    assert found.error is None


# Places, targets, batches


@pytest.mark.parametrize(
    "target",
    [
        iw.Contrast(1, 3),
        iw.SiteScore("conv2", 2),
        iw.SiteScore("relu"),
        lambda output: output[0, 1] * output[0, 2],
        lambda output: output.logsumexp(dim=1).sum(),
    ],
    ids=["contrast", "channel", "site", "product", "function"],
)
def test_any_target_is_explained(target: Any) -> None:
    model = SmallNet().double().eval()
    trace, reference = (iw.record(model, image.double()) for image in (IMAGE, OTHER))
    change = float(trace.score(target) - reference.score(target))
    values = DeepLift(baseline=OTHER)(trace, target).values
    assert float(values.sum()) == pytest.approx(change, rel=1e-3)


def test_one_of_a_batch_is_explained_alone() -> None:
    model, batch = SmallNet().eval(), torch.cat([IMAGE, OTHER, IMAGE + OTHER])
    together = iw.record(model, batch)
    for example in range(3):
        alone = iw.record(model, batch[example : example + 1])
        for kind in (DeepLift(baseline="dark"), DeepLiftSHAP(samples=2)):
            torch.testing.assert_close(kind(together, 1, example=example).values, kind(alone, 1).values)


def test_tokens_are_explained_at_their_embedding_from_zeros() -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Tanh(), nn.Linear(20, 3))
    tokens = torch.tensor([[1, 5, 5, 0, 8]])
    found = DeepLift()(iw.record(model, tokens), 1)
    bias = float(model[3].bias[1].detach())
    assert found.layer == "0"
    assert float(found.values.sum()) == pytest.approx(float(model(tokens)[0, 1].detach()) - bias, rel=1e-4)


def test_the_parts_of_several_inputs_add_up_together() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(6, 2)

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return self.head((a * b).tanh())

    model, a, b = Two(), torch.randn(1, 6), torch.randn(1, 6)
    trace = iw.record(model, (a, b))
    found = DeepLift()(trace, 0, trace.input_sites[1])
    change = float((model(a, b) - model(a * 0, b * 0))[0, 0].detach())
    assert sum(float(part.sum()) for part in found.parts.values()) == pytest.approx(change, rel=1e-4)
    assert found.change == pytest.approx(change, rel=1e-4)
    assert torch.equal(found.values, found.parts["input[1]"])


def test_half_precision_sums_up_to_its_rounding() -> None:
    torch.manual_seed(0)
    model = SmallNet().eval()
    expected = lifted(model).values
    found = DeepLift(baseline=OTHER)(iw.record(model.bfloat16(), IMAGE.bfloat16()), 1)
    assert found.values.dtype == torch.float32
    assert found.error is not None
    assert found.error < 0.23
    assert float((found.values - expected).abs().max()) < 0.3 * float(expected.abs().max())


def test_the_trace_holds_no_more_afterwards_and_answers_as_before() -> None:
    trace = iw.record(subject("resnet18"), image_for("resnet18"))
    trace.gradient("input", 3)  # of the draft, cached as ever
    held, relu = trace.nbytes, trace.activation("layer1.0.relu:0").clone()
    DeepLift()(trace, 3)
    assert trace.nbytes == held
    assert torch.equal(trace.activation("layer1.0.relu:0"), relu)


# Many baselines


def test_shap_is_the_mean_over_baselines_with_its_standard_error() -> None:
    trace = iw.record(SmallNet().eval(), IMAGE)
    single = torch.stack([DeepLift(baseline="noise", seed=seed)(trace, 1).values for seed in range(5, 9)])
    *_, last = DeepLiftSHAP(samples=4, seed=5).stream(trace, 1)
    torch.testing.assert_close(last.values, single.mean(dim=0))
    assert (last.done, last.total) == (5, 5)  # a draft and four baselines
    assert last.error is not None
    assert 0 < last.error < 2


def test_shap_takes_given_baselines_and_a_single_one_is_deep_lift() -> None:
    trace = iw.record(SmallNet().eval(), IMAGE)
    given = torch.cat([OTHER, OTHER * 2, OTHER * 3])
    single = torch.stack([DeepLift(baseline=each)(trace, 1).values for each in given])
    torch.testing.assert_close(DeepLiftSHAP(baseline=given)(trace, 1).values, single.mean(dim=0))
    found = DeepLiftSHAP(baseline="zero")(trace, 1)
    assert found.total == 2  # a draft and the one baseline
    assert torch.equal(found.values, DeepLift()(trace, 1).values)


def test_shap_of_a_linear_model_is_weight_times_distance_from_the_mean() -> None:
    model = nn.Linear(5, 3)
    image, baselines = torch.randn(1, 5), torch.randn(7, 5)
    found = DeepLiftSHAP(baseline=baselines)(iw.record(model, image), 2).values
    torch.testing.assert_close(found, (model.weight[2] * (image[0] - baselines.mean(dim=0))).detach())


def walked_singly(monkeypatch: pytest.MonkeyPatch, explainer: iw.Explainer, *question: Any) -> iw.Attribution:
    with monkeypatch.context() as patch:
        patch.setattr(DeepLiftSHAP, "_parts", lambda _self, _question, count: (range(k, k + 1) for k in range(count)))
        return explainer(*question)


@pytest.mark.parametrize("name", ["SmallNet", *INSIDE])
def test_shap_from_several_baselines_at_once_is_that_from_one_at_a_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = SmallNet().double() if name == "SmallNet" else Inside(INSIDE[name])
    trace = iw.record(model.eval(), IMAGE.double())
    explainer = DeepLiftSHAP(samples=4)
    found, expected = explainer(trace, 1), walked_singly(monkeypatch, explainer, trace, 1)
    tolerance = {"atol": 1e-3 * float(expected.values.abs().max()), "rtol": 0} if "no rule" in name else {}
    torch.testing.assert_close(found.values, expected.values, **tolerance)
    assert found.error == pytest.approx(expected.error, rel=1e-2)


def test_shap_walks_once_from_as_many_baselines_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[int] = []

    def counted(trace: iw.Trace, reference: iw.Trace, *others: Any) -> difference.Multipliers:
        walks.append(reference.examples)
        return multipliers(trace, reference, *others)

    monkeypatch.setattr("interp_widgets.explainers.deep_lift.multipliers", counted)
    monkeypatch.setattr(iw.Trace, "batches", lambda _self, count, **_options: iter([range(3), range(3, count)]))
    trace = iw.record(SmallNet().eval(), IMAGE)
    DeepLiftSHAP(samples=5)(trace, 1)
    assert walks == [3, 2]
    walks.clear()
    DeepLiftSHAP(samples=3)(trace, lambda output: output[0, 1].exp())  # which reads the first row only
    DeepLiftSHAP(samples=2)(trace, 1, "conv2")
    assert walks == [1] * 5


def test_shap_refuses_a_gap_as_well() -> None:
    with pytest.raises(errors.GradientError, match=r"does not sum up here: .* most of it at '/where'"):
        DeepLiftSHAP(samples=2)(iw.record(Inside(lambda x: torch.where(x > 0.1, x * 3, -x)), IMAGE.double()), 1)


# All classifiers

# On inputs whose scale is not that at which the weights were drawn, the products of squeeze and excitation make these
# explode (gradients of 1e11 in single precision): there a refusal is right.
EXPLODING = ("efficientnet",)


@pytest.mark.slow
@pytest.mark.parametrize("name", small_models.CLASSIFIERS)
def test_it_sums_up_on_every_classifier_of_torchvision(name: str) -> None:
    model, image = small_models.build(name), small_models.inputs(name)
    cases = [(image, "zero"), *(((image - 0.45) / 0.225, baseline) for baseline in ("dark", "noise"))]
    for shown, baseline in cases:
        with iw.record(model, shown) as trace:
            try:
                found = DeepLift(baseline=baseline)(trace, 3)
            except errors.GradientError as error:
                assert name.startswith(EXPLODING)
                assert shown is not image
                assert "DeepLift does not sum up here" in str(error)  # noqa: PT017 - a refusal is one of two answers
                continue
            size = max(abs(found.score), abs(found.score - float(found.values.double().sum())))
            assert found.error is not None
            assert math.isfinite(found.error)
            assert found.error <= 0.01, (baseline, found.score)
            assert abs(float(found.values.double().sum())) > 1e-4 * size, "constant: nothing was tested"
