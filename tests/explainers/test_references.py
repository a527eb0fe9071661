"""Each explainer against its paper in plain loops, and against answers that can be worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.explainers.base import CAM
from tests.explainers.subjects import SmallNet, at_layer

Map = list[list[float]]
Maps = list[Map]  # one per channel


def positions(maps: Maps) -> Iterator[tuple[int, int]]:
    return product(range(len(maps[0])), range(len(maps[0][0])))


def total(maps: Map) -> float:
    return sum(value for row in maps for value in row)


def weighted(weights: list[float], maps: Maps) -> Map:
    """The positive part of the weighted sum of the channels."""
    found = [[0.0] * len(row) for row in maps[0]]
    for i, j in positions(maps):
        found[i][j] = max(0.0, sum(weight * channel[i][j] for weight, channel in zip(weights, maps, strict=True)))
    return found


def grad_cam(A: Maps, g: Maps) -> Map:
    """Selvaraju et al. 2017, eq. 1 and 2."""
    Z = len(A[0]) * len(A[0][0])
    return weighted([total(channel) / Z for channel in g], A)


def grad_cam_plus_plus(A: Maps, g: Maps) -> Map:
    """Chattopadhay et al. 2018, eq. 19 and the weights of eq. 5, with the derivatives as powers of the gradient."""
    weights = []
    for activation, gradient in zip(A, g, strict=True):
        weight = 0.0
        for i, j in positions(A):
            second, third = gradient[i][j] ** 2, gradient[i][j] ** 3
            denominator = 2 * second + total(activation) * third
            alpha = second / denominator if denominator != 0 else 0.0
            weight += alpha * max(0.0, gradient[i][j])
        weights.append(weight)
    return weighted(weights, A)


def xgrad_cam(A: Maps, g: Maps) -> Map:
    """Fu et al. 2020: each gradient counts with its share of the channel's activation."""
    weights = []
    for activation, gradient in zip(A, g, strict=True):
        whole = total(activation)
        weights.append(sum(activation[i][j] / whole * gradient[i][j] for i, j in positions(A)) if whole else 0.0)
    return weighted(weights, A)


def hires_cam(A: Maps, g: Maps) -> Map:
    """Draelos and Carin 2020, and the positive part."""
    found = [[0.0] * len(row) for row in A[0]]
    for i, j in positions(A):
        found[i][j] = max(0.0, sum(gradient[i][j] * a[i][j] for a, gradient in zip(A, g, strict=True)))
    return found


def layer_cam(A: Maps, g: Maps) -> Map:
    """Jiang et al. 2021."""
    found = [[0.0] * len(row) for row in A[0]]
    for i, j in positions(A):
        found[i][j] = max(0.0, sum(max(0.0, gradient[i][j]) * a[i][j] for a, gradient in zip(A, g, strict=True)))
    return found


def first_component(A: Maps, *, centred: bool = False) -> Map:
    """The projection on the first right singular vector by power iteration; the sign that agrees with the norms."""
    rows = [[channel[i][j] for channel in A] for i, j in positions(A)]
    if centred:
        means = [sum(row[k] for row in rows) / len(rows) for k in range(len(A))]
        seen = [[value - mean for value, mean in zip(row, means, strict=True)] for row in rows]
    else:
        seen = rows
    v = [1.0 + 0.1 * k for k in range(len(A))]
    for _ in range(200):
        along = [sum(a * b for a, b in zip(row, v, strict=True)) for row in seen]
        v = [sum(a * row[k] for a, row in zip(along, seen, strict=True)) for k in range(len(A))]
        length = math.sqrt(sum(value * value for value in v))
        v = [value / length for value in v]
    projection = [sum(a * b for a, b in zip(row, v, strict=True)) for row in seen]
    norms = [math.sqrt(sum(value * value for value in row)) for row in rows]
    sign = 1 if sum(p * n for p, n in zip(projection, norms, strict=True)) >= 0 else -1
    width = len(A[0][0])
    flat = [max(0.0, sign * value) for value in projection]
    return [flat[start : start + width] for start in range(0, len(flat), width)]


def eigen_grad_cam(A: Maps, g: Maps, *, centred: bool = False) -> Map:
    return first_component(
        [
            [[a * b for a, b in zip(*rows, strict=True)] for rows in zip(*both, strict=True)]
            for both in zip(A, g, strict=True)
        ],
        centred=centred,
    )


