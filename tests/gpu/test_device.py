"""A model on a graphics card takes inputs from anywhere, and says what it says on the processor."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets import errors
from tests.explainers.subjects import SmallNet

IMAGE = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(1))
TARGET = 2
# Kernels of a card add up in another order; a ReLU near zero may switch, so single precision is compared in the mean.
CLOSE = 1e-3


def quick(name: str) -> iw.Explainer:
    """A method with few samples, that keeps what is below zero: of a small model that may be all there is."""
    kind = iw.EXPLAINERS[name]
    fields = {field.name for field in dataclasses.fields(kind)}
    options: dict[str, Any] = dict.fromkeys(fields & {"steps", "samples"}, 8)
    return kind(**options, **dict.fromkeys(fields & {"relu"}, False))


def mean_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The mean difference over the mean size."""
    found, expected = found.double().cpu(), expected.double().cpu()
    assert found.shape == expected.shape
    assert bool(expected.any())
    return float((found - expected).abs().mean() / expected.abs().mean())


@pytest.fixture
def model() -> nn.Module:
    return SmallNet().eval()


@pytest.fixture
def there(model: nn.Module, device: torch.device) -> nn.Module:
    """The same model on the card."""
    return copy.deepcopy(model).to(device)


def test_an_input_on_the_processor_goes_to_the_model_by_itself(
    model: nn.Module, there: nn.Module, device: torch.device
) -> None:
    image = IMAGE.clone()
    with iw.record(there, image) as trace, iw.record(model, IMAGE) as here:
        assert {trace.activation(site).device.type for site in trace.sites} == {device.type}
        assert mean_error(trace.logits, here.logits) < CLOSE
        for layer in here.layers:
            assert mean_error(trace.activation(layer), here.activation(layer)) < CLOSE
            assert mean_error(trace.gradient(layer, TARGET), here.gradient(layer, TARGET)) < CLOSE
    assert image.device.type == "cpu"
    assert torch.equal(image, IMAGE)


@pytest.mark.parametrize("name", list(iw.EXPLAINERS))
def test_every_method_gives_the_map_of_the_processor(
    name: str, model: nn.Module, there: nn.Module, device: torch.device
) -> None:
    """Masks, noise and baselines too: the same seed draws the same numbers on any device."""
    with iw.record(there, IMAGE) as trace, iw.record(model, IMAGE) as here:
        found, expected = quick(name)(trace, TARGET), quick(name)(here, TARGET)
    assert found.values.device.type == device.type
    assert mean_error(found.values, expected.values) < CLOSE
    assert found.pixels().shape == (16, 20, 4)
    assert found.describe().split(",")[0] == expected.describe().split(",")[0]
    found.figure()


@pytest.mark.parametrize("name", ["IntegratedGradients", "DeepLift", "KernelSHAP"])
def test_a_baseline_on_the_processor_goes_to_the_card(name: str, model: nn.Module, there: nn.Module) -> None:
    explainer = dataclasses.replace(quick(name), baseline=torch.full((3, 16, 20), 0.5))
    with iw.record(there, IMAGE) as trace, iw.record(model, IMAGE) as here:
        assert mean_error(explainer(trace, TARGET).values, explainer(here, TARGET).values) < CLOSE


@pytest.mark.parametrize("layer", ["input", "conv1"])
@pytest.mark.parametrize("gradient", [False, True])
def test_a_probe_takes_values_from_the_processor(
    layer: str, model: nn.Module, there: nn.Module, *, gradient: bool
) -> None:
    with iw.record(there, IMAGE) as trace, iw.record(model, IMAGE) as here:
        values = here.activation(layer) * 1.5
        found = trace.probe(layer, values, TARGET, gradient=gradient)
        expected = here.probe(layer, values, TARGET, gradient=gradient)
    assert mean_error(found.scores, expected.scores) < CLOSE
    if gradient:
        assert mean_error(found.gradients, expected.gradients) < CLOSE


def test_a_session_takes_more_inputs_from_the_processor(there: nn.Module, device: torch.device) -> None:
    session = iw.Session(there, IMAGE)
    session.add(IMAGE * 0.5, "darker")
    assert session.name_of(1) == "darker"
    assert session.trace.activation("input").device.type == device.type
    assert mean_error(session.trace.activation("input"), IMAGE * 0.5) == 0


def test_an_explorer_shows_a_model_on_the_card(there: nn.Module) -> None:
    with iw.explore(there, IMAGE) as explorer:
        assert explorer.wait()
        assert explorer.error == ""
        explorer.session.layer = "conv1"
        explorer.session.explainer = iw.RISE(samples=8)
        assert explorer.wait()
        assert explorer.error == ""
        assert explorer.attribution.values.shape == (16, 20)


def test_compare_takes_an_input_from_the_processor(there: nn.Module) -> None:
    methods = ["GradCAM", "Gradient", "RISE"]
    with iw.compare(there, IMAGE, methods=methods) as found:
        assert found.wait()
        assert found.error == ""
        assert all(attribution is not None for attribution in found.attributions)


def test_check_takes_an_input_from_the_processor(there: nn.Module) -> None:
    report = iw.check(there, IMAGE, methods=["GradCAM", "IntegratedGradients"])
    assert [found.verdict for found in report if found.verdict == "refuses"] == []


def test_token_ids_keep_their_type(device: torch.device) -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3)).eval()
    ids = torch.tensor([[1, 5, 5, 0, 8]])
    with iw.record(model, ids) as trace:
        expected = iw.Gradient()(trace, 1).values
    with iw.record(model.to(device), ids) as trace:
        assert trace.activation("input").dtype == torch.int64
        assert mean_error(iw.Gradient()(trace, 1).values, expected) < CLOSE
    assert ids.device.type == "cpu"


