"""What holds for every explainer in ``EXPLAINERS``."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets import errors
from interp_widgets.explainers.base import limits
from tests.explainers.subjects import SmallNet, image_for, subject

KINDS = list(iw.EXPLAINERS.values())
README = Path(__file__).parents[2] / "README.md"
LONGEST_LINE = 110  # letters of a tooltip
BEYOND_ROUNDING = 1e-8  # as a share of the largest value, in double precision
BATCH = torch.randn(3, 3, 10, 14, generator=torch.Generator().manual_seed(3))


@pytest.fixture(params=KINDS, ids=list(iw.EXPLAINERS))
def explainer(request: pytest.FixtureRequest) -> iw.Explainer:
    return quick(request.param)


def quick(kind: type[iw.Explainer]) -> iw.Explainer:
    """An explainer that takes few steps: what is tested here does not need a good estimate."""
    few = {"steps": 12, "samples": 12, "segments": 9, "patch": 0.4}
    named = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in few.items() if name in named})


def layers_for(explainer: iw.Explainer, *layers: str) -> tuple[str, ...]:
    """Those layers, or the input for a method that explains nothing else."""
    return ("input",) if explainer.input_only else layers


@pytest.fixture
def model() -> nn.Module:
    return SmallNet()


@pytest.fixture
def precise_trace(model: nn.Module) -> iw.Trace:
    """In double precision, where rounding errors are far below what a hyper-parameter changes."""
    return iw.record(model.double(), BATCH[:1].double())


@pytest.fixture
def trace(model: nn.Module) -> iw.Trace:
    return iw.record(model, BATCH[:1], class_names=["ant", "bee", "cat", "dog", "eel"])


def test_a_map_has_the_size_of_its_layer_or_of_the_input(explainer: iw.Explainer, trace: iw.Trace) -> None:
    values = explainer(trace, 2).values
    assert tuple(values.shape) == ((5, 7) if explainer.at_layer else (10, 14))
    assert explainer(trace, 2, *layers_for(explainer, "conv1")).values.shape == (10, 14)


def test_a_map_is_finite_detached_float_and_not_zero(explainer: iw.Explainer, trace: iw.Trace) -> None:
    values = explainer(trace, 2).values
    assert values.dtype == torch.float32
    assert not values.requires_grad
    assert bool(torch.isfinite(values).all())
    assert float(values.abs().max()) > 0


def test_only_a_signed_map_has_values_below_zero(explainer: iw.Explainer, trace: iw.Trace) -> None:
    layers = layers_for(explainer, "conv1", "conv2")
    lows = [float(explainer(trace, target, layer).values.min()) for target in range(5) for layer in layers]
    assert (min(lows) < 0) == explainer.signed
    assert explainer(trace, 0).signed == explainer.signed


def test_every_hyper_parameter_keeps_what_signed_says(explainer: iw.Explainer, trace: iw.Trace) -> None:
    for field in dataclasses.fields(explainer):
        for value in (True, False) if isinstance(field.default, bool) else field.metadata["options"]:
            variant = dataclasses.replace(explainer, **{field.name: value})
            lows = [float(variant(trace, target, *layers_for(explainer, "conv1")).values.min()) for target in range(5)]
            assert (min(lows) < 0) == variant.signed, (field.name, value)


def test_the_same_question_has_the_same_answer(explainer: iw.Explainer, model: nn.Module) -> None:
    first, second = (explainer(iw.record(model, BATCH[:1]), 2).values for _ in range(2))
    assert torch.equal(first, second)


def test_pixels_are_rgba_bytes_in_the_size_of_the_input_or_any_other(explainer: iw.Explainer, trace: iw.Trace) -> None:
    attribution = explainer(trace, 2)
    pixels = attribution.pixels()
    assert pixels.shape == (10, 14, 4)
    assert pixels.dtype == np.uint8
    assert len(np.unique(pixels[..., :3].reshape(-1, 3), axis=0)) > 3
    even = iw.Look()  # the usual look of signed and pixel-level maps has opacity by strength
    assert (attribution.pixels(look=even)[..., 3] == 255).all()
    assert attribution.pixels(size=(3, 2), alpha=0.5, look=even)[0, 0, 3] == 128


def test_a_figure_shows_input_map_and_overlay(explainer: iw.Explainer, trace: iw.Trace, tmp_path: Path) -> None:
    figure = explainer(trace, 2).figure()
    assert [axes.get_title() for axes in figure.axes[:3]] == ["input", "map", "overlay"]
    assert type(explainer).title in figure.get_suptitle()
    assert "cat" in figure.get_suptitle()
    figure.savefig(tmp_path / "figure.png")
    assert not mpl._pylab_helpers.Gcf.figs  # type: ignore[attr-defined] - nothing is left with pyplot


def test_a_description_names_method_target_layer_and_place(explainer: iw.Explainer, trace: iw.Trace) -> None:
    (layer,) = layers_for(explainer, "conv1")
    attribution = explainer(trace, "cat", layer)
    words = attribution.describe()
    assert words.startswith(f"{type(explainer).title} for cat at {layer}, score ")
    assert f" of {attribution.values.shape[0]}, column " in words
    assert "\n" not in words


def test_the_model_is_left_as_it_was(explainer: iw.Explainer) -> None:
    model = SmallNet()
    model.train()
    model.bn1.eval()
    model.conv2.weight.requires_grad_(False)
    model.head.weight.grad = torch.ones_like(model.head.weight)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    generator = torch.get_rng_state()
    explainer(iw.record(model, BATCH[:1]), 2)
    assert {name for name, module in model.named_modules() if not module.training} == {"bn1"}
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["conv2.weight"]
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["head.weight"]
    assert torch.equal(model.head.weight.grad, torch.ones(5, 8))
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
    assert torch.equal(torch.get_rng_state(), generator)


def test_a_frozen_model_inside_no_grad_gives_the_same_map(explainer: iw.Explainer, trace: iw.Trace) -> None:
    frozen = SmallNet()
    frozen.load_state_dict(trace.model.state_dict())
    with torch.no_grad():
        found = explainer(iw.record(frozen.requires_grad_(False), BATCH[:1]), 2).values
    torch.testing.assert_close(found, explainer(trace, 2).values)


def test_one_of_a_batch_is_explained_as_if_it_were_alone(explainer: iw.Explainer, model: nn.Module) -> None:
    together = iw.record(model, BATCH)
    for example in range(3):
        alone = explainer(iw.record(model, BATCH[example : example + 1]), 2)
        found = explainer(together, 2, example=example)
        torch.testing.assert_close(found.values, alone.values)
        assert found.score == pytest.approx(alone.score)
        assert torch.equal(found.background, BATCH[example])  # type: ignore[arg-type]


def test_without_a_target_the_prediction_of_that_input_is_explained(explainer: iw.Explainer, model: nn.Module) -> None:
    together = iw.record(model, BATCH * 5)
    predictions = together.logits.argmax(dim=1).tolist()
    assert [explainer(together, example=i).target for i in range(3)] == [iw.ClassScore(k) for k in predictions]


def test_an_example_that_is_not_in_the_batch_is_refused(explainer: iw.Explainer, model: nn.Module) -> None:
    trace = iw.record(model, BATCH)
    for target in (None, 2):
        with pytest.raises(errors.InputError, match=r"example must be in 0\.\.2 \(the trace holds 3 inputs\), got 3"):
            explainer(trace, target, example=3)


def test_a_call_returns_the_last_estimate_of_the_stream(explainer: iw.Explainer, trace: iw.Trace) -> None:
    estimates = list(explainer.stream(trace, 2))
    assert torch.equal(estimates[-1].values, explainer(trace, 2).values)
    assert estimates[-1].done == estimates[-1].total


def test_a_nan_is_refused_and_the_layer_where_it_starts_is_named(explainer: iw.Explainer) -> None:
    model = SmallNet()
    with torch.no_grad():
        model.conv2.bias[1] = torch.nan
    with pytest.raises(errors.NonFiniteError, match="NaN or infinity first appears at 'conv2'"):
        explainer(iw.record(model, BATCH[:1]), 2)


def test_a_map_that_is_not_finite_is_refused_though_the_score_is(explainer: iw.Explainer) -> None:
    class Root(nn.Module):
        """The slope of a square root at zero is infinite."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.conv(x) * 0).sqrt().mean(dim=(2, 3))

    uses_slopes = explainer.needs_gradient and not isinstance(explainer, iw.DeepLift | iw.DeepLiftSHAP | iw.LRP)
    if uses_slopes:
        name = "GradCAM" if isinstance(explainer, iw.GuidedGradCAM) else type(explainer).__name__
        with pytest.raises(errors.NonFiniteError, match=f"the {name} map of '.*' is not finite"):
            explainer(iw.record(Root(), BATCH[:1]), 2)


