"""Pictures that excite a unit: what they are drawn for, against plain torch; the parametrisation, against numpy."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import GradientError, InputError, LayerError, ParameterError, StaleError, TargetError
from interp_widgets.inspectors.feature_visualization import PATIENCE, Visualization
from interp_widgets.inspectors.fourier import COLOUR_ROOT, Adam, FourierPicture, seen_anew

FLOATS = {"rel": 1e-5, "abs": 1e-6}  # the same pass in another order of additions, in float32
PLAIN = iw.Preprocess(16, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.Conv2d(6, 5, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(20, 4), nn.Softmax(dim=1),
    ).eval()  # fmt: skip


def drawn(model: Any, layer: str | None = None, *, steps: int = 3, **given: Any) -> Visualization:
    options = {"preprocess": PLAIN, **given}
    *_, last = iw.feature_visualization(model, layer, steps=steps, **options)
    return last


def values(model: nn.Sequential, layer: int, image: torch.Tensor) -> torch.Tensor:
    """What a layer returns for a picture in 0..1."""
    mean, std = (torch.tensor(numbers).reshape(3, 1, 1) for numbers in (PLAIN.mean, PLAIN.std))
    with torch.no_grad():
        found: torch.Tensor = model[: layer + 1](((image - mean) / std)[None])[0]
    return found


def test_the_activation_is_that_of_the_picture_in_plain_torch() -> None:
    model = network()
    weights = torch.tensor([3.0, 0.0, -4.0, 0.0, 0.0])
    channel, centre = drawn(model, "2", channel=3), drawn(model, "2", unit=3)
    place, direction = drawn(model, "2", unit=(1, 0, 11)), drawn(model, "2", direction=weights)
    score = drawn(model, target=2)
    assert channel.activation == pytest.approx(values(model, 2, channel.image)[3].mean().item(), **FLOATS)
    assert centre.activation == pytest.approx(values(model, 2, centre.image)[3, 6, 6].item(), **FLOATS)
    assert place.activation == pytest.approx(values(model, 2, place.image)[1, 0, 11].item(), **FLOATS)
    along = torch.einsum("chw,c->hw", values(model, 2, direction.image), weights / 5).mean().item()
    assert direction.activation == pytest.approx(along, **FLOATS)
    assert score.activation == pytest.approx(values(model, 5, score.image)[2].item(), **FLOATS)  # before the softmax


def test_each_step_gives_a_picture_that_stays_as_it_was() -> None:
    found = list(iw.feature_visualization(network(), "2", 1, size=(12, 18), steps=4, preprocess=PLAIN))
    assert [(each.step, each.steps) for each in found] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for each in found:
        assert each.image.shape == (3, 12, 18)
        assert not each.image.requires_grad
        assert 0 <= each.image.min() <= each.image.max() <= 1
    assert not torch.equal(found[0].image, found[1].image)


def test_a_picture_excites_more_than_any_of_200_random_ones() -> None:
    model = network()
    last = drawn(model, "2", channel=3, steps=40)
    assert last.activation > max(values(model, 2, picture)[3].mean().item() for picture in torch.rand(200, 3, 16, 16))


def test_a_seed_draws_the_same_picture_and_leaves_random_numbers_alone() -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global generator is what must not move
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    model = network()
    torch.set_rng_state(before[0])
    one, same, other = (drawn(model, "2", channel=0, seed=seed).image for seed in (4, 4, 5))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


class Failing(nn.Module):
    """Raises from its fifth pass on."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net(x)
        SEEN.append(1)
        if len(SEEN) >= 5:
            raise RuntimeError("no more")
        return out


SEEN: list[int] = []