class Split(nn.Module):
    """Its first part on one device, its second on another."""

    def __init__(self, second: torch.device) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Linear(4, 5).to(second)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.first(x).relu()
        return self.second(maps.mean(dim=(2, 3)).to(self.second.weight.device))


@pytest.mark.parametrize("asked_from", ["processor", "card"])
def test_on_two_devices_the_input_goes_to_that_of_the_first_parameter(asked_from: str, device: torch.device) -> None:
    model = Split(device)
    image = IMAGE if asked_from == "processor" else IMAGE.to(device)
    with iw.record(model, image) as trace:
        assert trace.activation("input").device.type == "cpu"
        assert trace.activation("second").device.type == device.type
        found = trace.gradient("first", TARGET)
        assert found.device.type == "cpu"
        rise = iw.RISE(samples=8)(trace, TARGET).values
    with iw.record(copy.deepcopy(model).cpu(), IMAGE) as trace:
        assert mean_error(found, trace.gradient("first", TARGET)) < CLOSE
        assert mean_error(rise, iw.RISE(samples=8)(trace, TARGET).values) < CLOSE


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["half", "bfloat16"])
def test_an_input_takes_the_models_precision(dtype: torch.dtype, there: nn.Module, model: nn.Module) -> None:
    with iw.record(there.to(dtype), IMAGE) as trace, iw.record(model, IMAGE) as here:
        assert trace.activation("input").dtype == dtype
        assert trace.activation("conv1").dtype == dtype
        assert mean_error(trace.activation("conv1"), here.activation("conv1")) < 0.05
        found = iw.GradCAM()(trace, TARGET)
        assert found.values.dtype == torch.float32
        assert bool(torch.isfinite(found.values).all())
        assert bool(torch.isfinite(iw.RISE(samples=8)(trace, TARGET).values).all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["half", "bfloat16"])
def test_autocast_is_recorded_as_it_runs(dtype: torch.dtype, there: nn.Module, device: torch.device) -> None:
    with torch.autocast(device.type, dtype=dtype):
        expected = there(IMAGE.to(device)).detach()
        trace = iw.record(there, IMAGE)
        assert trace.activation("conv1").dtype == dtype
        assert torch.equal(trace.logits, expected)
        gradient = trace.gradient("conv1", TARGET)
        assert gradient.dtype == dtype
        assert bool(torch.isfinite(gradient).all())
    assert iw.GradCAM()(trace, TARGET).values.dtype == torch.float32


def test_the_model_stays_where_it_is(there: nn.Module) -> None:
    before = [(id(each), each.device, each.dtype, each._version) for each in there.parameters()]
    with iw.record(there, IMAGE) as trace:
        iw.GradCAM()(trace, TARGET)
        iw.RISE(samples=8)(trace, TARGET)
    assert [(id(each), each.device, each.dtype, each._version) for each in there.parameters()] == before


class Greedy(nn.Module):
    """Has memory for so many at once, and no more."""

    def __init__(self, model: nn.Module, most: Callable[[], int]) -> None:
        super().__init__()
        self.model, self.most = model, most

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.most():
            raise torch.OutOfMemoryError(f"CUDA out of memory: tried to take {len(x)}")
        return self.model(x)


@pytest.fixture
def greedy(there: nn.Module) -> Callable[[int], Greedy]:
    return lambda most: Greedy(there, lambda: most).eval()


MANY: list[Any] = [iw.RISE(samples=40), iw.SmoothGrad(samples=40), iw.DeepLiftSHAP(samples=16), iw.Occlusion()]


@pytest.mark.parametrize("explainer", MANY, ids=lambda each: type(each).__name__)
def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    explainer: iw.Explainer, greedy: Callable[[int], Greedy]
) -> None:
    """And what fitted is remembered: it does not run into the limit again for each batch."""
    with iw.record(greedy(10**6), IMAGE) as plenty, iw.record(greedy(3), IMAGE) as little:
        expected = explainer(plenty, TARGET)
        found = explainer(little, TARGET)
    assert found.done == found.total == expected.total
    assert mean_error(found.values, expected.values) < CLOSE


def test_memory_that_is_not_enough_for_one_is_an_error_in_words(there: nn.Module) -> None:
    limits = [1]
    with iw.record(Greedy(there, lambda: limits[-1]).eval(), IMAGE) as trace:
        limits.append(0)
        with pytest.raises((errors.InterpError, torch.OutOfMemoryError), match="memory"):
            iw.RISE(samples=8)(trace, TARGET)


@pytest.mark.usefixtures("is_cuda")
def test_a_card_takes_larger_batches_than_a_processor(greedy: Callable[[int], Greedy], model: nn.Module) -> None:
    with iw.record(greedy(10**6), IMAGE) as trace, iw.record(model, IMAGE) as here:
        assert max(map(len, trace.batches(500))) > max(map(len, here.batches(500)))
        assert max(map(len, trace.batches(500, gradient=True))) > max(map(len, here.batches(500, gradient=True)))


@pytest.mark.usefixtures("is_cuda")
def test_a_closed_trace_gives_the_memory_of_the_card_back(there: nn.Module) -> None:
    image = torch.rand(1, 3, 256, 256)
    with iw.record(there, image) as trace:  # what libraries take once
        iw.GradCAM()(trace, TARGET)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    with iw.record(there, image) as trace:
        iw.GradCAM()(trace, TARGET)
        assert torch.cuda.memory_allocated() > before
    del trace
    assert torch.cuda.memory_allocated() - before < image.nbytes