def test_a_score_that_ignores_the_layer_gives_a_map_of_zeros(explainer: iw.Explainer) -> None:
    model = SmallNet()
    with torch.no_grad():
        model.head.weight.zero_()
    attribution = explainer(iw.record(model, BATCH[:1]), 2)
    if not isinstance(explainer, iw.EigenCAM | iw.ScoreCAM):  # one explains no class, one gives each channel a share
        assert not attribution.values.any()
        assert attribution.describe().endswith("zero everywhere.")
        assert len(np.unique(attribution.pixels().reshape(-1, 4), axis=0)) == 1
        attribution.figure().savefig("/dev/null", format="png")
    else:
        assert attribution.values.any()


def test_an_explainer_is_a_value_that_can_be_a_key(explainer: iw.Explainer) -> None:
    assert explainer == dataclasses.replace(explainer)
    assert {explainer: 1}[dataclasses.replace(explainer)] == 1
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign"):
        explainer.title = "other"  # type: ignore[misc]


def test_every_hyper_parameter_says_what_is_allowed_and_what_it_does(explainer: iw.Explainer) -> None:
    assert type(explainer).title
    for field in dataclasses.fields(explainer):
        assert set(field.metadata) == {"low", "high", "options", "help", "convert", "only_with"}
        assert _is_one_line(field.metadata["help"])


