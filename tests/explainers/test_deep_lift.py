"""DeepLift sums up on whatever the model is made of, agrees with the paper and with Captum, or refuses in words."""

from __future__ import annotations

import itertools
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
from interp_widgets.propagation.secant import RULES, Change
from interp_widgets.trace.interrupt import Interrupted, interruptible
from tests.explainers.subjects import SIZES, SmallNet, image_for, subject
from tests.trace import small_models

IMAGE = torch.randn(1, 3, 8, 10, generator=torch.Generator().manual_seed(5))
OTHER = torch.randn(1, 3, 8, 10, generator=torch.Generator().manual_seed(6))


class Inside(nn.Module):
    """A convolution, whatever is tested, and a head; random, in double precision."""

    def __init__(self, inside: Callable[[torch.Tensor], torch.Tensor], *, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=bias)
        self.inside = inside
        with torch.no_grad():
            width = inside(self.conv(IMAGE)).flatten(1).shape[1]
        self.head = nn.Linear(width, 4)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.inside(self.conv(x)).flatten(1))


def lifted(model: nn.Module, baseline: Any = OTHER, target: int = 1, image: torch.Tensor = IMAGE) -> iw.Attribution:
    image = image.to(next(iter(model.parameters())).dtype)
    return DeepLift(baseline=baseline)(iw.record(model.eval(), image), target)


def change_of(model: nn.Module, baseline: torch.Tensor, target: int = 1, image: torch.Tensor = IMAGE) -> float:
    kind = next(iter(model.parameters())).dtype
    with torch.no_grad():
        return float((model.eval()(image.to(kind)) - model(baseline.to(kind)))[0, target])


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


def _reused(x: torch.Tensor) -> torch.Tensor:
    for _ in range(3):
        x = F.relu(x - 0.1) + x
    return x


def _squeezed(x: torch.Tensor) -> torch.Tensor:
    return x * x.mean(dim=(2, 3), keepdim=True).sigmoid()


def _written(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    y.relu_()
    y += x
    y[:, 1:3] = x[:, :2] * x[:, 2:4]
    return y


def _written_through_a_view(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    part = y[:, 2:5].transpose(2, 3)
    part.tanh_()
    z = y.flatten(2)
    y.mul_(x)  # z is outdated, a view of what is written
    return torch.cat([y.flatten(2), z.square(), part.flatten(2)], dim=1)


def _attended(x: torch.Tensor) -> torch.Tensor:
    tokens = x.flatten(2).transpose(1, 2)[:, None]  # (N, 1, 80, 8)
    mask = torch.ones(80, 80, dtype=torch.bool).tril(3)
    plain = F.scaled_dot_product_attention(tokens, tokens * 2, tokens.sin(), attn_mask=mask, scale=0.7)
    return plain + F.scaled_dot_product_attention(tokens, tokens, tokens, is_causal=True)


INSIDE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "reused ReLU and residuals": _reused,
    "squeeze and excitation": _squeezed,
    "softmax": lambda x: 5 * (3 * x).softmax(dim=1),
    "log softmax": lambda x: x.log_softmax(1),
    "softmax by hand": lambda x: x.exp() / x.exp().sum(dim=1, keepdim=True),
    "layer norm": lambda x: F.layer_norm(x, x.shape[2:], eps=1e-6),
    "layer norm by hand": lambda x: (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1e-5).sqrt(),
    "group norm": lambda x: F.group_norm(x, 4, torch.arange(8).to(x), torch.ones(8).to(x)),
    "RMS norm": lambda x: F.rms_norm(x, x.shape[3:]),
    "instance norm": F.instance_norm,
    "batch norm without statistics": lambda x: F.batch_norm(torch.cat([x, x.tanh()]), None, None, training=True)[:1],
    "normalize": lambda x: F.normalize(x, dim=1),
    "max pool": lambda x: F.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True),
    "adaptive max pool": lambda x: F.adaptive_max_pool2d(x, (3, 2)),
    "attention": _attended,
    "in-place writes": _written,
    "writes through views": _written_through_a_view,
    "a detached branch": lambda x: x.tanh() + x.detach() * 2,
    "hardswish, SiLU, GELU": lambda x: F.silu(F.hardswish(4 * x, inplace=False), inplace=True) + F.gelu(x),
    "an einsum": lambda x: torch.einsum("nchw,ncvw->nchv", x, x.relu()),
    "splits and joins": lambda x: torch.cat([part.sigmoid() for part in x.chunk(2, 1)][::-1], 1).roll(1, 2),
    "logsumexp, which has no rule": lambda x: x.logsumexp(dim=1),
    "cosine similarity, which has no rule": lambda x: F.cosine_similarity(x, x.flip(1) + 0.3, dim=1),
}


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("baseline", ["zero", "noise", "other"])
def test_it_sums_up(name: str, baseline: str) -> None:
    model = Inside(INSIDE[name])
    reference = {"zero": torch.zeros_like(IMAGE), "other": OTHER}.get(baseline)
    found = lifted(model, baseline if reference is None else reference)
    exact = "no rule" not in name
    assert found.error is not None
    assert found.error < (1e-9 if exact else 1e-3)
    if reference is not None:
        change = change_of(model, reference)
        assert float(found.values.sum()) == pytest.approx(change, rel=1e-9 if exact else 1e-3)


