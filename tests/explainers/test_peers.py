"""Each explainer against pytorch-grad-cam or Captum where these are right, and where they are wrong against a plain
reference.

A peer's map is taken before the peer scales it to the image and to 0..1: its own formula on what its own hooks caught.
The tolerance is 1e-4 of the map's maximum (see ``close``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import captum.attr
import numpy as np
import pytest
import pytorch_grad_cam as peers
import torch
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

import interp_widgets as iw
from tests.explainers.subjects import at_layer, grid_of, image_for, subject

# Large enough for the 1e-6 that pytorch-grad-cam adds to the denominator of Grad-CAM++ not to matter.
LOUD = 1e4

LAYERS = [
    ("resnet18", "layer4"),
    ("resnet18", "layer2.0.conv1"),
    *(
        pytest.param(name, layer, marks=pytest.mark.slow)
        for name, layer in (
            ("vgg11", "features.20"),
            ("vgg11", "features.5"),
            ("convnext_tiny", "features.7"),
            ("convnext_tiny", "features.3.1.block"),
            ("vit_b_16", "encoder.layers.encoder_layer_11.ln_1"),
            ("vit_b_16", "encoder.layers.encoder_layer_6.mlp"),
            ("swin_t", "norm"),
            ("swin_t", "features.3"),
        )
    ),
]
MODELS = [
    "resnet18",
    *(pytest.param(n, marks=pytest.mark.slow) for n in ("vgg11", "convnext_tiny", "vit_b_16", "swin_t")),
]
# (model, layer, what overwrites its output)
OVERWRITTEN = [
    ("resnet18", "layer2.0.bn1", "ReLU(inplace=True)"),
    ("resnet18", "layer3.1.bn2", "+="),
    pytest.param("vgg11", "features.8", "ReLU(inplace=True)", marks=pytest.mark.slow),
]
# Where a ReLU cut a value the gradient is zero, so a product of the two at each position cannot show the overwriting.
BLIND_TO_RELU = ("HiResCAM", "LayerCAM", "EigenGradCAM")
CAMS: dict[str, tuple[type[Any], iw.Explainer]] = {
    "GradCAM": (peers.GradCAM, iw.GradCAM(relu=False)),
    "GradCAMPlusPlus": (peers.GradCAMPlusPlus, iw.GradCAMPlusPlus()),
    "XGradCAM": (peers.XGradCAM, iw.XGradCAM()),
    "HiResCAM": (peers.HiResCAM, iw.HiResCAM(relu=False)),
    "LayerCAM": (peers.LayerCAM, iw.LayerCAM()),
    "EigenCAM": (peers.EigenCAM, iw.EigenCAM(centred=True)),
    "EigenGradCAM": (peers.EigenGradCAM, iw.EigenGradCAM(centred=True)),
}


@cache
def target_of(name: str) -> int:
    """The predicted class: with random weights the map of another one may have no positive part."""
    with torch.no_grad():
        return int(subject(name)(image_for(name)).argmax())


@cache
def score_of(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The target, the same function for the peer and for us."""
    target = target_of(name)
    return lambda output: output[..., target].sum() * LOUD


@cache
def trace_of(name: str) -> iw.Trace:
    return iw.record(subject(name), image_for(name))


