"""What is said about maps that mean nothing: each fault is planted alone, and the finding names it."""

from __future__ import annotations

import dataclasses
import random
import re
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.evaluation import Finding, diagnose, is_odd
from tests.explainers.subjects import SmallNet, image_for, subject

IMAGE = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))


class Two(nn.Module):
    """Class 0 is the mean of the ReLU of a 1x1 convolution, class 1 its negative."""

    def __init__(self, weight: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        nn.init.constant_(self.conv.weight, weight)
        nn.init.constant_(self.conv.bias, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = self.conv(x).relu().mean(dim=(1, 2, 3))
        return torch.stack([score, -score], dim=1)


def finding_of(model: nn.Module, explainer: iw.Explainer, target: object, layer: str | None = None) -> object:
    trace = iw.record(model, IMAGE)
    return diagnose(trace, explainer, explainer(trace, target, layer))  # type: ignore[arg-type]


def test_a_map_that_says_something_has_no_finding() -> None:
    assert finding_of(Two(), iw.GradCAM(), 0, "conv") is None


def test_evidence_against_only_is_named_and_the_way_out_shows_it() -> None:
    found = finding_of(Two(), iw.GradCAM(), 1, "conv")
    assert "evidence against the target" in found.reason  # type: ignore[attr-defined]
    assert dict(found.change) == {"explainer": iw.GradCAM(relu=False)}  # type: ignore[attr-defined]
    trace = iw.record(Two(), IMAGE)
    assert float(found.change["explainer"](trace, 1, "conv").values.max()) < 0  # type: ignore[attr-defined]


def test_a_silent_layer_is_named() -> None:
    class Silent(Two):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).relu().mean(dim=(2, 3))

    trace = iw.record(Silent(weight=-1.0), IMAGE)
    found = diagnose(trace, iw.LayerCAM(), iw.LayerCAM()(trace, 0, "/relu"))
    assert found is not None
    assert "every activation of this layer is zero" in found.reason
    assert dict(found.change) in ({}, {"layer": "conv"})


def test_a_layer_that_the_score_does_not_depend_on_is_named() -> None:
    class Aside(SmallNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.conv2(self.conv1(x))  # beside the way to the output
            return super().forward(x)

    trace = iw.record(Aside(), IMAGE)
    found = diagnose(trace, iw.Gradient(), iw.Gradient()(trace, 0, "conv2:0"))
    assert found is not None
    assert found.reason == "the score does not depend on this layer: its gradient is zero"
    assert found.change["layer"] == trace.default_layer()


def test_a_saturated_score_is_named_and_the_way_out_is_the_class() -> None:
    def certain(output: torch.Tensor) -> torch.Tensor:
        return (output * 1e4).softmax(dim=1)[0, 0]

    trace = iw.record(Two(), IMAGE)
    found = diagnose(trace, iw.Gradient(), iw.Gradient()(trace, certain))
    assert found is not None
    assert "saturated softmax" in found.reason
    assert dict(found.change) == {"target": 0}


def test_positions_that_nobody_reads_are_named() -> None:
    trace = iw.record(subject("vit_b_16"), image_for("vit_b_16"))
    last = "encoder.layers.encoder_layer_11"
    explainer = iw.EigenCAM()
    found = diagnose(trace, explainer, explainer(trace, 3, last))
    assert found is not None
    assert "the positions of its map mean little" in found.reason
    assert dict(found.change) == {"layer": trace.default_layer()}
    assert diagnose(trace, explainer, explainer(trace, 3, trace.default_layer())) is None


# Planted faults

Middle = Callable[["Faulty", torch.Tensor], torch.Tensor]


class Faulty(nn.Module):
    """A sound network, all weights above zero, with something between its first and its last convolution."""

    def __init__(self, middle: Middle = lambda _model, x: x) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.table = nn.Embedding(8, 4)
        self.last = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 2)
        self.norm = nn.BatchNorm2d(4)
        self.middle = middle
        generator = torch.Generator().manual_seed(3)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, 0.1, 0.5, generator=generator)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.middle(self, self.first(x).relu())
        return self.fc(self.last(x).relu().mean(dim=(2, 3)))


def embedded_choice(model: Faulty, x: torch.Tensor) -> torch.Tensor:
    return model.table(x.argmax(dim=1)).permute(0, 3, 1, 2)