REFERENCES: dict[str, tuple[iw.Explainer, Callable[[Maps, Maps], Map]]] = {
    "GradCAM": (iw.GradCAM(), grad_cam),
    "GradCAMPlusPlus": (iw.GradCAMPlusPlus(), grad_cam_plus_plus),
    "XGradCAM": (iw.XGradCAM(), xgrad_cam),
    "HiResCAM": (iw.HiResCAM(), hires_cam),
    "LayerCAM": (iw.LayerCAM(), layer_cam),
    "EigenCAM": (iw.EigenCAM(), lambda A, _g: first_component(A)),
    "EigenCAM centred": (iw.EigenCAM(centred=True), lambda A, _g: first_component(A, centred=True)),
    "EigenGradCAM": (iw.EigenGradCAM(), eigen_grad_cam),
    "EigenGradCAM centred": (iw.EigenGradCAM(centred=True), lambda A, g: eigen_grad_cam(A, g, centred=True)),
}


def test_every_explainer_of_a_layer_has_a_reference() -> None:
    elsewhere = {"ScoreCAM", "AblationCAM", "FinerCAM"}  # test_score_cam.py, test_finer_cam.py
    names = {name for name, kind in iw.EXPLAINERS.items() if kind.at_layer}
    assert names == {name.split()[0] for name in REFERENCES} | elsewhere


@pytest.mark.parametrize("layer", ["conv1", "bn1", "relu", "conv2"])
@pytest.mark.parametrize("name", REFERENCES)
def test_a_map_agrees_with_its_paper_in_plain_loops(name: str, layer: str, close: Callable[..., None]) -> None:
    """``conv1`` has values of both signs, ``bn1`` is overwritten by the ReLU behind it, ``relu`` has dead channels."""
    explainer, reference = REFERENCES[name]
    torch.manual_seed(1)
    model = SmallNet().double().eval()
    with torch.no_grad():
        model.bn1.bias[0] = -1e3  # a channel that is zero behind the ReLU
    image = torch.randn(1, 3, 6, 9, dtype=torch.float64)
    trace = iw.record(model, image)
    found, expected = [], []
    for target in (0, 1, 3):
        activation, gradient = at_layer(model, layer, image, target)
        expected.append(reference(activation[0].tolist(), gradient[0].tolist()))
        found.append(explainer(trace, target, layer).values)
    close(torch.stack(found), expected, 1e-9)


@pytest.mark.parametrize("name", [name for name, (explainer, _) in REFERENCES.items() if isinstance(explainer, CAM)])
@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e3])
def test_a_formula_holds_for_gradients_of_any_size(name: str, scale: float, close: Callable[..., None]) -> None:
    explainer, reference = REFERENCES[name]
    assert isinstance(explainer, CAM)
    generator = torch.Generator().manual_seed(5)
    activation = torch.rand(4, 3, 5, generator=generator, dtype=torch.float64)
    gradient = torch.randn(4, 3, 5, generator=generator, dtype=torch.float64).add(0.3) * scale
    gradient[2, 1] = 0
    activation[3] = 0
    expected = reference(activation.tolist(), gradient.tolist())
    close(explainer.attribute(activation, gradient), expected, 1e-9)


def with_linear_head(channels: int = 5, classes: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, channels, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    ).double()


def test_grad_cam_before_average_pooling_and_a_linear_layer_is_cam(close: Callable[..., None]) -> None:
    model = with_linear_head()
    image = torch.randn(1, 3, 7, 9, dtype=torch.float64)
    activation = model[:2](image)[0]  # (C, 5, 7)
    cam = torch.einsum("c,chw->hw", model[4].weight[1], activation) / (5 * 7)
    close(iw.GradCAM(relu=False)(iw.record(model, image), 1, "1").values, cam.detach(), 1e-12)
    close(iw.GradCAM()(iw.record(model, image), 1, "1").values, cam.detach().relu(), 1e-12)


def test_hires_cam_before_a_linear_layer_sums_to_the_score_without_its_bias() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 5 * 7, 3)).double()
    trace = iw.record(model, torch.randn(1, 3, 7, 9, dtype=torch.float64))
    for target in range(3):
        values = iw.HiResCAM(relu=False)(trace, target, "1").values
        assert float(values.sum()) == pytest.approx(float(trace.score(target) - model[3].bias[target].detach()))