def test_every_method_says_in_one_line_of_its_own_what_it_shows(explainer: iw.Explainer) -> None:
    assert _is_one_line(type(explainer).summary)
    assert [kind.summary for kind in KINDS].count(type(explainer).summary) == 1


def _is_one_line(words: str) -> bool:
    """Short enough for a tooltip, and not the end of a sentence: what follows it depends on where it stands."""
    return 0 < len(words) <= LONGEST_LINE and "\n" not in words and not words.endswith(".")


def test_the_readme_says_of_every_method_what_the_method_says_of_itself() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", README.read_text(encoding="utf-8"), re.MULTILINE)
    told = {name: what for name, what, _source in rows if name in iw.EXPLAINERS}
    assert told == {name: kind.summary for name, kind in iw.EXPLAINERS.items()}


def values_to_try(field: dataclasses.Field[Any]) -> tuple[Any, ...]:
    """Values of a hyper-parameter that must give different maps: every option, or two numbers that are far apart."""
    if isinstance(field.default, bool):
        return (True, False)
    if field.metadata["options"]:
        return field.metadata["options"]
    low, high = field.metadata["low"], field.metadata["high"]
    if isinstance(field.default, int):
        return (low, low + 10)
    return (low, low + 0.6 * (min(high, 1) - low))


def is_ignored(explainer: iw.Explainer, field: dataclasses.Field[Any], trace: iw.Trace) -> bool:
    """Whether two values of a hyper-parameter give the same map, up to rounding, for each of three classes."""
    layer = layers_for(explainer, "conv1")

    @cache
    def values(variant: iw.Explainer, target: int) -> torch.Tensor:
        return variant(trace, target, *layer).values

    def differ(one: iw.Explainer, other: iw.Explainer, target: int) -> bool:
        first, second = values(one, target), values(other, target)
        return float((first - second).abs().max()) > BEYOND_ROUNDING * float(first.abs().max())

    stage = dataclasses.replace(explainer, **field.metadata["only_with"])
    variants = [dataclasses.replace(stage, **{field.name: value}) for value in values_to_try(field)]
    pairs = itertools.combinations(variants, 2)
    return not all(any(differ(one, other, target) for target in range(3)) for one, other in pairs)


def test_no_hyper_parameter_is_ignored(explainer: iw.Explainer, precise_trace: iw.Trace) -> None:
    ignored = [field.name for field in dataclasses.fields(explainer) if is_ignored(explainer, field, precise_trace)]
    assert not ignored