@cache
def caught_by_the_peer(name: str, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Activation and gradient of a layer as pytorch-grad-cam's hooks see them, the same for all its methods."""
    model = subject(name)
    transform = partial(grid_of, name) if name in ("vit_b_16", "swin_t") else None
    with peers.GradCAM(model, [model.get_submodule(layer)], reshape_transform=transform) as cam:
        cam(image_for(name), targets=[score_of(name)])
        caught = cam.activations_and_grads
        found = caught.activations[0].numpy().copy(), caught.gradients[0].numpy().copy()
    model.zero_grad(set_to_none=True)
    return found


def formula(kind: type[Any], activation: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """``(H', W')`` of a pytorch-grad-cam method, before its scaling and its positive part."""
    cam = kind.__new__(kind)  # the formulas use nothing that the constructor sets up
    cam.activations_and_grads = SimpleNamespace(release=lambda: None)
    return np.asarray(cam.get_cam_image(None, None, None, activation, gradient, False)[0])


def positive(explainer: iw.Explainer, raw: np.ndarray, ours: torch.Tensor) -> np.ndarray:
    """The positive part of a peer's map; of a component, whose sign the peer leaves to chance, in our sign."""
    if isinstance(explainer, (iw.EigenCAM, iw.EigenGradCAM)):
        raw = raw * np.sign((raw * ours.numpy()).sum())
    return raw if explainer.signed else np.maximum(raw, 0)


@pytest.mark.parametrize("method", CAMS)
@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_a_map_agrees_with_pytorch_grad_cam(method: str, name: str, layer: str, close: Callable[..., None]) -> None:
    kind, explainer = CAMS[method]
    activation, gradient = caught_by_the_peer(name, layer)
    if method == "GradCAMPlusPlus" and activation.min() < 0:
        # A negative sum of activations brings the formula near a pole, where rounding in single precision and the
        # peer's constant are all there is: the same numbers in double precision, and louder.
        activation, gradient = activation.astype(np.float64), gradient.astype(np.float64) * LOUD
        assert isinstance(explainer, iw.GradCAMPlusPlus)
        ours = explainer.attribute(torch.from_numpy(activation[0]), torch.from_numpy(gradient[0]))
    else:
        ours = explainer(trace_of(name), score_of(name), layer).values
    close(ours, positive(explainer, formula(kind, activation, gradient), ours))


@pytest.mark.parametrize("method", CAMS)
@pytest.mark.parametrize(("name", "layer", "overwritten_by"), OVERWRITTEN)
def test_where_the_layer_is_overwritten_pytorch_grad_cam_is_wrong_and_we_are_not(
    method: str, name: str, layer: str, overwritten_by: str, close: Callable[..., None]
) -> None:
    """The peer's hook keeps the tensor that the next operation writes into, and shows values from after it."""
    kind, explainer = CAMS[method]
    ours = explainer(trace_of(name), score_of(name), layer).values
    activation, gradient = at_layer(subject(name), layer, image_for(name), target_of(name))
    right = formula(kind, activation.numpy().astype(np.float64), (gradient * LOUD).numpy().astype(np.float64))
    close(ours, positive(explainer, right, ours), 1e-3 if method == "GradCAMPlusPlus" else 1e-4)  # a pole is near
    theirs = positive(explainer, formula(kind, *caught_by_the_peer(name, layer)), ours)
    difference = np.abs(theirs / np.abs(theirs).max() - ours.numpy() / float(ours.abs().max())).max()
    if method in BLIND_TO_RELU and "ReLU" in overwritten_by:
        assert difference < 1e-4
    else:
        assert difference > 0.01, f"pytorch-grad-cam agrees although {overwritten_by} follows: has it been mended?"


@pytest.mark.slow
def test_in_front_of_a_layer_norm_gradient_times_activation_cancels_by_the_model_and_not_by_us() -> None:
    """A layer norm forgets the length of each position's vector, so the gradient is at right angles to it."""
    model, image, target = subject("swin_t"), image_for("swin_t"), target_of("swin_t")
    activation, gradient = at_layer(model, "features.7", image, target)
    product = (activation * gradient)[0].double()  # (H', W', C)
    assert float(product.sum(dim=-1).abs().max()) < 1e-3 * float(product.abs().sum(dim=-1).max())
    values = iw.HiResCAM(relu=False)(trace_of("swin_t"), target, "features.7").values
    assert float(values.abs().max()) < 1e-3 * float(product.abs().sum(dim=-1).max())


def test_eigen_cam_without_centring_is_the_paper_and_not_pytorch_grad_cam() -> None:
    """The paper decomposes the activation itself; the peer's comment says that it centres to avoid a negative image."""
    activation = at_layer(subject("resnet18"), "layer4", image_for("resnet18"), 0)[0][0]
    rows = activation.flatten(1).T.double()  # (H'W', C)
    component = (rows @ torch.linalg.svd(rows, full_matrices=False)[2][0]).reshape(activation.shape[1:]).abs()
    torch.testing.assert_close(iw.EigenCAM()(trace_of("resnet18"), 0, "layer4").values, component.float())
    centred = get_2d_projection(activation[None].numpy())[0]
    assert np.abs(np.abs(centred) - component.numpy()).max() > 0.1 * float(component.max())


def test_grad_cam_plus_plus_of_pytorch_grad_cam_is_ruled_by_its_constant_where_gradients_are_small() -> None:
    """Its 1e-6 stands beside ``2 g^2``: with gradients of 1e-4 the weights are a fiftieth of what the paper says."""
    generator = torch.Generator().manual_seed(2)
    activation = torch.rand(6, 5, 5, generator=generator)
    gradient = torch.randn(6, 5, 5, generator=generator) * 1e-4
    ours = iw.GradCAMPlusPlus().attribute(activation, gradient).numpy()
    theirs = formula(peers.GradCAMPlusPlus, activation[None].numpy(), gradient[None].numpy())
    assert theirs.max() < 0.05 * ours.max()


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_agrees_with_captum(name: str, close: Callable[..., None]) -> None:
    expected = captum.attr.Saliency(subject(name)).attribute(image_for(name).requires_grad_(), target=target_of(name))[
        0
    ]
    trace = trace_of(name)
    close(iw.Gradient()(trace, target_of(name)).values, expected.amax(dim=0))
    close(iw.Gradient(channels="mean")(trace, target_of(name)).values, expected.mean(dim=0))


@pytest.mark.parametrize("name", MODELS)
def test_input_x_gradient_agrees_with_captum(name: str, close: Callable[..., None]) -> None:
    expected = captum.attr.InputXGradient(subject(name)).attribute(
        image_for(name).requires_grad_(), target=target_of(name)
    )
    ours = iw.InputXGradient()(trace_of(name), target_of(name)).values
    close(ours, expected[0].sum(dim=0).detach())


@pytest.mark.parametrize(("name", "layer"), LAYERS[:6])
def test_grad_cam_and_gradient_times_activation_agree_with_captum(
    name: str, layer: str, close: Callable[..., None]
) -> None:
    model, image = subject(name), image_for(name)
    trace = trace_of(name)
    module = model.get_submodule(layer)
    grad_cam = captum.attr.LayerGradCam(model, module).attribute(image, target=target_of(name))[0, 0]
    close(iw.GradCAM(relu=False)(trace, target_of(name), layer).values, grad_cam.detach())
    times = captum.attr.LayerGradientXActivation(model, module).attribute(image, target=target_of(name))[0].sum(dim=0)
    close(iw.HiResCAM(relu=False)(trace, target_of(name), layer).values, times.detach())
    close(iw.InputXGradient()(trace, target_of(name), layer).values, times.detach())