def test_xgrad_cam_before_a_linear_layer_conserves_the_score_of_its_channels() -> None:
    """The sum of the map before its positive part is the sum of activation times gradient: the paper's conservation."""
    model = with_linear_head()
    with torch.no_grad():
        model[4].weight.abs_()  # then nothing is cut off
    trace = iw.record(model, torch.randn(1, 3, 7, 9, dtype=torch.float64))
    values = iw.XGradCAM()(trace, 2, "1").values
    assert float(values.sum()) == pytest.approx(float(trace.score(2) - model[4].bias[2].detach()))


def test_eigen_cam_of_a_rank_one_layer_is_its_pattern(close: Callable[..., None]) -> None:
    pattern = torch.rand(4, 6, dtype=torch.float64)
    model = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(72, 2)).double()
    channels = torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64)
    trace = iw.record(model, (channels[:, None, None] * pattern)[None])
    trace.set_layout("0", "NCHW")
    close(iw.EigenCAM()(trace, 0, "0").values, pattern * channels.norm(), 1e-12)


@pytest.mark.parametrize("shape", [(7, 5, 6), (300, 9, 9), (90, 20, 30), (1, 4, 4), (5, 1, 1)])
@pytest.mark.parametrize("centred", [False, True])
def test_the_first_component_is_that_of_a_full_decomposition(
    shape: tuple[int, int, int], *, centred: bool, close: Callable[..., None]
) -> None:
    from interp_widgets.explainers.eigen_cam import first_component as ours

    maps = torch.randn(shape, dtype=torch.float64)
    rows = maps.flatten(1).T
    seen = rows - rows.mean(dim=0) if centred else rows
    found = ours(maps, centred=centred)
    if not seen.any():
        assert not found.any()
        return
    expected = (seen @ torch.linalg.svd(seen, full_matrices=False)[2][0]).reshape(shape[1:])
    close(found * torch.sign(found.flatten() @ expected.flatten()), expected, 1e-6)
    assert float(found.flatten() @ rows.norm(dim=1)) >= 0


def test_the_first_component_of_zeros_and_of_a_constant_are_what_they_are() -> None:
    from interp_widgets.explainers.eigen_cam import first_component as ours

    for shape in ((3, 4, 5), (100, 9, 9)):
        assert not ours(torch.zeros(shape), centred=False).any()
        assert not ours(torch.ones(shape), centred=True).any()
        torch.testing.assert_close(ours(torch.ones(shape), centred=False), torch.full(shape[1:], shape[0] ** 0.5))


def test_input_x_gradient_of_a_linear_model_is_weight_times_input() -> None:
    model = nn.Linear(6, 3)
    x = torch.randn(1, 6)
    values = iw.InputXGradient()(iw.record(model, x), 2).values
    torch.testing.assert_close(values, model.weight[2].detach() * x[0])
    assert float(values.sum() + model.bias[2].detach()) == pytest.approx(float(model(x)[0, 2].detach()), rel=1e-5)


def test_input_x_gradient_of_an_image_sums_over_the_colours() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 5, 2))
    x = torch.randn(1, 3, 4, 5)
    expected = (model[1].weight[1].detach().reshape(3, 4, 5) * x[0]).sum(dim=0)
    torch.testing.assert_close(iw.InputXGradient()(iw.record(model, x), 1).values, expected)


@pytest.mark.parametrize(("channels", "join"), [("max", max), ("mean", lambda values: sum(values) / len(values))])
def test_the_gradient_agrees_with_finite_differences(channels: str, join: Callable[[list[float]], float]) -> None:
    model = SmallNet().double().eval()
    image = torch.randn(1, 3, 4, 6, dtype=torch.float64)
    step = 1e-6
    expected = torch.zeros(4, 6, dtype=torch.float64)
    with torch.no_grad():
        for i, j in product(range(4), range(6)):
            slopes = []
            for c in range(3):
                up, down = image.clone(), image.clone()
                up[0, c, i, j] += step
                down[0, c, i, j] -= step
                slopes.append(abs(float(model(up)[0, 1] - model(down)[0, 1])) / (2 * step))
            expected[i, j] = join(slopes)
    values = iw.Gradient(channels=channels)(iw.record(model, image), 1).values  # type: ignore[arg-type]
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-9)