CUTS: dict[str, tuple[Middle, str]] = {
    "a saturated sigmoid": (
        lambda _, x: (50 + x).sigmoid(),
        r"sigmoid at '/sigmoid' is saturated \(what enters it: 5\d",
    ),
    "a saturated tanh": (lambda _, x: (50 + x).tanh(), r"tanh at '/tanh' is saturated"),
    "a clamp": (lambda _, x: (50 + x).clamp(0, 1), r"clamp at '/clamp' is saturated"),
    "a saturated softmax": (
        lambda _, x: (x + 1e4 * torch.arange(4.0)[:, None, None]).softmax(1),
        r"softmax at .* is sat",
    ),
    "a rounded value": (
        lambda _, x: (3 * x).round(),
        r"round at '/round' rounds, so its gradient is zero .* Occlusion",
    ),
    "a sign": (lambda _, x: x.sign(), r"sign at '/sign' rounds"),
    "a choice": (embedded_choice, r"argmax at '/argmax' gives no floating-point numbers, .* Occlusion"),
    "a comparison": (lambda _, x: (x > 1).float(), r"gt at '/gt' gives no floating-point numbers"),
    "a detached value": (lambda _, x: x.detach(), r"cuts the gradient off at '/detach' by detach"),
    "a dead ReLU": (lambda _, x: (x - 1e3).relu(), r"nothing that enters relu at '/relu:1' is above zero .* weights"),
    "a batch norm with weights of zero": (
        lambda model, x: model.norm(x),
        r"the weights of batch_norm at 'norm' are zero",
    ),
    "a factor of zero": (lambda _, x: x * 0, r"mul at '/mul' multiplies by zero"),
}


@pytest.mark.parametrize("fault", CUTS)
@pytest.mark.parametrize("explainer", [iw.GradCAM(), iw.Gradient(), iw.IntegratedGradients(steps=4)])
def test_what_stops_the_gradient_is_named_and_the_way_out_has_a_map(fault: str, explainer: iw.Explainer) -> None:
    middle, words = CUTS[fault]
    trace = iw.record(Faulty(middle), IMAGE)
    layer = "first" if explainer.at_layer else None
    found = diagnose(trace, explainer, explainer(trace, 0, layer))
    assert found is not None
    assert "no gradient of the score arrives at this layer: " in found.reason
    assert re.search(words, found.reason), found.reason
    assert_leads_somewhere(trace, explainer, found, layer or "input")


def assert_leads_somewhere(trace: iw.Trace, explainer: iw.Explainer, found: Finding, layer: str) -> None:
    """What is offered is another question, and its map says something."""
    assert bool(found.remedy) == bool(found.change)
    if not found.remedy:
        return
    change = dict(found.change)
    assert change.get("layer") != layer
    assert explainer.at_layer or "layer" not in change or change["at_layer"]
    other = change.get("explainer", explainer)
    values = other(trace, change.get("target", 0), change.get("layer", layer)).values
    assert float(values.min()) < float(values.max())


def test_a_last_convolution_that_is_dead_offers_no_way_to_itself() -> None:
    model = Faulty()
    nn.init.zeros_(model.last.weight)
    nn.init.constant_(model.last.bias, -1.0)
    trace = iw.record(model, IMAGE)
    assert trace.default_layer() == "last"
    for explainer, layer in ((iw.GradCAM(), "last"), (iw.GradCAM(), "first"), (iw.Gradient(), "input")):
        found = diagnose(trace, explainer, explainer(trace, 0, layer))
        assert found is not None
        assert "nothing that enters relu at '/relu:1' is above zero" in found.reason
        assert "that the trained weights are loaded" in found.reason
        assert found.change == {}
    silent = diagnose(trace, iw.EigenCAM(), iw.EigenCAM()(trace, 0, "/relu:1"))
    assert silent is not None
    assert "every activation of this layer is zero for this input: nothing that enters relu" in silent.reason
    assert_leads_somewhere(trace, iw.EigenCAM(), silent, "/relu:1")


def test_a_head_of_zeros_is_named() -> None:
    model = Faulty()
    nn.init.zeros_(model.fc.weight)
    trace = iw.record(model, IMAGE)
    for explainer, layer in ((iw.GradCAM(), "last"), (iw.GradCAM(), "first"), (iw.Gradient(), "input")):
        found = diagnose(trace, explainer, explainer(trace, 0, layer))
        assert found is not None
        assert "the weights of linear at 'fc' are zero" in found.reason
        assert "check that the trained weights are loaded" in found.reason
        assert found.change == {}


def test_an_activation_of_zeros_is_followed_to_the_weights_that_made_it() -> None:
    model = Faulty()
    nn.init.zeros_(model.first.weight)
    nn.init.zeros_(model.first.bias)
    trace = iw.record(model, IMAGE)
    found = diagnose(trace, iw.LayerCAM(), iw.LayerCAM()(trace, 0, "/relu"))
    assert found is not None
    assert "every activation of this layer is zero for this input: the weights of conv2d at 'first' are" in found.reason