class Ignored:
    """A hyper-parameter that is read as the same value, whatever it is set to."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __get__(self, _instance: object, _owner: type) -> Any:
        return self.value

    def __set__(self, _instance: object, _value: Any) -> None:
        pass


@pytest.mark.slow
def test_a_hyper_parameter_that_is_ignored_is_found(explainer: iw.Explainer, precise_trace: iw.Trace) -> None:
    for field in dataclasses.fields(explainer):
        kind = type(explainer)
        mutant = type(kind.__name__, (kind,), {field.name: Ignored(values_to_try(field)[0])})
        assert is_ignored(quick(mutant), field, precise_trace), field.name


def test_a_wrong_hyper_parameter_is_refused_in_words(explainer: iw.Explainer) -> None:
    for field in dataclasses.fields(explainer):
        with pytest.raises(
            errors.ParameterError, match=f"{field.name} must be (a tensor or |)(one of|True or False|a ).*, got 'no'"
        ):
            dataclasses.replace(explainer, **{field.name: "no"})


def test_numbers_outside_their_limits_are_refused_in_words() -> None:
    @dataclasses.dataclass(frozen=True)
    class Numbers(iw.GradCAM):
        steps: int = dataclasses.field(default=8, metadata=limits(1, 64, help="steps"))
        noise: float = dataclasses.field(default=0.1, metadata=limits(0, help="noise"))

    assert Numbers(steps=64, noise=3).noise == 3
    for wrong, sentence in (
        ({"steps": 65}, r"Numbers: steps must be a whole number in 1\.\.64, got 65"),
        ({"steps": 2.5}, r"steps must be a whole number in 1\.\.64, got 2\.5"),
        ({"steps": True}, "steps must be a whole number"),
        ({"noise": -1}, "noise must be a number of 0 or more, got -1"),
        ({"noise": float("nan")}, "noise must be a number of 0 or more, got nan"),
    ):
        with pytest.raises(errors.ParameterError, match=sentence):
            Numbers(**wrong)  # type: ignore[arg-type]


def test_a_layer_without_maps_is_refused_by_methods_that_need_them(explainer: iw.Explainer, trace: iw.Trace) -> None:
    passes = trace.backward_passes
    if explainer.input_only:
        with pytest.raises(errors.LayerError, match="explains the input only, not the layer 'head'"):
            explainer(trace, 2, "head")
    elif explainer.at_layer:
        with pytest.raises(errors.LayoutError, match="head"):
            explainer(trace, 2, "head")
        assert trace.backward_passes == passes
    else:
        assert explainer(trace, 2, "head").values.shape == (5,)


def test_unknown_layers_and_classes_are_refused(explainer: iw.Explainer, trace: iw.Trace) -> None:
    with pytest.raises(errors.LayerError, match="layer 'conv3' was not recorded"):
        explainer(trace, 2, "conv3")
    with pytest.raises(errors.TargetError, match=r"target must be in 0\.\.4 \(the model has 5 classes\), got 5"):
        explainer(trace, 5)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.needs_gradient])
def test_what_needs_no_gradient_takes_none(kind: type[iw.Explainer], trace: iw.Trace) -> None:
    quick(kind)(trace, 2)
    assert trace.backward_passes == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [
        ("vit_b_16", "encoder.layers.encoder_layer_5", (6, 6)),
        ("vit_b_16", "encoder.layers.encoder_layer_11.ln_1", (6, 6)),
        ("vit_b_16", "conv_proj", (6, 6)),
        ("swin_t", "features.1", (24, 32)),
        ("swin_t", "features.3.1.attn", (12, 16)),
        ("swin_t", "features.7", (3, 4)),
        ("swin_t", "norm", (3, 4)),
    ],
)
def test_transformers_need_no_reshape_transform(name: str, layer: str, size: tuple[int, int]) -> None:
    trace = iw.record(subject(name), image_for(name))
    # the first estimate: what is tested here does not need the last one
    maps = {kind: next(quick(kind).stream(trace, 3, layer)).values for kind in KINDS if not kind.input_only}
    assert {tuple(values.shape) for values in maps.values()} == {size}
    # a method that keeps the positive part may rightly find none; the gradient itself is never zero
    assert float(maps[iw.Gradient].max()) > 0
    assert sum(bool(values.any()) for values in maps.values()) > len(maps) / 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_give_the_map_in_single_precision_at_least(
    dtype: torch.dtype, explainer: iw.Explainer, model: nn.Module, close: Callable[..., None]
) -> None:
    expected = explainer(iw.record(model, BATCH[:1]), 2).values
    found = explainer(iw.record(model.to(dtype), BATCH[:1].to(dtype)), 2).values
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    # bfloat16 has 8 bits: a ReLU near zero that switches moves single positions by some tenths of the maximum
    close(found, expected, 1e-4 if dtype == torch.float64 else 0.3)


def test_token_ids_are_explained_at_their_embedding() -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3))
    trace = iw.record(model, torch.tensor([[1, 5, 5, 0, 8]]))
    for kind in (iw.Gradient, iw.InputXGradient):
        attribution = kind()(trace, 1)
        assert attribution.layer == "0"
        assert attribution.values.shape == (5, 4)
        assert "at index" in attribution.describe()
        with pytest.raises(errors.LayoutError, match=r"has shape \(5, 4\)|only a map"):
            dataclasses.replace(attribution, values=torch.zeros(5)).pixels()


@pytest.mark.parametrize("name", ["DeepLift", "IntegratedGradients", "ShapleySampling", "KernelSHAP"])
def test_every_method_that_promises_it_adds_up_on_data(name: str) -> None:
    """A small network trained on scikit-learn's wine data: thirteen named features, three classes."""
    from sklearn.datasets import load_wine

    wine = load_wine()
    inputs = torch.tensor((wine.data - wine.data.mean(0)) / wine.data.std(0)).float()
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(13, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), torch.tensor(wine.target)).backward()
        optimizer.step()
    trace = iw.record(model, inputs[:1], feature_names=wine.feature_names)
    found = iw.EXPLAINERS[name]()(trace)
    change = float((model(inputs[:1]) - model(torch.zeros(1, 13)))[0, trace.prediction].detach())
    assert found.names == tuple(wine.feature_names)
    # 32 Gauss-Legendre nodes leave 1e-4 of this smooth change; the others sum up to rounding
    assert float(found.values.sum()) == pytest.approx(change, rel=1e-3)
    assert found.change == pytest.approx(change, rel=1e-4)