@pytest.mark.parametrize("way", ["to the end", "abandoned", "failed"])
def test_the_model_is_left_bitwise_as_it_was(way: str) -> None:
    SEEN.clear()
    model = (Failing() if way == "failed" else network()).train()
    parameters = list(model.parameters())
    parameters[0].requires_grad_(requires_grad=False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    stream = iw.feature_visualization(model, target=1, steps=6, preprocess=PLAIN)
    if way == "failed":
        with pytest.raises(RuntimeError, match="no more"):
            list(stream)
    else:
        list(islice(stream, 2 if way == "abandoned" else None))
    del stream
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [parameter.requires_grad for parameter in parameters] == [False] + [True] * (len(parameters) - 1)
    assert all(parameter.grad is None for parameter in parameters)
    assert all(module.training and not module._forward_hooks for module in model.modules())


def test_it_draws_inside_no_grad_and_inference_mode() -> None:
    model = network()
    usual = drawn(model, "2", channel=1).image
    with torch.no_grad():
        assert torch.equal(drawn(model, "2", channel=1).image, usual)
    with torch.inference_mode():
        assert torch.equal(drawn(model, "2", channel=1).image, usual)


def test_a_unit_that_does_not_fire_at_first_is_woken() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 5), nn.ReLU(inplace=True))
    torch.manual_seed(0)
    nn.init.normal_(model[0].weight, std=0.1)
    nn.init.constant_(model[0].bias, -1.0)
    first, *_, last = iw.feature_visualization(model, "1", 0, steps=60, preprocess=PLAIN)
    assert first.activation == 0.0
    assert last.activation > 0.05


