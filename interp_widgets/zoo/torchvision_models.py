"""Any torchvision model by name, with the weights, preprocessing and category names of torchvision's own enum."""

from __future__ import annotations

import http.client
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import torch

from interp_widgets.errors import DownloadError, ZooError
from interp_widgets.inputs import Preprocess, of_torchvision
from interp_widgets.words import did_you_mean, say
from interp_widgets.zoo.entry import ZooEntry

if TYPE_CHECKING:
    from torch import nn

__all__ = ["load_torchvision"]

_FREE_SIZE = 512  # for detectors, which take any size


def load_torchvision(name: str, also_known: tuple[str, ...] = ()) -> ZooEntry:
    """The torchvision model ``name`` with its default weights, in eval mode.

    Detection and segmentation models load as well; ``class_names`` are then the categories of their weights. A detector
    takes images of any size and gets the central square at 512x512.

    Args:
        name: one of ``torchvision.models.list_models()``.
        also_known: other names to suggest for a misspelt one.

    Raises:
        ZooError: torchvision is missing, has no such model, has no weights for it, or the model does not take single
            float images (video, optical flow, quantized).
        DownloadError: the weights are not on this machine and could not be downloaded.
    """
    try:
        from torchvision import models  # noqa: PLC0415 - slow to import, and the shipped models do without
    except ImportError as error:
        sentence = say(
            "{name!r} is not in the zoo, and torchvision is not installed: pip install torchvision", name=name
        )
        raise ZooError(sentence) from error
    known = models.list_models()
    if name not in known:
        hint = did_you_mean(name, (*also_known, *known))
        what = say("no model is called {name!r}{hint}", name=name, hint=hint)
        if not hint:
            what = say("no model is called {name!r}.", name=name)
        sentence = say(
            "{what} The zoo has {names}; torchvision adds {count} (torchvision.models.list_models())",
            what=what,
            names=", ".join(also_known),
            count=len(known),
        )
        raise ZooError(sentence)
    choices = list(models.get_model_weights(name))
    if not choices:
        sentence = say(
            "torchvision has no trained weights for {name!r}: build it with torchvision.models.get_model({name!r})",
            name=name,
        )
        raise ZooError(sentence)
    weights: Any = models.get_model_weights(name).DEFAULT
    preprocess = _preprocess(name, weights.transforms())
    model = _build(name, weights)
    class_names = tuple(weights.meta.get("categories") or ())
    return ZooEntry(name, model.eval(), class_names, (), preprocess, _card(name, weights))


def _build(name: str, weights: Any) -> nn.Module:
    from torchvision import models  # noqa: PLC0415

    try:
        with torch.random.fork_rng(devices=[]):  # building draws initial weights; the user's random state stays
            model: nn.Module = models.get_model(name, weights=weights, progress=False)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException) as error:
        file = PurePosixPath(urlparse(weights.url).path).name
        sentence = say(
            "the weights of {name!r} ({weights}, file {file}) could not be downloaded: {error}. Connect to the "
            "internet and try again; or copy {file} from another machine into {folder}/checkpoints; "
            "or build the model without trained weights: torchvision.models.get_model({name!r})",
            name=name,
            weights=weights,
            file=file,
            error=error,
            folder=torch.hub.get_dir(),
        )
        raise DownloadError(sentence) from error
    return model


def _preprocess(name: str, preset: Any) -> Preprocess:
    """The transforms of torchvision weights as a ``Preprocess``."""
    kind = type(preset).__name__
    if kind == "ObjectDetection":
        return Preprocess((_FREE_SIZE, _FREE_SIZE), (0.0,) * 3, (1.0,) * 3, resize=_FREE_SIZE)
    if kind not in ("ImageClassification", "SemanticSegmentation") or name.startswith("quantized_"):
        sentence = say(
            "{name!r} does not take single float images (its preprocessing is torchvision's {kind}): build it with "
            "torchvision.models.get_model({name!r}, weights='DEFAULT') and record it on your own tensors",
            name=name,
            kind=kind,
        )
        raise ZooError(sentence)
    classifies = of_torchvision(preset)
    if classifies is not None:
        return classifies
    (side,) = preset.resize_size  # a segmenter takes any size, and gets the central square
    return Preprocess(side, preset.mean, preset.std, side, preset.interpolation.value)


def _card(name: str, weights: Any) -> str:
    meta = weights.meta
    lines = [f"# {name}", "", f"- **Weights**: torchvision, `{weights}`, from {weights.url}"]
    lines.append(f"- **Size**: {meta['num_params']:,} parameters")
    for data, scores in meta.get("_metrics", {}).items():
        lines.append(f"- **{data}**: " + ", ".join(f"{metric} {score}" for metric, score in scores.items()))
    if meta.get("recipe"):
        lines.append(f"- **Recipe**: {meta['recipe']}")
    return "\n".join(lines) + "\n"
