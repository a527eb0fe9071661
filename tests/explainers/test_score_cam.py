"""Score-CAM and Ablation-CAM: against pytorch-grad-cam where it does the same, and plain loops."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import pytorch_grad_cam as peers
import torch
import torch.nn.functional as F
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import LayoutError
from tests.explainers.models import ROUNDING, of, picture, small_net
from tests.explainers.subjects import image_for, subject


def caught(model: nn.Module, layer: str, image: torch.Tensor) -> torch.Tensor:
    """What a module returned, ``(C, H', W')``."""
    kept: list[torch.Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output.clone()))
    with torch.no_grad():
        model(image)
    handle.remove()
    return kept[0][0]


def score_with(model: nn.Module, layer: str, value: torch.Tensor, image: torch.Tensor, target: int) -> float:
    """The score when a module returns something else."""
    handle = model.get_submodule(layer).register_forward_hook(lambda _m, _i, _o: value[None].clone())
    with torch.no_grad():
        score = float(model(image)[0, target])
    handle.remove()
    return score


def combined(weights: list[float], maps: torch.Tensor) -> list[list[float]]:
    """The weighted sum of the channels, position by position."""
    channels = maps.tolist()
    height, width = maps.shape[1:]
    found = [[0.0] * width for _ in range(height)]
    for i, j in product(range(height), range(width)):
        found[i][j] = sum(weight * channel[i][j] for weight, channel in zip(weights, channels, strict=True))
    return found


# Score-CAM


@pytest.mark.parametrize("layer", ["conv1", "bn1", "relu", "conv2"])
def test_score_cam_is_algorithm_1_in_a_plain_loop(layer: str, close: Callable[..., None]) -> None:
    model, image = small_net(), picture()
    trace = iw.record(model, image)
    maps = caught(model, layer, image)
    scores = []
    for channel in maps:
        large = F.interpolate(channel[None, None], size=(11, 14), mode="bilinear", align_corners=False)[0, 0]
        mask = (large - large.min()) / (large.max() - large.min())
        with torch.no_grad():
            scores.append(model(image * mask)[0, 3])
    weights = torch.stack(scores).exp()
    expected = torch.tensor(combined((weights / weights.sum()).tolist(), maps))
    close(iw.ScoreCAM(relu=False)(trace, 3, layer).values, expected, 1e-6)  # the reference's list was made single
    close(iw.ScoreCAM()(trace, 3, layer).values, expected.relu(), 1e-6)


def of_the_peer(kind: type[Any], model: nn.Module, layer: str, image: torch.Tensor, target: int) -> torch.Tensor:
    """The weights of the channels, ``(C,)``, before pytorch-grad-cam rescales the map."""
    module = model.get_submodule(layer)
    activation = caught(model, layer, image)[None].numpy()
    with kind(model, [module]) as cam:
        targets = [ClassifierOutputTarget(target)]
        return torch.as_tensor(cam.get_cam_weights(image, module, targets, activation, None))[0]


class NotAligned(nn.Upsample):
    """Enlarges as our method, the paper's code and every other CAM do."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__(size=size, mode="bilinear", align_corners=False)


PEERS = [
    ("small", "relu", (14, 19)),
    pytest.param("vgg11", "features.1", (32, 32), marks=pytest.mark.slow),
    ("resnet18", "layer2", (24, 32)),
]


@pytest.mark.parametrize(("name", "layer", "size"), PEERS)
def test_score_cam_agrees_with_pytorch_grad_cam_but_for_how_it_enlarges(
    name: str, layer: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch, close: Callable[..., None]
) -> None:
    """The peer aligns the corners of the maps with those of the image; and dead channels count in its softmax."""
    model, image, target = of(name, size)
    monkeypatch.setattr(torch.nn, "UpsamplingBilinear2d", NotAligned)
    weights = of_the_peer(peers.ScoreCAM, model, layer, image, target)
    expected = torch.einsum("c,chw->hw", weights, caught(model, layer, image))
    found = iw.ScoreCAM()(iw.record(model, image), target, layer).values
    close(found / found.max(), expected / expected.max())


def test_score_cam_leaves_out_channels_that_are_the_same_everywhere() -> None:
    model, image = small_net(), picture()
    with torch.no_grad():
        model.bn1.weight[2] = 0
        model.bn1.bias[2] = 5  # bright everywhere
    maps = caught(model, "relu", image)
    assert float(maps[2].min()) == float(maps[2].max()) == 5
    found = iw.ScoreCAM()(iw.record(model, image), 1, "relu")
    assert found.total == 5
    # the weights add up to one: no more than the brightest of the others
    assert float(found.values.max()) <= float(maps[[0, 1, 3, 4, 5]].max())


@pytest.mark.parametrize("explainer", [iw.ScoreCAM(), iw.AblationCAM()])
def test_a_layer_without_any_active_channel_has_an_empty_map(explainer: iw.Explainer) -> None:
    model = small_net()
    with torch.no_grad():
        model.bn1.weight.zero_()
        model.bn1.bias.fill_(-1)
    found = explainer(iw.record(model, picture()), 1, "relu").values
    assert found.shape == (11, 14)
    assert not found.any()


def test_score_cam_needs_an_image_to_cover() -> None:
    class Drawn(nn.Module):
        """Makes maps of a vector."""

        def __init__(self) -> None:
            super().__init__()
            self.grow = nn.Linear(6, 48)
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(self.grow(x).reshape(-1, 3, 4, 4)).mean(dim=(2, 3))

    trace = iw.record(Drawn(), torch.randn(1, 6))
    trace.set_layout("conv", "NCHW")
    with pytest.raises(LayoutError, match="covers an image with the maps of 'conv', but no input is an image"):
        iw.ScoreCAM()(trace, 1, "conv")