@pytest.mark.parametrize("explainer", [iw.IntegratedGradients(steps=4), iw.Occlusion(), iw.DeepLift()])
def test_an_input_that_is_the_baseline_is_named(explainer: iw.Explainer) -> None:
    black = iw.record(Faulty(), torch.zeros(1, 3, 12, 12))
    found = diagnose(black, explainer, explainer(black, 0))
    assert found is not None
    assert (
        found.reason
        == "the input is the baseline that the method compares it with, so there is no difference to explain"
    )
    assert found.change == {}, "of a black image every baseline is black"
    grey = iw.record(Faulty(), torch.full((1, 3, 12, 12), 0.5))
    dark = dataclasses.replace(explainer, baseline="dark")
    found = diagnose(grey, dark, dark(grey, 0))
    assert found is not None
    assert found.reason.startswith("the input is the baseline")
    assert found.remedy == "compare with the baseline zero"
    assert_leads_somewhere(grey, dark, found, "input")


def test_a_black_image_is_the_cause_and_not_the_layer() -> None:
    model = Faulty()
    nn.init.zeros_(model.first.bias)
    trace = iw.record(model, torch.zeros(1, 3, 12, 12))
    by_product = diagnose(trace, iw.InputXGradient(), iw.InputXGradient()(trace, 0))
    assert by_product == Finding("the input is zero everywhere")
    found = diagnose(trace, iw.GradCAM(), iw.GradCAM()(trace, 0, "first"))
    assert found is not None
    assert found.reason == "every activation of this layer is zero for this input: the input is zero everywhere"


def test_random_numbers_in_the_forward_are_named() -> None:
    trace = iw.record(Faulty(lambda _, x: x + torch.randn_like(x)), IMAGE)
    found = diagnose(trace, iw.GradCAM(), iw.GradCAM()(trace, 0, "last"))
    assert found is not None
    assert "draws random numbers in its forward (randn_like at '/randn_like')" in found.reason
    assert "switch the noise off" in found.reason
    dropping = iw.record(SmallNet(), IMAGE, evaluation=False)
    found = diagnose(dropping, iw.Gradient(), iw.Gradient()(dropping, 0))
    assert found is not None
    assert "dropout at 'dropout'" in found.reason


@pytest.mark.parametrize("middle", [lambda _, x: x + 0.0 * torch.randn_like(x), lambda _, x: (torch.randn(3), x)[1]])
def test_random_numbers_that_do_not_reach_the_output_are_no_finding(middle: Middle) -> None:
    trace = iw.record(Faulty(middle), IMAGE)
    assert diagnose(trace, iw.GradCAM(), iw.GradCAM()(trace, 0, "last")) is None


def drawn_from_numpy() -> float:
    return np.random.rand()  # noqa: NPY002 - what models do


def drawn_from_python() -> float:
    return random.random()


@pytest.mark.parametrize("draw", [drawn_from_numpy, drawn_from_python])
def test_random_numbers_of_numpy_and_python_are_named(draw: Callable[[], float]) -> None:
    trace = iw.record(Faulty(lambda _, x: x + draw()), IMAGE)
    found = diagnose(trace, iw.GradCAM(), iw.GradCAM()(trace, 0, "last"))
    assert found is not None
    assert "draws random numbers from numpy or Python in its forward" in found.reason


def test_a_head_that_is_a_constant_is_named() -> None:
    class Constant(Faulty):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            super().forward(x)
            return self.fc.bias.expand(len(x), 2) + 0

    trace = iw.record(Constant(), IMAGE)
    for explainer in (iw.GradCAM(), iw.Gradient()):
        found = diagnose(trace, explainer, explainer(trace, 0, "last"))
        assert found == Finding("the model's output does not depend on its input at all: its head is a constant")


# The zoo's trained networks


def as_bytes(entry: iw.zoo.ZooEntry) -> torch.Tensor:
    """The first example in 0..255, as ``torch.from_numpy(np.asarray(image)).float()`` gives it."""
    pixels = np.array(entry.preprocess.crop(entry.examples[0].image), dtype=np.float32)
    return torch.from_numpy(pixels.reshape(*entry.preprocess.size, -1)).permute(2, 0, 1)[None]


@pytest.mark.parametrize("name", ["scenes", "digits", "efficientnet_lite0"])
def test_bytes_where_the_model_was_trained_on_another_range_are_noticed(name: str) -> None:
    entry = iw.zoo.load(name)
    trace = iw.record(entry.model, as_bytes(entry))
    found = diagnose(trace, iw.GradCAM(), iw.GradCAM()(trace))
    assert found is not None
    assert found.reason.startswith("the input lies in 0..255, but the model was trained on another range")
    assert "divide by 255" in found.reason


class Patches(nn.Module):
    """As a vision transformer begins: a convolution, and no batch norm that could tell what it saw in training."""

    def __init__(self, *, divides: bool = False) -> None:
        super().__init__()
        self.divides = divides
        self.patches, self.norm, self.head = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.patches(x / 255 if self.divides else x)
        return self.head(self.norm(patches.flatten(2).mT).mean(dim=1))


