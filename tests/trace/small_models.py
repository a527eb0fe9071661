"""Every float model of torchvision, small and with random weights that let gradients through."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.video import mvit

CLASSIFIERS = tuple(models.list_models(module=models))
NAMES = tuple(name for name in models.list_models() if "quantized" not in name)

# What a builder is given besides ``weights=None``, by the start of the model's name; the longest start counts.
OPTIONS: dict[str, dict[str, Any]] = {
    "vit_": {"image_size": 48},
    "vit_b_32": {"image_size": 96},
    "vit_l_32": {"image_size": 96},
    "vit_h_14": {"image_size": 42},
    "googlenet": {"init_weights": False},
    "inception": {"init_weights": False},
    "fasterrcnn": {
        "min_size": 96,
        "max_size": 128,
        "box_score_thresh": 0.0,
        "box_detections_per_img": 5,
        "rpn_post_nms_top_n_test": 20,
    },
    "maskrcnn": {
        "min_size": 96,
        "max_size": 128,
        "box_score_thresh": 0.0,
        "box_detections_per_img": 5,
        "rpn_post_nms_top_n_test": 20,
    },
    "keypointrcnn": {
        "min_size": 96,
        "max_size": 128,
        "box_score_thresh": 0.0,
        "box_detections_per_img": 5,
        "rpn_post_nms_top_n_test": 20,
    },
    "retinanet": {"min_size": 96, "max_size": 128, "score_thresh": 0.0, "topk_candidates": 20, "detections_per_img": 5},
    "fcos": {"min_size": 96, "max_size": 128, "score_thresh": 0.0, "topk_candidates": 20, "detections_per_img": 5},
    "ssd": {"score_thresh": 0.0, "topk_candidates": 20, "detections_per_img": 5},
}
MVIT_SIZE = (4, 64, 64)  # its builders insist on 16 x 224 x 224: see ``_small_and_uninitialised``
SHAPES: dict[str, tuple[int, ...]] = {
    "": (1, 3, 64, 96),
    "vit_": (1, 3, 48, 48),
    "vit_b_32": (1, 3, 96, 96),
    "vit_l_32": (1, 3, 96, 96),
    "vit_h_14": (1, 3, 42, 42),
    "maxvit": (1, 3, 224, 224),  # its partitions are 7 x 7 at every scale
    "inception": (1, 3, 96, 128),
    "mc3": (1, 3, 4, 48, 64),
    "r3d": (1, 3, 4, 48, 64),
    "r2plus1d": (1, 3, 4, 48, 64),
    "s3d": (1, 3, 14, 224, 224),  # ends in an average over 7 x 7
    "mvit": (1, 3, *MVIT_SIZE),
    "swin3d": (1, 3, 4, 64, 64),
    "raft": (1, 3, 128, 128),
}
DETECTORS = ("fasterrcnn", "maskrcnn", "keypointrcnn", "retinanet", "fcos", "ssd")
RANDOM_INITIALISERS = (
    *("uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_"),
    *("kaiming_uniform_", "kaiming_normal_", "orthogonal_"),
)


def _for(name: str, table: dict[str, Any]) -> Any:
    starts = [start for start in table if name.startswith(start)]
    return table[max(starts, key=len)] if starts else {}


def _zero(tensor: torch.Tensor, *_args: Any, **_options: Any) -> torch.Tensor:
    with torch.no_grad():
        return tensor.zero_()


@contextmanager
def _small_and_uninitialised() -> Iterator[None]:
    """Building draws each weight often; here ``_randomise`` draws it once, at the end; and MViT gets smaller."""
    with pytest.MonkeyPatch.context() as patch:
        for name in RANDOM_INITIALISERS:
            patch.setattr(nn.init, name, _zero)
        whole = mvit._mvit
        smaller = {"temporal_size": MVIT_SIZE[0], "spatial_size": MVIT_SIZE[1:]}
        patch.setattr(mvit, "_mvit", lambda *args, **options: whole(*args, **(options | smaller)))
        yield


def build(name: str) -> nn.Module:
    """The model in evaluation mode, every matrix and kernel random (a ViT's head is zero by default)."""
    builder = models.get_model_builder(name)
    options = _for(name, OPTIONS)
    if "weights_backbone" in inspect.signature(builder).parameters:
        options = options | {"weights_backbone": None}
    with _small_and_uninitialised():
        model = builder(weights=None, **options).eval()
    _randomise(model, inputs(name))
    return model


def build_without_values(name: str) -> nn.Module:
    """The model at its full size on the meta device: shapes only."""
    with (
        warnings.catch_warnings(action="ignore"),
        _small_and_uninitialised(),
    ):  # two builders warn about their slow initialisation
        builder = models.get_model_builder(name)
        if name.startswith("regnet"):  # computes with numbers while it is built
            return builder(weights=None).to("meta").eval()
        with torch.device("meta"):
            return builder(weights=None).eval()


def _randomise(model: nn.Module, example: Any) -> None:
    """Uniform weights, then each layer scaled to outputs of unit size (Mishkin and Matas 2015, arXiv:1511.06422).

    Without it values of deep networks explode or vanish, detectors detect nothing, and zeros are compared with zeros.
    """
    generator = torch.Generator().manual_seed(0)
    scaled: set[nn.Module] = set()  # a detector's head is called once for each level

    def scale(module: nn.Module, _args: Any, output: torch.Tensor) -> torch.Tensor:
        size = float(output.std()) if output.numel() > 1 else 0.0
        if size > 0 and module not in scaled:
            scaled.add(module)
            module.weight.div_(size)  # type: ignore[operator]
            output = output / size
        return output

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                bound = (3 / max(1, parameter[0].numel())) ** 0.5
                parameter.uniform_(-bound, bound, generator=generator)
        weighted = [module for module in model.modules() if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd))]
        handles = [module.register_forward_hook(scale) for module in weighted]
        model(*example) if isinstance(example, tuple) else model(example)
        for handle in handles:
            handle.remove()


def inputs(name: str) -> Any:
    shape = _for(name, SHAPES) or SHAPES[""]
    image = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    if name.startswith(DETECTORS):
        return [image[0]]
    if name.startswith("raft"):
        return image * 2 - 1, image.roll(2, dims=-1) * 2 - 1
    return image


def target(name: str) -> Callable[[Any], torch.Tensor]:
    """The same score for the trace and for the reference: some of everything the model returns."""
    if name.startswith(DETECTORS):
        return _detections
    if name.startswith("raft"):
        return _last_flow
    return _logit


def _detections(output: Any) -> torch.Tensor:
    floats = [value for value in output[0].values() if value.is_floating_point()]
    assert len(output[0]["scores"]) > 0, "nothing was detected"
    return sum((value.sum() for value in floats), start=torch.zeros(()))


def _last_flow(output: Any) -> torch.Tensor:
    return output[-1].square().mean()


def _logit(output: Any) -> torch.Tensor:
    scores = output["out"] if isinstance(output, dict) else output
    return scores[:, 3].mean()
