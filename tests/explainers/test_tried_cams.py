"""Score-, Ablation- and Finer-CAM and FullGrad: against pytorch-grad-cam where it does the same, and plain loops."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import pytest
import pytorch_grad_cam as peers
import torch
import torch.nn.functional as F
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget, FinerWeightedTarget
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import LayerError, LayoutError, TargetError
from interp_widgets.explainers.full_grad import full_gradient
from interp_widgets.explainers.question import Question
from interp_widgets.propagation.biases import biases
from interp_widgets.trace.target import OutputScore
from tests.explainers.subjects import SmallNet, image_for, subject

# In double precision, with sums of a few thousand terms.
ROUNDING = 1e-9


def normalised(model: nn.Module) -> nn.Module:
    """A copy in double precision whose batch norms have seen data."""
    torch.manual_seed(2)
    model = copy.deepcopy(model).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.7, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return model


def small_net() -> nn.Module:
    torch.manual_seed(1)
    return normalised(SmallNet())


def picture(height: int = 11, width: int = 14) -> torch.Tensor:
    return torch.randn(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


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


@cache
def of(name: str, size: tuple[int, int]) -> tuple[nn.Module, torch.Tensor, int]:
    torch.manual_seed(1)
    model = SmallNet().eval() if name == "small" else subject(name)
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        return model, image, int(model(image).argmax())


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


# Finer-CAM


@pytest.mark.parametrize("strength", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("target", [0, 2, 4])
def test_finer_cam_is_grad_cam_of_the_difference(
    target: int, classes: int, strength: float, close: Callable[..., None]
) -> None:
    model, image = small_net(), picture()
    trace = iw.record(model, image)
    scores = trace.logits[0].tolist()
    near = sorted((abs(scores[k] - scores[target]), k) for k in range(5) if k != target)
    others = [k for _, k in near[:classes]]

    def difference(output: torch.Tensor) -> torch.Tensor:
        return output[0, target] - strength * sum(output[0, k] for k in others) / classes

    expected = iw.GradCAM()(trace, OutputScore(difference), "conv1").values
    close(iw.FinerCAM(strength=strength, classes=classes)(trace, target, "conv1").values, expected, ROUNDING)


def test_finer_cam_with_one_class_has_the_target_of_pytorch_grad_cam(close: Callable[..., None]) -> None:
    """With more, the peer weighs the classes by their probability."""
    model, image, target = of("resnet18", (64, 96))
    trace = iw.record(model, image)
    (other,) = ((trace.logits[0] - trace.logits[0, target]).abs().argsort()[1:2]).tolist()
    theirs = FinerWeightedTarget(target, [other], 0.8)
    expected = iw.GradCAM()(trace, OutputScore(lambda output: theirs(output[0])), "layer4").values
    close(iw.FinerCAM(strength=0.8, classes=1)(trace, target, "layer4").values, expected)


def test_finer_cam_compares_with_the_classes_there_are() -> None:
    trace = iw.record(small_net(), picture())
    assert sorted(iw.FinerCAM(classes=20).similar(Question(trace, iw.ClassScore(2), "conv1"), 2)) == [0, 1, 3, 4]


def test_finer_cam_refuses_what_is_no_class() -> None:
    trace = iw.record(small_net(), picture())
    with pytest.raises(TargetError, match="Finer-CAM explains classes only"):
        iw.FinerCAM()(trace, iw.Contrast(0, 1))


# FullGrad

COMPLETE = [("small", (11, 14)), ("resnet18", (64, 80)), ("vgg11", (32, 32))]


@pytest.mark.parametrize(("name", "size"), COMPLETE)
def test_the_parts_of_the_full_gradient_add_up_to_the_score(name: str, size: tuple[int, int]) -> None:
    model = normalised(SmallNet() if name == "small" else subject(name))
    image = picture(*size)
    trace = iw.record(model, image)
    for target in (0, 3):
        parts = full_gradient(Question(trace, iw.ClassScore(target), trace.input_sites[0]))
        assert len(parts) > 3
        whole = sum(float(part.sum()) for part in parts.values())
        with torch.no_grad():
            assert whole == pytest.approx(float(model(image)[0, target]), rel=1e-8)  # sums of up to a million terms


def test_the_parts_of_a_batch_norm_without_weights_add_up_too() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4, affine=False, eps=0.1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 2),
    )
    model = model.double().eval()
    model[1].running_mean.normal_()
    image = picture(4, 5)
    trace = iw.record(model, image)
    parts = full_gradient(Question(trace, iw.ClassScore(1), trace.input_sites[0]))
    assert sum(float(part.sum()) for part in parts.values()) == pytest.approx(float(trace.score(1)))


@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_the_biases_are_those_of_pytorch_grad_cam(name: str, close: Callable[..., None]) -> None:
    model = normalised(SmallNet() if name == "small" else subject(name))
    trace = iw.record(model, picture(64, 80))
    ours = {trace.site(site).index: bias for site, bias in biases(trace)}
    with peers.FullGrad(model, []) as cam:
        theirs = {id(module): bias for module, bias in zip(cam.target_layers, cam.bias_data, strict=True)}
    assert len(theirs) >= 3
    paths = {id(module): path for path, module in model.named_modules()}
    for module, bias in theirs.items():
        close(ours.pop(trace.site(paths[module]).index), bias, ROUNDING)
    assert list(ours) == [trace.site(trace.logits_site).index]  # the head, which has no maps


def rescaled(part: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    strength = part.abs() - part.abs().min()
    strength = strength / strength.max()
    return F.interpolate(strength[None], size=size, mode="bilinear", align_corners=False)[0].sum(dim=0)


@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_full_grad_is_the_authors_procedure(name: str, close: Callable[..., None]) -> None:
    """Gradients at the output of each convolution and batch norm, times its bias, by hooks on the modules."""
    model = normalised(SmallNet() if name == "small" else subject(name))
    image = picture(64, 80).requires_grad_()
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        bias = module.bias
        if isinstance(module, nn.BatchNorm2d):
            bias = bias - module.running_mean * module.weight / (module.running_var + module.eps).sqrt()
        if bias is not None:
            kept.append((output, bias.detach()[:, None, None]))
        return output.clone()

    handles = [
        module.register_forward_hook(keep)
        for module in model.modules()
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d))
    ]
    score = model(image)[0, 1]
    for handle in handles:
        handle.remove()
    gradients = torch.autograd.grad(score, [image, *(output for output, _ in kept)])
    expected = rescaled(image.detach()[0] * gradients[0][0], (64, 80))
    for (_, bias), gradient in zip(kept, gradients[1:], strict=True):
        expected = expected + rescaled(gradient[0] * bias, (64, 80))
    close(iw.FullGrad()(iw.record(model, image.detach()), 1).values, expected, ROUNDING)


def test_full_grad_explains_one_of_a_batch(close: Callable[..., None]) -> None:
    model, images = small_net(), torch.cat([picture(), torch.randn(1, 3, 11, 14).double()])
    alone = iw.FullGrad()(iw.record(model, images[1:]), 2).values
    close(iw.FullGrad()(iw.record(model, images), 2, example=1).values, alone, ROUNDING)


def test_full_grad_explains_images_only() -> None:
    trace = iw.record(nn.Linear(6, 3), torch.randn(1, 6))
    with pytest.raises(LayoutError, match=r"FullGrad explains images: .* is none"):
        iw.FullGrad()(trace, 1)
    with pytest.raises(LayerError, match="explains the input only"):
        iw.FullGrad()(iw.record(small_net(), picture()), 1, "conv1")