# Ablation-CAM


@pytest.mark.parametrize("layer", ["conv1", "bn1", "relu", "conv2"])
def test_ablation_cam_is_its_formula_in_a_plain_loop(layer: str, close: Callable[..., None]) -> None:
    """Desai and Ramaswamy 2020, eq. 5 and 6, times the score."""
    model, image = small_net(), picture()
    maps = caught(model, layer, image)
    whole = score_with(model, layer, maps, image, 2)
    weights = []
    for channel in range(len(maps)):
        without = maps.clone()
        without[channel] = 0
        weights.append(whole - score_with(model, layer, without, image, 2))
    expected = torch.tensor(combined(weights, maps), dtype=torch.float64)
    trace = iw.record(model, image)
    close(iw.AblationCAM(relu=False)(trace, 2, layer).values, expected, ROUNDING)
    close(iw.AblationCAM()(trace, 2, layer).values, expected.relu(), ROUNDING)


@pytest.mark.parametrize(("name", "layer", "size"), PEERS)
def test_ablation_cam_is_that_of_pytorch_grad_cam_times_the_score(
    name: str, layer: str, size: tuple[int, int], close: Callable[..., None]
) -> None:
    model, image, target = of(name, size)
    weights = of_the_peer(peers.AblationCAM, model, layer, image, target)
    trace = iw.record(model, image)
    expected = torch.einsum("c,chw->hw", weights * trace.score(target), caught(model, layer, image))
    # Weights are differences of scores that agree in their first digits: rounding in single precision
    close(iw.AblationCAM(relu=False)(trace, target, layer).values, expected, 1e-3)


def test_ablation_cam_of_channels_last_before_a_linear_head_is_weight_times_mean(close: Callable[..., None]) -> None:
    """Swin's last norm is ``(N, H', W', C)``; without a channel the score loses its mean times the head's weight."""
    model, image = subject("swin_t"), image_for("swin_t")
    maps = caught(model, "norm", image).permute(2, 0, 1).double()
    weights = model.head.weight[4].detach().double() * maps.mean(dim=(1, 2))
    expected = torch.einsum("c,chw->hw", weights, maps)
    close(iw.AblationCAM(relu=False)(iw.record(model, image), 4, "norm").values, expected, 1e-3)  # as above


def test_ablation_cam_of_tokens_takes_a_channel_from_the_class_token_too(close: Callable[..., None]) -> None:
    model, image = subject("vit_b_16"), image_for("vit_b_16")
    tokens = caught(model, "encoder.ln", image).double()  # (1 + 36, 768)
    weights = model.heads[0].weight[4].detach().double() * tokens[0]
    expected = (tokens[1:] @ weights).reshape(6, 6)
    close(iw.AblationCAM(relu=False)(iw.record(model, image), 4, "encoder.ln").values, expected, 1e-3)  # as above


@pytest.mark.parametrize(
    ("name", "layer", "before", "behind"),
    [
        ("small", "relu", ["conv1", "bn1", "relu"], ["conv2", "head"]),
        ("resnet18", "layer4", ["conv1", "layer2.0.conv1", "layer4.1.conv2"], ["fc"]),
        pytest.param(
            *("vgg11", "features.4", ["features.0", "features.3"], ["features.6", "classifier.6"]),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_ablation_cam_runs_only_what_is_behind_the_layer(
    name: str, layer: str, before: list[str], behind: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, image, target = of(name, (64, 96))
    calls: dict[str, int] = {}
    for path in (*before, *behind):
        module = model.get_submodule(path)

        def counted(*args: Any, path: str = path, forward: Any = module.forward) -> Any:
            calls[path] = calls.get(path, 0) + 1
            return forward(*args)

        monkeypatch.setattr(module, "forward", counted)
    trace = iw.record(model, image)
    calls.clear()
    iw.AblationCAM()(trace, target, layer)
    assert [calls.get(path, 0) for path in before] == [0] * len(before)
    assert min(calls.get(path, 0) for path in behind) > 1


@pytest.mark.parametrize("explainer", [iw.ScoreCAM(relu=False), iw.AblationCAM(relu=False)])
def test_one_of_a_batch_is_explained_as_alone(explainer: iw.Explainer, close: Callable[..., None]) -> None:
    model = small_net()
    images = torch.cat([picture(), torch.randn(1, 3, 11, 14).double()])
    alone = explainer(iw.record(model, images[1:]), 2, "relu").values
    close(explainer(iw.record(model, images), 2, "relu", example=1).values, alone, ROUNDING)


@pytest.mark.parametrize("explainer", [iw.ScoreCAM(), iw.AblationCAM()])
def test_channels_are_tried_from_the_strongest_on_and_the_last_estimate_has_all(
    explainer: iw.Explainer, take_one_at_a_time: Callable[[], None], close: Callable[..., None]
) -> None:
    model, image = small_net(), picture()
    trace = iw.record(model, image)
    together = explainer(trace, 1, "conv2")
    take_one_at_a_time()
    estimates = list(explainer.stream(trace, 1, "conv2"))
    close(estimates[-1].values, together.values, ROUNDING)
    assert (estimates[-1].done, estimates[-1].total) == (8, 8)
    maps = caught(model, "conv2", image)
    strongest = maps[int(maps.abs().sum(dim=(1, 2)).argmax())]
    first = estimates[0].values
    scale = float(first.flatten() @ strongest.relu().flatten() / strongest.relu().square().sum())
    if scale > 0:
        close(first, scale * strongest.relu(), ROUNDING)
    else:
        close(first, (scale * strongest).relu(), ROUNDING)
