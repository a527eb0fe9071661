"""Small trained models with examples, one trained on ImageNet with photographs, and torchvision's by name.

``python -m interp_widgets.zoo.train NAME`` trains a model of the package again.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import nn

from interp_widgets.errors import InterpError, ZooError
from interp_widgets.trace.arguments import shown
from interp_widgets.words import say
from interp_widgets.zoo import imagenet
from interp_widgets.zoo.entry import Example, ZooEntry
from interp_widgets.zoo.shipped import SHIPPED, held_out, load_shipped
from interp_widgets.zoo.torchvision_models import load_torchvision

__all__ = ["NAMES", "Example", "ZooEntry", "held_out", "load", "loaded_as"]

NAMES: tuple[str, ...] = (*SHIPPED, *((imagenet.NAME,) if imagenet.is_installed() else ()))
"""The zoo's own models that load here, without a network: ``efficientnet_lite0`` only with the extra ``imagenet``."""


_LOADED: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()  # the name that each model was loaded by


def load(name: str) -> ZooEntry:
    """A trained model with class names, examples, preprocessing and card.

    The zoo's own models (``NAMES``) need no network. Any other name is torchvision's, with its default weights,
    downloaded on first use.

    Raises:
        ZooError: neither the zoo nor torchvision has this name; a file was changed; or the extra ``imagenet``, which
            ``efficientnet_lite0`` needs, is not installed.
        DownloadError: torchvision's weights are not on this machine and could not be downloaded.

    >>> entry = load("digits")
    >>> tuple(entry.inputs.shape), entry.model(entry.inputs).argmax(1).tolist() == entry.labels.tolist()
    ((10, 1, 32, 32), True)
    """
    if not isinstance(name, str):
        raise ZooError(
            say("a model of the zoo is loaded by name, such as {known!r}, got {name}", known=NAMES[0], name=shown(name))
        )
    entry = _fresh(name)
    _LOADED[entry.model] = entry.name
    return entry


def loaded_as(model: nn.Module) -> ZooEntry | None:
    """What ``load`` gives again for a model that it gave; ``None`` for any other, or one that has changed since.

    The answer holds another copy of the model, whose weights are equal.
    """
    name = _LOADED.get(model)
    if name is None:
        return None
    try:
        entry = _fresh(name)
    except InterpError:  # its weights are not here any more
        return None
    return entry if _is_equal(entry.model, model) else None


def _fresh(name: str) -> ZooEntry:
    if name in SHIPPED:
        return load_shipped(name)
    if name == imagenet.NAME:
        return imagenet.load_imagenet()
    return load_torchvision(name, (*SHIPPED, imagenet.NAME))


def _is_equal(one: nn.Module, other: nn.Module) -> bool:
    """Whether two models have the same modules and weights, on whatever device."""
    weights, others = one.state_dict(), other.state_dict()
    if repr(one) != repr(other) or weights.keys() != others.keys():
        return False
    return all(torch.equal(weights[key].cpu(), others[key].cpu()) for key in weights)
