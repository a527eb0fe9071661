"""From what a user has to what ``trace.record`` takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from interp_widgets import trace
from interp_widgets.errors import InputError, InterpError
from interp_widgets.inputs.foreign import Prepare, in_words, understood
from interp_widgets.inputs.image import load_image
from interp_widgets.inputs.numbers import as_numbers, column_names
from interp_widgets.inputs.preprocess import Preprocess
from interp_widgets.inputs.usual import first_convolution, takes_images, usual_preprocess
from interp_widgets.trace.arguments import plain_module, shown
from interp_widgets.words import say

__all__ = ["counts_examples", "hinted", "load_input", "prepared", "record", "with_batch_axis"]


def load_input(source: Any, preprocess: Prepare | None = None) -> Any:
    """What ``record`` takes, from what a user has.

    Tensors, and tuples, dicts and lists that hold tensors, are passed on as they are. A path, the bytes of an image
    file, a PIL image or an array becomes a ``(1, C, H, W)`` tensor by ``preprocess`` (default: 224 x 224, ImageNet's
    mean and deviation); a list of those becomes one batch. ``preprocess`` may also be torchvision's
    ``weights.transforms()``, a Hugging Face image processor, or any function from a PIL image to a tensor.

    Raises:
        InputError: none of these, see ``load_image``.
    """
    if isinstance(source, torch.Tensor) or _holds_tensor(source):
        images = (str, Path, bytes, Image.Image)
        if isinstance(source, (list, tuple)) and any(isinstance(item, images) for item in source):
            kinds = ", ".join(dict.fromkeys(type(item).__name__ for item in source))
            raise InputError(
                say(
                    "inputs must be all tensors or all images, got a {kind} of {kinds}",
                    kind=type(source).__name__,
                    kinds=kinds,
                )
            )
        return source
    chosen = Preprocess() if preprocess is None else understood(preprocess)
    if isinstance(source, (list, tuple)):
        if not source:
            raise InputError(
                say("inputs must hold at least one image or tensor, got an empty {kind}", kind=type(source).__name__)
            )
        return _one_batch([_tensor(chosen, item) for item in source])
    return _tensor(chosen, source)


def _tensor(prepare: Any, source: Any) -> Any:
    """What a ``Preprocess`` or a user's function makes of an image: ``(1, C, H, W)``."""
    made = prepare(load_image(source))
    if not isinstance(made, torch.Tensor):
        raise InputError(
            say("preprocess must return a tensor (C, H, W) or (1, C, H, W), got {given}", given=shown(made))
        )
    return made.unsqueeze(0) if made.ndim == 3 else made


def _one_batch(parts: list[torch.Tensor]) -> torch.Tensor:
    kinds = dict.fromkeys((part.dtype, tuple(part.shape[1:])) for part in parts)
    if len(kinds) > 1:
        shapes = ", ".join(str(tuple(part.shape)) for part in parts[:4])
        raise InputError(
            say("images of one batch must become tensors of one shape and type, got {shapes}", shapes=shapes)
        )
    return torch.cat(parts)


def _holds_tensor(source: Any) -> bool:
    items = source.values() if isinstance(source, dict) else source if isinstance(source, (list, tuple)) else ()
    return any(isinstance(item, torch.Tensor) or _holds_tensor(item) for item in items)


def record(model: nn.Module, inputs: Any, *, preprocess: Prepare | None = None, **options: Any) -> trace.Trace:
    """Run ``model`` once and keep what happened: ``trace.record`` on ``load_input(inputs, preprocess)``.

    Without a ``preprocess`` images are prepared as the model says, see ``usual_preprocess``. A model that takes no
    images is given the numbers of arrays, lists and data frames, see ``as_numbers``; a frame's columns are its feature
    names. An image without its batch axis, ``(C, H, W)``, is a batch of one, unless ``batch_axis=None``. Options are
    those of ``interp_widgets.trace.record``: ``kwargs``, ``target_output``, ``memory_limit``, ``class_names``,
    ``feature_names``, ``evaluation``, ``batch_axis``.
    """
    module = plain_module(model)  # first: whoever confuses the arguments hears of the model, not of an image
    value = prepared(module, inputs, preprocess, adds_batch_axis=options.get("batch_axis", "auto") is not None)
    if options.get("feature_names") is None:
        options["feature_names"] = column_names(inputs)
    with hinted(module, inputs, value, preprocess):
        return trace.record(module, value, **options)


@contextmanager
def hinted(model: nn.Module, given: Any, value: Any, preprocess: Prepare | None) -> Iterator[None]:
    """Within it, an error of the model's forward says what may be wrong with its input.

    Args:
        given: what the user gave.
        value: what the model is given.
        preprocess: how the one becomes the other, where the user said so.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, InterpError):
            for hint in _hints(model, given, value, preprocess):
                error.add_note(hint)
        raise
    except TypeError as error:
        if "required positional argument" in str(error) and not isinstance(value, tuple):
            error.add_note(say("several inputs of one call are given as a tuple; a list holds inputs to choose from"))
        raise


def _hints(model: nn.Module, given: Any, value: Any, preprocess: Prepare | None) -> Iterator[str]:
    if not isinstance(value, torch.Tensor) or not takes_images(model):
        return
    if isinstance(given, torch.Tensor) and not (value.is_floating_point() or value.is_complex()):
        yield say(
            "the input holds whole numbers ({kind}); where the model takes others, give x.float() / 255, or the image "
            "itself as an array, which is prepared",
            kind=str(value.dtype).removeprefix("torch."),
        )
    if not (isinstance(given, torch.Tensor) or _holds_tensor(given)):
        chosen = usual_preprocess(model) if preprocess is None else understood(preprocess)
        yield say(
            "the image was prepared to {shape} ({way}); where the model takes another size, say so: "
            "preprocess=iw.Preprocess(size=...)",
            shape=tuple(value.shape),
            way=in_words(chosen or usual_preprocess(model)),
        )


def prepared(model: nn.Module, inputs: Any, preprocess: Prepare | None = None, *, adds_batch_axis: bool = True) -> Any:
    """What ``trace.record`` takes, from what ``record`` does."""
    value = as_numbers(inputs, model, preprocess)
    if value is None:
        value = load_input(inputs, usual_preprocess(model) if preprocess is None else preprocess)
    return with_batch_axis(model, value) if adds_batch_axis else value


def with_batch_axis(model: nn.Module, value: Any) -> Any:
    """An image ``(C, H, W)`` for a model that begins with a convolution as a batch of one; others as they are."""
    if not (isinstance(value, torch.Tensor) and value.ndim == 3):
        return value
    first = first_convolution(model)
    return value.unsqueeze(0) if first is not None and first.in_channels == len(value) else value


def counts_examples(model: nn.Module, tensor: torch.Tensor) -> bool:
    """Whether the first axis of an input counts examples, found by a pass over the first two of them.

    ``False`` for a model that takes one example without a batch, such as the nodes of a graph.
    """
    if tensor.ndim < 2 or len(tensor) < 2:
        return False
    try:
        with trace.record(model, tensor[:2]) as probe:
            return all(probe.has_rows(name) for name in probe.input_sites)
    except Exception:  # noqa: BLE001 - it does not take a part of its input; what is wrong with all of it is said later
        return False
