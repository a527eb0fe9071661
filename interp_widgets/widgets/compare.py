"""``compare``: the maps of one question, asked in several ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import nn

from interp_widgets import zoo
from interp_widgets.errors import ParameterError
from interp_widgets.explainers import EXPLAINERS, Explainer
from interp_widgets.inputs import Preprocess
from interp_widgets.session.session import Session
from interp_widgets.trace.arguments import as_list, as_names, check_text, is_name_of, plain_module, shown
from interp_widgets.widgets.comparison import Cell, Comparison
from interp_widgets.words import did_you_mean, say

__all__ = ["compare"]

METHODS = ("GradCAM", "LayerCAM", "InputXGradient", "IntegratedGradients", "Occlusion")
MOST = 36  # maps: more are no comparison


def compare(  # noqa: PLR0913 - what can vary
    model: nn.Module | str | None = None,
    inputs: Any = None,
    *,
    methods: Sequence[str | Explainer] | None = None,
    layers: Sequence[str] | None = None,
    targets: Sequence[Any] | None = None,
    images: Sequence[Any] | None = None,
    models: Sequence[nn.Module | str] | Mapping[str, nn.Module | str] | None = None,
    class_names: Iterable[object] | None = None,
    preprocess: Preprocess | Callable[[Any], torch.Tensor] | None = None,
    still: bool = True,
) -> Comparison:
    """Maps of one question asked in several ways, side by side under one cursor.

    Whatever is given as a list varies: methods, layers, targets, images, models, or several of them (then every
    combination, at most 36). Below the maps: the difference of two, where all of them disagree (both by rank, so that
    units do not matter), and the matrix of their rank correlations.

    Args:
        model: an ``nn.Module`` or the name of a zoo or torchvision model; not with ``models``.
        inputs: a path, image, array or tensor; not with ``images``.
        methods: names in ``EXPLAINERS``, or explainers; five common ones when nothing else varies, else Grad-CAM.
        layers: module paths, for methods that explain a layer.
        targets: class indices or names, or target objects; the prediction by default.
        models: a list, or a mapping from what each is called.
        still: whether a saved notebook shows a picture of it, which follows the state two seconds behind.

    Raises:
        ParameterError: no such method, nothing to vary, or too much.
        Whatever ``explore`` raises.
    """
    if (model is None) == (models is None):
        raise ParameterError(say("give either model or models"))
    given = [model] if model is not None else as_list(models)
    chosen = dict(models) if isinstance(models, Mapping) else _named(given)
    layers = None if layers is None else [check_text(layer, say("a layer")) for layer in as_list(layers)]
    targets = None if targets is None else as_list(targets)
    images = None if images is None else as_list(images)
    pictures: list[Any] = images or [inputs]
    if methods is None:
        alone = not (layers or targets or len(pictures) > 1 or len(chosen) > 1)
        methods = METHODS if alone else ("GradCAM",)
    explainers = [_explainer(each) for each in as_list(methods)]
    count = len(chosen) * len(pictures) * len(layers or [0]) * len(targets or [0]) * len(explainers)
    if not 0 < count <= MOST:
        raise ParameterError(
            say(
                "compare shows 1 to {most} maps, got {count}: give fewer methods, layers, or images",
                most=MOST,
                count=count,
            )
        )
    cells = []
    places: Sequence[str | None] = layers or [None]
    for (name, each), (number, picture) in product(chosen.items(), enumerate(pictures)):
        session = _session(each, picture, class_names, preprocess)
        for layer, target, explainer in product(places, targets or [None], explainers):
            parts = [
                name if len(chosen) > 1 else "",
                say("image {number}", number=number + 1) if len(pictures) > 1 else "",
                layer if layers is not None and len(layers) > 1 else "",
                session.name_of_target(target) if targets is not None and len(targets) > 1 else "",
                explainer.title if len(explainers) > 1 else "",
            ]
            title = " · ".join(part for part in parts if part) or explainer.title
            cells.append(Cell(session, explainer, layer, target, title))
    return Comparison(cells, ", ".join(chosen), still=still)


def _named(models: Any) -> dict[str, nn.Module | str]:
    """Each model by its name or its class; further ones of a class with a number."""
    found: dict[str, nn.Module | str] = {}
    for each in models:
        name = each if isinstance(each, str) else type(each).__name__
        found[f"{name} {len(found) + 1}" if name in found else name] = each
    return found


def _explainer(method: str | Explainer | type[Explainer]) -> Explainer:
    if isinstance(method, Explainer):
        return method
    if isinstance(method, type) and issubclass(method, Explainer):
        return method()
    if not is_name_of(method, EXPLAINERS):
        close = did_you_mean(str(method), EXPLAINERS)
        raise ParameterError(
            say(
                "no explainer is named {name}{close}: {known}",
                name=shown(method),
                close=close,
                known=", ".join(EXPLAINERS),
            )
        )
    return EXPLAINERS[method]()


def _session(
    model: nn.Module | str | None,
    inputs: Any,
    class_names: Iterable[object] | None,
    preprocess: Preprocess | Callable[[Any], torch.Tensor] | None,
) -> Session:
    if not isinstance(model, str):
        module = plain_module(model)
        if inputs is None:
            raise ParameterError(say("give an input: a path, image, array or tensor, got None"))
        return Session(module, inputs, class_names=class_names, preprocess=preprocess)
    entry = zoo.load(model)
    if inputs is None and not entry.examples:
        raise ParameterError(
            say("{model!r} comes without examples: give an input, a path, image, array or tensor", model=model)
        )
    example = entry.examples[0] if inputs is None else None
    return Session(
        entry.model,
        inputs if example is None else example.image,
        names=[] if example is None else [example.name],
        class_names=as_names(class_names) or entry.class_names,
        preprocess=preprocess or entry.preprocess,
    )