@pytest.mark.parametrize(
    "inside", [INSIDE["layer norm"], INSIDE["normalize"], INSIDE["layer norm by hand"], INSIDE["group norm"]]
)
def test_a_reference_without_variance_sums_up_and_shares_are_not_blown_up(
    inside: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    """The gradient there is ``1 / sqrt(eps)``, hundreds of times that at the input."""
    model = Inside(inside, bias=False)
    found = lifted(model, "zero")
    assert found.error is not None
    assert found.error < 1e-9
    usual = lifted(model, OTHER).values.abs().sum()
    assert found.values.abs().sum() < 10 * usual


def test_a_norm_from_zero_variance_is_its_scale_at_the_input() -> None:
    """From ``c = 0`` nothing but ``c / s`` itself is left for the centred values."""
    c = torch.tensor([[1.0, -2.0, 1.0]], dtype=torch.float64)
    model = nn.LayerNorm(3, eps=1e-12).double()
    values = DeepLift(baseline="zero")(iw.record(model, c), 1).values
    centring = torch.tensor([-1 / 3, 2 / 3, -1 / 3], dtype=torch.float64)
    torch.testing.assert_close(values, (c[0] * centring / 2**0.5).detach(), atol=1e-5, rtol=0)


def test_multi_head_attention_sums_up_with_and_without_the_rule() -> None:
    class Attention(nn.Module):
        def __init__(self, **options: Any) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.inner = nn.MultiheadAttention(8, 2, batch_first=True, **options)
            nn.init.normal_(self.inner.in_proj_bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x, x.tanh(), x.sin())[0].mean(dim=1)

    tokens = torch.randn(1, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for options, most in (({}, 1e-9), ({"add_bias_kv": True}, 1e-3)):
        found = DeepLift(baseline="noise")(iw.record(Attention(**options).double(), tokens), 3)
        assert found.error is not None
        assert found.error < most


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("baseline", ["zero", "dark", "noise"])
def test_it_sums_up_on_torchvision_models(name: str, baseline: str) -> None:
    found = DeepLift(baseline=baseline)(iw.record(subject(name), image_for(name)), 3)
    assert found.error is not None
    assert found.error < 1e-3


# Rules


def _rule_cases() -> list[tuple[str, tuple[Any, ...], Callable[..., torch.Tensor]]]:
    x = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight = torch.rand(6, dtype=torch.float64)
    return [
        ("truediv", (x, x.flip(0).abs() + 1), torch.div),
        ("softmax", (x, 1), torch.softmax),
        ("log_softmax", (x, 2), torch.log_softmax),
        ("layer_norm", (x, (6,), weight, weight), F.layer_norm),
        ("rms_norm", (x, (6,), weight, 0.1), F.rms_norm),
        ("group_norm", (x, 2), F.group_norm),
        ("normalize", (x,), F.normalize),
        ("scaled_dot_product_attention", (x, x.flip(0), x.flip(1)), F.scaled_dot_product_attention),
        ("max_pool1d", (x, 2), F.max_pool1d),
        ("adaptive_max_pool1d", (x, 2), F.adaptive_max_pool1d),
    ]


@pytest.mark.parametrize(("name", "ends", "function"), _rule_cases(), ids=[case[0] for case in _rule_cases()])
def test_a_rule_is_exact_for_each_number_and_the_jacobian_where_the_ends_meet(
    name: str, ends: tuple[Any, ...], function: Callable[..., torch.Tensor]
) -> None:
    moving = [isinstance(each, torch.Tensor) and each.ndim == 3 for each in ends]
    generator = torch.Generator().manual_seed(9)
    starts = tuple(
        end + torch.rand(end.shape, generator=generator, dtype=torch.float64) if moves else end
        for end, moves in zip(ends, moving, strict=True)
    )
    changes = [
        Change(start, end, end - start) if moves else end
        for start, end, moves in zip(starts, ends, moving, strict=True)
    ]
    torch.testing.assert_close(RULES[name](*changes), function(*ends) - function(*starts))

    steps = [
        torch.rand(end.shape, generator=generator, dtype=torch.float64) for end in itertools.compress(ends, moving)
    ]

    def of_moving(*values: torch.Tensor) -> torch.Tensor:
        given = iter(values)
        return function(*(next(given) if moves else end for end, moves in zip(ends, moving, strict=True)))

    here, tiny = list(itertools.compress(ends, moving)), 1e-6
    before, after = (
        of_moving(*(end + sign * tiny * step for end, step in zip(here, steps, strict=True))) for sign in (-1, 1)
    )
    tangent = (after - before) / (2 * tiny)
    given = iter(steps)
    meeting = [Change(end, end, next(given)) if moves else end for end, moves in zip(ends, moving, strict=True)]
    torch.testing.assert_close(RULES[name](*meeting), tangent, atol=1e-6, rtol=1e-5)


def test_more_nodes_are_taken_only_where_one_does_not_sum_up(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    whole = difference._gauss_legendre
    monkeypatch.setattr(difference, "_gauss_legendre", lambda count: taken.append(count) or whole(count))
    lifted(SmallNet().double())
    assert set(taken) == {1}
    lifted(Inside(INSIDE["logsumexp, which has no rule"]))
    assert 8 in taken
    assert 128 not in taken


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
    expected = captum_lift(model.eval(), IMAGE, OTHER, 2)
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


def refused(model: nn.Module, sentence: str) -> None:
    with pytest.raises(errors.GradientError, match=sentence):
        lifted(model)


def test_a_comparison_that_decides_is_refused_and_named() -> None:
    refused(
        Inside(lambda x: torch.where(x > 0.1, x * 3, -x)),
        r"DeepLift does not sum up here: .*% of the score's change of .* is lost on the way back, most of it at "
        r"'/where'\. Try another baseline, or Integrated Gradients",
    )


def test_another_way_through_the_model_is_refused_and_the_fork_is_named() -> None:
    refused(
        Inside(lambda x: x.relu() if float(x.detach().sum()) > 0 else x.tanh()),
        "does not take the same way for the reference as for the input: at '/(relu|tanh)' it does .*, and .* for the "
        "reference. Choose another baseline",
    )
    refused(
        Inside(lambda x: x * float(x.detach().max())), "at '/mul' it does mul, and mul with other arguments for the"
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


def test_multipliers_at_every_layer_on_the_only_way_add_up_to_the_change() -> None:
    model = SmallNet().double().eval()
    trace = iw.record(model, IMAGE.double())
    with trace.rerun({"input": OTHER.double()}) as reference:
        layers = ["input", "conv1", "bn1", "relu", "conv2", "head"]
        found = multipliers(trace, reference, layers, 3)
    assert found.score == pytest.approx(float(trace.score(3)))
    for layer in layers:
        total = float((found.at[layer] * found.steps[layer]).sum())
        assert total == pytest.approx(found.change, rel=1e-9), layer
        explained = DeepLift(baseline=OTHER)(trace, 3, layer)
        assert float(explained.values.sum()) == pytest.approx(found.change, rel=1e-9)
        torch.testing.assert_close(found.steps[layer], trace.activation(layer) - reference_of(model, layer))


def reference_of(model: nn.Module, layer: str) -> torch.Tensor:
    return iw.record(model, OTHER.double()).activation(layer)


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


def test_several_inputs_are_explained_one_at_a_time() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(6, 2)

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return self.head((a * b).tanh())

    model, a, b = Two(), torch.randn(1, 6), torch.randn(1, 6)
    trace = iw.record(model, (a, b))
    found = DeepLift()(trace, 0, trace.input_sites[1])
    assert float(found.values.sum()) == pytest.approx(float((model(a, b) - model(a, b * 0))[0, 0].detach()), rel=1e-4)


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


def test_a_walk_that_nobody_wants_any_more_stops() -> None:
    model = SmallNet().eval()
    trace, reference = iw.record(model, IMAGE), iw.record(model, OTHER)
    with interruptible(lambda: True), pytest.raises(Interrupted, match=r"^$"):
        multipliers(trace, reference, ["input"], 1)


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