@pytest.mark.parametrize(
    ("divides", "scale", "shift", "noticed"),
    [(False, 1.0, 0.0, True), (True, 1.0, 0.0, False), (False, 1 / 255, 0.0, False), (False, 1.0, -117.0, False)],
    ids=["bytes", "the model divides them", "0..1", "less a mean"],
)
def test_bytes_are_noticed_without_a_batch_norm_too(divides: bool, scale: float, shift: float, noticed: bool) -> None:
    photograph = as_bytes(iw.zoo.load("scenes")) * scale + shift
    trace = iw.record(Patches(divides=divides).eval(), photograph)
    found = diagnose(trace, iw.GradCAM(), iw.GradCAM()(trace))
    sentence = "the input holds whole numbers in 0..255, as an image file does: divide by 255"
    assert (found is not None and found.reason.startswith(sentence)) is noticed


def test_small_counts_are_no_bytes() -> None:
    counts = as_bytes(iw.zoo.load("scenes")) // 16  # 0..15, as in scikit-learn's digits
    trace = iw.record(Patches().eval(), counts)
    found = diagnose(trace, iw.GradCAM(), iw.GradCAM()(trace))
    assert found is None or "255" not in found.reason


def test_an_input_a_hundred_times_too_large_is_noticed_also_where_it_is_no_image_of_bytes() -> None:
    entry = iw.zoo.load("digits")
    trace = iw.record(entry.model, entry.inputs[:1] * 1e4)
    found = diagnose(trace, iw.Gradient(), iw.Gradient()(trace))
    assert found is not None
    assert found.reason.startswith("the input is unlike those of training")


CHEAP = [name for name, kind in iw.EXPLAINERS.items() if not kind.refines and not kind.missing()]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scenes", "scenes-shortcut", "digits", "efficientnet_lite0"])
def test_a_trained_network_on_its_photographs_has_no_finding(name: str) -> None:
    entry = iw.zoo.load(name)
    for example, image in enumerate(entry.inputs):
        with iw.record(entry.model, image[None]) as trace:
            for method in CHEAP:
                explainer = iw.EXPLAINERS[method]()
                found = diagnose(trace, explainer, explainer(trace))
                assert found is None, f"{method} on example {example}: {found}"


def test_the_cats_map_has_no_finding() -> None:
    entry = iw.zoo.load("efficientnet_lite0")
    trace = iw.record(entry.model, entry.inputs[:1])
    for explainer in (iw.GradCAM(), iw.Gradient(), iw.LRP()):
        assert diagnose(trace, explainer, explainer(trace)) is None


# In the Explorer


def test_the_explorer_says_why_a_map_is_blank_and_offers_the_way_out() -> None:
    with iw.explore(Two(), IMAGE, target=1, layer="conv", explainer="GradCAM") as explorer:
        assert explorer.wait(20)
        remedy = explorer.controls["remedy"]
        assert explorer.status.startswith("all that this layer says is evidence against the target")
        assert remedy.layout.display == ""
        assert remedy.description == "Show evidence against"
        remedy.click()
        assert explorer.wait(20)
        assert explorer.session.explainer == iw.GradCAM(relu=False)
        assert remedy.layout.display == "none"
        assert explorer.status.startswith("Grad-CAM")


def test_the_explorer_says_what_stops_the_gradient_and_goes_where_there_is_a_map() -> None:
    rounds, _ = CUTS["a rounded value"]
    with iw.explore(Faulty(rounds), IMAGE, target=1, layer="first", explainer="HiResCAM") as explorer:
        assert explorer.wait(20)
        assert "round at '/round' rounds, so its gradient is zero everywhere" in explorer.status
        remedy = explorer.controls["remedy"]
        assert remedy.description == "Look at last"
        remedy.click()
        assert explorer.wait(20)
        assert explorer.session.layer == "last"
        assert remedy.layout.display == "none"


def test_a_way_out_is_looked_for_by_the_worker_only(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[bool] = []

    def noted(*arguments: object) -> Finding | None:
        odd = is_odd(*arguments)  # type: ignore[arg-type]  # as the view calls it
        threads.append(odd and threading.current_thread() is threading.main_thread())
        return diagnose(*arguments)  # type: ignore[arg-type]  # as the view calls it

    monkeypatch.setattr("interp_widgets.widgets.views.attribution.diagnose", noted)
    with iw.explore(Faulty(), torch.zeros(1, 3, 12, 12), layer="first", explainer="EigenCAM") as explorer:
        assert explorer.wait(20)
        explorer.session.explainer = "GradCAM"
        assert explorer.wait(20)
        explorer.session.layer = "last"
        assert explorer.wait(20)
    assert threads
    assert not any(threads)