def test_what_no_gradient_reaches_is_given_up_with_a_reason() -> None:
    class Deaf(nn.Module):
        """Its output does not depend on the picture."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 2, 3), nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.last(self.conv(x) * 0)
            return out

    stream = iw.feature_visualization(Deaf(), "last", 0, preprocess=PLAIN)
    assert len(list(islice(stream, PATIENCE - 1))) == PATIENCE - 1
    with pytest.raises(GradientError, match=f"the gradient was zero for {PATIENCE} steps"):
        next(stream)


def test_a_model_that_is_trained_meanwhile_is_refused() -> None:
    model = network()
    stream = iw.feature_visualization(model, "2", 0, preprocess=PLAIN)
    next(stream)
    with torch.no_grad():
        model[0].weight.mul_(2)
    with pytest.raises(StaleError, match=r"0\.weight"):
        next(stream)


def test_a_grey_model_gets_a_grey_picture() -> None:
    entry = iw.zoo.load("digits")
    *_, last = iw.feature_visualization(entry.model, target=3, steps=3, preprocess=entry.preprocess)
    assert last.image.shape == (1, 32, 32)


def test_a_trace_keeps_its_size_and_its_class_names() -> None:
    trace = iw.record(network(), torch.rand(2, 3, 14, 20), class_names=["a", "b", "c", "d"])
    named, numbered = drawn(trace, target="c"), drawn(trace, target=2)
    assert named.image.shape == (3, 14, 20)
    assert torch.equal(named.image, numbered.image)
    with pytest.raises(ParameterError, match="a trace has its own image size, got size=16: give the model itself"):
        drawn(trace, target=1, size=16)


@pytest.mark.parametrize(
    ("given", "kind", "sentence"),
    [
        ({"layer": "conv9", "channel": 0}, LayerError, "layer 'conv9' was not recorded"),
        ({"layer": "2", "channel": 5}, ParameterError, r"channel must be in 0..4 \('2' has 5 channels\), got 5"),
        ({"layer": "2", "unit": 7}, ParameterError, r"channel must be in 0..4 \('2' has 5 channels\), got 7"),
        ({"layer": "2", "unit": (1, 12, 0)}, ParameterError, r"must be in 0..11 x 0..11, got \(12, 0\)"),
        ({"layer": "2", "unit": (1, 3)}, ParameterError, r"must be in 0..11 x 0..11, got \(3,\)"),
        ({"layer": "2", "direction": [1.0, 2.0]}, ParameterError, "a finite number for each of the 5 channels of '2'"),
        ({"layer": "2", "direction": [0.0] * 5}, ParameterError, "not all zero"),
        ({"layer": "2"}, ParameterError, "give one of channel, unit and direction .*, or a target, got none"),
        ({"layer": "2", "channel": 1, "target": 0}, ParameterError, "got channel=1, target=0"),
        ({"channel": 1}, ParameterError, "is one of a layer: give layer="),
        ({"target": 4}, TargetError, r"target must be in 0..3 \(the model has 4 classes\), got 4"),
        ({"target": 1, "steps": 0}, ParameterError, "steps must be a whole number of 1 or more, got 0"),
        ({"target": 1, "seed": -1}, ParameterError, "seed must be a whole number of 0 or more, got -1"),
        ({"target": 1, "size": 0}, ParameterError, "size"),
        (
            {"target": 1, "preprocess": lambda image: image},
            ParameterError,
            "preprocess must have a mean and a deviation",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_at_once(given: dict[str, Any], kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        iw.feature_visualization(network(), **{"preprocess": PLAIN, **given})


def test_a_model_that_takes_no_image_is_refused() -> None:
    with pytest.raises(InputError, match="this Linear has no 2-D convolution"):
        iw.feature_visualization(nn.Linear(3, 2), target=0)
    with pytest.raises(InputError, match="the first convolution takes 7 channels; pictures have 1 or 3"):
        iw.feature_visualization(nn.Conv2d(7, 2, 3), target=0)
    with pytest.raises(
        InputError, match=r"must take one batch of images \(N, 3, H, W\), but its inputs are input \(1, 3\)"
    ):
        iw.feature_visualization(iw.record(nn.Linear(3, 2), torch.zeros(1, 3)), target=0)


# The parametrisation


class Fixed(np.random.Generator):
    """Draws what it is given."""

    def __init__(self, *drawn: Any) -> None:
        super().__init__(np.random.PCG64(0))
        self._drawn = list(drawn)

    def uniform(self, *_args: Any, **_options: Any) -> Any:
        """The next one."""
        return self._drawn.pop(0)


def test_a_picture_is_the_formula_of_its_spectrum() -> None:
    picture = FourierPicture(3, (6, 9), np.random.default_rng(0))
    with torch.no_grad():
        picture.spectrum.mul_(100)
    spectrum = picture.spectrum.detach().double().numpy()
    weighted = np.zeros((3, 6, 5), complex)
    for row, column in np.ndindex(6, 5):
        down = min(row, 6 - row) / 6
        frequency = max(np.hypot(down, column / 9), 1 / 9)
        weighted[:, row, column] = (spectrum[:, row, column] @ [1, 1j]) * np.sqrt(54) / frequency
    independent = np.fft.irfft2(weighted, s=(6, 9)) / 4
    root = np.array(COLOUR_ROOT)
    mixed = np.einsum("ij,jhw->ihw", root / max(np.linalg.norm(root, axis=0)), independent)
    off = np.abs(picture.pixels().detach().numpy() - 1 / (1 + np.exp(-mixed))).max()
    assert off < 1e-5  # float32


def test_adam_climbs_as_algorithm_1_of_its_paper_says() -> None:
    slopes = np.random.default_rng(0).normal(size=(5, 3))
    theta, first, second = np.zeros(3), np.zeros(3), np.zeros(3)
    parameter, adam = torch.zeros(3, dtype=torch.float64), Adam(0.05)
    for step, slope in enumerate(slopes, start=1):
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        theta = theta + 0.05 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        adam.climb(parameter, torch.from_numpy(slope))
        assert parameter.numpy() == pytest.approx(theta, rel=1e-9)  # sums of doubles in another order


def test_a_view_that_is_not_moved_is_the_picture() -> None:
    pixels = torch.rand(3, 7, 10)
    seen = seen_anew(pixels, Fixed(np.zeros(2), 0.0, 0.0))
    assert torch.allclose(seen, pixels, atol=1e-5)  # float32


def test_a_view_is_shifted_by_what_was_drawn_and_mirrored_at_the_edge() -> None:
    pixels = torch.rand(3, 7, 10)
    seen = seen_anew(pixels, Fixed(np.array([2 / 10, 0.0]), 0.0, 0.0))  # two of ten pixels
    assert torch.allclose(seen[:, :, :8], pixels[:, :, 2:], atol=1e-5)  # float32
    assert torch.allclose(seen[:, :, 8:], pixels[:, :, [9, 8]], atol=1e-5)


def test_a_view_is_turned_without_being_stretched() -> None:
    pixels = torch.rand(1, 5, 9)
    seen = seen_anew(pixels, Fixed(np.zeros(2), 0.0, 90.0))
    assert torch.allclose(seen[0, :, 2:7], pixels[0, :, 2:7].rot90(1), atol=1e-4)  # float32; the square in its middle


@pytest.mark.slow
@pytest.mark.parametrize("goal", [{"layer": "layer4", "channel": 10}, {"target": 282}])
def test_a_picture_excites_several_times_what_any_photograph_does(goal: dict[str, Any]) -> None:
    entry = iw.zoo.load("efficientnet_lite0")
    with iw.record(entry.model, entry.inputs) as trace:
        at_layer = trace.activation("layer4")[:, 10].mean(dim=(1, 2))
        most = (at_layer if "layer" in goal else trace.logits[:, 282]).max().item()
    *_, last = iw.feature_visualization(entry.model, **goal, steps=48, preprocess=entry.preprocess)
    assert last.activation > 3 * most
